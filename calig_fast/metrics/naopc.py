"""Comprehensiveness and sufficiency as shares of what is attainable on an input, so that models can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .._utils.arguments import integer, kind
from .._utils.warn import renamed_argument
from ..inputs import rankings
from ..inputs.perturbed_outputs import PerturbationRunner, perturbation_runner
from ..inputs.target import Output
from .measure import Measure

MOST_EXHAUSTIVE = 16  # 65,536 sets of an input


@dataclass(frozen=True, eq=False, repr=False)
class Naopc(Measure):
    """Normalised AOPC of every input; `values` is that of comprehensiveness.

    Args:
        sufficiency: [B] float64, the same of the opposite order; lower is better.
        aopc: [B] float64, the AOPC of the scores' order.
        lower: [B] float64, the least AOPC that some order has, of those that were searched.
        upper: [B] float64, the largest.
        exact: [B] bool, True where every order was searched; else the bounds are those of a beam, which real ones may
            pass, so that a value may be outside 0 to 1.
    """

    sufficiency: Tensor
    aopc: Tensor
    lower: Tensor
    upper: Tensor
    exact: Tensor


@renamed_argument("tokenizer", "processor")
def naopc(
    model: nn.Module,
    inputs: Any,
    scores: Any,
    *,
    target: Any = None,
    processor: Any = None,
    removal: Any = None,
    output: Output = "prob",
    exhaustive: int = 8,
    beam: int = 5,
    bounds: Naopc | None = None,
    batch_size: int = 64,
) -> Naopc:
    """Comprehensiveness and sufficiency over the range that orders of removal attain (Edin et al. 2025).

    With the n removable tokens (patches) in the order of their scores, and F the output,

        AOPC = mean over k = 1..n of F(x) - F(x without top_k)         NAOPC = (AOPC - lower) / (upper - lower),

    lower and upper being the least and the largest AOPC of any order: exact where n is at most `exhaustive` (all 2^n
    sets), else found by a beam search. Sufficiency is the same of the opposite order. 1 is the best order there is.

    Args:
        exhaustive: largest n of which every set is removed, at most 16.
        beam: sets kept of each size; about beam n^2 forward passes an input.
        bounds: a result of the same model, inputs, target, removal and output with other scores; its bounds, which do
            not depend on the scores, are not searched again.
        model, inputs, scores, target, processor, removal, output, batch_size: see `erasure`.

    Returns:
        both measures, the bounds, and where they are exact; NaN where all orders have one AOPC.

    Raises:
        ValueError, TypeError: see `erasure`; bounds of another number of inputs.
    """
    exhaustive, beam = integer("exhaustive", exhaustive, 0, MOST_EXHAUSTIVE), integer("beam", beam, 1, 10_000)
    p = perturbation_runner(
        model, inputs, scores, target, processor=processor, removal=removal, output=output, batch_size=batch_size
    )
    count = p.removable.sum(1)
    original = p.answers(torch.zeros_like(p.removable)[:, None])[:, 0]
    orders = torch.stack([_aopc(p, original, largest) for largest in (True, False)])
    if bounds is None:
        exact, ends = _searched(p, original, count <= exhaustive, beam)
    else:
        exact, ends = _known(bounds, len(count))
    lower, upper = torch.minimum(ends[0], orders.amin(0)), torch.maximum(ends[1], orders.amax(0))
    lower, upper = torch.where(exact, ends[0], lower), torch.where(exact, ends[1], upper)
    room = torch.where(upper > lower, upper - lower, torch.nan)
    shares = (orders - lower) / room
    return Naopc(
        "NAOPC",
        shares[0],
        higher_is_better=True,
        sufficiency=shares[1],
        aopc=orders[0],
        lower=lower,
        upper=upper,
        exact=exact,
    )


def _searched(p: PerturbationRunner, original: Tensor, exact: Tensor, beam: int) -> tuple[Tensor, Tensor]:
    """The bounds [2,B] of every input, after `exact`, by every order where it is True and by a beam elsewhere."""
    ends = torch.zeros(2, len(exact), dtype=torch.float64)
    for b, few in enumerate(exact.tolist()):
        at = p, b, float(original[b])
        ends[:, b] = torch.tensor(_every_order(*at) if few else _beam(*at, beam), dtype=torch.float64)
    return exact, ends


def _known(bounds: Naopc, count: int) -> tuple[Tensor, Tensor]:
    if not isinstance(bounds, Naopc):
        raise TypeError(f"bounds: expected None or a result of naopc, got {kind(bounds)}")
    if len(bounds.lower) != count:
        raise ValueError(f"bounds: expected those of {count} inputs, got {len(bounds.lower)}; leave them out")
    return bounds.exact, torch.stack([bounds.lower, bounds.upper])


def _aopc(p: PerturbationRunner, original: Tensor, largest: bool) -> Tensor:
    """[B] float64, the AOPC of the scores' order or of its opposite."""
    places = rankings.places(p.scores if largest else -p.scores, p.removable)
    count = p.removable.sum(1)
    owners = torch.arange(len(count)).repeat_interleave(count)
    sizes = torch.cat([torch.arange(1, n + 1) for n in count.tolist()])
    drops = original[owners] - p.answers_of(places[owners] < sizes[:, None], owners)
    return torch.stack(
        [part.mean() if len(part) else original.new_zeros(()) for part in drops.split_with_sizes(count.tolist())]
    )


