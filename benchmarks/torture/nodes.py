"""The nodes that an Explainer takes on natural texts, beside the fewest that would do.

Texts are recorded once on dense nodes. Then they are integrated again as an `Explainer` does: each text as its first,
and all of them one after the other. A rule of even m needs m - 1 inner nodes; the fewest are those of the smallest m
whose true error is within the tolerance.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from benchmarks.torture.dense import Interpolant
from benchmarks.torture.lies import Claim, Setting, relative
from benchmarks.torture.record import record
from benchmarks.torture.replay import Recorded, Replayer
from calig_fast import Explainer
from calig_fast.demo import load
from calig_fast.engines.base import PathPoints
from calig_fast.quadrature.adaptive import AdaptiveIntegrals, Paths, Start
from calig_fast.quadrature.rules import corrected_trapezoid

TOLERANCE = 2e-2
WORDS = {"topics": 40, "sentiment": 200}  # that are read of each text, at most
LARGEST = 32  # intervals of the rules that are tried
GOAL, MOST = 2e-4, 400  # of the truth
TOGETHER = 2  # texts recorded at a time
Entry = dict[str, Any]


def recorded(name: str, count: int) -> list[Entry]:
    """The paths of some texts of a demonstration, default baseline, in the form of `lies.Entry`.

    Args:
        name: of the demonstration, one of `WORDS`.
        count: texts.
    """
    demo = load(name, count=count)
    explainer = Explainer(demo.model, demo.processor)
    texts = [" ".join(sample.input.split()[: WORDS[name]]) for sample in demo.samples]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # nothing meets the tolerance of the truth within its nodes
        records = [
            one
            for i in range(0, len(texts), TOGETHER)
            for one in record(explainer, texts[i : i + TOGETHER], goal=GOAL, most=MOST)
        ]
    return [
        {"group": name, "baseline": "pad", "index": i, "images": False, "record": asdict(one), "rounded": None}
        for i, one in enumerate(records)
    ]


def fewest(path: dict[str, Any], tolerance: float) -> int:
    """Inner nodes of the coarsest even rule whose true error is within the tolerance."""
    at = Interpolant(path["edges"], path["rows"])
    for m in range(2, LARGEST + 1, 2):
        inner = at([k / m for k in range(1, m)])
        r = corrected_trapezoid(m) @ torch.cat([path["low"][None], inner, path["high"][None]])
        if relative(r, path["r"]) <= tolerance:
            return m - 1
    return LARGEST


def accepted(run: Recorded, tolerance: float) -> int:
    """Inner nodes of the coarsest even rules that their own estimate accepts, without a change of variable."""
    known = run.one["paths"]
    ends = torch.stack([torch.stack([path[end] for path in known]) for end in ("low", "high")])
    paths = Paths(
        ends=ends,
        gap=np.array([path["gap"] for path in known]),
        noise=np.array([path["noise"] for path in known]),
        kinked=run.endpoints.kinked,
    )
    layers = np.arange(len(known))
    used = np.full(len(known), LARGEST)
    for m in range(LARGEST, 0, -2):
        integrals = AdaptiveIntegrals(paths, [Start(m)] * len(known), tolerance=tolerance, budget=m)
        while wanted := integrals.pending():
            points = PathPoints(layer=layers[wanted.path], row=np.zeros_like(wanted.path), node=wanted.node)
            integrals.add(run.integrand(points)[0][0])
        used[integrals.converged] = m - 1
    return int(used.sum())


def measure(entries: Sequence[Entry], tolerance: float = TOLERANCE) -> dict[str, Any]:
    """The figures of the texts of one model.

    Args:
        entries: of `recorded`.
        tolerance: relative error asked for.

    Returns:
        inner nodes needed and used, their ratio and the worst true error of a marked layer: of texts that are the first
        of an Explainer, and from the second on; both numbers layer by layer, from the second text on; and the ratio
        where every path begins at the rule that its certificate accepts first ("perfect start").
    """
    setting = Setting("layers", "calig", torch.float32, tolerance)
    runs = [Recorded(entry["record"], torch.float32) for entry in entries]
    needed = [[fewest(path, tolerance) for path in run.one["paths"]] for run in runs]
    alone = [Replayer(setting).claims(entry, run) for entry, run in zip(entries, runs, strict=True)]
    one, after = Replayer(setting), []
    for entry, run in zip(entries, runs, strict=True):
        after.append(one.claims(entry, run))
        one.learn()
    layers = zip(*needed[1:], strict=True), zip(*after[1:], strict=True)
    return {
        "texts": len(entries),
        "tolerance": tolerance,
        "first text": _figures(needed, alone),
        "second text on": _figures(needed[1:], after[1:]),
        "perfect start": round(
            sum(accepted(run, tolerance) for run in runs) / sum(map(sum, needed)),
            3,
        ),
        "layers": [[sum(n), sum(c.nodes - 2 for c in claims)] for n, claims in zip(*layers, strict=True)],
    }


def _figures(needed: Iterable[list[int]], claims: Sequence[list[Claim]]) -> dict[str, Any]:
    every = [claim for text in claims for claim in text]
    fewest_of_all, used = sum(map(sum, needed)), sum(claim.nodes - 2 for claim in every)
    marked = [claim for claim in every if claim.marked]
    return {
        "needed": fewest_of_all,
        "used": used,
        "ratio": round(used / fewest_of_all, 3),
        "marked": len(marked),
        "layers": len(every),
        "worst true error": round(max(claim.true for claim in marked), 4),
    }
