"""The choice of a backend for each call of an operation: by measurement or priority, never changed by an exception.

On a card that was measured, "auto" takes the backend that was fastest for the operation and dtype (`choice`). Else it
takes the first backend, by priority, that has the operation and takes the tensors. On a GPU CUDA comes first, as it
takes the fewest launches a call. Triton comes next, for the attention, plain PyTorch last. This order is a rule, not a
measurement: Triton and CUDA have not been timed against each other on a GPU. On a CPU the compiled module comes first,
then plain PyTorch.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from .._utils.arguments import kind
from .._utils.warn import renamed
from . import backend as backend_registry
from . import choice
from .backend.base import Backend

RENAMED = {"reference": "torch"}
VARIABLE = "CALIG_FAST_BACKEND"

_library = torch.library.Library("calig_fast", "FRAGMENT")  # type: ignore[no-untyped-call]
_operations: dict[str, Operation] = {}


class UnusableBackendError(ValueError, RuntimeError):
    """A backend that this machine cannot run: a wrong argument here, and right elsewhere."""


def _machine_lacks(backend: str) -> str | None:
    """The reason why this machine cannot run a backend whatever the operation, or None."""
    return _lacks(backend_registry.known()[backend])


@cache
def _lacks(backend: Backend) -> str | None:
    reason = backend.available()
    if reason is not None and not isinstance(reason, str):
        raise TypeError(
            f'available: that of the backend "{backend.name}" must return the reason why it cannot run, or None; got '
            f"{kind(reason)}"
        )
    return reason


def _tensors(args: Sequence[Any]) -> list[Tensor]:
    flat: list[Tensor] = []
    for arg in args:
        if isinstance(arg, Tensor):
            flat.append(arg)
        elif isinstance(arg, (list, tuple)):
            flat.extend(_tensors(arg))
    return flat


class Operation:
    """One fused operation: its schema registered with PyTorch, and its backends.

    A backend of the package is one file of the operation's folder, named as the backend (`pytorch.py` for "torch"). It
    has a function named as the operation, and `supports(*tensors) -> str | None`: why it cannot take these tensors, or
    None. A backend from elsewhere names its modules itself (`backend.base.Backend`).

    Args:
        package: name of the operation's package; the last part is the operation's name.
        schema: arguments and results, in PyTorch's schema language.
        fake: shapes and dtypes of the results without computing them.
        dtypes: floating dtypes that the operation is defined for.
        fused: True if PyTorch has no kernel of its own for it; `resolve` asks only these.
    """

    def __init__(
        self,
        package: str,
        schema: str,
        fake: Callable[..., Any],
        dtypes: tuple[torch.dtype, ...],
        fused: bool = True,
    ) -> None:
        self.package, self.name, self.dtypes, self.fused = package, package.rpartition(".")[2], dtypes, fused
        self._kernels: dict[Backend, str | None] = {}
        definition = self._module("torch").__dict__[self.name]
        _library.define(self.name + schema)  # type: ignore[no-untyped-call]
        _library.impl(self.name, definition, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
        torch.library.register_fake(f"calig_fast::{self.name}", fake, lib=_library)
        _operations[self.name] = self

    def kernel(self, backend: str) -> str | None:
        """Dotted name of the module with the backend's kernel of this operation, or None."""
        registered = backend_registry.known()[backend]
        if registered not in self._kernels:
            given = registered.module
            name = f"{self.package}.{backend}" if given is None else given(self.package)
            if name is not None and not isinstance(name, str):
                raise TypeError(
                    f'module: that of the backend "{backend}" must return a module\'s name or None, got {kind(name)}'
                )
            self._kernels[registered] = name if name and _is_there(name) else None
        return self._kernels[registered]

    @property
    def files(self) -> frozenset[str]:
        """The backends that have a kernel of this operation."""
        return frozenset(backend for backend in backend_registry.known() if self.kernel(backend) is not None)

    def _module(self, backend: str) -> ModuleType:
        name = self.kernel(backend)
        if name is None:
            raise RuntimeError(f"{self.name}: no {backend} kernel")
        module = sys.modules.get(name)
        if module is None or getattr(module.__spec__, "_initializing", False):  # another thread is importing it
            module = importlib.import_module(name)
        lacks = [part for part in (self.name, "supports") if not callable(getattr(module, part, None))]
        if lacks:
            raise ValueError(
                f'module: that of the backend "{backend}" names {name}, which has no function {" nor ".join(lacks)}; '
                "return None for an operation without a kernel"
            )
        return module

    def register(self, backend: str, key: str) -> None:
        """Make a backend's kernel PyTorch's own for a dispatch key, for callers in C++; to be called once."""
        _library.impl(self.name, self._module(backend).__dict__[self.name], key)  # type: ignore[no-untyped-call]

    def refusal(self, backend: str, tensors: Sequence[Tensor]) -> str | None:
        """The reason why `backend` cannot run this operation on these tensors, or None."""
        if self.kernel(backend) is None:
            return f"no {backend} kernel for {self.name} in this release"
        reason: str | None = _machine_lacks(backend) or self._module(backend).supports(*tensors)
        return reason

    def resolve(self, backend: str, tensors: Sequence[Tensor]) -> str:
        """The backend that runs this operation on these tensors.

        Where the requested backend has no kernel of this operation, the one that 'auto' takes replaces it. A backend
        with a kernel that cannot run is not replaced.

        Raises:
            ValueError: no backend has this name.
            RuntimeError: the backend asked for cannot run it; the message says why.
        """
        wanted = requested_backend(backend)
        if wanted != "auto":
            has_kernel = self.kernel(wanted) is not None
            if (reason := self.refusal(wanted, tensors) if has_kernel else _machine_lacks(wanted)) is not None:
                raise RuntimeError(f"{self.name}: backend {wanted!r} cannot run: {reason}; use backend='auto'")
            if has_kernel:
                return wanted
        order = backend_registry.known()
        fastest = choice.measured(self.name, tensors)
        if fastest in order and order[str(fastest)].chosen() and self.refusal(str(fastest), tensors) is None:
            return str(fastest)
        for name, backend_kind in order.items():
            if backend_kind.chosen() and self.refusal(name, tensors) is None:
                return name
        reasons = "; ".join(f"{name}: {self.refusal(name, tensors)}" for name in order)
        raise RuntimeError(f"{self.name}: no backend can run: {reasons}")

    def __call__(self, backend: str, *args: Any) -> Any:
        """Run on the backend that `resolve` names. Gradients do not flow through."""
        run = self._module(self.resolve(backend, _tensors(args))).__dict__[self.name]
        with torch.no_grad():
            return run(*args)


