"""The dense rule knows its error, records are what the model gives, and claims that are wrong are counted as such."""

import json
import math
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.torture import __main__ as command
from benchmarks.torture import cases, claims, lies, nodes, page, report
from benchmarks.torture.dense import UNIT, Interpolant, integrate
from benchmarks.torture.groups import GROUPS, together, turns
from benchmarks.torture.integrands import INTEGRANDS, Separable
from benchmarks.torture.record import record
from benchmarks.torture.replay import Recorded, Replayer, replay
from calig_fast import Explainer
from calig_fast.engines.layer_paths import Rule
from calig_fast.quadrature.adaptive import AdaptiveIntegrals
from calig_fast.quadrature.rules import corrected_trapezoid

ROOT = Path(__file__).parents[2]
SINGLE = lies.Setting("layers", "calig", torch.float32, 1e-3)


class Liar(AdaptiveIntegrals):
    """Claims no error at its first nodes."""

    @property
    def errors(self):
        return replace(super().errors, error=np.zeros_like(super().errors.error))


def named(name):
    return next(one for one in INTEGRANDS if one.name == name)


@pytest.fixture(scope="module")
def group():
    return GROUPS["bert2sharp"](0)


@pytest.fixture(scope="module")
def entries(group):
    counter = lies.Counter((1e-3, 2e-2))
    counter.take(group, 0, 0, group.inputs[:2])
    return counter.entries


@pytest.mark.parametrize(
    ("function", "integral"),
    [
        (torch.exp, math.e - 1),
        (lambda a: 1e-3 / (a * a + 1e-6), math.atan(1e3)),
        (lambda a: (a > 0.37).double(), 0.63),
        (lambda a: a.clamp_min(1e-300).sqrt(), 2 / 3),
        (lambda a: torch.exp(-(((a - 0.3) / 4e-3) ** 2)), 4e-3 * math.sqrt(math.pi)),
        (torch.zeros_like, 0.0),
    ],
    ids=["smooth", "peak at the end", "jump", "root", "spike", "nothing"],
)
def test_the_dense_rule_is_within_the_error_that_it_states(function, integral):
    found = integrate(lambda nodes: function(torch.tensor(nodes, dtype=torch.float64))[:, None], goal=1e-6)
    off = abs(float(found.r) - integral)
    assert off <= max(found.error, 1e-13) * max(integral, 1e-13)
    assert found.error < 1e-5


def test_the_dense_rule_says_that_it_ran_out_of_values():
    found = integrate(lambda nodes: (torch.tensor(nodes, dtype=torch.float64)[:, None] > 0.37).double(), most=60)
    assert found.count <= 60
    assert found.error > 1e-3


def test_its_values_tell_the_integrand_between_them(group):
    one = asdict(record(Explainer(group.model, baselines=0, dtype=torch.float64), group.inputs[0])[0])
    path = one["paths"][0]
    at = Interpolant(path["edges"], path["rows"])
    torch.testing.assert_close(at([0.0, 1.0]), torch.stack([path["low"], path["high"]]))
    finer = record(Explainer(group.model, baselines=0, dtype=torch.float64), group.inputs[0], goal=1e-11)[0].paths[0]
    assert len(finer.edges) > len(path["edges"])
    for (low, high), rows in zip(finer.edges.tolist(), finer.rows, strict=True):
        size = float(rows.norm(dim=1).max())
        nodes = (low + (high - low) * UNIT).tolist()
        assert float((at(nodes) - rows).norm(dim=1).max()) < 1e-3 * size


@pytest.mark.parametrize("name", ["bert2", "bert2relu"])
def test_the_truth_is_that_of_a_fine_fixed_rule_and_leaves_the_package_as_it_was(name):
    group, before = GROUPS[name](0), Rule.integrals
    given = together(group.inputs[:3])
    truths = record(Explainer(group.model, baselines=3, dtype=torch.float64), given)
    rule, steps = ("riemann_middle", 1000) if name == "bert2relu" else ("corrected_trapezoid", 200)
    fixed = Explainer(group.model, baselines=3, dtype=torch.float64, quadrature=rule, n_steps=steps)(given)
    for b, one in enumerate(truths):
        here = fixed.mask[b]
        within = 1e-3 if name == "bert2relu" else 1e-6
        for layer in range(one.depth):
            assert lies.relative(fixed.layer_scores[b, layer, here], one.layer_scores[layer]) < within
            assert one.own[layer] < 2 * within
        assert lies.relative(fixed.scores[b, here], one.scores) < 10 * within
    assert Rule.integrals is before
    assert int(Explainer(group.model, baselines=3)(group.inputs[0]).n_steps.max()) < 200


