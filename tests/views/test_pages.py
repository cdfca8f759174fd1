"""Pages and figures in a real browser: what is shown, what a hand or a key does to it, and that nothing is loaded."""

import io

import numpy as np
import pytest
import torch
from helpers.pages import ALPHA, levels, overflow, slide
from helpers.synthetic import HOSTILE, REVIEW, cases, of_images, of_texts, read, with_maps

from calig_fast import compare
from calig_fast.views.one_input import summarise, visible

CASES = cases()
PIXELS = torch.arange(64 * 64 * 3).reshape(1, 64, 64, 3).to(torch.uint8)
TEXT = with_maps(of_texts([read(REVIEW)]))
IMAGE = with_maps(of_images(PIXELS, side=8, layers=4))
RTL = with_maps(of_texts([read("שלום עולם טוב מאוד")]))
IG = of_texts([read(REVIEW)], method="ig", layers=1)
CHEFER = of_texts([read(REVIEW)], method="chefer", layers=0, integrates=False)
LONG = with_maps(of_texts([read(" ".join([REVIEW] * 100), cut=4000)], layers=3))

PAGES = {
    **{name: a.to_html for name, a in CASES.items()},
    "context of words": TEXT.to_html,
    "context of patches": IMAGE.to_html,
    "right to left": RTL.to_html,
    "side by side": compare([TEXT, IG, CHEFER]).to_html,
    "two inputs side by side": compare(list(CASES["several, one without its text"])).to_html,
    "several inputs of two methods": compare({"one": CASES["images"], "two": CASES["images"]}).to_html,
    "hostile names": compare({HOSTILE: CASES["hostile"], "b": CASES["hostile"]}).to_html,
    "a notebook": lambda: f"<!DOCTYPE html><title>n</title>{TEXT._repr_html_()}{compare([IG, CHEFER])._repr_html_()}",
}


def coverage(page):
    """The share of the heat map that is drawn, and its mean opacity."""
    alpha = np.array(page.eval_on_selector("canvas.calig-heat", ALPHA))
    return np.mean(alpha > 0), np.mean(alpha)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens_at_both_widths(name, open_page):
    with open_page(PAGES[name]()) as page:
        for width in (1280, 400):
            page.set_viewport_size({"width": width, "height": 900})
            assert overflow(page) <= 0
            assert page.locator(".calig-ready .calig-input .calig-statement").count() >= 1
        if page.locator(".calig-layer").count():
            page.locator(".calig-layer").first.press("End")
            assert overflow(page) <= 0


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
def test_every_figure_opens(open_page):
    pytest.importorskip("matplotlib")
    text, image = CASES["hostile"], CASES["images"]
    figures = [text.plot(), text.plot_layers(), compare([text, text]).plot()]
    figures += [image.plot(), image.plot_layers(), compare([image, image]).plot()]
    drawn = []
    for figure in figures:
        out = io.StringIO()
        figure.savefig(out, format="svg")
        drawn.append(out.getvalue()[out.getvalue().index("<svg") :])
    with open_page("<!DOCTYPE html><meta charset=utf-8><title>figures</title>" + "".join(drawn)) as page:
        assert [f.locator("path").count() > 5 for f in page.locator("svg").all()] == [True] * 6
        assert all(f.bounding_box()["width"] > 500 for f in page.locator("svg").all())


def test_the_slider_moves_words_rankings_and_table(open_page):
    summary = summarise(TEXT, 0)
    with open_page(TEXT.to_html()) as page:
        before = levels(page)
        page.locator(".calig-layer").press("ArrowRight")
        page.locator(".calig-layer").press("ArrowRight")
        page.locator(".calig-layer").press("ArrowRight")
        assert page.locator(".calig-controls > .calig-which").inner_text() == "block 2"
        assert page.locator(".calig-layer").get_attribute("aria-valuetext") == "block 2"
        wanted = np.rint(np.clip(summary.values[3] / summary.scales[3], -1, 1) * 10)
        assert levels(page) == wanted.tolist() != before
        best = summary.words(3, 1)[0][0].name
        assert page.locator(".calig-bar:visible bdi").first.inner_text() == best
        assert page.locator("tr.calig-now th").inner_text() == "2"
        assert page.locator(".calig-end").first.inner_text() == f"-{summary.scales[3]:.2g}"
        page.locator("tr[data-pick='4'] button").press("Enter")
        assert page.locator(".calig-controls > .calig-which").inner_text() == "block 4"


