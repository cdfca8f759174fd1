"""Work that is left out: CPU time with everything on, beside each such part switched off, at equal nodes.

    python -m benchmarks.not_done [--threads 1] [--rounds 7] [--out FILE]

Goes into the same results and page as `benchmarks.bench_explain`.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks import measure, results, truth
from benchmarks.works import WORKS, Work
from calig_fast import Attribution, Explainer
from calig_fast.bench import machine
from calig_fast.engines.native import linear as product
from calig_fast.engines.native.engine import NativeEngine
from calig_fast.methods import calig
from calig_fast.methods.fusion import Fusion, context_map
from calig_fast.methods.rollout import rollout

WORK = "minilm_128"
STEPS = 8
REPEATS = 20  # of the rollout alone, which is short
SWITCHES: dict[str, dict[str, bool]] = {
    "everything on": {},
    "the last block for all rows, not the readout row alone": {"prune": False},
    "the first projection computed at every path point, not interpolated": {"linear": False},
    "both of these": {"prune": False, "linear": False},
    "matrix products by PyTorch, not by our own where that is faster": {"own_product": False},
}
ROLLOUT = "the rollout (that part alone) by products of [T,T] matrices, not a vector at a time"


def explainer(work: Work) -> Explainer:
    """At fixed nodes, so that every call takes the same ones."""
    return Explainer(
        work.model, engine="native", layers=list(work.layers), quadrature="corrected_trapezoid", n_steps=STEPS
    )


def call(ready: Explainer, work: Work, switches: dict[str, bool]) -> Attribution:
    """Explain the first input with some work not left out."""
    options = dict(switches)
    own = options.pop("own_product", True) and product._mkl_is_narrow()
    native = functools.partial(NativeEngine, **options)
    narrow = mock.patch.object(product, "_mkl_is_narrow", return_value=own)
    with mock.patch("calig_fast.pipeline.one_call.NativeEngine", native), narrow:
        return ready(work.calls[0], target=work.targets[0])


def difference(got: Attribution, wanted: Attribution) -> float:
    """The largest relative difference of the relevance of any layer or of the scores."""
    layers = truth.errors([got.layer_scores[0]], [wanted.layer_scores[0]])
    return max(*layers, apart(got.scores, wanted.scores))


def apart(got: Tensor, wanted: Tensor) -> float:
    """Relative difference, in norm."""
    return float((got.double() - wanted.double()).norm() / wanted.double().norm())


def matrix_rollout(relevance: Tensor, maps: Tensor, readout: Tensor, fusion: Fusion) -> Tensor:
    """The scores [T] of one input without padding, by the product of all its maps.

    Args:
        relevance: r_l [L,T].
        maps: G_l [L,T,T].
        readout: [T].
        fusion: the options, with sign="signed".
    """
    size = relevance.shape[1]
    product_of_maps = torch.eye(size, dtype=torch.float64)
    identity = torch.ones(size, dtype=torch.float64)
    for r, g in zip(relevance.double(), maps.double(), strict=True):
        mixed = context_map(r, g, fusion) + fusion.residual * torch.eye(size, dtype=torch.float64)
        rows = mixed.abs().sum(1) if fusion.normalise else torch.ones(size, dtype=torch.float64)
        product_of_maps = (mixed / rows[:, None]) @ product_of_maps
        identity = identity * fusion.residual / rows
    return readout @ product_of_maps - readout * identity


def rollouts(ready: Explainer, work: Work) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """The two ways to roll out what a call found: a vector at a time, and by matrices."""
    seen: list[tuple[tuple[Any, ...], str]] = []

    def watched(*args: Any, backend: str) -> Any:
        seen.append((args, backend))
        return rollout(*args, backend=backend)

    with mock.patch.object(calig, "rollout", watched):
        call(ready, work, {})
    (relevance, maps, mask, readout, fusion), backend = seen[-1]
    return (
        lambda: rollout(relevance, maps, mask, readout, fusion, backend=backend)[0][0],
        lambda: matrix_rollout(relevance[0], maps[0], readout[0].double(), fusion),
    )


def cpu_seconds(run: Callable[[], Any], repeats: int = 1) -> float:
    """CPU seconds of a run, the mean of some repeats."""
    started = time.process_time()
    for _ in range(repeats):
        run()
    return (time.process_time() - started) / repeats


def measured(work: Work, rounds: int) -> dict[str, Any]:
    """The rows of the table; the first one is what the others are compared with."""
    ready = explainer(work)
    answers = {name: call(ready, work, switches) for name, switches in SWITCHES.items()}
    first = next(iter(answers))
    vector, matrices = rollouts(ready, work)
    seconds: dict[str, list[float]] = {name: [] for name in (*SWITCHES, "vector", ROLLOUT)}
    for _ in range(rounds):
        for name, switches in SWITCHES.items():
            seconds[name].append(cpu_seconds(functools.partial(call, ready, work, switches)))
        seconds["vector"].append(cpu_seconds(vector, REPEATS))
        seconds[ROLLOUT].append(cpu_seconds(matrices, REPEATS))
    rows = [row(name, seconds[name], seconds[first], difference(answers[name], answers[first])) for name in SWITCHES]
    rows.append(row(ROLLOUT, seconds[ROLLOUT], seconds["vector"], apart(matrices(), vector())))
    return {"title": work.title, "machine": machine.describe(), "steps": STEPS, "rounds": rounds, "rows": rows}


def row(name: str, seconds: list[float], on: list[float], differs: float) -> dict[str, Any]:
    """Refuses, as `truth.gate` does, an answer that leaving work out changes.

    Raises:
        RedGateError: it does.
    """
    truth.gate(f"{WORK}, {name}", differs, truth.SAME)
    times = [off / with_all for off, with_all in zip(seconds, on, strict=True)]
    return {
        "switched_off": name,
        "cpu_seconds": measure.spread(seconds),
        "with_everything_on": measure.spread(on),
        "times": measure.spread(times),
        "difference": differs,
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, help="the JSON; the default is named after the machine")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    try:
        figures = measured(WORKS[WORK](), args.rounds)
    except truth.RedGateError as error:
        sys.exit(str(error))
    for each in figures["rows"]:
        print(
            f"{each['switched_off']}: {each['cpu_seconds']['median']:.4f} s, {each['times']['median']:.2f} times, "
            f"difference {each['difference']:.1e}"
        )
    results.add(args.out, "not_done", {WORK: figures})


if __name__ == "__main__":
    main()
