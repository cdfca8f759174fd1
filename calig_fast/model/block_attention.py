"""The attention of one block as a map of token by token, made of one call or of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .attention_capture import Attention, MapKind
from .token_slots import NONE, Slots, slots

_NEGLIGIBLE = 1e-6  # a share of attention that need not be seen in a gradient
_NOTHING = 1e-12  # of the largest gradient of an output token: of a masked token that a mask of -100 leaves e^-100


@dataclass(frozen=True)
class _Part:
    """One call, and the tokens behind its slots; None where it is of all tokens, in their order."""

    call: Attention
    slots: Slots | None = None


@dataclass(frozen=True)
class BlockAttention:
    """The attention of one block.

    Args:
        parts: its calls, each of which covers other queries.
        rows: N.
        tokens: T.
    """

    parts: tuple[_Part, ...]
    rows: int
    tokens: int

    @property
    def watched(self) -> list[Tensor]:
        """The tensors of the graph whose gradients `map` wants."""
        return [part.call.watched for part in self.parts]

    def map(self, row: int, gradients: Sequence[Tensor] | None, kind: MapKind) -> Tensor:
        """One input's map, the mean over the heads.

        Args:
            row: which row of the batch.
            gradients: dF/d watched, or None for kind "attention".
            kind: "gradient" mean_h A (.) dF/dA; "positive_gradient" mean_h max(0, A (.) dF/dA); "attention" mean_h A.

        Returns:
            [T,T] float32 (float64 where the model runs in float64).
        """
        maps = [
            self._of_part(part, row, None if gradients is None else gradients[index], kind)
            for index, part in enumerate(self.parts)
        ]
        return torch.stack(maps).sum(0) if len(maps) > 1 else maps[0]

    def _of_part(self, part: _Part, row: int, gradient: Tensor | None, kind: MapKind) -> Tensor:
        call, slot_tokens = part.call, part.slots
        if slot_tokens is None:
            heads = call.shape[:-2].numel() // self.rows
            return call.products(slice(row * heads, (row + 1) * heads), gradient, kind).mean(0)
        in_row = (slot_tokens.queries != NONE) & (slot_tokens.queries // self.tokens == row)
        which = in_row.any(1).nonzero().flatten()
        products = call.products(which, gradient, kind)
        tokens = self.tokens
        queries = torch.where(in_row[which], slot_tokens.queries[which] % tokens, tokens)
        keys = slot_tokens.keys[which]
        keys = torch.where(keys == NONE, tokens, keys % tokens)
        wide = tokens + 1  # the last row and column take what is of no token
        places = (queries[..., None] * wide + keys).expand(products.shape)
        out = products.new_zeros(wide * wide).index_add_(0, places.flatten(), products.flatten())
        each = torch.bincount(queries.flatten(), minlength=wide)[:tokens]
        heads = max(1, int(each.max()))
        return out.view(wide, wide)[:tokens, :tokens] / heads


def block_attention(
    calls: Sequence[tuple[Attention, bool]], hidden: Tensor, after: Tensor, known: list[Slots]
) -> list[BlockAttention]:
    """The attention of a block, as it can be read.

    Calls over all tokens are taken as they are. Else the columns that no value stands behind are sinks, and are left
    out. Else maps of windows, bands and the like are folded: where every logit depends on its query's and its key's
    token alone, every token is a query of one call, and no token passes on to another but by these maps.

    Args:
        calls: the attention calls of the block, and if each is of all tokens.
        hidden: [N,T,D], what the block received.
        after: [N,T,D], what it gave, in the graph of `hidden`.
        known: slots found in other blocks; new ones are added.

    Returns:
        one; none where it cannot be read; several where more than one call is of all tokens.
    """
    rows, tokens = hidden.shape[:2]

    def made(*parts: _Part) -> BlockAttention:
        return BlockAttention(
            tuple(replace(part, call=replace(part.call, logits=None)) for part in parts), rows, tokens
        )

    plain = [made(_Part(call)) for call, whole in calls if whole]
    others = [call for call, _ in calls if call.watched.requires_grad]
    if plain or not others or not after.requires_grad:
        return plain
    slopes = torch.autograd.grad(
        after, [c.watched for c in others], _random(after), retain_graph=True, allow_unused=True
    )
    read = [(call, slope) for call, slope in zip(others, slopes, strict=True) if slope is not None]
    sinks = [trimmed for call, slope in read if (trimmed := _without_sinks(call, slope, hidden)) is not None]
    if sinks:
        return [made(_Part(call)) for call in sinks]
    try:
        folded = [part for call, slope in read if (part := _folded(call, slope, hidden, known)) is not None]
    except RuntimeError:  # an operation that cannot be differentiated twice
        return []
    if not _apart(folded, rows * tokens):
        return []
    attention = made(*folded)
    idle = not any(bool(slope.any()) for _, slope in read)  # as where a scale after it is zero
    return [attention] if idle or _mixes_alone(attention, hidden, after) else []


def _without_sinks(call: Attention, slope: Tensor, hidden: Tensor) -> Attention | None:
    """The call without the columns that stand before or after all tokens and have no value; None for another call."""
    lead, (queries, keys) = call.shape[:-2], call.shape[-2:]
    tokens = hidden.shape[1]
    if queries != tokens or keys <= tokens or lead.numel() % len(hidden) or not call.rows_apart(hidden):
        return None
    unread = call.unread(slope)
    for columns in ((0, tokens), (keys - tokens, keys)):
        if not bool(unread[slice(*columns)].any()) and int(unread.sum()) == keys - tokens:
            return replace(call, kept=columns)
    return None


def _folded(call: Attention, slope: Tensor, hidden: Tensor, known: list[Slots]) -> _Part | None:
    """The call with the tokens behind its slots, less the queries that the block's output does not depend on."""
    if call.logits is None:
        return None
    attention = call.products(slice(None), None, "attention").view(call.shape)
    slot_tokens = slots(call.logits(), attention, hidden, known)
    if slot_tokens is None:
        return None
    if not any(slot_tokens is one for one in known):
        known.append(slot_tokens)
    live = (slope != 0).flatten(0, -3).any(-1)
    queries = torch.where(live, slot_tokens.queries, NONE) if bool(live.any()) else slot_tokens.queries
    return _Part(call, replace(slot_tokens, queries=queries))