def test_a_hover_shows_the_value_and_the_word_pieces(open_page):
    word, score = next((w, s) for w, s in TEXT.word_scores() if w == "smartphones")
    with open_page(TEXT.to_html()) as page:
        page.get_by_text(word, exact=True).first.hover()
        lines = page.locator(".calig-tip").inner_text().split("\n")
        assert lines[0].split() == [word, f"{score:+.3g}", "(all", "layers", "fused)"]
        assert [line.split()[0] for line in lines[1:]] == ["smar", "##tphones"]
        assert sum(float(line.split()[1]) for line in lines[1:]) == pytest.approx(score, rel=2e-2)
        page.mouse.move(0, 0)
        assert not page.locator(".calig-tip").is_visible()
        page.locator(".calig-bar bdi", has_text=word).first.hover()
        assert page.locator(".calig-found").inner_text() == word


def row_of(attribution, unit, layer=None):
    """A row of the context map between words, by hand: the tokens' mean over the rows, sum over the columns."""
    s = summarise(attribution, 0)
    members = [*s.members, *((t,) for t in s.outside)]
    plane = attribution.maps[0].mean(0) if layer is None else attribution.maps[0, layer]
    mine = plane[list(members[unit])].mean(0)
    names = [*s.units, *s.apart]
    return {i: (names[i], float(mine[list(m)].sum())) for i, m in enumerate(members)}


def told(page):
    """The strongest entries that the page names."""
    cells = page.locator(".calig-context .calig-cell").all()
    return [(c.locator("bdi").inner_text(), float(c.locator("b").inner_text())) for c in cells]


@pytest.mark.parametrize("layer", [None, 3])
def test_a_click_shows_what_a_word_attended_to(layer, open_page):
    unit = [w for w, _ in TEXT.word_scores()].index("smartphones")
    row = row_of(TEXT, unit, layer)
    strongest = sorted(row.values(), key=lambda entry: -abs(entry[1]))[:10]
    with open_page(TEXT.to_html()) as page:
        still = levels(page)
        assert "Click a word" in page.locator(".calig-context").inner_text()
        page.get_by_text("smartphones", exact=True).first.click()
        if layer is not None:
            slide(page, ".calig-layer", layer + 1)
        found = told(page)
        assert sorted(n for n, _ in found)[:5] == sorted(n for n, _ in strongest)[:5]
        assert [v for _, v in found] == pytest.approx([v for _, v in strongest], rel=0.06)
        assert "smartphones attended to" in page.locator(".calig-context").inner_text()
        largest = abs(strongest[0][1])
        wanted = [round(10 * row[i][1] / largest) for i in range(len(still))]
        assert np.abs(np.array(levels(page)) - wanted).max() <= 1
        assert levels(page) != still
        page.keyboard.press("Escape")
        if layer is None:
            assert levels(page) == still
        assert "Click a word" in page.locator(".calig-context").inner_text()


def test_the_class_token_can_be_asked_too(open_page):
    with open_page(TEXT.to_html()) as page:
        page.locator(".calig-apart .calig-w").first.click()
        row = row_of(TEXT, len(summarise(TEXT, 0).units))
        assert told(page)[0][1] == pytest.approx(max((v for _, v in row.values()), key=abs), rel=0.06)
        page.get_by_text("back to the scores").click()
        assert not told(page)


def test_without_maps_a_notebook_says_how_to_get_them_and_a_page_does_not(open_page):
    bare = with_maps(TEXT, maps=None)
    with open_page(f"<!DOCTYPE html><title>n</title>{bare._repr_html_()}") as page:
        page.locator(".calig-w").first.click()
        assert not page.locator(".calig-asked").count()
        assert "return_maps=True" in page.locator(".calig-hint").inner_text()
    assert "return_maps" not in bare.to_html()
    assert "return_maps" not in IG._repr_html_()


