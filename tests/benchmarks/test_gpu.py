"""`make gpu` on a machine without a GPU: nothing is written; its logic on a GPU that is feigned by the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers.small_work import bert

from benchmarks import gpu, gpu_times, page, truth
from calig_fast import ops
from calig_fast.bench import machine
from calig_fast.bench import operations as sized
from calig_fast.ops.model_sizes import WIDTH

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_run_and_nothing_written(tmp_path: Path) -> None:
    results = ROOT / "benchmarks" / "results"
    before = {path: path.stat().st_mtime_ns for path in results.iterdir()}
    command = [sys.executable, "-m", "benchmarks.gpu", "--out", str(tmp_path / "out.json")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "no GPU that torch can use: nothing was run, nothing written\n"
    assert list(tmp_path.iterdir()) == []
    assert {path: path.stat().st_mtime_ns for path in results.iterdir()} == before


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_times, "FLUSH_BYTES", 64)
    monkeypatch.setattr(sized, "LAYOUTS", {"small": [3, 5]})


@pytest.fixture
def feigned(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "torch", SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: True)))
    about = machine.describe
    monkeypatch.setattr(machine, "describe", lambda: {**about(), "gpu": "Feigned H100 80GB"})
    monkeypatch.setattr(gpu, "tests", lambda: "7 passed")
    monkeypatch.setattr(gpu.shutil, "which", lambda name: None)
    monkeypatch.setattr(gpu_times, "operations", partial(gpu_times.operations, device="cpu", repeats=2))
    explained = partial(gpu_times.explanations, device="cpu", repeats=1, make=bert)
    monkeypatch.setattr(gpu_times, "explanations", explained)


def later() -> float:
    return time.monotonic() + 1000


def test_every_operation_is_timed_and_related_to_the_peak(small: None) -> None:
    rows, left_out = gpu_times.operations("NVIDIA H100 80GB HBM3", later(), "cpu", 2)
    assert left_out == 0
    assert {(r["op"], r["dtype"]) for r in rows} == set(sized.PROBLEMS)
    assert {sized.operation(r["op"]).__name__ for r in rows} == set(ops.dispatch._operations)
    for r in rows:
        assert r["backend"] == "torch"
        assert 0 < r["p20"] <= r["median"] <= r["p80"]
        assert 0 < r["share"] < 1
    assert all(r["share"] is None for r in gpu_times.operations("another", later(), "cpu", 1)[0])


def test_a_share_is_of_what_bounds_the_operation() -> None:
    peak = gpu_times.PEAKS["H100"]
    assert peak.seconds(3_350_000, 0, "float32") == pytest.approx(1e-6)
    assert peak.seconds(3_350_000, 67_000_000_000, "float32") == pytest.approx(1e-3)
    assert peak.seconds(3_350_000, 67_000_000_000, "bfloat16") == pytest.approx(67 / 989 * 1e-3)
    assert sized.products("attention_forward", [2, 3]) == 2 * 2 * WIDTH * 13
    assert sized.products("norm_backward", [2, 3]) == 0


def test_a_wrong_operation_is_not_timed(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sized, "agree", lambda *args: False)
    with pytest.raises(truth.RedGateError, match=f"{sized.OPERATIONS[0]} float32 small on torch: the answer is wrong"):
        gpu_times.operations("H100", later(), "cpu", 1)


def test_what_there_is_no_time_for_is_counted(small: None) -> None:
    rows, left_out = gpu_times.operations("H100", time.monotonic() - 1, "cpu", 1)
    assert (rows, left_out) == ([], len(sized.PROBLEMS))
    rows, left_out = gpu_times.explanations(time.monotonic() - 1, "cpu", 1, bert)
    assert (rows, left_out) == ([], len(gpu_times.WAYS))


def test_a_wrong_explanation_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_times, "worst_error", lambda *args: 5e-2)
    with pytest.raises(truth.RedGateError, match="on a GPU, ours against the converged reference: 5"):
        gpu_times.explanations(later(), "cpu", 1, bert)


def test_all_of_it_is_written(feigned: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "argv", ["gpu"])
    gpu.main()
    assert {path.name for path in tmp_path.iterdir()} == {"feigned-h100-80gb.json", "feigned-h100-80gb.md"}
    found = json.loads((tmp_path / "feigned-h100-80gb.json").read_text())
    assert len(found["explanations"]) == len(gpu_times.WAYS)
    assert {r["dtype"] for r in found["explanations"] if "Captum" in r["who"]} == {"float32", "bfloat16"}
    assert all(r["error"] < 0.2 for r in found["explanations"] if "ours" in r["who"])
    text = (tmp_path / "feigned-h100-80gb.md").read_text()
    assert "# Feigned H100 80GB" in text
    assert "7 passed" in text
    assert "memcheck: compute-sanitizer is not installed" in text
    assert text.count("| attention_gradient | bfloat16 | small | torch |") == 1
    assert text.count("Captum loop") == 2
    assert "Left out for want of time: 0 operations, 0 contenders." in text
    page.write(tmp_path, tmp_path / "performance.md")  # which reads every result of the folder


def test_a_red_gate_writes_nothing(feigned: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "argv", ["gpu"])
    monkeypatch.setattr(gpu_times, "worst_error", lambda *args: float("nan"))
    with pytest.raises(SystemExit, match="no time is reported"):
        gpu.main()
    assert list(tmp_path.iterdir()) == []


def test_each_tool_of_the_sanitizer_runs_the_cuda_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(gpu.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(gpu, "_last_line", lambda command, seconds: commands.append(command) or "8 passed")
    assert gpu.sanitizer() == {"memcheck": "8 passed", "racecheck": "8 passed"}
    assert [command[1:3] for command in commands] == [["--tool", "memcheck"], ["--tool", "racecheck"]]
    assert all(command[-3:] == list(gpu.SANITIZED) for command in commands)


def test_a_failure_or_a_hanging_part_ends_it() -> None:
    with pytest.raises(SystemExit, match="said"):
        gpu._last_line([sys.executable, "-c", "print('said'); raise SystemExit(3)"], 60)
    with pytest.raises(SystemExit, match="not done in 1 s"):
        gpu._last_line([sys.executable, "-c", "import time; time.sleep(60)"], 1)
    assert gpu._last_line([sys.executable, "-c", "print('a'); print('b')"], 60) == "b"


def test_it_fits_ten_minutes() -> None:
    assert sum(gpu.LIMITS.values()) + (len(gpu.TOOLS) - 1) * gpu.LIMITS["sanitizer"] <= 600


def test_what_it_runs_is_there() -> None:
    for path in (*gpu.TESTS, gpu.SANITIZED[0]):
        assert (ROOT / path).is_file()
