"""Models that cannot be explained whatever the input, and the dtype that one is run in."""

import pytest
import torch
from helpers.tiny_models import Linear
from torch import nn

from calig_fast.model import checks


def whole_numbers():
    model = nn.Linear(2, 2)
    model.weight = nn.Parameter(torch.ones(2, 2, dtype=torch.int8), requires_grad=False)
    return model


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        ("bert", TypeError, "expected a torch.nn.Module, got str"),
        (nn.ReLU(), ValueError, "no parameters"),
        (nn.Linear(2, 2, device="meta"), ValueError, "meta device"),
        (whole_numbers(), ValueError, "quantised"),
        (nn.Linear(2, 2, dtype=torch.complex64), ValueError, "model: its weights are torch.complex64"),
        (torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), ValueError, "model: it is compiled by TorchScript"),
    ],
    ids=["no module", "no weights", "no values", "quantised", "complex", "traced"],
)
def test_what_is_no_model(model, error, words):
    with pytest.raises(error, match=words):
        checks.model(model)


def test_a_model_is_let_through():
    checks.model(Linear())


def test_half_precision_runs_in_float32_where_the_processor_lacks_it(monkeypatch):
    assert checks.compute_dtype(None, Linear()) is None
    assert checks.compute_dtype(None, Linear().half()) is torch.float32
    for has, wanted in ((True, None), (False, torch.float32)):
        monkeypatch.setattr(checks, "_has_bfloat16", lambda has=has: has)
        assert checks.compute_dtype(None, Linear().bfloat16()) is wanted


def test_what_is_asked_is_what_is_run():
    assert checks.compute_dtype(torch.float64, Linear()) is torch.float64
    assert checks.compute_dtype(torch.float32, Linear()) is None
    assert checks.compute_dtype(torch.float16, Linear().half()) is None
