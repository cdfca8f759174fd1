"""Products token by token, which engines share."""

import torch

from calig_fast.engines.base import tokenwise_dot


def test_products_are_summed_in_float64():
    slopes, directions = [torch.full((1, 2, 3), 1e-4).half()] * 2, [torch.ones(1, 2, 3).half()] * 2
    found = tokenwise_dot(slopes, directions)
    assert found.dtype == torch.float64
    assert found.shape == (2, 1, 2)
    assert torch.equal(found[0, 0], (slopes[0].double() * directions[0].double()).sum(-1)[0])
