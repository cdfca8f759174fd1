"""Looks in experiment trackers, each through its own client, and read back."""

import copy
import csv
import json
import struct
import time
from pathlib import Path

import pytest
from helpers.tiny_models import ids, tiny

from calig_fast.monitor import Monitor, Probe
from calig_fast.monitor.trackers import numbers

BLOCK, WHOLE, LAST = 1 << 15, 1, 4  # of a LevelDB log
NAME = "who came? (é)"


@pytest.fixture
def watched():
    return copy.deepcopy(tiny("bert")).train()


def run(model, log, steps=3):
    """A monitor that looked at every step."""
    monitor = Monitor(model, Probe(ids(9), name=NAME), log=log, overhead=1, strict=True)
    for _ in range(steps):
        monitor.step()
    monitor.close()
    return monitor


def looks_of(monitor):
    return [look.record() for look in monitor.histories[NAME].looks]


def test_names_that_trackers_take(watched):
    found = numbers(looks_of(run(watched, None))[0])
    assert f"calig/{'who came_ (é)'}/entropy".replace("(é)", "___") in found
    assert all(isinstance(value, float) for value in found.values())


def test_a_table(watched, tmp_path):
    path = tmp_path / "looks" / "a.csv"
    records = looks_of(run(watched, path)) + looks_of(run(watched, path, steps=1))
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3", "1"]
    for row, record in zip(rows, records, strict=True):
        assert row["probe"] == NAME
        assert row["drift"] == ("" if record["drift"] is None else str(record["drift"]))
        assert [float(row[f"layer_{n}"]) for n in range(3)] == record["layers"]


def test_a_table_that_a_kill_cut(watched, tmp_path):
    path = tmp_path / "a.csv"
    run(watched, path, steps=2)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    run(watched, path, steps=1)
    with path.open(newline="", encoding="utf-8") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "1"]


@pytest.mark.filterwarnings("ignore")
def test_mlflow_in_a_folder(watched, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(tmp_path.as_uri())
    mlflow.set_experiment("films")
    with mlflow.start_run() as active:
        monitor = run(watched, mlflow)
    client = mlflow.MlflowClient(tmp_path.as_uri())
    (name,) = [n for n in client.get_run(active.info.run_id).data.metrics if n.endswith("/entropy")]
    history = client.get_metric_history(active.info.run_id, name)
    assert [(m.step, m.value) for m in history] == [(r["step"], r["entropy"]) for r in looks_of(monitor)]
    page = client.download_artifacts(active.info.run_id, "calig/looks.html", tmp_path)
    assert "3 looks" in Path(page).read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore")
def test_wandb_offline(watched, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with wandb.init(mode="offline", dir=tmp_path, settings=wandb.Settings(console="off")) as active:
        monitor = Monitor(watched, Probe(ids(9), name=NAME), log=wandb, overhead=1, strict=True)
        for step in range(1, 4):
            monitor.step()
            active.log({"loss": 1 / step}, step=step)  # the caller's own count
        monitor.step()
        monitor.step()
        monitor.close()
    rows = waited_for(tmp_path)
    steps = [row["calig/step"] for row in rows if "calig/step" in row]
    assert steps == [1, 2, 3, 4, 5]
    assert [row["loss"] for row in rows if "loss" in row] == pytest.approx([1, 1 / 2, 1 / 3])
    assert any("calig/looks/path" in row for row in rows)


def waited_for(folder):
    """The rows, once W&B's own process has written the last of them."""
    for _ in range(300):
        rows = rows_of(next(folder.rglob("*.wandb")))
        if any("calig/looks/path" in row for row in rows):
            return rows
        time.sleep(0.1)
    return rows


def rows_of(path):
    """The rows of a run's file: records of protobuf in the blocks of a LevelDB log, behind seven bytes of W&B's own."""
    from wandb.proto import wandb_internal_pb2

    data, place, begun, found = path.read_bytes(), 7, b"", []
    while place + 7 <= len(data):
        if BLOCK - place % BLOCK < 7:  # the end of a block is filled up
            place += BLOCK - place % BLOCK
        _, length, kind = struct.unpack_from("<IHB", data, place)
        begun += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (WHOLE, LAST):
            record = wandb_internal_pb2.Record.FromString(begun)
            begun = b""
            if record.WhichOneof("record_type") == "history":
                found.append({i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in record.history.item})
    return found


def test_wandb_without_a_run(watched, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setattr(wandb, "run", None)
    with pytest.raises(RuntimeError, match="wandb has no active run"):
        run(watched, wandb, steps=1)


def test_a_logger_of_lightning(watched, tmp_path):
    loggers = pytest.importorskip("lightning.pytorch.loggers")
    logger = loggers.CSVLogger(tmp_path)
    monitor = run(watched, logger)
    logger.save()
    with (next(tmp_path.rglob("metrics.csv"))).open(newline="") as file:
        rows = list(csv.DictReader(file))
    (name,) = [n for n in rows[0] if n.endswith("/entropy")]
    assert [float(row[name]) for row in rows] == pytest.approx([r["entropy"] for r in looks_of(monitor)])