def test_every_setting_makes_its_claims_and_they_are_judged_by_the_truth(group, entries):
    assert [entry.index for entry in entries] == [0, 1]
    for entry in entries:
        by_kind = {kind: [c for c in entry.claims if c.kind == kind] for kind in {c.kind for c in entry.claims}}
        assert len(by_kind["layers, calig, float32"]) == 2 * 2
        assert len(by_kind["layers, calig, bfloat16"]) == 2
        assert len(by_kind["scores, calig, float32"]) == len(by_kind["scores, layer_ig, float32"]) == 2
        assert all(c.rounded is not None for c in by_kind["layers, calig, bfloat16"])
    a = Explainer(group.model, baselines=0, tolerance=1e-3)(
        together(group.inputs[:2]), target=entries[0].record["target"]
    )
    for claim in entries[0].claims:
        if claim.kind == SINGLE.kind and claim.tolerance == SINGLE.tolerance:
            true = entries[0].record["layer_scores"][claim.layer]
            assert claim.claimed == pytest.approx(float(a.error[0, claim.layer]))
            assert claim.true == pytest.approx(lies.relative(a.layer_scores[0, claim.layer, a.mask[0]], true))
            assert claim.marked == bool(a.layer_converged[0, claim.layer])


def test_the_scores_truth_is_the_methods_own(entries):
    for entry in entries:
        for claim in entry.claims:
            if claim.kind.startswith("scores") and claim.tolerance == 1e-3 and "float32" in claim.kind:
                assert claim.true < 2e-2, claim


def test_a_replay_takes_the_nodes_of_the_model(entries):
    plain = [asdict(entry) for entry in entries]
    real = {(c.kind, c.tolerance, c.index, c.layer): c for entry in entries for c in entry.claims}
    again = list(replay(plain, tolerances=(1e-3, 2e-2)))
    assert len(again) == len(real)
    for claim in again:
        one = real[claim.kind, claim.tolerance, claim.index, claim.layer]
        if "float32" in claim.kind:
            assert claim.nodes == one.nodes
            assert claim.marked == one.marked
            assert claim.true == pytest.approx(one.true, rel=0.05, abs=1e-5)


def test_an_estimate_that_lies_is_counted(entries):
    plain = [asdict(entry) for entry in entries]
    lied = [c for c in replay(plain, Liar, (1e-3, 2e-2)) if c.kind == SINGLE.kind]
    found = report.counted(lied)
    assert found["marked"] == len(lied) == 2 * 2 * 2
    assert found["> 4x"] > 0
    assert found["worst"] > 4
    assert f"| {found['worst']:.2f} |" in report.page(lied)


def test_without_its_gap_a_recorded_path_is_not_marked(entries):
    wrong = asdict(entries[0])
    for path in wrong["record"]["paths"]:
        path["gap"] *= 2
    engine = Recorded(wrong["record"], torch.float32)
    assert not any(claim.marked for claim in Replayer(SINGLE).claims(wrong, engine))


def claim(**changes):
    told = {"group": "g", "baseline": "b", "kind": "k", "tolerance": 1e-2, "index": 0, "layer": 0, "claimed": 5e-3}
    return lies.Claim(**{**told, "marked": True, "true": 5e-3, "own": 1e-6, "nodes": 5, **changes})


def test_only_marked_claims_with_a_truth_are_lies():
    given = [
        claim(),
        claim(true=1.5e-2),
        claim(true=3e-2, layer=1),
        claim(true=5e-2, layer=2),
        claim(true=5e-2, marked=False),
        claim(true=5e-2, own=5e-3),
        claim(true=float("nan")),
    ]
    found = report.counted(given)
    assert {k: found[k] for k in ("marked", "with truth", "> tolerance", "> 2x", "> 4x", "unmarked")} == {
        "marked": 6,
        "with truth": 4,
        "> tolerance": 3,
        "> 2x": 2,
        "> 4x": 1,
        "unmarked": 1,
    }
    assert found["worst"] == pytest.approx(5)
    assert [c.layer for c in report.worst(given)] == [2, 1]
    assert report.counted([])["worst"] is None


def test_captums_function_has_the_integrand_as_its_gradient():
    for case in INTEGRANDS:
        x = torch.full((1, 8), 0.3, dtype=torch.float64, requires_grad=True)
        Separable(case, 1.0)(x).sum().backward()
        torch.testing.assert_close(x.grad, case([0.3]))


def test_the_hard_integrands_are_hard_and_the_smooth_one_is_not():
    smooth = claims.of_integrand(named("smooth"), (1e-2,))[0]
    for who in ("ours", "captum"):
        assert smooth[who]["marked"]
        assert smooth[who]["true"] < 1e-2
    spike = claims.of_integrand(named("planted spike, tokens balanced"), (1e-2,))[0]
    assert spike["captum"]["marked"]
    assert spike["captum"]["true"] > 0.1  # its delta is within the tolerance
    lines = cases.markdown([cases.summed(smooth), cases.summed(spike)]).splitlines()
    assert "**1**" in lines[-1]
    assert "**1**" not in lines[-2]


