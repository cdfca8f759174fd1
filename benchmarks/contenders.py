"""The contenders: ways to the layer relevance of all layers and the attention gradients of the same inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks import captum_loop
from benchmarks.works import Work
from calig_fast import Explainer, explain
from calig_fast.attribution import Attribution

STEPS = 50
NAMES = {
    "captum": "(a) Captum loop, 50 Gauss nodes, and an eager pass",
    "oracle": "(b) our oracle, the same 50 nodes, each layer from its block on",
    "captum_min": "(c) Captum, fewest nodes that meet 2e-2",
    "native": "(d) ours, default settings",
    "ends": "(d) ours, end points alone",
    "bf16": "(e) ours, bfloat16",
}
ONCE = ("bf16",)  # so slow without bf16 instructions that one round says enough


@dataclass(frozen=True)
class Answer:
    """What a contender answered, an entry for each input.

    Args:
        layers: r_l [L,T].
        scores: the fused scores [T], or None where the contender has none.
        special: [T] bool, tokens left out of rankings; None with `scores`.
        gradients: gradient evaluations of all inputs and layers, end points included.
    """

    layers: list[Tensor]
    scores: list[Tensor] | None
    special: list[Tensor] | None
    gradients: int


@dataclass(frozen=True)
class Tuning:
    """What was searched for before anything is timed.

    Args:
        batch_size: Captum's internal_batch_size.
        fewest: Gauss nodes a layer that meet the tolerance; empty where not wanted.
    """

    batch_size: int
    fewest: tuple[int, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def answer(parts: list[Attribution]) -> Answer:
    """The answer that attributions hold, padding cut off."""
    rows = [(part, b, part.mask[b]) for part in parts for b in range(len(part))]
    return Answer(
        [part.layer_scores[b][:, mask] for part, b, mask in rows],
        [part.scores[b][mask] for part, b, mask in rows],
        [part.special[b][mask] for part, b, mask in rows],
        sum(int(part.n_steps.sum()) for part in parts),
    )


def ours(work: Work, indices: list[int] | None = None, **options: Any) -> Answer:
    """Explain the inputs one at a time, with no memory of earlier ones."""
    chosen = range(len(work.calls)) if indices is None else indices
    layers = list(work.layers)
    return answer(
        [explain(work.model, work.calls[i], target=work.targets[i], layers=layers, **options) for i in chosen]
    )


def prepare(name: str, work: Work, tuning: Tuning, warm: bool = True) -> Callable[[], Answer]:
    """Everything that a user does once, done; what is returned does the work of one call.

    Args:
        name: a key of `NAMES`.
        work: the workload.
        tuning: what was searched for.
        warm: show an `Explainer` the work's warm-up inputs, so that its calibration has settled.
    """
    if name in {"captum", "captum_min"}:
        steps = [STEPS] * len(work.layers) if name == "captum" else list(tuning.fewest)
        eager = captum_loop.eager_copy(work.model)
        return lambda: _captum(work, eager, steps, tuning.batch_size)
    if name == "oracle":
        return lambda: ours(work, engine="reference", quadrature=captum_loop.RULE, n_steps=STEPS)
    own: dict[str, dict[str, Any]] = {"native": {}, "ends": {"n_steps": 1}, "bf16": {"dtype": torch.bfloat16}}
    explainer = Explainer(work.model, engine="native", layers=list(work.layers))
    for call in work.warm if warm and name != "ends" else ():
        explainer(call)
    return lambda: answer([explainer(work.batch, target=work.targets, **own[name])])


def _captum(work: Work, eager: Any, steps: list[int], batch_size: int) -> Answer:
    rows = []
    for index, call in enumerate(work.calls):
        rows.append(captum_loop.relevance(work, index, steps, batch_size))
        captum_loop.attention_gradients(eager, call, work.targets[index])
    return Answer(rows, None, None, len(rows) * sum(steps))
