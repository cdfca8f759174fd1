"""A GPU that is feigned on the CPU: tensors that say cuda:0, refuse other devices, and count waits and launches.

Every operator runs on the CPU's values. Nothing is told of times or of the kernels' values: those are the emulator's.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.overrides import handle_torch_function
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from calig_fast.engines.native import compiled, engine
from calig_fast.ops import choice, dispatch

CUDA = torch.device("cuda", 0)
aten = torch.ops.aten

# operators whose result's shape or value the host reads
WAITING = {
    aten._local_scalar_dense.default,
    aten.is_nonzero.default,
    aten.equal.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.unique_dim.default,
    aten._unique2.default,
    aten.repeat_interleave.Tensor,
}
# launches of an operation's kernels; of the others one
LAUNCHES = {"attention_backward": 2, "fuse_rollout": 4}
CURRENT: list[Counts] = []
PASSES = ("wave_up", "wave_down", "whole_up", "whole_down")


class Feigned(Tensor):
    """A tensor that says cuda:0 and holds one of the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Feigned:
        found = Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype
        )
        found.held = held
        return found

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """The feigned one; PyTorch's own C++ sees a CPU, as it would ask a driver about a GPU."""
        return CUDA

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        """As `device`."""
        return True

    def to(self, *args: Any, **kwargs: Any) -> Tensor:  # type: ignore[override]
        """To another dtype, or in a copy to the CPU."""
        if torch._C._len_torch_function_stack():
            found: Tensor = handle_torch_function(Feigned.to, (self,), self, *args, **kwargs)
            return found
        if not isinstance(self, Feigned):  # a mode has put one of the CPU in its place
            return TO(self, *args, **kwargs)
        place, rest, more = _target(args, kwargs)
        if place is None or place.type == "cuda":
            return TO(self, *rest, **more) if rest or more else self
        if CURRENT and not kwargs.get("non_blocking"):
            CURRENT[-1].waits["to cpu"] += 1
        down: Tensor = _Down.apply(self)  # so that gradients return
        return TO(down, *rest, **more) if rest or more else down

    def cpu(self) -> Tensor:  # type: ignore[override]
        """As `to`."""
        if torch._C._len_torch_function_stack():
            found: Tensor = handle_torch_function(Feigned.cpu, (self,), self)
            return found
        return Feigned.to(self, "cpu")

    def type_as(self, other: Tensor) -> Tensor:
        """As `to`."""
        return self.to(other.dtype)

    def tolist(self) -> Any:
        """As `to`, then the values."""
        if torch._C._len_torch_function_stack():
            return handle_torch_function(Feigned.tolist, (self,), self)
        return Tensor.tolist(Feigned.to(self, "cpu"))

    def untyped_storage(self) -> Any:
        """The storage of the values."""
        return self.held.untyped_storage()

    def data_ptr(self) -> int:
        """The address of the values."""
        return self.held.data_ptr()

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Feigned({self.held})"

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["held"], None

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Feigned, (self.held,)

    def __deepcopy__(self, memo: Any) -> Feigned:
        return Feigned(self.held.clone()).requires_grad_(self.requires_grad)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {}, None)


TO = Tensor.to


def _target(args: Any, kwargs: Any) -> tuple[torch.device | None, list[Any], dict[str, Any]]:
    """The device that a call of `to` names, None where it names none, and its other arguments."""
    like = [a for a in (*args, kwargs.get("other")) if isinstance(a, Tensor)]
    places = [a for a in (*args, kwargs.get("device")) if isinstance(a, (str, torch.device))]
    rest = [a.dtype if isinstance(a, Tensor) else a for a in args if not isinstance(a, (str, torch.device))]
    more = {name: value for name, value in kwargs.items() if name not in ("device", "non_blocking", "other")}
    place = torch.device(places[0]) if places else like[0].device if like else None
    return place, rest, more


