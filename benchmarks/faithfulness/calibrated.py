"""An Explainer calibrated on some of the tuning inputs; a table that measures it refuses these inputs."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from benchmarks.faithfulness.task import Case, Task
from calig_fast import Calibrated, Explainer
from calig_fast.inputs.digest import digests
from calig_fast.inputs.perturbed_removal import opened

INPUTS = 8


class LeakError(RuntimeError):
    """An input that is to be measured was used to calibrate."""


@cache
def calibrated(task: Task) -> tuple[Explainer, Calibrated]:
    """An Explainer of a task, calibrated on the first tuning inputs, without their labels."""
    explainer = Explainer(task.model, task.processor)
    calls: Any = [case.call for case in task.tune[:INPUTS]]
    if task.kind == "image":
        calls = {name: torch.cat([call[name] for call in calls]) for name in calls[0]}
    return explainer, explainer.calibrate(calls)


def check_apart(choice: Calibrated, task: Task, case: Case) -> None:
    """Raise where a calibration was made on an input.

    Raises:
        LeakError: it was.
    """
    (digest,) = digests(opened(task.model, case.call, task.processor)[2])
    if digest in choice.inputs:
        raise LeakError(f"{task.name}: an input that is measured was used to calibrate; measure others")
