"""A model that records its block inputs, and can start at any of them.

The blocks of the clone get a `forward` of ours. In a run from block l, earlier blocks return their recorded outputs.
Block l receives a given hidden state. All code after it is the user's own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from threading import RLock
from typing import Any

import torch
from torch import Tensor, nn

from .altered_backward import altered, operations
from .attention_capture import Attention, Reader
from .backward_rules import Rules
from .block_attention import block_attention
from .block_state import AtBlocksError, Others, beside, picked_rows, returned, run_block, state_given, state_in
from .call import Call, called_again, concatenated, row_count
from .clone import share_weights
from .containers import mapped
from .encoder import Encoder
from .recomputation import without_checkpoints
from .recorded import Layout, Record, Seen, check_record
from .token_axes import AmbiguousAxesError, TokenAxes, token_axes
from .token_slots import Slots
from .word_lookup import Lookup, Replacement, WordLookups

__all__ = ["Call", "InstrumentedModel", "Layout", "Record", "Seen"]


class InstrumentedModel:
    """The twin of a model, its blocks under control. One thread at a time may run it: see `held`.

    Args:
        model: the user's model; not touched.
        encoder: where its blocks are.
        dtype: floating dtype to run in; None for the model's own.
        hooks: run the forward hooks that the user put on the model.
        rules: the gradients of its operations, None for their own.
    """

    def __init__(
        self,
        model: nn.Module,
        encoder: Encoder,
        dtype: torch.dtype | None = None,
        *,
        hooks: bool = True,
        rules: Rules | None = None,
    ) -> None:
        self.model = share_weights(model, dtype, hooks=hooks)
        self._altered = altered(rules)
        self.blocks = [self.model.get_submodule(name) for name in encoder.blocks]
        for number, block in enumerate(self.blocks):
            block.forward = functools.partial(self._block, number, block.forward)
        if encoder.stem is not None:
            stem = self.model.get_submodule(encoder.stem)
            stem.forward = functools.partial(self._stem, stem.forward)
        embedding = None if encoder.embedding is None else self.model.get_submodule(encoder.embedding)
        self._words = WordLookups(self.model, embedding) if encoder.modality == "text" else None
        self._lock = RLock()
        self.order: list[int] = []
        self._axes: list[TokenAxes] = []
        self._learned = self._inside = self._running = False
        self._tokens = self._start = self._rows = self._calls = 0
        self._final: Tensor | None = None
        self._embedded: Tensor | None = None
        self._stem_shape: torch.Size | None = None
        self._inject: Tensor | None = None
        self._made: list[Any] | None = None
        self._changed: Tensor | None = None
        self._first_shape: torch.Size | None = None
        self._entered: list[tuple[Tensor, Tensor | None, TokenAxes]] = []
        self._record: Record | None = None
        self._seen: list[tuple[Attention, bool]] = []
        self._tuple: list[Others] = []

    def record(
        self,
        call: Call,
        attention: bool,
        replacement: Replacement | None = None,
        changed: Tensor | None = None,
    ) -> Record:
        """One whole pass, watched.

        Args:
            call: keyword arguments of the model, N rows; a sole unnamed input stands under "".
            attention: catch the attention of every block.
            replacement: the baseline's words, for the second half of the rows.
            changed: [N/2,T] bool, tokens that differ between the halves, where the second holds baselines of a text.

        Returns:
            the record; `hidden[0]` is a leaf that requires grad.

        Raises:
            ValueError: the blocks are not run, their hidden states differ in shape or cannot be read as [N,T,D]; a
                replacement was given and no lookup of the ids was seen; attention was asked for and a block holds no
                attention of token by token that can be read, or more than one; a backward rule meets no operation.
        """
        if replacement is not None or not self._learned:
            self._axes = []
        try:
            return self._recorded(call, attention, replacement, changed)
        except AmbiguousAxesError:
            if replacement is None or changed is None:
                raise
        # every token differs from its baseline; a pass in which one alone does tells the axes
        one = changed & (changed.cumsum(1) == 1)
        self._axes = []
        self._recorded(call, False, replacement.at(one), one)
        return self._recorded(call, attention, replacement, changed)

    def _recorded(self, call: Call, attention: bool, replacement: Replacement | None, changed: Tensor | None) -> Record:
        """See `record`; the axes of hidden states are those known, where there are any."""
        self._rows = row_count(call)
        self._record, self._tuple, self.order = Record(rows=self._rows), [], []
        self._slots: list[Slots] = []
        self._changed = changed
        try:
            self._record.output = self._run(call, 0, None, replacement, Reader(self._caught) if attention else None)
            record = self._record
        finally:
            self._record = None
        self._tokens = record.hidden[0].shape[1] if record.hidden else 0
        check_record(record, attention, self._altered)
        if replacement is not None and self._words is not None and not self._words.replaced:
            raise ValueError(
                "baselines: the ids reach no table of word embeddings that can be seen, so no baseline can stand in "
                'their place; pass inputs_embeds, or baselines="zeros" (a zero hidden state at every layer)'
            )
        return record

    def learn_axes(self, call: Call, name: str, real: Tensor) -> None:
        """Tell the axes of the hidden states of a text that has no baseline, by a pass in which one word changes.

        Args:
            call: the model's arguments, B rows.
            name: of the argument that carries the ids.
            real: [B,T] bool, tokens that are no padding.
        """
        ids = call[name]
        real = real.to(ids.device)
        one = real & (real.cumsum(1) == 1)
        there = ids[one][:, None]
        others = torch.where(one, torch.where(there > 0, there - 1, there + 1), ids)
        both = concatenated(call, call)
        words = Replacement(both[name], lambda out, look: look(others), torch.cat([ids, others]))
        self._axes, self._learned = [], False
        with suppress(ValueError):  # what it says is said of the call itself
            self._recorded(both, False, words, one)
            self._learned = True

    @torch.no_grad()
    def whole(self, call: Call, replacement: Replacement | None = None) -> Any:
        """The model's output for a call, with baselines in the place of words in its second half."""
        return self._run(call, 0, None, replacement)

    @contextmanager
    def held(self, seen: Seen | None = None) -> Iterator[None]:
        """No other thread runs the twin meanwhile; with `seen` it knows the call that left it."""
        with self._lock:
            if seen is not None:
                self.order, self._tuple = list(seen.layout.order), list(seen.layout.others)
                self._axes, self._first_shape = list(seen.axes), seen.first_shape
                self._tokens, self._stem_shape = seen.tokens, seen.stem_shape
            yield

    def forget(self) -> None:
        """Let go of the tensors of the last call."""
        self._entered, self._embedded, self._changed = [], None, None

    @property
    def seen(self) -> Seen:
        """The knowledge of the last call, to enter the same again."""
        return Seen(
            layout=self.layout,
            axes=tuple(self._axes),
            first_shape=self._first_shape,
            tokens=self._tokens,
            stem_shape=self._stem_shape,
        )

    @property
    def layout(self) -> Layout:
        """The layout of the model's last record."""
        return Layout(tuple(self.order), tuple(self._tuple), None if self._words is None else self._words.alone)

    @property
    def plain(self) -> bool:
        """Return True where the blocks' hidden states are [N,T,D] as they are."""
        return all(axes.plain for axes in self._axes)

    def embed(self, call: Call, layout: Layout, replacement: Replacement | None = None) -> Tensor:
        """The input of block 0, [N,T,D], of a pass that ends there.

        Args:
            call: the model's arguments, N rows.
            layout: how this model runs its blocks, from an earlier record.
            replacement: see `record`.
        """
        self.order, self._tuple, self._embedded = list(layout.order), list(layout.others), None
        if layout.lookups is not None and replacement is not None and self._words is not None:
            self._embed(call, replacement.unwatched)  # watching is 0.5 of a BERT's 1.2 ms (Zen 4, 1 thread)
            self._embedded = self._embedded if self._words.replaced == layout.lookups else None
        if self._embedded is None:
            self._embed(call, replacement)
        hidden, self._embedded = self._embedded, None
        if hidden is None:
            raise ValueError("layers: the named blocks were not run by the model; name the blocks its forward calls")
        self._tokens = hidden.shape[1]
        return hidden

    def _embed(self, call: Call, replacement: Replacement | None) -> None:
        with suppress(AtBlocksError):
            self._run(call, self.depth, None, replacement)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype the twin runs in."""
        return next(self.model.parameters()).dtype

    def cast(self, call: Call) -> dict[str, Any]:
        """The arguments with pixels and embeddings in the twin's dtype; masks and ids stay."""
        return {
            k: v.to(self.dtype) if isinstance(v, Tensor) and v.is_floating_point() and v.dim() > 2 else v
            for k, v in call.items()
        }

    @property
    def lookup(self) -> Lookup:
        """Word embeddings [N,T,E] as a function of ids [N,T].

        Raises:
            ValueError: the model names no module that embeds words.
        """
        lookup = None if self._words is None else self._words.preferred
        if lookup is None:
            raise ValueError("baselines: the model has no word embedding to take the baseline from; pass embeddings")
        return lookup

    @property
    def depth(self) -> int:
        """L, the number of blocks the model ran when it was last recorded."""
        return len(self._tuple)

    def run(self, call: Call, start: int, hidden: Tensor, before: tuple[Record, Tensor]) -> Any:
        """The model's output when block `start` receives `hidden` [N,T,D].

        Args:
            call: the model's arguments, N rows.
            start: l.
            hidden: what block l receives.
            before: a record, and which of its rows [N] the blocks below return.
        """
        record, index = before
        self._made = [picked_rows(record.made[i], record.rows, self._axes[i].rows_axis, index) for i in range(start)]
        try:
            return self._run(call, start, hidden, None)
        finally:
            self._made = None

    def head(self, call: Call, hidden: Tensor) -> Any:
        """The model's output when its last block gives `hidden` [N,T,D] (or [N,1,D], where the head reads one row).

        Neither the blocks nor the patch embedding are run; what has a column a token is cut to the rows of `hidden`.
        """
        self._final = hidden
        try:
            rows = hidden.shape[1]
            cut = {
                k: v[:, :rows] if isinstance(v, Tensor) and v.dim() in {2, 3} and v.shape[1] == self._tokens else v
                for k, v in call.items()
            }
            return self._run(cut, self.depth, None, None)
        finally:
            self._final = None

    def trace(self, call: Call, hidden: Tensor) -> Record:
        """A pass entered at block 0 with `hidden`, block inputs watched."""
        self._record = Record()
        self._rows = len(hidden)
        try:
            self._record.output = self._run(call, 0, hidden, None)
            return self._record
        finally:
            self._record = None

    def _run(
        self, call: Call, start: int, hidden: Tensor | None, words: Replacement | None, reader: Reader | None = None
    ) -> Any:
        self._start, self._inject, self._calls = start, hidden, 0
        self._running, self._entered = True, []
        try:
            lookups = nullcontext() if self._words is None else self._words.watching(words)
            with operations(self._altered, reader), lookups, without_checkpoints():
                return called_again(self.model, call)
        finally:
            self._inject, self._running = None, False

    def _caught(self, attention: Attention) -> None:
        record = self._record
        if record is not None and self._inside:
            self._seen.append((attention, attention.of_tokens(record.hidden[-1])))

    def _stem(self, forward: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        if self._final is not None and self._stem_shape is not None:
            return self._final.new_zeros(1, *self._stem_shape[1:]).expand(len(self._final), *self._stem_shape[1:])
        out = forward(*args, **kwargs)
        self._stem_shape = out.shape
        return out

    def _block(self, number: int, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self._running:
            return self._again(forward, args, kwargs)
        index = self._calls
        self._calls += 1
        given = hidden = state_given(forward, args, kwargs)
        if index < self._start:
            return self._skipped(index, hidden)
        record = self._record
        if record is None and (index != self._start or self._inject is None):
            return forward(*args, **kwargs)
        axes = self._axes_of(index, number, hidden)
        if index == self._start and self._inject is not None:
            hidden = axes.write(self._inject)
            if record is not None:
                record.hidden.append(self._inject)
        elif record is not None:
            tokens = axes.read(hidden)
            tokens = tokens if index and tokens.requires_grad else tokens.detach().requires_grad_()
            record.hidden[index:] = [tokens]
            hidden = axes.write(tokens)
        if hidden is not given:
            self._entered.append((given, self._inject if record is None else record.hidden[index], axes))
        self._inside, self._seen = True, []
        try:
            out = run_block(forward, given, hidden, args, kwargs)
        finally:
            self._inside = False
        return out if record is None else self._noted(record, index, number, out, axes)

    def _again(self, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """A block that a checkpoint of the user's runs a second time, for its gradients, with the same hidden state."""
        given = state_given(forward, args, kwargs)
        with operations(self._altered):
            for before, tokens, axes in self._entered:
                if tokens is not None and before.data_ptr() == given.data_ptr() and before.shape == given.shape:
                    return run_block(forward, given, axes.write(tokens), args, kwargs)
            return forward(*args, **kwargs)

    def _skipped(self, index: int, hidden: Tensor) -> Any:
        """The output of a block that is not run: its recorded output, or else its own input."""
        if self._made is not None:
            return self._made[index]
        if self._final is None:
            self._embedded = hidden
            raise AtBlocksError
        if index == self.depth - 1:
            hidden = self._final
        return returned(hidden, self._tuple[index])

    def _axes_of(self, index: int, number: int, hidden: Tensor) -> TokenAxes:
        """The axes of a block's state: those of the first, where it has the same shape; later ones mix the tokens."""
        if index < len(self._axes):
            return self._axes[index]
        if index and hidden.shape == self._first_shape:
            axes = self._axes[0]
        else:
            axes = token_axes(hidden, self._rows, self._changed, self.blocks[number])
        if not index:
            self._first_shape = hidden.shape
        self._axes.append(axes)
        return axes

    def _noted(self, record: Record, index: int, number: int, out: Any, axes: TokenAxes) -> Any:
        """A block's output, its hidden state in the graph as [N,T,D]; what it returned is kept in the record."""
        wanted = axes.write(record.hidden[index]).shape
        state = state_in(out, wanted)
        if state is None:
            raise ValueError(
                f"layers: block {index} receives a hidden state {list(wanted)} and returns none of that shape; a model "
                "that merges tokens between its blocks is explained a stage at a time: name the blocks of one stage"
            )
        tokens = axes.read(state)
        record.hidden[index + 1 :] = [tokens]
        record.attention += block_attention(self._seen, record.hidden[index], tokens, self._slots)
        self._seen = []
        record.made.append(mapped(lambda v: v.detach() if isinstance(v, Tensor) else v, out))
        if len(self._tuple) == index:
            self.order.append(number)
            self._tuple.append(beside(out))
        handed_on = tokens if axes.plain else axes.write(tokens)
        return mapped(lambda v: handed_on if v is state else v, out)
