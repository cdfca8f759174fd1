"""The answers of `calig serve` are those of `explain`; a question that cannot be answered says why."""

import base64
import json

import pytest
import torch
from helpers.typed import run
from PIL import Image

from calig_fast import from_pretrained
from calig_fast.cli.answers import MOST_CHARACTERS, Answers, checked
from calig_fast.cli.writing import plain

TEXT = "The film 🎬 was unbelievably good."


def of(folder):
    explainer = from_pretrained(folder)
    return Answers(explainer.model, explainer.processor, folder.name)


@pytest.fixture(scope="module")
def about_texts(texts):
    return of(texts)


@pytest.fixture(scope="module")
def about_pictures(pictures):
    return of(pictures)


def uri(path):
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def test_what_is_known_of_the_model(about_texts, about_pictures):
    told = about_texts.about()
    assert (told["reads"], told["labels"]) == ("text", {0: "bad", 1: "good"})
    assert about_pictures.about()["reads"] == "image"


def test_an_explanation_is_that_of_explain(about_texts, texts):
    told = about_texts.explain({"text": TEXT, "target": 0})
    wanted = from_pretrained(texts)([TEXT], target=0).by("word")
    assert [part["score"] for part in told["parts"]] == pytest.approx(wanted.scores[0].tolist(), rel=1e-3, abs=1e-5)
    for n, part in enumerate(told["parts"]):
        assert part["layers"] == pytest.approx(wanted.layer_scores[0, :, n].tolist(), rel=1e-3, abs=1e-5)
        assert TEXT[part["start"] : part["end"]] == part["text"]
    assert told["label"] == "bad"
    assert told["converged"]
    assert sum(told["probabilities"]) == pytest.approx(1)
    assert json.dumps(plain(told), allow_nan=False)


def test_a_long_text_tells_what_was_cut(about_texts):
    assert about_texts.explain({"text": "word " * 100, "method": "gradient_x_input"})["cut"] == 38


def test_the_probabilities_without_words(about_texts, texts):
    place = TEXT.index("unbelievably")
    told = about_texts.without({"text": TEXT, "removed": [[place, place + len("unbelievably")]]})
    wanted = from_pretrained(texts)(["The film 🎬 was good."]).probabilities[0]
    assert told["probabilities"] == pytest.approx(wanted.tolist(), abs=1e-6)
    with pytest.raises(ValueError, match="is empty"):
        about_texts.without({"text": TEXT, "removed": [[0, len(TEXT)]]})


def test_pictures(about_pictures, pictures):
    question = {"picture": uri(pictures / "noise.png")}
    told = about_pictures.explain(question)
    assert [part["place"] for part in told["parts"]] == [(r, c) for r in range(4) for c in range(4)]
    assert told["patch"] == [0.25, 0.25]
    assert told["picture"].startswith("data:image/png;base64,")
    same, changed = (about_pictures.without({**question, "removed": parts}) for parts in ([], [[0, 1], [99, 99]]))
    assert same["probabilities"] == pytest.approx(told["probabilities"], abs=1e-6)
    explainer = from_pretrained(pictures)
    pixels = explainer.processor(Image.open(pictures / "noise.png"), return_tensors="pt")["pixel_values"]
    pixels[:, :, :4, 4:8] = pixels[:, :, :4, 4:8].mean((2, 3), keepdim=True)
    with torch.no_grad():
        wanted = explainer.model(pixel_values=pixels).logits.softmax(-1)[0]
    assert changed["probabilities"] == pytest.approx(wanted.tolist(), abs=1e-5)


def test_a_page_to_share(about_texts):
    page = about_texts.page({"text": TEXT})
    assert "unbelievably" in page
    assert "http://127.0.0.1" not in page


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ([], "an object of JSON"),
        ({}, "a text or a picture"),
        ({"text": "a", "picture": "b"}, "a text or a picture"),
        ({"text": 3}, "text: expected"),
        ({"text": "a" * (MOST_CHARACTERS + 1)}, "text: expected"),
        ({"text": "a", "target": "all"}, "target: expected the number"),
        ({"text": "a", "target": True}, "target: expected the number"),
        ({"text": "a", "target": 2**40}, "target: expected the number"),
        ({"text": "a", "method": "lime"}, "method: expected one of"),
        ({"text": "a", "method": ["calig"]}, "method: expected one of"),
        ({"text": "a", "removed": {"0": 1}}, "removed: expected a list"),
        ({"text": "a", "removed": [[0, float("nan")]]}, "removed: expected pairs"),
        ({"text": "a", "removed": [[-1, 2]]}, "removed: expected pairs"),
        ({"text": "a", "folder": "/"}, "got 'folder'"),
        ({"picture": "/etc/passwd"}, "picture: expected a data URI"),
        ({"picture": "data:image/png;base64,%%"}, "base64 is damaged"),
    ],
)
def test_questions_that_are_none(asked, why):
    with pytest.raises((ValueError, TypeError), match=why):
        checked(asked)


def test_pictures_that_are_none(about_pictures, tmp_path):
    with pytest.raises(ValueError, match="holds none that can be read"):
        about_pictures.explain({"picture": "data:image/png;base64,AAAA"})
    Image.new("1", (6000, 6000)).save(tmp_path / "large.png")
    with pytest.raises(ValueError, match="more than 25000000 pixels"):
        about_pictures.explain({"picture": uri(tmp_path / "large.png")})
    with pytest.raises((ValueError, TypeError), match="picture"):
        about_pictures.explain({"text": "words"})


def test_the_command_names_what_is_wrong(tmp_path):
    found = run("serve", "--model", tmp_path / "nowhere")
    assert found.exit_code == 2
    assert "no such folder" in found.stderr
