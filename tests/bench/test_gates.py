"""A wrong answer is refused, and one that rounding explains is not."""

import pytest
import torch

from calig_fast.bench import RedGateError
from calig_fast.bench.gates import gate, same

pytest.importorskip("captum")


def test_gates():
    oracle = [torch.tensor([[1.0, 2.0]])]
    assert same({"ours": [oracle[0] * (1 + 5e-6)]}, oracle, lambda: pytest.fail("not needed")) < 1e-5
    exact = [oracle[0].double() * (1 + 4e-4)]
    assert same({"ours": [oracle[0] * (1 - 3e-4)]}, oracle, lambda: exact) == pytest.approx(3e-4, rel=1e-3)
    with pytest.raises(RedGateError, match="ours at equal nodes"):
        same({"ours": [oracle[0] * (1 - 5e-4)]}, oracle, lambda: exact)
    with pytest.raises(RedGateError, match="no time is reported"):
        gate("a check", float("nan"), 1.0)
