"""The Triton kernels: values in the interpreter, in a process of its own, and machine code compiled without a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from calig_fast import explain, ops
from calig_fast.ops.backend.triton import interpreting
from calig_fast.ops.dispatch import VARIABLE

pytest.importorskip("triton")

OPERATIONS = ops.operations("triton")
VARIED = [op for op in OPERATIONS if hasattr(import_module(f"calig_fast.ops.{op}.triton"), "variants")]
HERE = Path(__file__)
interpreted = pytest.mark.skipif(not interpreting(), reason="run by test_the_interpreter_agrees, in its own process")
compiled = pytest.mark.skipif(interpreting(), reason="the interpreter compiles nothing")


@compiled
def test_the_interpreter_agrees() -> None:
    """Every test of test_values.py of the triton backend, and the tests of this file marked `interpreted`."""
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    files = [str(HERE.with_name("test_values.py")), str(HERE)]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "triton", *files]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=HERE.parents[2])
    assert done.returncode == 0, done.stdout + done.stderr


@compiled
def test_importing_the_package_imports_no_triton() -> None:
    code = "import sys, calig_fast.ops; sys.exit('triton' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@compiled
@pytest.mark.parametrize("op", VARIED)
@pytest.mark.parametrize("arch", ["sm_90", "gfx942"])
def test_no_kernel_spills(op: str, arch: str) -> None:
    from tools.kernel_checks.gates import memory_bound
    from tools.kernel_checks.triton_compile import reports

    for report in reports((op,), (arch,)):
        assert (report.stack, report.spills) == (0, 0), report
        if memory_bound(op):
            for access in import_module(f"calig_fast.ops.{op}.sizes").WIDE_ACCESSES:
                assert getattr(report, f"{access}s")[0] > 0, report


@compiled
@pytest.mark.parametrize("op", VARIED)
def test_every_kernel_compiles_where_all_counts_are_one(op: str) -> None:
    """A launch makes a number that is 1 a constant, which cannot do all that a number can; the interpreter does not."""
    from tools.kernel_checks import triton_compile

    seen = set()
    for variant, constants, config in triton_compile.problems(op, torch.float32, "sm_90"):
        kernel = triton_compile.kernel_of(op, variant)
        ones = {n: 1 for n in kernel.arg_names if triton_compile.argument(op, n) == "i32"}
        if (kernel, "bias" in variant) not in seen:
            counts = {**ones, **constants}
            triton_compile.measure(op, torch.float32, variant, constants=counts, config=config, arch="sm_90")
        seen.add((kernel, "bias" in variant))


@interpreted
def test_auto_takes_no_interpreted_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = torch.zeros(3, 4)
    monkeypatch.delenv(VARIABLE, raising=False)
    assert ops.backends()["triton"] is None
    assert ops.resolve("auto", hidden) != "triton"
    assert ops.resolve("triton", hidden) == "triton"
    assert ops.resolve("triton", torch.zeros(3, 768)) == "triton", "rows of any width, though heads are narrow"
    monkeypatch.setenv(VARIABLE, "triton")
    assert ops.resolve("auto", hidden) == "triton"


@interpreted
def test_what_the_kernels_refuse_is_said() -> None:
    norm = ops.norm_backward
    wide, ones = torch.zeros(1, 16385), torch.ones(1, 1)
    with pytest.raises(RuntimeError, match="rows of 16385, the triton kernels hold at most 16384"):
        norm(wide, wide, ones, ones, backend="triton")
    qkv, offsets = torch.zeros(1, 3, 1, 129), torch.tensor([0, 1])
    with pytest.raises(RuntimeError, match="heads of 129, the triton kernels hold at most 128"):
        ops.attention_forward(qkv, offsets, 1, 1.0, backend="triton")
    with pytest.raises(RuntimeError, match=r"attention do not take torch\.float64"):
        ops.attention_forward(qkv.double(), offsets, 1, 1.0, backend="triton")
    with pytest.raises(RuntimeError, match="a tensor is on meta, the triton kernels take those of a GPU"):
        ops.resolve("triton", torch.zeros(2, 2, device="meta"))


@interpreted
@pytest.mark.parametrize("op", OPERATIONS)
def test_small_tiles_give_what_large_ones_give(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [
        c for c in import_module(f"calig_fast.ops.{op}.spec").sample_cases(torch.float32) if c.name.startswith("ragged")
    ]
    for case in cases[:6]:
        large = getattr(ops, op)(*case.args, backend="triton")
        with monkeypatch.context() as patch:
            patch.setattr("calig_fast.ops.triton._INTERPRETED", {"ROWS": 2, "HELD": 16, "MET": 32})
            small = getattr(ops, op)(*case.args, backend="triton")
        torch.testing.assert_close(small, large, rtol=1e-5, atol=1e-5)


@interpreted
@pytest.mark.parametrize("kind", ["bert", "vit", "dinov2", "dinov2-gated"])
def test_explain_gives_what_the_reference_gives(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of block, and heads that read the first row alone or all rows, through every operation."""
    from helpers.large_problems import called
    from helpers.tiny_models import ids, pixels, tiny

    ran: list[tuple[str, str]] = []
    for op in OPERATIONS:
        operation = ops.dispatch._operations[op]
        monkeypatch.setattr(operation, "resolve", _watched(operation.resolve, op, ran))
    call = ids(9, 6) if kind == "bert" else pixels(1)

    def run(backend: str) -> Any:
        # the same nodes, so that none of the difference is the rule's
        return explain(tiny(kind), call, engine="native", backend=backend, quadrature="gausslegendre", n_steps=2)

    found = run("triton")
    counts = Counter(ran)
    assert set(counts) == {(op, "triton") for op in called("triton")}
    assert found.backend == "triton"
    # the ends and a wave, up and down, through every block but a pooled one; and the result's record, which asks once
    passed = 2 * (found.layer_scores.shape[1] - (kind in ("bert", "vit")))
    assert counts["attention_forward", "triton"] >= passed + 1
    # and on the way back of the ends each block asks whether its maps come from elsewhere
    asks = found.layer_scores.shape[1] - (kind in ("bert", "vit"))
    assert counts["attention_backward", "triton"] >= passed + asks + 1
    wanted = run("torch")
    for name in ("scores", "layer_scores"):
        f, w = getattr(found, name), getattr(wanted, name)
        torch.testing.assert_close(f, w, rtol=1e-5, atol=1e-5 * float(w.abs().nan_to_num().max()), equal_nan=True)


def _watched(real: Any, op: str, ran: list[tuple[str, str]]) -> Any:
    def resolve(backend: str, tensors: Any) -> str:
        ran.append((op, real(backend, tensors)))
        return ran[-1][1]

    return resolve
