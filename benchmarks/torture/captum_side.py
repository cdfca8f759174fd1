"""Captum's LayerIntegratedGradients on one input of a group, layer by layer, with its delta as the claimed error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.torture.groups import Group
from calig_fast import Explainer
from calig_fast.bench.captum_loop import loop

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

    encoder = Explainer(group.model, group.processor).encoder
    one = loop(group.model, encoder, given, target, group.processor, baseline=baseline, dtype=dtype)

    def of(module: Any) -> Once:
        method = LayerIntegratedGradients(one.forward, module)

        def once(steps: int) -> tuple[Tensor, float]:
            parts, delta = method.attribute(
                one.x,
                baselines=one.low,
                target=target,
                n_steps=steps,
                internal_batch_size=16,
                return_convergence_delta=True,
            )
            whole = parts[0] if isinstance(parts, tuple) else parts
            return whole.detach().double().sum(-1)[0], float(delta)

        return once

    return [of(module) for module in one.before]
