"""Values of every dtype on a scale of 0 to 255, and those whose range is not clear."""

import numpy as np
import pytest

from calig_fast.inputs.image_range import eight_bits

RAMP = np.linspace(0, 1, 256)
EIGHT = np.arange(256, dtype=np.uint8)


@pytest.mark.parametrize(
    ("dtype", "top"),
    [
        (np.uint8, 255),
        (np.uint16, 65535),
        (np.dtype(">u2"), 65535),
        (np.int32, 255),
        (np.int64, 65535),
        (np.uint32, 255),
        (np.float16, 1),
        (np.float32, 1),
        (np.float64, 255),
        (np.float32, 65535),
    ],
)
def test_each_range_becomes_0_to_255(dtype, top):
    values = (RAMP * top).astype(dtype) if np.dtype(dtype).kind == "f" else np.rint(RAMP * top).astype(dtype)
    assert np.array_equal(eight_bits(values, "it"), EIGHT)


def test_bools_are_black_and_white():
    assert eight_bits(np.array([False, True]), "it").tolist() == [0, 255]


def test_dark_floats_up_to_one_are_dark():
    assert eight_bits(np.array([0.0, 0.01]), "it").tolist() == [0, 3]


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_zeros_are_black(dtype):
    assert eight_bits(np.zeros(3, dtype), "it").tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "values",
    [
        np.array([0, 4000], np.uint16),
        np.array([0, 255], np.uint16),
        np.array([0, 1], np.int64),
        np.array([0, 1023], np.int32),
        np.array([-1, 100], np.int32),
        np.array([-2.1, 2.4]),
        np.array([0, 1.02]),
        np.array([0, 258.5]),
        np.array([0, 1e6]),
    ],
)
def test_values_that_fit_several_ranges_or_none_are_refused(values):
    with pytest.raises(ValueError, match=r"inputs: picture 2 has values from .* do not tell their range"):
        eight_bits(values, "picture 2")


def test_what_is_no_number_is_refused():
    for wrong in (np.array([np.nan, 0.5]), np.array([np.inf])):
        with pytest.raises(ValueError, match="holds NaN or infinity"):
            eight_bits(wrong, "it")
    with pytest.raises(TypeError, match="holds complex128; expected numbers"):
        eight_bits(np.array([1j]), "it")
