"""Each operation at BERT-base sizes, torch beside cpu: `pytest benchmarks/bench_ops.py`.

Layouts from one input of 128 tokens to 32 of different lengths, 768 wide, 2 to 20 path points each. The MLP's rows are
3072 wide; its products and the attention, of 12 heads of 64, are of one point each. No time is reported unless the
backend's answer agrees with plain PyTorch's in float64.
"""

from __future__ import annotations

from typing import Any

import pytest

from calig_fast import ops
from calig_fast.bench.operations import DTYPES, LAYOUTS, PROBLEMS, agree, operation, problem
from calig_fast.ops.model_sizes import Batch


@pytest.mark.parametrize("backend", ["torch", "cpu"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("op", "dtype"), PROBLEMS)
def test_op(benchmark: Any, op: str, dtype: str, layout: str, backend: str) -> None:
    """Time one operation on one backend, after its answer was checked."""
    reason = ops.backends()[backend]
    if reason is not None:
        pytest.skip(f"{backend}: {reason}")
    run = operation(op)
    lengths, points = LAYOUTS[layout]
    args = problem(op, Batch(lengths, DTYPES[dtype], points=points))
    if not agree(run, args, backend, DTYPES[dtype]):
        pytest.fail(f"{op} on {backend}: the answer is wrong, no time is reported")
    benchmark.group = f"{op} {dtype} {layout}"
    benchmark.pedantic(run, args=args, kwargs={"backend": backend}, rounds=50, warmup_rounds=5)
