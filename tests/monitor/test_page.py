"""The page: what it shows, and that it loads and runs nothing."""

import copy
import re
from html.parser import HTMLParser

import pytest
from helpers.looks import attribution, watched
from helpers.tiny_models import ids, pixels, tiny

from calig_fast.monitor import Monitor
from calig_fast.monitor.page import DRAWN, SHOWN, page, spread

VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Checks that elements nest, and keeps elements and text."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.text = [], [], []
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    def of(self, tag, name=""):
        return [attrs for t, attrs in self.elements if t == tag and name in (attrs.get("class") or "")]


def test_it_loads_and_runs_nothing_and_follows_the_ground():
    source = page([watched()], 0.0123, False)
    reader = Reader(source)
    assert not reader.of("script")
    assert not re.search(r"(?:src|href)=\"(?!data:)", source)
    assert "@import" not in source
    assert "url(" not in source
    assert "prefers-color-scheme: dark" in source
    assert "1.2 % of the time" in " ".join("".join(reader.text).split())


def test_what_is_in_a_text_shows_as_text():
    reader = Reader(page([watched(name="<img src=x onerror=alert(1)>")], 0.0, True))
    shown = "".join(reader.text)
    for part in ("<script>alert(1)</script>", "\"quoted\" 'it' & שלום", "e\u0301 🎬", "<b>good</b>", "<img src=x"):
        assert part in shown
    assert "\u202e" not in shown
    assert not reader.of("b", "good")
    assert all(attrs["src"].startswith("data:") for attrs in reader.of("img"))


def test_every_look_colours_the_words_and_names_its_step():
    history = watched("one two three four", looks=3)
    reader = Reader(page([history], 0.0, False))
    words = reader.of("span", "calig-w")
    assert len(words) == 3 * 4
    for k in range(3):
        row = [int(w["data-s"]) for w in words[4 * k : 4 * k + 4]]
        assert max(range(4), key=lambda i: abs(row[i])) == k
        assert [s > 0 for s in row] == [True, False, True, False]
    shown = "".join(reader.text)
    assert all(f"step {10 * k}" in shown for k in range(3))
    assert "10.0 % → 90.0 %" in shown
    shares = [float(w["title"].split()[0]) for w in words[:4]]
    assert sum(map(abs, shares)) == pytest.approx(100, abs=0.5)


def test_many_looks_are_thinned_and_the_first_and_last_stay():
    history = watched("one two", looks=300)
    reader = Reader(page([history], 0.0, False))
    assert len(reader.of("span", "calig-w")) == 2 * SHOWN
    points = reader.of("polyline")[0]["points"].split()
    assert len(points) == DRAWN
    shown = "".join(reader.text)
    assert "step 0" in shown
    assert "step 2990" in shown


def test_looks_that_did_not_move_are_not_drawn():
    history = watched("one two three", looks=1)
    for k in range(1, 9):
        scores = [0.2, -0.9, 0.3] if k > 4 else [1.0, -0.5, 1 / 3 + k / 1000]
        history.add(10 * k, attribution("one two three", scores), False)
    reader = Reader(page([history], 0.0, False))
    drawn = [int(step) for step in re.findall(r"step (\d+)\s+\d+\.", "".join(reader.text).split("not drawn")[1])]
    assert drawn == [0, 50, 80]
    assert "6 looks that moved less than 5.0 %" in " ".join("".join(reader.text).split())
    assert len(reader.of("polyline")[0]["points"].split()) == 9


def test_pictures_and_probes_without_a_look():
    model = copy.deepcopy(tiny("vit"))
    monitor = Monitor(model, pixels(2), overhead=1, strict=True)
    assert "".join(Reader(monitor.html()).text).count("no look yet") == 2
    monitor.step()
    monitor.step()
    reader = Reader(monitor.html())
    assert len([i for i in reader.of("img") if i["alt"].startswith("scores at step")]) == 4
    assert len([i for i in reader.of("img") if i["alt"] == "the image"]) == 2


def test_ids_without_a_tokenizer_have_a_page():
    monitor = Monitor(copy.deepcopy(tiny("bert")), ids(9), overhead=1, strict=True)
    monitor.step()
    assert len(Reader(monitor.html()).of("span", "calig-w")) == 7  # two of nine are special


def test_spread_keeps_the_ends():
    assert spread(list(range(5)), 12) == [0, 1, 2, 3, 4]
    assert spread(list(range(100)), 3) == [0, 50, 99]
