"""Log targets of looks: lines of JSON, a summary writer, TensorBoard."""

import copy
import json

import pytest
from helpers.looks import Writer
from helpers.tiny_models import ids, tiny

from calig_fast.monitor import Monitor


def model(kind="bert"):
    return copy.deepcopy(tiny(kind)).train()


def always(watched, probes, **options):
    return Monitor(watched, probes, **{"overhead": 1, "strict": True, **options})


def test_lines_of_json(tmp_path):
    path = tmp_path / "logs" / "looks.jsonl"
    seen = []
    monitor = always(model(), ids(9, 6), log=[path, seen.append])
    monitor.step()
    monitor.step()
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert records == seen
    assert [(r["step"], r["probe"]) for r in records] == [(s, p) for s in (1, 2) for p in ("probe 0", "probe 1")]
    assert records[0]["drift"] is None
    assert records[2]["drift"] == pytest.approx(0)
    assert len(records[1]["scores"]) == 6


def test_a_summary_writer_gets_every_number():
    writer = Writer()
    monitor = always(model(), ids(9), log=writer)
    monitor.step()
    monitor.step()
    assert [step for step, _ in writer.scalars["calig/probe 0/top5"]] == [1, 2]
    assert [step for step, _ in writer.scalars["calig/probe 0/drift"]] == [2]
    assert {f"calig/probe 0/layers/{layer}" for layer in range(3)} <= set(writer.scalars)


def test_tensorboard_reads_it_back(tmp_path):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with tensorboard.SummaryWriter(tmp_path) as writer:
        monitor = always(model(), ids(9), log=writer)
        monitor.step()
        monitor.step()
    reader = events.EventAccumulator(str(tmp_path))
    reader.Reload()
    assert [event.step for event in reader.Scalars("calig/probe 0/entropy")] == [1, 2]