def _drops(p: PerturbationRunner, row: int, original: float, sets: Tensor) -> Tensor:
    """F(x) - F(x without the set) [N] of sets [N,n] of the removable tokens of one input."""
    removed = torch.zeros(len(sets), p.removable.shape[1], dtype=torch.bool)
    removed[:, p.removable[row]] = sets
    return original - p.answers_of(removed, torch.full((len(sets),), row))


def _every_order(p: PerturbationRunner, row: int, original: float) -> tuple[float, float]:
    """The least and the largest AOPC of one input: the best chain of sets, each one token more than the one before."""
    n = int(p.removable[row].sum())
    if not n:
        return 0.0, 0.0
    numbers = torch.arange(2**n)
    members = (numbers[:, None] >> torch.arange(n) & 1).bool()
    drops = _drops(p, row, original, members)
    drops[0] = 0.0
    best = torch.stack([drops.clone(), drops.clone()])
    for size in range(2, n + 1):
        of_size = numbers[members.sum(1) == size]
        before = of_size[:, None] ^ (1 << torch.arange(n))  # a token less, where it is a member
        inside = members[of_size]
        best[0, of_size] = drops[of_size] + torch.where(inside, best[0][before], torch.inf).amin(1)
        best[1, of_size] = drops[of_size] + torch.where(inside, best[1][before], -torch.inf).amax(1)
    return float(best[0, -1] / n), float(best[1, -1] / n)


def _beam(p: PerturbationRunner, row: int, original: float, beam: int) -> tuple[float, float]:
    """The least and the largest AOPC of one input that a beam of sets finds."""
    return -_climbed(p, row, original, beam, -1.0), _climbed(p, row, original, beam, 1.0)


def _climbed(p: PerturbationRunner, row: int, original: float, beam: int, sign: float) -> float:
    """The largest mean of the drops, times `sign`, along a chain of sets."""
    n = int(p.removable[row].sum())
    sets, totals = torch.zeros(1, n, dtype=torch.bool), torch.zeros(1, dtype=torch.float64)
    for _ in range(n):
        which, token = (~sets).nonzero().unbind(1)
        longer = sets[which].clone()
        longer[torch.arange(len(token)), token] = True
        longer, back = torch.unique(longer, dim=0, return_inverse=True)
        before = torch.full((len(longer),), -torch.inf, dtype=torch.float64)
        before.scatter_reduce_(0, back, totals[which], "amax")
        reached = before + sign * _drops(p, row, original, longer)
        totals, best = reached.topk(min(beam, len(reached)))
        sets = longer[best]
    return float(totals.max()) / n
