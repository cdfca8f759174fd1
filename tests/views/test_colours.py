"""The palette: words stay readable on it, and its two signs differ to all common kinds of sight."""

import numpy as np
import pytest

from calig_fast.views.colours import (
    DARK,
    INK,
    INK_ON_DARK,
    ON_DARK,
    ON_LIGHT,
    OPPOSE,
    RGB,
    SUPPORT,
    WHITE,
    blend,
    levels,
    robust_scale,
)
from calig_fast.views.one_input import signed


def test_scale_and_colours() -> None:
    values = np.array([0.1] * 500 + [50.0])
    assert robust_scale(values) == pytest.approx(0.1)
    assert robust_scale(np.zeros(3)) == 1.0
    assert robust_scale(np.array([])) == 1.0
    assert robust_scale(np.array([0.0] * 500 + [3.0])) == 3.0
    assert levels(np.array([-9, -0.05, 0, 0.05, 9, np.nan]), 0.1, 10).tolist() == [-10, -5, 0, 5, 10, 0]
    assert (blend(1.0), blend(-1.0), blend(0.0)) == (SUPPORT, OPPOSE, WHITE)
    assert signed(float("nan")) == "-"
    assert signed(-0.01234) == "-0.0123"


def contrast(a: RGB, b: RGB) -> float:
    """Contrast ratio of the web accessibility guidelines, from 1 to 21."""
    light = [
        sum(w * (v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4) for w, v in zip(weights, x, strict=True))
        for weights, x in (((0.2126, 0.7152, 0.0722), [c / 255 for c in colour]) for colour in (a, b))
    ]
    return (max(light) + 0.05) / (min(light) + 0.05)


@pytest.mark.parametrize("value", [-1.0, -0.5, 0.0, 0.5, 1.0])
def test_words_stay_readable_on_their_colour(value: float) -> None:
    assert contrast(INK, blend(value, WHITE, ON_LIGHT)) > 4.5
    assert contrast(INK_ON_DARK, blend(value, DARK, ON_DARK)) > 4.5


# Machado, Oliveira and Fernandes 2009, full severity, on linear RGB: what red-, green- and blue-blind people see.
SIGHTS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def seen(colour: tuple[int, int, int], sight: str) -> np.ndarray:
    light = np.array([c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(colour) / 255])
    back = np.clip(np.array(SIGHTS[sight]) @ light, 0, 1)
    return np.where(back <= 0.0031308, 12.92 * back, 1.055 * back ** (1 / 2.4) - 0.055) * 255


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize(("background", "strength"), [(WHITE, ON_LIGHT), (DARK, ON_DARK)])
def test_the_signs_differ_to_all_common_kinds_of_sight(sight: str, background: tuple, strength: float) -> None:
    for value in (0.3, 1.0):
        support, oppose = (seen(blend(v, background, strength), sight) for v in (value, -value))
        assert np.abs(support - oppose).max() > 60 * value
    red, green = (seen(c, "deuteranopia") for c in ((200, 60, 60), (90, 120, 40)))
    assert np.abs(red - green).max() < 60  # what the palette avoids