def to_gpu(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`Tensor.to` of a tensor that is on the CPU."""
    place, rest, more = _target(args, kwargs)
    if place is None or place.type != "cuda":
        return TO(self, *args, **kwargs)
    if not kwargs.get("non_blocking"):
        CURRENT[-1].waits["to cuda"] += 1
    return Feigned((TO(self, *rest, **more) if rest or more else self).detach().clone())


class _Down(torch.autograd.Function):
    """A copy from the feigned GPU to the CPU."""

    @staticmethod
    def forward(ctx: Any, x: Feigned) -> Tensor:
        return x.held.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        return Feigned(gradient)


class Counts(TorchDispatchMode):
    """Counts while it is entered, and answers calls that name the GPU.

    Args:
        waits: by operator, of the host for the GPU.
        launches: by operator.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.launches: Counter[str] = Counter()
        self.within = False  # a call in C++, whose new tensors are on the GPU

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func._schema.name.removeprefix("calig_fast::") in PASSES:
            key = torch._C.DispatchKey.CompositeExplicitAutograd
            return self._counted(partial(func._op_dk, key), args, kwargs)
        if func._can_decompose() and func.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd):
            return self._counted(func.decompose, args, kwargs)  # its kernels are those of other operators
        return run(func, args, kwargs, self)

    def _counted(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Count the calls within a call."""
        before, self.within = self.within, any(isinstance(t, Feigned) for t in tree_leaves((args, kwargs)))
        try:
            with self:
                return func(*args, **kwargs)
        finally:
            self.within = before


def run(func: Any, args: Any, kwargs: dict[str, Any], counts: Counts | None) -> Any:
    """Run one operator on the values that its arguments hold."""
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    here = any(isinstance(t, Feigned) for t in tensors)
    to = kwargs.get("device")
    there = here if to is None else torch.device(to).type == "cuda"
    there = there or (counts is not None and counts.within)
    copies = func in (aten._to_copy.default, aten.copy_.default)
    mixed = [t for t in tensors if type(t) is Tensor and t.dim() > 0]
    if here and mixed and not copies and not func._schema.name.startswith("aten::index"):
        raise RuntimeError(f"{func}: expected all tensors on cuda:0, got one of {tuple(mixed[0].shape)} on cpu")
    if counts is not None and (here or there):
        _count(func, args, kwargs, counts, moved=copies and _moves(func, args, there))
    held = tree_map_only(Feigned, lambda t: t.held, (args, kwargs))
    found = func(*held[0], **{**held[1], **({} if to is None else {"device": "cpu"})})
    if not there or not func._schema.returns:
        return found
    if func is aten.copy_.default or func._schema.name.endswith("_") or kwargs.get("out") is not None:
        return args[0] if kwargs.get("out") is None else kwargs["out"]
    return tree_map_only(Tensor, Feigned, found)


def _synchronized() -> None:
    CURRENT[-1].waits["synchronize"] += 1


def _moves(func: Any, args: Any, there: bool) -> bool:
    """Return True if a copy goes from one device to the other."""
    source = args[0] if func is aten._to_copy.default else args[1]
    target = there if func is aten._to_copy.default else isinstance(args[0], Feigned)
    return isinstance(source, Feigned) != target


def _count(func: Any, args: Any, kwargs: dict[str, Any], counts: Counts, moved: bool) -> None:
    name = func._schema.name.partition("::")[2]
    asynchronous = bool(kwargs.get("non_blocking")) or (len(args) > 2 and args[2] is True)
    indices = [t for t in tree_leaves(args[1:2]) if isinstance(t, Tensor)] if name.startswith("index") else []
    by_mask = any(t.dtype == torch.bool for t in indices)
    lists = any(type(t) is Tensor and t.dim() > 0 for t in indices)
    if func in WAITING or by_mask or lists or (moved and not asynchronous):
        counts.waits[name] += 1
    returns = func._schema.returns
    views = bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)
    if not (views or "empty" in name or name in ("detach", "_local_scalar_dense", "lift_fresh")):
        # where the caller gives no table of the path segments, a kernel makes it
        table = name in ("interpolate_path", "accumulate_gradients") and len(args) < len(func._schema.arguments)
        counts.launches[name] += LAUNCHES.get(name, 1) + table


def there(x: Any) -> Any:
    """The same on the feigned GPU, of tensors, containers and dataclasses; a module is copied."""
    if isinstance(x, nn.Module):
        x = copy.deepcopy(x)
        for module in x.modules():
            for name, value in module._parameters.items():
                if value is not None:
                    module._parameters[name] = nn.Parameter(Feigned(value.detach().clone()), value.requires_grad)
            for name, buffer in module._buffers.items():
                module._buffers[name] = None if buffer is None else Feigned(buffer.clone())
        return x
    if is_dataclass(x) and not isinstance(x, type):
        return replace(x, **{f.name: there(getattr(x, f.name)) for f in fields(x)})
    if isinstance(x, (tuple, list)):
        return type(x)(map(there, x))
    return tree_map_only(Tensor, Feigned, x)


@contextmanager
def feigned_gpu() -> Iterator[Counts]:
    """A machine with a GPU: the backends run there, the passes in C++ too, and nothing is recorded."""
    lacks, call, takes = dispatch._machine_lacks, dispatch.Operation.__call__, compiled.takes

    def resolved(self: dispatch.Operation, backend: str, *args: Any) -> Any:
        if any(isinstance(t, Feigned) for t in dispatch._tensors(args)):
            self.resolve(backend, dispatch._tensors(args))
            with torch.no_grad():
                return getattr(torch.ops.calig_fast, self.name)(*args)
        return call(self, backend, *args)

    patches: list[tuple[Any, str, Any]] = [
        (dispatch, "_machine_lacks", lambda name: None if name in ("cuda", "triton") else lacks(name)),
        (dispatch.Operation, "__call__", resolved),
        (compiled, "takes", lambda rows: takes(rows) or (type(rows) is Feigned and not torch.is_grad_enabled())),
        (compiled, "_is_plain", lambda tensor: True),
        (compiled, "_register", lambda operation: None),
        (engine, "recorder_for", lambda *args: None),
        (torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=2**34)),
        (torch.cuda, "_lazy_init", lambda: None),
        (torch.cuda, "current_stream", lambda device=None: SimpleNamespace(synchronize=_synchronized)),
        (torch.cuda, "get_rng_state", lambda device=None: torch.get_rng_state()),
        (torch.cuda, "set_rng_state", lambda state, device=None: None),
        (choice, "card", lambda index: "Feigned"),
        (Tensor, "to", to_gpu),
        (Tensor, "pin_memory", lambda self: self),
    ]
    with ExitStack() as stack:
        for owner, name, new in patches:
            stack.enter_context(mock.patch.object(owner, name, new))
        # tensors made of lists are made on the CPU, then moved by an operator
        stack.callback(torch._C._set_only_lift_cpu_tensors, torch._C._only_lift_cpu_tensors())
        torch._C._set_only_lift_cpu_tensors(True)
        counts = stack.enter_context(Counts())
        CURRENT.append(counts)
        stack.callback(CURRENT.pop)
        yield counts
