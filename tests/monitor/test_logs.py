"""Log targets of looks: lines of JSON, a summary writer, TensorBoard."""

import copy
import errno
import json
import os
from unittest import mock

import pytest
from helpers.looks import Writer
from helpers.tiny_models import ids, tiny

from calig_fast.monitor import Monitor
from calig_fast.monitor.logs import writers


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


RECORDS = [{"step": step, "probe": "a \ud83d é", "scores": [0.25] * 40} for step in range(3)]


def records_in(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def test_a_run_goes_on_after_a_kill_within_a_line(tmp_path):
    path = tmp_path / "looks.jsonl"
    first, second, third = RECORDS
    (write,) = writers(path)
    write(first)
    begin = path.stat().st_size
    write(second)
    end = path.stat().st_size
    for size in (*range(begin + 1, end - 1, 7), end - 2):
        cut(path, size)
        (write,) = writers(str(path))
        with pytest.warns(UserWarning, match=f"its {size - begin} bytes are dropped"):
            write(second)
        assert path.stat().st_size == end
    cut(path, end - 1)  # all but the line's end
    write(third)
    assert records_in(path) == RECORDS


def test_zeros_are_dropped_and_text_of_another_kind_is_kept(tmp_path):
    path = tmp_path / "looks.jsonl"
    (write,) = writers(path)
    path.write_bytes(bytes(100))
    with pytest.warns(UserWarning, match="100 bytes"):
        write(RECORDS[0])
    assert records_in(path) == RECORDS[:1]
    path.write_bytes(b"a line of the user's")
    write(RECORDS[0])
    assert path.read_bytes().startswith(b"a line of the user's\n{")
    path.write_bytes(b'{"step": 1}')
    write(RECORDS[0])
    assert records_in(path) == [{"step": 1}, RECORDS[0]]


def test_a_full_disk_loses_no_earlier_look_and_no_training(tmp_path):
    path = tmp_path / "looks.jsonl"
    monitor = always(model(), ids(9), log=path, strict=False)
    monitor.step()
    before, real = path.read_bytes(), os.write

    def full(handle, data):
        if len(data) > 20:
            return real(handle, data[:20])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    full_after = mock.patch.object(os, "write", lambda handle, data: full(handle, data) if data else 0)
    with full_after, pytest.warns(UserWarning, match=r"failed at its log.*No space left"):
        monitor.step()
    kept = path.read_bytes()
    assert kept.startswith(before)
    assert kept.count(b"\n") == len(records_in(path))
    monitor.step()
    assert [record["step"] for record in records_in(path) if "error" not in record] == [1, 3]


@pytest.mark.parametrize("name", ["", "."])
def test_names_of_no_file(name):
    with pytest.raises(ValueError, match="log: expected the name of a file"):
        writers(name)


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
    words = reader.Tensors("calig/probe 0/words/text_summary")
    assert [event.step for event in words] == [1, 2]
    assert words[0].tensor_proto.string_val[0].decode().startswith("| word | share |")
