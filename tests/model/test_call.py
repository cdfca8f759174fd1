"""Arguments of a call: rows of the inputs and their baselines, and options that have none."""

import torch

from calig_fast.model.call import concatenated, row_count, rows_of


def test_a_baseline_comes_after_the_inputs():
    call, baseline = {"x": torch.zeros(2, 3)}, {"x": torch.ones(2, 3), "not asked for": torch.ones(1)}
    found = concatenated(call, baseline)
    assert list(found) == ["x"]
    assert found["x"].tolist() == [[0] * 3] * 2 + [[1] * 3] * 2
    assert concatenated(call, None) == call


def test_options_of_the_model_have_no_rows():
    call = {"flag": True, "scale": torch.tensor(2.0), "ids": torch.arange(6).view(3, 2)}
    assert row_count(call) == 3
    picked = rows_of(call, torch.tensor([2, 2]))
    assert picked["flag"] is True
    assert float(picked["scale"]) == 2.0
    assert picked["ids"].tolist() == [[4, 5], [4, 5]]
    assert concatenated(call, call)["scale"] is call["scale"]
