"""The contenders of `bench_explain` under pytest-benchmark: `pytest benchmarks/test_explain_speed.py -k minilm_128`.

CPU seconds with `--benchmark-timer=time.process_time`; another number of rounds with `CALIG_BENCH_ROUNDS`. A work's
gates run before any of its contenders is timed: where one is red, they fail. (a) comes first of each work, so
`extra_info` of the others says how many times faster they are.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import pytest

from benchmarks import truth
from benchmarks.check import Checked, check, errors
from benchmarks.contenders import NAMES, once, prepare
from benchmarks.works import WORKS, Work

ROUNDS = int(os.environ.get("CALIG_BENCH_ROUNDS", "3"))
_base_seconds: dict[str, float] = {}


@cache
def load(name: str) -> Work:
    """The work, made once."""
    return WORKS[name]()


@cache
def checked(name: str) -> Checked | truth.RedGateError:
    """Return the result of the check, or its error; it runs once."""
    try:
        return check(load(name))
    except truth.RedGateError as error:
        return error


@pytest.mark.parametrize("contender", NAMES)
@pytest.mark.parametrize("work", WORKS)
def test_explain(benchmark: Any, work: str, contender: str) -> None:
    """Time one contender of one work, after its answers were checked."""
    loaded = load(work)
    if contender not in loaded.contenders:
        pytest.skip(f"{contender} is not measured on {work}")
    outcome = checked(work)
    if isinstance(outcome, truth.RedGateError):
        pytest.fail(str(outcome))
    ready = prepare(contender, loaded, outcome.tuning)
    if contender == "native":
        try:
            errors(loaded, contender, ready.run(), outcome)
        except truth.RedGateError as error:
            pytest.fail(str(error))
    benchmark.group = work
    answer = benchmark.pedantic(ready.run, setup=ready.reset, rounds=1 if once(contender) else ROUNDS)
    benchmark.extra_info["errors"] = errors(loaded, contender, answer, outcome)
    benchmark.extra_info["score_error"] = truth.score_error(loaded, answer, outcome.exact)
    if benchmark.stats is None:  # --benchmark-disable: checked, not timed
        return
    seconds = benchmark.stats.stats.median
    if contender == loaded.contenders[0]:
        _base_seconds[work] = seconds
    if work in _base_seconds:
        benchmark.extra_info["times_faster_than_a"] = _base_seconds[work] / seconds
