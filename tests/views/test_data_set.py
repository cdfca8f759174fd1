"""A data set's page in a browser, and its figures."""

import numpy as np
import pytest
from helpers import browser
from helpers.synthetic import HOSTILE, REVIEW, of_images, of_texts, read

from calig_fast import summary, views
from calig_fast.views.data_set import spread, table

RUNS = {
    "old": of_texts([read(REVIEW[4 * i :]) for i in range(12)]),
    HOSTILE: of_texts([read(REVIEW[4 * i :]) for i in range(9)]),
}
SUMMARY = summary(RUNS)


def test_the_room_has_the_function_too():
    assert views.summary is summary
    with pytest.raises(AttributeError, match="has no attribute 'sumary'"):
        _ = views.sumary


def test_a_table_holds_the_sum_of_each_input():
    whole = table(SUMMARY.places[0], 12)
    assert whole.shape == (20, 12)
    for row, places in zip(whole, SUMMARY.places[0], strict=True):
        for b in range(12):
            assert row[b] == pytest.approx(places.scores[places.inputs == b].sum())


def test_many_inputs_keep_the_strongest_of_neighbours():
    many = summary(of_texts([read("one two")] * 500))
    whole = table(many.places[0], 500)
    assert whole.shape == (2, 200)
    assert np.abs(whole).max() == pytest.approx(max(np.abs(p.scores).max() for p in many.places[0]))


def test_dots_of_one_value_are_spread_and_far_ones_are_not():
    heights = spread(np.array([0.0, 0.0, 0.0, 5.0]), 0.1)
    assert len(set(heights[:3])) == 3
    assert heights[3] == 0
    assert np.abs(spread(np.zeros(50), 0.1)).max() == 1.0


@pytest.mark.parametrize("kind", ["beeswarm", "bar", "heatmap"])
def test_figures_show_the_runs_side_by_side(kind):
    pytest.importorskip("matplotlib")
    figure = SUMMARY.plot(kind)
    first, second = figure.axes
    assert first.get_title() == "old: 12 inputs"
    assert "9 inputs" in second.get_title()
    assert [t.get_text() for t in first.get_yticklabels()] == list(SUMMARY.units)
    if kind == "bar":
        assert [p.get_width() for p in first.patches] == pytest.approx([p.importance for p in SUMMARY.places[0]])
    if kind == "beeswarm":
        drawn = [c.get_offsets()[:, 0].tolist() for c in first.collections]
        assert drawn == [p.scores.tolist() for p in SUMMARY.places[0]]


def test_the_page_is_sorted_searched_and_read_by_axe(open_page):
    with open_page(SUMMARY.to_html()) as page:

        def column(n):
            return [r.locator("th, td").nth(n).inner_text() for r in page.locator("tbody tr:visible").all()]

        assert column(0) == list(SUMMARY.units)
        page.locator(".calig-sort").nth(2).click()
        assert [float(v) for v in column(2)] == sorted(float(v) for v in column(2))
        page.locator(".calig-search").fill("smart")
        assert column(0) == ["smartphones"]
        page.locator(".calig-search").fill("")
        assert page.locator("circle").count() == sum(len(p.scores) for run in SUMMARY.places for p in run)
        assert page.locator(".calig img[src='x']").count() == 0
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        browser.check_accessibility(page)


def test_patches_have_a_page_too():
    text = summary(of_images(side=4, layers=1, count=2)).to_html()
    assert "table of the patches" in text
    assert "row 0, column 0" in text


def test_the_two_means_say_what_they_are_of():
    a = of_texts([read("good film"), read("film"), read("film")])
    places = summary(a).places[0][summary(a).units.index("good")]
    assert places.importance == pytest.approx(abs(places.mean) / 3)  # one place, three inputs
    head = summary(a).to_html().split("<thead>")[1].split("</thead>")[0]
    assert "mean a place" in head
    assert "mean |score| an input" in head
