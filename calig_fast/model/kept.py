"""The state of a user's model, and of the process, that a forward pass may write into: kept and given back."""

from __future__ import annotations

import contextlib
import copy
import random
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_ONE_AT_A_TIME = threading.RLock()  # a second thread may not run a module whose hooks the first takes away
_OF_TORCH = frozenset(vars(nn.Module()))  # each module object's own, also in a twin
_CONTAINERS = (dict, list, set, deque)
_ITEMS = 1000  # containers in longer ones, tables of words for instance, are not looked into


class Writable:
    """The tensors and the containers of modules that their own forward may write into.

    Buffers, plain tensors, and tables that renorm the rows they look up are among the tensors.

    Args:
        modules: they and their attributes stay the same objects as long as this is used.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        tensors: dict[int, Tensor] = {}
        containers: dict[int, Any] = {}
        for module in modules:
            own = [*module._buffers.values(), *(v for k, v in vars(module).items() if k not in _OF_TORCH)]
            renorms = getattr(module, "max_norm", None) is not None and hasattr(module, "weight")
            own += [module.weight] if renorms else []
            tensors.update({id(v): v for v in own if isinstance(v, Tensor) and not v.is_inference()})
            containers.update({id(v): v for v in own if isinstance(v, _CONTAINERS)})
        self._tensors, self._containers = list(tensors.values()), list(containers.values())

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """A context that gives the modules back the values of the tensors and the contents of the containers."""
        containers: dict[int, tuple[Any, Any]] = {}
        for value in self._containers:
            _hold(value, containers)
        before = [(v, v._version, v.detach().clone()) for v in self._tensors]
        try:
            yield
        finally:
            with torch.no_grad():
                for value, version, copied in before:
                    if value._version != version:
                        value.copy_(copied)
            for container, contents in containers.values():
                _restore(container, contents)


@contextlib.contextmanager
def kept_attributes(model: nn.Module) -> Iterator[None]:
    """A context in which a model runs itself: its modules keep their attributes and hooks, and its configurations.

    A library may put hooks on a model at its first call, and a forward may count its calls.
    """
    with _ONE_AT_A_TIME:
        objects: dict[int, tuple[Any, dict[str, Any]]] = {}
        containers: dict[int, tuple[Any, Any]] = {}
        for module in model.modules():
            config = vars(module).get("config")
            for one in [module, *([config] if hasattr(config, "__dict__") else [])]:
                objects[id(one)] = one, dict(vars(one))
            for value in vars(module).values():
                _hold(value, containers)
        try:
            yield
        finally:
            for one, attributes in objects.values():
                _restore(vars(one), attributes)
            for container, contents in containers.values():
                _restore(container, contents)


@contextlib.contextmanager
def kept_random_state(devices: Sequence[int]) -> Iterator[None]:
    """A context after which the random numbers of Python, NumPy and PyTorch go on as if it had not been.

    Args:
        devices: numbers of the GPUs that may draw some.
    """
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(list(devices)):
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)


def _hold(value: Any, containers: dict[int, tuple[Any, Any]]) -> None:
    """Note the contents of a container, and of those in it."""
    if not isinstance(value, _CONTAINERS) or id(value) in containers:
        return
    containers[id(value)] = value, copy.copy(value)
    if len(value) <= _ITEMS:
        for part in [*(value.values() if isinstance(value, dict) else value)]:
            _hold(part, containers)


def _restore(container: Any, contents: Any) -> None:
    """Put the noted contents back where they differ; another thread may be reading the rest."""
    if isinstance(container, dict):
        for key in [k for k in container if k not in contents]:
            del container[key]
        for key, value in contents.items():
            if key not in container or container[key] is not value:
                container[key] = value
    elif isinstance(container, set):
        container &= contents
        container |= contents
    elif len(container) != len(contents) or any(v is not w for v, w in zip(container, contents, strict=True)):
        container.clear()
        container.extend(contents)
