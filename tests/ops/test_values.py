"""Every operation on every usable backend against its float64 definition; fresh memory is filled with nan first."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from helpers.large_problems import LONG_FLOOR, in_float64, large, longest
from torch import Tensor
from torch.utils._pytree import tree_map_only

from calig_fast import ops
from calig_fast.ops.activation_backward import spec as activation
from calig_fast.ops.backend.triton import interpreting
from calig_fast.ops.samples import Case

OPERATIONS = ops.operations()
USABLE = [name for name, reason in ops.backends().items() if reason is None]
ON_GPU = () if interpreting() else ("cuda", "triton")  # take tensors of a GPU alone; the cases are made on the CPU

# A backend's error is at most twice plain PyTorch's in the same dtype, plus FLOOR eps of the largest exact value, or
# the eps that FLOORS of its spec.py gives for a dtype; plain PyTorch's own error is at most REFERENCE eps of it.
FLOOR, REFERENCE = 4, 64


def spec_of(op: str) -> ModuleType:
    return importlib.import_module(f"calig_fast.ops.{op}.spec")


def floor_of(op: str, dtype: torch.dtype) -> int:
    return getattr(spec_of(op), "FLOORS", {}).get(dtype, FLOOR)


def call(op: str, *args: Any, backend: str) -> Any:
    """The operation where the backend runs; what it found, on the CPU."""
    device = "cuda" if backend in ON_GPU else "cpu"
    found = getattr(ops, op)(*tree_map_only(Tensor, lambda t: t.to(device), args), backend=backend)
    return tree_map_only(Tensor, Tensor.cpu, found)


def run(op: str, case: Case, backend: str) -> tuple[Tensor, ...]:
    got = call(op, *case.args, backend=backend)
    return got if isinstance(got, tuple) else (got,)


def has(op: str, backend: str) -> bool:
    """Return True if the backend has a kernel of the operation."""
    return backend in ops.dispatch._operations[op].files


def error(got: Tensor, wanted: Tensor) -> float:
    return float((got.double() - wanted).abs().max()) if wanted.numel() else 0.0


def within(got: Tensor, wanted: Tensor, reference: Tensor | None, floor: float = FLOOR) -> bool:
    """The rule above; False for a nan, which no comparison accepts."""
    unit = torch.finfo(got.dtype).eps * (float(wanted.abs().max()) if wanted.numel() else 0.0)
    if reference is None:
        return error(got, wanted) <= REFERENCE * unit
    return error(got, wanted) <= 2 * error(reference, wanted) + floor * unit


PROBLEMS = [(op, dtype) for op in OPERATIONS for dtype in spec_of(op).DTYPES]
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
RUNS = [(backend, dtype) for backend in USABLE for dtype in DTYPES if (backend, dtype) != ("cpu", torch.float16)]


@pytest.fixture(autouse=True)
def _poison() -> Iterator[None]:
    """Uninitialised floating memory is nan while a test runs."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(before)


@pytest.mark.parametrize(
    ("op", "backend", "dtype"),
    [
        (op, backend, dtype)
        for op in OPERATIONS
        for backend, dtype in RUNS
        if dtype in spec_of(op).DTYPES
        and has(op, backend)
        and not (op.startswith("attention") and (backend, dtype) == ("triton", torch.float64))
    ],
)
def test_values(op: str, dtype: torch.dtype, backend: str) -> None:
    spec, floor = spec_of(op), floor_of(op, dtype)
    for case in spec.sample_cases(dtype):
        wanted, got, reference = spec.exact(*case.args), run(op, case, backend), run(op, case, "torch")
        assert len(got) == len(wanted), case.name
        for g, w, r in zip(got, wanted, reference, strict=True):
            assert (g.shape, g.dtype) == (w.shape, r.dtype), case.name
            fits = within(g, w, None if backend == "torch" else r, floor)
            assert fits, f"{case.name}: {error(g, w)}, {error(r, w)}"


