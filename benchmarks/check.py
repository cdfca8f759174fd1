"""The checks before any time is taken: correct answers, and a tuned setting for each contender."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from benchmarks import captum_loop, truth
from benchmarks.contenders import Answer, Tuning
from benchmarks.works import Work

SEARCHED = {"captum_single_n", "captum_min"}


@dataclass(frozen=True)
class Checked:
    """A work that passed its checks.

    Args:
        same: the native engine and the autograd engine at equal nodes (`truth.equal_nodes`).
        exact: the converged reference.
        cross: Captum's difference from it at 64 nodes, a layer.
        tuning: what was searched for.
    """

    same: dict[str, float]
    exact: Answer
    cross: list[float]
    tuning: Tuning


def check(work: Work) -> Checked:
    """Compare the answers of a work with each other, then search for Captum's best settings.

    Raises:
        RedGateError: an answer is wrong.
    """
    say(f"{work.name}: equal nodes")
    same = truth.equal_nodes(work)
    say("converged reference")
    exact = truth.converged(work)
    size = captum_loop.best_batch_size(work)
    say(f"internal_batch_size {size}; cross-check")
    cross = truth.captum_at_64(work, exact, size)
    truth.gate(f"{work.name}, the converged reference against Captum at 64 nodes", max(cross), truth.TOLERANCE)
    fewest, single = truth.fewest_nodes(work, exact) if SEARCHED & set(work.contenders) else ((), 0)
    tuning = Tuning(size, fewest, single)
    say(str(tuning))
    return Checked(same, exact, cross, tuning)


def errors(work: Work, name: str, answer: Answer, checked: Checked) -> list[float]:
    """The error a layer of a contender's answer.

    Raises:
        RedGateError: our default settings miss twice their tolerance.
    """
    reached = truth.errors(truth.of_truths(work, answer), checked.exact.layers)
    if name == "native":
        what = f"{work.name}, ours against the converged reference"
        truth.gate(what, max(reached), 2 * truth.TOLERANCE)
    return reached


def say(text: str) -> None:
    """Progress, on the error stream."""
    print(text, file=sys.stderr, flush=True)