def test_a_case_of_a_model_has_both_sides_and_a_zero_hidden_state_only_ours():
    pytest.importorskip("captum")
    for case in cases.CASES:
        if case.name in {"saturated softmax", "12 blocks, zero hidden state"}:
            row = cases.of_model(replace(case, group="bert2sharp"))[1]
            assert row["ours"]["integrals"] in {0, 2}
            assert (row["captum"] is None) == (case.baseline == "zeros")
            if row["captum"]:
                assert row["captum"]["marked"] == row["captum"]["integrals"] > 0
                assert row["captum"]["true"] < 1e-2


def test_turns_give_every_group_and_baseline_once_a_round():
    found = [(g.name, b, start) for g, b, start, _ in turns(["bert2", "bert2relu"], 60)]
    assert len(set(found)) == len(found) == 2 * 2 * 4


def test_the_commands_write_what_they_count(tmp_path, monkeypatch, capsys):
    out, data = tmp_path / "torture.json", tmp_path / "data.pt"
    given = ["lies", "--pairs", "1", "--group", "bert2", "--tolerance", "2e-2", "--data", str(data), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["torture", *given])
    command.main()
    written = json.loads(out.read_text())["lies"]
    assert written["machine"]["torch"]
    assert written["all"]["marked"] > 0
    monkeypatch.setattr(sys, "argv", ["torture", "replay", str(data), "--tolerance", "2e-2"])
    capsys.readouterr()
    command.main()
    assert "layers, calig, float32" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["torture", "cases", "smooth", "--out", str(out)])
    command.main()
    again = json.loads(out.read_text())
    assert again["lies"]["all"] == written["all"]
    assert [row["tolerance"] for row in again["cases"]["rows"]] == list(cases.TOLERANCES)


def test_the_page_is_that_of_the_committed_results():
    found = json.loads(command.RESULT.read_text())
    assert command.PAGE.read_text(encoding="utf-8") == page.written(found)
    assert {row["case"] for row in found["cases"]["rows"]} <= {one.name for one in (*INTEGRANDS, *cases.CASES)}
    assert found["lies"]["all"]["with truth"] >= 10_000


def test_nodes_are_counted_beside_the_fewest(tmp_path, monkeypatch, group):
    exact = Explainer(group.model, baselines=0, dtype=torch.float64)
    texts = [
        {"group": "topics", "baseline": "0", "index": i, "images": False, "record": asdict(one), "rounded": None}
        for i, one in enumerate(record(exact, together(group.inputs[:3])))
    ]
    found = nodes.measure(texts)
    paths = [path for text in texts for path in text["record"]["paths"]]
    for path in paths:
        m = nodes.fewest(path, nodes.TOLERANCE) + 1
        fixed = replay_rule(path, m)
        assert lies.relative(fixed, path["r"]) <= nodes.TOLERANCE
        assert m == 2 or lies.relative(replay_rule(path, m - 2), path["r"]) > nodes.TOLERANCE
    assert found["first text"]["needed"] == sum(nodes.fewest(path, nodes.TOLERANCE) for path in paths)
    assert found["first text"]["used"] >= found["perfect start"] * found["first text"]["needed"] - 1e-2
    assert found["first text"]["layers"] == 6
    assert found["second text on"]["layers"] == 4
    data, out = tmp_path / "nodes.pt", tmp_path / "nodes.json"
    torch.save(texts, data)
    monkeypatch.setattr(sys, "argv", ["torture", "nodes", "--data", str(data), "--out", str(out)])
    command.main()
    assert json.loads(out.read_text())["topics"]["first text"] == found["first text"]


def replay_rule(path, m):
    rows = Interpolant(path["edges"], path["rows"])([k / m for k in range(m + 1)])
    return corrected_trapezoid(m) @ rows


def test_the_rounding_of_16_bits_is_that_of_the_recorded_ends(entries):
    entry = asdict(entries[0])
    narrow, exact = (Recorded(entry[name], torch.bfloat16) for name in ("rounded", "record"))
    one = Replayer(replace(SINGLE, dtype=torch.bfloat16, tolerance=5e-2))
    before = [claim.claimed for claim in one.claims(entry, narrow)]
    one.measure(narrow, exact)
    after = [claim.claimed for claim in one.claims(entry, narrow)]
    assert all(a > b for a, b in zip(after, before, strict=True))


def test_another_draw_has_other_inputs_and_weights():
    one, other = (GROUPS["bert2"](draw) for draw in (0, 1))
    assert not torch.equal(one.inputs[0]["input_ids"], other.inputs[0]["input_ids"])
    assert not torch.equal(next(one.model.parameters()), next(other.model.parameters()))
    first, later = (GROUPS["clothes"](draw).inputs for draw in (0, 1))
    assert first[40].tobytes() == later[0].tobytes() != first[0].tobytes()
