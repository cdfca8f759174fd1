"""The common base of the three classes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from .._utils.arguments import kind
from .arguments import Forward, Tensors, as_arguments, as_baselines, as_inputs, as_tensors, call, check_target, selected
from .watch import NotNativeError

Result = TypeVar("Result")
Given = ParamSpec("Given")


def wrapped(method: Callable[Given, Result]) -> Callable[Given, Result]:
    """The method with itself under `__wrapped__`, by which Captum's own classes call it (NoiseTunnel does)."""

    @functools.wraps(method)
    def attribute(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        return method(*args, **kwargs)

    return attribute


class GradientAttribution:
    """An attribution made of gradients of a forward function.

    Args:
        forward_func: the function explained; it returns [N,...].

    Attributes:
        allow_native: let the native engine compute the blocks of an encoder that it knows.
        engine: the engine of the blocks in the last call, "native" or "autograd"; "" before the first.
        not_native: why not the native engine; "" where it was.
    """

    allow_native = True
    engine = ""
    not_native = ""
    _multiply_by_inputs = True

    def __init__(self, forward_func: Forward) -> None:
        if not callable(forward_func):
            raise TypeError(f"forward_func: expected a function or a module, got {kind(forward_func)}")
        self.forward_func = forward_func

    @classmethod
    def get_name(cls) -> str:
        """The name of the class, in words."""
        name = cls.__name__
        return "".join(c if c.islower() or i == 0 else f" {c}" for i, c in enumerate(name))

    def has_convergence_delta(self) -> bool:
        """True: every attribution here has one."""
        return True

    @property
    def multiplies_by_inputs(self) -> bool:
        """True if gradients are multiplied by the difference between input and baseline."""
        return self._multiply_by_inputs

    def compute_convergence_delta(
        self,
        attributions: Any,
        start_point: Any,
        end_point: Any,
        target: Any = None,
        additional_forward_args: Any = None,
    ) -> Tensor:
        """Compute the error of completeness: sum of the attributions - (F(end) - F(start)).

        Args:
            attributions: a tensor or a tuple of them, [B,...] each.
            start_point: the baselines.
            end_point: the inputs.
            target: see `attribute`.
            additional_forward_args: see `attribute`.

        Returns:
            [B].

        Raises:
            ValueError, TypeError: arguments that do not fit together.
        """
        inputs = as_inputs(end_point, "end_point")
        start = as_tensors(as_baselines(start_point, inputs), inputs)
        parts = as_inputs(attributions, "attributions")
        rows = len(inputs[0])
        if any(len(a) != rows for a in parts):
            raise ValueError(f"attributions: expected {rows} rows, as many as end_point, got {[len(a) for a in parts]}")
        check_target(target, rows)
        more = as_arguments(additional_forward_args)
        with torch.no_grad():
            low, high = (_row_sums(selected(call(self.forward_func, (*x, *more)), target)) for x in (start, inputs))
            total = torch.stack([_row_sums(a) for a in parts]).sum(0)
            return total - (high - low)

    def _either(self, native: Callable[[], Result], autograd: Callable[[], Result]) -> Result:
        """Return the result of the native engine if it can run, else of autograd through the caller's modules."""
        if self.allow_native:
            try:
                result = native()
                self.engine, self.not_native = "native", ""
                return result
            except NotNativeError as error:
                self.not_native = str(error)
        else:
            self.not_native = "allow_native is False"
        self.engine = "autograd"
        return autograd()


class LayerAttribution(GradientAttribution):
    """An attribution to a layer.

    Args:
        forward_func: the function explained.
        layer: the module, or a list of them.
        device_ids: kept as Captum does; the layer must run on one device.
    """

    def __init__(self, forward_func: Forward, layer: Any, device_ids: list[int] | None = None) -> None:
        super().__init__(forward_func)
        layers = layer if isinstance(layer, list) else [layer]
        strange = next((type(one).__name__ for one in layers if not isinstance(one, nn.Module)), None)
        if strange is not None or not layers:
            raise TypeError(
                f"layer: expected a module of the model or a list of them, got {strange or 'an empty list'}"
            )
        self.layer = layer
        self.device_ids = device_ids

    @staticmethod
    def interpolate(layer_attribution: Tensor, interpolate_dims: Any, interpolate_mode: str = "nearest") -> Tensor:
        """A layer's attribution at another spatial size, by `torch.nn.functional.interpolate`.

        Args:
            layer_attribution: [B,C,...].
            interpolate_dims: the size, an int or a tuple.
            interpolate_mode: how.
        """
        return nn.functional.interpolate(layer_attribution, interpolate_dims, mode=interpolate_mode)


def gradients(output: Tensor, points: Sequence[Tensor], options: dict[str, Any] | None, what: str) -> Tensors:
    """dF/d point for each, F being summed over the rows.

    Raises:
        ValueError: F does not depend on one of them.
    """
    if not output.requires_grad:
        raise ValueError(
            "forward_func: the explained output has no gradient to what is attributed to; the function cuts the graph, "
            "for example with .detach(), .item() or torch.no_grad()"
        )
    keywords = {"allow_unused": True, **(options or {})}
    slopes: Tensors = torch.autograd.grad(torch.unbind(output), points, **keywords)
    missing = [i for i, g in enumerate(slopes) if g is None]
    if missing:
        raise ValueError(
            f"{what}: the explained output does not depend on tensor {missing} of {len(slopes)}; leave it out, or (for "
            'layers) pass grad_kwargs={"materialize_grads": True} for zeros'
        )
    return slopes


def grad_options(given: Any) -> dict[str, Any] | None:
    """The options of torch.autograd.grad, None where there are none.

    Raises:
        TypeError: no dict, or an option that it has not.
    """
    if not truth("grad_kwargs", given):
        return None
    known = set(inspect.signature(torch.autograd.grad).parameters) - {"outputs", "inputs"}
    if not isinstance(given, Mapping) or not set(given) <= known:
        raise TypeError(f"grad_kwargs: expected a dict of options among {sorted(known)}, got {kind(given)}")
    return dict(given)


def truth(name: str, value: Any) -> bool:
    """The truth of a value, as Captum takes it.

    Raises:
        TypeError: a value that has none.
    """
    try:
        return bool(value)
    except Exception as error:
        raise TypeError(f"{name}: expected True or False, got {kind(value)}") from error


def _row_sums(values: Tensor) -> Tensor:
    return values.reshape(len(values), -1).sum(1)
