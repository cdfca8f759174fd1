"""Old names: each still works, and warns once with the new name."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from helpers.tiny_models import tiny

from calig_fast import Explainer, explain, metrics
from calig_fast._utils import warn

IDS = torch.tensor([[2, 5, 9, 3]])


@pytest.fixture
def fresh(monkeypatch):
    monkeypatch.setattr(warn, "_SEEN", set())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ({"engine": "reference"}, {"engine": "autograd"}, 'engine: "reference" is now called "autograd"'),
        ({"backend": "reference"}, {"backend": "torch"}, 'backend: "reference" is now called "torch"'),
        ({"tokenizer": None}, {"processor": None}, "tokenizer= is now called processor="),
    ],
)
def test_an_old_name_works_and_warns_once(fresh, old, new, message):
    model = tiny("bert")
    with pytest.warns(FutureWarning, match=message):
        a = explain(model, IDS, baselines=0, n_steps=4, **old)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        explain(model, IDS, baselines=0, n_steps=4, **old)
        b = explain(model, IDS, baselines=0, n_steps=4, **new)
    assert torch.equal(a.scores, b.scores)
    assert (a.engine, a.backend) == (b.engine, b.backend)


def test_both_names_at_once_are_refused():
    with pytest.raises(TypeError, match=r"tokenizer: it is the old name of processor=, which is given too"):
        Explainer(tiny("bert"), processor=None, tokenizer=None)


def test_an_explainer_of_the_callers_gets_the_name_it_takes():
    seen = []

    def old(model, inputs, target, tokenizer):
        seen.append(tokenizer)
        return explain(model, inputs, target=target, baselines=0, n_steps=2)

    def new(model, inputs, target, processor):
        seen.append(processor)
        return explain(model, inputs, target=target, baselines=0, n_steps=2)

    for explainer in (old, new):
        metrics.max_sensitivity(tiny("bert"), {"input_ids": IDS}, explainer, samples=1)
    assert seen == [None] * 4


def test_the_old_module_of_captums_classes_warns():
    code = (
        "import warnings; warnings.simplefilter('error', FutureWarning)\n"
        "try:\n    import calig_fast.compat.captum\n"
        "except FutureWarning as told:\n    print(told)\n"
        "warnings.simplefilter('ignore')\n"
        "from calig_fast.compat.captum import LayerIntegratedGradients as old\n"
        "from calig_fast.captum import LayerIntegratedGradients as new\n"
        "assert old is new\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "calig_fast.compat.captum is now calig_fast.captum" in done.stdout


@pytest.mark.parametrize(("old", "new"), [("compare", "paired_test"), ("Comparison", "PairedDifference")])
def test_an_old_name_of_the_metrics_works_and_warns_once(fresh, old, new):
    with pytest.warns(FutureWarning, match=f'calig_fast.metrics: "{old}" is now called "{new}"'):
        found = getattr(metrics, old)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        assert found is getattr(metrics, old) is getattr(metrics, new)
    assert old not in metrics.__all__
    with pytest.raises(AttributeError, match="has no attribute 'compares'"):
        _ = metrics.compares


def test_one_input_is_no_endless_sequence():
    a = explain(tiny("bert"), torch.cat([IDS, IDS]), baselines=0, n_steps=1)
    one = a[0]
    assert (one.single, one.batch, a.single, len(a)) == (True, 1, False, 2)
    for wrong in (lambda: len(one), lambda: one[0], lambda: list(one), lambda: torch.zeros(3)[a[:1]]):
        with pytest.raises(TypeError, match="this Attribution is one input"):
            wrong()
    for array in (lambda: np.asarray(a), lambda: np.array([a, a]), lambda: np.zeros(3) + a):
        with pytest.raises(TypeError, match="an Attribution is no array"):
            array()
    assert len(a[[0]]) == len(a[:1]) == 1
