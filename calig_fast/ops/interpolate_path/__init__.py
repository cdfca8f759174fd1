"""Points on the straight paths between two packed batches of hidden states."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from ..dispatch import Operation
from . import spec

OPERATION = Operation(__name__, spec.SCHEMA, spec.fake, spec.DTYPES)


def interpolate_path(
    start: Tensor,
    end: Tensor,
    offsets: Tensor,
    inputs: Tensor,
    nodes: Tensor,
    rows: int | None = None,
    before: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """Points on the straight path from `start` to `end`, one segment after another.

    points_s = start + a_s (end - start), over the tokens of input inputs[s]; a = 0 and a = 1 give the ends exactly.

    Args:
        start: [tokens, D] float32, float64, float16 or bfloat16 (both computed in float32); the baseline's hidden
            states.
        end: [tokens, D], dtype of `start`; the input's hidden states.
        offsets: [B+1] int64; input b has the tokens offsets[b] .. offsets[b+1].
        inputs: [S] int64, the input each segment belongs to.
        nodes: [S] float32 or float64, a_s in [0, 1].
        rows: sum_s T_inputs[s], where the caller knows it; else a GPU is waited for.
        before: [Q,D], dtype of `start` or, where that is float32, float16 or bfloat16: rows that come before the
            points, in one tensor of their dtype; None for none.
        backend: 'auto', 'torch', 'cpu', 'triton' or 'cuda'; 'auto' also reads CALIG_FAST_BACKEND.

    Returns:
        [Q + sum_s T_inputs[s], D], dtype of `before`, without it of `start`.

    Raises:
        TypeError: an argument of another dtype.
        ValueError: an argument of another shape, value or device; an unknown backend.
        RuntimeError: the backend asked for cannot run.
    """
    spec.check(start, end, offsets, inputs, nodes, rows, before)
    return cast(Tensor, OPERATION(backend, start, end, offsets, inputs, nodes, rows, before))