def _apart(parts: Sequence[_Part], count: int) -> bool:
    """Return True if no token is a query of two parts, and those of a part have as many heads."""
    covered = torch.zeros(count, dtype=torch.long)
    for part in parts:
        assert part.slots is not None
        queries = part.slots.queries.flatten().cpu()
        heads = torch.bincount(queries[queries != NONE], minlength=count)
        if not bool(((heads == 0) | (heads == heads.max())).all()):
            return False
        covered += heads > 0
    return bool(covered.any()) and bool((covered < 2).all())


def _mixes_alone(attention: BlockAttention, hidden: Tensor, after: Tensor) -> bool:
    """Return True if tokens of the block's output depend on the tokens that the map says, and on no others.

    Tokens of each input are tried, the one that attends least among them. A share of next to nothing may stay unseen.
    """
    rows, tokens = hidden.shape[:2]
    generator = torch.Generator().manual_seed(1)
    weights = _random(after)
    maps = torch.stack([attention.map(row, None, "attention") for row in range(rows)])
    each = torch.arange(rows, device=hidden.device)
    tries = [torch.randint(tokens, (rows,), generator=generator).to(hidden.device) for _ in range(2)]
    for tried in (*tries, maps.sum(-1).argmin(-1)):
        slope = torch.zeros_like(after)
        slope[each, tried] = weights[each, tried]
        sizes = torch.autograd.grad(after, hidden, slope, retain_graph=True)[0].float().norm(dim=-1)
        depends = sizes > _NOTHING * sizes.amax(1, keepdim=True)
        shares = maps[each, tried]
        depends[each, tried] = True
        shares[each, tried] = 1
        if bool((depends & (shares == 0)).any()) or bool((~depends & (shares > _NEGLIGIBLE)).any()):
            return False
    return True


def _random(like: Tensor) -> Tensor:
    """Weights of a sum, the same at each call."""
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(0)).to(like)
