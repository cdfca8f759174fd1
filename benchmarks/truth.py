"""The converged result, errors relative to it, and the checks that refuse a benchmark of wrong answers."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from benchmarks import captum_loop
from benchmarks.contenders import Answer, ours
from benchmarks.works import Work
from calig_fast.bench.gates import ROUNDED, SAME, RedGateError, errors, gate

__all__ = ["SAME", "RedGateError", "errors", "gate"]

INTERVALS = 96
CROSS_CHECK = 64
TOLERANCE = 2e-2
EQUAL_NODES = 8
BF16_TOLERANCE = 4e-2
MENU = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 18, 20, 22, 24, 28, 32, 36, 40, 44, 50)


def converged(work: Work) -> Answer:
    """The native engine at 96 intervals of the corrected trapezoid, of the inputs `work.truths`."""
    return ours(
        work,
        list(work.truths),
        engine="native",
        quadrature="corrected_trapezoid",
        n_steps=INTERVALS,
        dtype=work.truth_dtype,
    )


def of_truths(work: Work, answer: Answer) -> list[Tensor]:
    """The rows of an answer that belong to the inputs with a converged reference."""
    return [answer.layers[i] for i in work.truths]


def score_error(work: Work, answer: Answer, truth: Answer) -> float | None:
    """Relative error of the fused scores, norm over tokens, the worst over the inputs."""
    if answer.scores is None or truth.scores is None:
        return None
    pairs = [(answer.scores[i].double(), truth.scores[k].double()) for k, i in enumerate(work.truths)]
    return max(float((got - wanted).norm() / wanted.norm()) for got, wanted in pairs)


def rank_correlation(work: Work, answer: Answer, truth: Answer) -> float | None:
    """Spearman's rho of the fused scores to the converged ones, special tokens left out, the mean over the inputs."""
    if answer.scores is None or truth.scores is None or truth.special is None:
        return None
    rhos = []
    for k, i in enumerate(work.truths):
        keep = ~truth.special[k]
        pair = torch.stack([answer.scores[i][keep], truth.scores[k][keep]]).double()
        rhos.append(float(torch.corrcoef(pair.argsort(1).argsort(1).double())[0, 1]))
    return sum(rhos) / len(rhos)


def equal_nodes(work: Work) -> dict[str, float]:
    """The native engine and the autograd engine at the same 8 Gauss nodes, the worst of the layers and inputs.

    Where they are further apart than `SAME` the model itself may magnify what float32 rounds; so there both are held
    against the autograd engine in float64 as well.

    Returns:
        `apart`, native from autograd; beyond `SAME` also `native` and `oracle`, each from autograd in float64.

    Raises:
        RedGateError: the native engine is further from float64 than `ROUNDED` times the autograd engine.
    """
    options = {"quadrature": captum_loop.RULE, "n_steps": EQUAL_NODES}
    native, oracle = (ours(work, list(work.truths), engine=e, **options).layers for e in ("native", "autograd"))
    distances = {"apart": max(errors(native, oracle))}
    if not distances["apart"] <= SAME:
        exact = ours(work, list(work.truths), engine="autograd", dtype=torch.float64, **options).layers
        distances |= {"native": max(errors(native, exact)), "oracle": max(errors(oracle, exact))}
        gate(f"{work.name}, native in float32 at equal nodes", distances["native"], ROUNDED * distances["oracle"])
    return distances


def captum_at_64(work: Work, truth: Answer, batch_size: int) -> list[float]:
    """Captum's difference from the converged reference at 64 Gauss nodes, at the first of its inputs."""
    one = replace(work, targets=[])  # targets are found again
    steps = [CROSS_CHECK] * len(work.layers)
    return errors([captum_loop.relevance(one, work.truths[0], steps, batch_size)], truth.layers[:1])


def fewest_nodes(work: Work, truth: Answer) -> tuple[tuple[int, ...], int]:
    """The fewest Gauss nodes of `MENU` that meet the tolerance at every input with a converged reference.

    Searched with the native engine, which answers as Captum does at the same nodes.

    Returns:
        of each layer by itself, and of all layers alike.

    Raises:
        RedGateError: not even the most nodes do.
    """
    fewest: dict[int, int] = {}
    for n in MENU:
        left = [layer for layer in work.layers if layer not in fewest]
        if left:
            fewest.update({layer: n for layer, e in _errors_at(work, truth, n, left).items() if e <= TOLERANCE})
        # below the most of them some layer has met it at no number tried, so none needs looking at again
        if len(fewest) == len(work.layers) and n >= max(fewest.values()):
            again = [layer for layer in work.layers if fewest[layer] != n]
            if all(e <= TOLERANCE for e in _errors_at(work, truth, n, again).values()):
                return tuple(fewest[layer] for layer in work.layers), n
    missing = [layer for layer in work.layers if layer not in fewest]
    raise RedGateError(f"no number of Gauss nodes up to {MENU[-1]} meets {TOLERANCE:g} at layers {missing}")


def _errors_at(work: Work, truth: Answer, n: int, layers: list[int]) -> dict[int, float]:
    """The error of some layers at n Gauss nodes."""
    if not layers:
        return {}
    some = replace(work, layers=tuple(layers), targets=[])
    answer = ours(some, list(work.truths), engine="native", quadrature=captum_loop.RULE, n_steps=n)
    places = [work.layers.index(layer) for layer in layers]
    return dict(zip(layers, errors(answer.layers, [t[places] for t in truth.layers]), strict=True))
