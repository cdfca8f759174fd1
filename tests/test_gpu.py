"""On a GPU: an explanation is that of the CPU, for every family, by every backend that runs there."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import IMAGE, TEXT, inputs, tiny
from torch import Tensor
from torch.utils._pytree import tree_map_only

from calig_fast import explain, ops

ROOT = Path(__file__).resolve().parent.parent
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
BACKENDS = [name for name in ("reference", "triton", "cuda") if ops.backends()[name] is None]


def on_gpu(kind: str) -> tuple[Any, Any]:
    """A family's tiny model and its inputs, on the GPU."""
    return copy.deepcopy(tiny(kind)).cuda(), tree_map_only(Tensor, Tensor.cuda, inputs(kind))


def far(found: Tensor, wanted: Tensor) -> float:
    """The largest error, in parts of the largest value."""
    difference = (found.cpu().double() - wanted.double()).abs().nan_to_num().max()
    return float(difference / wanted.abs().nan_to_num().max())


@needs_gpu
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", [*TEXT, *IMAGE])
def test_explain_on_a_gpu_is_that_on_the_cpu(kind: str, backend: str) -> None:
    model, call = on_gpu(kind)
    fixed = {"engine": "native", "n_steps": 8, "quadrature": "gausslegendre"}
    wanted = explain(tiny(kind), inputs(kind), target=0, backend="reference", **fixed)
    found = explain(model, call, target=0, backend=backend, **fixed)
    for name in ("scores", "layer_scores"):
        assert torch.equal(getattr(found, name).cpu().isnan(), getattr(wanted, name).isnan())
        assert far(getattr(found, name), getattr(wanted, name)) < 1e-4, name


@needs_gpu
@pytest.mark.parametrize("kind", ["bert", "vit"])
def test_bfloat16_on_a_gpu_is_no_further_off_than_on_the_cpu(kind: str) -> None:
    model, call = on_gpu(kind)
    fixed = {"engine": "native", "n_steps": 8, "quadrature": "gausslegendre"}
    exact = explain(tiny(kind), inputs(kind), target=0, **fixed).layer_scores
    plain = explain(tiny(kind), inputs(kind), target=0, dtype=torch.bfloat16, **fixed).layer_scores
    found = explain(model, call, target=0, dtype=torch.bfloat16, **fixed).layer_scores
    assert far(found, exact) <= 2 * far(plain, exact) + 4 * torch.finfo(torch.bfloat16).eps


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
