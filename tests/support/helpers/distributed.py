"""Tasks in two processes over gloo, for tests: `run(tasks, folder)` starts both and returns what each told."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from calig_fast import explain
from calig_fast.monitor import Monitor
from helpers.tiny_models import ids, tiny

RANKS = 2


def run(tasks: Sequence[str], folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Run tasks, functions of this module, in two processes; of each task what the ranks told.

    Raises:
        subprocess.TimeoutExpired: a process waits for the other.
        AssertionError: a process failed.
    """
    search = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "helpers.distributed", str(rank), str(folder), *tasks],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=search,
        )
        for rank in range(RANKS)
    ]
    try:
        ended = [process.communicate(timeout=300) for process in started]
    finally:
        for process in started:
            process.kill()
    for process, (_, errors) in zip(started, ended, strict=True):
        assert process.returncode == 0, errors
    told = [json.loads(output.splitlines()[-1]) for output, _ in ended]
    return {task: [one[task] for one in told] for task in tasks}


def trained(model: nn.Module, watched: nn.Module, folder: Path) -> dict[str, Any]:
    """Three steps with a monitor: its looks, its warnings and the last loss."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        monitor = Monitor(watched, ids(9), overhead=1, page=folder / "page.html")
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            loss = model(**ids(9)).logits.square().sum()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            monitor.step()
        monitor.close()
    looks = [look.step for look in monitor.histories["probe 0"].looks]
    return {"looks": looks, "warnings": [str(w.message) for w in told if "monitor:" in str(w.message)]}


def refusal(model: nn.Module) -> str:
    """The message with which `explain` refuses a model."""
    try:
        explain(model, ids(9))
    except ValueError as error:
        return str(error)
    return ""


def data_parallel(folder: Path) -> dict[str, Any]:
    """DistributedDataParallel: every rank holds all weights."""
    model = nn.parallel.DistributedDataParallel(copy.deepcopy(tiny("bert")).train())
    return trained(model, model, folder)


def sharded(folder: Path) -> dict[str, Any]:
    """FSDP2, which `explain` refuses."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = copy.deepcopy(tiny("bert")).train()
    fully_shard(model, mesh=init_device_mesh("cpu", (RANKS,)))
    return {"refusal": refusal(model)}


def tensor_parallel(folder: Path) -> dict[str, Any]:
    """A linear layer split over the ranks."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

    model = copy.deepcopy(tiny("bert"))
    plan = {"bert.encoder.layer.0.intermediate.dense": ColwiseParallel()}
    parallelize_module(model, init_device_mesh("cpu", (RANKS,)), plan)
    return {"refusal": refusal(model)}


def sharded_later(folder: Path) -> dict[str, Any]:
    """FSDP2 of a model that a monitor watches already: rank 0 tells it once, and no rank waits for the other."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = copy.deepcopy(tiny("bert")).train()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        monitor = Monitor(model, ids(9), overhead=1)
        fully_shard(model, mesh=init_device_mesh("cpu", (RANKS,)))
        for _ in range(2):
            model(**ids(9)).logits.square().sum().backward()
            monitor.step()
    looks = [look.step for look in monitor.histories["probe 0"].looks]
    return {"looks": looks, "warnings": [str(w.message) for w in told if "monitor:" in str(w.message)]}


def main(rank: int, folder: Path, tasks: Sequence[str]) -> None:
    """One rank; the last line it prints is what it tells."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/ranks", rank=rank, world_size=RANKS, device_id=None
    )
    told = {task: globals()[task](folder) for task in tasks}
    torch.distributed.destroy_process_group()
    print(json.dumps(told))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
