"""Calls with arguments drawn at random end in an answer, or in an error that names an argument; no model changes."""

import random

import pytest
import torch
from helpers.fuzz_calls import EXPLAIN, MONITOR, Surface, text_model
from helpers.fuzz_captum import CAPTUM
from helpers.fuzz_command import COMMAND
from helpers.fuzz_extensions import EXTENSIONS
from helpers.fuzz_metrics import METRICS
from helpers.fuzz_model_calls import MODELS
from helpers.fuzz_results import RESULT_FILES, RESULTS
from helpers.fuzz_run import SURFACES, alarm, draw, judged, run
from helpers.fuzz_values import fails, plain

pytest.importorskip("matplotlib")


@pytest.mark.parametrize(
    ("surfaces", "count"),
    [
        (EXPLAIN, 1200),
        (MODELS, 400),
        (EXTENSIONS, 300),
        (RESULTS, 1000),
        (RESULT_FILES, 150),
        (MONITOR, 100),
        (METRICS, 700),
        (CAPTUM, 600),
        (COMMAND, 30),
    ],
    ids=["explain", "models", "extensions", "results", "files", "monitor", "metrics", "captum", "command"],
)
def test_calls_at_random(surfaces, count):
    wrong = run(count, seed=20, surfaces=surfaces)
    assert [f"{w.error} at {w.kind}: {w.drawn} (number {w.number})" for w in wrong] == []


def test_a_call_is_the_same_each_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a drawn path may be that of a file that is written
    for number in range(50):
        first, second = draw(3, number), draw(3, number)
        assert str(first) == str(second)
    assert {draw(3, number).surface.name for number in range(3000)} == {s.name for s in SURFACES}


def seen(call, **pools):
    surface = Surface("made up", call, pools, always=tuple(pools))
    return run(1, seed=0, surfaces=[surface])


def test_what_is_wrong_is_seen():
    good = {"count": plain(1)}
    raw = (lambda count: {}["x"], lambda count: [][count + 9], lambda count: int("x"), lambda count: 1 / 0)
    for call in raw:
        assert len(seen(call, **good)) == 1

    def unclear(count):
        raise ValueError("no")

    def clear(count):
        raise ValueError("count: expected something else than what came")

    assert len(seen(unclear, **good)) == 1
    assert seen(clear, **good) == []
    assert seen(lambda count: fails(), **good) == []


def test_a_model_that_changed_is_seen():
    model = text_model()
    changes = {
        "weights": (lambda: model.classifier.bias.data.add_(1), lambda: model.classifier.bias.data.sub_(1)),
        "mode": (model.train, model.eval),
        "config": (lambda: setattr(model.config, "num_labels", 7), lambda: setattr(model.config, "num_labels", 4)),
        "needs gradients": (
            lambda: model.classifier.bias.requires_grad_(False),
            lambda: model.classifier.bias.requires_grad_(True),
        ),
    }
    for change, undo in changes.values():
        try:
            wrong = seen(lambda count, change=change: change(), count=plain(1))
        finally:
            undo()
        assert len(wrong) == 1
        assert "text" in wrong[0].error


def test_a_hang_is_seen():
    dice = random.Random(0)

    def forever(count):
        while True:
            dice.random()

    drawn = draw(0, 0, [Surface("made up", forever, {"count": plain(1)}, always=("count",))])
    with alarm(1):
        assert judged(drawn)[0] == "hangs"
    assert torch.is_grad_enabled()
