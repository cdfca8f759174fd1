"""Find the encoder that a forward function runs, and its layers, in one ordinary pass through any wrapper."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.hooks import RemovableHandle

from .. import Encoder
from ..model import families


class NotNativeError(ValueError):
    """The native engine cannot compute this; the message says why."""


@dataclass(frozen=True)
class Run:
    """One run of one block.

    Args:
        block: the module.
        args: its positional arguments.
        kwargs: its named ones.
        output: its result.
    """

    block: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Any

    @property
    def hidden(self) -> Tensor:
        """The hidden state that it received."""
        state: Tensor = self.args[0]
        return state

    @property
    def made(self) -> Tensor:
        """The hidden state that it returned."""
        state: Tensor = self.output[0] if isinstance(self.output, tuple) else self.output
        return state


class Watch:
    """The blocks and layers that a forward pass ran.

    Args:
        layers: layers that have to lie in the model that is looked for.
        at_input: their inputs are meant, not their outputs.
        spare_statistics: end the pass where a norm would take it into its running statistics.

    Attributes:
        root: the outermost module with an encoder that a family knows and all the layers in it, or None.
        encoder: that encoder, or None.
        refusal: a family's reason why a model that it knows cannot be explained.
        runs: the runs of its blocks, in order.
        places: for each layer, how many blocks had run each time that its input (or its output) was there.
    """

    def __init__(self, layers: Sequence[nn.Module], at_input: bool, spare_statistics: bool = False) -> None:
        self.layers, self._at_input, self._spare_statistics = layers, at_input, spare_statistics
        self.root: nn.Module | None = None
        self.encoder: Encoder | None = None
        self.refusal = ""
        self.runs: list[Run] = []
        self.places: list[list[int]] = [[] for _ in layers]
        self._seen: set[int] = set()
        self._handles: list[RemovableHandle] = []
        self._thread = threading.get_ident()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Record the pass that runs inside the context."""
        self._handles.append(register_module_forward_pre_hook(self._called))
        try:
            yield
        finally:
            for handle in self._handles:
                handle.remove()

    def _called(self, module: nn.Module, inputs: Any) -> None:
        """Look for the encoder in a module that is about to run."""
        if threading.get_ident() != self._thread:
            return
        if self._spare_statistics and isinstance(module, _NormBase) and module.training:
            raise NotNativeError("a norm in training mode would count a pass that is made for watching alone")
        if self.root is not None or id(module) in self._seen:
            return
        inside = set(map(id, module.modules()))
        if not all(id(layer) in inside for layer in self.layers):
            return
        self._seen |= inside
        if any(type(m).__name__ == "OptimizedModule" or m._compiled_call_impl is not None for m in module.modules()):
            self.refusal = "the model is compiled"
            return
        try:
            self.encoder = families.find(module)
        except ValueError as error:
            self.refusal = str(error)
        if self.encoder is None:
            return
        self.root = module
        blocks = [module.get_submodule(name) for name in self.encoder.blocks]
        for number, layer in enumerate(self.layers):
            if not any(layer is block for block in blocks):
                self._watch_layer(number, layer)
        for block in blocks:
            self._handles.append(block.register_forward_hook(self._ran, with_kwargs=True))

    def _watch_layer(self, number: int, layer: nn.Module) -> None:
        def hook(*_: Any) -> None:
            self.places[number].append(len(self.runs))

        register = layer.register_forward_pre_hook if self._at_input else layer.register_forward_hook
        self._handles.append(register(hook))

    def _ran(self, block: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        for number, layer in enumerate(self.layers):
            if layer is block:
                self.places[number].append(len(self.runs) + (0 if self._at_input else 1))
        self.runs.append(Run(block, args, kwargs, output))
