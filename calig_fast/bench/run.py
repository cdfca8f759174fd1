"""A benchmark of one model on its own inputs: answers are checked first, then contenders take turns."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from .. import Attribution, Explainer
from .._utils.progress import Progress, ticker
from .captum_loop import RULE, Loop, loop
from .gates import errors, gate, same

EQUAL_NODES = 8
INTERVALS = 96
OURS: dict[str, dict[str, Any]] = {
    "ours": {},
    'ours, certify="scores"': {"certify": "scores"},
}
Layers = list[Tensor]  # r_l [L,T] of every input


@dataclass
class Row:
    """The times of one contender, round by round, and the error of its layer scores.

    Args:
        name: of the contender.
        cpu: CPU seconds of the process, one a round.
        wall: wall seconds.
        error: relative error of r_l, the worst of layers and inputs.
        gradients: gradient evaluations of all inputs and layers.
    """

    name: str
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    error: float = float("nan")
    gradients: int = 0

    @property
    def seconds(self) -> float:
        """Median wall seconds."""
        return median(self.wall)


@dataclass(frozen=True)
class Bench:
    """A benchmark.

    Args:
        rows: of the contenders, ours first, Captum last.
        engine: engine that ours ran on.
        apart: largest difference of the answers from the autograd engine's at equal nodes.
        truth: estimated error of the converged result, the worst of layers and inputs.
        without_captum: why Captum is no contender; "" where it is.
        batch_size: internal_batch_size of Captum, the fastest of four; None without it.
    """

    rows: list[Row]
    engine: str
    apart: float
    truth: float
    without_captum: str
    batch_size: int | None


@dataclass(frozen=True)
class Work:
    """A model and its inputs, explained one at a time by an `Explainer` without memory of earlier rounds."""

    model: nn.Module
    processor: Any
    inputs: list[Any]

    def explained(self, **options: Any) -> list[Attribution]:
        """The attribution of every input."""
        explainer = Explainer(self.model, self.processor, **options)
        return [explainer([given]) for given in self.inputs]

    def ours(self, **options: Any) -> tuple[Layers, int]:
        """The layer scores, and how many gradients they took."""
        attributions = self.explained(**options)
        return layers(attributions), sum(int(a.n_steps.sum()) for a in attributions)


def layers(attributions: list[Attribution]) -> Layers:
    """r_l [L,T] of every input, padding cut off."""
    return [a.layer_scores[0][:, a.mask[0]] for a in attributions]


def bench(
    model: nn.Module, inputs: list[Any], processor: Any, *, rounds: int = 3, nodes: int = 50, progress: Progress = None
) -> Bench:
    """Time of our explanation beside Captum's LayerIntegratedGradients at every block, one input after another.

    First, at 8 equal Gauss nodes, our engine and Captum must equal the autograd engine. Then the layer scores are
    computed far finer (corrected trapezoid, 96 intervals), from which each contender's error is read. Then they take
    turns, each on inputs it knows nothing of: ours on a new `Explainer` every round, Captum at the fastest of four
    internal_batch_sizes.

    Args:
        model: a classifier in eval mode.
        inputs: texts or PIL images.
        processor: its tokenizer or image processor.
        rounds: how often each is timed.
        nodes: Gauss nodes of Captum's loop.
        progress: True for a progress bar, or a function of (done, total).

    Returns:
        the times and errors.

    Raises:
        RedGateError: an answer at equal nodes is wrong, or our default misses twice its tolerance where it says that it
            converged; nothing is reported.
        ValueError: rounds or nodes that are not positive.
    """
    if rounds < 1 or nodes < 1:
        raise ValueError(f"rounds, nodes: expected at least 1 of each, got {rounds} and {nodes}")
    work = Work(model, processor, inputs)
    contenders: dict[str, Callable[[], tuple[Layers, int]]] = {}
    for name, options in OURS.items():
        contenders[name] = lambda options=options: work.ours(**options)  # type: ignore[misc]
    with ticker(progress, 4) as tick:
        loops, why, engine, apart = _checked(work)
        tick()
        exact = work.explained(quadrature="corrected_trapezoid", n_steps=INTERVALS)
        tick()
        _default_holds(work, layers(exact))
        tick()
        size = max(loops, key=lambda one: one.x.numel()).best_batch_size() if loops else None
        tick()
    if loops:
        contenders[f"Captum, {nodes} nodes"] = lambda: _captum(loops, nodes, size)
    rows = [Row(name) for name in contenders]
    with ticker(progress, rounds * len(rows)) as tick:
        for _ in range(rounds):
            for row, run in zip(rows, contenders.values(), strict=True):
                _time(row, run, layers(exact))
                tick()
    truth = max(float(torch.nan_to_num(a.error).max()) for a in exact)
    return Bench(rows, engine, apart=apart, truth=truth, without_captum=why, batch_size=size)


def _default_holds(work: Work, wanted: Layers) -> None:
    """Refuse if our default reports convergence and exceeds twice its tolerance."""
    for a, exact in zip(work.explained(), wanted, strict=True):
        keep = a.layer_converged[0]
        off = errors([layers([a])[0][keep]], [exact[keep]]) if bool(keep.any()) else [0.0]
        gate("ours, default settings", max(off), 2 * float(a.settings["tolerance"]))


def _checked(work: Work) -> tuple[list[Loop], str, str, float]:
    """The comparison of answers at equal nodes with the autograd engine.

    Returns:
        the inputs as Captum takes them, or none and why; our engine; the largest difference.
    """
    options = {"quadrature": RULE, "n_steps": EQUAL_NODES}
    native = work.explained(**options)
    by_autograd, _ = work.ours(engine="autograd", **options)
    loops, why = _loops(work, native)
    answers = {f"the {native[0].engine} engine": layers(native)}
    if loops:
        answers["Captum"] = [one.relevance(EQUAL_NODES, EQUAL_NODES) for one in loops]
    apart = same(answers, by_autograd, lambda: work.ours(engine="autograd", dtype=torch.float64, **options)[0])
    return loops, why, native[0].engine, apart


def _loops(work: Work, attributions: list[Attribution]) -> tuple[list[Loop], str]:
    """Every input as Captum takes it; or none, with the reason."""
    if importlib.util.find_spec("captum") is None:
        return [], 'it is not installed: pip install "calig_fast[bench]"'
    encoder = Explainer(work.model, work.processor).encoder
    loops = []
    try:
        for given, a in zip(work.inputs, attributions, strict=True):
            target = 0 if a.target is None else int(a.target[0])
            loops.append(loop(work.model, encoder, given, target, work.processor))
        loops[0].relevance(1)
    except (ValueError, TypeError, RuntimeError) as error:
        return [], " ".join(str(error).split())
    return loops, ""


def _captum(loops: list[Loop], nodes: int, size: int | None) -> tuple[Layers, int]:
    return [one.relevance(nodes, size) for one in loops], nodes * sum(len(one.before) for one in loops)


def _time(row: Row, run: Callable[[], tuple[Layers, int]], wanted: Layers) -> None:
    """One round of one contender."""
    _wait()
    cpu, wall = time.process_time(), time.perf_counter()
    scores, row.gradients = run()
    _wait()
    row.cpu.append(time.process_time() - cpu)
    row.wall.append(time.perf_counter() - wall)
    row.error = max(errors(scores, wanted))


def _wait() -> None:
    """Wait for the queued kernels of a GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
