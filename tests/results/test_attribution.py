"""The result: what can be taken from it, what it says of itself, and that a file brings it back whole."""

import copy
from dataclasses import FrozenInstanceError, fields, replace
from functools import cache

import numpy as np
import pytest
import torch
from helpers.tiny_models import ids, pixels, tiny

from calig_fast import Attribution, Text, Word, explain
from calig_fast.results.joining import concatenate


@cache
def of_texts():
    return explain(tiny("bert"), ids(9, 4, 6), return_maps=True)


@cache
def of_images():
    return explain(tiny("vit"), pixels(2))


def worded():
    """Texts with words of several pieces, and letters of several scripts."""
    a = explain(tiny("bert"), ids(6, 5), method="layer_ig")
    first = Text(
        ("[CLS]", "caf", "##é", "\u05e9\u05dc\u05d5\u05dd", "🎉", "[SEP]"),
        (Word("café", (1, 2), 0, 4), Word("\u05e9\u05dc\u05d5\u05dd", (3,), 5, 9), Word("🎉", (4,), 10, 11)),
        "café \u05e9\u05dc\u05d5\u05dd 🎉\u2028</script>",
        3,
    )
    second = Text(("[CLS]", "a", "b", "c", "[SEP]"), (Word("a", (1,)), Word("b", (2,)), Word("c", (3,))))
    return replace(a, texts=(first, second))


def same(a, b):
    for f in fields(Attribution):
        x, y = getattr(a, f.name), getattr(b, f.name)
        if isinstance(x, torch.Tensor):
            assert y.dtype == x.dtype, f.name
            torch.testing.assert_close(y, x, rtol=0, atol=0, equal_nan=True)
        else:
            assert x == y, f.name


@pytest.mark.parametrize("make", [of_texts, of_images])
def test_taking_some_of_the_inputs(make):
    a = make()
    n = len(a)
    everything = list(range(n))
    for index, rows in [
        (0, [0]),
        (-1, [n - 1]),
        (np.int64(1), [1]),
        (slice(0, 2), [0, 1]),
        (slice(None, None, -1), everything[::-1]),
        (slice(5, 9), []),
        ([1, 0], [1, 0]),
        ((1, -1), [1, n - 1]),
        ([], []),
        (torch.tensor([1, 0]), [1, 0]),
        (np.arange(n) > 0, everything[1:]),
        ([False] * (n - 1) + [True], [n - 1]),
        (torch.zeros(n, dtype=torch.bool), []),
    ]:
        b = a[index]
        assert b.batch == len(rows)
        for name in ("scores", "layer_scores", "gap", "error", "target", "logits", "mask", "special", "n_steps"):
            torch.testing.assert_close(getattr(b, name), getattr(a, name)[rows], equal_nan=True)
        assert b.texts == (None if a.texts is None else tuple(a.texts[i] for i in rows))
        assert (b.images is None) == (a.images is None)
        assert b.settings == a.settings
        assert b.grid == a.grid
    for wrong in (n, -n - 1, [0, n], [0.5]):
        with pytest.raises(IndexError, match=f"holds {n} inputs"):
            a[wrong]
    for wrong in (True, [True] * (n + 1)):
        with pytest.raises(IndexError, match=f"expected {n} bools"):
            a[wrong]


def test_going_through_the_inputs_one_by_one():
    a = of_texts()
    parts = list(a)
    assert [p.batch for p in parts] == [1, 1, 1]
    assert [p.tokens[0] for p in parts] == list(a.tokens)
    same(concatenate(parts), a)
    same(concatenate([a[:2], a[2]]), a)
    same(concatenate(list(of_images())), of_images())


def test_it_is_frozen():
    with pytest.raises(FrozenInstanceError):
        of_texts().scores = torch.zeros(1)
    with pytest.raises(FrozenInstanceError):
        of_texts().texts[0].truncated = 1


def test_arrays():
    a = of_texts()
    found = a.numpy()
    assert set(found) == {f.name for f in fields(a) if isinstance(getattr(a, f.name), torch.Tensor)} | {"converged"}
    for name, value in found.items():
        assert isinstance(value, np.ndarray)
        np.testing.assert_array_equal(value, getattr(a, name).numpy())


def test_moving_to_a_device():
    a = of_texts()
    same(a.to("cpu"), a)
    moved = a.to("meta")
    tensors = [getattr(moved, f.name) for f in fields(moved)]
    assert {t.device.type for t in tensors if isinstance(t, torch.Tensor)} == {"meta"}
    assert a.scores.device.type == "cpu"


def cases():
    return {
        "text with maps": of_texts(),
        "image": of_images(),
        "words": worded(),
        "one input": of_texts()[1],
        "no inputs": of_texts()[:0],
        "nothing integrated": explain(tiny("bert"), ids(5), method="rollout"),
        "contrast": explain(tiny("bert"), ids(5), output="contrast", method="ig"),
        "function": explain(tiny("bert"), ids(5), output=lambda out: out.logits[:, 0], method="gradient_x_input"),
        "no labels": explain(tiny("timm-registers"), pixels(1), layers=[0, 2]),
        "zeros": explain(tiny("bert"), ids(5), baselines="zeros", n_steps=4),
    }


def test_a_file_brings_it_back_whole(tmp_path):
    for name, a in cases().items():
        assert a.save(tmp_path / name) == tmp_path / f"{name}.safetensors"
        same(Attribution.load(tmp_path / name), a)
    assert len(list(tmp_path.iterdir())) == len(cases())


