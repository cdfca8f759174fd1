"""Captum's infidelity and sensitivity_max beside ours, on the same removed sets and the same perturbed inputs."""

from __future__ import annotations

from typing import Any

import torch
from captum.metrics import infidelity, sensitivity_max
from torch import Tensor

from benchmarks.peers import inputs
from calig_fast import explain, metrics

SETS, SAMPLES = 12, 4


def compare() -> dict[str, tuple[list[float], list[float]]]:
    """(ours, theirs) by metric."""
    return {**_infidelity(), **_sensitivity()}


def _infidelity() -> dict[str, tuple[list[float], list[float]]]:
    tokenizer = inputs.tokenizer()
    model = inputs.text_model(len(tokenizer))
    x = tokenizer(list(inputs.TEXTS), return_tensors="pt")
    ids, mask = x["input_ids"], x["attention_mask"]
    scores = inputs.scores(*ids.shape)
    sets = torch.rand(SETS, *ids.shape, generator=torch.Generator().manual_seed(8)) < 0.2
    sets &= ids > 2  # class and separator tokens stay
    target = model(ids, mask).logits.argmax(1)

    def perturb(expanded: Tensor) -> tuple[Tensor, Tensor]:
        gone = sets.transpose(0, 1).flatten(0, 1)  # Captum repeats each input SETS times
        return gone.float(), torch.where(gone, tokenizer.mask_token_id, expanded)

    out = {}
    for normalised in (False, True):
        ours = metrics.infidelity(model, x, scores, tokenizer=tokenizer, removed=sets, normalised=normalised)
        theirs = infidelity(
            lambda i, m: model(i, m).logits,
            perturb,
            ids,
            scores,
            additional_forward_args=(mask,),
            target=target,
            n_perturb_samples=SETS,
            normalize=normalised,
        )
        out["infidelity, normalised" if normalised else "infidelity"] = (ours.values.tolist(), theirs.tolist())
    return out


def _sensitivity() -> dict[str, tuple[list[float], list[float]]]:
    model, pixels = inputs.image_model(), inputs.images()
    seen: list[Tensor] = []

    def explainer(model: Any, x: Any, target: Any, tokenizer: Any) -> Tensor:
        seen.append(x["pixel_values"])
        return explain(model, x, target=target, method="gradient_x_input").scores

    target = model(pixels).logits.argmax(1)
    ours = metrics.max_sensitivity(model, pixels, explainer, target=target, radius=0.05, samples=SAMPLES)
    moved = torch.cat(seen[1:])  # the first call is the inputs themselves

    def attribute(x: Any, target: Tensor) -> Any:
        tensor = x[0] if isinstance(x, tuple) else x
        scores = explain(model, tensor, target=target, method="gradient_x_input").scores
        return (scores,) if isinstance(x, tuple) else scores

    theirs = sensitivity_max(attribute, pixels, lambda _: moved, n_perturb_samples=SAMPLES, target=target)
    return {"max-sensitivity": (ours.values.tolist(), theirs.tolist())}
