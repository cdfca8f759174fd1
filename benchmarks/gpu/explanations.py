"""Whole explanations on a GPU: the same as on the CPU, and their times and errors beside those of Captum's loop."""

from __future__ import annotations

import argparse
import contextlib
import copy
import gc
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from .clocks import allowing, there, wall
from .rows import BACKENDS, DEVICE, DTYPES, GRAPHS, REHEARSAL, Row, Step, graphs_since, sync
from .works import NODES, apart, errors_of, per_input, truth, work

SETS = 4  # different inputs, in turns
GRAPHS_VARIABLE = "CALIG_FAST_GRAPHS"


def values(options: argparse.Namespace) -> list[Step]:
    """Tiny models by every backend as on the CPU; one `Explainer` several times, with recorded waves and without."""
    from helpers.tiny_models import ids, inputs, tiny

    from calig_fast import Explainer, explain

    fixed: Row = {"engine": "native", "n_steps": 8, "quadrature": "gausslegendre", "target": 0}

    def off(got: Any, wanted: Any) -> float:
        pairs = [(getattr(a, name).cpu() for a in (got, wanted)) for name in ("scores", "layer_scores")]
        return max(float((f - w).abs().nan_to_num().max() / w.abs().nan_to_num().max()) for f, w in pairs)

    def one(kind: str, backend: str) -> Row:
        model, call = copy.deepcopy(tiny(kind)).to(DEVICE), there(inputs(kind))
        wanted = explain(tiny(kind), inputs(kind), backend="torch", **fixed)
        attribution = explain(model, call, backend=backend, **fixed)
        return {"ok": off(attribution, wanted) < 1e-4, "off": off(attribution, wanted), "ran_on": attribution.backend}

    def several(backend: str, graphs: str, options: Row) -> Row:
        """Eager, recorded, replayed, replayed; then another text, and the first again."""
        model, calls = copy.deepcopy(tiny("bert")).to(DEVICE), [ids(9, 9), ids(7, 5, seed=1)]
        wanted = [explain(tiny("bert"), call, backend="torch", **options) for call in calls]
        explainer, before = Explainer(model, backend=backend, **options), GRAPHS.copy()
        offs, replays = list[float](), list[int]()
        with _setting(GRAPHS_VARIABLE, graphs):
            for i in (0, 0, 0, 0, 1, 0):
                start = GRAPHS["replay"]
                offs.append(off(explainer(there(calls[i])), wanted[i]))
                replays.append(GRAPHS["replay"] - start)
        ok = max(offs) < (1e-4 if options is fixed else 2e-2)
        return {"ok": ok, "off": offs, "replays_a_call": replays, **graphs_since(before)}

    backends = dict.fromkeys(("auto", *BACKENDS, "torch"))
    return [
        *((f"{kind} {b}", partial(one, kind, b)) for b in backends for kind in ("bert", "vit")),
        *((f"6 calls {b}, graphs", partial(several, b, "1", fixed)) for b in backends),
        ("6 calls auto, no graphs", partial(several, "auto", "0", fixed)),
        ("6 calls auto, default settings", partial(several, "auto", "1", {"target": 0})),
    ]


