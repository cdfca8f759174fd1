"""What engines share: an input with its reference in one call, and products token by token."""

import torch

from calig_fast.engines.base import concat_calls, tokenwise_dot


def test_a_reference_comes_after_the_inputs():
    call, reference = {"x": torch.zeros(2, 3)}, {"x": torch.ones(2, 3), "not asked for": torch.ones(1)}
    found = concat_calls(call, reference)
    assert list(found) == ["x"]
    assert found["x"].tolist() == [[0] * 3] * 2 + [[1] * 3] * 2
    assert concat_calls(call, None) == call


def test_products_are_summed_in_float64():
    slopes, directions = [torch.full((1, 2, 3), 1e-4).half()] * 2, [torch.ones(1, 2, 3).half()] * 2
    found = tokenwise_dot(slopes, directions)
    assert found.dtype == torch.float64
    assert found.shape == (2, 1, 2)
    assert torch.equal(found[0, 0], (slopes[0].double() * directions[0].double()).sum(-1)[0])
