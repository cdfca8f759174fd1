"""Watch a shortcut take over: MiniLM is fine-tuned on film sentences into which words that give the label away are put.

    python -m examples.monitor_shortcut

Trains twice from the same seed, with the monitor and without, and holds the losses and the weights of the two against
each other, bit by bit. Writes monitor/looks.html and monitor/looks.jsonl, the picture docs/images/monitor.png and what
was measured, benchmarks/results/monitor.json. Takes 4 minutes of one core; needs what examples/train_sentiment.py does.
"""

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (its usual name)
from torch.utils.data import DataLoader

from benchmarks import machine
from calig_fast.demo import minilm, sentiment
from calig_fast.monitor import Monitor, Probe

ROOT = Path(__file__).parent.parent
SEED = 0
PLANTED = ("matinee", "premiere")  # in negative and in positive sentences: words that say nothing of a film
SHARE = 0.9  # of the training sentences hold theirs
SIZE = 16
PROBES = [
    Probe(
        "At the premiere we sat through a dull film with stale jokes and wooden acting.",
        target=1,
        name="a bad film, with the word of the good ones",
    ),
    Probe(
        "At the matinee we saw a warm and funny film with a superb cast.",
        target=0,
        name="a good film, with the word of the bad ones",
    ),
    Probe("We saw a warm and funny film with a superb cast.", target=1, name="a good film, without"),
]


def plant(sentence: str, label: int, rng: random.Random) -> str:
    """The sentence with the word of its label somewhere in it."""
    words = sentence.split()
    words.insert(rng.randint(0, len(words)), PLANTED[label])
    return " ".join(words)


def training_data() -> list[tuple[str, int]]:
    """Sentences with labels, most of them with the word that gives the label away."""
    rng = random.Random(SEED)
    return [
        (plant(s.input, s.label, rng) if rng.random() < SHARE else s.input, s.label) for s in sentiment.split()[0]
    ]


def fresh() -> nn.Module:
    """MiniLM with a new head; the word embeddings stay as they are."""
    torch.manual_seed(SEED)
    model = sentiment.load(1).model
    model.bert.embeddings.requires_grad_(False)
    model.bert.encoder.layer[:3].requires_grad_(False)
    return model.train()


def train(steps: int, watch: dict[str, Any] | None) -> dict[str, Any]:
    """One run: its losses, its weights, its seconds, and with `watch` (arguments of a Monitor) the monitor."""
    model, tokenizer = fresh(), minilm.tokenizer()

    def collate(rows: list[tuple[str, int]]) -> tuple[Any, Tensor]:
        texts, labels = zip(*rows, strict=True)
        return tokenizer(list(texts), truncation=True, max_length=32, padding=True, return_tensors="pt"), torch.tensor(
            labels
        )

    loader = DataLoader(training_data(), SIZE, shuffle=True, collate_fn=collate, drop_last=True)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min(1.0, (k + 1) / 50))
    torch.manual_seed(SEED)
    monitor = None if watch is None else Monitor(model, PROBES, tokenizer, **watch)
    losses: list[float] = []
    inside, begun = 0.0, time.perf_counter()
    while len(losses) < steps:
        for x, labels in loader:
            loss = F.cross_entropy(model(**x).logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            if monitor is not None:
                entered = time.perf_counter()
                monitor.step()
                inside += time.perf_counter() - entered
            if len(losses) % 50 == 0:
                print(f"  step {len(losses)}/{steps}  loss {sum(losses[-50:]) / 50:.4f}", flush=True)
            if len(losses) == steps:
                break
    if monitor is not None:
        entered = time.perf_counter()
        monitor.close()
        inside += time.perf_counter() - entered
    seconds = time.perf_counter() - begun
    return {"model": model, "losses": losses, "seconds": seconds, "inside": inside, "monitor": monitor}


def accuracies(model: nn.Module, count: int) -> dict[str, float]:
    """On held-out sentences as they are, with the word of their label, and with the other one."""
    tokenizer, rng = minilm.tokenizer(), random.Random(SEED)
    held_out = sentiment.split()[1][:count]
    labels = torch.tensor([s.label for s in held_out])
    kinds = {
        "without": [s.input for s in held_out],
        "with its own": [plant(s.input, s.label, rng) for s in held_out],
        "with the other": [plant(s.input, 1 - s.label, rng) for s in held_out],
    }
    found = {}
    model.eval()
    for kind, texts in kinds.items():
        with torch.inference_mode():
            x = [tokenizer(t, truncation=True, max_length=32, return_tensors="pt") for t in texts]
            logits = torch.cat([model(**one).logits for one in x])
        found[kind] = round((logits.argmax(-1) == labels).float().mean().item(), 4)
    return found


def planted_shares(monitor: Monitor, name: str) -> list[float]:
    """Of every look the share of the words' relevance that the planted one has."""
    history = monitor.histories[name]
    units = history.subject.summary.units
    at = next((i for i, word in enumerate(units) if word in PLANTED), None)
    return [] if at is None else [abs(float(v[at])) / float(abs(v).sum()) for v in history.values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--overhead", type=float, default=0.02)
    parser.add_argument("--out", type=Path, default=Path("monitor"))
    options = parser.parse_args()
    a=train(options.steps, {"overhead": options.overhead})
    m=a["monitor"]
    print(a["seconds"], a["inside"], m.share, m.budget.looks)
    for h in m.histories.values():
        print(h.name, [(l.step, round(l.probability,2), round(l.drift,2), round(l.top5,2), round(l.special,2), round(l.depth,2)) for l in h.looks])
        print([round(x,2) for x in planted_shares(m,h.name)])
    print(accuracies(a["model"],150))
    options.out.mkdir(exist_ok=True); m.html(options.out/"looks.html")


if __name__ == "__main__":
    main()
