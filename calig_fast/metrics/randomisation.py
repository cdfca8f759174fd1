"""The model-randomisation check: an explanation of a model must change when the model's weights are drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .. import families
from ..encoder import Encoder
from ..explain import explain
from ..shadow import twin
from .agreement import similarity_of
from .measure import Measure
from .probe import explained_classes
from .removal import opened
from .sensitivity import Explain


@dataclass(frozen=True, eq=False)
class Randomisation(Measure):
    """How alike explanations stay as weights are drawn at random.

    `values` is the similarity once everything is random (cascading), or its mean over the parts (independent).

    Args:
        stages: [K] parts of the model, from the head down; "head", names of blocks, "embeddings".
        similarities: [B,K] float64, of the explanation at each stage and that of the model as it is.
    """

    stages: tuple[str, ...]
    similarities: Tensor

    def changed(self, threshold: float = 0.5) -> bool:
        """Whether the check passes: the mean similarity is below `threshold`."""
        return self.mean() < threshold


def model_randomisation(
    model: nn.Module,
    inputs: Any,
    explainer: Explain = explain,
    *,
    target: Any = None,
    tokenizer: Any = None,
    mode: str = "cascading",
    similarity: str = "spearman",
    absolute: bool = False,
    layers: Sequence[str] | None = None,
    seed: int = 0,
) -> Randomisation:
    """How alike the explanations of a model and of one with random weights are; an explanation of the model changes.

    Adebayo et al. 2018: cascading from the head down to the embeddings, each stage random together with those above it,
    or each part alone. A tensor is drawn from the normal distribution with its own mean and standard deviation, so that
    activations keep their scale. The explained class is that of the model as it is. Everything happens on a twin of the
    model that shares the other weights: the model itself is never written to.

    Args:
        model: a classifier; for one that no family knows, name its blocks in `layers`.
        inputs: as for `explain`.
        explainer: called as `explain` is, explainer(model, inputs, target=, tokenizer=); returns an Attribution or
            [B,T] scores. For example functools.partial(explain, method="ig").
        target: class to explain: None, the predicted one; an int; B ints.
        tokenizer: tokenizer or image processor, or None.
        mode: "cascading" or "independent".
        similarity: "spearman", "kendall" or "top_k" (`top_k_overlap`).
        absolute: compare absolute values; Adebayo et al. report both.
        layers: dotted names of the blocks, or of the list of them, for a model that no family knows.
        seed: of the random weights.

    Returns:
        the similarities [B,K] stage by stage; about 0 for unrelated rankings (the share k for "top_k").

    Raises:
        ValueError: an unknown mode or similarity, a model whose blocks are not known.
        ValueError, TypeError: see `explain`.
    """
    if mode not in {"cascading", "independent"}:
        raise ValueError(f'mode: expected "cascading" or "independent", got {mode!r}')
    alike = similarity_of(similarity, "similarity")
    inner, encoder, batch = opened(model, inputs, tokenizer)
    if layers is not None:
        encoder = families.named(inner, (layers,) if isinstance(layers, str) else layers)
    classes = explained_classes(inner, batch, target)
    original = explainer(twin(inner), inputs, target=classes, tokenizer=tokenizer)
    parts = _stages(inner, encoder)
    drawn = _draw(inner, seed)
    names: list[str] = []
    found = []
    for part in parts.values():
        names = [*names, *part] if mode == "cascading" else part
        changed = _randomised(inner, {name: drawn[name] for name in names})
        scores = explainer(changed, inputs, target=classes, tokenizer=tokenizer)
        found.append(alike(original, scores, absolute=absolute).values)
    table = torch.stack(found, 1)
    values = table[:, -1] if mode == "cascading" else table.nanmean(1)
    return Randomisation(f"{mode} randomisation", values, False, tuple(parts), table)


def _stages(model: nn.Module, encoder: Encoder) -> dict[str, list[str]]:
    """Names of the parameters of each part, from the head down.

    What comes before the first block's parameters is the embeddings', what comes after them the head's.

    Raises:
        ValueError: blocks that are not known.
    """
    if not encoder.blocks:
        raise ValueError(
            f'model: no family knows {type(model).__name__}; name its blocks, as in layers="encoder.layers"'
        )
    parts: dict[str, list[str]] = {"head": [], **{block: [] for block in reversed(encoder.blocks)}, "embeddings": []}
    above = False
    for name, _ in model.named_parameters(remove_duplicate=False):
        block = next((b for b in encoder.blocks if name.startswith(f"{b}.")), None)
        above = above or block is not None
        parts[block or ("head" if above else "embeddings")].append(name)
    return {part: names for part, names in parts.items() if names}


def _draw(model: nn.Module, seed: int) -> dict[str, Tensor]:
    """Random weights by name, the same object where the model's parameters are one."""
    generator = torch.Generator().manual_seed(seed)
    known: dict[int, Tensor] = {}
    out = {}
    for name, weight in model.named_parameters(remove_duplicate=False):
        if id(weight) not in known:
            value = weight.detach().double().cpu()
            fresh = torch.randn(value.shape, generator=generator, dtype=torch.float64)
            known[id(weight)] = (value.mean() + value.std(correction=0) * fresh).to(weight)
        out[name] = known[id(weight)]
    return out


def _randomised(model: nn.Module, weights: dict[str, Tensor]) -> nn.Module:
    """A twin of the model with some of its weights others."""
    changed = twin(model)
    for name, value in weights.items():
        owner, _, leaf = name.rpartition(".")
        changed.get_submodule(owner)._parameters[leaf] = nn.Parameter(value, requires_grad=False)
    return changed
