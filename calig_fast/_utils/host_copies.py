"""Values on a GPU that the host knows, so that it waits for none of them twice.

Ids, masks and logits are copied to the host once. Values that depend on them alone (`mask.all()`, a class, a length)
are computed of the copies, too, and read there. The copies are exact: they are whole numbers, or selections and casts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .nested import mapped, parts

# Functions of torch that read a value
_READS = frozenset(
    "item tolist equal is_nonzero cpu __bool__ __int__ __float__ __index__".split()  # noqa: SIM905
)
# Functions with an exact result, of any dtype
_EXACT = frozenset(
    """__getitem__ cat stack view reshape flatten expand expand_as unsqueeze squeeze transpose permute t flip
    index_select gather clone contiguous detach unbind split chunk repeat repeat_interleave narrow select to float
    double where min max amin amax cummax abs neg""".split()  # noqa: SIM905
)
# Functions with an exact result where it is of whole numbers or bools
_WHOLE = frozenset(
    """eq ne lt le gt ge logical_and logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_not bitwise_xor
    add sub mul sum diff cumsum all any clamp clamp_min clamp_max isin long int bool isfinite isnan zeros_like ones_like
    full_like new_zeros new_ones new_full argmax argmin nonzero __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __and__ __or__
    __xor__ __invert__ __add__ __sub__ __mul__ __radd__ __rsub__ __rmul__ __rand__ __ror__ __rxor__ __neg__ __abs__
    """.split()  # noqa: SIM905
)
_FOLLOWED = _READS | _EXACT | _WHOLE
# Of equal values two devices may choose different ones
_CHOICES = frozenset(["argmax", "argmin"])
_WITH_CHOICES = frozenset(["min", "max", "cummax"])


class _Copy(NamedTuple):
    """A tensor of the GPU, its values on the host, and the version of the tensor that they are of."""

    tensor: Tensor
    host: Tensor
    version: int


class HostCopies:
    """The tensors of a GPU whose values the host knows; those of a tensor that was written into are not known."""

    def __init__(self) -> None:
        self._copies: dict[int, _Copy] = {}
        self._coming: dict[int, _Copy] = {}

    def of(self, tensor: Tensor) -> Tensor | None:
        """The values of a tensor, None where they are not known; not to be written into."""
        if not tensor.is_cuda:
            return tensor
        copy = self._copies.get(id(tensor))
        return None if copy is None or copy.version != tensor._version else copy.host

    def note(self, tensor: Tensor, host: Tensor) -> None:
        """Remember the values of a tensor."""
        if tensor.is_cuda and not host.is_cuda and not tensor.is_inference():
            self._copies[id(tensor)] = _Copy(tensor, host, tensor._version)

    def begin(self, tensor: Tensor) -> Tensor:
        """Begin to copy a tensor to the host, where it is after `wait`."""
        coming = self._coming.get(id(tensor))
        if coming is not None and coming.version == tensor._version:
            return coming.host
        host = _copying(tensor)
        if not tensor.is_inference():
            self._coming[id(tensor)] = _Copy(tensor, host, tensor._version)
        return host

    def wait(self, device: torch.device) -> None:
        """Wait for the copies that have begun."""
        torch.cuda.current_stream(device).synchronize()
        self._copies.update(self._coming)
        self._coming = {}

    @contextmanager
    def scope(self) -> Iterator[None]:
        """A context after which all is forgotten that was noted within."""
        before = dict(self._copies)
        try:
            yield
        finally:
            self._copies = before


_CURRENT: ContextVar[HostCopies | None] = ContextVar("host copies", default=None)


@contextmanager
def host_copies(device: torch.device) -> Iterator[None]:
    """A context in which values of a GPU are remembered; on another device nothing is."""
    token = _CURRENT.set(HostCopies() if device.type == "cuda" else None)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def scoped() -> AbstractContextManager[None]:
    """A context after which all is forgotten that was remembered within."""
    copies = _CURRENT.get()
    return nullcontext() if copies is None else copies.scope()


def note(tensor: Tensor, host: Tensor) -> None:
    """Remember the values of a tensor."""
    copies = _CURRENT.get()
    if copies is not None:
        copies.note(tensor, host)


def prefetch(*tensors: Tensor) -> None:
    """Begin to copy tensors to the host: the next wait is for them, too."""
    copies = _CURRENT.get()
    for tensor in tensors:
        if copies is not None and copies.of(tensor) is None:
            copies.begin(tensor)


def fetched(*tensors: Tensor) -> list[Tensor]:
    """The values of tensors on the host, not to be written into; the host waits for a GPU once, or not at all."""
    copies, waits, out = _CURRENT.get(), None, list[Tensor]()
    for tensor in tensors:
        if not tensor.is_cuda:
            out.append((tensor.detach() if tensor.requires_grad else tensor).cpu())
            continue
        copies = HostCopies() if copies is None else copies
        host = copies.of(tensor)
        if host is None:
            host, waits = copies.begin(tensor), tensor.device
        out.append(host)
    if waits is not None and copies is not None:
        copies.wait(waits)
    return out


def _copying(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", non_blocking=True)  # PyTorch pins the memory of such a copy


def uploaded(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on the device; the host goes on meanwhile."""
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)  # from other memory a transfer is waited for


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on the device, its values remembered."""
    on_device = uploaded(tensor, device)
    note(on_device, tensor)
    return on_device


def followed(*, lasting: bool = False) -> AbstractContextManager[Any]:
    """A context in which what depends on known values alone is computed on the host too, and read there.

    Args:
        lasting: its values are remembered after the context.
    """
    copies = _CURRENT.get()
    return nullcontext() if copies is None else _Following(copies, lasting)


class Constants:
    """Tensors that hardly ever change, such as a model's positions: the host copies them once.

    Args:
        tensors: them; those of other numbers than whole ones are left out.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._tensors = [t for t in tensors if t.is_cuda and not t.is_floating_point() and not t.is_inference()]
        self._state: list[tuple[int, int]] = []
        self._hosts: list[Tensor] = []

    def remember(self) -> None:
        """Remember their values; they are copied anew where one was written into."""
        state = [(t._version, t.data_ptr()) for t in self._tensors]
        if state != self._state:
            self._hosts, self._state = fetched(*self._tensors), state
        for tensor, host in zip(self._tensors, self._hosts, strict=True):
            note(tensor, host)