@pytest.mark.parametrize(("op", "dtype"), PROBLEMS)
def test_the_rule_refuses_a_small_mistake(op: str, dtype: torch.dtype) -> None:
    case = next(c for c in spec_of(op).sample_cases(dtype) if c.name.startswith("ragged"))
    wanted, reference = spec_of(op).exact(*case.args)[0], run(op, case, "torch")[0]
    wrong = reference.clone()
    worst = wanted.abs().argmax()
    wrong.view(-1)[worst] *= 1 + 2 * REFERENCE * torch.finfo(wrong.dtype).eps
    missing = reference.clone()
    missing.view(-1)[0] = torch.nan
    floor = floor_of(op, dtype)
    for rule in (None, reference):
        assert not within(wrong, wanted, rule, floor)
        assert not within(missing, wanted, rule, floor)


@pytest.mark.parametrize(("backend", "dtype"), RUNS)
def test_the_ends_of_a_path_are_exact(dtype: torch.dtype, backend: str) -> None:
    start, end = torch.randn(5, 67).to(dtype) * 1e3, torch.randn(5, 67).to(dtype)
    where = torch.tensor([0, 5]), torch.tensor([0, 0]), torch.tensor([0.0, 1.0])
    points = call("interpolate_path", start, end, *where, backend=backend)
    assert torch.equal(points, torch.cat([start, end]))


@pytest.mark.parametrize(("backend", "dtype"), RUNS)
def test_rows_before_a_path_stay_as_they_are(dtype: torch.dtype, backend: str) -> None:
    wide = torch.promote_types(dtype, torch.float32)
    ends, before = torch.randn(2, 5, 67).to(dtype).to(wide), torch.randn(9, 67).to(dtype)
    where = torch.tensor([0, 5]), torch.tensor([0, 0]), torch.tensor([0.0, 1.0])
    joined = call("interpolate_path", *ends, *where, 10, before, backend=backend)
    assert torch.equal(joined, torch.cat([before, *ends.to(dtype)]))


@pytest.mark.parametrize("backend", USABLE)
def test_bfloat16_rounds_to_nearest_even_and_keeps_nan_and_infinity(backend: str) -> None:
    start = torch.tensor([[1.0, 1.0, -3.0, torch.nan, torch.inf]]).bfloat16()
    end = torch.tensor([[1.0078125, 1.015625, 5.0, 1.0, torch.inf]]).bfloat16()
    where = torch.tensor([0, 1]), torch.tensor([0, 0]), torch.tensor([0.5, 0.0])
    points = call("interpolate_path", start, end, *where, backend=backend)
    assert points[0, :3].tolist() == [1.0, 1.0078125, 1.0]
    assert points[0, 3].isnan()
    assert torch.equal(points[1, :3], start[0, :3])
    in_pytorch = ops.dispatch._operations["interpolate_path"].kernel(backend).endswith(".pytorch")
    assert points[1, 4] == torch.inf or in_pytorch


@pytest.mark.parametrize("backend", USABLE)
def test_a_nan_that_is_read_is_not_lost(backend: str) -> None:
    offsets, ones = torch.tensor([0, 40]), torch.ones(40)
    for scale in ("sum", "max", "none"):
        attention = torch.ones(1600)
        attention[700] = torch.nan
        row, _ = call("fuse_rollout", ones, attention, offsets, ones, ones, 0.5, 1.0, "max", scale, backend=backend)
        assert row.isnan().any(), scale


@pytest.mark.skipif("cpu" not in USABLE, reason=f"cpu: {ops.backends()['cpu']}")
@pytest.mark.parametrize("backward", [False, True])
def test_a_row_of_a_product_depends_on_no_other(backward: bool) -> None:
    x, weight = torch.randn(1500, 500), torch.randn(500, 500)
    whole = ops.linear(x, weight, backward=backward, backend="cpu")
    for rows in (slice(0, 1), slice(3, 16), slice(700, 1300)):
        assert torch.equal(ops.linear(x[rows], weight, backward=backward, backend="cpu"), whole[rows])


