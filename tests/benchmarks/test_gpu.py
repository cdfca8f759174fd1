"""`make gpu` without a GPU: a part that fails or hangs ends no other part, and each step leaves a line."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu import clocks, in_pytorch, operations, rows, run, table
from calig_fast import ops
from calig_fast.bench import operations as sized
from calig_fast.ops.model_sizes import Batch

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("-c", "print('done')")


def settings(out: Path, **more: Any) -> run.Settings:
    return run.Settings(out, rehearsal=True, **more)


@pytest.fixture(autouse=True)
def _on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "REHEARSAL", True)
    monkeypatch.setattr(clocks, "REHEARSAL", True)


NAMES = tuple(run.parts(settings(Path("out")), Path("logs")))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_run_and_nothing_written(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "no GPU that torch can use: nothing was run, nothing written\n"
    assert list(tmp_path.iterdir()) == []


def test_the_script_imports_neither_torch_nor_the_package() -> None:
    code = "import sys, benchmarks.gpu.run; raise SystemExit('torch' in sys.modules or 'calig_fast' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("how", ["fail", "hang"])
def test_every_part_may_fail_or_hang(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "GRACE", 1)
    planted = {name: how for name in NAMES if name != "table"}
    run.everything(settings(tmp_path, planted=planted, most=1))
    found = {r["part"]: r for r in table.lines(tmp_path / "results.jsonl")}
    assert set(NAMES) <= {*found, "table"}
    assert {found[name]["rc"] for name in planted} == {1 if how == "fail" else 124}
    assert "load_built" in found, "a module that could not be built is looked for all the same"
    files = {path.name for path in tmp_path.iterdir()}
    assert {"results.jsonl", "summary.txt", "logs.tgz"} <= files
    assert len(files) <= 8


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", ["fail", "hang"])
def test_a_part_that_fails_or_hangs_ends_no_other(
    name: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "GRACE", 1)
    quick = {part: run.Part(part, 20, ("true",)) for part in NAMES}
    monkeypatch.setattr(run, "parts", lambda settings, logs: quick)
    run.everything(settings(tmp_path, planted={name: how}, most=1))
    found = {r["part"]: r["rc"] for r in table.lines(tmp_path / "results.jsonl")}
    assert found.pop(name, "not needed") in {1 if how == "fail" else 124, "not needed"}
    assert set(found.values()) == {0}
    assert set(found) >= {*NAMES} - {name, "build"}


def test_the_limit_is_of_the_processes_that_a_part_starts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "GRACE", 1)
    mark = tmp_path / "alive"
    child = f"import time, pathlib\ntime.sleep(4)\npathlib.Path({str(mark)!r}).touch()"
    code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    (tmp_path / "logs").mkdir()
    runner = run.Runner(settings(tmp_path, most=2), tmp_path / "logs")
    assert not runner.take(run.Part("one", 20, (sys.executable, "-c", code)))
    time.sleep(4)
    assert not mark.exists()


def test_a_terminal_that_is_gone_ends_nothing(tmp_path: Path) -> None:
    planted = [word for name in NAMES if name != "table" for word in ("--plant", f"{name}=fail")]
    command = [sys.executable, "-m", "benchmarks.gpu", "--rehearse", "--most", "5", *planted, "--out", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        process.stdout.close()
        assert process.wait(60) == 0
    assert (tmp_path / "logs.tgz").is_file()
    assert "machine: 1 failed" in (tmp_path / "table.txt").read_text()


def test_what_is_not_installed_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    runner = run.Runner(settings(tmp_path), tmp_path / "logs")
    assert not runner.take(run.Part("memcheck", 20, ("no-such-tool",)))
    (line,) = table.lines(tmp_path / "results.jsonl")
    assert line["rc"] == -1
    assert "no-such-tool" in line["fault"]


def test_a_part_without_time_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    runner = run.Runner(settings(tmp_path, seconds=3), tmp_path / "logs")
    assert not runner.take(run.Part("one", 20, (sys.executable, *QUICK)))
    (line,) = table.lines(tmp_path / "results.jsonl")
    assert (line["rc"], table.state(line)) == (None, "left out")


def test_the_parts_fit_into_the_time_of_a_command() -> None:
    parts = run.parts(settings(Path("out")), Path("logs"))
    # what a run without a carried module takes at most; those that are last give way
    first = ("machine", "load", "build", "smoke", "explain", "ops")
    assert sum(parts[name].seconds for name in first) <= run.SECONDS
    assert run.SECONDS + parts["table"].seconds + run.GRACE <= 560


def test_what_it_runs_is_there() -> None:
    parts = run.parts(run.Settings(Path("out")), Path("logs"))
    files = [word for part in parts.values() for word in part.command if word.startswith("tests/")]
    assert len(files) == 5
    assert [file for file in files if not (ROOT / file).is_file()] == []
    assert (ROOT / "setup.py").is_file()


def options(out: Path, **more: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"part": "part", "out": out, "began": time.time(), "until": 100, "start": 0, **more})


def test_a_step_that_raises_is_a_line_and_the_next_one_runs(tmp_path: Path) -> None:
    def raises() -> rows.Row:
        raise ValueError("planted")

    out = tmp_path / "lines"
    rows.take(
        [("first", raises), ("second", lambda: {"ok": True}), ("both", lambda: [{"a": 1}, {"a": 2}])], options(out)
    )
    found = table.lines(out)
    assert [r["name"] for r in found] == ["first", "second", "both", "both"]
    assert found[0]["fault"] == "ValueError: planted"
    assert "raise ValueError" in "".join(found[0]["traceback"])
    assert list(map(table.state, found)) == ["failed", "fine", "fine", "fine"]


def test_steps_without_time_are_left_out(tmp_path: Path) -> None:
    rows.take([("first", dict)], options(tmp_path / "lines", until=-1))
    assert [table.state(r) for r in table.lines(tmp_path / "lines")] == ["left out"]


def test_a_step_that_hangs_or_breaks_the_gpu_is_left_and_the_process_begins_anew(tmp_path: Path) -> None:
    code = """
