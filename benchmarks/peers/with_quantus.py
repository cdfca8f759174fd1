"""Quantus' pixel flipping, max-sensitivity and rank correlations beside ours, on the same images and scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import quantus
import torch
from quantus.functions.similarity_func import correlation_kendall_tau, correlation_spearman
from torch import Tensor, nn

from benchmarks.peers import inputs
from calig_fast import explain, metrics

PATCHES, SIDE, SAMPLES = 16, 4, 4


class Logits(nn.Module):
    """A Hugging Face model that returns its logits alone, as Quantus takes one."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model(pixels).logits


def compare() -> dict[str, tuple[list[float], list[float]]]:
    """(ours, theirs) by metric."""
    model, pixels = inputs.image_model(), inputs.images()
    scores = inputs.scores(len(pixels), PATCHES + 1)
    target = model(pixels).logits.argmax(1)
    return {**_flipping(model, pixels, scores, target), **_sensitivity(model, pixels, target), **_ranks()}


def _flipping(model: nn.Module, pixels: Tensor, scores: Tensor, target: Tensor) -> Any:
    # a step of Quantus is a number of pixels: one patch in each of three channels takes three steps
    spread = scores[:, 1:].reshape(-1, 1, SIDE, SIDE).repeat_interleave(SIDE, 2).repeat_interleave(SIDE, 3)
    flip = quantus.PixelFlipping(
        features_in_step=SIDE * SIDE, perturb_baseline=0.0, normalise=False, disable_warnings=True
    )
    curves = np.array(
        flip(Logits(model).eval(), pixels.numpy(), target.numpy(), a_batch=spread.numpy(), softmax=True, device="cpu")
    )[:, 2::3]
    steps = [i / PATCHES for i in range(1, PATCHES + 1)]
    ours = metrics.deletion_auc(model, pixels, scores, target=target, fractions=steps, removal="mean")
    # its area needs a NumPy that has trapz: what Quantus sums over steps of 1 is ours times the number of steps
    return {"deletion curve": (ours.curve.flatten().tolist(), curves.flatten().tolist())}


def _sensitivity(model: nn.Module, pixels: Tensor, target: Tensor) -> Any:
    seen: list[Tensor] = []

    def explainer(model: Any, x: Any, target: Any, tokenizer: Any) -> Tensor:
        seen.append(x["pixel_values"])
        return explain(model, x, target=target, method="gradient_x_input").scores

    ours = metrics.max_sensitivity(model, pixels, explainer, target=target, radius=0.05, samples=SAMPLES)
    moved = torch.cat(seen[1:]).unflatten(0, (len(pixels), SAMPLES)).transpose(0, 1).flatten(2).numpy()
    steps = iter(moved)

    def attribute(model: Any, inputs: Any, targets: Any, **_: Any) -> np.ndarray[Any, Any]:
        found = explain(
            model.model, torch.as_tensor(inputs), target=torch.as_tensor(targets), method="gradient_x_input"
        )
        return _as_pixels(found.scores)

    metric = quantus.MaxSensitivity(
        nr_samples=SAMPLES, perturb_func=lambda arr, **_: next(steps), normalise=False, disable_warnings=True
    )
    theirs = metric(
        Logits(model).eval(), pixels.numpy(), target.numpy(), explain_func=attribute, device="cpu", channel_first=True
    )
    return {"max-sensitivity": (ours.values.tolist(), list(map(float, theirs)))}


def _as_pixels(scores: Tensor) -> np.ndarray[Any, Any]:
    """[B,1,16,16]: Quantus wants the scores in the images' shape, and the norm takes zeros and all."""
    out = torch.zeros(len(scores), 256)
    out[:, : scores.shape[1]] = scores
    return out.reshape(-1, 1, 16, 16).numpy()


def _ranks() -> dict[str, tuple[list[float], list[float]]]:
    a, b = inputs.scores(3, 40), inputs.scores(6, 40)[3:]
    a = (3 * a).round()  # with ties
    theirs = {"spearman": correlation_spearman, "kendall": correlation_kendall_tau}
    ours = {"spearman": metrics.spearman, "kendall": metrics.kendall}
    return {
        name: (
            ours[name](a, b).values.tolist(),
            list(map(float, theirs[name](a.numpy(), b.numpy(), batched=True))),
        )
        for name in ours
    }
