"""Sample problems are what their names say."""

import torch

from calig_fast.ops.samples import layouts, numbers, strided


def test_layouts_are_segments_of_inputs_there_are():
    for name, offsets, inputs in layouts():
        assert offsets.dtype == inputs.dtype == torch.int64, name
        assert int(offsets[0]) == 0, name
        assert bool((offsets.diff() >= 0).all()), name
        assert bool(((inputs >= 0) & (inputs < len(offsets) - 1)).all()), name


def test_numbers_are_those_of_the_seed_and_some_are_zero():
    found = numbers((100, 10), torch.float32, 1)
    assert found.dtype == torch.float32
    assert torch.equal(found, numbers((100, 10), torch.float32, 1))
    assert not torch.equal(found, numbers((100, 10), torch.float32, 2))
    assert 0.05 < float((found == 0).float().mean()) < 0.15


def test_strided_holds_the_same_values():
    x = torch.arange(6.0).view(2, 3)
    assert torch.equal(strided(x), x)
    assert not strided(x).is_contiguous()
