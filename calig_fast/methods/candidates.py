"""The family of scores that a calibration chooses from; each is read from the signals of one explanation."""

from __future__ import annotations

from torch import Tensor

from . import ig
from .base import Method, Scores, Signals, one_layer
from .calig import calig
from .fusion import Fusion

LAMS = (0.5, 0.8, 0.97)
# Shares of the rollout, of IG at the embeddings, and of its integrand at the input: one of seven sets that were tried
# on 250 texts of five tasks (docs/faithfulness.md).
MIXTURE = (0.15, 0.6, 0.25)
ROLLOUT = calig(Fusion(lam=0.8))


def candidates(depth: int) -> dict[str, Method]:
    """The scores by name: rollouts, IG at the embeddings, its integrand, every layer, their mean, and a mixture.

    Args:
        depth: L, the layers.
    """
    found = {f"calig, lam {lam:g}": calig(Fusion(lam=lam)) for lam in LAMS}
    found |= {"ig": ig.METHOD, "integrand": INTEGRAND, "mixture": MIXED}
    for layer in range(1, depth):
        read, changed = one_layer(layer)
        found[f"layer {layer}"] = Method(f"layer {layer}", "layer", None, read, changed=changed)
    return found | {"mean of layers": MEAN}


def integrand(s: Signals) -> Tensor:
    """The integrand of IG at the input, sum_d (h_0 - h'_0) dF/dh_0 [B,T].

    Raises:
        RuntimeError: the engine gave none.
    """
    if s.integrand is None:
        raise RuntimeError("the method reads the integrand at the input and was given none")
    return s.integrand[:, 0]


def mixture(s: Signals) -> Scores:
    """Signals to scores: shares of three scores, each over its sum of magnitudes on the content tokens."""
    content = s.mask if s.content is None else s.content
    parts = (ROLLOUT.read(s)[0], s.relevance[:, 0], integrand(s))
    scores = [share * _over_size(part, content) for share, part in zip(MIXTURE, parts, strict=True)]
    return scores[0] + scores[1] + scores[2], s.relevance


def _over_size(values: Tensor, content: Tensor) -> Tensor:
    size = (values * content).abs().sum(1, keepdim=True)
    return values / size.where(size > 0, 1.0)


def _mean_changed(s: Signals, others: Tensor) -> Tensor:
    moved = (others - s.relevance).transpose(1, 2) / others.shape[2]
    return s.relevance.mean(1) + moved


INTEGRAND = Method("integrand", "layer", None, lambda s: (integrand(s), s.relevance), first_layer=True)
MEAN = Method("mean of layers", "layer", None, lambda s: (s.relevance.mean(1), s.relevance), changed=_mean_changed)
MIXED = Method("mixture", "layer", "gradient", mixture)
