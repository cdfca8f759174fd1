import io

import numpy as np
import pytest
from helpers.synthetic import REVIEW, cases, of_images, of_texts, read
from rich.cells import cell_len
from rich.console import Console

from calig_fast import compare
from calig_fast.views.colours import normalise
from calig_fast.views.figures import WORDS
from calig_fast.views.one_input import strongest_of, summarise

CASES = cases()
A = of_texts([read(REVIEW)])
B = of_texts([read(REVIEW)], method="ig", layers=3)
C = of_texts([read(REVIEW)], method="chefer", layers=0, integrates=False)


def test_names_tell_them_apart():
    assert compare([A, B]).names == ("calig", "ig")
    assert compare({"one": A, "two": A}).names == ("one", "two")
    assert compare([A, B], names=["first", "second"]).names == ("first", "second")
    assert compare([A, A, B]).names == (f"calig: {A.label()} (1)", f"calig: {A.label()} (2)", f"ig: {B.label()}")
    several = of_texts([read("one text"), read("another")], target=A.target.new_tensor([0, 3]))
    assert compare(list(several)).names == ("calig: business", "calig: sport")


def test_the_same_input_is_known():
    assert compare([A, B, C]).same_input(0)
    assert not compare([A, of_texts([read(REVIEW + ".")])]).same_input(0)
    pictures = CASES["images"]
    assert compare([pictures, pictures]).same_input(1)
    assert not compare(list(pictures)).same_input(0)
    assert not compare([pictures, of_images(side=7, count=2)]).same_input(0)
    assert compare([CASES["grid alone"], of_images(side=14)]).same_input(0)


def test_the_strongest_of_any_each_by_its_own_scale():
    summaries = [summarise(a, 0) for a in (A, B)]
    found = strongest_of(summaries, 5)
    levels = np.stack([normalise(s.values[0], s.scales[0]) for s in summaries])
    assert found.units == sorted(found.units)
    others = np.delete(np.abs(levels).max(0), found.units)
    assert np.abs(found.levels).max(0).min() >= others.max()
    assert found.values[1] == pytest.approx(summaries[1].values[0, found.units])


def printed(comparison, width, colour=False):
    out = io.StringIO()
    system = "truecolor" if colour else None
    comparison.print(Console(file=out, width=width, force_terminal=colour, color_system=system, legacy_windows=False))
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_terminal_of_any_width(width):
    text = printed(compare([A, B, C]), width)
    assert max(map(cell_len, text.splitlines())) <= width
    top = next(line for line in text.splitlines() if line.startswith("calig"))
    assert ("ig" in top.split()) == (width >= 80)
    assert ("chefer" in top.split()) == (width >= 120)
    for name, a in (("calig", A), ("ig", B), ("chefer", C)):
        assert f"{name}: {' '.join(a.statement().split())}" in " ".join(text.split())
    word = max(range(len(A.word_scores())), key=lambda i: A.word_scores()[i][1])
    row = next(x.split() for x in text.splitlines() if f"{A.word_scores()[word][1]:+.3g}" in x.split())
    assert row == [A.word_scores()[word][0], *(f"{a.word_scores()[word][1]:+.3g}" for a in (A, B, C))]


def test_images_and_several_inputs_in_the_terminal():
    pictures = CASES["images"]
    text = printed(compare({"one": pictures, "two": pictures}), 80)
    assert text.count("one  ") == 2
    assert "input 1" in text
    assert "▀" in printed(compare([pictures, pictures]), 80, colour=True)


def test_a_figure_of_texts():
    figure = compare([A, B, C]).plot()
    figure.canvas.draw()
    (axes,) = figure.axes
    found = strongest_of([summarise(a, 0) for a in (A, B, C)], 30)
    assert [t.get_text() for t in axes.get_yticklabels()] == [A.word_scores()[i][0] for i in found.units]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["calig", "ig", "chefer"]
    colours = np.asarray(axes.collections[0].get_array())
    assert colours == pytest.approx(np.array(found.levels).T)
    for text in figure.texts:
        box = text.get_window_extent()
        assert 0 <= box.x0 <= box.x1 <= figure.bbox.width
        assert axes.bbox.y1 < box.y0 <= box.y1 <= figure.bbox.height
    assert sum(t.get_text().startswith(("calig ", "ig ", "chefer ")) for t in figure.texts) == 3


def test_a_figure_of_different_texts_has_no_table():
    figure = compare([A, CASES["long"]]).plot()
    assert not figure.axes
    assert f"and {2000 - WORDS} words more" in figure.texts[-2].get_text()


def test_a_figure_of_images():
    pictures = CASES["images"]
    titles = [x.get_title() for x in compare({"one": pictures, "two": pictures}).plot(1, opacity=0.5).axes]
    assert [t.split("\n")[0] for t in titles[:3]] == ["the image", "one", "two"]
    figure = compare(list(pictures)).plot()
    assert [x.get_title() for x in figure.axes if x.get_title() == "the image"] == []
    layer = compare([pictures, pictures]).plot(opacity=0.25).axes[1].images[1].get_array()
    assert np.asarray(layer)[..., 3].max() == pytest.approx(0.25)
