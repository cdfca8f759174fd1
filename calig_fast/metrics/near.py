"""Explanations of inputs that noise moves: their pixels, or their word embeddings."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..inputs import rankings
from ..inputs.perturbed_noise import continuous, noise
from ..inputs.perturbed_outputs import explained_classes
from ..inputs.perturbed_removal import opened
from ..model.random_weights import with_weights
from .explainers import Explain, call_explainer, check_explainer, scores_of


class NearInputs:
    """Inputs and their neighbours, explained for the same classes.

    Args:
        model: a classifier; for text one that takes `inputs_embeds`.
        inputs: as for `explain`.
        explainer: called as `explain` is.
        target: class to explain: None, the one predicted at the inputs themselves; an int; B ints.
        processor: tokenizer or image processor, or None.

    Raises:
        ValueError, TypeError: see `explain`; a model of text without word embeddings.
    """

    def __init__(self, model: nn.Module, inputs: Any, explainer: Explain, target: Any, processor: Any) -> None:
        check_explainer(explainer)
        inner, encoder, self._batch = opened(model, inputs, processor)
        self._explainer, self._processor = explainer, processor
        self._classes = explained_classes(inner, self._batch, target)
        self._running = with_weights(inner, {})
        self._call, self._moving = continuous(self._running, encoder.embedding, self._batch)

    def __len__(self) -> int:
        return len(self._batch)

    def ranges(self) -> Tensor:
        """The largest less the smallest of the pixels, or of the real tokens' embeddings, [B]."""
        values = self._call[self._moving].detach().float().cpu()
        text = self._batch.texts is not None
        rows = [row[mask.cpu()] if text else row for row, mask in zip(values, self._batch.mask, strict=True)]
        return torch.stack([row.amax() - row.amin() for row in rows])

    def explained(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """Scores of the inputs themselves [B,T], and which of their tokens are ranked [B,T]."""
        parts = [self._explained(rows, None) for rows in torch.split(torch.arange(len(self)), batch_size)]
        return torch.cat([scores for scores, _ in parts]), torch.cat([ranked for _, ranked in parts])

    def moved(self, sizes: Tensor, samples: int, *, normal: bool, seed: int, batch_size: int) -> Tensor:
        """Scores [B,N,T] of N neighbours of each input.

        Args:
            sizes: [B], of the noise.
            samples: N.
            normal: standard normal noise, else uniform from -1 to 1.
            seed: of the noise; an input's depends on its own tokens alone, not on the batch.
            batch_size: neighbours in one call of the explainer.
        """
        owners = torch.arange(len(self)).repeat_interleave(samples)
        numbers = torch.arange(samples).repeat(len(self))
        parts = []
        for rows in torch.split(torch.arange(len(owners)), batch_size):
            drawn = noise(self._call[self._moving], self._batch, owners[rows], numbers[rows], normal=normal, seed=seed)
            added = drawn * sizes[owners[rows]].reshape(-1, *[1] * (drawn.dim() - 1))
            parts.append(self._explained(owners[rows], added)[0])
        return torch.cat(parts).reshape(len(self), samples, -1)

    def _explained(self, owners: Tensor, added: Tensor | None) -> tuple[Tensor, Tensor]:
        call = self._call.items()
        some = {k: v[owners.to(v.device)] if isinstance(v, Tensor) and v.dim() else v for k, v in call}
        if added is not None:
            some[self._moving] = some[self._moving] + added.to(some[self._moving])
        inputs = some.get("", some)
        explanation = call_explainer(self._explainer, self._running, inputs, self._classes[owners], self._processor)
        scores = scores_of(explanation, len(owners))
        return scores, rankings.content(explanation, None, scores.shape)
