"""The word embeddings that token ids really reach, seen while a model runs, and baselines put in their place."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .call import Call, called, copied
from .clone import share_weights
from .id_flow import IdFlow

Lookup = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Replacement:
    """A baseline that stands in for the words of the second half of a batch.

    Args:
        ids: [2B,T] int64, what the model is given; both halves are the input's own ids.
        make: (embeddings [B,T,E] of the input, the table as a function of ids) to the baseline's embeddings.
        others: [2B,T], the ids with the baseline's in the second half, or None where it has none.
        beside: other arguments of the call that hold integers, whose lookups are no words whatever their values.
        watched: every function of torch is watched for ids; else only modules' lookups of the ids themselves are
            replaced.
    """

    ids: Tensor
    make: Callable[[Tensor, Lookup], Tensor]
    others: Tensor | None = None
    beside: tuple[Tensor, ...] = ()
    watched: bool = True

    def flow(self) -> IdFlow:
        """The ids, to be followed through one pass."""
        others = (self.ids == 0).to(self.ids) if self.others is None else self.others
        return IdFlow(self.ids, others, given=self.others is not None)

    def applied(self, embedded: Tensor, index: Tensor, lookup: Lookup) -> Tensor:
        """The embeddings of the input, and those of its baseline after them.

        Args:
            embedded: what was looked up, [2B,T,E]; [T,2B,E] where the index is transposed, longer where it is padded.
            index: what was looked up by.
            lookup: the table.
        """
        across = index.dim() == 2 and index.shape != self.ids.shape and index.shape[0] == self.ids.shape[1]
        rows = embedded.transpose(0, 1) if across else embedded.reshape(len(self.ids), -1, embedded.shape[-1])
        half, tokens = len(rows) // 2, self.ids.shape[1]
        other = torch.cat([self.make(rows[:half, :tokens], lookup), rows[half:, tokens:]], 1)
        embeddings = torch.cat([rows[:half], other])
        return embeddings.transpose(0, 1) if across else embeddings.reshape(embedded.shape)

    def at(self, tokens: Tensor) -> Replacement:
        """The same replacement at some tokens [B,T] bool alone."""

        def make(out: Tensor, lookup: Lookup) -> Tensor:
            return torch.where(tokens[:, :, None].to(out.device), self.make(out, lookup), out)

        others = self.others
        if others is not None:
            half = len(others) // 2
            some = torch.where(tokens.to(others.device), others[half:], self.ids[half:])
            others = torch.cat([others[:half], some])
        return replace(self, make=make, others=others)

    @property
    def unwatched(self) -> Replacement:
        """The same, for modules' lookups of the ids themselves alone."""
        return replace(self, watched=False)

    def reads(self, index: Any, *, followed: bool = False) -> bool:
        """Return True where a lookup's index is the ids: as they are, flat, transposed, or padded at the end.

        A copy that nobody saw made is known by its values, unless they may as well be positions (n, n + 1, ...),
        segments (all alike) or another argument.

        Args:
            index: any value.
            followed: it was seen to be made of the ids.
        """
        ids = self.ids
        if not isinstance(index, Tensor) or index.is_floating_point() or index.dtype == torch.bool or not ids.numel():
            return False
        given = self._as_ids(index)
        if given is None or not torch.equal(given, ids.to(index.dtype)):
            return False
        place = index.untyped_storage().data_ptr()
        if followed or place == ids.untyped_storage().data_ptr():
            return True
        if any(other.shape == ids.shape and torch.equal(other.to(ids), ids) for other in self.beside):
            return False
        steps = ids[:, 1:] - ids[:, :-1]
        tells = bool((steps != 1).any()) and bool((steps != 0).any())
        return tells and ids.shape[1] > 1

    def _as_ids(self, index: Tensor) -> Tensor | None:
        """The part of an index that may be the ids, in their shape."""
        rows, tokens = self.ids.shape
        if index.numel() == self.ids.numel() and index.shape != (tokens, rows):
            return index.reshape(rows, tokens)
        if index.shape == (tokens, rows):
            straight = rows == tokens and torch.equal(index, self.ids.to(index.dtype))
            return index if straight else index.T
        if index.dim() == 2 and len(index) == rows and index.shape[1] > tokens:
            return index[:, :tokens]
        return None