@pytest.mark.parametrize("name", ["plain", "with.dots", "v1.2.json", "x.safetensors", "ünï 漢", "n" * 243])
def test_names_of_files(name, tmp_path, monkeypatch):
    a = worded()
    monkeypatch.chdir(tmp_path)
    stem = name.removesuffix(".json").removesuffix(".safetensors")
    file = tmp_path / f"{stem}.safetensors"
    for path in (str(tmp_path / name), tmp_path / name, name):
        assert a.save(path).resolve() == file
        assert list(tmp_path.iterdir()) == [file]
        same(Attribution.load(path), a)
        file.unlink()
    a.save(name)
    for path in (tmp_path / stem, file, stem):
        same(Attribution.load(path), a)


def test_a_saved_slice_holds_nothing_of_the_rest(tmp_path):
    a = of_texts()
    assert a[0].save(tmp_path / "one").stat().st_size < a.save(tmp_path / "all").stat().st_size * 0.6


def test_what_was_loaded_does_not_change_with_its_file(tmp_path):
    a = of_texts()
    b = Attribution.load(a.save(tmp_path / "a"))
    (tmp_path / "a.safetensors").write_bytes(bytes((tmp_path / "a.safetensors").stat().st_size))
    same(b, a)


def test_names_of_what_was_explained():
    model = copy.deepcopy(tiny("bert"))
    model.config.id2label = {0: "sport", 1: "tech", 2: "politics", 3: "other"}
    a = explain(model, ids(5, 4), target=[2, 0], method="gradient_x_input")
    assert [a.label(0), a.label(1)] == ["politics", "sport"]
    b = explain(model, ids(5), target=(1, 3), output="contrast", method="gradient_x_input")
    assert b.label() == "tech - other"
    c = explain(model, ids(5), output=lambda out: out.logits[:, 0], method="gradient_x_input")
    assert c.label() == "output"
    d = explain(tiny("timm-token"), pixels(1), target=3, method="gradient_x_input")
    assert d.labels is None
    assert d.label() == "3"


def test_what_it_says_of_its_own_error():
    a = explain(tiny("bert"), ids(9, 4), tolerance=0.05)
    assert a.converged.all()
    worst = int(a.error[1].argmax())
    assert a.statement(1) == (
        f"Converged: estimated error of the layer scores at most {float(a.error[1, worst]):.1e} (layer {worst}), "
        f"{int(a.n_steps[1].sum())} gradients, tolerance 0.05."
    )
    b = replace(a, layer_converged=torch.tensor([[True, False, False], [True, True, True]]))
    assert b.converged.tolist() == [False, True]
    assert b.statement(0).startswith("NOT converged at layer 1, 2: estimated error")
    assert b.statement(0).endswith("tolerance 0.05. Raise n_steps or tolerance.")
    assert b.statement(1).startswith("Converged")
    c = explain(tiny("bert"), ids(5), method="rollout")
    assert c.statement() == "rollout integrates nothing, so no completeness error applies."
    d = explain(tiny("bert"), ids(5), n_steps=1)
    assert d.statement().startswith("NOT converged")


def test_words_sum_their_pieces():
    a = worded()
    scores = a.scores[0].tolist()
    assert a.word_scores() == [
        ("café", scores[1] + scores[2]),
        ("\u05e9\u05dc\u05d5\u05dd", scores[3]),
        ("🎉", scores[4]),
    ]
    rows = a.layer_scores
    assert a.word_scores(1, layer=2) == [(w, float(rows[1, 2, t])) for t, w in enumerate("abc", start=1)]
    assert a.word_scores(-1) == a.word_scores(1)
    assert a.word_scores(layer=-1) == a.word_scores(layer=2)
    assert a.words == tuple(t.words for t in a.texts)
    assert a.tokens == tuple(t.tokens for t in a.texts)


def test_words_of_images_and_patches_of_texts():
    with pytest.raises(ValueError, match="of images"):
        of_images().word_scores()
    with pytest.raises(ValueError, match="of texts"):
        of_texts().patch_scores()
    assert of_images().words is None
    assert of_images().tokens is None


def test_pages(tmp_path):
    for name, a in {"text": worded(), "image": of_images()}.items():
        page = a.to_html(tmp_path / f"{name}.html")
        assert (tmp_path / f"{name}.html").read_text(encoding="utf-8") == page
        assert page == a.to_html()
        assert a.label() in page
        assert page.lstrip().lower().startswith("<!doctype html>")
        assert "<html" not in a._repr_html_()
        assert a.label() in a._repr_html_()
    assert "café" in worded().to_html()
    assert "\u2028</script>" not in worded().to_html()


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("make", [worded, of_images])
def test_figures(make):
    from matplotlib.figure import Figure

    for index in (0, 1):
        assert isinstance(make().plot(index), Figure)
        assert isinstance(make().plot_layers(index), Figure)


def test_probabilities_are_the_models_kind(tmp_path):
    from calig_fast.views.one_input import summarise

    model, call = copy.deepcopy(tiny("bert")), ids(9, 6)
    with torch.no_grad():
        z = model(**call).logits.double()
    one = explain(model, call, n_steps=1)
    torch.testing.assert_close(one.probabilities, z.softmax(1), rtol=1e-5, atol=1e-6)
    model.config.problem_type = "multi_label_classification"
    several = explain(model, call, n_steps=1)
    own = explain(model, call, output=lambda out: out.logits[:, 0], n_steps=1)
    torch.testing.assert_close(own.probabilities, several.probabilities)
    several.save(tmp_path / "kept")
    kept = Attribution.load(tmp_path / "kept")
    for a in (several, kept, several[1:]):
        torch.testing.assert_close(a.probabilities[-1], z[-1].sigmoid(), rtol=1e-5, atol=1e-6)
    shown = summarise(kept, 1).explained[0]
    assert shown.probability == pytest.approx(float(z[1, int(kept.target[1])].sigmoid()), rel=1e-4)
