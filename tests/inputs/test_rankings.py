"""Scores as a ranking, by hand: what comes first, how many a share is, and what cannot be ranked."""

import pytest
import torch

from calig_fast.inputs.rankings import content, counts, flags, fractions_of, places, size, table

SCORES = torch.tensor([[0.5, 2.0, -1.0, 2.0, 9.0]])
RANKED = torch.tensor([[True, True, True, True, False]])


def test_the_largest_comes_first_and_equal_ones_in_reading_order():
    assert places(SCORES, RANKED).tolist() == [[2, 0, 3, 1, 4]]
    assert places(-SCORES, RANKED).tolist() == [[1, 2, 0, 3, 4]]


def test_what_is_not_ranked_comes_last_even_behind_minus_infinity():
    scores = torch.tensor([[5.0, -torch.inf, 1.0]])
    assert places(scores, torch.tensor([[False, True, True]])).tolist() == [[2, 1, 0]]


def test_a_share_is_rounded_half_up_and_is_at_least_one():
    fractions = torch.tensor([0.0, 0.01, 0.375, 0.5, 1.0], dtype=torch.float64)
    assert counts(fractions, RANKED).tolist() == [[0, 1, 2, 2, 4]]
    assert counts(fractions, torch.zeros_like(RANKED)).tolist() == [[0, 0, 0, 0, 0]]


def test_how_many_k_stands_for():
    ranked = torch.tensor([[True, True, True, True], [True, False, False, False]])
    assert size(3, ranked).tolist() == [3, 1]
    assert size(0.5, ranked).tolist() == [2, 1]
    for wrong in (0, -1, 1.5):
        with pytest.raises(ValueError, match="k: expected at least 1"):
            size(wrong, ranked)
    for wrong in (True, "3", None):
        with pytest.raises(TypeError, match="k: expected how many"):
            size(wrong, ranked)


def test_scores_that_are_no_table():
    assert table([[1, 2]]).dtype == torch.float64
    with pytest.raises(TypeError, match=r"mine: expected an Attribution or a tensor"):
        table("scores", "mine")
    with pytest.raises(ValueError, match=r"one score a token, got \[2\]"):
        table([1.0, 2.0])
    for wrong in (torch.nan, torch.inf):
        with pytest.raises(ValueError, match="NaN or infinity"):
            table([[1.0, wrong]])


def test_flags_have_the_shape_of_the_scores():
    assert flags([[1, 0, 2]], torch.Size([1, 3]), "mask").tolist() == [[True, False, True]]
    with pytest.raises(ValueError, match=r"mask: expected \[1, 3\]"):
        flags([[1, 0]], torch.Size([1, 3]), "mask")
    with pytest.raises(TypeError, match="mask: expected bools"):
        flags("mask", torch.Size([1, 3]), "mask")
    assert content(SCORES, None, SCORES.shape).all()
    assert content(SCORES, RANKED, SCORES.shape).tolist() == RANKED.tolist()


def test_fractions():
    assert fractions_of([0.5, 0.1]).tolist() == [0.5, 0.1]
    for wrong in ([], [-0.1], [1.1], [torch.nan]):
        with pytest.raises(ValueError, match="shares between 0 and 1"):
            fractions_of(wrong)
    for wrong in ([0.5], [0.5, 0.1], [0.5, 0.5]):
        with pytest.raises(ValueError, match="two or more in rising order"):
            fractions_of(wrong, rising=True)
