"""The faithfulness benchmark fuses as `explain` does, goes on where it stopped; its page says what was measured."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.faithfulness import measures, methods, page, run, summary
from benchmarks.faithfulness.__main__ import RESULT, WORDS
from benchmarks.faithfulness.calibrated import LeakError, calibrated, check_apart
from benchmarks.faithfulness.signals import heads, integrated_slopes, read
from benchmarks.faithfulness.task import Case, Task, kept
from calig_fast import explain
from calig_fast.demo import MissingPackageError, load
from calig_fast.methods.fusion import Fusion

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["sentiment", "fashion"])
def task(request):
    try:
        demo = load(request.param, count=5)
    except MissingPackageError as error:
        pytest.skip(str(error))
    kind = "text" if request.param == "sentiment" else "image"
    short = {"truncation": True, "max_length": 16} if kind == "text" else {}
    cases = [
        Case(dict(demo.processor(s.input, return_tensors="pt", **({} if k == 4 else short))), s.label)
        for k, s in enumerate(demo.samples)
    ]
    return Task(request.param, "", kind, demo.model, demo.processor, cases[:4], cases[4:])


def test_fusing_what_was_read_once_is_what_explain_does(task):
    case = task.tune[0]
    signals = read(task, case)
    for fusion in (Fusion(), Fusion(lam=0.9, sign="split"), Fusion(residual=0.5, normalise=False)):
        wanted = explain(task.model, case.call, processor=task.processor, method=fusion, target=signals.target).scores
        torch.testing.assert_close(signals.fuse(fusion), wanted, rtol=2e-2, atol=2e-2 * float(wanted.abs().max()))


def test_the_heads_read_by_autograd_average_to_the_engines_maps(task):
    case = task.tune[0]
    signals = read(task, case)
    weights, slopes = heads(task, case, signals.target)
    torch.testing.assert_close((weights * slopes).mean(1)[None], signals.maps, rtol=1e-3, atol=1e-6)
    path = integrated_slopes(task, case, signals.target)
    assert path.shape == slopes.shape
    assert not torch.allclose(path, slopes, rtol=0.1)


def test_every_method_gives_scores_and_only_random_knows_nothing(task):
    case = task.held[0]
    found = {name: (target, scores) for name, target, scores in methods.compared(task, case)}
    again = {name: scores for name, _, scores in methods.compared(task, case)}
    left_out = {"token_tm"} if task.kind == "text" else {"decompx"}
    assert tuple(found) == tuple(name for name in methods.METHODS if name not in left_out)
    for name, (target, scores) in found.items():
        assert scores.shape == found["calig"][1].shape, name
        assert target == found["calig"][0]
        assert torch.isfinite(scores).all()
        # an Explainer learns where to begin, so that a second answer differs within the tolerance
        torch.testing.assert_close(again[name], scores, rtol=4e-2, atol=4e-2 * float(scores.abs().max()))
    ours, theirs = found["ig"][1], found["captum_ig"][1]
    if task.kind == "text":  # before and after the normalisation of embeddings; for images the baseline is another
        assert torch.corrcoef(torch.cat([ours, theirs]))[0, 1] > 0.95


def test_what_was_calibrated_on_is_never_measured(task):
    _, choice = calibrated(task)
    assert len(choice.inputs) == len(task.tune)
    check_apart(choice, task, task.held[0])
    for case in task.tune:
        with pytest.raises(LeakError, match="an input that is measured was used to calibrate"):
            check_apart(choice, task, case)
        with pytest.raises(LeakError):
            list(methods.compared(task, case))


def test_holms_correction():
    # each p times the tests not yet rejected, never less than one before it
    assert summary.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert summary.holm([0.9, 0.8]) == [1.0, 1.0]
    assert summary.holm([]) == []


def test_a_case_is_judged_and_the_searched_lam_is_the_best_of_its_choices(task):
    records = measures.of_case(task, task.tune[0], "tune")
    named = {record["method"]: record["score"] for record in records}
    assert len(named) == len(records) > 45
    assert named["lam of each input, searched"] == max(named[f"lam {lam:g}"] for lam in measures.CHOICES)
    assert named["lam of each input, by random removals"] in [named[f"lam {lam:g}"] for lam in measures.CHOICES]
    also = {r["method"] for r in records if "score_delete" in r and "each input" not in r["method"]}
    assert also == (set(measures.ALSO) if task.kind == "text" else set())


def test_shares_of_the_attainable_take_the_same_bounds(task):
    if task.kind == "image":
        pytest.skip("of texts alone")
    case, bounds = task.held[0], None
    short = Case({name: value[:, :7] for name, value in case.call.items()}, case.label)
    for seed in (0, 1):
        scores = torch.rand(1, 7, generator=torch.Generator().manual_seed(seed))
        found = measures.attainable(task, short, 1, scores, bounds)
        assert 0 <= float(found.values) <= 1
        assert bounds is None or float(bounds.upper) == float(found.upper)
        bounds = found


def test_random_removals_choose_the_scores_that_add_up(task):
    case = task.held[0]  # a long one
    signals = read(task, case)
    noise = torch.rand(signals.mask.shape, generator=torch.Generator().manual_seed(3))
    candidates = {
        "noise": noise,
        "ig": signals.relevance[:, 0].float(),
        "its opposite": -signals.relevance[:, 0].float(),
    }
    assert measures.tried_on_random_sets(task, case, signals.target, candidates) == "ig"


def test_sanity_tells_how_alike_scores_stay_as_weights_become_random(task):
    (record,) = measures.of_case(task, task.held[0], "sanity")
    assert record["stages"][0] == "head"
    assert record["stages"][-1] == "embeddings"
    assert len(record["similarities"]) == len(record["stages"])
    assert record["similarities"][-1] < 0.9


def test_the_summary_tells_removals_and_randomised_weights(tmp_path):
    (tmp_path / "a.facts.json").write_text('{"title": "t", "kind": "text", "accuracy": 1.0, "accuracy_on": 2}')
    for name, by in ((summary.START, 0.0), ("ig", 0.5)):
        with (tmp_path / "a.tune.jsonl").open("a") as lines:
            for k in range(2):
                record = {"case": k, "method": name, "score": k + by, "score_pad": k - by, "score_delete": k}
                lines.write(json.dumps(record) + "\n")
    (tmp_path / "a.held.jsonl").write_text('{"case": 0, "method": "calig", "score": 1.0}\n')
    rows = [
        {"case": k, "method": "calig", "stages": list("abcd"), "similarities": [1, 0.5, 0.2 * k, 0]} for k in (1, 2)
    ]
    (tmp_path / "a.sanity.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    found = summary.summarise(tmp_path, ["a"], {})["tasks"]["a"]
    assert found["removals"]["ig"]["pad"]["difference"] == pytest.approx(-0.5)
    assert found["removals"]["ig"]["mask"]["difference"] == pytest.approx(0.5)
    assert found["randomised"] == {"inputs": 2, "head": 1.0, "half": pytest.approx(0.3), "everything": 0.0}


def test_records_are_read_back_but_for_a_line_that_was_cut(tmp_path):
    (tmp_path / "a.held.jsonl").write_text('{"case": 0, "method": "ig", "score": 1.0}\n{"case": 1, "meth')
    assert run.records(tmp_path, "a", "held") == [{"case": 0, "method": "ig", "score": 1.0}]
    assert run.records(tmp_path, "b", "held") == []


def test_weights_are_made_once(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"w": torch.arange(3.0)}

    assert torch.equal(kept(tmp_path, "m", make)["w"], kept(tmp_path, "m", make)["w"])
    assert len(made) == 1


def test_the_summary_pairs_inputs(tmp_path):
    (tmp_path / "a.facts.json").write_text('{"title": "t", "kind": "text", "accuracy": 1.0, "accuracy_on": 4}')
    for split, names in (("held", ("calig", "ig")), ("tune", (summary.START, "other"))):
        lines = [
            json.dumps({"case": k, "method": name, "score": k + by})
            for name, by in zip(names, (0.5, 0.25), strict=True)
            for k in range(4)
        ]
        (tmp_path / f"a.{split}.jsonl").write_text("\n".join(lines) + "\n")
    found = summary.summarise(tmp_path, ["a", "b"], {"b": "no data"})["tasks"]
    assert found["b"] == {"missing": "no data"}
    assert found["a"]["methods"]["calig"]["score"]["mean"] == 2.0
    assert found["a"]["against"]["ig"]["difference"] == pytest.approx(0.25)
    assert found["a"]["ablation"]["other"]["difference"] == pytest.approx(-0.25)
    assert found["a"]["sizes"] == {"tune": 4, "held": 4}


def test_a_later_run_replaces_what_it_measured():
    old = {"tasks": {"a": {"methods": {"x": 1}, "ablation": {"y": 2}, "sizes": {"tune": 3, "held": 4}}, "b": {"c": 1}}}
    new = {
        "tasks": {"a": {"methods": {"x": 5}, "ablation": {}, "sizes": {"tune": 0, "held": 6}}, "b": {"missing": "m"}}
    }
    assert summary.joined(old, new)["tasks"] == {
        "a": {"methods": {"x": 5}, "ablation": {"y": 2}, "sizes": {"tune": 3, "held": 6}},
        "b": {"c": 1},
    }
    assert summary.joined({"tasks": {"b": {"missing": "n"}}}, new)["tasks"]["b"] == {"missing": "m"}


def test_the_page_is_what_the_committed_numbers_say(tmp_path):
    page.write(json.loads(RESULT.read_text()), WORDS.read_text(), tmp_path / "f.md", tmp_path)
    assert (tmp_path / "f.md").read_text() == (ROOT / "docs/faithfulness.md").read_text()
    assert (tmp_path / "faithfulness.png").stat().st_size > 10_000


def test_data_that_is_not_there_is_named(tmp_path):
    missing = run.run(["reviews", "hate"], ["held"], tmp_path, tmp_path / "cache", 1)
    assert set(missing) == {"reviews", "hate"}
    assert "movie_rationales/train.jsonl.gz" in missing["reviews"]
