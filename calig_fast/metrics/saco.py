"""Salience-guided faithfulness: do groups of larger scores change the output more, and by how much more?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .._utils.arguments import integer
from .._utils.warn import renamed_argument
from ..inputs import rankings
from ..inputs.perturbed_outputs import perturbation_runner
from ..inputs.target import Output
from .measure import Measure


@renamed_argument("tokenizer", "processor")
def saco(
    model: nn.Module,
    inputs: Any,
    scores: Any,
    *,
    target: Any = None,
    processor: Any = None,
    groups: int = 10,
    removal: Any = None,
    output: Output = "prob",
    batch_size: int = 64,
) -> Measure:
    """Agreement of the differences of scores between groups of tokens with the effects of removing them.

    The removable tokens (patches) are cut in the order of their scores into groups of equal size, G_1 with the largest.
    With s(G) the sum of a group's scores and e(G) = F(x) - F(x without G), over all pairs i < j

        SaCo = sum d_ij sign_ij / sum |d_ij|,    d_ij = s(G_i) - s(G_j),    sign_ij = 1 if e(G_i) >= e(G_j), else -1.

    From -1 to 1, higher is better; a random order has 0 in the mean. Wu et al. 2024, patches in the place of pixels.

    Args:
        groups: number of groups; as many as there are tokens where these are fewer.
        model, inputs, scores, target, processor, removal, output, batch_size: see `erasure`.

    Returns:
        [B], NaN where all groups have one score.

    Raises:
        ValueError, TypeError: see `erasure`.
    """
    groups = integer("groups", groups, 2, 10_000)
    p = perturbation_runner(
        model, inputs, scores, target, processor=processor, removal=removal, output=output, batch_size=batch_size
    )
    places, count = rankings.places(p.scores, p.removable), p.removable.sum(1, keepdim=True)
    number = torch.minimum(count, torch.tensor(groups)).clamp_min(1)
    group = torch.where(p.removable, places * number // count.clamp_min(1), -1)
    sets = group[:, None] == torch.arange(groups)[:, None]  # [B,G,T]; the last are empty where tokens are few
    answers = p.answers(torch.cat([torch.zeros_like(sets[:, :1]), sets], 1))
    effects = answers[:, :1] - answers[:, 1:]
    sums = (p.scores[:, None] * sets).sum(2)
    values = [_saco(s[:n], e[:n]) for s, e, n in zip(sums, effects, number[:, 0].tolist(), strict=True)]
    return Measure("SaCo", torch.tensor(values, dtype=torch.float64), higher_is_better=True)


def _saco(sums: Tensor, effects: Tensor) -> float:
    first, second = torch.triu_indices(len(sums), len(sums), 1)
    apart = sums[first] - sums[second]
    signs = torch.where(effects[first] >= effects[second], 1.0, -1.0)
    size = float(apart.abs().sum())
    return float((apart * signs).sum()) / size if size > 0 else float("nan")
