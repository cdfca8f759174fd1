"""Integrated Gradients at layers, with Captum's signature."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from .._utils.warn import warn
from . import layers as at
from . import quadrature
from .arguments import (
    Forward,
    Tensors,
    as_arguments,
    as_baselines,
    as_inputs,
    as_tensors,
    call,
    repeated,
    repeated_target,
    selected,
)
from .attribution import LayerAttribution, grad_options, gradients, truth, wrapped
from .native import Shortcut
from .path import integral, steps_at_once


class LayerIntegratedGradients(LayerAttribution):
    """Integrated Gradients of a forward function at the output (or input) of one or several layers.

    (h - h') * integral over a in [0,1] of dF/dh at h' + a (h - h')

    h and h' are the layer's values at the inputs and at the baselines (Sundararajan, Taly and Yan, arXiv 1703.01365).
    Modules before the layer keep their values at the inputs.

    Args:
        forward_func: F, or a function of which `target` picks F; called with the inputs, then
            `additional_forward_args`.
        layer: a module that the forward function runs, or a list of them, which are moved along their paths together.
        device_ids: kept as Captum does; the layer must run on one device.
        multiply_by_inputs: multiply by h - h'; False leaves the mean gradient along the path.
    """

    def __init__(
        self,
        forward_func: Forward,
        layer: Any,
        device_ids: list[int] | None = None,
        multiply_by_inputs: bool = True,
    ) -> None:
        super().__init__(forward_func, layer, device_ids)
        self._multiply_by_inputs = truth("multiply_by_inputs", multiply_by_inputs)
        if isinstance(layer, list) and len(layer) > 1:
            warn("layer: several are moved together, so none of them should depend on another's output alone")

    @wrapped
    def attribute(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        n_steps: int = 50,
        method: str = "gausslegendre",
        internal_batch_size: int | None = None,
        return_convergence_delta: bool = False,
        attribute_to_layer_input: bool = False,
        grad_kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Attribute F(x) - F(x') to the layer's values.

        Args:
            inputs: x, a tensor [B,...] or a tuple of them; token ids too.
            baselines: x': None (zeros), a number, a tensor [B,...] or [1,...], or a tuple of such.
            target: which number of the output F is, see `IntegratedGradients.attribute`.
            additional_forward_args: further arguments of the forward function, a tuple where there are several;
                tensors are repeated with the rows, anything else is passed as it is.
            n_steps: nodes on the path.
            method: "gausslegendre", "riemann_left", "riemann_right", "riemann_middle" or "riemann_trapezoid".
            internal_batch_size: most rows at a time; None for all at once (or as many as the native engine likes).
            return_convergence_delta: return the delta too.
            attribute_to_layer_input: attribute to the layer's input, not to its output.
            grad_kwargs: options of torch.autograd.grad.

        Returns:
            a tensor of the shape of the layer's value, or a tuple where that holds several; a list of those for a list
            of layers. With `return_convergence_delta` that and delta [B].

        Raises:
            ValueError, TypeError: a wrong argument; the message has its name, the expected value and the remedy.
        """
        x = as_inputs(inputs)
        low_x = as_tensors(as_baselines(baselines, x), x)
        n_steps, method = quadrature.checked(n_steps, method)
        return_convergence_delta = truth("return_convergence_delta", return_convergence_delta)
        attribute_to_layer_input = truth("attribute_to_layer_input", attribute_to_layer_input)
        grad_kwargs = grad_options(grad_kwargs)
        more = as_arguments(additional_forward_args)
        values = at.Values(self.layer if isinstance(self.layer, list) else [self.layer], attribute_to_layer_input)
        shortcut = Shortcut()
        with torch.no_grad(), at.read(values):
            with shortcut.watch(values.layers, attribute_to_layer_input):
                own = call(self.forward_func, (*x, *more))
            high = values.tensors
            call(self.forward_func, (*low_x, *more))
            low = values.tensors
        ends = [0, *accumulate(map(len, high))]
        flat, flat_low = tuple(sum(high, ())), tuple(sum(low, ()))
        at_once = steps_at_once(internal_batch_size, len(flat[0]), n_steps)
        nodes, weights = quadrature.nodes(method, n_steps), quadrature.weights(method, n_steps)

        def output(points: Tensors, steps: int) -> Tensor:
            with at.replaced(values, [points[i:j] for i, j in pairwise(ends)]):
                return call(self.forward_func, repeated((*x, *more), steps))

        def explained(output: Tensor, steps: int) -> Tensor:
            return selected(output, repeated_target(target, steps))

        def gradient(points: Tensors, steps: int) -> Tensors:
            with torch.enable_grad():
                return gradients(explained(output(points, steps), steps), points, grad_kwargs, "layer")

        def native() -> Tensors:
            shortcut.heeds(grad_kwargs)
            shortcut.prove(own, output, (flat, flat_low), explained, at_once)
            with shortcut:
                steps = shortcut.steps(at_once, len(flat[0]))
                return integral(gradient, flat_low, flat, nodes, weights, at_once=steps)

        sums = self._either(native, lambda: integral(gradient, flat_low, flat, nodes, weights, at_once=at_once))
        if self._multiply_by_inputs:
            sums = tuple(s * (h - h0) for s, h, h0 in zip(sums, flat, flat_low, strict=True))
        each = [sums[i:j] if j - i > 1 else sums[i] for i, j in pairwise(ends)]
        out = each if isinstance(self.layer, list) else each[0]
        if not return_convergence_delta:
            return out
        return out, self.compute_convergence_delta(
            sums, low_x, x, target=target, additional_forward_args=additional_forward_args
        )
