"""The contenders: ways to the layer relevance of all layers and the attention gradients of the same inputs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks import captum_loop
from benchmarks.works import Work
from calig_fast import Attribution, Explainer, explain

STEPS = 50
NAMES = {
    "captum": "(a) Captum loop, 50 Gauss nodes, and an eager pass",
    "captum_padded": "(a) Captum loop, 50 Gauss nodes, and an eager pass, one padded batch",
    "captum_one_by_one": "(a) Captum loop, 50 Gauss nodes, and an eager pass, one document at a time",
    "oracle": "(b) our autograd engine, the same 50 nodes, each layer from its block on",
    "captum_single_n": "(c) Captum, the smallest n_steps for all layers that meets 2e-2",
    "captum_min": "(c') Captum, the smallest n_steps of each layer that meets 2e-2",
    "native": "(d) ours, default settings",
    "scores": '(d) ours, certify="scores"',
    "ends": "(d) ours, endpoints alone",
    "bf16": "(e) ours, bfloat16",
    "bf16_scores": '(e) ours, bfloat16, certify="scores"',
}
OPTIONS: dict[str, dict[str, Any]] = {
    "native": {},
    "scores": {"certify": "scores"},
    "ends": {"n_steps": 1},
    "bf16": {"dtype": torch.bfloat16},
    "bf16_scores": {"dtype": torch.bfloat16, "certify": "scores"},
}


@dataclass(frozen=True)
class Answer:
    """The answer of a contender, with an entry for each input.

    Args:
        layers: r_l [L,T].
        scores: the fused scores [T], or None where the contender has none.
        special: [T] bool, tokens left out of rankings; None with `scores`.
        gradients: gradient evaluations of all inputs and layers, endpoints included.
    """

    layers: list[Tensor]
    scores: list[Tensor] | None
    special: list[Tensor] | None
    gradients: int


@dataclass(frozen=True)
class Tuning:
    """The settings found by a search that is not timed.

    Args:
        batch_size: Captum's internal_batch_size, None for all nodes at once.
        fewest: Gauss nodes a layer that meet the tolerance; empty where not wanted.
        single: Gauss nodes that meet it at every layer; 0 where not wanted.
    """

    batch_size: int | None
    fewest: tuple[int, ...] = ()
    single: int = 0

    def plain(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Contender:
    """One way, ready to be timed.

    Args:
        run: does the work of all calls.
        reset: forgets what earlier runs taught; called before every run, outside of the timing.
    """

    run: Callable[[], Answer]
    reset: Callable[[], None] = lambda: None


def fast_bf16() -> bool:
    """Return True if the processor has bfloat16 instructions."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def once(name: str) -> bool:
    """Return True if one round of the contender is enough, since it is very slow."""
    return name == "captum_padded" or (name.startswith("bf16") and not fast_bf16())


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


def prepare(name: str, work: Work, tuning: Tuning, warm: bool = True, **options: Any) -> Contender:
    """Do everything that a user does once.

    Args:
        name: a key of `NAMES`.
        work: the workload.
        tuning: what was searched for.
        warm: show an `Explainer` the work's warm-up inputs, so that its calibration has settled.
        **options: of our own contenders, besides `OPTIONS`.
    """
    if name == "oracle":
        return Contender(lambda: ours(work, engine="autograd", quadrature=captum_loop.RULE, n_steps=STEPS))
    if name in OPTIONS:
        return _explainers(work, warm and name != "ends", {**OPTIONS[name], **options})
    eager, count = captum_loop.eager_copy(work.model), len(work.layers)
    steps = {"captum_min": list(tuning.fewest), "captum_single_n": [tuning.single] * count}.get(name, [STEPS] * count)
    if name == "captum_padded":
        return Contender(lambda: _padded(work, eager, steps, tuning.batch_size or 0))
    return Contender(lambda: _captum(work, eager, steps, tuning.batch_size))


def _explainers(work: Work, warm: bool, options: dict[str, Any]) -> Contender:
    """Each call on an `Explainer` of its own, so that none learns from the call before; all warmed alike."""
    first = Explainer(work.model, engine="native", layers=list(work.layers), **options)
    # what is learned does not depend on the dtype, so where bfloat16 is slow the warm-up does without
    dtype = first.settings.dtype if fast_bf16() else None
    for call in work.warm if warm else ():
        first(call, dtype=dtype)
    learned = copy.deepcopy(first._memory)
    explainers = [copy.copy(first) for _ in work.pieces]

    def reset() -> None:
        for explainer in explainers:
            explainer._memory = copy.deepcopy(learned)

    def run() -> Answer:
        return answer([e(call, target=to) for e, (call, to) in zip(explainers, work.pieces, strict=True)])

    reset()
    return Contender(run, reset)


def _captum(work: Work, eager: Any, steps: list[int], batch_size: int | None) -> Answer:
    rows = []
    for index, call in enumerate(work.calls):
        rows.append(captum_loop.relevance(work, index, steps, batch_size))
        captum_loop.attention_gradients(eager, call, [work.targets[index]])
    return Answer(rows, None, None, len(rows) * sum(steps))


def _padded(work: Work, eager: Any, steps: list[int], batch_size: int) -> Answer:
    rows = captum_loop.relevance_padded(work, steps, batch_size)
    captum_loop.attention_gradients(eager, work.batch, work.targets)
    return Answer(rows, None, None, len(rows) * sum(steps))
