"""The pixels under a grid of patches: as many as the patches cover."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.synthetic import cases

from calig_fast import Grid
from calig_fast.views.html import page
from calig_fast.views.pictures import covered, covered_size, photograph

IMAGES = cases()["images"]


def of(height, width, grid):
    levels = np.random.default_rng(0).integers(0, 200, (IMAGES.batch, height, width, 3), dtype=np.uint8)
    return replace(IMAGES, images=torch.from_numpy(levels), grid=grid)


def grid(height, width):
    told = IMAGES.grid
    return Grid(told.rows, told.columns, told.prefix, height, width)


def test_pixels_that_no_patch_covers_are_cut_off():
    g = grid(4, 5)
    rows, columns = g.rows * 4, g.columns * 5
    a = of(rows + 3, columns + 2, g)
    assert np.array_equal(covered(a, 1), a.images[1, :rows, :columns].numpy())
    assert covered_size(a) == f"patches cover {rows} x {columns} of {rows + 3} x {columns + 2} pixels"


def test_what_the_model_filled_up_is_grey():
    g = grid(4, 5)
    rows, columns = g.rows * 4, g.columns * 5
    a = of(rows - 1, columns - 3, g)
    found = covered(a, 0)
    assert found.shape == (rows, columns, 3)
    assert np.array_equal(found[:-1, :-3], a.images[0].numpy())
    assert (found[-1] == 128).all()
    assert (found[:, -3:] == 128).all()


@pytest.mark.parametrize("told", [(None, None), (4, 4)])
def test_the_whole_picture_where_it_is_covered_or_nothing_is_known(told):
    g = grid(*told)
    a = of(g.rows * 4, g.columns * 4, g)
    assert np.array_equal(covered(a, 0), a.images[0].numpy())
    assert covered_size(a) == ""
    assert covered(replace(a, images=None), 0) is None


def test_the_page_shows_the_covered_pixels_and_says_so():
    g = grid(4, 4)
    a = of(g.rows * 4 + 2, g.columns * 4, g)
    written = page(a)
    assert photograph(covered(a, 0)) in written
    assert photograph(a.images[0].numpy()) not in written
    assert covered_size(a) in written
    assert "patches cover" not in page(of(g.rows * 4, g.columns * 4, g))
