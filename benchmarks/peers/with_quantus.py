"""The deletion curve, max-sensitivity and rank correlations, ours and Quantus', on the same images and scores."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers import inputs
from benchmarks.peers.with_captum import SAMPLES, sensitivity
from calig_fast import explain, metrics

PATCHES, SIDE = 16, 4


class Logits(nn.Module):
    """A Hugging Face model that returns its logits alone, as Quantus takes one."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model(pixels).logits


def ranked() -> tuple[Tensor, Tensor]:
    """Two [3,40] tables of scores, the first with ties."""
    return (3 * inputs.scores(3, 40)).round(), inputs.scores(6, 40)[3:]


def ours() -> dict[str, list[float]]:
    """Values by metric."""
    pixels = inputs.images()
    steps = [i / PATCHES for i in range(1, PATCHES + 1)]
    deletion = metrics.deletion_auc(
        inputs.image_model(), pixels, inputs.scores(len(pixels), PATCHES + 1), fractions=steps, removal="mean"
    )
    return {
        "deletion curve": deletion.curve.flatten().tolist(),
        "max-sensitivity": sensitivity()[0].values.tolist(),
        "spearman": metrics.spearman(*ranked()).values.tolist(),
        "kendall": metrics.kendall(*ranked()).values.tolist(),
    }


def theirs() -> dict[str, list[float]]:
    """Quantus' values by metric."""
    from quantus.functions.similarity_func import correlation_kendall_tau, correlation_spearman

    a, b = (table.numpy() for table in ranked())
    return {
        "deletion curve": _flipping(),
        "max-sensitivity": _sensitivity(),
        "spearman": list(map(float, correlation_spearman(a, b, batched=True))),
        "kendall": list(map(float, correlation_kendall_tau(a, b, batched=True))),
    }


def _flipping() -> list[float]:
    import numpy as np
    import quantus

    model, pixels = inputs.image_model(), inputs.images()
    target = model(pixels).logits.argmax(1).numpy()
    scores = inputs.scores(len(pixels), PATCHES + 1)[:, 1:].reshape(-1, 1, SIDE, SIDE)
    spread = scores.repeat_interleave(SIDE, 2).repeat_interleave(SIDE, 3).numpy()
    flip = quantus.PixelFlipping(
        features_in_step=SIDE * SIDE, perturb_baseline=0.0, normalise=False, disable_warnings=True
    )
    curves = flip(Logits(model).eval(), pixels.numpy(), target, a_batch=spread, softmax=True, device="cpu")
    # a step is a number of pixels: one patch in each of three channels takes three steps
    return list(map(float, np.array(curves)[:, 2::3].flatten()))


def _sensitivity() -> list[float]:
    import quantus

    model, pixels, moved = inputs.image_model(), inputs.images(), sensitivity()[1]
    steps = iter(moved.unflatten(0, (len(pixels), SAMPLES)).transpose(0, 1).flatten(2).numpy())

    def attribute(model: Any, inputs: Any, targets: Any, **_: Any) -> Any:
        pixels, target = torch.as_tensor(inputs), torch.as_tensor(targets)
        scores = explain(model.model, pixels, target=target, method="gradient_x_input").scores
        # Quantus wants the shape of the image; zeros add nothing to a norm
        return torch.nn.functional.pad(scores, (0, 256 - scores.shape[1])).reshape(-1, 1, 16, 16).numpy()

    metric = quantus.MaxSensitivity(
        nr_samples=SAMPLES, perturb_func=lambda arr, **_: next(steps), normalise=False, disable_warnings=True
    )
    target = model(pixels).logits.argmax(1).numpy()
    return list(map(float, metric(Logits(model).eval(), pixels.numpy(), target, explain_func=attribute, device="cpu")))
