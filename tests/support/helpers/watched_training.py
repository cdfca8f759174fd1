"""A training loop that uses everything a monitor must leave alone: dropout, shuffling, four sources of randomness."""

import copy
import random
from contextlib import nullcontext

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from calig_fast.monitor import Monitor
from helpers.tiny_models import ids, tiny

X = ids(*(9, 6, 7, 5, 9, 8, 4, 9), seed=4)
DATA = TensorDataset(X["input_ids"], X["attention_mask"], torch.arange(8) % 4)


def model_to_train():
    """A tiny BERT with dropout, in training mode."""
    return copy.deepcopy(tiny("bert")).train()


def train(watch, *, steps=6, autocast=False, accumulate=1, middle=False, device="cpu"):
    """Losses, final weights and what each source of randomness gives next.

    Args:
        watch: arguments of a Monitor that looks at every step, or None for no monitor.
        middle: call it between forward and backward, in the middle of an accumulation and inside autocast.
    """
    model = model_to_train().to(device)  # draws where it is the first of the process
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    monitor = None if watch is None else Monitor(model, ids(9, 6), overhead=1.0, **watch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    while len(losses) < steps:
        for tokens, mask, labels in DataLoader(DATA, 2, shuffle=True):
            with torch.autocast(device, dtype=torch.bfloat16) if autocast else nullcontext():
                logits = model(tokens.to(device), attention_mask=mask.to(device)).logits.float()
                if middle and monitor is not None:
                    monitor.step()
                noise = random.random() + np.random.rand() + torch.rand(()).item()
                loss = functional.cross_entropy(logits, labels.to(device)) * (1 + 0.1 * noise) / accumulate
            loss.backward()
            losses.append(loss.item())
            if len(losses) % accumulate == 0:
                optimizer.step()
                optimizer.zero_grad()
            if monitor is not None and not middle:
                monitor.step()
            if len(losses) == steps:
                break
    after = (random.random(), float(np.random.rand()), float(torch.rand(())), float(torch.rand((), device=device)))
    return losses, [w.detach().clone() for w in model.parameters()], after, monitor
