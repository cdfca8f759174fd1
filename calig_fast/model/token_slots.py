"""The tokens behind the rows and columns of an attention map that is none of token by token, such as one of windows.

No layout is assumed. A token's number is sent through the block's own code: derivatives of the logits in the direction
of half the tokens are zero, exactly, where a logit depends on none of them. Every bit of the numbers is such a half.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

NONE = -1
# random halves of the tokens, which every logit has to follow as the slots say
_FOUND, _KNOWN = 3, 8


@dataclass(frozen=True)
class Slots:
    """The tokens that the queries and keys of a map stand for; the map is read as M matrices [t,u].

    Args:
        queries: [M,t] number of the token, of all N*T of the inputs; -1 for none.
        keys: [M,t,u], or [M,1,u] for all queries, the same of the keys; -1 for none, such as padding or a sink.
    """

    queries: Tensor
    keys: Tensor


class _Moved:
    """Dependence of logits on tokens, as derivatives along a random direction tell it.

    Args:
        logits: [...], in the graph of `hidden`.
        hidden: [N,T,D].
    """

    def __init__(self, logits: Tensor, hidden: Tensor) -> None:
        self._dummy = torch.zeros_like(logits, requires_grad=True)
        self._pulled = torch.autograd.grad(
            logits, hidden, self._dummy, retain_graph=True, create_graph=True, materialize_grads=True
        )[0]
        generator = torch.Generator().manual_seed(0)
        self._direction = torch.randn(hidden.shape, generator=generator).to(hidden)

    @property
    def count(self) -> int:
        """N*T."""
        return self._direction.shape[:2].numel()

    @property
    def device(self) -> torch.device:
        """The place of the logits."""
        return self._dummy.device

    def by(self, chosen: Tensor) -> Tensor:
        """True for each logit that a change of the chosen tokens [N*T] moves."""
        if not self._pulled.requires_grad:
            return torch.zeros_like(self._dummy, dtype=torch.bool)
        chosen = chosen.view(*self._direction.shape[:2], 1)
        return torch.autograd.grad(
            self._pulled, self._dummy, self._direction * chosen, retain_graph=True, materialize_grads=True
        )[0].ne(0)


def slots(logits: Tensor, attention: Tensor, hidden: Tensor, known: Sequence[Slots] = ()) -> Slots | None:
    """Find the tokens of a map's queries and keys.

    Args:
        logits: [...,t,u] before the softmax, in the graph of `hidden`; masked ones may be any.
        attention: [...,t,u], their softmax.
        hidden: [N,T,D], what the block received.
        known: slots of other blocks, tried first.

    Returns:
        the slots; None where a logit depends on other tokens than one query and one key, or the two cannot be told.
    """
    if logits.shape != attention.shape:
        return None
    masked = attention.detach() == 0
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):  # not among those the caller counts
        moved = _Moved(logits, hidden)
        for candidate in known:
            if _fits(candidate, masked) and _follow(moved, masked, candidate, _KNOWN):
                return candidate
        for reading in (_square, _band):
            decoded = reading(moved, masked)
            inside = decoded is not None and _in_one_input(decoded, hidden.shape[1])
            if decoded is not None and inside and _follow(moved, masked, decoded, _FOUND):
                return decoded
    return None


def _fits(slots: Slots, masked: Tensor) -> bool:
    """Return True if slots are of maps of this shape."""
    rows, (queries, keys) = masked.shape[:-2].numel(), masked.shape[-2:]
    return slots.queries.shape == (rows, queries) and slots.keys.shape in {(rows, 1, keys), (rows, queries, keys)}


def _bits(count: int, device: torch.device) -> list[Tensor]:
    """Bit b of the numbers 0 to count - 1, for every b."""
    numbers = torch.arange(count, device=device)
    return [(numbers >> b & 1).bool() for b in range(max(1, (count - 1).bit_length()))]


def _square(moved: _Moved, masked: Tensor) -> Slots | None:
    """The slots where key i is query i: a logit of the diagonal depends on one token."""
    if masked.shape[-1] != masked.shape[-2]:
        return None
    either, both, seen = _codes(moved, lambda m: m.reshape(-1, *m.shape[-2:]).diagonal(dim1=-2, dim2=-1))
    if not bool(seen.any()) or not torch.equal(either[seen], both[seen]):
        return None
    tokens = torch.where(seen, either, NONE)
    return Slots(tokens, tokens[:, None])


def _band(moved: _Moved, masked: Tensor) -> Slots | None:
    """The slots of rows that each have their own keys, a row's own token among them.

    With the numbers i of the query and j of the key, `either` is i | j and `both` is i & j. Over a row that holds j = i
    the least of the former and the largest of the latter are i.
    """
    masked = masked.reshape(-1, *masked.shape[-2:])
    either, both, seen = _codes(moved, lambda m: m.reshape(masked.shape))
    least, largest = torch.full_like(either[..., 0], NONE), torch.zeros_like(either[..., 0])
    for column in range(masked.shape[-1]):
        least &= torch.where(seen[..., column], either[..., column], NONE)
        largest |= torch.where(seen[..., column], both[..., column], 0)
    some = seen.any(-1)
    if not bool(some.any()) or not torch.equal(least[some], largest[some]):
        return None
    queries = torch.where(some, least, NONE)
    keys = torch.where(seen & ~masked, either ^ both ^ queries[..., None], NONE)
    # padding depends on the query alone, as the query's own key does; another token may stand twice in a row
    own = (keys == queries[..., None]).sum(-1)
    return None if bool((own[some] > 1).any()) or int(keys.max()) >= moved.count else Slots(queries, keys)


def _codes(moved: _Moved, part: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """For a part of the logits: the OR and the AND of the numbers of the tokens it depends on, and if it does on any.

    The AND is that of two tokens or fewer: a bit is in it where no token without the bit moves the logit.
    """
    seen = part(moved.by(torch.ones(moved.count, dtype=torch.bool, device=moved.device)))
    either, both = torch.zeros_like(seen, dtype=torch.int32), torch.zeros_like(seen, dtype=torch.int32)
    for b, bit in enumerate(_bits(moved.count, moved.device)):
        with_bit, without = part(moved.by(bit)), part(moved.by(~bit))
        seen = seen | with_bit | without
        either |= with_bit.int() << b
        both |= (seen & ~without).int() << b
    return either, both, seen


def _follow(moved: _Moved, masked: Tensor, slots: Slots, checks: int) -> bool:
    """Return True if every logit that is not masked depends on its query's and its key's token and on no other.

    Logits of padding may depend on less, as padding of zeros has the same logit with every query.
    """
    generator = torch.Generator().manual_seed(1)
    between = (slots.queries != NONE)[..., None] & (slots.keys != NONE)
    there = ~masked.reshape(between.shape)
    for _ in range(checks):
        chosen = torch.rand(moved.count, generator=generator).to(masked.device) < 0.5
        padded = torch.cat([chosen, chosen.new_zeros(1)])  # -1 is the last: no token
        expected = padded[slots.queries][..., None] | padded[slots.keys]
        seen = moved.by(chosen).reshape(expected.shape)
        if bool(((seen & ~expected) | (expected & ~seen & between))[there].any()):
            return False
    return True


def _in_one_input(slots: Slots, tokens: int) -> bool:
    """Return True if every matrix lies in one input."""
    every = torch.cat([slots.queries, slots.keys.flatten(1)], 1)
    inputs = torch.where(every == NONE, NONE, every // tokens)
    first = inputs.amax(1, keepdim=True)
    return bool(((inputs == NONE) | (inputs == first)).all())
