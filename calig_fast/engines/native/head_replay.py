"""A head that reads one row: its operations, repeated without the model's own code around them.

A pass through a head runs the model's whole forward, without its blocks. Of a BERT that is 0.75 ms, 0.1 of it for the
head's own operations (Zen 5, 1 thread). Two passes are noted. Where both hold the same operations for different numbers
of rows, and their repetition gives the same logits, graph and gradients to the last bit, later passes repeat them.
Values that the code read to choose its way (`mask.all()`) are read again; where one differs, the model itself runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..._utils.nested import mapped, parts
from ...inputs.target import logits_of
from ...model.call import Call, has_rows, picked
from ...model.dataflow import graph_of

MOST_NOTED = 4  # passes: two of different sizes are needed
HIDDEN = " hidden"  # the name of the last hidden state, beside the names of the model's arguments
# results that hold none of a tensor's values, but its form; numbers made of them stand in the noted operations
_FORMS = frozenset(["__get__", "__len__", "size", "dim", "numel", "stride", "element_size", "is_contiguous"])
_FORMS |= {"is_floating_point", "is_complex", "is_inference", "get_device", "ndimension", "nelement"}
_READS = frozenset(["item", "tolist", "equal", "is_nonzero", "__bool__", "__int__", "__float__", "__index__"])


class _UnknownError(Exception):
    """A pass holds something that cannot be repeated."""


@dataclass(frozen=True)
class _Slot:
    """An argument of the head, or a result of an operation; -1 for a tensor of unknown origin."""

    number: int


@dataclass(frozen=True, eq=False)
class _Own:
    """A tensor of the model's own, the same object each time."""

    tensor: Tensor

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Own) and self.tensor is other.tensor

    def __hash__(self) -> int:
        return id(self.tensor)


@dataclass(frozen=True)
class _Step:
    """One operation. A read has no slots in its result: there it is the value that was read."""

    function: Callable[..., Any]
    args: Any
    kwargs: Any
    result: Any

    @property
    def reads(self) -> bool:
        """Return True for an operation that gives no tensor."""
        return not _holds(self.result, _Slot)


@dataclass(frozen=True)
class Pass:
    """The operations of one pass that its logits, or its way through the code, depend on.

    Args:
        names: arguments of the head, by slot.
        steps: the operations.
        out: slot of the logits.
        slots: their number.
    """

    names: Mapping[int, str]
    steps: tuple[_Step, ...]
    out: int
    slots: int

    def again(self, argument: Callable[[str], Tensor]) -> Tensor | None:
        """The logits for other arguments, given by name; None where the code would have gone another way."""
        values: list[Any] = [None] * self.slots
        for number, name in self.names.items():
            values[number] = argument(name)
        for function, args, kwargs, step in self._prepared:
            made = function(*args(values), **kwargs(values))
            if isinstance(step.result, _Slot):
                values[step.result.number] = made
            elif not step.reads:
                for slot, tensor in zip(parts(step.result, _Slot), parts(made, Tensor), strict=True):
                    values[slot.number] = tensor
            elif made != step.result:
                return None
        logits: Tensor = values[self.out]
        return logits

    @cached_property
    def _prepared(self) -> list[tuple[Any, Any, Any, _Step]]:
        return [(step.function, _filler(step.args), _filler(step.kwargs), step) for step in self.steps]


def _filler(noted: Any) -> Callable[[list[Any]], Any]:
    """A function that gives noted arguments with the values of their slots."""
    own = mapped(lambda part: part.tensor if isinstance(part, _Own) else part, noted)
    if not _holds(own, _Slot):
        return lambda values: own
    if isinstance(own, tuple) and isinstance(own[0], _Slot) and not _holds(own[1:], _Slot):
        first, rest = own[0].number, own[1:]
        return lambda values: (values[first], *rest)
    return lambda values: mapped(lambda part: values[part.number] if isinstance(part, _Slot) else part, own)


