"""A measure leaves out where it is not defined."""

import math

import pytest
import torch

from calig_fast.metrics import Measure, interval


def test_the_mean_is_of_defined_values():
    found = Measure("x", torch.tensor([1.0, torch.nan, 3.0]).double(), True)
    assert len(found) == 3
    assert found.mean() == 2.0
    assert math.isnan(Measure("x", torch.tensor([torch.nan]), True).mean())


def test_its_interval_is_that_of_its_values():
    values = torch.randn(20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    options = {"level": 0.9, "resamples": 200, "method": "percentile", "seed": 3}
    assert Measure("x", values, False).interval(**options) == interval(values, **options)


def test_one_value_has_no_interval():
    with pytest.raises(ValueError, match="two"):
        Measure("x", torch.tensor([1.0]), True).interval()
