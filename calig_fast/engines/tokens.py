"""The tokens that a model's blocks really see: those of the inputs, its own beside them, and those its head reads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .._utils.arguments import as_tensor
from .._utils.host_copies import fetched
from ..inputs.baseline import Baseline
from ..inputs.prepare import Inputs
from ..model.encoder import Encoder
from ..model.token_axes import aligned
from .base import EndpointGradients, Endpoints


def changed_tokens(batch: Inputs, baseline: Baseline) -> Tensor:
    """[B,T] bool, tokens of the texts that their baselines change."""
    return batch.mask & ~batch.special if baseline.ids is None or batch.ids is None else baseline.ids != batch.ids


def with_added_tokens(batch: Inputs, baseline: Baseline | None, ends: Endpoints) -> Inputs:
    """The batch with the tokens that the model itself puts before or after the text, a learned prompt for instance."""
    added = ends.first.shape[1] - batch.mask.shape[1]
    if batch.texts is None or added <= 0 or baseline is None or ends.baseline_first is None:
        return batch
    before = aligned(changed_tokens(batch, baseline), ends.first, ends.baseline_first)
    return batch if before is None else batch.with_added(before, added - before)


def tokens_seen(batch: Inputs, encoder: Encoder, ends: Endpoints) -> tuple[Tensor, Tensor]:
    """Mask and special tokens [B,T] of the tokens that the blocks really saw."""
    tokens = ends.first.shape[1]
    if batch.texts is None:
        grid = batch.grid(encoder, tokens)
        special = torch.ones(len(batch), tokens, dtype=torch.bool)
        special[:, grid.patches if grid else slice(None)] = False
        real = torch.ones_like(special)
        if batch.cut is not None and grid is not None:  # what follows its patches is padding
            real, special = ~special, torch.zeros_like(special)
        return real, special
    batch.check_tokens(tokens)
    mask, special = fetched(batch.mask, batch.special)
    return mask, special


def reads_ids_twice(model: nn.Module) -> bool:
    """Return True for an encoder-decoder: its decoder makes ids of its own out of the text's."""
    return bool(getattr(getattr(model, "config", None), "is_encoder_decoder", False))


def readout(encoder: Encoder, slopes: EndpointGradients, mask: Tensor) -> Tensor:
    """Weights [B,T] of the rows of the last hidden state that the head reads, summing to 1.

    They are the encoder's own, or equal ones, of the rows that the scalar has a gradient at.

    Raises:
        ValueError: the encoder's own weights are no weights of the tokens.
    """
    given = mask if encoder.readout is None else as_tensor("encoder", encoder.readout(mask), "weights of readout").cpu()
    fits = given.shape == mask.shape and bool((torch.isfinite(given) & (given >= 0)).all())
    weights = given.double() * mask if fits else torch.zeros_like(mask)
    if bool((mask.any(1) & ~weights.any(1)).any()):
        raise ValueError(
            f"encoder: expected readout(mask) to give finite weights >= 0 of shape {tuple(mask.shape)}, one above 0 "
            f"for a real token of each input, got {given.tolist()}; mark the rows that the head reads, or leave "
            "readout at None"
        )
    # another head on the same encoder may read fewer rows than the family's own; a flat head has no gradient at any
    read = weights * fetched(slopes.readout)[0]
    weights = torch.where(read.any(1, keepdim=True), read, weights)
    return weights / weights.sum(1, keepdim=True)
