"""Integrated Gradients at the inputs, with Captum's signature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

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
from .attribution import GradientAttribution, gradients, truth, wrapped
from .native import Shortcut, moving_alone
from .path import integral, steps_at_once
from .watch import NotNativeError


class IntegratedGradients(GradientAttribution):
    """Integrated Gradients of a forward function at its inputs.

    (x - x') * integral over a in [0,1] of dF/dx at x' + a (x - x') (Sundararajan, Taly and Yan, arXiv 1703.01365).

    Args:
        forward_func: F, or a function of which `target` picks F; called with the inputs, then
            `additional_forward_args`.
        multiply_by_inputs: multiply by x - x'; False leaves the mean gradient along the path.

    Attributes:
        gradient_func: computes the gradients, None for autograd; called as Captum's is, with forward_fn, inputs,
            target_ind and additional_forward_args by name.
    """

    gradient_func: Callable[..., Tensors] | None = None

    def __init__(self, forward_func: Forward, multiply_by_inputs: bool = True) -> None:
        super().__init__(forward_func)
        self._multiply_by_inputs = truth("multiply_by_inputs", multiply_by_inputs)

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
    ) -> Any:
        """Attribute F(x) - F(x') to the inputs.

        Args:
            inputs: x, a tensor [B,...] or a tuple of them.
            baselines: x': None (zeros), a number, a tensor [B,...] or [1,...], or a tuple of such.
            target: which number of the output F is: None (it is one a row), an int or a tensor with one, a tuple of
                indices, B ints as a list or tensor, or a list of B tuples.
            additional_forward_args: further arguments of the forward function, a tuple where there are several;
                tensors are repeated with the rows, anything else is passed as it is.
            n_steps: nodes on the path.
            method: "gausslegendre", "riemann_left", "riemann_right", "riemann_middle" or "riemann_trapezoid".
            internal_batch_size: most rows at a time; None for all at once (or as many as the native engine likes).
            return_convergence_delta: return the delta too.

        Returns:
            a tensor of the shape of the inputs, or a tuple of them where inputs is one; with
            `return_convergence_delta` that and delta [B].

        Raises:
            ValueError, TypeError: a wrong argument; the message has its name, the expected value and the remedy.
        """
        x = as_inputs(inputs)
        check_movable(x)
        low = as_baselines(baselines, x)
        n_steps, method = quadrature.checked(n_steps, method)
        return_convergence_delta = truth("return_convergence_delta", return_convergence_delta)
        more = as_arguments(additional_forward_args)
        rows = len(x[0])
        at_once = steps_at_once(internal_batch_size, rows, n_steps)
        nodes, weights = quadrature.nodes(method, n_steps), quadrature.weights(method, n_steps)

        def output(points: Tensors, steps: int) -> Tensor:
            return call(self.forward_func, (*points, *repeated(more, steps)))

        def explained(output: Tensor, steps: int) -> Tensor:
            return selected(output, repeated_target(target, steps))

        def gradient(points: Tensors, steps: int) -> Tensors:
            if self.gradient_func is not None:
                names = {"target_ind": repeated_target(target, steps), "additional_forward_args": repeated(more, steps)}
                return self.gradient_func(forward_fn=self.forward_func, inputs=points, **names)
            with torch.enable_grad():
                return gradients(explained(output(points, steps), steps), points, None, "inputs")

        def native() -> Tensors:
            if self.gradient_func is not None:
                raise NotNativeError("gradient_func takes the gradients")
            moving_alone(x)
            shortcut = Shortcut()
            own = shortcut.extra(lambda: output(x, 1), x, (), False)
            shortcut.prove(own, output, (x, as_tensors(low, x)), explained, at_once)
            with shortcut:
                return integral(gradient, low, x, nodes, weights, at_once=shortcut.steps(at_once, rows))

        sums = self._either(native, lambda: integral(gradient, low, x, nodes, weights, at_once=at_once))
        if self._multiply_by_inputs:
            sums = tuple(s * (one - x0) for s, one, x0 in zip(sums, x, low, strict=True))
        out = sums if isinstance(inputs, tuple) else sums[0]
        if not return_convergence_delta:
            return out
        return out, self.compute_convergence_delta(
            sums, baselines, inputs, target=target, additional_forward_args=additional_forward_args
        )

    def attribute_future(self) -> None:
        """Not implemented, as in Captum.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("attribute_future: not there for IntegratedGradients, as in Captum; use attribute")
