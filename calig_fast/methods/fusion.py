"""The options of CA-LIG and the context map M_l it fuses relevance and attention gradients into."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from .._utils.arguments import between, choice, flag
from ..model.backward_rules import Rules, resolve

RELEVANCE_SCALES = ("max_t", "max", "sum", "none")
ATTENTION_SCALES = ("sum", "max", "none")
SIGNS = ("signed", "positive", "split")


@dataclass(frozen=True)
class Fusion:
    """Fusion of layer relevance r_l and attention gradient G_l to a row-normalised map (a reconstruction of CA-LIG).

    r^ = r / scale, G^ = G / scale, M[t,u] = lam r^[u] + (1 - lam) G^[t,u], Abar = rows of (residual I + M) over their
    sum of magnitudes.

    Args:
        lam: weight of the relevance, 0 to 1; the rest is the attention gradient's. `method="calig"` takes 0.97 with
            images.
        relevance_scale: "max_t" T max|r|, "max" max|r|, "sum" sum|r|, "none".
        attention_scale: "sum" the sum of |G| over the map, "max", "none".
        residual: weight of the identity.
        normalise: divide each row by its sum of magnitudes.
        embedding_share: share of IG at the embeddings, r of the first block used, in the scores, 0 to 1. The rest
            is the rollout, scaled to the same sum of magnitudes.
        embedding_rules: backward rules of that IG, a name or `Rules`; None for those of the explanation. Others take
            the integral of one layer more.
        sign: "signed" one rollout; "positive" of the positive part of r and G; "split" positive part minus negative
            part, each rolled out by itself.

    Raises:
        ValueError: an option outside its choices.
        TypeError: an option of another type.
    """

    lam: float = 0.8
    relevance_scale: str = "max_t"
    attention_scale: str = "sum"
    residual: float = 1.0
    normalise: bool = True
    sign: str = "signed"
    embedding_share: float = 0.0
    embedding_rules: str | Rules | None = None

    def __post_init__(self) -> None:
        set_ = partial(object.__setattr__, self)
        set_("lam", between("lam", self.lam, "a number from 0 to 1", 0.0, 1.0))
        set_("embedding_share", between("embedding_share", self.embedding_share, "a number from 0 to 1", 0.0, 1.0))
        if self.embedding_rules is not None:
            resolve(self.embedding_rules, "embedding_rules")
            if self.embedding_share == 0:
                raise ValueError(
                    "embedding_rules: they are of IG at the embeddings; give it an embedding_share above 0"
                )
        set_("residual", between("residual", self.residual, "a finite number of at least 0", 0.0, sys.float_info.max))
        set_("normalise", flag("normalise", self.normalise))
        for name, choices in (
            ("relevance_scale", RELEVANCE_SCALES),
            ("attention_scale", ATTENTION_SCALES),
            ("sign", SIGNS),
        ):
            set_(name, choice(name, getattr(self, name), choices))


def context_map(relevance: Tensor, attention: Tensor, fusion: Fusion) -> Tensor:
    """M_l of one input.

    Args:
        relevance: r_l [T].
        attention: G_l [T,U].
        fusion: the options; `sign` is applied by the rollout, not here.

    Returns:
        [T,U].
    """
    t, size = len(relevance), relevance.abs()
    by_relevance = {
        "max_t": t * size.amax() if t else size.sum(),
        "max": size.amax() if t else size.sum(),
        "sum": size.sum(),
        "none": torch.ones((), dtype=relevance.dtype),
    }[fusion.relevance_scale]
    weight = attention.abs()
    by_attention = {
        "sum": weight.sum(),
        "max": weight.amax() if t else weight.sum(),
        "none": torch.ones((), dtype=attention.dtype),
    }[fusion.attention_scale]
    return fusion.lam * _over(relevance, by_relevance) + (1 - fusion.lam) * _over(attention, by_attention)


def _over(values: Tensor, scale: Tensor) -> Tensor:
    return values / scale if float(scale) > 0 else torch.zeros_like(values)
