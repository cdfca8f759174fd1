"""The family of scores that a calibration chooses from; each is read from the signals of one or two explanations."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from . import ig
from .base import Method, Scores, Signals, one_layer
from .calig import IMAGES, calig
from .fusion import Fusion

# Shares of the rollout, of IG at the embeddings, and of its integrand at the input: one of seven sets that were tried
# on 250 texts of five tasks (docs/faithfulness.md).
MIXTURE = (0.15, 0.6, 0.25)
ROLLOUT = calig(Fusion(lam=0.8))
# Half of the scores by plain gradients, half IG under GIM's rules: on 70 tweets, 59 sentences and 50 planted words it
# gained 0.06, 0.02 and 0.01 over the default where removed tokens become [MASK], and lost by no other filler.
BLEND = Fusion(lam=0.8, embedding_share=0.5, embedding_rules="gim")
BLEND_OF_IMAGES = replace(IMAGES, embedding_share=0.5)


def candidates(depth: int) -> dict[str, Method]:
    """The scores by name: rollouts, their blends with IG at the embeddings, IG, its integrand, layers, and mixtures.

    Args:
        depth: L, the layers.
    """
    by_name = {f"calig, lam {lam:g}": calig(Fusion(lam=lam)) for lam in (0.8, 0.97)}
    by_name |= {"blend": calig(BLEND), "blend of images": calig(BLEND_OF_IMAGES)}
    by_name |= {"ig": ig.METHOD, "mixture": MIXED, "mean of layers": MEAN}
    for layer in _single(depth):
        read, changed = one_layer(layer)
        by_name[f"layer {layer}"] = Method(f"layer {layer}", "layer", None, read, changed=changed)
    return by_name


def family(text: bool, depth: int) -> tuple[list[tuple[str, str]], str, str]:
    """The names and backward rules of the candidates of a kind of input, the name of the default, and of the prior.

    The prior is chosen where nothing else is surely better.

    Args:
        text: text, or images.
        depth: L, the layers.
    """
    layers = [(f"layer {layer}", "plain") for layer in _single(depth)]
    if not text:
        plain = ("calig, lam 0.97", "blend of images", "ig", "mean of layers")
        return [*((name, "plain") for name in plain), *layers], "calig, lam 0.97", "blend of images"
    plain = ("calig, lam 0.8", "blend", "ig", "mean of layers")
    gim = ("ig", "mixture")
    return [*((n, "plain") for n in plain), *((n, "gim") for n in gim), *layers], "calig, lam 0.8", "blend"


def _single(depth: int) -> list[int]:
    """The layers that are candidates by themselves, at a third and two thirds of the depth."""
    return sorted({depth // 3, 2 * depth // 3} - {0})


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


MEAN = Method("mean of layers", "layer", None, lambda s: (s.relevance.mean(1), s.relevance), changed=_mean_changed)
MIXED = Method("mixture", "layer", "gradient", mixture)
