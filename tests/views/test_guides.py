"""The way through a page, in a real browser: rankings, the line of a long text, tables, filters; accessibility."""

import numpy as np
import pytest
import torch
from helpers import browser
from helpers.pages import ALPHA, slide
from helpers.synthetic import REVIEW, cases, of_images, of_texts, read, with_maps

from calig_fast import compare
from calig_fast.views.one_input import summarise

CASES = cases()
PIXELS = torch.arange(64 * 64 * 3).reshape(1, 64, 64, 3).to(torch.uint8)
TEXT = with_maps(of_texts([read(REVIEW)]))
IMAGE = with_maps(of_images(PIXELS, side=8, layers=4))
RTL = with_maps(of_texts([read("שלום עולם טוב מאוד")]))
IG = of_texts([read(REVIEW)], method="ig", layers=1)
CHEFER = of_texts([read(REVIEW)], method="chefer", layers=0, integrates=False)


def test_the_photo_keeps_its_colours_and_fades_by_its_slider(open_page):
    with open_page(IMAGE.to_html()) as page:
        style = page.eval_on_selector(".calig-under", "e => [getComputedStyle(e).filter, getComputedStyle(e).opacity]")
        assert style == ["none", "1"]
        slide(page, ".calig-photo", 20)
        assert page.eval_on_selector(".calig-under", "e => getComputedStyle(e).opacity") == "0.2"


def test_patches_have_numbers_and_lines(open_page):
    with open_page(IMAGE.to_html()) as page:
        assert page.locator(".calig-down li").all_inner_texts() == [str(n) for n in range(8)]
        box = page.locator(".calig-overlay").bounding_box()
        for n, mark in enumerate(page.locator(".calig-across li").all()):
            place = mark.bounding_box()
            assert place["x"] + place["width"] / 2 == pytest.approx(box["x"] + (n + 0.5) * box["width"] / 8, abs=2)
        assert page.locator(".calig-lines").is_visible()
        page.locator(".calig-gridded").uncheck()
        assert not page.locator(".calig-lines").is_visible()
    with open_page(of_images(PIXELS, side=32, layers=1).to_html()) as page:
        assert not page.locator(".calig-lines").is_visible()
        page.locator(".calig-gridded").check()
        assert page.locator(".calig-lines").is_visible()


def test_opposing_patches_are_striped_in_the_canvas_too(open_page):
    plane = torch.cat([torch.zeros(1), torch.full((32,), 1.0), torch.full((32,), -1.0)])
    scores = plane.expand(1, 1, -1)
    with open_page(of_images(PIXELS, side=8, layers=1, scores=scores[:, 0], layer_scores=scores).to_html()) as page:
        alpha = np.array(page.eval_on_selector("canvas.calig-heat", ALPHA)).reshape(224, 224)
    assert set(alpha[:80].ravel()) == {255}
    assert set(alpha[150:].ravel()) == {255, 89}


def test_a_long_text_is_shown_whole_and_has_a_way_through(open_page):
    long = CASES["long"]
    summary = summarise(long, 0)
    best = int(np.argsort(-summary.values[0], kind="stable")[0])
    with open_page(long.to_html()) as page:
        assert page.locator(".calig-text").evaluate("e => e.scrollHeight <= e.clientHeight + 1")
        page.get_by_text("next strongest that supports").click()
        word = page.locator(".calig-marked")
        assert word.get_attribute("data-u") == str(best)
        assert 0 < word.bounding_box()["y"] < 900
        page.get_by_text("next strongest that opposes").click()
        assert page.locator(".calig-marked").get_attribute("data-u") == str(int(summary.values[0].argmin()))
        line = page.locator(".calig-density img").first.bounding_box()
        page.mouse.click(line["x"] + line["width"] * 0.5, line["y"] + 10)
        assert abs(int(page.locator(".calig-marked").get_attribute("data-u")) - 1000) < 5
    assert 'class="calig-guide' not in TEXT.to_html()


def test_a_ranking_counts_a_words_places_and_leads_to_each(open_page):
    with open_page(CASES["long"].to_html()) as page:
        bar = page.locator(".calig-bar:visible").first
        units = [int(u) for u in bar.get_attribute("data-of").split()]
        summary = summarise(CASES["long"], 0)
        assert {summary.units[u].casefold() for u in units} == {bar.locator("bdi").inner_text().casefold()}
        assert bar.locator(".calig-times").inner_text() == f"\u00d7{len(units)}"
        assert float(bar.locator(".calig-number").inner_text()) == pytest.approx(
            summary.values[0][units].sum(), rel=6e-3
        )
        for unit in units[:3]:
            bar.press("Enter")
            assert page.locator(".calig-marked").get_attribute("data-u") == str(unit)
            assert page.evaluate("document.activeElement.dataset.u") == str(unit)


def test_a_table_reads_out_every_score(open_page):
    with open_page(TEXT.to_html()) as page:
        page.get_by_text("table of all words").click()
        page.locator(".calig-all tbody tr").nth(4).wait_for()
        rows = [r.locator("td").all_inner_texts() for r in page.locator(".calig-all tbody tr").all()]
        assert [r[1] for r in rows[:3]] == [w for w, _ in TEXT.word_scores()[:3]]
        assert float(rows[4][2]) == pytest.approx(TEXT.word_scores()[4][1], rel=6e-3)
        slide(page, ".calig-layer", 2)
        assert page.locator(".calig-all thead th").last.inner_text() == "block 1"
        value = page.locator(".calig-all tbody tr").nth(4).locator("td").last.inner_text()
        assert float(value) == pytest.approx(TEXT.word_scores(layer=1)[4][1], rel=6e-3)


MANY = of_texts([read(REVIEW[4 * i :]) for i in range(20)], late=2)


def test_the_overview_is_sorted_and_filtered(open_page):
    wrong = of_texts(list(MANY.texts), late=2, target=torch.zeros(20, dtype=torch.int64))
    chances = wrong.probabilities.amax(1)
    with open_page(wrong.to_html()) as page:

        def order():
            rows = page.locator(".calig-overview tbody tr:visible")
            return [int(r.locator(".calig-jump").inner_text()) for r in rows.all()]

        assert order() == list(range(20))
        head = page.get_by_role("columnheader", name="probability")
        head.get_by_role("button").press("Enter")
        assert head.get_attribute("aria-sort") == "ascending"
        assert order() == chances.argsort(stable=True).tolist()
        head.get_by_role("button").click()
        assert order() == chances.argsort(descending=True).tolist()
        chosen = page.locator(".calig-filter")
        chosen.select_option("late")
        assert order() == [0]
        assert page.locator(".calig-input:visible").count() == 1
        chosen.select_option("wrong")
        assert sorted(order()) == (wrong.logits.argmax(1) != 0).nonzero().flatten().tolist()
        chosen.select_option("unsure")
        assert sorted(order()) == sorted(chances.argsort()[:2].tolist())
        assert page.locator(".calig-count").inner_text() == "2 inputs"


LOOKED_AT = {
    "a text": lambda: TEXT.to_html(title="A review"),
    "an image": lambda: IMAGE.to_html(),
    "a long text": lambda: CASES["long"].to_html(),
    "side by side": lambda: compare([TEXT, IG, CHEFER]).to_html(),
    "many inputs": lambda: MANY.to_html(),
    "right to left": lambda: RTL.to_html(),
}


@pytest.mark.parametrize("name", LOOKED_AT)
def test_axe_finds_nothing(name, chromium, open_page):
    with open_page(LOOKED_AT[name]()) as page:
        browser.check_accessibility(page)
