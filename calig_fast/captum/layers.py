"""Inputs and outputs of layers in a forward pass: read, replaced, or recorded with their gradients."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .arguments import Tensors

Hook = Callable[[int, Any], Any]


class UnfitLayerError(TypeError):
    """A layer that cannot be attributed to; of a class of its own, as it is raised inside the caller's function."""


class Values:
    """The tensors at some layers, as their hooks find them; the tensors of the last run if a layer runs more than once.

    Args:
        layers: the layers.
        at_input: their inputs, not their outputs.
    """

    def __init__(self, layers: Sequence[nn.Module], at_input: bool) -> None:
        self.layers, self.at_input = layers, at_input
        self._tensors: dict[int, Tensors] = {}
        self._devices: list[set[torch.device]] = [set() for _ in layers]
        self._lock = threading.Lock()  # DataParallel runs its replicas, and their hooks, in threads

    def keep(self, number: int, value: Any) -> Tensors:
        """Store the tensors that a hook of layer `number` received.

        Raises:
            TypeError: it holds something that is no tensor.
        """
        tensors = tuple(value) if isinstance(value, tuple | list) else (value,)
        what = "input" if self.at_input else "output"
        strange = next((i for i, v in enumerate(tensors) if not isinstance(v, Tensor)), None if tensors else 0)
        if strange is not None:
            came = type(tensors[strange]).__name__ if tensors else "nothing"
            raise UnfitLayerError(
                f"layer: part {strange} of the {what} of {type(self.layers[number]).__name__} is no tensor but {came}; "
                "take a layer whose positional inputs (or whose outputs) are all tensors, such as the one before it"
            )
        with self._lock:
            self._tensors[number] = tensors
            self._devices[number].add(tensors[0].device)
        return tensors

    @property
    def tensors(self) -> list[Tensors]:
        """The tensors at each layer.

        Raises:
            ValueError: a layer was not run, or was run on several devices.
        """
        for number, layer in enumerate(self.layers):
            if number not in self._tensors:
                raise ValueError(
                    f"layer: forward_func does not run {type(layer).__name__}; pass a module that its model calls"
                )
            if len(self._devices[number]) > 1:
                devices = sorted(map(str, self._devices[number]))
                raise ValueError(
                    f"device_ids: {type(layer).__name__} ran on several devices ({', '.join(devices)}), and a model "
                    "spread over devices is not supported here; pass the inner module (model.module) on one device"
                )
        return [self._tensors[number] for number in range(len(self.layers))]


@contextmanager
def hooked(layers: Sequence[nn.Module], at_input: bool, hook: Hook) -> Iterator[None]:
    """Call `hook` with the layers' inputs (positional arguments) or outputs, and replace them by its result."""

    def before(number: int) -> Callable[..., Any]:
        return lambda module, inputs: hook(number, inputs)

    def after(number: int) -> Callable[..., Any]:
        return lambda module, inputs, output: hook(number, output)

    handles = []
    try:
        for number, layer in enumerate(layers):
            if at_input:
                handles.append(layer.register_forward_pre_hook(before(number)))
            else:
                handles.append(layer.register_forward_hook(after(number)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def like(value: Any, tensors: Tensors) -> Any:
    """The tensors in the structure of a layer's input or output."""
    if isinstance(value, tuple | list):
        return list(tensors) if isinstance(value, list) else tensors
    return tensors[0]


@contextmanager
def read(values: Values) -> Iterator[None]:
    """Read the inputs or outputs of the layers."""

    def hook(number: int, value: Any) -> None:
        values.keep(number, tuple(v.clone() for v in values.keep(number, value)))  # a later module may work in place

    with hooked(values.layers, values.at_input, hook):
        yield


@contextmanager
def replaced(values: Values, tensors: Sequence[Tensors]) -> Iterator[None]:
    """Replace the inputs or outputs of the layers by other tensors."""
    with hooked(values.layers, values.at_input, lambda number, value: like(value, tensors[number])):
        yield


@contextmanager
def differentiable(values: Values) -> Iterator[None]:
    """Read the inputs or outputs of the layers as tensors that gradients can be computed for."""

    def hook(number: int, value: Any) -> Any:
        tensors = tuple(t if t.requires_grad else _leaf(t) for t in values.keep(number, value))
        values.keep(number, tensors)
        return like(value, tuple(t.clone() for t in tensors))  # a later module may work in place

    with hooked(values.layers, values.at_input, hook):
        yield


def _leaf(tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        raise UnfitLayerError(
            f"layer: its value is {tensor.dtype}, and gradients need a floating-point one; take another layer"
        )
    return tensor.detach().requires_grad_()