import argparse, sys, time, torch
from benchmarks.gpu import rows
rows.HUNG = 1
parser = argparse.ArgumentParser()
parser.add_argument("--began", type=float, default=time.time())
parser.add_argument("--start", type=int, default=0)
options = argparse.Namespace(**vars(parser.parse_args()), out=sys.argv[0] + ".lines", part="part", until=100)
broken = rows._is_broken
def breaks():
    rows._is_broken = lambda: True
    raise RuntimeError("an illegal memory access")
rows.take([("hangs", lambda: time.sleep(60)), ("breaks", breaks), ("last", dict)], options)
"""
    script = tmp_path / "steps.py"
    script.write_text(code)
    environment = {"PYTHONPATH": str(ROOT), "CALIG_GPU_REHEARSAL": "1", "PATH": ""}
    subprocess.run([sys.executable, str(script)], check=True, env=environment, timeout=60, cwd=ROOT)
    found = table.lines(tmp_path / "steps.py.lines")
    assert [r["name"] for r in found] == ["hangs", "breaks", "last"]
    assert [r.get("fault") for r in found] == ["hung for 1 s", "RuntimeError: an illegal memory access", None]
    assert "time.sleep(60)" in "".join(found[0]["traceback"])


def test_a_line_that_was_cut_off_is_said(tmp_path: Path) -> None:
    out = tmp_path / "lines"
    out.write_text('{"part": "ops", "name": "a", "ok": true}\n{"part": "ops", "na')
    assert list(map(table.state, table.lines(out))) == ["fine", "failed"]
    assert "FAILED results line: cut off" in table.table(table.lines(out))


@pytest.mark.parametrize("which", sized.OPERATIONS)
@pytest.mark.parametrize("lengths", [[7], [5, 1, 8]])
def test_pytorchs_calls_are_the_operation(which: str, lengths: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_pytorch, "there", lambda x: x)
    args = sized.problem(which, Batch(lengths, torch.float64, points=2, width=24, heads=3))
    call, first = in_pytorch.in_pytorch(which, args)
    wanted = sized.operation(which)(*args, backend="torch")
    out = call()
    found = out if first is None else first(out)
    if isinstance(wanted, tuple):
        wanted, found = wanted[0], found[0] if isinstance(found, tuple) else found
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-6 * float(wanted.abs().max()))


def test_products_are_those_of_the_batch() -> None:
    batch = Batch([2, 3], torch.float32)
    assert sized.products("attention_forward", batch) == 2 * 2 * batch.width * 13
    assert sized.products("norm_backward", batch) == 0


def test_times_are_of_the_call() -> None:
    calls: list[int] = []
    found = clocks.wall(lambda: calls.append(1), seconds=0, least=3)
    assert (found["repeats"], len(calls)) == (3, 3)
    assert 0 <= found["min"] <= found["ms"] <= found["max"]
    with clocks.allowing(True):
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == "highest"


def test_the_fastest_right_backend_is_chosen() -> None:
    def row(op: str, who: str, us: float | None, ok: bool = True) -> dict[str, Any]:
        time = {} if us is None else {"us": us}
        return {"part": "ops", "name": op, "operation": op, "dtype": "float32", "who": who, "ok": ok, **time}

    found = [
        {"part": "ceilings", "name": "copy", "us": 1.0, "gpu": "A card"},
        *(row("a", "cuda", us) for us in (3, 9)),
        *(row("a", "triton", us) for us in (4, 7)),
        *(row("a", "pytorch", us) for us in (1, 1)),
        row("b", "cuda", None, ok=False),
        row("b", "triton", 5.0),
        row("c", "cuda", None, ok=False),
    ]
    assert table.choices(found) == {"A card": {"a": {"float32": "triton"}, "b": {"float32": "triton"}}}


def test_every_operation_has_a_size_and_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "layouts", lambda: {"small": ([3, 5], 2)})
    steps = operations.times(options(tmp_path / "lines"))
    assert {name.split(" ")[0] for name, _ in steps} == set(sized.OPERATIONS)
    assert {sized.operation(which).__name__ for which in sized.OPERATIONS} == set(ops.operations())


def test_the_rehearsal_runs_a_part(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT}/tests/support", "CALIG_GPU_REHEARSAL": "1", "PATH": ""}
    command = [sys.executable, "-m", "benchmarks.gpu", "--out", str(out), "--part"]
    for part in ("ceilings", "table"):
        subprocess.run([*command, part], check=True, env=environment, cwd=ROOT)
    assert {r["name"] for r in table.lines(out)} == {"copy", "bfloat16", "tf32", "float32", "launch"}
    assert "ceiling copy" in (tmp_path / "table.txt").read_text()
    assert json.loads((tmp_path / "choice.json").read_text()) == {"": {}}
