"""The model-randomisation check: an explanation of a model must change when the model's weights become random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .. import explain
from .._utils.arguments import choice, flag, whole_seed
from .._utils.warn import renamed_argument
from ..inputs.perturbed_outputs import explained_classes
from ..inputs.perturbed_removal import opened
from ..inputs.rows import windows_apart
from ..model.random_weights import model_parts, random_weights, with_weights
from .agreement import similarity_of
from .explainers import Explain, call_explainer, check_explainer, scores_of
from .measure import Measure


@dataclass(frozen=True, eq=False, repr=False)
class Randomisation(Measure):
    """Similarity of explanations as weights become random.

    `values` is the similarity once everything is random (cascading), or its mean over the parts (independent).

    Args:
        stages: [K] parts of the model, from the head down; "head", names of blocks, "embeddings".
        similarities: [B,K] float64, of the explanations at each stage and of the original model.
    """

    stages: tuple[str, ...]
    similarities: Tensor

    def changed(self, threshold: float = 0.5) -> bool:
        """Return True if the check passes: the mean similarity is below `threshold`."""
        return self.mean() < threshold


@renamed_argument("tokenizer", "processor")
def model_randomisation(
    model: nn.Module,
    inputs: Any,
    explainer: Explain = explain,
    *,
    target: Any = None,
    processor: Any = None,
    mode: str = "cascading",
    similarity: str = "spearman",
    absolute: bool = False,
    layers: Sequence[str] | None = None,
    seed: int = 0,
) -> Randomisation:
    """Similarity of the explanations of a model and of models with random weights; lower is better.

    Adebayo et al. 2018. Weights become random from the head to the embeddings, each stage together with the earlier
    ones, or each part alone. A tensor is drawn from the normal distribution with its own mean and standard deviation,
    so that activations keep their scale. The explained class is the original model's class. All steps run on a clone of
    the model that shares the other weights: the model itself is never written to.

    Args:
        model: a classifier; for one that no family knows, name its blocks in `layers`.
        inputs: as for `explain`.
        explainer: called as `explain` is, explainer(model, inputs, target=, processor=); returns an Attribution or
            [B,T] scores. For example functools.partial(explain, method="ig").
        target: class to explain: None, the predicted one; an int; B ints.
        processor: tokenizer or image processor, or None.
        mode: "cascading" or "independent".
        similarity: "spearman", "kendall" or "top_k" (`top_k_overlap`).
        absolute: compare absolute values; Adebayo et al. report both.
        layers: dotted names of the blocks, or of the list of them, for a model that no family knows.
        seed: of the random weights.

    Returns:
        the similarities [B,K] stage by stage; about 0 for unrelated rankings (the share k for "top_k").

    Raises:
        ValueError: an unknown mode or similarity, a model with unknown blocks.
        ValueError, TypeError: see `explain`.
    """
    mode, absolute = choice("mode", mode, ("cascading", "independent")), flag("absolute", absolute)
    seed = whole_seed("seed", seed)
    check_explainer(explainer)
    alike = similarity_of(similarity, "similarity")
    inputs = windows_apart(inputs)  # a row of scores for each
    inner, encoder, batch = opened(model, inputs, processor, layers)
    classes = explained_classes(inner, batch, target)
    original = call_explainer(explainer, with_weights(inner, {}), inputs, classes, processor)
    scores_of(original, len(batch))
    parts = model_parts(inner, encoder)
    drawn = random_weights(inner, seed)
    names: list[str] = []
    similarities = []
    for part in parts.values():
        names = [*names, *part] if mode == "cascading" else part
        changed = with_weights(inner, {name: drawn[name] for name in names})
        scores = call_explainer(explainer, changed, inputs, classes, processor)
        scores_of(scores, len(batch))
        similarities.append(alike(original, scores, absolute=absolute).values)
    table = torch.stack(similarities, 1)
    values = table[:, -1] if mode == "cascading" else table.nanmean(1)
    return Randomisation(f"{mode} randomisation", values, False, tuple(parts), table)
