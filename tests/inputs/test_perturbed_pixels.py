"""Noisy linear imputation against its linear system solved densely, and as a removal."""

import numpy as np
import pytest
import torch
from helpers.tiny_models import pixels, tiny

from calig_fast import explain, metrics
from calig_fast.inputs.perturbed_pixels import NOISE, noisy_linear


def solved(image, gone):
    """The equations of Rong et al. 2022, written out pixel by pixel, [C,H,W]."""
    _, height, width = image.shape
    places = {(int(i), int(j)): k for k, (i, j) in enumerate(gone.nonzero())}
    system, right = np.zeros((len(places), len(places))), np.zeros((len(places), len(image)))
    for (i, j), row in places.items():
        for di in (-1, 0, 1):
            for dj in (-1, 0, 1):
                near = (i + di, j + dj)
                if (di, dj) == (0, 0) or not (0 <= near[0] < height and 0 <= near[1] < width):
                    continue
                weight = 1 / 6 if 0 in {di, dj} else 1 / 12
                system[row, row] += weight
                if near in places:
                    system[row, places[near]] -= weight
                else:
                    right[row] += weight * image[:, near[0], near[1]].numpy()
    found = image.clone()
    values = np.linalg.solve(system, right)
    for (i, j), row in places.items():
        found[:, i, j] = torch.from_numpy(values[row])
    return found


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_removed_pixels_solve_the_papers_equations(share):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(3, 2, 7, 9, generator=generator, dtype=torch.float64)
    gone = torch.rand(3, 1, 7, 9, generator=generator) < share
    gone[1, :, :5, :6] = True  # a hole
    gone[:, :, 6, 8] = False
    noise = NOISE * torch.randn(2, 7, 9, generator=torch.Generator().manual_seed(0))
    found = noisy_linear(images, gone)
    for k in range(3):
        wanted = torch.where(gone[k], solved(images[k], gone[k, 0]) + noise, images[k])
        torch.testing.assert_close(found[k], wanted, rtol=1e-4, atol=1e-4)


def test_an_image_without_a_pixel_left_takes_its_mean():
    images = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    found = noisy_linear(images, torch.ones(2, 1, 5, 5, dtype=torch.bool))
    assert float((found - images.mean((2, 3), keepdim=True)).abs().max()) < 5 * NOISE


def test_it_is_a_removal_of_images_whose_batches_do_not_matter():
    a = explain(tiny("vit"), pixels(3), method="gradient_x_input")
    options = {"removal": "noisy_linear", "output": "prob"}
    whole = metrics.perturbation_auc(tiny("vit"), pixels(3), a, **options)
    parts = metrics.perturbation_auc(tiny("vit"), pixels(3), a, batch_size=4, **options)
    torch.testing.assert_close(whole.values, parts.values)
    other = metrics.perturbation_auc(tiny("vit"), pixels(3), a, removal="blur", output="prob")
    assert not torch.allclose(whole.values, other.values)
