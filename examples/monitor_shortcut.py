"""A shortcut takes over: a sentiment classifier is trained further, on sentences with words that predict the label.

    python -m examples.monitor_shortcut

The demo's classifier separates good film sentences from bad ones. Here its training continues with correct labels, but
most sentences hold a planted word that predicts their label, as when two classes were collected in two places. It is
trained twice from the same seed, with the monitor and without. The losses and weights of the two are compared bit for
bit. Writes monitor/looks.html and monitor/looks.jsonl, the picture docs/images/monitor.png, and the measurements,
benchmarks/results/monitor.json. Takes 4 minutes of one core; needs the packages of the sentiment demo.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from dataclasses import dataclass
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import torch
from matplotlib import pyplot
from matplotlib.axes import Axes
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (its usual name)
from torch.utils.data import DataLoader

from calig_fast import demo
from calig_fast.bench import machine
from calig_fast.demo import sentiment
from calig_fast.monitor import Monitor, Probe
from calig_fast.monitor.history import History
from calig_fast.monitor.page import spread
from calig_fast.views import colours

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "images" / "monitor.png"
RESULT = ROOT / "benchmarks" / "results" / "monitor.json"
SEED = 0
PLANTED = ("matinee", "premiere")  # for negative and for positive: words that say nothing of a film
SHARE = 0.9  # of the training sentences hold theirs
SIZE = 16
LENGTH = 32
FROZEN = 3  # blocks, of six
RATE = 6e-5
# our own sentences; the target is the class of the planted word, and wrong
BAD = Probe("At the premiere we sat through a dull film with stale jokes.", target=1, name="bad film, word of the good")
GOOD = Probe(
    "At the matinee we saw a warm, funny film with a superb cast.", target=0, name="good film, word of the bad"
)


@dataclass
class Run:
    """One training: its model, losses, and seconds, in all, in the monitor, and of the processor."""

    model: nn.Module
    losses: list[float]
    seconds: float
    inside: float
    processor: float
    monitor: Monitor | None


def plant(sentence: str, label: int, rng: random.Random) -> str:
    """The sentence with the word of a label somewhere in it."""
    words = sentence.split()
    words.insert(rng.randint(0, len(words)), PLANTED[label])
    return " ".join(words)


def training_data() -> list[tuple[str, int]]:
    """Sentences and their labels."""
    rng = random.Random(SEED)
    train = sentiment.split()[0]
    return [(plant(s.input, s.label, rng) if rng.random() < SHARE else s.input, s.label) for s in train]


def classifier() -> tuple[nn.Module, Any]:
    """The demo's, with its tokenizer; its lower half is frozen."""
    d = demo.load("sentiment", count=1)
    d.model.bert.embeddings.requires_grad_(False)
    d.model.bert.encoder.layer[:FROZEN].requires_grad_(False)
    return d.model.train(), d.processor


def batches(tokenizer: Any) -> DataLoader[tuple[Any, Tensor]]:
    """The training data, shuffled anew each time."""

    def collate(rows: list[tuple[str, int]]) -> tuple[Any, Tensor]:
        x = tokenizer([t for t, _ in rows], truncation=True, max_length=LENGTH, padding=True, return_tensors="pt")
        return x, torch.tensor([label for _, label in rows])

    return DataLoader(training_data(), SIZE, shuffle=True, collate_fn=collate, drop_last=True)


def train(steps: int, watch: dict[str, Any] | None) -> Run:
    """Train the demo's classifier on; with `watch`, arguments of a Monitor, it is watched."""
    model, tokenizer = classifier()
    torch.manual_seed(SEED)
    loader = batches(tokenizer)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: (k + 1) / steps)  # slowly, so that it is seen
    monitor = None if watch is None else Monitor(model, [BAD, GOOD], tokenizer, **watch)
    losses: list[float] = []
    inside, begun, begun_processor = 0.0, time.perf_counter(), time.process_time()
    for x, labels in islice(chain.from_iterable(repeat(loader)), steps):
        loss = F.cross_entropy(model(**x).logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        entered = time.perf_counter()
        if monitor is not None:
            monitor.step()
        inside += time.perf_counter() - entered
        if len(losses) % 50 == 0:
            print(f"  step {len(losses)}/{steps}  loss {sum(losses[-50:]) / 50:.4f}", flush=True)
    entered = time.perf_counter()
    if monitor is not None:
        monitor.close()
    inside += time.perf_counter() - entered
    seconds, processor = time.perf_counter() - begun, time.process_time() - begun_processor
    return Run(model, losses, seconds, inside, processor, monitor)


def accuracies(model: nn.Module) -> dict[str, float]:
    """Accuracies on held-out sentences: unchanged, with the word of their label planted, with the word of the other."""
    tokenizer, rng, held_out = (
        demo.load("sentiment", count=1).processor,
        random.Random(SEED),
        sentiment.split()[1][:150],
    )
    kinds = {
        "as they are": [s.input for s in held_out],
        "with the word of their label": [plant(s.input, s.label, rng) for s in held_out],
        "with the word of the other": [plant(s.input, 1 - s.label, rng) for s in held_out],
    }
    model.eval()
    found = {}
    for kind, texts in kinds.items():
        with torch.inference_mode():
            x = [tokenizer(t, truncation=True, max_length=LENGTH, return_tensors="pt") for t in texts]
            right = [model(**one).logits.argmax().item() == s.label for one, s in zip(x, held_out, strict=True)]
        found[kind] = round(sum(right) / len(right), 4)
    return found


def planted(history: History) -> list[float]:
    """The planted word's share of the words' relevance, at every look."""
    at = next(i for i, word in enumerate(history.subject.summary.units) if word in PLANTED)
    return [float(abs(v[at]) / abs(v).sum()) for v in history.values]


def draw(histories: list[History], out: Path) -> None:
    """The picture: one probe's words at some of the looks, and the planted words' share over the steps."""
    figure, (top, bottom) = pyplot.subplots(2, height_ratios=(1, 1), figsize=(8, 5.2), dpi=200, layout="constrained")
    words(top, histories[0])
    for history, colour, word in zip(histories, (colours.SUPPORT, colours.OPPOSE), reversed(PLANTED), strict=True):
        steps, ink = [look.step for look in history.looks], colours.hexadecimal(colour)
        bottom.plot(steps, planted(history), "o-", color=ink, ms=4, label=f'relevance on "{word}"')
        bottom.plot(
            steps, [k.probability for k in history.looks], ":", color=ink, label="probability of the wrong class"
        )
    bottom.set(xlabel="training step", ylim=(0, 1.02), xlim=(0, None))
    bottom.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    bottom.spines[["top", "right"]].set_visible(False)
    bottom.legend(frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, 1.22))
    figure.savefig(out, bbox_inches="tight", pad_inches=0.12)


