"""Scores averaged over noise, where the average is known."""

import copy
from functools import partial

import pytest
import torch
from helpers.tiny_models import ids, pixels, tiny

from calig_fast import explain
from calig_fast.metrics import erasure, smoothed

GRADIENT = partial(explain, method="gradient_x_input")


def test_means_and_deviations_are_those_of_the_noisy_scores():
    seen = []

    def explainer(model, x, target, processor):
        seen.append(x["pixel_values"].flatten(1)[:, :5] ** 2)
        return seen[-1]

    x = pixels(2)
    average = smoothed(tiny("vit"), x, explainer, level=0.2, samples=300, batch_size=64)
    every = torch.cat(seen).double().reshape(2, 300, 5)
    torch.testing.assert_close(average.scores, every.mean(1))
    torch.testing.assert_close(average.deviation, every.std(1))
    sigma = 0.2 * (x.flatten(1).amax(1) - x.flatten(1).amin(1))
    wanted = x.flatten(1)[:, :5] ** 2 + sigma[:, None] ** 2  # E (x + sigma n)^2
    error = average.deviation / 300**0.5
    assert bool(((average.scores - wanted).abs() < 5 * error).all())


@pytest.mark.parametrize(("kind", "inputs"), [("bert", ids(9, 6)), ("vit", pixels(2))], ids=["text", "images"])
@pytest.mark.parametrize("explainer", [explain, GRADIENT], ids=["calig", "gradient x input"])
def test_little_noise_gives_the_scores_themselves(kind, inputs, explainer):
    scores = explainer(tiny(kind), inputs).scores.double()
    average = smoothed(tiny(kind), inputs, explainer, level=1e-6, samples=2)
    torch.testing.assert_close(average.scores, scores, rtol=1e-2, atol=1e-3 * float(scores.abs().max()))


def test_a_text_alone_gives_the_same_and_another_seed_does_not():
    model, call = tiny("bert"), ids(9, 6)
    whole = smoothed(model, call, GRADIENT, target=1, samples=3).scores
    for b, n in enumerate((9, 6)):
        alone = {name: value[b : b + 1, :n] for name, value in call.items()}
        one = smoothed(model, alone, GRADIENT, target=1, samples=3, batch_size=2).scores
        torch.testing.assert_close(whole[b : b + 1, :n], one, rtol=1e-3, atol=1e-5)
    assert not torch.allclose(smoothed(model, call, GRADIENT, target=1, samples=3, seed=1).scores, whole)


def test_the_metrics_take_it_and_the_model_stays():
    model, call = tiny("bert"), ids(9, 6)
    before = copy.deepcopy(model.state_dict())
    average = smoothed(model, call, GRADIENT, samples=2)
    assert len(erasure(model, call, average.scores, removal="pad").difference) == 2
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