class _Following(TorchFunctionMode):
    def __init__(self, copies: HostCopies, lasting: bool) -> None:
        super().__init__()
        self._copies = copies
        self._scope: AbstractContextManager[None] = nullcontext() if lasting else copies.scope()

    def __enter__(self) -> _Following:
        self._scope.__enter__()
        TorchFunctionMode.__enter__(self)  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        TorchFunctionMode.__exit__(self, *error)  # type: ignore[no-untyped-call]
        self._scope.__exit__(*error)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name not in _FOLLOWED:
            return func(*args, **kwargs)
        given = [*_tensors((args, kwargs))]
        there = next((t for t in given if t.is_cuda), None)
        if there is None or any(self._copies.of(t) is None for t in given):
            return func(*args, **kwargs)
        here = mapped(self._here, (args, kwargs))
        host = func(*here[0], **here[1])
        values = [*_tensors(host)]
        if not values:
            return host
        if name == "cpu" or (name == "to" and _leaves(given, args, kwargs)):
            return host.clone()
        if any(t.is_floating_point() for t in values) and name not in _EXACT:
            return func(*args, **kwargs)
        if not _depends_on_values(name, args, there):
            out = func(*args, **kwargs)
        elif any(t.requires_grad for t in given):
            return func(*args, **kwargs)
        else:
            out = mapped(lambda part: uploaded(part, there.device) if isinstance(part, Tensor) else part, host)
        for tensor, copy in zip(_tensors(out), values[:1] if name in _WITH_CHOICES else values, strict=False):
            self._copies.note(tensor, copy)
        return out

    def _here(self, part: Any) -> Any:
        """An argument on the host."""
        if isinstance(part, Tensor):
            return self._copies.of(part)
        device = isinstance(part, torch.device) or (isinstance(part, str) and part.startswith("cuda"))
        return torch.device("cpu") if device else part


def _depends_on_values(name: str, args: tuple[Any, ...], there: Tensor) -> bool:
    """Return True where the shape of a result, or a choice of equal values, depends on what the device would tell."""
    if name == "__getitem__":  # by a mask, or by an index of the host, which would be sent first
        index = [*parts(args[1], (Tensor, list))]
        return any(isinstance(i, list) or not i.is_cuda or i.dtype in (torch.bool, torch.uint8) for i in index)
    return name == "nonzero" or (name in _CHOICES and there.is_floating_point())


def _leaves(given: list[Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return True for a call of `to` that names the host."""
    devices = [p for p in parts((args, kwargs), (torch.device, str)) if isinstance(p, torch.device) or p[:3] == "cpu"]
    return any(torch.device(p).type == "cpu" for p in devices) or (len(given) > 1 and not given[1].is_cuda)


def _tensors(value: Any) -> Iterator[Tensor]:
    return parts(value, Tensor)
