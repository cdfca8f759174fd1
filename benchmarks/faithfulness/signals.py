"""The signals that are computed once for an input, so that every fusion is a few more products."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faithfulness.task import Case, Task
from calig_fast import Explainer, Fusion
from calig_fast.methods.rollout import rollout

MAPS = Fusion(lam=0.0, attention_scale="none")  # its context maps are the attention gradients themselves
NODES = 8


@dataclass(frozen=True)
class Signals:
    """The engine's signals of one input.

    Args:
        target: the class explained, the predicted one.
        relevance: r_l [1,L,T] float64.
        maps: G_l [1,L,T,U] float64.
        mask, special: [1,T] bool.
    """

    target: int
    relevance: Tensor
    maps: Tensor
    mask: Tensor
    special: Tensor

    def fuse(self, fusion: Fusion, layers: slice = slice(None), readout: Tensor | None = None) -> Tensor:
        """Scores [1,T] by a fusion of some of the layers.

        Args:
            fusion: the options.
            layers: which.
            readout: [1,T] weights of the rows read; None for the first token's, which the heads of all tasks read.
        """
        if readout is None:
            readout = torch.zeros(self.mask.shape, dtype=torch.float64)
            readout[:, 0] = 1
        relevance, maps = self.relevance[:, layers], self.maps[:, layers]
        return rollout(relevance, maps, self.mask, readout, fusion, backend="auto")[0].float()


@cache
def explainer(task: Task, **options: Any) -> Explainer:
    """One for all inputs of a task, so that it learns where paths are best begun."""
    return Explainer(task.model, task.processor, **options)


def read(task: Task, case: Case, **options: Any) -> Signals:
    """The signals of an input; `options` are options of `explain`."""
    a = explainer(task, method=MAPS, return_maps=True, **options)(case.call)
    if a.maps is None or a.target is None:
        raise RuntimeError("the context maps or the target are missing")
    target = int(torch.as_tensor(a.target).flatten()[0])  # a contrast has two
    return Signals(target, a.layer_scores.double(), a.maps.double(), a.mask, a.special)


@cache
def eager(task: Task) -> nn.Module:
    """The same model with readable attention weights."""
    model = copy.deepcopy(task.model)
    model.set_attn_implementation("eager")
    return model.requires_grad_(False)


def heads(task: Task, case: Case, target: int) -> tuple[Tensor, Tensor]:
    """A and dF/dA of every head [L,H,T,U] at the input, by autograd through the model itself."""
    return _attentions(eager(task), case.call, target)


def integrated_slopes(task: Task, case: Case, target: int) -> Tensor:
    """The mean of dF/dA over the straight path from the task's reference to the input, [L,H,T,U].

    Gauss-Legendre nodes in the space of word embeddings, or of pixels.
    """
    import numpy as np

    model = eager(task)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    key = "pixel_values" if task.kind == "image" else "input_ids"
    start, end = task.reference(case), case.call[key]
    if key == "input_ids":
        lookup, key = model.get_input_embeddings(), "inputs_embeds"
        start, end = lookup(start), lookup(end)
    rest = {name: value for name, value in case.call.items() if name not in {"input_ids", "pixel_values"}}
    total: Tensor | float = 0.0
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        point = start + float(node) * (end - start)
        total = total + float(weight) * _attentions(model, {**rest, key: point}, target)[1]
    return torch.as_tensor(total)


def _attentions(model: nn.Module, call: dict[str, Tensor], target: int) -> tuple[Tensor, Tensor]:
    key = "inputs_embeds" if "inputs_embeds" in call else "pixel_values"
    if key in call:
        call = {**call, key: call[key].clone().requires_grad_(True)}
        out = model(**call, output_attentions=True)
    else:  # frozen weights: something must ask for the graph
        embeds = model.get_input_embeddings()(call["input_ids"]).requires_grad_(True)
        rest = {name: value for name, value in call.items() if name != "input_ids"}
        out = model(**rest, inputs_embeds=embeds, output_attentions=True)
    slopes = torch.autograd.grad(out.logits[0, target], out.attentions)
    pair = torch.stack([a[0].detach() for a in out.attentions]), torch.stack([g[0] for g in slopes])
    return pair[0].double(), pair[1].double()
