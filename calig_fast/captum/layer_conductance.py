"""Layer conductance, with Captum's signature."""

from __future__ import annotations

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
    check_movable,
    repeated,
    repeated_target,
    selected,
)
from .attribution import LayerAttribution, grad_options, gradients, truth, wrapped
from .native import Shortcut, moving_alone
from .path import overlapping, points, steps_at_once


class LayerConductance(LayerAttribution):
    """Conductance of a layer's output (or input): Integrated Gradients of the inputs through this layer.

    sum_s dF/dh(x_s) * (h(x_{s+1}) - h(x_s)) along x_s = x' + a_s (x - x')

    (Dhamdhere, Sundararajan and Yan, arXiv 1805.12233). The derivative of h along the path is a difference, as in
    Shrikumar and others, arXiv 1807.09946.

    Args:
        forward_func: F, or a function of which `target` picks F; called with the inputs, then
            `additional_forward_args`.
        layer: a module that the forward function runs.
        device_ids: kept as Captum does; the layer must run on one device.
    """

    def __init__(self, forward_func: Forward, layer: Any, device_ids: list[int] | None = None) -> None:
        super().__init__(forward_func, layer, device_ids)
        if isinstance(layer, list):
            raise TypeError("layer: LayerConductance takes one module, not a list of them; call once for each")

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
            inputs: x, a tensor [B,...] or a tuple of them.
            baselines: x': None (zeros), a number, a tensor [B,...] or [1,...], or a tuple of such.
            target: which number of the output F is, see `IntegratedGradients.attribute`.
            additional_forward_args: further arguments of the forward function, a tuple where there are several;
                tensors are repeated with the rows, anything else is passed as it is.
            n_steps: differences along the path, between n_steps + 1 nodes.
            method: "gausslegendre", "riemann_left", "riemann_right", "riemann_middle" or "riemann_trapezoid"; its
                nodes alone are used.
            internal_batch_size: most rows at a time; None for all at once (or as many as the native engine likes).
            return_convergence_delta: return the delta too.
            attribute_to_layer_input: attribute to the layer's input, not to its output.
            grad_kwargs: options of torch.autograd.grad.

        Returns:
            a tensor of the shape of the layer's value, or a tuple where that holds several, without a graph; with
            `return_convergence_delta` that and delta [B].

        Raises:
            ValueError, TypeError: a wrong argument; the message has its name, the expected value and the remedy.
        """
        x = as_inputs(inputs)
        check_movable(x)
        low = as_baselines(baselines, x)
        n_steps, method = quadrature.checked(n_steps, method, extra=1)
        return_convergence_delta = truth("return_convergence_delta", return_convergence_delta)
        attribute_to_layer_input = truth("attribute_to_layer_input", attribute_to_layer_input)
        try:
            grad_kwargs = grad_options(grad_kwargs)
        except TypeError as error:  # Captum reads none here
            warn(f"{error}; it is left out")
            grad_kwargs = None
        more = as_arguments(additional_forward_args)
        rows, values = len(x[0]), at.Values([self.layer], attribute_to_layer_input)
        nodes = quadrature.nodes(method, n_steps + 1)
        at_once = steps_at_once(internal_batch_size, rows, n_steps + 1, least=2)

        def output(points: Tensors, steps: int) -> Tensor:
            return call(self.forward_func, (*points, *repeated(more, steps)))

        def explained(output: Tensor, steps: int) -> Tensor:
            return selected(output, repeated_target(target, steps))

        def moved(part: slice) -> Tensors:
            """The sum over some of the nodes."""
            steps = len(nodes[part])
            with torch.enable_grad():
                along = tuple(p.detach().requires_grad_() for p in points(low, x, nodes[part]))
                with at.differentiable(values):
                    outputs = output(along, steps)
                h = values.tensors[0]
                g = gradients(explained(outputs, steps), h, grad_kwargs, "layer")
            return tuple(_sum(one.detach(), slope.detach(), rows) for one, slope in zip(h, g, strict=True))

        def nowhere() -> Tensors:
            """The sum over no difference at all: zeros of the layer's value."""
            return tuple(torch.zeros_like(one) for one in moved(slice(0, 1)))

        def summed(at_once: int) -> Tensors:
            parts = [moved(part) for part in overlapping(len(nodes), at_once)] or [nowhere()]
            return tuple(torch.stack(one).sum(0) for one in zip(*parts, strict=True))

        def native() -> Tensors:
            moving_alone(x)
            shortcut = Shortcut()
            shortcut.heeds(grad_kwargs)
            own = shortcut.extra(lambda: output(x, 1), x, values.layers, attribute_to_layer_input)
            shortcut.prove(own, output, (x, as_tensors(low, x)), explained, at_once)
            with shortcut:
                return summed(shortcut.steps(at_once, rows, least=2))

        sums = self._either(native, lambda: summed(at_once))
        out = sums if len(sums) > 1 else sums[0]
        if not return_convergence_delta:
            return out
        return out, self.compute_convergence_delta(
            sums, low, x, target=target, additional_forward_args=additional_forward_args
        )


def _sum(h: Tensor, slope: Tensor, rows: int) -> Tensor:
    """sum_s slope_s (h_{s+1} - h_s) of values of one batch after another."""
    steps = (h[rows:] - h[:-rows]) * slope[:-rows]
    return steps.reshape(-1, rows, *h.shape[1:]).sum(0)
