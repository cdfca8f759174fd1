"""Which backend runs, what a forced one says when it cannot, and how the operations sit in PyTorch."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from calig_fast import ops
from calig_fast.ops import dispatch
from calig_fast.ops.backend import known
from calig_fast.ops.build_info import build_info
from calig_fast.ops.fuse_rollout import spec as fuse

OPERATIONS = ops.operations()
CPU = ops.backends()["cpu"]
needs_cpu = pytest.mark.skipif(CPU is not None, reason=f"cpu: {CPU}")


def arguments(op: str, dtype: torch.dtype = torch.float32) -> tuple[Any, ...]:
    cases = importlib.import_module(f"calig_fast.ops.{op}.spec").sample_cases(dtype)
    return next(c.args for c in cases if c.name.startswith("ragged"))


@pytest.mark.skipif(os.environ.get("CALIG_BUILD") == "0", reason="built with CALIG_BUILD=0")
def test_the_compiled_module_is_loaded() -> None:
    assert CPU is None, CPU


def test_backends_says_why() -> None:
    found = ops.backends()
    assert list(found) == [*reversed(known())]
    assert {"torch", "cpu", "cuda", "triton"} <= set(found)
    assert found["torch"] is None
    for name in ("triton", "cuda"):
        assert found[name] is None or "kernels" in found[name] or "GPU" in found[name] or "built" in found[name]


@needs_cpu
@pytest.mark.parametrize("op", ops.operations("cpu"))
def test_cpu_tensors_take_the_cpu_backend(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(dispatch.VARIABLE, raising=False)
    called = []
    module = importlib.import_module(f"calig_fast.ops.{op}.cpu")
    real = getattr(module, op)
    monkeypatch.setattr(module, op, lambda *args: called.append(op) or real(*args))
    getattr(ops, op)(*arguments(op))
    getattr(ops, op)(*arguments(op), backend="torch")
    assert called == [op]


@needs_cpu
def test_an_exception_is_no_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(dispatch.VARIABLE, raising=False)

    def broken(*args: Any) -> None:
        raise ArithmeticError("a kernel went wrong")

    monkeypatch.setattr(importlib.import_module("calig_fast.ops.fuse_rollout.cpu"), "fuse_rollout", broken)
    with pytest.raises(ArithmeticError, match="went wrong"):
        ops.fuse_rollout(*arguments("fuse_rollout"))


@pytest.mark.parametrize("op", OPERATIONS)
def test_a_forced_backend_that_cannot_run_says_why(op: str) -> None:
    with pytest.raises(RuntimeError, match=rf"{op}: backend 'triton' cannot run: .+; use backend='auto'"):
        getattr(ops, op)(*arguments(op), backend="triton")


def test_an_unknown_backend_is_named() -> None:
    with pytest.raises(ValueError, match=f"backend: expected one of auto, {', '.join(ops.backends())}, got 'gpu'"):
        ops.fuse_rollout(*arguments("fuse_rollout"), backend="gpu")


def test_the_environment_forces_and_the_argument_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = torch.zeros(3, 4)
    monkeypatch.setenv(dispatch.VARIABLE, "torch")
    assert ops.resolve("auto", hidden) == "torch"
    if CPU is None:
        assert ops.resolve("cpu", hidden) == "cpu"
    monkeypatch.setenv(dispatch.VARIABLE, "nonsense")
    assert ops.resolve("torch", hidden) == "torch"
    with pytest.raises(ValueError, match=r"CALIG_FAST_BACKEND: expected one of .* got 'nonsense'"):
        ops.resolve("auto", hidden)


@needs_cpu
def test_resolve_tells_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(dispatch.VARIABLE, raising=False)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        assert ops.resolve("auto", torch.zeros(2, dtype=dtype)) == "cpu"
    with pytest.raises(ValueError, match=r"no operation takes torch\.float8_e5m2"):
        ops.resolve("auto", torch.zeros(2, dtype=torch.float8_e5m2))
    assert ops.resolve("auto", torch.zeros(2, dtype=torch.float16)) == "torch"
    with pytest.raises(RuntimeError, match=r"the cpu kernels do not take torch\.float16"):
        ops.resolve("cpu", torch.zeros(2, dtype=torch.float16))
    with pytest.raises(RuntimeError, match="cpu kernels take CPU tensors"):
        ops.resolve("cpu", torch.zeros(2, device="meta"))
    assert ops.resolve("auto", torch.zeros(2, device="meta")) == "torch"


@pytest.mark.parametrize(
    ("able", "chosen"),
    [
        ({"triton", "cuda", "torch"}, "cuda"),
        ({"triton", "torch"}, "triton"),
        ({"cpu", "torch"}, "cpu"),
        ({"torch"}, "torch"),
    ],
)
def test_auto_takes_the_first_of_the_rule_that_can(
    able: set[str], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = dispatch._operations["norm_backward"]
    monkeypatch.delenv(dispatch.VARIABLE, raising=False)
    monkeypatch.setattr("calig_fast.ops.backend.triton.interpreting", lambda: False)
    monkeypatch.setattr(operation, "refusal", lambda backend, tensors: None if backend in able else "planted")
    assert operation.resolve("auto", [torch.zeros(2)]) == chosen


BODY = "def supports(*tensors):\n    return {refusal!r}\n\n\ndef {name}(x):\n    return x + {added}\n"


def sample(folder: Path, name: str, **backends: tuple[str | None, int]) -> dispatch.Operation:
    """An operation x + n, of each backend another n, and why the backend refuses."""
    package = folder / name
    package.mkdir()
    (package / "__init__.py").write_text("")
    for backend, (refusal, added) in backends.items():
        (package / f"{backend}.py").write_text(BODY.format(name=name, refusal=refusal, added=added))
    importlib.invalidate_caches()
    return dispatch.Operation(name, "(Tensor x) -> Tensor", torch.empty_like, (torch.float32,))


@pytest.fixture
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for operations, which know of no others, on a machine that has everything."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv(dispatch.VARIABLE, raising=False)
    monkeypatch.setattr(dispatch, "_operations", {})
    monkeypatch.setattr(dispatch, "_machine_lacks", lambda backend: None)
    return tmp_path


def test_a_backend_is_one_more_file(apart: Path) -> None:
    operation = sample(apart, "calig_grows", pytorch=(None, 1))
    x = torch.zeros(1)
    assert operation("auto", x).item() == 1
    for backend, refusal, added in (("triton", None, 2), ("cuda", "too small", 3)):
        (apart / f"calig_grows/{backend}.py").write_text(BODY.format(name="calig_grows", refusal=refusal, added=added))
    operation._kernels.clear()
    importlib.invalidate_caches()
    assert operation.resolve("auto", [x]) == "triton"
    assert operation("auto", x).item() == 2
    assert torch.ops.calig_fast.calig_grows(x).item() == 1
    with pytest.raises(RuntimeError, match="'cuda' cannot run: too small"):
        operation("cuda", x)


def test_an_operation_without_a_kernel_of_the_backend_takes_another(
    apart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = sample(apart, "calig_both", pytorch=(None, 1), cuda=(None, 2))
    other = sample(apart, "calig_other", pytorch=(None, 3), cpu=("too large", 4))
    x = torch.zeros(1)
    assert (both("cuda", x).item(), other("cuda", x).item()) == (2, 3)
    assert ops.resolve("cuda", x) == "cuda+torch"
    with pytest.raises(RuntimeError, match="calig_other: backend 'cpu' cannot run: too large"):
        ops.resolve("cpu", x)
    monkeypatch.setattr(dispatch, "_machine_lacks", lambda backend: "no GPU" if backend == "cuda" else None)
    for operation in (both, other):
        with pytest.raises(RuntimeError, match=f"{operation.name}: backend 'cuda' cannot run: no GPU; use"):
            operation("cuda", x)


@pytest.mark.parametrize("backend", [n for n, r in ops.backends().items() if r is None])
def test_no_gradient_flows_through(backend: str) -> None:
    start, end, *rest = arguments("interpolate_path")
    assert not ops.interpolate_path(start.requires_grad_(), end, *rest, backend=backend).requires_grad


@pytest.mark.parametrize("op", OPERATIONS)
def test_pytorch_finds_nothing_to_complain_of(op: str) -> None:
    for dtype in (torch.float32, torch.float64):
        found = torch.library.opcheck(getattr(torch.ops.calig_fast, op).default, arguments(op, dtype))
        assert set(found.values()) == {"SUCCESS"}, found


@pytest.mark.parametrize("op", OPERATIONS)
def test_fake_tensors_have_the_shapes_of_real_ones(op: str) -> None:
    args = arguments(op)
    real = getattr(torch.ops.calig_fast, op)(*args)
    with FakeTensorMode(shape_env=ShapeEnv()) as mode:
        fakes = [
            [mode.from_tensor(t) for t in a] if isinstance(a, list) else mode.from_tensor(a) if hasattr(a, "dim") else a
            for a in args
        ]
        fake = getattr(torch.ops.calig_fast, op)(*fakes)
    for r, f in zip(*[x if isinstance(x, tuple) else (x,) for x in (real, fake)], strict=True):
        assert (r.dtype, r.dim()) == (f.dtype, f.dim())
        assert [n for n, m in zip(r.shape, f.shape, strict=True) if isinstance(m, int) and n != m] == []


@needs_cpu
@pytest.mark.parametrize("capability", ["default", "avx2"])
def test_every_instruction_set_gives_the_values(capability: str) -> None:
    info = build_info()
    order = info.instruction_sets
    if capability not in order or order.index(capability) > order.index(info.instruction_set or "default"):
        pytest.skip(f"{capability}: this machine runs {info.instruction_set}, compiled are {', '.join(order)}")
    code = (
        "import sys, pytest; from calig_fast.ops.build_info import build_info; used = build_info().instruction_set; "
        f"assert used == {capability!r}, used; "
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-k', 'cpu or threads', sys.argv[1]]))"
    )
    values = Path(__file__).with_name("test_values.py")
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": capability}
    done = subprocess.run([sys.executable, "-c", code, values], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_cpu
def test_the_compiled_operations_check_what_they_read() -> None:
    start, end, offsets, inputs, nodes = arguments("interpolate_path")
    raw = torch.ops.calig_fast.interpolate_path
    with pytest.raises(RuntimeError, match="offsets: must start at 0 and end at the number of tokens"):
        raw(start, end, offsets + 1, inputs, nodes)
    with pytest.raises(RuntimeError, match="inputs: 11 names no input"):
        raw(start, end, offsets, inputs + 9 - inputs.min(), nodes)
    relevance, attention, *rest = arguments("fuse_rollout")
    with pytest.raises(RuntimeError, match="attention: expected"):
        torch.ops.calig_fast.fuse_rollout(relevance, attention[1:], *rest)
    with pytest.raises(RuntimeError, match="attention_scale: unknown scale 'mean'"):
        torch.ops.calig_fast.fuse_rollout(*arguments("fuse_rollout")[:8], "mean")
    g, x, mean, *rest = arguments("norm_backward")
    with pytest.raises(RuntimeError, match="mean: expected"):
        torch.ops.calig_fast.norm_backward(g, x, mean[1:], *rest)
    with pytest.raises(RuntimeError, match="x: expected"):
        torch.ops.calig_fast.norm_backward(g, x[1:], mean, *rest)
    g, inner, *_ = arguments("activation_backward")
    with pytest.raises(RuntimeError, match=r"gradient and inner: expected \[R, I\] with \[R, 2I\]"):
        torch.ops.calig_fast.activation_backward(g, inner, "gelu", True)
    with pytest.raises(RuntimeError, match="kind: unknown activation 'tanh'"):
        torch.ops.calig_fast.activation_backward(g, inner, "tanh")
    for op in ("attention_forward", "attention_backward"):
        for bias in (torch.zeros(3, 32, 32), torch.zeros(3, 33, 33).double(), torch.zeros(33, 33)):
            with pytest.raises(RuntimeError, match="bias: expected"):
                getattr(torch.ops.calig_fast, op)(*arguments(op), bias=bias)


def test_the_sample_cases_cover_every_scale() -> None:
    cases = fuse.sample_cases(torch.float32)
    assert {c.args[7] for c in cases} == set(fuse.RELEVANCE_SCALES)
    assert {c.args[8] for c in cases} == set(fuse.ATTENTION_SCALES)
