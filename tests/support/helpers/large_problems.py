"""Arguments of the operations that are large, and what plain PyTorch makes of them in float64."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from calig_fast import ops
from calig_fast.ops.samples import Layout

# As FLOOR of test_values.py, of a GPU's attention of 4,096 tokens: what it sums has both signs, and is there ten
# times as large as the sums that are left, which the floor is a multiple of.
LONG_FLOOR = 16
DEFAULT = Layout()


def large(op: str, layout: Layout = DEFAULT) -> tuple[Any, ...]:
    """The operation's own large problem, of fixed random numbers."""
    torch.manual_seed(0)
    found: tuple[Any, ...] = importlib.import_module(f"calig_fast.ops.{op}.spec").large(layout)
    return found


def called(backend: str) -> set[str]:
    """The operations that have a kernel of `backend` and that the engines or the methods name."""
    package = Path(ops.__file__).parents[1]
    text = "".join(path.read_text() for room in ("engines", "methods") for path in (package / room).rglob("*.py"))
    functions = (getattr(ops, name, None) for name in set(re.findall(r"\bops\.(\w+)", text)))
    return {getattr(one, "__module__", "").rpartition(".")[2] for one in functions} & set(ops.operations(backend))


def longest(op: str) -> tuple[Any, ...]:
    """One input of 4,096 tokens, and as little else as can be: three columns, one head of 16."""
    return large(op, Layout((4096,), (0, 0), width=3, heads=(1, 16)))


def in_float64(op: str, args: tuple[Any, ...]) -> tuple[Tensor, ...]:
    """Return the result of plain PyTorch; the loop of fuse_rollout's `exact` takes half a minute for 4,096 tokens."""
    found = getattr(ops, op)(*map(_doubled, args), backend="torch")
    return found if isinstance(found, tuple) else (found,)


def _doubled(arg: Any) -> Any:
    if isinstance(arg, list):
        return [t.double() for t in arg]
    return arg.double() if isinstance(arg, Tensor) and arg.is_floating_point() else arg
