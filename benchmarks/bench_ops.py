"""Each operation at BERT-base sizes, torch beside cpu: `pytest benchmarks/bench_ops.py`.

8 inputs of 128 tokens (and one of 512), 768 wide, 8 path points each; the MLP's rows 3072 wide, its products, and
attention of 12 heads of 64, one point each. No time is reported unless the backend's answer agrees with plain PyTorch's
in float64.
"""

from __future__ import annotations

from typing import Any

import pytest

from calig_fast import ops
from calig_fast.bench.operations import DTYPES, LAYOUTS, PROBLEMS, agree, operation, problem


@pytest.mark.parametrize("backend", ["torch", "cpu"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("op", "dtype"), PROBLEMS)
def test_op(benchmark: Any, op: str, dtype: str, layout: str, backend: str) -> None:
    """Time one operation on one backend, after its answer was checked."""
    reason = ops.backends()[backend]
    if reason is not None:
        pytest.skip(f"{backend}: {reason}")
    run = operation(op)
    args = problem(op, LAYOUTS[layout], DTYPES[dtype])
    if not agree(run, args, backend, DTYPES[dtype]):
        pytest.fail(f"{op} on {backend}: the answer is wrong, no time is reported")
    benchmark.group = f"{op} {dtype} {layout}"
    benchmark.pedantic(run, args=args, kwargs={"backend": backend}, rounds=50, warmup_rounds=5)