def _is_there(name: str) -> bool:
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # a package above it is missing, or is no package
        return False


def check_backend(backend: str) -> None:
    """Raise where the backend the caller wants does not exist or cannot run on this machine.

    Raises:
        TypeError: no text.
        ValueError: no backend has this name.
        UnusableBackendError: this machine lacks something it needs; the message says what.
    """
    name = requested_backend(backend)
    if name != "auto" and (reason := _machine_lacks(name)) is not None:
        source = "backend" if backend != "auto" else VARIABLE
        raise UnusableBackendError(f'{source}: "{name}" cannot run here: {reason}; use backend="auto"')


def requested_backend(backend: str) -> str:
    """The backend the caller wants: the argument, or where it is 'auto' the environment's.

    Raises:
        TypeError: no text.
        ValueError: no backend has this name.
    """
    source, name = "backend", backend
    if not isinstance(backend, str):
        raise TypeError(f"backend: expected a backend's name, got {kind(backend)}")
    if backend == "auto":
        if not (wanted := os.environ.get(VARIABLE)):
            return backend
        source, name = VARIABLE, wanted
    name = renamed(source, name, RENAMED)
    order = tuple(backend_registry.known())
    if name not in ("auto", *order):
        raise ValueError(f"{source}: expected one of auto, {', '.join(reversed(order))}, got {name!r}")
    return name


def backends() -> dict[str, str | None]:
    """Every backend: None where it can be used on this machine, else the reason why not."""
    reasons: dict[str, str | None] = {}
    for name in reversed(backend_registry.known()):
        kernels = any(name in operation.files for operation in _operations.values())
        reasons[name] = _machine_lacks(name) if kernels else "no kernels in this release"
    return reasons


def resolve(backend: str, *tensors: Tensor) -> str:
    """The backend that the fused operations run on for such tensors, for the record.

    Args:
        backend: 'auto' or a backend's name, as the operations take it.
        *tensors: tensors of the device and dtypes in question, for instance the hidden states.

    Returns:
        the backend's name; where the operations defined for these dtypes differ, their names joined by '+'.

    Raises:
        ValueError: no backend has this name, or no operation takes these dtypes.
        RuntimeError: the backend asked for cannot run.
    """
    floating = {t.dtype for t in tensors if t.is_floating_point()}
    able = [operation for operation in _operations.values() if operation.fused and floating <= set(operation.dtypes)]
    if not able:
        raise ValueError(f"tensors: no operation takes {', '.join(sorted(map(str, floating)))}; convert to float32")
    chosen = {operation.resolve(backend, tensors) for operation in able}
    return "+".join(name for name in backend_registry.known() if name in chosen)


def operations(backend: str | None = None) -> tuple[str, ...]:
    """Names of the operations, those alone that have a kernel of `backend` where that is given."""
    every = sorted(_operations.items())
    return tuple(name for name, operation in every if backend is None or operation.kernel(backend) is not None)
