"""Batches without padding, by hand: where tokens lie, and back again."""

import torch

from calig_fast.ops.packing import Packed, Run, Segments

MASK = torch.tensor([[1, 1, 0], [0, 1, 1], [1, 1, 1], [0, 0, 0]]).bool()


def test_real_tokens_one_after_another():
    packed = Packed.of(MASK)
    assert packed.lengths == (2, 2, 3, 0)
    assert packed.offsets.tolist() == [0, 2, 4, 7, 7]
    assert packed.shape == (4, 3)
    assert [packed.places(b).tolist() for b in range(4)] == [[0, 1], [1, 2], [0, 1, 2], []]


def test_there_and_back():
    packed, values = Packed.of(MASK), torch.arange(24.0).view(4, 3, 2)
    assert packed.pack(values).shape == (7, 2)
    assert torch.equal(packed.unpack(packed.pack(values)), values * MASK[:, :, None])


def test_a_second_batch_of_the_same_mask():
    once, twice = Packed.of(MASK), Packed.of(MASK).twice()
    both = Packed.of(torch.cat([MASK, MASK]))
    assert torch.equal(twice.positions, both.positions)
    assert torch.equal(twice.offsets, both.offsets)
    assert (twice.lengths, twice.shape) == (both.lengths, both.shape) == (once.lengths * 2, (8, 3))


def test_maps_of_real_rows_and_columns():
    values = torch.arange(36.0).view(4, 3, 3)
    found = Packed.of(MASK).maps(values)
    assert found.tolist() == [0, 1, 3, 4, *(9 + x for x in (4, 5, 7, 8)), *range(18, 27)]


def test_segments_of_inputs_in_any_order():
    packed = Packed.of(MASK)
    segments = Segments(torch.tensor([0, 3, 5]), (3, 2))
    where = packed.where(torch.tensor([2, 1]), segments)
    assert where.tolist() == [0, 1, 2, 4, 5]
    spread = packed.spread(torch.ones(5), where, 2)
    assert spread.tolist() == [[1, 1, 1], [0, 1, 1]]


def test_runs_of_one_length():
    segments = Segments(torch.tensor([0, 2, 4, 7]), (2, 2, 3))
    assert segments.runs == (Run(0, 2, 2), Run(4, 1, 3))
    assert segments.runs[-1].stop == segments.rows == 7
    assert segments.longest == 3
    assert segments.firsts.tolist() == [0, 2, 4]
    assert segments.until(3) is segments
    assert segments.until(1).lengths == (2,)
    assert Segments(torch.tensor([0]), ()).longest == 0