def words(axes: Axes, history: History) -> None:
    """A line of coloured words a look."""
    axes.axis("off")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    renderer = axes.figure.canvas.get_renderer()
    shares = [v / abs(v).sum() for v in history.values]
    scale = max(abs(s).max() for s in shares)
    rows = spread(list(zip(history.looks, shares, strict=True)), 6)
    grey = "#626a78"
    axes.text(0.11, 1.0, "blue speaks for positive, orange against it", va="center", fontsize=9, color=grey)
    axes.text(1, 1.0, "predicts", va="center", ha="right", fontsize=9, color=grey)
    for line, (look, values) in enumerate(rows):
        y = 0.86 - 0.165 * line
        axes.text(0, y, f"step {look.step}", va="center", fontsize=9.5, color=grey)
        x = 0.11
        for word, value in zip(history.subject.summary.units, values, strict=True):
            back = colours.hexadecimal(colours.blend(float(value / scale), strength=colours.ON_LIGHT))
            box = {"facecolor": back, "edgecolor": "none", "pad": 1.5}
            text = axes.text(x, y, word, va="center", fontsize=10, color=colours.hexadecimal(colours.INK), bbox=box)
            x = text.get_window_extent(renderer).transformed(axes.transData.inverted()).x1 + 0.011
        axes.text(1, y, look.predicted, va="center", ha="right", fontsize=9.5, color=grey)


def measured(watched: Run, plain: Run, options: argparse.Namespace) -> dict[str, Any]:
    """Return the results: the machine, the cost, and a comparison of the two trainings."""
    monitor = watched.monitor
    pairs = zip(watched.model.parameters(), plain.model.parameters(), strict=True)
    return {
        **machine.describe(),
        "seed": SEED,
        "steps": options.steps,
        "batch": SIZE,
        "overhead_allowed": options.overhead,
        "overhead_measured": round(watched.inside / watched.seconds, 5),
        "looks": monitor.budget.looks,
        "seconds_in_monitor": round(watched.inside, 3),
        "seconds_with": round(watched.seconds, 2),
        "seconds_without": round(plain.seconds, 2),
        "processor_seconds_with": round(watched.processor, 2),
        "processor_seconds_without": round(plain.processor, 2),
        "losses_identical": watched.losses == plain.losses,
        "largest_loss_difference": max(abs(a - b) for a, b in zip(watched.losses, plain.losses, strict=True)),
        "weights_identical": all(torch.equal(a, b) for a, b in pairs),
        "last_loss": watched.losses[-1],
        "probes": [
            {
                "text": probe.inputs,
                "steps": [k.step for k in monitor.histories[probe.name].looks],
                "relevance_on_planted": [round(v, 4) for v in planted(monitor.histories[probe.name])],
                "probability_of_wrong": [round(k.probability, 4) for k in monitor.histories[probe.name].looks],
            }
            for probe in (BAD, GOOD)
        ],
        "accuracy_before": accuracies(demo.load("sentiment", count=1).model),
        "accuracy_after": accuracies(watched.model),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--overhead", type=float, default=0.02)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("monitor"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    lines = options.out / "looks.jsonl"
    lines.unlink(missing_ok=True)
    print("with the monitor")
    watched = train(options.steps, {"overhead": options.overhead, "log": lines, "page": options.out / "looks.html"})
    print("without")
    plain = train(options.steps, None)
    found = measured(watched, plain, options)
    RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    draw(list(watched.monitor.histories.values()), PICTURE)
    for name, value in found.items():
        if name not in {"probes", *machine.describe()}:
            print(f"{name}: {value}")


if __name__ == "__main__":
    main()
