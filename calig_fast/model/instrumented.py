"""A model that can be watched at its block inputs, and entered at any of them.

The blocks of the twin get a `forward` of ours. Running from block l, the blocks below hand their input through, block l
gets the hidden state it is told, and everything from there on is the user's own code.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .attention_capture import Attention, Reader
from .clone import share_weights
from .encoder import Encoder

Call = Mapping[str, Any]


@dataclass
class Record:
    """What one pass through the model left.

    Args:
        hidden: block inputs h_0 .. h_{L-1} [N,T,D], then the last block's output, all in the graph of `output`.
        attention: one per block, where asked for.
        output: what the model returned.
    """

    hidden: list[Tensor] = field(default_factory=list)
    attention: list[Attention] = field(default_factory=list)
    output: Any = None


@dataclass(frozen=True)
class Layout:
    """How a model runs its blocks.

    Args:
        order: which of the blocks is run, call by call.
        others: what else each call returned beside the hidden state, None where it returned a bare tensor.
    """

    order: tuple[int, ...]
    others: tuple[tuple[Any, ...] | None, ...]


class InstrumentedModel:
    """The twin of a model, its blocks under control. One thread at a time may run it.

    Args:
        model: the user's model; not touched.
        encoder: where its blocks are.
        dtype: floating dtype to run in; None for the model's own.
    """

    def __init__(self, model: nn.Module, encoder: Encoder, dtype: torch.dtype | None = None) -> None:
        self.model = share_weights(model, dtype)
        self._lookup: Callable[[Tensor], Tensor] | None = None
        self._words: Callable[[Tensor], Tensor] | None = None
        self.blocks = [self.model.get_submodule(name) for name in encoder.blocks]
        for number, block in enumerate(self.blocks):
            block.forward = functools.partial(self._block, number, block.forward)
        if encoder.stem is not None:
            stem = self.model.get_submodule(encoder.stem)
            stem.forward = functools.partial(self._stem, stem.forward)
        if encoder.embedding is not None:
            embedding = self.model.get_submodule(encoder.embedding)
            self._lookup = embedding.forward
            embedding.forward = functools.partial(self._embed, embedding.forward)
        self.order: list[int] = []
        self._tokens = 0
        self._start = 0
        self._final: Tensor | None = None
        self._embedded: Tensor | None = None
        self._stem_shape: torch.Size | None = None
        self._inject: Tensor | None = None
        self._calls = 0
        self._inside = False
        self._record: Record | None = None
        self._tuple: list[tuple[Any, ...] | None] = []

    def record(self, call: Call, attention: bool, words: Callable[[Tensor], Tensor] | None = None) -> Record:
        """One whole pass, watched.

        Args:
            call: keyword arguments of the model; a sole unnamed input stands under "".
            attention: catch the attention of every block.
            words: applied to the word embeddings [N,T,E], which is how a reference comes in.

        Returns:
            the record; `hidden[0]` is a leaf that requires grad.

        Raises:
            ValueError: attention was asked for and a block holds no attention that can be read, or more than one.
        """
        self._record, self._tuple, self.order = Record(), [], []
        reader = Reader(self._caught) if attention else nullcontext()
        try:
            with reader:
                self._record.output = self._run(call, 0, None, words)
            record = self._record
        finally:
            self._record = None
        self._tokens = record.hidden[0].shape[1] if record.hidden else 0
        if not record.hidden:
            raise ValueError("layers: the named blocks were not run by the model; name the blocks its forward calls")
        if len(shapes := {tuple(h.shape) for h in record.hidden[:-1]}) > 1:
            raise ValueError(
                f"model: expected blocks that all take hidden states of one shape, got {sorted(shapes)}; a model that "
                "merges patches between its stages is explained a stage at a time: name the blocks of one"
            )
        if attention and len(record.attention) != len(record.hidden) - 1:
            raise ValueError(
                f"model: {len(record.attention)} readable attention calls in {len(record.hidden) - 1} blocks; the "
                "method needs one self-attention a block, through scaled_dot_product_attention or softmax. Take a "
                'method that needs none, such as method="layer_ig"'
            )
        return record

    @property
    def layout(self) -> Layout:
        """How the blocks were run when the model was last recorded."""
        return Layout(tuple(self.order), tuple(self._tuple))

    def embed(self, call: Call, layout: Layout, words: Callable[[Tensor], Tensor] | None = None) -> tuple[Tensor, Any]:
        """What block 0 receives, [N,T,D], without running any block, and what the head says of that.

        Args:
            call: the model's arguments, N rows.
            layout: how this model runs its blocks, from an earlier record.
            words: see `record`.
        """
        self.order, self._tuple = list(layout.order), list(layout.others)
        self._embedded = None
        output = self._run(call, self.depth, None, words)
        hidden, self._embedded = self._embedded, None
        if hidden is None:
            raise ValueError("layers: the named blocks were not run by the model; name the blocks its forward calls")
        self._tokens = hidden.shape[1]
        return hidden, output

    @property
    def dtype(self) -> torch.dtype:
        """The dtype the twin runs in."""
        return next(self.model.parameters()).dtype

    def cast(self, call: Call) -> dict[str, Tensor]:
        """The arguments with pixels and embeddings in the twin's dtype; masks and ids stay."""
        return {k: v.to(self.dtype) if v.is_floating_point() and v.dim() > 2 else v for k, v in call.items()}

    def lookup(self, ids: Tensor) -> Tensor:
        """Word embeddings of ids [N,T]."""
        if self._lookup is None:
            raise ValueError("baselines: the model has no word embedding to take the reference from; pass embeddings")
        return self._lookup(ids)

    @property
    def depth(self) -> int:
        """L, the number of blocks the model ran when it was last recorded."""
        return len(self._tuple)

    def run(self, call: Call, start: int, hidden: Tensor) -> Any:
        """The model's output when block `start` receives `hidden` [N,T,D]."""
        return self._run(call, start, hidden, None)

    def head(self, call: Call, hidden: Tensor) -> Any:
        """The model's output when its last block gives `hidden` [N,T,D] (or [N,1,D], where the head reads one row).

        Neither the blocks nor the patch embedding are run; what has a column a token is cut to the rows of `hidden`.
        """
        self._final = hidden
        try:
            rows = hidden.shape[1]
            cut = {k: v[:, :rows] if v.dim() in {2, 3} and v.shape[1] == self._tokens else v for k, v in call.items()}
            return self._run(cut, self.depth, None, None)
        finally:
            self._final = None

    def trace(self, call: Call, hidden: Tensor) -> Record:
        """A pass entered at block 0 with `hidden`, block inputs watched."""
        self._record = Record()
        try:
            self._record.output = self._run(call, 0, hidden, None)
            return self._record
        finally:
            self._record = None

    def _run(self, call: Call, start: int, hidden: Tensor | None, words: Callable[[Tensor], Tensor] | None) -> Any:
        self._start, self._inject, self._calls, self._words = start, hidden, 0, words
        try:
            return self.model(call[""]) if "" in call else self.model(**call)
        finally:
            self._inject = self._words = None

    def _embed(self, forward: Callable[[Tensor], Tensor], ids: Tensor) -> Tensor:
        out = forward(ids)
        return out if self._words is None else self._words(out)

    def _caught(self, attention: Attention) -> None:
        if self._record is not None and self._inside:
            self._record.attention.append(attention)

    def _stem(self, forward: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        if self._final is not None and self._stem_shape is not None:
            return self._final.new_zeros(1, *self._stem_shape[1:]).expand(len(self._final), *self._stem_shape[1:])
        out = forward(*args, **kwargs)
        self._stem_shape = out.shape
        return out

    def _block(self, number: int, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        index = self._calls
        self._calls += 1
        name = None if args else _hidden_name(kwargs)
        hidden: Tensor = args[0] if name is None else kwargs[name]
        if index < self._start:
            if index == 0 and self._final is None:
                self._embedded = hidden
            if self._final is not None and index == self.depth - 1:
                hidden = self._final
            others = self._tuple[index]
            return hidden if others is None else (hidden, *others)
        record = self._record
        if index == self._start and self._inject is not None:
            hidden = self._inject
        elif index == 0 and record is not None:
            hidden = hidden.detach().requires_grad_()
        self._inside = True
        try:
            out = forward(hidden, *args[1:], **kwargs) if name is None else forward(**{**kwargs, name: hidden})
        finally:
            self._inside = False
        if record is not None:
            first, *rest = out if isinstance(out, tuple) else (out,)
            record.hidden[index:] = [hidden, first]
            if len(self._tuple) == index:
                self.order.append(number)
                self._tuple.append(tuple(None for _ in rest) if isinstance(out, tuple) else None)
        return out


def _hidden_name(kwargs: Mapping[str, Any]) -> str:
    """The keyword that carries the hidden state of a block called with keywords alone."""
    if "hidden_states" in kwargs:
        return "hidden_states"
    found = next((k for k, v in kwargs.items() if isinstance(v, Tensor) and v.dim() == 3), None)
    if found is None:
        raise ValueError("layers: a named block receives no hidden state [N,T,D]; name modules that do")
    return found