class HeadReplay:
    """A head that is noted at first, and repeated later.

    Args:
        model: the twin, whose own tensors stand in the operations.
    """

    def __init__(self, model: nn.Module) -> None:
        held = (vars(m).values() for m in model.modules())
        tables = (table.values() for m in model.modules() for table in (m._parameters, m._buffers))
        self._own = {id(t): t for values in (*held, *tables) for t in values if isinstance(t, Tensor)}
        self._known: Pass | None = None
        self._earlier: tuple[int, Pass] | None = None
        self._left = MOST_NOTED
        self._one: bool | None = None  # whether one row goes the same way

    def __call__(self, head: Callable[[Call, Tensor], Any], call: Call, rows: Tensor, leaf: Tensor) -> Any:
        """The head's output, or the logits in it.

        Args:
            head: runs the model's own code.
            call: the model's arguments, B rows.
            rows: [n] int64, the input that each hidden state is of.
            leaf: [n,1,D], the last hidden state; requires grad.
        """
        one = len(leaf) < 2  # code may treat one row in another way: it is noted apart
        if self._known is not None and (self._one or not one):
            logits = self._known.again(lambda name: leaf if name == HIDDEN else picked({name: call[name]}, rows)[name])
            if logits is not None:
                return logits
        call = picked(call, rows)
        notes = self._known is not None and self._one is None if one else self._left > 0
        if not notes:
            return head(call, leaf)
        self._left -= not one
        arguments = {HIDDEN: leaf, **{name: value for name, value in call.items() if has_rows(value)}}
        with _Noting(arguments, self._own) as noting:
            output = head(call, leaf)
            logits = logits_of(output, len(leaf))
        try:
            self._learn(noting.of(logits), arguments, logits)
        except _UnknownError:
            self._left, self._one = 0, False
        return output

    def _learn(self, new: Pass, arguments: Mapping[str, Tensor], logits: Tensor | None) -> None:
        rows = len(arguments[HIDDEN])
        if rows < 2:
            self._one = new == self._known and logits is not None and _repeats(new, arguments, logits)
        elif self._earlier is None or self._earlier[0] == rows:
            self._earlier = rows, new
        elif logits is not None:
            alike = self._earlier[1] == new and _repeats(new, arguments, logits)
            self._known, self._left = new if alike else None, 0


class _Noting(TorchFunctionMode):
    """Notes every function of torch that a pass calls.

    Args:
        arguments: tensors that the pass is given, by name.
        own: the model's own tensors, by identity.
    """

    def __init__(self, arguments: Mapping[str, Tensor], own: Mapping[int, Tensor]) -> None:
        super().__init__()
        self._names, self._own = dict(enumerate(arguments)), own
        self._tensors = list(arguments.values())  # by slot, and so that no other object gets the place of one
        self._slots = {id(tensor): slot for slot, tensor in enumerate(self._tensors)}
        self._steps: list[_Step] = []
        self._written: set[int] = set()
        self._lost = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [*parts((args, kwargs), Tensor)]
        versions = [_version(t) for t in given]
        origins = mapped(self._origin, args), mapped(self._origin, kwargs)
        result = func(*args, **kwargs)
        self._written |= {_memory(t) for t, before in zip(given, versions, strict=True) if _version(t) != before}
        name = getattr(func, "__name__", "")
        if _holds(result, Tensor):
            self._steps.append(_Step(func, *origins, mapped(self._new, result)))
        elif name in _READS:
            self._steps.append(_Step(func, *origins, result))
        elif given and name not in _FORMS and name != "__setitem__":
            self._lost = True
        return result

    def of(self, logits: Tensor | None) -> Pass:
        """The operations that the logits, and the values that were read, depend on.

        Raises:
            _UnknownError: one of them is of unknown origin, or was written into.
        """
        out = -1 if logits is None else self._slots.get(id(logits), -1)
        needed, steps = {out}, list[_Step]()
        for step in reversed(self._steps):
            if step.reads or any(slot.number in needed for slot in parts(step.result, _Slot)):
                steps.append(step)
                needed |= {slot.number for slot in parts((step.args, step.kwargs), _Slot)}
        if self._lost or -1 in needed or self._written & {_memory(self._tensors[slot]) for slot in needed}:
            raise _UnknownError
        order = {slot: place for place, slot in enumerate(sorted(needed))}

        def placed(part: Any) -> Any:
            return _Slot(order.get(part.number, -1)) if isinstance(part, _Slot) else part

        renamed = (
            _Step(s.function, mapped(placed, s.args), mapped(placed, s.kwargs), mapped(placed, s.result))
            for s in reversed(steps)
        )
        names = {order[slot]: name for slot, name in self._names.items() if slot in needed}
        return Pass(names, tuple(renamed), order[out], len(order))

    def _origin(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if id(value) in self._slots:
            return _Slot(self._slots[id(value)])
        return _Own(value) if id(value) in self._own else _Slot(-1)

    def _new(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        self._slots[id(value)] = len(self._tensors)
        self._tensors.append(value)
        return _Slot(self._slots[id(value)])


def _repeats(known: Pass, arguments: Mapping[str, Tensor], logits: Tensor) -> bool:
    """Return True if the operations give the same logits, graph and gradient as the model's own code."""
    leaf, again = arguments[HIDDEN], known.again(arguments.__getitem__)
    if again is None or not logits.requires_grad or graph_of(again) != graph_of(logits):
        return False
    weights = torch.arange(1, logits.numel() + 1, device=logits.device).view_as(logits).to(logits).cos()
    with suppress(RuntimeError):  # a graph that a user's function has freed
        ours, theirs = (torch.autograd.grad((z * weights).sum(), leaf, retain_graph=True)[0] for z in (again, logits))
        return bool(torch.equal(again, logits)) and bool(torch.equal(ours, theirs))
    return False


def _holds(value: Any, kind: type) -> bool:
    return any(True for _ in parts(value, kind))


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