def test_keys_reach_every_word(open_page):
    with open_page(TEXT.to_html()) as page:
        page.locator(".calig-w").first.focus()
        for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
            page.keyboard.press(key)
        assert page.evaluate("document.activeElement.textContent") == "in"
        assert page.locator(".calig-tip").inner_text().startswith("in ")
        page.keyboard.press("Enter")
        assert page.locator(".calig-asked").inner_text() == "in"
        page.keyboard.press("Escape")
        assert not page.locator(".calig-asked").count()
        page.keyboard.press("End")
        assert page.evaluate("document.activeElement.textContent") == "[SEP]"
        assert page.locator(".calig-w[tabindex='0']").count() == 1


def test_right_to_left_text_is_read_from_the_right(open_page):
    with open_page(RTL.to_html()) as page:
        boxes = [w.bounding_box()["x"] for w in page.locator(".calig-text .calig-w").all()]
        assert boxes == sorted(boxes, reverse=True)
        assert boxes[0] > 1000
        page.locator(".calig-w").first.focus()
        page.keyboard.press("ArrowLeft")
        assert page.evaluate("document.activeElement.textContent") == "עולם"


def test_hostile_text_is_text(open_page):
    with open_page(PAGES["hostile names"]()) as page:
        for box in page.locator(".calig-text").all():
            assert box.evaluate("e => e.textContent") == visible(HOSTILE)
            assert "e\u0301a\u0308\u0323" in box.inner_text()
        assert page.locator(".calig-panel-name").first.inner_text() == " ".join(visible(HOSTILE).split())
        assert page.locator(".calig img[src='x']").count() == 0
        page.get_by_text("script", exact=True).first.hover()
        assert page.locator(".calig-tip").inner_text().startswith("script")
        assert page.title().startswith("<script>alert")


def test_image_controls(open_page):
    with open_page(IMAGE.to_html()) as page:
        slide(page, ".calig-opacity", 30)
        assert page.eval_on_selector("canvas.calig-heat", "e => getComputedStyle(e).opacity") == "0.3"
        (share, mean), scale = coverage(page), page.locator(".calig-end").last.inner_text()
        slide(page, ".calig-full", 60)
        assert coverage(page)[1] > mean
        assert float(page.locator(".calig-end").last.inner_text()) < float(scale)
        assert float(page.locator(".calig-end").last.inner_text()) == pytest.approx(
            np.percentile(np.abs(summarise(IMAGE, 0).values[0]), 60), rel=0.06
        )
        slide(page, ".calig-full", 99)
        assert coverage(page) == (share, mean)
        slide(page, ".calig-least", 90)
        assert 0 < coverage(page)[0] < 0.3 < share
        assert page.locator(".calig-least + .calig-number").inner_text() == "90"
        page.locator(".calig-film button").nth(2).click()
        assert page.locator(".calig-controls > .calig-which").inner_text() == "block 1"


def test_the_script_draws_the_heat_that_the_page_came_with(chromium, open_page):
    source = IMAGE.to_html()
    with open_page(source) as page:
        drawn = page.locator(".calig-overlay").screenshot()
        page.eval_on_selector(".calig-box", "e => e.remove()")
    with open_page(source, java_script_enabled=False) as page:
        still = page.locator(".calig-overlay").screenshot()
    images = pytest.importorskip("matplotlib.image")
    a, b = (np.asarray(images.imread(io.BytesIO(x), format="png"))[..., :3] for x in (drawn, still))
    assert np.abs(a - b).mean() < 0.02


def test_a_patch_can_be_asked_with_mouse_and_keys(open_page):
    row = row_of(IMAGE, 3 * 8 + 5)
    strongest = sorted(row.values(), key=lambda entry: -abs(entry[1]))
    with open_page(IMAGE.to_html()) as page:
        box = page.locator(".calig-overlay").bounding_box()
        side = box["width"] / 8
        page.mouse.move(box["x"] + 5.5 * side, box["y"] + 3.5 * side)
        score = float(IMAGE.patch_scores()[3, 5])
        assert page.locator(".calig-tip").inner_text().startswith(f"row 3, column 5 {score:+.3g}")
        page.mouse.down()
        page.mouse.up()
        assert told(page)[0] == (strongest[0][0], pytest.approx(strongest[0][1], rel=0.06))
        page.locator(".calig-overlay").focus()
        for key in ("Escape", "ArrowDown", "ArrowRight", "Enter"):
            page.keyboard.press(key)
        assert "row 1, column 1 attended to" in page.locator(".calig-context").inner_text()


