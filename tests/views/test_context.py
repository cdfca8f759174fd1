import base64

import numpy as np
import pytest
import torch
from helpers.synthetic import REVIEW, of_texts, read, with_maps

from calig_fast.views.context import FEWEST, Rows, rows
from calig_fast.views.one_input import summarise

MEMBERS = ((1,), (2, 3), (5, 4, 6), (0,), (7,))


def by_hand(plane, members):
    """The mean of the rows of a unit's tokens, the sum of the columns of another's."""
    return np.array([[sum(plane[t, u] for t in a for u in b) / len(a) for b in members] for a in members])


def unpacked(found: Rows):
    """The rows as a script reads them: [V,N,N], zero where an entry was not kept."""
    data = base64.b64decode(found.encoded())
    views, count, kept = found.levels.shape
    head, body = 4 * views * count, views * count * kept
    largest = np.frombuffer(data, "<f4", views * count).reshape(views, count)
    whole = kept == count
    units = np.tile(np.arange(count), (views, count, 1))
    if not whole:
        units = np.frombuffer(data, "<u2", body, head).reshape(views, count, kept).astype(int)
    levels = np.frombuffer(data, "i1", body, head + (0 if whole else 2 * body)).reshape(views, count, kept)
    out = np.zeros((views, count, count))
    np.put_along_axis(out, units, levels / 127 * largest[..., None], 2)
    assert len(data) == head + body * (1 if whole else 3)
    return out


def test_rows_between_words_and_their_mean_over_the_layers():
    maps = torch.randn(3, 9, 9, generator=torch.Generator().manual_seed(0))
    found = rows(maps, MEMBERS, budget=10_000)
    wanted = np.stack([by_hand(plane, MEMBERS) for plane in maps.double().numpy()])
    wanted = np.concatenate([wanted.mean(0)[None], wanted])
    assert found.largest == pytest.approx(np.abs(wanted).max(2), rel=1e-5)
    assert np.abs(unpacked(found) - wanted).max() <= np.abs(wanted).max() / 127 / 2 + 1e-6


def test_a_budget_keeps_the_strongest_of_each_row():
    count = 200
    maps = torch.randn(2, count, count, generator=torch.Generator().manual_seed(1))
    members = tuple((t,) for t in range(count))
    budget = 30_000
    found = rows(maps, members, budget)
    assert FEWEST <= found.kept < count
    assert found.units.nbytes + found.levels.nbytes <= budget
    for view, plane in enumerate([maps.mean(0), *maps]):
        cut = plane.abs().sort(1, descending=True).values[:, found.kept - 1 : found.kept]
        assert np.array_equal(unpacked(found)[view] != 0, (plane.abs() >= cut).numpy())
    assert rows(maps, members, budget=1).kept == FEWEST


def test_zeros_and_what_is_not_finite_are_nothing():
    maps = torch.zeros(1, 4, 4)
    maps[0, 1, 2] = torch.nan
    assert not unpacked(rows(maps, ((0,), (1, 2), (3,)), 1000)).any()
    assert rows(torch.zeros(1, 4, 4), (), 1000).count == 0


def test_every_real_token_is_in_one_unit():
    a = with_maps(of_texts([read(REVIEW), read("two words")]))
    for index in range(2):
        s = summarise(a, index)
        tokens = sorted(t for unit in s.members for t in unit) + sorted(s.outside)
        assert sorted(tokens) == a.mask[index].nonzero().flatten().tolist()
