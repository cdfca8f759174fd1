"""Captum's LayerIntegratedGradients on one input of a group, layer by layer, with its delta as the claimed error."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.torture.groups import Group
from calig_fast import Explainer
from calig_fast.bench.captum_loop import modules_before
from calig_fast.inputs.baseline import make_baseline
from calig_fast.inputs.prepare import Inputs, read
from calig_fast.inputs.target import logits_of

Once = Callable[[int], tuple[Tensor, float]]


def layers(group: Group, given: Any, baseline: Any, dtype: torch.dtype, target: int) -> list[Once]:
    """Of each layer a function of the steps that returns r_l [T] and the delta.

    Args:
        group: the model.
        given: one input.
        baseline: a name or an id; not "zeros", which is no input of the model.
        dtype: of the model.
        target: class.
    """
    from captum.attr import LayerIntegratedGradients  # type: ignore[import-untyped]

    model: Any = copy.deepcopy(group.model).to(dtype)
    encoder = Explainer(group.model, group.processor).encoder
    one = read(given if isinstance(given, dict) else [given], group.model, encoder, group.processor)
    key, x, low = _ends(model, encoder.embedding, one, baseline)
    others = {name: value for name, value in one.call.items() if name not in {"input_ids", key}}

    def forward(points: Tensor) -> Tensor:
        more = {name: value.expand(len(points), *value.shape[1:]) for name, value in others.items()}
        logits = logits_of(model(**{key: points}, **more))
        if logits is None:
            raise ValueError("the model returns no logits")
        return logits

    with torch.no_grad():
        before = modules_before(model, encoder.blocks, lambda: forward(x.to(dtype)))

    def of(module: Any) -> Once:
        method = LayerIntegratedGradients(forward, module)

        def once(steps: int) -> tuple[Tensor, float]:
            parts, delta = method.attribute(
                x.to(dtype),
                baselines=low.to(dtype),
                target=target,
                n_steps=steps,
                internal_batch_size=16,
                return_convergence_delta=True,
            )
            whole = parts[0] if isinstance(parts, tuple) else parts
            return whole.detach().double().sum(-1)[0], float(delta)

        return once

    return [of(module) for module in before]


def _ends(model: Any, embedding: str | None, one: Inputs, baseline: Any) -> tuple[str, Tensor, Tensor]:
    """The endpoints of Captum's path: the argument's name, the input and its baseline."""
    reference = make_baseline(baseline, one)
    if one.ids is None:
        key, x = one.pixels
        if reference.call is None:
            raise ValueError(f"baseline: {baseline!r} is no input of the model")
        return key, x, reference.call[key]
    if embedding is None or reference.words is None:
        raise ValueError("the model has no word embedding to replace")
    table = model.get_submodule(embedding)
    with torch.no_grad():
        x = table(one.ids)
        return "inputs_embeds", x, reference.words(x, table)