@contextlib.contextmanager
def _setting(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def warm(options: argparse.Namespace) -> list[Step]:
    """--only DTYPE: three blocks of the models of `explanations`, so that Triton has compiled their kernels."""
    from calig_fast import Explainer

    def once(kind: str) -> Row:
        some = work(kind, 2, 0, 3)
        Explainer(some.model, dtype=DTYPES[options.only])(some.batch, target=some.targets)
        return {"ok": True}

    return [(f"{kind} {options.only}", partial(once, kind)) for kind in ("bert", "vit")]


def _ours(kind: str, count: int, name: str, *, tf32: bool, graphs: bool, options: Row, busy: bool) -> Row:
    """An `Explainer` on several inputs in turns, after it has seen them all (of a batch: the first)."""
    from calig_fast import Explainer

    gc.collect()
    works = [work(kind, count, seed) for seed in range(SETS if count == 1 else 2)]
    batches = [(one.batch, one.targets) for one in works]
    explainer, before = Explainer(works[0].model, engine="native", **options), GRAPHS.copy()
    turns, attributions = cycle(range(len(works))), dict[int, Any]()

    def run() -> None:
        i = next(turns)
        attributions[i] = explainer(batches[i][0], target=batches[i][1])

    with allowing(tf32), _setting(GRAPHS_VARIABLE, str(int(graphs))):
        began = time.perf_counter()
        run()
        sync()
        first = time.perf_counter() - began
        for _ in batches[1:] if count == 1 else ():
            run()
        row = {"who": f"ours {name}", "first_s": first, **per_input(wall(run, least=4 if count == 1 else 2), works[0])}
        row |= graphs_since(before)
        row |= _attempt(profiled, run) if busy else {}
    attribution = attributions[0]
    row |= {"backend": attribution.backend, "reported_error": float(attribution.error.max())}
    row |= {"nodes": float(attribution.n_steps.double().mean()), "converged": bool(attribution.layer_converged.all())}
    scores = attribution.scores[0] if options.get("method") is None else None
    return {**row, **({} if kind == "ragged" else _attempt(errors_of, kind, attribution.layer_scores[0], scores))}


def _attempt(find: Callable[..., Row], *args: Any) -> Row:
    """The result, or the reason why there is none: a time that was taken is not lost for it."""
    try:
        return find(*args)
    except Exception as error:
        return {f"no_{find.__name__}": f"{type(error).__name__}: {error}"[:200]}


@cache
def _eager(kind: str) -> Any:
    from benchmarks import captum_loop

    return captum_loop.eager_copy(work(kind, 1, 0).model)


def _captums(kind: str, count: int, steps: int, *, how: str, embeddings: bool, busy: bool) -> Row:
    """Captum's LayerIntegratedGradients layer by layer and an eager pass for the attention gradients; or one layer."""
    from benchmarks import captum_loop

    gc.collect()
    some = work(kind, count, 0)
    some = replace(some, layers=some.layers[:1], targets=[]) if embeddings else some
    nodes, relevances = [steps] * len(some.layers), list[Tensor]()

    def run() -> None:
        if count == 1:
            relevances[:] = [captum_loop.relevance(some, 0, nodes, None)]
        else:
            relevances[:] = captum_loop.relevance_padded(some, nodes, 4 * count)
        if not embeddings:
            captum_loop.attention_gradients(_eager(kind), some.batch, some.targets)

    ways: dict[str, Any] = {"bfloat16": torch.autocast(DEVICE, torch.bfloat16), "tf32": allowing(True)}
    with ways.get(how, contextlib.nullcontext()):
        if count == 1:
            run()
        row = {"who": f"Captum {steps} {how}{' at embeddings' * embeddings}"}
        row |= per_input(wall(run) if count == 1 else wall(run, 0, 1), some)
        row |= _attempt(profiled, run) if busy else {}
    return {**row, **_attempt(errors_of, kind, relevances[0])}


def profiled(run: Callable[[], Any]) -> Row:
    """Of one call: the busy time of the GPU, its kernels, and the host's calls of the driver."""
    with profile(activities=[ProfilerActivity.CPU if REHEARSAL else ProfilerActivity.CUDA]) as profiler:
        run()
        sync()
    return described(profiler)


def _on_gpu(profiler: Any) -> list[Any]:
    """Kernels and copies by name, the longest first."""
    rows = [r for r in profiler.key_averages() if r.device_type != DeviceType.CPU]
    return sorted(rows, key=lambda r: -r.self_device_time_total)


def described(profiler: Any) -> Row:
    """Sums over a profile."""
    host = Counter({r.key: r.count for r in profiler.key_averages() if r.device_type == DeviceType.CPU})
    words = ("Launch", "Synchronize", "Memcpy", "Malloc", "Free")
    calls = {key: n for key, n in host.most_common() if key.startswith("cu") and any(w in key for w in words)}
    rows = _on_gpu(profiler)
    busy = sum(r.self_device_time_total for r in rows) / 1e3
    return {"gpu_ms": busy, "kernels": sum(r.count for r in rows), "driver_calls": calls}


def explanations(options: argparse.Namespace) -> list[Step]:
    """Times and errors, the most wanted comparisons first."""
    scores: Row = {"certify": "scores"}
    half: Row = {"dtype": torch.bfloat16}

    def converged(kind: str) -> Row:
        fewer, exact = (truth(kind, nodes).layer_scores[0] for nodes in (3 * NODES // 4, NODES))
        return {"nodes": NODES, "apart_from_three_quarters": apart(fewer, exact)}

    def ours(
        kind: str, count: int, name: str, *, tf32: bool = False, graphs: bool = True, busy: bool = False, **more: Any
    ) -> Step:
        run = partial(_ours, kind, count, name, tf32=tf32, graphs=graphs, options=more, busy=busy)
        return f"{kind} {count} ours {name}", run

    def theirs(kind: str, count: int, steps: int, how: str, *, embeddings: bool = False, busy: bool = False) -> Step:
        run = partial(_captums, kind, count, steps, how=how, embeddings=embeddings, busy=busy)
        return f"{kind} {count} Captum {steps} {how}{' at embeddings' * embeddings}", run

    return [
        ("bert truth", partial(converged, "bert")),
        ours("bert", 1, "float32", busy=True),
        theirs("bert", 1, 50, "float32", busy=True),
        ours("bert", 1, "bfloat16", busy=True, **half),
        theirs("bert", 1, 50, "bfloat16", busy=True),
        ours("bert", 1, "tf32", tf32=True),
        theirs("bert", 1, 50, "tf32"),
        ours("bert", 32, "float32"),
        ours("bert", 32, "bfloat16", busy=True, **half),
        theirs("bert", 32, 50, "bfloat16"),
        theirs("bert", 32, 20, "float32"),
        ours("bert", 32, "tf32", tf32=True),
        ours("bert", 1, "float32 no graphs", graphs=False),
        ours("bert", 1, "bfloat16 no graphs", graphs=False, **half),
        *(ours("bert", 1, f"float32 {backend}", backend=backend) for backend in BACKENDS),
        theirs("bert", 1, 20, "float32"),
        theirs("bert", 1, 20, "bfloat16"),
        ours("bert", 1, "float32 scores", **scores),
        ours("bert", 1, "bfloat16 scores", **half, **scores),
        ours("bert", 1, "float32 endpoints alone", n_steps=1),
        ours("bert", 1, "float32 at embeddings", method="ig"),
        theirs("bert", 1, 50, "float32", embeddings=True),
        ours("ragged", 64, "bfloat16", **half),
        ours("ragged", 64, "float32"),
        ("vit truth", partial(converged, "vit")),
        ours("vit", 1, "float32"),
        theirs("vit", 1, 50, "float32"),
        ours("vit", 1, "bfloat16", **half),
        theirs("vit", 1, 50, "bfloat16"),
        ours("bert", 32, "bfloat16 scores", **half, **scores),
    ]


def trace(options: argparse.Namespace) -> list[Step]:
    """One explanation after others, in the format that chrome://tracing and Perfetto read."""

    def once() -> Row:
        from calig_fast import Explainer

        works = [work("bert", 1, seed) for seed in range(SETS)]
        explainer = Explainer(works[0].model)
        for some in works[1:]:
            explainer(some.batch, target=some.targets)
        both = [ProfilerActivity.CPU, *(() if REHEARSAL else (ProfilerActivity.CUDA,))]
        with profile(activities=both) as profiler:
            explainer(works[0].batch, target=works[0].targets)
            sync()
        profiler.export_chrome_trace(options.to)
        rows = _on_gpu(profiler)[:20]
        top = [{"kernel": r.key[:90], "calls": r.count, "us": round(r.self_device_time_total, 1)} for r in rows]
        return {**described(profiler), "top": top, "bytes": Path(options.to).stat().st_size}

    return [("bert 1 ours float32", once)]
