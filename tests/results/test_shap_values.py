"""The export to shap: values and base values against the tensors, and plots that work."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.exported import exported
from helpers.tiny_models import ids, pixels, tiny

from calig_fast import explain
from calig_fast.results.shap_values import arguments

CASES = exported()


def quiet(shown, layer=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return arguments(shown.by("token") if hasattr(shown, "by") else shown, layer)


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n].images is None and CASES[n].batch])
def test_values_are_the_scores(name):
    a = CASES[name]
    for layer in (None, *range(a.layer_scores.shape[1])):
        made = quiet(a, layer)
        for b in range(a.batch):
            row = a.scores[b] if layer is None else a.layer_scores[b, layer]
            np.testing.assert_array_equal(made["values"][b], row[a.mask[b]].double().numpy())
            assert list(made["feature_names"][b]) == list(made["data"][b])
            if a.texts is not None:
                assert tuple(made["data"][b]) == a.tokens[b]
        assert made["instance_names"] == [a.label(b) for b in range(a.batch)]


def test_layer_scores_begin_at_the_baseline_and_end_at_the_output():
    a = explain(tiny("bert"), ids(7, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = arguments(a.by("token"), 1)
    output = a.logits.gather(1, a.target[:, None])[:, 0].double()
    np.testing.assert_allclose(made["base_values"], output - a.gap[:, 1].double(), atol=1e-6)
    ends = [base + np.sum(row) for base, row in zip(made["base_values"], made["values"], strict=True)]
    np.testing.assert_allclose(ends, output + a.convergence_delta[:, 1].double(), atol=1e-5)


def test_scores_that_are_those_of_a_layer_do_too():
    a = explain(tiny("bert"), ids(7), method="layer_ig")
    assert torch.equal(a.scores, a.layer_scores[:, -1]) or torch.equal(a.scores, a.layer_scores[:, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = arguments(a.by("token"), None)
    row = 0 if torch.equal(a.scores, a.layer_scores[:, 0]) else -1
    np.testing.assert_allclose(made["base_values"], a.logits[0, a.target[0]] - a.gap[:, row], atol=1e-6)


def test_scores_that_do_not_add_up_end_at_the_output_with_a_warning():
    a = explain(tiny("bert"), ids(7))
    with pytest.warns(UserWarning, match="to_shap: these values do not add up"):
        made = arguments(a.by("token"), None)
    ends = made["base_values"] + np.sum(made["values"], axis=1)
    np.testing.assert_allclose(ends, a.logits[0, a.target[0]].double(), atol=1e-6)


@pytest.mark.parametrize("kind", ["logit", "prob", "log_prob", "contrast"])
def test_the_output_is_the_explained_scalar(kind):
    a = explain(tiny("bert"), ids(7), output=kind)
    made = quiet(a)
    logits = a.logits[0].double()
    wanted = {
        "logit": lambda c: logits[c[0]],
        "prob": lambda c: logits.softmax(0)[c[0]],
        "log_prob": lambda c: logits.log_softmax(0)[c[0]],
        "contrast": lambda c: logits[c[0]] - logits[c[1]],
    }[kind](a.target[0].reshape(-1).tolist())
    assert made["base_values"][0] + made["values"].sum() == pytest.approx(float(wanted), abs=1e-6)


def test_words_read_as_the_text():
    a = CASES["texts"]
    for by in ("word", "sentence"):
        made = quiet(a.by(by))
        assert ["".join(row) for row in made["data"]] == [t.text for t in a.texts]
        assert [len(row) for row in made["values"]] == [len(u) for u in a.by(by).units]


def test_pixels_share_the_score_of_their_patch():
    a = CASES["images"]
    made = quiet(a)
    assert made["values"].shape == made["data"].shape == (2, 30, 42, 3)
    for b in range(2):
        parts = made["values"][b].reshape(3, 10, 3, 14, 3).sum((1, 3, 4))
        np.testing.assert_allclose(parts, a.patch_scores(b).double().numpy(), atol=1e-12)
    np.testing.assert_array_equal(made["data"], a.images.numpy())


def test_pixels_that_no_patch_covers_have_no_score():
    a = CASES["images"]
    grid = replace(a.grid, height=8, width=12)
    made = quiet(replace(a, grid=grid))
    assert not made["values"][:, 24:].any()
    assert not made["values"][:, :, 36:].any()
    np.testing.assert_allclose(made["values"][0].sum(), a.patch_scores(0).double().sum(), atol=1e-12)


@pytest.mark.parametrize("name", [n for n in CASES if n != "not finite"])
@pytest.mark.filterwarnings("ignore")
def test_the_plots_of_shap_work(name):
    shap = pytest.importorskip("shap")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    a = CASES[name]
    e = a.to_shap()
    assert isinstance(e, shap.Explanation)
    if a.images is not None:
        shap.plots.image(e, show=False)
    elif a.batch and a.grid is None:
        assert a.label(0) in shap.plots.text(e[0], display=False) or a.batch > 1
        assert shap.plots.text(e, display=False)
    if a.images is None:
        for b in range(a.batch):
            shap.plots.bar(e[b], show=False)
            shap.plots.waterfall(e[b], show=False)
    pyplot.close("all")


def test_an_image_of_a_model():
    shap = pytest.importorskip("shap")
    a = explain(tiny("vit"), pixels(1))
    with pytest.warns(UserWarning, match="do not add up"):
        e = a.to_shap(layer=1)
    assert isinstance(e, shap.Explanation)
    assert e.output_names == a.label(0)


@pytest.mark.parametrize(("layer", "kind"), [(9, IndexError), ("0", TypeError), (1.0, TypeError)])
def test_layers_that_are_not_there(layer, kind):
    with pytest.raises(kind, match="layer: expected"):
        arguments(CASES["texts"].by("token"), layer)
