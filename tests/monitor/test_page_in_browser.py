"""The page as a browser shows it."""

import copy

import pytest
from helpers.browser import check_accessibility
from helpers.looks import HOSTILE, watched
from helpers.tiny_models import pixels, tiny

from calig_fast.monitor import Monitor
from calig_fast.monitor.page import page

LONG = "word " * 600


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A page of a hostile text, a long one, and a picture."""
    pictures = Monitor(copy.deepcopy(tiny("vit")), pixels(1), overhead=1, strict=True)
    for _ in range(3):
        pictures.step()
    histories = [watched(name="<i>hostile</i>", looks=20), watched(LONG, looks=4, name="long")]
    path = tmp_path_factory.mktemp("page") / "looks.html"
    path.write_text(page([*histories, *pictures.histories.values()], 0.01, False), encoding="utf-8")
    return path


@pytest.fixture(params=[(1280, "light"), (400, "light"), (1280, "dark"), (400, "dark")], ids=str)
def shown(chromium, file, request):
    """The page, open; whatever the browser complains of or asks for beside the file fails the test."""
    width, scheme = request.param
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened = context.new_page()
    complaints, asked = [], []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    opened.on("request", lambda one: asked.append(one.url))
    opened.goto(file.as_uri())
    yield opened
    assert not complaints
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    context.close()


def test_what_is_in_a_text_shows_as_text_and_nothing_sticks_out(shown):
    text = shown.locator("body").inner_text()
    for part in ("<script>alert(1)</script>", "\"quoted\" 'it' & שלום", "e\u0301 🎬", "<i>hostile</i>", "<b>good</b>"):
        assert part in text
    assert HOSTILE not in text  # the mark that turns the reading direction is written out
    assert "<U+202E>abc" in text
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert shown.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


def test_the_last_look_is_in_sight_and_the_strongest_word_has_the_strongest_colour(shown):
    probe = shown.locator("section").first
    rows = probe.locator(".calig-time")
    assert rows.count() == 12
    assert "step 190" in rows.last.inner_text()
    box, row = probe.locator(".calig-times").bounding_box(), rows.last.bounding_box()
    assert row["y"] + row["height"] <= box["y"] + box["height"] + 1
    opacity = rows.first.locator(".calig-w").evaluate_all(
        "words => words.map(w => +(getComputedStyle(w).backgroundColor.match(/[\\d.]+/g)[3] ?? 1))"
    )
    assert max(range(len(opacity)), key=opacity.__getitem__) == 0
    assert min(opacity) < max(opacity)


def test_a_long_text_scrolls_in_its_row_and_is_printed_whole(shown):
    text = shown.locator("section").nth(1).locator(".calig-text").first
    clipped = "t => t.scrollHeight > t.clientHeight + 1"
    assert text.evaluate(clipped)
    shown.emulate_media(media="print")
    assert not text.evaluate(clipped)


def test_a_click_shows_the_numbers(shown):
    probe = shown.locator("section").first
    numbers = probe.locator("table")
    assert not numbers.is_visible()
    probe.locator("summary").click()
    assert numbers.is_visible()
    assert numbers.locator("tbody tr").count() == 20
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_curves_and_strips_are_drawn(shown):
    for section, strips in ((0, 2), (1, 2), (2, 1)):  # blocks and words; a picture has no words
        probe = shown.locator("section").nth(section)
        assert probe.locator("img.calig-strip").count() == strips
        for box in [curve.bounding_box() for curve in probe.locator("svg").all()]:
            assert box["width"] > 100
            assert box["height"] > 40


def test_names_stand_under_their_columns(shown):
    strips = shown.locator("section").first.locator("img.calig-strip")
    for strip, count in ((strips.first, 2), (strips.nth(1), len(HOSTILE.split()))):  # blocks, words
        image = strip.bounding_box()
        names = strip.locator("xpath=following-sibling::div[1]").locator("span")
        assert names.count() == count
        for k, name in enumerate(names.all()):
            assert name.bounding_box()["x"] == pytest.approx(image["x"] + k * image["width"] / count, abs=2)


@pytest.mark.parametrize("shown", [(1280, "light"), (400, "dark")], indirect=True, ids=str)
def test_axe_finds_nothing(shown):
    check_accessibility(shown)