class WordLookups:
    """Lookups of the ids in a twin, watched and replaced.

    Args:
        model: the twin; its embedding modules get a `forward` of ours.
        preferred: the module that embeds words as the model itself says, or None.

    Attributes:
        replaced: lookups that the last call replaced.
        by_ids: those of them that modules made, of the ids themselves.
        alone: how often modules looked up the ids themselves in the last watched call, None where it made numbers of
            them in another way too.
    """

    def __init__(self, model: nn.Module, preferred: nn.Module | None) -> None:
        self.replaced, self.by_ids = 0, 0
        self.alone: int | None = None
        self.replacement: Replacement | None = None
        self.flow: IdFlow | None = None
        self.inside = False
        self.preferred: Lookup | None = None if preferred is None else preferred.forward
        for module in [*model.modules()] if preferred is None else [preferred, *model.modules()]:
            if (isinstance(module, nn.Embedding) or module is preferred) and not _is_ours(module.forward):
                module.forward = functools.partial(self._forward, module.forward)

    def watching(self, replacement: Replacement | None) -> _Watching:
        """A context in which lookups of the ids are replaced; plain where there is nothing to replace."""
        return _Watching(self, replacement)

    def _forward(self, forward: Lookup, *args: Any, **kwargs: Any) -> Tensor:
        replacement = self.replacement
        index = args[0] if args else next(iter(kwargs.values()), None)
        if index is None or replacement is None or self.inside or not self.reads(index):
            return forward(*args, **kwargs)
        self.inside = True
        try:
            embedded = forward(*args, **kwargs)
            self.replaced += 1
            self.by_ids += index is replacement.ids
            return replacement.applied(embedded, index, forward)
        finally:
            self.inside = False

    def reads(self, index: Any) -> bool:
        """Return True where the index of a lookup is the ids of the call."""
        if self.replacement is None:
            return False
        if self.flow is None:
            return index is self.replacement.ids
        before, self.inside = self.inside, True  # what is computed to tell it is none of the model's
        try:
            return self.replacement.reads(index, followed=self.flow.follows(index))
        finally:
            self.inside = before


def _is_ours(forward: Any) -> bool:
    return isinstance(forward, functools.partial) and getattr(forward.func, "__func__", None) is WordLookups._forward


def integers_beside(call: Call, name: str) -> tuple[Tensor, ...]:
    """The arguments of a call that hold integers, beside the one of a name."""
    return tuple(v for k, v in call.items() if k != name and isinstance(v, Tensor) and not v.is_floating_point())


def find_embedding(model: nn.Module, call: Call, ids: Tensor) -> str | None:
    """Dotted name of the nn.Embedding that the ids reach in one call, or None where they reach none.

    Args:
        model: any model of text; not touched.
        call: its arguments.
        ids: [B,T], one of them.
    """
    twin, seen = share_weights(model, hooks=False), []
    name = next(k for k, v in call.items() if v is ids)
    call = copied(call)
    beside = integers_beside(call, name)
    replacement = Replacement(call[name], lambda out, lookup: out, beside=beside)

    def note(name: str, forward: Lookup, index: Tensor) -> Tensor:
        if replacement.reads(index):
            seen.append(name)
        return forward(index)

    for name, module in twin.named_modules():
        if isinstance(module, nn.Embedding):
            module.forward = functools.partial(note, name, module.forward)  # type: ignore[method-assign]
    with torch.no_grad():
        called(twin, call)
    return seen[0] if seen else None


class _Watching(TorchFunctionMode):
    """Replaces lookups that no embedding module makes: functional ones, indexing of a table, and sums of words."""

    def __init__(self, lookups: WordLookups, replacement: Replacement | None) -> None:
        super().__init__()
        self._lookups, self._replacement = lookups, replacement

    def __enter__(self) -> _Watching:
        lookups = self._lookups
        lookups.replaced, lookups.by_ids = 0, 0
        lookups.replacement = self._replacement
        if self._replacement is not None and self._replacement.watched:
            lookups.flow = self._replacement.flow()
            TorchFunctionMode.__enter__(self)  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        lookups, flow = self._lookups, self._lookups.flow
        lookups.replacement, lookups.flow = None, None
        if self._replacement is None or flow is None:
            return
        TorchFunctionMode.__exit__(self, *error)  # type: ignore[no-untyped-call]
        lookups.alone = lookups.by_ids if lookups.by_ids == lookups.replaced and not flow.uses else None
        if self._replacement.others is not None:
            lookups.replaced += len(flow.uses)
        elif flow.uses and error[0] is None:
            raise ValueError(
                f"baselines: the model makes numbers of the ids by {flow.uses[0]} too, where no embedding can stand in "
                'the place of a word; take a baseline of ids, such as "pad" or an id, or "zeros"'
            )

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs, lookups, replacement = kwargs or {}, self._lookups, self._replacement
        if replacement is None or lookups.flow is None or lookups.inside:
            return func(*args, **kwargs)
        lookup = _functional(func, args, kwargs)
        if lookup is None or not lookups.reads(lookup[0]):
            return lookups.flow.call(func, args, kwargs)
        lookups.replaced += 1
        return replacement.applied(func(*args, **kwargs), *lookup)


def _functional(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, Lookup] | None:
    """The index and the table of a lookup among torch's functions, None for any other function."""
    if func is nn.functional.embedding:
        bound = dict(zip(("input", "weight"), args, strict=False)) | kwargs
        rest = {k: v for k, v in bound.items() if k not in {"input", "weight"}}
        return bound["input"], lambda ids: nn.functional.embedding(ids, bound["weight"], **rest)
    if func is torch.embedding and len(args) > 1:
        return args[1], lambda ids: torch.embedding(args[0], ids)
    indexing = func is Tensor.__getitem__ and isinstance(args[1], Tensor) and args[0].dim() == 2
    if indexing and args[0].is_floating_point():
        return args[1], lambda ids: args[0][ids]
    return None
