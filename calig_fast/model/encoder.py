"""The description of a model for the engines: its blocks, its inputs, and the layout of its tokens."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import Any, Literal

from torch import Tensor, nn

from .._utils.arguments import choice, function, integer, kind, text
from .backward_rules import Rules
from .position_terms import PositionTerms

Modality = Literal["text", "image"]
Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "relu", "relu_squared", "silu"]
MOST_SIZE = 2**20  # tokens, and pixels of a side of a patch: more are a mistake


@dataclass(frozen=True)
class Affine:
    """y = x W^T + b.

    Args:
        weight: W [out,in].
        bias: b [out], or None.
        parts: the projections that these are a copy of, side by side; none where they are no copy.
    """

    weight: Tensor
    bias: Tensor | None
    parts: tuple[Affine, ...] = ()


@dataclass(frozen=True)
class Norm:
    """Normalisation over the last axis: (x - mean) / deviation, or x / root mean square, times weight, plus bias.

    Args:
        weight: [D], or None.
        bias: [D], or None.
        eps: added to the variance or the mean square.
        rms: the root mean square; the mean is not subtracted.
        frozen: in the backward pass its deviation is a constant.
    """

    weight: Tensor | None
    bias: Tensor | None
    eps: float
    rms: bool = False
    frozen: bool = False


@dataclass(frozen=True)
class Rotary:
    """Rotation of queries and keys by their place p: columns (i, i + n) of a head by the angle p w_i, for i < n.

    Args:
        frequencies: w [n], radians a place, n at most half of a head's columns; numbers, which no dtype rounds.
        factor: factor of the rotated columns.
        most: places of the longest text that is rotated so, None for any.
    """

    frequencies: tuple[float, ...]
    factor: float = 1.0
    most: int | None = None

    def places(self, tokens: int) -> None:
        """Raise where a text of so many tokens is rotated otherwise.

        Raises:
            ValueError: saying from which length on.
        """
        if self.most is not None and tokens > self.most:
            raise ValueError(f"its rotary positions change in texts of more than {self.most} tokens")


@dataclass(frozen=True, eq=False)
class RotaryTable:
    """Rotation of queries and keys by numbers of each place: columns (i, i + n) of a head, for i < n.

    Args:
        cosines: [P,n], of P places.
        sines: likewise.
        whole: of a picture that has P tokens, no fewer.
    """

    cosines: Tensor
    sines: Tensor
    whole: bool = False

    def places(self, tokens: int) -> None:
        """Raise where an input of so many tokens has no place here.

        Raises:
            ValueError: saying how many there are.
        """
        places = len(self.cosines)
        if tokens > places or (self.whole and tokens != places):
            raise ValueError(
                f"its queries and keys are rotated at {places} places, and the input has {tokens} tokens; give it the "
                "size that it was made for"
            )


@dataclass(frozen=True)
class Block:
    """One transformer block as plain tensors, the model's own wherever no copy is needed.

    Args:
        qkv: queries, keys and values side by side, [(H + 2G)E,D], of heads with E columns; a copy where the model keeps
            them apart.
        out: the attention's output projection.
        norm1: norm before (pre-norm) or after (post-norm) the attention, None for none before it.
        norm2: the same of the MLP.
        up: the MLP's first projection; of a gated one, gate and value side by side.
        down: its second.
        activation: between the two.
        heads: H.
        scale: factor of the attention's logits.
        pre_norm: norms come before the attention and the MLP, not after them.
        gated: the activated gate multiplies the value.
        scale1: layer scale [D] of the attention's branch, or None.
        scale2: layer scale [D] of the MLP's branch, or None.
        positions: terms of positions in the attention's logits, or None.
        key_heads: G, heads of keys and of values; each serves H / G heads of queries. None: H.
        norm_q: norm of queries, or None: over the columns of every head, or of all heads where its weight has those.
        norm_k: the same of keys.
        rotary: rotation of queries and keys after these norms, or None.
        rotated_first: it comes before these norms.
        before: rows before a query that it attends to, -1 for all.
        after: rows after it, likewise; 0 is causal attention.
        post1: of a pre-norm block, norm of the attention's branch before it is added, or None.
        post2: the same of the MLP's branch.
        inner1: norm of the attention's rows before their projection, or None.
        inner2: norm of the MLP's activated rows before theirs, or None.
        parallel: of a pre-norm block, the MLP reads the block's input, not the sum after the attention.
        rules: of its gradients, None for its own; its norms have theirs.
    """

    qkv: Affine
    out: Affine
    norm1: Norm | None
    norm2: Norm | None
    up: Affine
    down: Affine
    activation: Activation
    heads: int
    scale: float
    pre_norm: bool = False
    gated: bool = False
    scale1: Tensor | None = None
    scale2: Tensor | None = None
    positions: PositionTerms | None = None
    key_heads: int | None = None
    norm_q: Norm | None = None
    norm_k: Norm | None = None
    rotary: Rotary | RotaryTable | None = None
    rotated_first: bool = False
    before: int = -1
    after: int = -1
    post1: Norm | None = None
    post2: Norm | None = None
    inner1: Norm | None = None
    inner2: Norm | None = None
    parallel: bool = False
    rules: Rules | None = None

    @property
    def groups(self) -> int:
        """G, heads of keys and of values."""
        return self.heads if self.key_heads is None else self.key_heads

    @property
    def head_size(self) -> int:
        """E, columns of a head."""
        return len(self.qkv.weight) // (self.heads + 2 * self.groups)

    @property
    def basic(self) -> bool:
        """Return True for two layer norms, an attention of all tokens with keys of every head, and an MLP after it."""
        if any(n is None or n.rms for n in (self.norm1, self.norm2)) or (self.before, self.after) != (-1, -1):
            return False
        places = self.key_heads, self.norm_q, self.norm_k, self.rotary, self.positions
        norms = self.post1, self.post2, self.inner1, self.inner2
        return not self.parallel and all(part is None for part in (*places, *norms))


@dataclass(frozen=True)
class Encoder:
    """A transformer encoder inside a model.

    Args:
        family: name of the family file that recognised it, or "layers" where the caller named the blocks.
        modality: "text" (integer ids) or "image" (pixels).
        blocks: dotted names of the block modules inside the model; a block used several times stands once.
        embedding: dotted name of the word-embedding module, or None.
        max_length: most tokens the model reads, or None where there is no such limit.
        prefix: tokens before the first image patch.
        patch: patch size in pixels (rows, columns), or None.
        normalisation: mean and standard deviation per channel that its pixels were normalised with, where known.
        readout: [B,T] mask to weights [B,T] of the rows of the last hidden state that the head reads; None: every row
            that the explained scalar has a gradient at, equally.
        read: a block module's weights, or None where the family knows only where its blocks are; raises a ValueError
            that says why where a module computes something else.
        stem: dotted name of the module that makes patch embeddings of pixels, or None.

    Raises:
        TypeError, ValueError: a part of another kind, naming it.
    """

    family: str
    modality: Modality
    blocks: tuple[str, ...]
    embedding: str | None = None
    max_length: int | None = None
    prefix: int = 0
    patch: tuple[int, int] | None = None
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    readout: Callable[[Tensor], Tensor] | None = None
    read: Callable[[nn.Module], Block] | None = None
    stem: str | None = None

    def __post_init__(self) -> None:
        set_ = partial(object.__setattr__, self)
        text("family", self.family, "the name of a family")
        choice("modality", self.modality, ("text", "image"))
        set_("blocks", _names(self.blocks))
        for name in ("embedding", "stem"):
            if not isinstance(getattr(self, name), str | None):
                raise TypeError(
                    f"{name}: expected the dotted name of a module, or None, got {kind(getattr(self, name))}"
                )
        if self.max_length is not None:
            set_("max_length", integer("max_length", self.max_length, 1, what="None or an int"))
        set_("prefix", integer("prefix", self.prefix, 0, MOST_SIZE))
        set_("patch", _patch(self.patch))
        set_("normalisation", _normalisation(self.normalisation))
        if self.readout is not None:
            function("readout", self.readout, 1, "None or a function of the mask [B,T]")
        if self.read is not None:
            function("read", self.read, 1, "None or a function from a block module to its Block")

    def block(self, module: nn.Module) -> Block:
        """The weights of a block module.

        Raises:
            TypeError: `read` returns no Block.
            ValueError: the encoder knows only where its blocks are.
        """
        if self.read is None:
            raise ValueError(f'the family "{self.family}" knows where its blocks are, not their weights')
        block = self.read(module)
        if not isinstance(block, Block):
            raise TypeError(f'encoder: the read of "{self.family}" must return a Block, got {kind(block)}')
        return block


def _names(given: Any) -> tuple[str, ...]:
    if not isinstance(given, tuple | list) or not all(isinstance(name, str) for name in given):
        raise TypeError(f"blocks: expected a tuple of dotted names of modules, got {kind(given)}")
    return tuple(given)


def _patch(given: Any) -> tuple[int, int] | None:
    if given is None:
        return None
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise TypeError(f"patch: expected None or (rows, columns) in pixels, got {kind(given)}")
    rows, columns = (integer("patch", size, 1, MOST_SIZE) for size in given)
    return rows, columns


def _normalisation(given: Any) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    if given is None:
        return None
    wanted = "None or (means, standard deviations), a number for each channel in both"
    pairs = isinstance(given, tuple | list) and len(given) == 2 and all(isinstance(v, tuple | list) for v in given)
    if not pairs or not all(isinstance(v, Real) and not isinstance(v, bool) for part in given for v in part):
        raise TypeError(f"normalisation: expected {wanted}, got {kind(given)}")
    means, deviations = (tuple(map(float, part)) for part in given)
    finite = all(math.isfinite(v) for v in means + deviations) and all(v > 0 for v in deviations)
    if not means or len(means) != len(deviations) or not finite:
        raise ValueError(f"normalisation: expected {wanted}, finite and the latter above 0, got {kind(given)}")
    return means, deviations


def children(model: nn.Module, path: str) -> tuple[str, ...]:
    """Dotted names of the children of the module list at `path`; empty where there is no such list."""
    try:
        stack = model.get_submodule(path)
    except AttributeError:
        return ()
    return tuple(f"{path}.{name}" for name, _ in stack.named_children())


def name_of(model: nn.Module, module: nn.Module | None) -> str | None:
    """Dotted name of `module` inside `model`, or None."""
    return next((name for name, m in model.named_modules() if m is module), None)
