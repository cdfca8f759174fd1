"""The card's ceilings; every operation on it: its values, and its times."""

from __future__ import annotations

import argparse
from functools import lru_cache, partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from .clocks import allowing, back_to_back, cold, recorded, there
from .rows import BACKENDS, DEVICE, DTYPES, HEADS, REHEARSAL, TOKENS, WIDTH, Row, Step
from .table import lines

# the package is imported by the steps that need it: `ceilings` runs while it is compiled
OF_ROWS = ("linear", "activation", "attention")  # their sizes are rows alone: a wave has the rows of all points


def ceilings(options: argparse.Namespace) -> list[Step]:
    """Rates of this card: GB/s of a copy, TFLOP/s of a product, microseconds of a launch."""
    n, side = (2**12, 64) if REHEARSAL else (2**30, 8192)

    def copied() -> Row:
        a = torch.empty(n, device=DEVICE).uniform_()
        b = torch.empty_like(a)
        took = cold(lambda: b.copy_(a))
        return {"gb_s": 2 * 4 * n / took / 1e3, "us": took, "gpu": None if REHEARSAL else torch.cuda.get_device_name()}

    def product(dtype: str, tf32: bool) -> Row:
        a, b = (torch.randn(side, side, device=DEVICE, dtype=DTYPES[dtype]) for _ in range(2))
        with allowing(tf32):
            back_to_back(lambda: a @ b, 3)
            took = cold(lambda: a @ b, 10)
        return {"tflop_s": 2 * side**3 / took / 1e6, "us": took}

    def launch() -> Row:
        x = torch.zeros(1, device=DEVICE)
        return {"us": min(back_to_back(lambda: x.add_(1), 300) for _ in range(5))}

    return [
        ("copy", copied),
        ("bfloat16", partial(product, "bfloat16", False)),
        ("tf32", partial(product, "float32", True)),
        ("float32", partial(product, "float32", False)),
        ("launch", launch),
    ]


def _ceiling(options: argparse.Namespace, name: str) -> float | None:
    """Bytes or operations a second that `ceilings` wrote, or None."""
    rows = [r for r in lines(options.out) if r["part"] == "ceilings" and r["name"] == name and "us" in r]
    return None if not rows else 1e9 * rows[-1]["gb_s"] if name == "copy" else 1e12 * rows[-1]["tflop_s"]


def layouts() -> dict[str, tuple[list[int], int]]:
    """Tokens of each input, and path points of each."""
    from calig_fast.bench.operations import LAYOUTS

    if not REHEARSAL:
        return {name: LAYOUTS[name] for name in ("1x128, 20 points", "8x128", "1x512", "32 ragged, 2 points")}
    return {"1x9, 2 points": ([9], 2), "3 ragged": ([5, 1, 8], 2)}


def batch_of(
    which: str, dtype: str, lengths: list[int], points: int, *, width: int = WIDTH, device: str = DEVICE
) -> Any:
    """The batch of a wave of all points."""
    from calig_fast.ops.model_sizes import Batch

    rows = [n for n in lengths for _ in range(points)] if which.startswith(OF_ROWS) else lengths
    heads = HEADS if width % HEADS == 0 else 1
    return Batch(rows, getattr(torch, dtype), device, points, width, heads)


def problem(
    which: str, dtype: str, lengths: list[int], points: int, *, width: int = WIDTH, device: str = DEVICE
) -> Any:
    """Random arguments of an operation in a wave of all points; the last problem is kept."""
    return _problem(which, dtype, tuple(lengths), points, width=width, device=device)


@lru_cache(maxsize=1)
def _problem(which: str, dtype: str, lengths: tuple[int, ...], points: int, *, width: int, device: str) -> Any:
    from calig_fast.bench import operations as sized

    with torch.no_grad():
        return sized.problem(which, batch_of(which, dtype, list(lengths), points, width=width, device=device))


def values(options: argparse.Namespace) -> list[Step]:
    """--only "OPERATION BACKEND": small and large problems in each dtype, against float64."""
    from calig_fast import ops
    from calig_fast.bench import operations as sized

    op, backend = options.only.split()
    run, spec = getattr(ops, op), import_module(f"calig_fast.ops.{op}.spec")
    eps = {name: torch.finfo(dtype).eps for name, dtype in DTYPES.items()}

    def compared(dtype: str, args: Any, exact: Any) -> Row:
        """The rule of tests/ops/test_values.py: twice the error of plain PyTorch, and four eps."""
        worst, allowed = 0.0, 0.0
        outputs, plain = (tree_leaves(run(*args, backend=b)) for b in (backend, "torch"))
        for f, p, e in zip(outputs, plain, tree_leaves(exact), strict=True):
            unit = float(e.abs().max()) if e.numel() else 0.0
            off, limit = (float((x.double() - e.to(x.device)).abs().max()) / unit if unit else 0.0 for x in (f, p))
            worst, allowed = max(worst, off if off == off else float("inf")), max(allowed, 2 * limit + 4 * eps[dtype])
        return {"ok": worst <= allowed, "error_of_largest": worst, "allowed": allowed}

    def small(dtype: str) -> list[Row]:
        cases = [c for c in spec.sample_cases(DTYPES[dtype]) if c.name.startswith("ragged")][:2]
        return [{"case": c.name, **compared(dtype, there(c.args), spec.exact(*c.args))} for c in cases]

    def large(dtype: str, which: str) -> Row:
        args = problem(which, dtype, [TOKENS] * 8, 8)
        with torch.no_grad():
            exact = run(*sized.double(list(args)), backend="torch")
        return {"case": f"{which} 8x{TOKENS}", **compared(dtype, args, exact)}

    calls = [which for which in sized.OPERATIONS if sized.operation(which).__name__ == op]
    return [
        (f"{op} {backend} {dtype}", step)
        for dtype in DTYPES
        if DTYPES[dtype] in spec.DTYPES
        for step in (partial(small, dtype), *(partial(large, dtype, which) for which in calls))
    ]


