"""The first call of a new user: models, processors and options under the names that other packages gave them."""

import copy
import warnings

import numpy as np
import pytest
import torch
from helpers.tiny_models import tiny
from PIL import Image

import calig_fast
from calig_fast import explain
from calig_fast._utils import warn

TEXT = "The plot is thin, but the acting is superb."
QUICK = {"method": "gradient_x_input"}


@pytest.fixture
def wanted(explainer):
    return explainer(TEXT).scores


def test_a_pipeline_as_the_model(model, tokenizer, wanted):
    from transformers import pipeline

    pipe = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    assert torch.equal(explain(pipe, TEXT, **QUICK).scores, wanted)


def test_a_folder(folder, wanted):
    torch.testing.assert_close(calig_fast.from_pretrained(folder, **QUICK)(TEXT).scores, wanted)


def test_the_id_of_a_cached_model(cached, wanted):
    torch.testing.assert_close(calig_fast.from_pretrained(cached, **QUICK)(TEXT).scores, wanted)


def test_a_name_in_the_place_of_the_model_is_told_the_way_in():
    with pytest.raises(TypeError, match=r"got str; calig_fast\.from_pretrained loads"):
        explain("distilbert-base-uncased-finetuned-sst-2-english", TEXT)


def test_the_tokenizer_as_third_argument(model, tokenizer, wanted):
    assert torch.equal(explain(model, TEXT, tokenizer, **QUICK).scores, wanted)


def test_the_tokenizer_by_its_old_name(model, tokenizer, wanted):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        assert torch.equal(explain(model, TEXT, tokenizer=tokenizer, **QUICK).scores, wanted)


def test_processor_of_pictures():
    from transformers import ViTImageProcessor

    processor = ViTImageProcessor(size={"height": 16, "width": 16})
    assert len(explain(tiny("vit"), Image.new("RGB", (20, 20), "orange"), processor=processor, **QUICK)) == 1


def test_no_tokenizer_where_the_model_came_from_a_folder(folder, wanted):
    from transformers import AutoModelForSequenceClassification

    loaded = AutoModelForSequenceClassification.from_pretrained(folder)
    torch.testing.assert_close(explain(loaded, TEXT, **QUICK).scores, wanted)


def test_no_tokenizer_where_the_model_came_from_the_cache(cached, model, folder, wanted):
    from calig_fast.inputs import text

    named = copy.deepcopy(model)
    named.config._name_or_path = cached
    text._tokenizer_in.cache_clear()
    assert torch.equal(explain(named, TEXT, **QUICK).scores, wanted)


@pytest.mark.parametrize("target", ["positive", "POSITIVE", np.int64(1), 1, torch.tensor(1)], ids=str)
def test_a_class_by_its_name_or_any_number(target, model, tokenizer):
    assert explain(model, TEXT, tokenizer, target=target, **QUICK).label() == "POSITIVE"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_a_model_of_another_dtype(dtype, model, tokenizer):
    assert bool(explain(copy.deepcopy(model).to(dtype), TEXT, tokenizer).scores.isfinite().all())


def test_a_wrapped_model(model, tokenizer, wanted):
    for wrapped in (torch.nn.DataParallel(model), torch.compile(model)):
        assert torch.equal(explain(wrapped, TEXT, tokenizer, **QUICK).scores, wanted)


def test_a_quantised_model_is_told_the_way_out(model, tokenizer):
    quantised = torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {torch.nn.Linear}, torch.qint8)
    with pytest.raises(ValueError, match="load the checkpoint without quantisation"):
        explain(quantised, TEXT, tokenizer)


def test_steps_as_captum_counts_them(model, tokenizer, monkeypatch):
    monkeypatch.setattr(warn, "_SEEN", set())
    with pytest.warns(UserWarning, match=r'largest number of intervals.*quadrature="gausslegendre"'):
        explain(model, TEXT, tokenizer, n_steps=50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fifty = explain(model, TEXT, tokenizer, n_steps=50, quadrature="gausslegendre")
        explain(model, TEXT, tokenizer, n_steps=50)  # told once
    assert set(fifty.n_steps.flatten().tolist()) == {50}


@pytest.mark.parametrize(
    ("option", "ours"),
    [
        ("internal_batch_size", "memory_budget="),
        ("return_convergence_delta", "convergence_delta"),
        ("layer", "layers="),
    ],
)
def test_options_of_other_packages_are_answered(option, ours, model, tokenizer):
    with pytest.raises(TypeError, match=rf"{option}: unknown option of explain; .*{ours}"):
        explain(model, TEXT, tokenizer, **{option: 8})


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("IG", 'method="ig"'),
        ("calig_paper", 'method="calig-paper"'),
        ("Integrated Gradients", 'method="ig"'),
        ("LayerConductance", 'method="conductance"'),
        ("SmoothGrad", "metrics.smoothed"),
    ],
)
def test_a_method_by_the_name_of_another_package_is_answered(name, ours, model, tokenizer):
    with pytest.raises(ValueError, match=f"is not one of .*; here it is {ours}"):
        explain(model, TEXT, tokenizer, method=name)
    with pytest.raises(ValueError, match=r"nor a Fusion or Method of your own$"):
        explain(model, TEXT, tokenizer, method="sorcery")


def test_progress(model, tokenizer, capsys):
    seen = []
    explain(model, TEXT, tokenizer, progress=lambda done, total: seen.append((done, total)))
    assert seen
    assert seen[-1][0] == seen[-1][1]
    explain(model, TEXT, tokenizer, progress=True)
    assert capsys.readouterr().out == ""
