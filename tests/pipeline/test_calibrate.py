"""The calibration: what it measures, what it chooses, how it is kept, and what it says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.tiny_models import ids, pixels, tiny

from calig_fast import Calibrated, Explainer, explain, metrics
from calig_fast.inputs.digest import digests
from calig_fast.inputs.perturbed_removal import opened
from calig_fast.methods.base import Signals
from calig_fast.methods.candidates import BLEND, MIXTURE, candidates, mixture
from calig_fast.pipeline import calibrate
from calig_fast.pipeline.calibrate import choose_among, surety

TEXTS = ids(9, 6, 7, 12, 10)
REMOVALS = ("pad", "zero_embedding")


@pytest.fixture(scope="module")
def calibrated():
    explainer = Explainer(tiny("bert"))
    return explainer, explainer.calibrate(TEXTS, removals=REMOVALS)


def test_every_candidate_is_measured_as_erasure_does(calibrated):
    _, found = calibrated
    assert len(found.tried) == 8
    assert found.passes <= len(TEXTS["input_ids"]) * 6 * 8
    for name, options in {
        "ig | plain": {"method": "ig"},
        "ig | gim": {"method": "ig", "rules": "gim"},
        "calig, lam 0.8 | plain": {},
        "blend | plain": {"method": BLEND},
        "layer 1 | plain": {"method": candidates(3)["layer 1"]},
    }.items():
        a = explain(tiny("bert"), TEXTS, tolerance=2e-3, **options)
        of_each = [
            metrics.erasure(tiny("bert"), TEXTS, a, removal=removal, fractions=found.fractions).difference.values
            for removal in REMOVALS
        ]
        turns = torch.stack([of_each[k % 2][k] for k in range(len(a.scores))])  # the removals take turns
        assert found.tried[name] == pytest.approx(float(turns.mean()), abs=2e-2)


def test_a_model_that_the_rules_do_not_fit_has_the_default_as_prior(monkeypatch):
    plain = calibrate._read

    def read(explain, inputs, rules):
        if rules == "gim":
            raise ValueError("rules: no operation that it alters")
        return plain(explain, inputs, rules)

    monkeypatch.setattr(calibrate, "_read", read)
    found = Explainer(tiny("bert")).calibrate(TEXTS, removals=REMOVALS)
    assert {name.split(" | ")[1] for name in found.tried} == {"plain"}
    assert found.default == ("calig, lam 0.8", "plain")
    assert "blend | plain" not in found.tried


def test_later_calls_give_the_choice_and_name_it(calibrated, tmp_path):
    explainer, found = calibrated
    a = explainer(ids(9, 6))
    assert a.settings.calibration == found.record()
    assert a.method == found.method.name
    assert a.settings.rules == found.backward.record()
    found.save(tmp_path / "c.json")
    assert Calibrated.load(tmp_path / "c.json") == found
    b = explain(tiny("bert"), ids(9, 6), calibration=tmp_path / "c.json")
    assert b.settings.calibration == a.settings.calibration
    torch.testing.assert_close(b.scores, a.scores, rtol=4e-2, atol=4e-2 * float(a.scores.abs().max()))
    assert explainer(ids(9), method="attcat").settings.calibration is None
    assert explainer(ids(9)).settings.calibration == found.record()
    with pytest.raises(ValueError, match="calibration: it was made on all layers"):
        explainer(ids(9), layers=[0])


def test_forgetting_gives_the_first_calls_scores_again():
    explainer = Explainer(tiny("bert"), method="attcat")
    first = explainer(ids(9))
    explainer.calibrate(TEXTS, removals=REMOVALS)
    explainer.forget()
    assert torch.equal(explainer(ids(9)).scores, first.scores)
    assert explainer(ids(9)).settings.calibration is None


def test_the_inputs_are_known_again_by_their_digests(calibrated):
    _, found = calibrated

    def of(inputs):
        return digests(opened(tiny("bert"), inputs, None)[2])

    assert of(TEXTS) == found.inputs
    alone = {name: value[1:2, :6] for name, value in TEXTS.items()}  # without its padding
    assert of(alone) == found.inputs[1:2]
    assert not set(of(ids(9, 6, seed=1))) & set(found.inputs)
    a, b = (digests(opened(tiny("vit"), pixels(2, seed=seed), None)[2]) for seed in (0, 1))
    assert len({*a, *b}) == 4


def test_auto_calibrates_on_the_inputs_of_a_call_that_has_enough():
    many = ids(9, 6, 7, 12, 10, 8, 5, 11)
    explainer = Explainer(tiny("bert"), calibration="auto", target=1)
    a = explainer(many)
    assert a.settings.calibration["inputs"] == list(digests(opened(tiny("bert"), many, None)[2]))
    assert a.target.tolist() == [1] * 8
    wanted = Explainer(tiny("bert"), target=1).calibrate(many)
    assert (a.method, a.settings.rules) == (wanted.method.name, wanted.backward.record())
    few = explainer({name: value[:7] for name, value in many.items()})
    assert few.settings.calibration is None
    assert few.method == "calig"
    assert explainer(many, calibration=None).settings.calibration is None
    with pytest.raises(ValueError, match=r"calibration: .* leave out method"):
        explain(tiny("bert"), many, calibration="auto", method="ig")


def test_images_are_calibrated_by_two_fillers():
    found = Explainer(tiny("vit")).calibrate(pixels(4))
    assert found.removals == ("blur", "mean")
    assert found.default == ("calig, lam 0.97", "plain")
    assert not any("gim" in name for name in found.tried)


def test_progress_is_told():
    seen = []
    Explainer(tiny("bert")).calibrate(TEXTS, removals=["pad"], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_the_choice_is_the_best_where_it_holds_on_the_inputs_left_out():
    values = np.array([[0.0, 0.0, 0.0, 0.0], [1.0, 1.1, 0.9, 1.0], [-1.0, 0.0, 0.0, 0.0]])
    assert choose_among(values, 0) == choose_among(values, 2) == 1
    sure = surety(values, 0, 2)
    assert sure["gain"] == pytest.approx(1.0)
    assert sure["stability"] == 1.0
    assert sure["low"] > 0.9
    # each candidate is the best by one input alone: chosen on the others, none is better than the prior
    lucky = np.array([[0.5] * 4, [3.0, 0, 0, 0], [0, 2.9, 0, 0], [0, 0, 2.8, 0], [0, 0, 0, 2.7], [0.6] * 4])
    assert choose_among(lucky[:5], 0) == 0
    assert choose_among(lucky, 5) == 5
    sure = surety(lucky, 0, 5)
    assert sure["gain"] == pytest.approx(0.1)
    assert sure["stability"] < 1


def test_a_statement_tells_the_choice_and_how_sure_it_is(calibrated):
    text = calibrated[1].statement()
    assert f"of 8 candidates on 5 inputs, by comprehensiveness minus sufficiency ({', '.join(REMOVALS)})" in text
    assert "resamples make the same choice" in text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Explainer(tiny("bert")).calibrate(ids(9, 6, 7)), "inputs: a calibration takes at least 4 inputs"),
        (
            lambda: Explainer(tiny("bert"), target=[[0, 1]] * 5).calibrate(TEXTS),
            "target: a calibration takes one target an input",
        ),
        (lambda: Explainer(tiny("bert")).calibrate(TEXTS, removals=["mask"]), "removal: "),
        (lambda: Explainer(tiny("bert")).calibrate(TEXTS, removals=[]), "removals: expected at least one"),
        (lambda: Explainer(tiny("bert")).calibrate(TEXTS, fractions=[2]), "fractions: expected shares"),
        (lambda: explain(tiny("bert"), TEXTS, calibration=3), "calibration: expected None, a Calibrated or the name"),
        (
            lambda: Explainer(tiny("bert"), output="contrast", target=[0, 1]).calibrate(TEXTS),
            "output: a calibration measures the probability of one class",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_a_calibration_stands_alone_and_fits_its_model(calibrated, tmp_path):
    found = calibrated[1]
    for more in ({"method": "ig"}, {"rules": "gim"}, {"lam": 0.5}, {"layers": [0]}):
        with pytest.raises(ValueError, match=f"calibration: .* leave out {next(iter(more))}"):
            explain(tiny("bert"), TEXTS, calibration=found, **more)
    with pytest.raises(ValueError, match="calibration: it is of a model with 3 layers, and this one has 4"):
        explain(tiny("albert"), TEXTS, calibration=found)
    (tmp_path / "other.json").write_text('{"format": "something else"}')
    with pytest.raises(ValueError, match="holds no calibration of this release"):
        explain(tiny("bert"), TEXTS, calibration=tmp_path / "other.json")


def test_the_candidates_are_their_definitions():
    generator = torch.Generator().manual_seed(0)

    def numbers(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    mask = torch.ones(2, 5, dtype=torch.bool)
    content = mask.clone()
    content[:, 0] = False
    readout = torch.zeros(2, 5).double()
    readout[:, 0] = 1
    s = Signals(
        relevance=numbers(2, 3, 5),
        maps=numbers(2, 3, 5, 5),
        product=numbers(2, 3, 5),
        mask=mask,
        readout=readout,
        backend="auto",
        integrand=numbers(2, 3, 5),
        content=content,
    )
    family = candidates(3)
    torch.testing.assert_close(family["layer 2"].read(s)[0], s.relevance[:, 2])
    torch.testing.assert_close(family["ig"].read(s)[0], s.relevance[:, 0])
    blended = family["blend"].read(replace(s, embedding=s.integrand[:, 0]))[0]
    scale = (s.integrand[:, 0] * content).abs().sum(1, keepdim=True)
    rolled = family["calig, lam 0.8"].read(s)[0]
    rolled = rolled * scale / (rolled * content).abs().sum(1, keepdim=True)
    torch.testing.assert_close(blended, 0.5 * rolled + 0.5 * s.integrand[:, 0])
    torch.testing.assert_close(family["mean of layers"].read(s)[0], s.relevance.mean(1))
    parts = (family["calig, lam 0.8"].read(s)[0], s.relevance[:, 0], s.integrand[:, 0])
    wanted = sum(w * p / p[:, 1:].abs().sum(1, keepdim=True) for w, p in zip(MIXTURE, parts, strict=True))
    torch.testing.assert_close(mixture(s)[0], wanted)
    others = numbers(2, 2, 3, 5)
    s = replace(s, embedding=s.integrand[:, 0])
    for method in family.values():
        if method.changed is not None:
            plain = type(method)(method.name, method.integral, method.maps, method.read)
            torch.testing.assert_close(method.changed_scores(s, others), plain.changed_scores(s, others))
