"""Times on a GPU by CUDA events: operations from a cold cache, and explanations beside Captum's loop.

Everything takes the device, so that tests run it on a CPU, by the clock.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from benchmarks import truth
from benchmarks.contenders import NAMES, Contender, Tuning, prepare
from benchmarks.works import Work, minilm_128
from calig_fast import ops
from calig_fast.bench import operations as sized

BACKENDS = ("torch", "triton", "cuda")
FLUSH_BYTES = 512 * 2**20  # no GPU's L2 is near
WAYS = (  # contender, dtype that its blocks run in, whether by autocast
    ("captum", "float32", False),
    ("native", "float32", False),
    ("scores", "float32", False),
    ("captum", "bfloat16", True),
    ("bf16", "bfloat16", False),
    ("bf16_scores", "bfloat16", False),
)


@dataclass(frozen=True)
class Peak:
    """The vendor's dense peak figures of a GPU: bytes a second, and operations of products in each dtype."""

    bytes: float
    float32: float
    bfloat16: float

    def seconds(self, moved: int, products: int, dtype: str) -> float:
        """The least time for some bytes and products."""
        return float(max(moved / self.bytes, products / getattr(self, dtype)))


PEAKS = {
    "A100": Peak(2.04e12, 19.5e12, 312e12),
    "H100": Peak(3.35e12, 67e12, 989e12),
    "H200": Peak(4.8e12, 67e12, 989e12),
    "B200": Peak(8.0e12, 80e12, 2250e12),
}


def milliseconds(run: Callable[[], Any], device: str) -> float:
    """The time of one run in milliseconds."""
    if device == "cpu":
        started = time.perf_counter()
        run()
        return 1e3 * (time.perf_counter() - started)
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run()
    stop.record()
    torch.cuda.synchronize()
    return start.elapsed_time(stop)


def spread(
    run: Callable[[], Any], repeats: int, device: str, before: Callable[[], Any] = lambda: None
) -> dict[str, float]:
    """Median, 20th and 80th percentile in milliseconds, after three runs that do not count.

    Args:
        run: what is timed.
        repeats: how often.
        device: where.
        before: run before each time, not timed.
    """
    times = []
    for i in range(repeats + 3):
        before()
        took = milliseconds(run, device)
        if i >= 3:
            times.append(took)
    low, middle, high = torch.tensor(times).quantile(torch.tensor([0.2, 0.5, 0.8])).tolist()
    return {"median": middle, "p20": low, "p80": high}


def operations(gpu: str, until: float, device: str = "cuda", repeats: int = 30) -> tuple[list[dict[str, Any]], int]:
    """Every operation on every backend that takes it, once its answer agrees; microseconds.

    Args:
        gpu: its name, which says the peak.
        until: `time.monotonic()` at which no more are begun.
        device: where.
        repeats: times that count.

    Returns:
        a row each, and how many were left out for want of time.

    Raises:
        RedGateError: an answer is wrong.
    """
    flush = torch.empty(FLUSH_BYTES, dtype=torch.uint8, device=device)
    peak = next((peak for name, peak in PEAKS.items() if name in gpu), None)
    rows, left_out = [], 0
    for op, dtype in sized.PROBLEMS:
        run = sized.operation(op)
        for layout, lengths in sized.LAYOUTS.items():
            problem = sized.problem(op, lengths, sized.DTYPES[dtype])
            args = tree_map_only(Tensor, lambda t: t.to(device), problem)
            for backend in BACKENDS:
                tensors = [t for t in tree_leaves(args) if isinstance(t, Tensor)]
                if ops.dispatch._operations[run.__name__].refusal(backend, tensors) is not None:
                    continue
                if time.monotonic() > until:
                    left_out += 1
                    continue
                if not sized.agree(run, args, backend, sized.DTYPES[dtype]):
                    where = f"{op} {dtype} {layout} on {backend}"
                    raise truth.RedGateError(f"{where}: the answer is wrong, no time is reported")
                out = run(*args, backend=backend)
                moved = sum(t.numel() * t.element_size() for t in tree_leaves((args, out)) if isinstance(t, Tensor))
                found = spread(lambda b=backend, a=args, r=run: r(*a, backend=b), repeats, device, flush.zero_)
                seconds = found["median"] / 1e3
                least = peak.seconds(moved, sized.products(op, lengths), dtype) if peak else None
                where = {"op": op, "dtype": dtype, "layout": layout, "backend": backend}
                times = {key: 1e3 * value for key, value in found.items()}
                share = least / seconds if least else None
                rows.append({**where, **times, "rate": moved / seconds / 1e9, "share": share})
    return rows, left_out


def moved(work: Work, device: str) -> Work:
    """The work on the device."""

    def there(calls: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
        return [{key: t.to(device) for key, t in call.items()} for call in calls]

    return replace(
        work,
        model=work.model.to(device),
        calls=there(work.calls),
        warm=there(work.warm),
        lows=[low.to(device) for low in work.lows],
        targets=[],
    )


def explanations(
    until: float, device: str = "cuda", repeats: int = 10, make: Callable[[], Work] = minilm_128
) -> tuple[list[dict[str, Any]], int]:
    """A work of `bench_explain` by its contenders, each with the error it reached; milliseconds.

    Args:
        until: see `operations`.
        device: where.
        repeats: times that count.
        make: makes the work.

    Returns:
        a row each, and how many were left out for want of time.

    Raises:
        RedGateError: ours, in float32, misses twice its tolerance.
    """
    work = moved(make(), device)
    exact = [layers.cpu() for layers in truth.converged(work).layers]
    rows, left_out = [], 0
    for name, dtype, by_autocast in WAYS:
        if time.monotonic() > until:
            left_out += 1
            continue
        contender = prepare(name, work, Tuning(None))
        with torch.autocast(device, torch.bfloat16) if by_autocast else contextlib.nullcontext():
            error = worst_error(work, contender, exact)
            if name == "native":
                truth.gate(f"{work.name} on a GPU, ours against the converged reference", error, 2 * truth.TOLERANCE)
            found = spread(contender.run, repeats, device, contender.reset)
        rows.append({"work": work.name, "who": NAMES[name], "dtype": dtype, "error": error, **found})
    return rows, left_out


def worst_error(work: Work, contender: Contender, exact: list[Tensor]) -> float:
    """The error of the contender's answer, of the worst layer and input."""
    found = [layers.cpu() for layers in truth.of_truths(work, contender.run())]
    return max(truth.errors(found, exact))
