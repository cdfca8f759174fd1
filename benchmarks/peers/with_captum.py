"""Infidelity and max-sensitivity, ours and Captum's, on the same removed sets and the same perturbed inputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.peers import inputs
from calig_fast import explain, metrics

SETS, SAMPLES, RADIUS = 12, 4, 0.05


def ours() -> dict[str, list[float]]:
    """Values by metric."""
    tokenizer = inputs.tokenizer()
    model, x = inputs.text_model(len(tokenizer)), inputs.texts(tokenizer)
    scores, sets = inputs.scores(*x["input_ids"].shape), removed(x["input_ids"])
    measures = {
        name: metrics.infidelity(model, x, scores, processor=tokenizer, removed=sets, normalised=normalised)
        for name, normalised in (("infidelity", False), ("infidelity, normalised", True))
    }
    measures["max-sensitivity"] = sensitivity()[0]
    return {name: measure.values.tolist() for name, measure in measures.items()}


def theirs() -> dict[str, list[float]]:
    """Captum's values by metric."""
    return {**_infidelity(), "max-sensitivity": _sensitivity()}


def removed(ids: Tensor) -> Tensor:
    """[N,B,T] bool, seeded sets of words."""
    sets = torch.rand(SETS, *ids.shape, generator=torch.Generator().manual_seed(8)) < 0.2
    return sets & (ids > 2)  # class and separator tokens stay


def sensitivity() -> tuple[metrics.Measure, Tensor]:
    """Our max-sensitivity of the images, and the perturbed images [B*N,...] that it saw."""
    seen: list[Tensor] = []

    def explainer(model: Any, x: Any, target: Any, tokenizer: Any) -> Tensor:
        seen.append(x["pixel_values"])
        return explain(model, x, target=target, method="gradient_x_input").scores

    measure = metrics.max_sensitivity(inputs.image_model(), inputs.images(), explainer, radius=RADIUS, samples=SAMPLES)
    return measure, torch.cat(seen[1:])  # the first call is the images themselves


def _infidelity() -> dict[str, list[float]]:
    from captum.metrics import infidelity

    tokenizer = inputs.tokenizer()
    model, x = inputs.text_model(len(tokenizer)), inputs.texts(tokenizer)
    ids, mask = x["input_ids"], x["attention_mask"]
    sets = removed(ids)

    def perturb(repeated: Tensor) -> tuple[Tensor, Tensor]:
        gone = sets.transpose(0, 1).flatten(0, 1)  # each input stands SETS times side by side
        return gone.float(), torch.where(gone, tokenizer.mask_token_id, repeated)

    return {
        name: infidelity(
            lambda i, m: model(i, m).logits,
            perturb,
            ids,
            inputs.scores(*ids.shape),
            additional_forward_args=(mask,),
            target=model(ids, mask).logits.argmax(1),
            n_perturb_samples=SETS,
            normalize=normalised,
        ).tolist()
        for name, normalised in (("infidelity", False), ("infidelity, normalised", True))
    }


def _sensitivity() -> list[float]:
    from captum.metrics import sensitivity_max

    model, pixels, moved = inputs.image_model(), inputs.images(), sensitivity()[1]

    def attribute(x: Any, target: Tensor) -> Any:
        tensor = x[0] if isinstance(x, tuple) else x
        scores = explain(model, tensor, target=target, method="gradient_x_input").scores
        return (scores,) if isinstance(x, tuple) else scores

    target = model(pixels).logits.argmax(1)
    sensitivities = sensitivity_max(attribute, pixels, lambda _: moved, n_perturb_samples=SAMPLES, target=target)
    return sensitivities.tolist()
