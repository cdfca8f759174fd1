"""`calig compare`: its numbers equal calig_fast.metrics on the same explanations."""

import json

import pytest
import torch
from helpers.typed import fails, run

from calig_fast import Explainer, metrics

TEXTS = ["A dull film about nothing", "Superb music and a fine cast", "What a long evening it was"]


@pytest.fixture
def lines(tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    return tmp_path / "texts.txt"


def loaded(folder):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    return AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def test_numbers(texts, lines):
    found = run("compare", "--model", texts, "--lines", lines, "--method", "calig", "--method", "ig", "--json", "-")
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert [m["method"] for m in told["methods"]] == ["calig", "ig", "random order"]
    model, tokenizer = loaded(texts)
    explained = {name: Explainer(model, tokenizer, method=name)(TEXTS) for name in ("calig", "ig")}
    measured = {n: metrics.erasure(model, TEXTS, a, processor=tokenizer) for n, a in explained.items()}
    for row in told["methods"][:2]:
        wanted = measured[row["method"]]
        for name in ("comprehensiveness", "sufficiency", "difference", "log_odds"):
            measure = getattr(wanted, name)
            assert row[name]["values"] == pytest.approx(measure.values.tolist(), abs=1e-6)
            assert row[name]["mean"] == pytest.approx(measure.mean(), abs=1e-6)
            assert row[name]["interval"]["low"] == pytest.approx(measure.interval().low, abs=1e-6)
        assert row["seconds"] > 0
        assert len(row["explanation"]["inputs"]) == 3
    assert told["methods"][0]["to_first"] is None
    paired = metrics.paired_test(measured["ig"].difference, measured["calig"].difference)
    assert told["methods"][1]["to_first"]["p_value"] == pytest.approx(paired.p_value)
    assert told["methods"][2]["explanation"] is None
    assert told["methods"][2]["seconds"] is None
    rho = metrics.agreement(explained).matrix
    torch.testing.assert_close(torch.tensor(told["rank_agreement"]["spearman"], dtype=torch.float64), rho)


def test_the_random_order_is_the_same_every_time(texts, lines):
    runs = [run("compare", "--model", texts, "--lines", lines, "--method", "rollout", "--json", "-") for _ in range(2)]
    first, second = (json.loads(found.stdout)["methods"][1] for found in runs)
    assert first == second


def test_table_and_page(texts, lines, tmp_path):
    page = tmp_path / "page.html"
    options = ("--method", "calig", "--method", "chefer", "--target", "bad", "--removal", "pad")
    found = run("compare", "--model", texts, "--lines", lines, "--html", page, *options)
    assert found.exit_code == 0, found.output
    for word in ("calig", "chefer", "random order", "comp - suff", "rank agreement", "3 inputs", ".."):
        assert word in found.stdout
    assert f"wrote {page}" in found.stderr
    written = page.read_text(encoding="utf-8")
    for word in ("Side by side", ">calig<", ">chefer<", "random order", "evening"):
        assert word in written
    assert "http" not in written.replace("http://www.w3.org", "")


def test_one_input_has_no_interval(texts):
    found = run("compare", "--model", texts, "--text", TEXTS[0], "--method", "calig", "--json", "-")
    told = json.loads(found.stdout)["methods"]
    assert all(row["difference"]["interval"] is None and row["to_first"] is None for row in told)
    shown = run("compare", "--model", texts, "--text", TEXTS[0], "--method", "calig")
    assert "One input says little" in " ".join(shown.stdout.split())


def test_images(pictures):
    images = ("--image", pictures / "noise.png", "--image", pictures / "grey.png")
    found = run("compare", "--model", pictures, *images, "--method", "calig", "--json", "-")
    assert found.exit_code == 0, found.output
    assert len(json.loads(found.stdout)["methods"][0]["difference"]["values"]) == 2


def test_mistakes(texts, lines, tmp_path):
    some = ("compare", "--model", texts, "--lines", lines)
    fails(*some, "--method", "lime", say="'lime' is not one of")
    fails(*some, "--removal", "burn", say="burn")
    fails(*some, "--target", "excellent", say="there are bad, good")
    fails(*some, "--html", tmp_path / "no" / "x.html", say="make it first")
    (tmp_path / "empty.txt").write_text("\n\n")
    fails("compare", "--model", texts, "--lines", tmp_path / "empty.txt", say="no line holds a text")
    fails(*some, "--device", "warp", say="--device warp: not usable here")
