"""Scores averaged over noise, SmoothGrad of any explainer."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn

from .. import explain
from .._utils.arguments import integer, positive, whole_seed
from .._utils.warn import renamed_argument
from .explainers import Explain
from .near import NearInputs
from .sensitivity import MOST


class Smoothed(NamedTuple):
    """Scores averaged over noise.

    Args:
        scores: [B,T] float64, the means.
        deviation: [B,T] float64, the standard deviation over the samples; that of a mean is deviation / sqrt(samples).
    """

    scores: Tensor
    deviation: Tensor


@renamed_argument("tokenizer", "processor")
def smoothed(
    model: nn.Module,
    inputs: Any,
    explainer: Explain = explain,
    *,
    target: Any = None,
    processor: Any = None,
    level: float = 0.1,
    samples: int = 10,
    seed: int = 0,
    batch_size: int = 32,
) -> Smoothed:
    """The mean of an explainer's scores over noisy copies of each input.

    mean over k of s(x + sigma n_k), sigma = level (max x - min x), with n_k standard normal on the pixels, or on the
    embeddings of the real tokens. With gradient x input as explainer it is SmoothGrad (Smilkov et al. 2017).

    Args:
        model: a classifier; for text one that takes `inputs_embeds`.
        inputs: as for `explain`.
        explainer: called as `explain` is, see `max_sensitivity`. For example
            functools.partial(explain, method="gradient_x_input").
        target: class to explain: None, the one predicted without noise; an int; B ints.
        processor: tokenizer or image processor, or None.
        level: of the noise, a share of the range of the input's pixels or embeddings.
        samples: noisy copies of each input, at least 2.
        seed: of the noise; an input's depends on its own tokens alone, not on the batch.
        batch_size: noisy copies in one call of `explainer`.

    Returns:
        the means and deviations; every metric takes `scores`.

    Raises:
        ValueError: a level that is not positive, samples below 2, batch_size below 1, a model without word embeddings.
        ValueError, TypeError: see `explain`.
    """
    level, seed = positive("level", level), whole_seed("seed", seed)
    samples, batch_size = integer("samples", samples, 2, MOST), integer("batch_size", batch_size, 1, 2**31)
    near = NearInputs(model, inputs, explainer, target, processor)
    moved = near.moved(level * near.ranges(), samples, normal=True, seed=seed, batch_size=batch_size)
    return Smoothed(moved.mean(1), moved.std(1))
