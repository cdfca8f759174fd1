"""Targets by number of any integer kind and by class name."""

import copy

import numpy as np
import pytest
import torch
from helpers.tiny_models import Linear, ids, tiny
from torch import nn

from calig_fast import Explainer, explain, metrics
from calig_fast.inputs.classes import numbered

NODES = {"quadrature": "corrected_trapezoid", "n_steps": 4}
X, BOTH = ids(6), ids(6, 4)

ENDLESS = []
ENDLESS.append(ENDLESS)


@pytest.fixture(scope="module")
def model():
    named = copy.deepcopy(tiny("bert"))
    named.config.id2label = {0: "bad", 1: "Fine", 2: "good", 3: "GOOD"}
    named.config.label2id = {name: number for number, name in named.config.id2label.items()}
    return named


@pytest.mark.parametrize(
    "two",
    [
        2,
        np.int64(2),
        np.uint8(2),
        np.array(2),
        torch.tensor(2),
        torch.tensor(2, dtype=torch.uint8),
        torch.tensor([2]),
        [2],
        (2,),
        [np.int32(2)],
        [torch.tensor(2)],
        np.array([2]),
        range(2, 3),
        "good",
        np.str_("good"),
        ["good"],
        np.array(["good"]),
    ],
    ids=repr,
)
def test_one_class_in_every_form(two, model):
    a = explain(model, X, target=two, **NODES)
    assert a.target.tolist() == [2]
    torch.testing.assert_close(a.scores, explain(model, X, target=2, **NODES).scores)
    assert a.label() == "good"


@pytest.mark.parametrize(("name", "number"), [("bad", 0), ("BAD", 0), ("fine", 1), (" fine ", 1), ("GOOD", 3)])
def test_names_in_any_case(name, number, model):
    assert numbered(name, model) == number


def test_one_each_and_several_each(model):
    assert explain(model, BOTH, target=["good", "bad"], **NODES).target.tolist() == [2, 0]
    assert explain(model, BOTH, target=[["good", "bad"], [1, "fine"]], **NODES).target.tolist() == [2, 0, 1, 1]
    assert explain(model, BOTH, target=np.array([[2, 0], [1, 1]]), **NODES).target.tolist() == [2, 0, 1, 1]
    assert len(explain(model, BOTH, target="all", **NODES)) == 8


def test_pairs_of_names(model):
    wanted = explain(model, BOTH, target=(2, 0), output="contrast", **NODES)
    for pair in (("good", "bad"), ["good", np.int64(0)], np.array([2, 0]), [("good", "bad"), ("good", 0)]):
        a = explain(model, BOTH, target=pair, output="contrast", **NODES)
        assert a.target.tolist() == [[2, 0], [2, 0]]
        torch.testing.assert_close(a.scores, wanted.scores)
    assert a.label() == "good - bad"


def test_an_explainers_own_target_and_that_of_a_call(model):
    explainer = Explainer(model, target="bad", **NODES)
    assert explainer(X).target.tolist() == [0]
    assert explainer(X, target="good").target.tolist() == [2]


def test_metrics_take_names(model):
    a = explain(model, X, target=2, **NODES)
    by_name = metrics.comprehensiveness(model, X, a.scores, target="good", removal=0).values
    assert torch.equal(by_name, metrics.comprehensiveness(model, X, a.scores, target=2, removal=0).values)


def test_names_of_a_configuration_inside_and_of_other_forms():
    class Outer(nn.Module):
        def __init__(self, **names):
            super().__init__()
            self.inner = nn.Linear(2, 2)
            self.inner.config = type("Config", (), names)()

    assert numbered("yes", Outer(id2label={"0": "no", "1": "yes"})) == 1
    assert numbered("yes", Outer(id2label=["no", "yes"])) == 1
    assert numbered("yes", Outer(label2id={"no": 0, "yes": 1})) == 1
    assert numbered("Yes", Outer(id2label=None, label2id={"no": 0, "yes": "1"})) == 1


@pytest.mark.parametrize(
    ("target", "error", "words"),
    [
        ("great", ValueError, "'great' is no class of the model; the classes are 'bad', 'Fine', 'good', 'GOOD'"),
        ("gOOd", ValueError, r"name of classes \[2, 3\]"),
        (["good", "great"], ValueError, "'great' is no class"),
        (True, TypeError, "got bool"),
        (np.True_, TypeError, "got bool"),
        (torch.tensor(True), TypeError, "got bool"),
        ([True], TypeError, "got bool"),
        (torch.tensor([True]), TypeError, "bool"),
        (1.0, TypeError, "got float"),
        (np.float32(1), TypeError, "got float"),
        (np.array([1.0]), TypeError, "got float"),
        (torch.tensor(1.0), TypeError, "got float"),
        (1j, TypeError, "got complex"),
        ({"good": 1}, TypeError, "got dict"),
        (b"good", TypeError, "got bytes"),
        (object(), TypeError, "got object"),
        (4, ValueError, "outside 0..3"),
        (np.int64(-1), ValueError, "outside 0..3"),
        (10**30, (TypeError, ValueError), "target"),
        (range(10**12), TypeError, "more than 1000000 items"),
        (ENDLESS, TypeError, "3 axes"),
    ],
)
def test_wrong_targets_are_named(target, error, words, model):
    with pytest.raises(error, match=words):
        explain(model, X, target=target, **NODES)


def test_a_model_without_names():
    with pytest.raises(ValueError, match="names no classes"):
        explain(Linear(), X["input_ids"], target="good", layers="blocks", method="layer_ig", baselines=0)
