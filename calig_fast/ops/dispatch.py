"""Which backend runs an operation: discovered by file, chosen once a call, never changed by an exception.

"auto" takes the first backend of `ORDER` that has the operation and takes the tensors. On a GPU that is Triton where it
is installed, since it has every fused operation, the attention's too; then CUDA; plain PyTorch last. That Triton comes
before CUDA is a rule, not a measurement: the two have not been timed against each other on a GPU. On a CPU it is the
compiled module, then plain PyTorch.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from .._utils.warn import renamed
from .extension import extension

ORDER = ("triton", "cuda", "cpu", "torch")
FILES = {"torch": "pytorch"}  # a module named torch would hide PyTorch in its package
RENAMED = {"reference": "torch"}
VARIABLE = "CALIG_FAST_BACKEND"

_library = torch.library.Library("calig_fast", "FRAGMENT")  # type: ignore[no-untyped-call]
_operations: dict[str, Operation] = {}


def interpreting() -> bool:
    """Whether Triton's kernels run in its interpreter, on CPU tensors too: TRITON_INTERPRET, read before they load."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "on")


@cache
def _machine_lacks(backend: str) -> str | None:
    """Why this machine cannot run a backend whatever the operation, or None."""
    if backend == "cpu" and extension().module is None:
        return f"the compiled module is not loaded: {extension().reason}"
    interpreted = backend == "triton" and interpreting()
    if backend in ("cuda", "triton") and not (torch.cuda.is_available() or interpreted):
        return "no GPU that torch can use"
    if backend == "triton" and importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    module = extension().module
    if backend == "cuda" and (module is None or not module.build_info()["cuda"]):
        return f"built without CUDA: {extension().reason if module is None else module.build_info()['cuda_note']}"
    return None


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

    A backend is one file of the operation's folder, named as the backend (`pytorch.py` for "torch"). It has a function
    named as the operation, and `supports(*tensors) -> str | None`: why it cannot take these tensors, or None.

    Args:
        package: name of the operation's package; the last part is the operation's name.
        schema: arguments and results, in PyTorch's schema language.
        fake: shapes and dtypes of the results without computing them.
        dtypes: floating dtypes that the operation is defined for.
        fused: whether it is more than PyTorch has a kernel of its own for; `resolve` asks those alone.
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
        definition = self._module("torch").__dict__[self.name]
        _library.define(self.name + schema)  # type: ignore[no-untyped-call]
        _library.impl(self.name, definition, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
        torch.library.register_fake(f"calig_fast::{self.name}", fake, lib=_library)
        _operations[self.name] = self

    @cached_property
    def files(self) -> frozenset[str]:
        """The backends that have a file in the operation's folder."""
        path = importlib.import_module(self.package).__path__
        modules = {m.name for m in pkgutil.iter_modules(path)}
        return frozenset(backend for backend in ORDER if FILES.get(backend, backend) in modules)

    def _module(self, backend: str) -> ModuleType:
        name = f"{self.package}.{FILES.get(backend, backend)}"
        return sys.modules.get(name) or importlib.import_module(name)

    def refusal(self, backend: str, tensors: Sequence[Tensor]) -> str | None:
        """Why `backend` cannot run this operation on these tensors, or None."""
        if backend not in self.files:
            return f"no {backend} kernel for {self.name} in this release"
        reason: str | None = _machine_lacks(backend) or self._module(backend).supports(*tensors)
        return reason

    def resolve(self, backend: str, tensors: Sequence[Tensor]) -> str:
        """The backend that runs this operation on these tensors.

        A backend asked for by name is replaced by the one that 'auto' takes where it has no kernel of this operation
        at all; one whose kernel cannot run is not.

        Raises:
            ValueError: no backend has this name.
            RuntimeError: the backend asked for cannot run it; the message says why.
        """
        wanted = requested_backend(backend)
        if wanted != "auto":
            has_kernel = wanted in self.files
            if (reason := self.refusal(wanted, tensors) if has_kernel else _machine_lacks(wanted)) is not None:
                raise RuntimeError(f"{self.name}: backend {wanted!r} cannot run: {reason}; use backend='auto'")
            if has_kernel:
                return wanted
        for name in ORDER:
            if name == "triton" and interpreting():  # a test's business, thousands of times slower
                continue
            if name in self.files and self.refusal(name, tensors) is None:
                return name
        reasons = "; ".join(f"{name}: {self.refusal(name, tensors)}" for name in ORDER)
        raise RuntimeError(f"{self.name}: no backend can run: {reasons}")

    def __call__(self, backend: str, *args: Any) -> Any:
        """Run on the backend that `resolve` names. Gradients do not flow through."""
        run = self._module(self.resolve(backend, _tensors(args))).__dict__[self.name]
        with torch.no_grad():
            return run(*args)


def requested_backend(backend: str) -> str:
    """The backend the caller wants: the argument, or where it is 'auto' the environment's.

    Raises:
        ValueError: no backend has this name.
    """
    source, name = "backend", backend
    if backend == "auto" and os.environ.get(VARIABLE):
        source, name = VARIABLE, os.environ[VARIABLE]
    name = renamed(source, name, RENAMED)
    if name not in ("auto", *ORDER):
        raise ValueError(f"{source}: expected one of auto, {', '.join(reversed(ORDER))}, got {name!r}")
    return name


def backends() -> dict[str, str | None]:
    """Every backend: None where it can be used on this machine, else the reason why not."""
    reasons: dict[str, str | None] = {}
    for name in reversed(ORDER):
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
    return "+".join(name for name in ORDER if name in chosen)
