"""Infidelity, the error of scores as a prediction of perturbations, and sensitivity to small changes of the input."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .. import explain
from .._utils.arguments import as_tensor, between, flag, integer, positive, whole_seed
from .._utils.warn import renamed_argument
from ..inputs.perturbed_outputs import perturbation_runner
from ..inputs.target import Output
from .explainers import Explain
from .measure import Measure
from .near import NearInputs

MOST = 1_000_000  # perturbed inputs of one


@renamed_argument("tokenizer", "processor")
def infidelity(
    model: nn.Module,
    inputs: Any,
    scores: Any,
    *,
    target: Any = None,
    processor: Any = None,
    removal: Any = None,
    output: Output = "logit",
    samples: int = 50,
    fraction: float = 0.1,
    removed: Any = None,
    normalised: bool = False,
    seed: int = 0,
    batch_size: int = 64,
) -> Measure:
    """Squared difference of the removed scores and the change of the output by the removal; lower is better.

    mean over removed sets S of (beta sum_{t in S} s_t - (F(x) - F(x without S)))^2, beta = 1. Yeh et al. 2019, with
    removal of whole tokens (patches) as perturbation, for which a score that adds up to F has none.

    Args:
        samples: removed sets an input.
        fraction: each removable token is in a set with this probability, at least one is; above 0, at most 1.
        removed: [N,B,T] bool, the sets themselves in place of drawn ones.
        normalised: scale the scores of each input by the best beta, E[sum s dF] / E[(sum s)^2], for scores on
            another scale than the output, such as rollout scores.
        seed: of the sets; an input's sets depend on its own tokens alone, not on the batch.
        model, inputs, scores, target, processor, removal, output, batch_size: see `erasure`.

    Returns:
        [B], in squared units of the output.

    Raises:
        ValueError, TypeError: see `erasure`; samples below 1, a fraction out of range, sets of another shape.
    """
    samples, seed = integer("samples", samples, 1, MOST), whole_seed("seed", seed)
    fraction = between("fraction", fraction, "a probability above 0, at most 1", 0, 1, open_low=True)
    normalised = flag("normalised", normalised)
    p = perturbation_runner(
        model, inputs, scores, target, processor=processor, removal=removal, output=output, batch_size=batch_size
    )
    if removed is None:
        sets = torch.stack([_drawn(row, samples, fraction, seed) for row in p.removable])
    else:
        wanted = f"bools {['N', *p.removable.shape]}".replace("'", "")
        sets = as_tensor("removed", removed, wanted).detach().cpu() != 0
        if sets.dim() != 3 or sets.shape[1:] != p.removable.shape or not len(sets):
            raise ValueError(f"removed: expected {wanted}, got {list(sets.shape)}")
        sets = sets.transpose(0, 1) & p.removable[:, None]
    none = torch.zeros_like(p.removable)[:, None]
    outputs = p.answers(torch.cat([none, sets], 1))
    drop = outputs[:, :1] - outputs[:, 1:]
    predicted = (sets * p.scores[:, None]).sum(2)
    if normalised:
        power = (predicted**2).mean(1)
        beta = torch.where(power > 0, (predicted * drop).mean(1) / power, 1.0)
        predicted = beta[:, None] * predicted
    return Measure("infidelity", ((predicted - drop) ** 2).mean(1), higher_is_better=False)


@renamed_argument("tokenizer", "processor")
def max_sensitivity(
    model: nn.Module,
    inputs: Any,
    explainer: Explain = explain,
    *,
    target: Any = None,
    processor: Any = None,
    radius: float = 0.02,
    samples: int = 10,
    seed: int = 0,
    batch_size: int = 32,
) -> Measure:
    """Largest relative change of the scores under a small change of the input; lower is better.

    max over perturbed inputs x' of ||s(x') - s(x)|| / ||s(x)||. Every component of the pixels, or of the real tokens'
    word embeddings, moves by at most `radius`, uniformly. Yeh et al. 2019, with the maximum over a sample. The target
    is the same for all; special tokens and padding are not part of the norm.

    Args:
        model: a classifier; for text one that takes `inputs_embeds`.
        inputs: as for `explain`.
        explainer: called as `explain` is, explainer(model, inputs, target=, processor=), where inputs is a dict with
            `inputs_embeds` (and special_tokens_mask) or pixels; returns an Attribution or [B,T] scores. For example
            functools.partial(explain, method="ig").
        target: class to explain: None, the predicted one; an int; B ints.
        processor: tokenizer or image processor, or None.
        radius: in the unit of the embeddings or the normalised pixels.
        samples: perturbed inputs for each.
        seed: of the perturbations; an input's depend on its own tokens alone, not on the batch.
        batch_size: perturbed inputs in one call of `explainer`.

    Returns:
        [B]; the norm of scores that are all zero counts as 1.

    Raises:
        ValueError: a radius that is not positive, samples or batch_size below 1, a model without word embeddings.
        ValueError, TypeError: see `explain`.
    """
    radius, seed = positive("radius", radius), whole_seed("seed", seed)
    samples, batch_size = integer("samples", samples, 1, MOST), integer("batch_size", batch_size, 1, 2**31)
    near = NearInputs(model, inputs, explainer, target, processor)
    original, ranked = near.explained(batch_size)
    sizes = torch.full((len(near),), radius)
    moved = near.moved(sizes, samples, normal=False, seed=seed, batch_size=batch_size)
    change = ((moved - original[:, None]) * ranked[:, None]).norm(dim=2).amax(1)
    size = (original * ranked).norm(dim=1)
    return Measure("max-sensitivity", change / torch.where(size > 0, size, 1.0), higher_is_better=False)


def _drawn(removable: Tensor, samples: int, fraction: float, seed: int) -> Tensor:
    """[N,T] bool, sets of the removable tokens of one input."""
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(samples, int(removable.sum()), generator=generator)
    chosen = draw < fraction
    chosen[torch.arange(samples), draw.argmin(1)] = True
    out = torch.zeros(samples, len(removable), dtype=torch.bool)
    out[:, removable] = chosen
    return out
