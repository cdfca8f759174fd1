"""A model with a sum over its words as logit, so that the effect of removing them is known."""

import torch
from torch import nn

WEIGHTS = torch.linspace(-2, 3, 60, dtype=torch.float64)


class Bag(nn.Module):
    """Logits (0, sum of the weights of the real tokens' words)."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(60, 1, dtype=torch.float64)
        with torch.no_grad():
            self.words.weight[:, 0] = WEIGHTS[torch.randperm(60, generator=torch.Generator().manual_seed(1))]

    def forward(self, input_ids, attention_mask):
        score = (self.words(input_ids)[:, :, 0] * attention_mask).sum(1)
        return torch.stack([torch.zeros_like(score), score], 1)


def contributions(model, call):
    """[B,T] what each token adds to the logit of class 1."""
    return model.words.weight[call["input_ids"], 0].detach() * call["attention_mask"]


def content(call):
    """[B,T] bool, real tokens but the first and the last."""
    mask = call["attention_mask"] != 0
    inner = mask.clone()
    inner[:, 0] = False
    inner[torch.arange(len(mask)), mask.sum(1) - 1] = False
    return inner