def test_one_slider_moves_all_and_says_who_has_no_such_block(open_page):
    with open_page(compare([TEXT, IG, CHEFER]).to_html()) as page:
        panels = page.locator(".calig-panel")
        assert [p.locator("h3").first.inner_text() for p in panels.all()] == ["calig", "ig", "chefer"]
        tops = {round(p.bounding_box()["y"]) for p in panels.all()}
        assert len(tops) == 1
        slide(page, ".calig-layer", 1)
        assert [p.locator(".calig-absent").is_visible() for p in panels.all()] == [False, False, True]
        slide(page, ".calig-layer", 4)
        assert [p.locator(".calig-absent").is_visible() for p in panels.all()] == [False, True, True]
        slide(page, ".calig-layer", 0)
        panels.nth(1).get_by_text("forecast", exact=True).first.hover()
        assert page.locator(".calig-found").all_inner_texts() == ["forecast"] * 3
        assert page.locator(".calig-compared tbody tr").count() == 20
    with open_page(compare([TEXT, IG, CHEFER]).to_html(), 400) as page:
        assert len({round(p.bounding_box()["y"]) for p in page.locator(".calig-panel").all()}) == 3


def test_a_long_name_leaves_room_for_the_scores(open_page):
    with open_page(PAGES["hostile names"]()) as page:
        widths = [c.bounding_box()["width"] for c in page.locator(".calig-compared tr").nth(1).locator("td").all()]
        assert widths == pytest.approx([widths[0]] * 2, rel=0.05)


def shade(page, selector):
    return page.eval_on_selector(selector, "e => getComputedStyle(e).backgroundColor")


def test_without_scripts_the_highlights_and_values_are_there(open_page):
    with open_page(TEXT.to_html(), java_script_enabled=False) as page:
        strong = page.locator(".calig-w[data-s='-10']").first
        assert strong.get_attribute("title").startswith("-")
        assert not page.locator(".calig-layer").is_visible()
        assert not page.locator(".calig-context").is_visible()
        assert page.locator(".calig-ranking:visible").count() == 2
        assert page.locator(".calig-layers img").count() == 6
        box = strong.bounding_box()
        image = page.screenshot(clip={"x": box["x"] + 1, "y": box["y"] + 2, "width": 2, "height": 2})
        images = pytest.importorskip("matplotlib.image")
        red, _, blue = np.asarray(images.imread(io.BytesIO(image), format="png"))[0, 0, :3]
        assert red > blue + 0.2


def test_dark_light_and_the_switch(open_page):
    with open_page(TEXT.to_html(), color_scheme="dark") as page:
        assert shade(page, ".calig-input") == "rgb(21, 24, 30)"
        page.locator(".calig-theme").click()
        assert shade(page, ".calig-input") == "rgb(255, 255, 255)"
        assert shade(page, "html") == "rgb(243, 244, 246)"
    with open_page(TEXT.to_html()) as page:
        assert shade(page, ".calig-input") == "rgb(255, 255, 255)"
        page.locator(".calig-theme").press("Enter")
        assert shade(page, ".calig-input") == "rgb(21, 24, 30)"
        page.emulate_media(media="print")
        assert shade(page, ".calig-input") == "rgb(255, 255, 255)"


def test_print_shows_the_whole_text_and_no_controls(open_page):
    with open_page(CASES["long"].to_html()) as page:
        page.emulate_media(media="print")
        box = page.locator(".calig-text")
        assert box.evaluate("e => e.scrollHeight <= e.clientHeight + 1")
        assert not page.locator(".calig-layer").is_visible()
        assert page.locator(".calig-legend").is_visible()
        assert len(page.pdf()) > 20_000


def test_a_document_of_4000_words(open_page):
    source = LONG.to_html()
    assert len(source) < 2_500_000
    with open_page(source) as page:
        assert page.locator(".calig-text .calig-w").count() == 4000
        assert "the 10 strongest of 4002 entries" in page.locator(".calig-hint").inner_text()
        slide(page, ".calig-layer", 2)
        summary = summarise(LONG, 0)
        assert levels(page) == np.rint(np.clip(summary.values[2] / summary.scales[2], -1, 1) * 10).tolist()
        page.locator(".calig-w").nth(3990).click()
        assert len(told(page)) == 10
