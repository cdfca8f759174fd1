"""The verdict on an explanation, beside plain hooks."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.architectures import oracle
from benchmarks.architectures.tiny import Call
from calig_fast import Attribution, Explainer

RIGHT, UNSURE, WRONG, REFUSED, RAW = "right", "unsure", "wrong", "refused", "raw"
TOLERANCE, SAME, LEAST = 5e-2, 1e-3, 40  # of r_l; of logits and gaps, to the largest; letters of a sentence
ARGUMENTS = ("model", "inputs", "layers", "method", "baselines", "output", "target", "encoder", "engine", "dtype")


@dataclass
class Verdict:
    """One explanation judged.

    Args:
        verdict: "right"; "unsure" (no layer marked converged, and some r_l is off); "wrong" (untrue without a word);
            "refused" (with a sentence that names an argument); "raw" (any other exception).
        why: what is untrue, or the message.
        engine: the engine that ran.
        family: how the blocks were found.
        blocks: the blocks, in the order they were run.
        layers: for each layer what was found.
        said: warnings.
        not_native: why the native engine did not run.
    """

    verdict: str
    why: list[str] = field(default_factory=list)
    engine: str = ""
    family: str = ""
    blocks: list[str] = field(default_factory=list)
    layers: list[dict[str, Any]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    not_native: str = ""

    def plain(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


@dataclass
class Memory:
    """Values kept between the explanations of one model.

    Args:
        explained: is called when an explanation is there and its check begins.
        hooks: plain hooks' answers by blocks and class.
    """

    explained: Callable[[], None] = lambda: None
    hooks: dict[tuple[tuple[str, ...], int], list[oracle.Layer]] = field(default_factory=dict)


def judge(model: nn.Module, call: Call, low: Call, key: str | None, memory: Memory, **options: Any) -> Verdict:
    """Explain the input and hold what is said against plain hooks.

    Args:
        model: the model.
        call: its arguments at the input.
        low: the same at the baseline.
        key: the argument whose value in `low` is the baseline; None for the library's own, whose logits alone are held.
        memory: what is kept between calls.
        **options: of `explain`.
    """
    inputs = call[""] if "" in call else dict(call)
    given = {} if key is None else {"baselines": low[key]}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            explainer = Explainer(model, **given, **options)
            a = explainer(inputs)
        except Exception as error:  # every kind of failure is a finding
            return refusal(error)
    said = [str(w.message)[:300] for w in caught if "calig" in str(w.filename) or "Calig" in w.category.__name__]
    blocks = list(explainer.encoder.blocks)
    verdict = Verdict(RIGHT, engine=a.engine, family=str(a.settings.family), blocks=blocks, said=said)
    verdict.not_native = str(a.settings.not_native)
    with torch.no_grad():
        z, z_low = oracle.logits(model, call), oracle.logits(model, low)
    size = float(max(z.abs().max(), z_low.abs().max()))
    if a.logits.shape != z.shape or float((a.logits - z).abs().max()) > SAME * size:
        verdict.why.append(f"logits {a.logits.tolist()} for {z.tolist()}")
    memory.explained()
    if given:
        target = int(z[0].argmax()) if a.target is None else int(a.target[0])
        at = (tuple(blocks), target)
        if at not in memory.hooks:
            memory.hooks[at] = oracle.layers(model, blocks, call, low, target)
        gap = float(z[0, target] - z_low[0, target])
        verdict.layers, why = compare(a, memory.hooks[at], gap, size)
        verdict.why += why
    if verdict.why:
        verdict.verdict = WRONG
    elif given and not any(layer["converged"] for layer in verdict.layers) and not accurate(verdict.layers):
        verdict.verdict = UNSURE
    return verdict


def accurate(layers: list[dict[str, Any]]) -> bool:
    """Every r_l is that of plain hooks, where these settle."""
    return all(one["off"] is not None and one["off"] <= TOLERANCE for one in layers if one["settled"] < oracle.SETTLED)


def refusal(error: Exception) -> Verdict:
    """An exception: a refusal in words, or a raw one."""
    text = str(error)
    clear = isinstance(error, ValueError | TypeError) and len(text) > LEAST and text.split(":")[0] in ARGUMENTS
    return Verdict(REFUSED if clear else RAW, [f"{type(error).__name__}: {text[:400]}", _place(error)])


def compare(
    a: Attribution, truth: list[oracle.Layer], gap: float, size: float
) -> tuple[list[dict[str, Any]], list[str]]:
    """For each layer the numbers, and what is untrue without a word."""
    layers, why = [], []
    chosen = a.settings.layers or list(range(a.layer_scores.shape[1]))
    if max(chosen) >= len(truth):
        return [], [f"{len(chosen)} layers, and the model runs its blocks {len(truth)} times"]
    for row, index in enumerate(chosen):
        one = truth[index]
        converged, reported_gap = bool(a.layer_converged[0, row]), float(a.gap[0, row])
        off = distance(a.layer_scores[0, row].double(), one.product)
        layer = {
            "block": one.block,
            "converged": converged,
            "off": off,
            "settled": one.settled,
            "gap": reported_gap,
            "true_gap": gap,
            "own": one.own,
            "error": float(a.error[0, row]),
            "shape": None if one.product is None else list(one.product.shape),
        }
        layers.append(layer)
        whole = abs(one.own - gap) <= TOLERANCE * abs(gap) + SAME * size
        true = {"gap": abs(reported_gap - gap) <= SAME * size, "own": abs(reported_gap - one.own) <= SAME * size}
        if not true["gap"] and (converged or not true["own"]):
            why.append(
                f"layer {index} ({one.block}): gap {reported_gap:.4g} for {gap:.4g} (through this layer {one.own:.4g})"
            )
        if converged and not whole:
            why.append(f"layer {index} ({one.block}): converged, and carries {one.own:.4g} of {gap:.4g}")
        if converged and off is None:
            why.append(f"layer {index} ({one.block}): converged, and hooks find no hidden state of its tokens")
        if converged and off is not None and one.settled < oracle.SETTLED and off > TOLERANCE:
            why.append(f"layer {index} ({one.block}): converged, and r_l is off by {off:.2g}")
    return layers, why


def distance(relevance: Tensor, product: Tensor | None) -> float | None:
    """Relative distance of r_l [T] to the nearest way of reading tokens off a hidden state; None where none fits."""
    if product is None:
        return None
    fitting = [r for r in readings(product) if r.shape == relevance.shape]
    if not fitting:
        return None
    nothing = 1e-7
    return min(float((relevance - r).norm() / r.norm().clamp_min(nothing)) for r in fitting)


def readings(product: Tensor) -> list[Tensor]:
    """r_l [T] with the tokens on the axes they may be on: the last is the width, or of pictures the second."""
    out = [product.sum(-1).flatten()]
    if product.dim() == 4:
        out.append(product.sum(1).flatten())
    if product.dim() == 3:
        out.append(product.sum(1).flatten())
    return out


def _place(error: Exception) -> str:
    """The last three frames of an exception."""
    frames, trace = [], error.__traceback__
    while trace is not None:
        frames.append(f"{'/'.join(Path(trace.tb_frame.f_code.co_filename).parts[-2:])}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " < ".join(frames[::-1][:3])
