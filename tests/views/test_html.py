import base64
import io
import json
import re
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from helpers.synthetic import HOSTILE, REVIEW, cases, of_images, of_texts, read

from calig_fast import __version__, compare
from calig_fast.results.attribution import Attribution
from calig_fast.views.html import NOTEBOOK_INPUTS, fragment, page
from calig_fast.views.one_input import visible
from calig_fast.views.pictures import heat, photograph, smooth

VOID = {"meta", "img", "input", "br", "link"}
CASES = cases()


class Reader(HTMLParser):
    """Checks that elements nest, and keeps what a browser would see."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> repeats an attribute"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.append((*self.open[-1], data))

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for _, attrs in self.elements if name in (attrs.get("class") or "").split()]

    def data(self) -> list[dict[str, object]]:
        return [json.loads(text) for tag, attrs, text in self.texts if attrs.get("class") == "calig-data"]


def decoded(uri: str) -> np.ndarray:
    image = pytest.importorskip("matplotlib.image")
    return np.asarray(image.imread(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])), format="png"))


@pytest.mark.parametrize("name", CASES)
def test_page_is_well_formed_and_loads_nothing(name: str) -> None:
    source = page(CASES[name])
    reader = Reader(source)
    source.encode("utf-8")
    assert "http://" not in source
    assert "https://" not in source
    assert not {tag for tag, _ in reader.elements} & {"link", "iframe", "object", "embed", "base"}
    for tag, attrs in reader.elements:
        assert tag != "script" or "src" not in attrs
        assert not [a for a in attrs if a.startswith("on")]
        for attribute in ("src", "href"):
            assert (attrs.get(attribute) or "data:image/png;base64,").startswith("data:image/png;base64,")
    style = "".join(text for tag, _, text in reader.texts if tag == "style")
    assert not re.search(r"url\(|@import", style)
    assert len(reader.of_class("calig-input")) == len(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_fragment_is_one_scoped_element(name: str) -> None:
    source = fragment(CASES[name])
    reader = Reader(source)
    assert source.startswith('<div class="calig">')
    assert not {tag for tag, _ in reader.elements} & {"html", "head", "body", "main"}
    assert not [attrs["id"] for _, attrs in reader.elements if "id" in attrs]
    style = "".join(text for tag, _, text in reader.texts if tag == "style")
    rules = re.findall(r"([^{}]+)\{", re.sub(r"@media[^{]*\{", "", style))
    assert len(rules) > 40
    assert [rule for rule in rules for part in rule.split(",") if ".calig" not in part] == []


def test_hostile_text_is_shown_as_text() -> None:
    reader = Reader(page(CASES["hostile"]))
    assert sum(tag == "script" for tag, _ in reader.elements) == 2
    assert not [attrs for tag, attrs in reader.elements if tag == "img" and attrs.get("src") == "x"]
    shown = "".join(t for _, attrs, t in reader.texts if (attrs.get("class") or "") in {"calig-text", "calig-w"})
    assert shown == visible(HOSTILE)
    assert "{{ 7*7 }}" in shown
    (data,) = reader.data()
    assert len(data["values"]) == 7


def test_json_cannot_end_its_script() -> None:
    text = read("x")
    bad = type(text)(("[CLS]", "</script><b>", "##<!--", "[SEP]"), (type(text.words[0])("x", (1, 2), 0, 1),), "x")
    reader = Reader(page(of_texts([bad])))
    assert sum(tag == "script" for tag, _ in reader.elements) == 2
    (data,) = reader.data()
    assert [piece for piece, _ in data["pieces"]["0"]] == ["</script><b>", "##<!--"]


def test_every_word_carries_its_level_and_every_layer_its_numbers() -> None:
    a = CASES["text"]
    reader = Reader(page(a))
    words = [w for w in reader.of_class("calig-w") if w["class"] == "calig-w"]
    assert len(words) == len(a.texts[0].words)
    (data,) = reader.data()
    assert [int(w["data-s"]) for w in words] == data["levels"][0]
    assert data["names"] == ["all layers fused", *(f"block {i}" for i in range(6))]
    scores = [float(v) for v in data["values"][0]]
    special = [float(a.scores[0, 0]), float(a.scores[0, len(a.texts[0].tokens) - 1])]
    assert scores == pytest.approx([*(v for _, v in a.word_scores()), *special], rel=6e-3, abs=1e-6)
    strongest = max(range(len(words)), key=lambda i: abs(a.word_scores()[i][1]))
    assert abs(data["levels"][0][strongest]) == 10
    (slider,) = reader.of_class("calig-layer")
    assert slider["max"] == "6"
    assert visible(a.statement()) in {t for _, _, t in reader.texts}


def test_convergence_is_said_in_words() -> None:
    assert "✗ not converged" in page(CASES["unconverged"])
    assert "✓ converged" in page(CASES["text"])
    assert "nothing integrated" in page(CASES["integrates nothing"])
    assert "did not read the last 320 tokens" in page(CASES["long"])


def test_what_was_not_read_is_marked() -> None:
    reader = Reader(page(CASES["long"]))
    (unread,) = [t for _, attrs, t in reader.texts if attrs.get("class") == "calig-unread"]
    assert unread.endswith("declined to comment.")


def test_a_notebook_shows_the_first_inputs_and_says_so() -> None:
    many = of_texts([read("some words")] * (NOTEBOOK_INPUTS + 3))
    assert len(Reader(fragment(many)).of_class("calig-input")) == NOTEBOOK_INPUTS
    assert f"first {NOTEBOOK_INPUTS} of {NOTEBOOK_INPUTS + 3} inputs" in fragment(many)
    assert len(Reader(page(many)).of_class("calig-input")) == NOTEBOOK_INPUTS + 3


def test_one_heat_map_a_layer_and_the_image_itself() -> None:
    a = CASES["images"]
    reader = Reader(page(a))
    assert len(reader.of_class("calig-heat")) == 2 * 5
    assert len(reader.of_class("calig-opacity")) == 2
    uri = photograph(a.images[1].numpy())
    assert uri in page(a)
    assert np.array_equal(np.rint(decoded(uri)[..., :3] * 255).astype(np.uint8), a.images[1].numpy())
    assert not Reader(page(CASES["grid alone"])).of_class("calig-opacity")


def test_heat_colours_the_sign_and_fades_to_nothing() -> None:
    picture = np.rint(decoded(heat(np.array([[2.0, -2.0, 0.0], [0.5, -9.0, np.nan]]), 2.0)) * 255)
    assert picture[0, 0].tolist() == [0, 114, 178, 255]
    assert picture[0, 1].tolist() == [213, 94, 0, 255]
    assert picture[0, 2, 3] == 0
    assert picture[1, 0, 3] == 64
    assert picture[1, 1, 3] == 255
    assert picture[1, 2, 3] == 0


def test_smoothing_keeps_place_and_size() -> None:
    plane = np.zeros((7, 5))
    plane[2, 3] = 1.0
    fine = smooth(plane, 8)
    assert fine.shape == (56, 40)
    assert np.unravel_index(fine.argmax(), fine.shape)[0] // 8 == 2
    assert np.unravel_index(fine.argmax(), fine.shape)[1] // 8 == 3
    assert smooth(plane, 1) is plane


def test_the_result_writes_its_page(tmp_path) -> None:
    a: Attribution = of_images(side=4, layers=2)
    path = tmp_path / "page.html"
    assert a.to_html(path) == path.read_text(encoding="utf-8") == page(a)
    assert a._repr_html_() == fragment(a)
    assert REVIEW.split()[0] in CASES["text"].to_html()


@pytest.mark.parametrize("how", ["sum", "mean"])
@pytest.mark.parametrize("by", ["token", "sentence"])
def test_a_page_of_other_units(by: str, how: str, tmp_path: Path) -> None:
    a = of_texts([read("One film. A better, good film.")])
    g = a.by(by, how)
    text = g.to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == text
    plain = [u for u in g.units[0] if not u.special]
    assert len(re.findall(r'class="calig-w" data-u', text)) == len(plain)
    assert (f"Each {by} has the {how} of its tokens." in text) is (by == "sentence")
    assert f"arrow keys move between its {by}s" in text
    for score in g.scores[0, [not u.special for u in g.units[0]]].tolist():
        assert f'title="{score:+.3g}"' in text
    if how == "sum":
        assert a.to_html(by=by) == text
    assert "of its tokens." not in a.to_html()


def test_the_head_names_model_data_release_and_day() -> None:
    a = of_texts([read(REVIEW), read("more")], settings={"tolerance": 0.02, "model": "acme/classifier"})
    origin = f"model acme/classifier \u00b7 2 texts \u00b7 calig_fast {__version__} \u00b7 {date.today().isoformat()}"
    texts = [(tag, t) for tag, _, t in Reader(page(a)).texts]
    assert ("p", origin) in texts
    assert ("title", f"calig: {origin}") in texts
    texts = [(tag, t) for tag, _, t in Reader(a.to_html(title="Film <b>")).texts]
    assert ("title", f"Film <b>: {origin}") in texts
    assert ("h1", "Film <b>") in texts
    two = compare([a, of_texts([read(REVIEW), read("more")], settings={"model": "other"})]).to_html(title="Two")
    assert "model acme/classifier and other" in two
    with pytest.raises(TypeError, match="title: expected a text"):
        a.to_html(title=3)  # type: ignore[arg-type]
