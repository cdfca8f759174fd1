"""Times on a GPU by CUDA events: operations from a cold cache, and explanations beside Captum's loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from benchmarks import bench_ops, captum_loop
from benchmarks.contenders import STEPS
from benchmarks.works import Work, minilm_128
from calig_fast import explain, ops

BACKENDS = ("reference", "triton", "cuda")
PEAKS = {"H100": 3.35e12, "H200": 4.8e12, "A100": 2.04e12, "B200": 8.0e12}  # bytes a second, by the vendor
FLUSH_BYTES = 512 * 2**20  # no GPU's L2 is near


def spread(run: Callable[[], Any], repeats: int, flush: Tensor | None) -> dict[str, float]:
    """Median, 20th and 80th percentile in milliseconds, after three runs that do not count."""
    times = []
    for i in range(repeats + 3):
        if flush is not None:
            flush.zero_()
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        stop.record()
        torch.cuda.synchronize()
        if i >= 3:
            times.append(start.elapsed_time(stop))
    low, middle, high = torch.tensor(times).quantile(torch.tensor([0.2, 0.5, 0.8])).tolist()
    return {"median": middle, "p20": low, "p80": high}


def operations(repeats: int = 30) -> list[dict[str, Any]]:
    """Every operation on every backend that takes it, once its answer agrees; microseconds."""
    flush, rows = torch.empty(FLUSH_BYTES, dtype=torch.uint8, device="cuda"), []
    peak = next((rate for name, rate in PEAKS.items() if name in torch.cuda.get_device_name()), None)
    for op, dtype in [*((op, d) for op in bench_ops.OPERATIONS for d in bench_ops.DTYPES), ("fuse_rollout", "float32")]:
        name = op.removesuffix("_lig").removesuffix("_gated")
        run = getattr(ops, name)
        for layout, lengths in bench_ops.LAYOUTS.items():
            args = tree_map_only(Tensor, Tensor.cuda, bench_ops.problem(op, lengths, bench_ops.DTYPES[dtype]))
            for backend in BACKENDS:
                tensors = [t for t in tree_leaves(args) if isinstance(t, Tensor)]
                if ops.dispatch._operations[name].refusal(backend, tensors) is not None:
                    continue
                if not bench_ops.agree(run, args, backend, bench_ops.DTYPES[dtype]):
                    raise RuntimeError(f"{op} {dtype} {layout} on {backend}: the answer is wrong, no time is reported")
                out = run(*args, backend=backend)
                moved = sum(t.numel() * t.element_size() for t in tree_leaves((args, out)) if isinstance(t, Tensor))
                found = spread(lambda b=backend, a=args, r=run: r(*a, backend=b), repeats, flush)
                rate = moved / (found["median"] / 1e3)
                where = {"op": op, "dtype": dtype, "layout": layout, "backend": backend}
                times = {key: 1e3 * value for key, value in found.items()}
                rows.append({**where, **times, "rate": rate / 1e9, "share": rate / peak if peak else None})
    return rows


def moved(work: Work) -> Work:
    """The work on the GPU."""
    calls = [{key: t.cuda() for key, t in call.items()} for call in work.calls]
    return replace(work, model=work.model.cuda(), calls=calls, lows=[low.cuda() for low in work.lows], targets=[])


def explanations(repeats: int = 10) -> list[dict[str, Any]]:
    """One input of a MiniLM by Captum's loop and by ours, in float32 and in bfloat16; milliseconds."""
    work, rows = moved(minilm_128()), []
    eager = captum_loop.eager_copy(work.model)

    def captum() -> None:
        captum_loop.relevance(work, 0, [STEPS] * len(work.layers), None)
        captum_loop.attention_gradients(eager, work.calls[0], work.targets[:1])

    def autocast() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            captum()

    def ours(dtype: torch.dtype | None) -> None:
        explain(work.model, work.calls[0], target=work.targets[0], engine="native", dtype=dtype)

    wanted = captum_loop.relevance(work, 0, [STEPS] * len(work.layers), None)
    found = explain(work.model, work.calls[0], target=work.targets[0], engine="native").layer_scores[0]
    if float((found - wanted).abs().sum() / wanted.abs().sum()) > 0.1:
        raise RuntimeError("the native engine is not near Captum's loop on this GPU, no time is reported")
    ways: list[tuple[str, str, Callable[[], None]]] = [
        ("Captum", "float32", captum),
        ("Captum", "autocast bfloat16", autocast),
        ("ours", "float32", lambda: ours(None)),
        ("ours", "bfloat16", lambda: ours(torch.bfloat16)),
    ]
    for who, dtype, run in ways:
        rows.append({"work": work.name, "who": who, "dtype": dtype, **spread(run, repeats, None)})
    return rows
