"""The methods: CA-LIG and its ancestors, each a reading of the same signals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ..model.attention_capture import MapKind
from .fusion import Fusion
from .rollout import rollout

Integral = Literal["layer", "input", "none"]
# Over 66 texts on a MiniLM whose scores were certified, their true error was above the root of the sum of squares 9
# times and above 1.25 of it 4 times, at most 1.6 times the root.
SAFETY = 1.25
ALLOWED = 0.5  # larger errors are past what the estimates can tell
SPREAD = 2.0  # intervals come in steps, so a layer does less harm than allowed: articles cost 4 per cent less than at 1


@dataclass(frozen=True)
class Signals:
    """What the engine measured, for one batch.

    Args:
        relevance: r_l [B,L,T] float64, zeros where the method integrates nothing.
        maps: attention maps of the method's kind [B,L,T,U], or None.
        product: gradient times hidden state at the input, sum_d h_l dF/dh_l [B,L,T] float64.
        mask: [B,T] bool, real tokens.
        readout: [B,T] weights of the rows the head reads.
        backend: backend of the fused operations.
    """

    relevance: Tensor
    maps: Tensor | None
    product: Tensor
    mask: Tensor
    readout: Tensor
    backend: str


Scores = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Method:
    """One method.

    Args:
        name: what the caller asks for.
        integral: "layer" the straight path into each block; "input" the path in embedding space; "none".
        maps: which attention maps it reads, None for none.
        read: signals to (scores [B,T], layer scores [B,L,T]).
        first_layer: only the embeddings are looked at.
        fusion: CA-LIG's options, None for the others.
    """

    name: str
    integral: Integral
    maps: MapKind | None
    read: Callable[[Signals], Scores]
    first_layer: bool = False
    fusion: Fusion | None = None


def _maps(signals: Signals) -> Tensor:
    if signals.maps is None:
        raise RuntimeError("the method reads attention maps and was given none")
    return signals.maps


def _calig(fusion: Fusion) -> Method:
    def read(s: Signals) -> Scores:
        return rollout(s.relevance, _maps(s), s.mask, s.readout, fusion, s.backend)[0], s.relevance

    return Method("calig", "layer", "gradient", read, fusion=fusion)


def _layer(index: int) -> Callable[[Signals], Scores]:
    return lambda s: (s.relevance[:, index], s.relevance)


def _unfused(residual_normalised: bool) -> Callable[[Signals], Scores]:
    """A rollout of the maps alone, the identity part kept in the readout row, as its authors define it."""
    fusion = Fusion(lam=0.0, attention_scale="none", normalise=residual_normalised)

    def read(s: Signals) -> Scores:
        return rollout(s.relevance, _maps(s), s.mask, s.readout, fusion, s.backend, keep_identity=True)

    return read


def _attcat(s: Signals) -> Scores:
    queries = s.mask[:, None, :, None]
    received = (_maps(s).double() * queries).sum(2) / queries.sum(2)  # mean over queries of what each key receives
    layers = received * s.product
    return layers.sum(1), layers


PRESETS = {
    method.name: method
    for method in (
        _calig(Fusion()),
        # Sundararajan et al. 2017, at the embeddings
        Method("ig", "layer", None, _layer(0), first_layer=True),
        # the same path argument at one block input: the deepest of the layers asked for
        Method("layer_ig", "layer", None, _layer(-1)),
        # Dhamdhere et al. 2018
        Method("conductance", "input", None, _layer(-1)),
        # Abnar and Zuidema 2020: rows of (A + I) / 2
        Method("rollout", "none", "attention", _unfused(True)),
        # Chefer et al. 2021, generic rule for self-attention: R += mean_h max(0, A (.) dA) R
        Method("chefer", "none", "positive_gradient", _unfused(False)),
        # the same, signed
        Method("attention_gradient", "none", "gradient", _unfused(False)),
        # Qiang et al. 2022: sum over layers of the attention a token receives times its gradient x activation
        Method("attcat", "none", "attention", _attcat),
        Method("gradient_x_input", "none", None, lambda s: (s.product[:, 0], s.product)),
    )
}


# Chosen on 50 images of clothes, where it scores 0.69 and lam=0.8 scores 0.59 (docs/faithfulness.md).
IMAGES = Fusion(lam=0.97)


def resolve(method: str | Fusion, lam: float | None) -> Method:
    """The method asked for.

    Args:
        method: a preset's name, or CA-LIG's options.
        lam: weight of relevance in the fusion, None for the options' own.

    Raises:
        ValueError: an unknown name; lam for a method that fuses nothing; lam outside 0..1.
        TypeError: neither a name nor options.
    """
    if isinstance(method, Fusion):
        found = _calig(method)
    elif not isinstance(method, str):
        raise TypeError(f"method: expected a name or a Fusion, got {type(method).__name__}")
    elif method not in PRESETS:
        raise ValueError(f"method: {method!r} is not one of {sorted(PRESETS)}, nor a Fusion of your own")
    else:
        found = PRESETS[method]
    if lam is None:
        return found
    if found.fusion is None:
        raise ValueError(f'lam: method "{found.name}" fuses nothing; leave lam at None, or use method="calig"')
    return _calig(replace(found.fusion, lam=float(lam)))


def score_errors(method: Method, signals: Signals, coarse: Tensor, likely: Tensor, disagreement: Tensor) -> Tensor:
    """Estimated relative error of the scores that each layer's error makes; `combined` makes the whole of it.

    |s - s with r_l replaced by its coarser answer| / |s|, times how much nearer r_l is than that answer,
    likely_l / disagreement_l (at most 1). Where there is no coarser answer, r_l is replaced by 0, which is wrong by 1.

    Args:
        method: the method.
        signals: what it read.
        coarse: the coarser answers that r_l was judged by [B,L,T].
        likely: relative error of r_l to be expected, [B,L].
        disagreement: |r_l - coarse_l| / |r_l|, [B,L].

    Returns:
        [B,L] float64; nan where nothing was integrated.
    """
    if method.integral == "none":
        return torch.full(likely.shape, torch.nan, dtype=torch.float64)
    scores = method.read(signals)[0]
    size = scores.norm(dim=1)
    out = torch.zeros(likely.shape, dtype=torch.float64)
    for layer in range(likely.shape[1]):
        known = disagreement[:, layer] > 0
        other = signals.relevance.clone()
        other[:, layer] = torch.where(known[:, None], coarse[:, layer] * signals.mask, 0.0)
        moved = (scores - method.read(replace(signals, relevance=other))[0]).norm(dim=1)
        share = torch.where(size > 0, moved / size, torch.zeros_like(size)).cpu()
        nearer = torch.where(known, (likely[:, layer] / disagreement[:, layer]).clamp_max(1.0), likely[:, layer])
        out[:, layer] = share * nearer
    return out


def combined(harm: Tensor) -> Tensor:
    """Estimated relative error of the scores, from what each layer's error does to them.

    The layers' errors are as good as independent: SAFETY sqrt(sum of squares), and never more than the plain sum.

    Args:
        harm: [...,L], from `score_errors`.

    Returns:
        [...].
    """
    return torch.minimum(SAFETY * harm.square().sum(-1).sqrt(), harm.sum(-1))


def allowed(harm: Tensor, error: Tensor, tolerance: float, costs: Tensor) -> Tensor:
    """The error that each layer may have so that together they do the scores no more harm than the tolerance.

    Layers whose gradients cost more are allowed more of it.

    Args:
        harm: [B,L], from `score_errors`.
        error: [B,L], the errors that do it.
        tolerance: of the scores.
        costs: [L], of a gradient.

    Returns:
        [B,L], at most ALLOWED.
    """
    share = SPREAD * tolerance / SAFETY * (costs / costs.sum()).sqrt()
    return (share * error / harm.clamp_min(1e-30)).clamp_max(ALLOWED)