def times(options: argparse.Namespace) -> list[Step]:
    """Each operation by each backend and in PyTorch's own batched calls: eager, and replayed from a cold L2 cache."""
    from calig_fast import ops
    from calig_fast.bench import operations as sized

    from .in_pytorch import in_pytorch

    copying = _ceiling(options, "copy")
    peaks = {name: _ceiling(options, name) for name in ("float32", "tf32", "bfloat16")}

    def timed(which: str, dtype: str, layout: str, who: str) -> Row:
        lengths, points = layouts()[layout]
        args, op = problem(which, dtype, lengths, points), sized.operation(which)
        call, first = in_pytorch(which, args) if who == "pytorch" else (partial(op, *args, backend=who), None)
        with torch.no_grad():
            out = call()
            answer = (tree_leaves(out)[0] if first is None else first(out)).double()
            wanted = tree_leaves(op(*sized.double(list(args)), backend="torch"))[0].double()
            off = float((answer - wanted).abs().max() / wanted.abs().max())
            row: Row = {"op": which, "operation": op.__name__, "dtype": dtype, "layout": layout, "who": who}
            row |= {"off": off, "ok": off <= 32 * torch.finfo(DTYPES[dtype]).eps}
            if not row["ok"]:  # no time of a wrong answer
                return row
            back_to_back(call, 3)
            row["eager_us"] = back_to_back(call)
            try:
                # PyTorch's backward pass runs on the stream of its forward pass, which is not recorded
                row["us"] = cold(call if (which, who) == ("attention_backward", "pytorch") else recorded(call))
            except Exception as error:
                row |= {"not_recorded": f"{error}"[:200], "us": cold(call)}
        moved = sum(t.numel() * t.element_size() for t in tree_leaves((args, out)) if isinstance(t, Tensor))
        products = sized.products(which, batch_of(which, dtype, lengths, points))
        row |= {"gb_s": moved / row["us"] / 1e3, "tflop_s": products / row["us"] / 1e6}
        if copying and peaks[dtype]:
            least = 1e6 * max(moved / copying, products / (peaks[dtype] or 1))
            row |= {"share": least / row["us"], "bound": "copy" if least == 1e6 * moved / copying else dtype}
        return row

    return [
        (f"{which} {dtype} {layout} {who}", partial(timed, which, dtype, layout, who))
        for layout in layouts()
        for which, dtype in sized.PROBLEMS
        for who in (*BACKENDS, "pytorch")
        if who == "pytorch" or who in ops.dispatch._operations[sized.operation(which).__name__].files
    ]


def sanitized(options: argparse.Namespace) -> list[Step]:
    """Every CUDA kernel once a shape: rows of 16-byte accesses and not, whole tiles and not, TF32, a bias.

    All else is done on the CPU, so that the tool sees little beside our kernels.
    """
    sizes = [[9, 5], [8]] if REHEARSAL else [[128, 190, 333], [128]]
    widths = (24, 25) if REHEARSAL else (768, 257)
    dtypes = ("float32", "float16", "bfloat16")
    return _kernels([(lengths, width, dtype) for dtype in dtypes for lengths in sizes for width in widths], 2)


def kernels(options: argparse.Namespace) -> list[Step]:
    """Every CUDA kernel once a dtype, in the size of a wave, for ncu."""
    return _kernels([([TOKENS], WIDTH, dtype) for dtype in DTYPES], 20)


def _kernels(shapes: list[tuple[list[int], int, str]], points: int) -> list[Step]:
    from calig_fast import ops
    from calig_fast.bench import operations as sized

    backend = "torch" if REHEARSAL else "cuda"

    def once(which: str, lengths: list[int], width: int, dtype: str) -> Row:
        args = problem(which, dtype, lengths, points, width=width, device="cpu")
        more: list[Any] = [()]
        if which == "attention_gradient":
            longest = max(lengths)
            wide = torch.promote_types(getattr(torch, dtype), torch.float32)
            bias = torch.randn(args[1].shape[2], longest, longest).to(wide)
            more += [(False, True), (True, False, bias), (False, True, bias)]  # positive, tf32, bias
        outs = [sized.operation(which)(*there((*args, *extra)), backend=backend) for extra in more]
        return {"ok": all(bool(t.cpu().isfinite().all()) for t in tree_leaves(outs))}

    def takes(which: str, dtype: str) -> bool:
        op = sized.operation(which).__name__
        spec = import_module(f"calig_fast.ops.{op}.spec")
        return backend in ops.dispatch._operations[op].files and getattr(torch, dtype) in spec.DTYPES

    return [
        (f"{which} {dtype} {lengths} x {width}", partial(once, which, lengths, width, dtype))
        for lengths, width, dtype in shapes
        for which in sized.OPERATIONS
        if takes(which, dtype)
    ]