@pytest.mark.skipif("cpu" not in USABLE, reason=f"cpu: {ops.backends()['cpu']}")
@pytest.mark.parametrize("op", OPERATIONS)
def test_threads_change_no_bit(op: str) -> None:
    before, case, found = torch.get_num_threads(), Case("large", large(op)), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(run(op, case, "cpu"))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("backend", USABLE)
@pytest.mark.parametrize("op", OPERATIONS)
def test_a_large_problem_agrees(op: str, backend: str) -> None:
    agrees(op, large(op), backend)


@pytest.mark.parametrize("backend", USABLE)
@pytest.mark.parametrize("op", OPERATIONS)
def test_an_input_of_4096_tokens_agrees(op: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if interpreting():  # fewer and larger tiles: a second and a half, not 40 s, for a map
        monkeypatch.setattr("calig_fast.ops.triton._INTERPRETED", {"ROWS": 64, "HELD": 512, "MET": 512})
    on_a_gpu = backend in ("triton", "cuda")
    agrees(op, longest(op), backend, LONG_FLOOR if op.startswith("attention") and on_a_gpu else FLOOR)


def agrees(op: str, args: tuple[Any, ...], backend: str, floor: float = FLOOR) -> None:
    """That the backend keeps the rule."""
    if not has(op, backend):
        pytest.skip(f"no {backend} kernel of {op}")
    wanted, reference = in_float64(op, args), run(op, Case("", args), "torch")
    for g, w, r in zip(run(op, Case("", args), backend), wanted, reference, strict=True):
        assert within(g, w, None if backend == "torch" else r, floor), (error(g, w), error(r, w))


@pytest.mark.parametrize("backend", USABLE)
def test_a_batch_gives_what_single_calls_give(backend: str) -> None:
    gradients, directions, offsets, inputs, weights, _ = large("accumulate_gradients")
    _, r, _ = call("accumulate_gradients", gradients, directions, offsets, inputs, weights, backend=backend)
    first = torch.cat([torch.tensor([0]), offsets.diff()[inputs].cumsum(0)])
    for b in range(3):
        mine = [s for s in range(len(inputs)) if inputs[s] == b]
        rows = torch.cat([gradients[0][first[s] : first[s + 1]] for s in mine])
        here = directions[0][offsets[b] : offsets[b + 1]]
        alone = torch.tensor([0, len(here)]), torch.zeros(len(mine), dtype=torch.int64), weights[mine]
        single = call("accumulate_gradients", [rows], [here], *alone, backend=backend)[1]
        torch.testing.assert_close(single, r[offsets[b] : offsets[b + 1]], rtol=1e-5, atol=1e-4)


SPECIAL = [
    0.0,
    -0.0,
    1e-30,
    1.0,
    -1.0,
    5.0,
    -5.0,
    30.0,
    200.0,
    -200.0,
    1e15,
    -1e15,
    torch.inf,
    -torch.inf,
    torch.nan,
]


@pytest.mark.parametrize(("backend", "dtype"), RUNS)
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("kind", activation.KINDS)
def test_infinities_and_nan_end_as_in_pytorch(kind: str, gated: bool, dtype: torch.dtype, backend: str) -> None:
    inner, gradient = (x.flatten()[None].to(dtype) for x in torch.meshgrid(*[torch.tensor(SPECIAL)] * 2, indexing="ij"))
    if gated:
        inner = torch.cat([inner, torch.ones_like(inner)], -1)
    found = call("activation_backward", gradient, inner, kind, gated, backend=backend)
    plain = call("activation_backward", gradient, inner, kind, gated, backend="torch")
    if gated and kind == "gelu":  # torch's own gelu of an infinity is nan where its loop is vectorised, inf elsewhere
        known = ~inner[:, : gradient.shape[1]].isinf().repeat(1, 2)
        found, plain = found[known], plain[known]
    assert torch.equal(found.isnan(), plain.isnan())
    assert torch.equal(found.isinf(), plain.isinf())
    assert torch.equal(found[found.isinf()], plain[plain.isinf()])


@pytest.mark.parametrize(("backend", "dtype"), [run for run in RUNS if run[0] != "torch"])
@pytest.mark.parametrize("kind", activation.KINDS)
def test_slopes_keep_the_rule_on_a_fine_grid(kind: str, dtype: torch.dtype, backend: str) -> None:
    for low, high in ((-0.01, 0.01), (-4.0, 4.0), (-40.0, -4.0), (4.0, 40.0)):
        u = torch.linspace(low, high, 40001, dtype=torch.float64).to(dtype)[None]
        inner, one = torch.cat([u, torch.ones_like(u)], -1), torch.ones_like(u)
        (wanted,) = activation.exact(one, inner, kind, True)
        found = call("activation_backward", one, inner, kind, True, backend=backend)
        plain = call("activation_backward", one, inner, kind, True, backend="torch")
        for f, w, p in zip(found.chunk(2, -1), wanted.chunk(2, -1), plain.chunk(2, -1), strict=True):
            assert within(f, w, p), (low, error(f, w), error(p, w))


@pytest.mark.parametrize("backend", USABLE)
def test_the_slope_of_relu_at_zero_is_zero(backend: str) -> None:
    inner = torch.tensor([[0.0, -0.0, 1e-38, -1e-38]])
    assert call("activation_backward", torch.ones(1, 4), inner, "relu", backend=backend).tolist() == [[0, 0, 1, 0]]


@pytest.mark.parametrize(("backend", "dtype"), RUNS)
def test_the_statistics_are_what_native_layer_norm_returns(dtype: torch.dtype, backend: str) -> None:
    x, g, weight = torch.randn(9, 33).to(dtype), torch.randn(9, 33).to(dtype), torch.randn(33).to(dtype)
    _, mean, deviation = torch.ops.aten.native_layer_norm(x, (33,), weight, None, 1e-5)
    before = x.clone(), g.clone()
    found = call("norm_backward", g, x, mean, deviation, weight, g, backend=backend)
    leaf = x.double().requires_grad_()
    torch.nn.functional.layer_norm(leaf, (33,), weight.double(), None, 1e-5).backward(g.double())
    tolerance = 40 * torch.finfo(dtype).eps
    torch.testing.assert_close(found.double(), leaf.grad + g.double(), rtol=tolerance, atol=tolerance)
    assert torch.equal(x, before[0])
    assert torch.equal(g, before[1])


@pytest.mark.parametrize(("backend", "dtype"), RUNS)
def test_the_norm_of_a_sum_gives_what_its_gradient_needs(dtype: torch.dtype, backend: str) -> None:
    x, residual, g = torch.randn(3, 9, 33).to(dtype)
    weight, bias = torch.randn(2, 33).to(dtype)
    before = x.clone(), residual.clone()
    out, y, mean, deviation = call("add_norm", x, residual, weight, bias, 1e-5, backend=backend)
    torch.testing.assert_close(y, x + residual, rtol=torch.finfo(dtype).eps, atol=0)
    leaf = y.double().requires_grad_()
    exact = torch.nn.functional.layer_norm(leaf, (33,), weight.double(), bias.double(), 1e-5)
    exact.backward(g.double())
    found = call("norm_backward", g, y, mean, deviation, weight, backend=backend)
    tolerance = 40 * torch.finfo(dtype).eps
    torch.testing.assert_close(out.double(), exact.detach(), rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(found.double(), leaf.grad, rtol=tolerance, atol=tolerance)
    assert torch.equal(x, before[0])
    assert torch.equal(residual, before[1])


@pytest.mark.parametrize("backend", USABLE)
def test_a_nan_of_a_row_stays_in_its_row(backend: str) -> None:
    g, x, mean, deviation = torch.randn(3, 20), torch.randn(3, 20), torch.zeros(3, 1), torch.ones(3, 1)
    g[1, 7] = torch.nan
    found = call("norm_backward", g, x, mean, deviation, backend=backend)
    assert found.isnan().all(1).tolist() == [False, True, False]
    assert not found[::2].isnan().any()
