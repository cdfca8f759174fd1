"""The rivals that are no presets, each against its formula on one input."""

import itertools
import math

import pytest
import torch
from torch.nn import functional

from benchmarks.faithfulness import rivals
from benchmarks.faithfulness.signals import eager
from benchmarks.faithfulness.task import Case, Task
from calig_fast import explain
from calig_fast.demo import MissingPackageError, load

TARGET = 1


@pytest.fixture(scope="module", params=["sentiment", "fashion"])
def task(request):
    try:
        demo = load(request.param, count=1)
    except MissingPackageError as error:
        pytest.skip(str(error))
    kind = "text" if request.param == "sentiment" else "image"
    short = {"truncation": True, "max_length": 7} if kind == "text" else {}
    case = Case(dict(demo.processor(demo.samples[0].input, return_tensors="pt", **short)), 0)
    return Task(request.param, "", kind, demo.model, demo.processor, [case], [])


def with_last_softmax(model, call, monkeypatch, change):
    """The model's output, the output of its last softmax replaced."""
    depth, seen, plain = model.config.num_hidden_layers, [], functional.softmax

    def softmax(*args, **kwargs):
        seen.append(plain(*args, **kwargs))
        return change(seen[-1]) if len(seen) == depth else seen[-1]

    with monkeypatch.context() as patched:
        patched.setattr(functional, "softmax", softmax)
        return model(**call)


def test_beyond_intuition_scales_the_last_map(task, monkeypatch):
    model, (case,) = eager(task), task.tune
    slopes = {}
    for alpha in [1.0, *torch.linspace(0, 1, rivals.STEPS).tolist()]:
        leaf = []

        def scaled(weights, alpha=alpha, leaf=leaf):
            leaf.append((alpha * weights).detach().requires_grad_(True))
            return leaf[0]

        logit = with_last_softmax(model, case.call, monkeypatch, scaled).logits[0, TARGET]
        slopes[alpha] = torch.autograd.grad(logit, leaf[0])[0][0]
    weights = model(**case.call, output_attentions=True).attentions[-1][0]
    share = torch.stack([(w.T @ g).abs().mean() for w, g in zip(weights, slopes[1.0], strict=True)])
    mixed = sum(s * w for s, w in zip(share / share.sum(), weights, strict=True))
    path = torch.stack([slopes[a] for a in torch.linspace(0, 1, rivals.STEPS).tolist()]).mean(0)
    wanted = path.clamp_min(0).mean(0)[0] * (torch.eye(len(mixed)) + mixed)[0]
    wanted[0] = 0
    found = rivals.beyond_intuition(task, case, TARGET)
    torch.testing.assert_close(found[0], wanted.detach(), rtol=2e-3, atol=1e-3 * float(wanted.abs().max()))


def test_idgi_hands_out_what_each_step_changes(task):
    (case,) = task.tune
    found = rivals.idgi(task, case, TARGET)
    values, points = rivals.path(task, case)
    with torch.no_grad():
        gap = (values(points(1.0)) - values(points(0.0)))[0, TARGET]
    torch.testing.assert_close(found.sum(), gap, rtol=1e-3, atol=1e-4)
    with torch.no_grad():  # start plus difference is the end but for rounding
        torch.testing.assert_close(task.model(**case.call).logits, values(points(1.0)), rtol=1e-5, atol=1e-5)


def test_occlusion_is_the_change_without_a_part(task):
    (case,) = task.tune
    found = rivals.occlusion(task, case, TARGET)[0]
    place = int(found.abs().argmax())
    assert place > 0
    if task.kind == "image":
        blurred = explain(task.model, case.call, processor=task.processor, target=TARGET, n_steps=1)
        assert found.shape == blurred.scores[0].shape
        assert float(found[0]) == 0
        return
    ids = case.call["input_ids"].clone()
    ids[0, place] = task.processor.pad_token_id
    with torch.no_grad():
        logits = [task.model(**{**case.call, "input_ids": given}).logits for given in (case.call["input_ids"], ids)]
    torch.testing.assert_close(found[place], (logits[0] - logits[1])[0, TARGET], rtol=1e-4, atol=1e-5)


def test_kernel_shap_comes_near_the_shapley_values(task):
    if task.kind == "image":
        pytest.skip("2 ** 49 sets")
    (case,) = task.tune
    ids = case.call["input_ids"]
    places = list(range(1, ids.shape[1] - 1))

    def value(kept):
        given = ids.clone()
        given[0, [p for p in places if p not in kept]] = task.processor.pad_token_id
        with torch.no_grad():
            return float(task.model(**{**case.call, "input_ids": given}).logits[0, TARGET])

    n = len(places)
    of_sets = {kept: value(kept) for k in range(n + 1) for kept in itertools.combinations(places, k)}
    wanted = torch.zeros(ids.shape[1])
    for p in places:
        for kept, before in of_sets.items():
            if p not in kept:
                weight = math.factorial(len(kept)) * math.factorial(n - len(kept) - 1) / math.factorial(n)
                wanted[p] += weight * (of_sets[tuple(sorted((*kept, p)))] - before)
    found = rivals.kernel_shap(task, case, TARGET, 2000)[0]
    assert float((found - wanted).norm()) < 0.1 * float(wanted.norm())


def test_its_forward_passes_are_those_of_the_nodes():
    assert rivals.passes(6) == int(3 * 9 * sum((6 - layer) / 6 for layer in range(6)))
