"""`calig bench`: it compares right answers or reports nothing."""

import json

import pytest
import torch
from helpers.tiny_models import tiny
from helpers.typed import fails, run
from PIL import Image

from calig_fast.bench import RedGateError, bench
from calig_fast.bench import run as running
from calig_fast.bench.gates import errors, gate

pytest.importorskip("captum")
TEXT = "A dull film about nothing at all"


def test_both_contenders_are_timed_and_right(texts):
    found = run("bench", "--model", texts, "--text", TEXT, "--rounds", 2, "--nodes", 24, "--json", "-")
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert [row["name"] for row in told["rows"]] == ["ours", 'ours, certify="scores"', "Captum, 24 nodes"]
    assert told["engine"] == "native"
    assert told["apart"] < 1e-5
    assert told["batch_size"] in {4, 8, 16, 32}
    for row in told["rows"]:
        assert len(row["wall"]) == len(row["cpu"]) == 2
        assert min(row["wall"]) > 0
    assert told["rows"][0]["error"] < 4e-2
    assert told["rows"][2]["error"] < 1e-2
    assert told["rows"][2]["gradients"] == 24 * 2


def test_the_table(texts):
    found = run("bench", "--model", texts, "--text", TEXT, "--rounds", 1, "--nodes", 8, "--threads", 1)
    assert found.exit_code == 0, found.output
    for word in ("ours", "Captum", "faster", "At 8 equal nodes", "internal_batch_size"):
        assert word in found.stdout


def test_an_input_that_is_its_own_reference_has_nothing_to_be_wrong_about(texts):
    found = run("bench", "--model", texts, "--text", "[PAD] [PAD]", "--rounds", 1, "--nodes", 4, "--json", "-")
    assert found.exit_code == 0, found.output
    assert [row["error"] for row in json.loads(found.stdout)["rows"]] == [0.0, 0.0, 0.0]
    nothing, some = torch.zeros(1, 3), torch.ones(1, 3)
    assert errors([nothing], [nothing]) == [0.0]
    with pytest.raises(RedGateError, match="inf is above"):
        gate("all of nothing", max(errors([some], [nothing])), 1e-5)


def test_pictures(pictures):
    found = run(
        "bench", "--model", pictures, "--image", pictures / "noise.png", "--rounds", 1, "--nodes", 8, "--json", "-"
    )
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["without_captum"] == ""


def test_a_wrong_answer_is_refused_with_no_time(texts, monkeypatch):
    right = running.loop

    def wrong(*arguments):
        made = right(*arguments)
        return type(made)(made.forward, made.x, 0.5 * made.low, made.target, made.before)

    monkeypatch.setattr(running, "loop", wrong)
    options = ("bench", "--model", texts, "--text", TEXT, "--rounds", 1, "--nodes", 8)
    fails(*options, say="Captum at equal nodes", code=1)
    found = run(*options)
    assert "no time is reported" in found.stderr
    assert found.stdout == ""


def test_without_captum_it_says_so(texts, monkeypatch):
    find = running.importlib.util.find_spec
    monkeypatch.setattr(running.importlib.util, "find_spec", lambda n, *a: None if n == "captum" else find(n, *a))
    found = run("bench", "--model", texts, "--text", TEXT, "--rounds", 1, "--json", "-")
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert len(told["rows"]) == 2
    assert 'pip install "calig_fast[bench]"' in told["without_captum"]
    assert "Without Captum" in run("bench", "--model", texts, "--text", TEXT, "--rounds", 1).stdout


def test_mistakes(texts):
    some = ("bench", "--model", texts, "--text", TEXT)
    fails(*some, "--rounds", 0, say="expected at least 1")
    fails(*some, "--threads", 0, say="--threads: expected an int of at least 1")
    fails("bench", "--model", texts, say="give --text")


def test_progress_is_told(pictures):
    from torchvision.transforms import CenterCrop, Compose, ToTensor

    seen = []
    prepare = Compose([CenterCrop(16), ToTensor()])
    with Image.open(pictures / "noise.png") as picture:
        found = bench(tiny("timm-token"), [picture], prepare, rounds=2, nodes=4, progress=lambda *at: seen.append(at))
    assert seen == [*((i, 4) for i in range(1, 5)), *((i, 6) for i in range(1, 7))]
    assert [len(row.wall) for row in found.rows] == [2, 2, 2]
