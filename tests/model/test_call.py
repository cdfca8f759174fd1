"""Arguments of a call: rows of the inputs and their baselines, and options that have none."""

import pytest
import torch
from helpers.odd_models import Model

from calig_fast import explain
from calig_fast.model.call import concatenated, row_count, rows_of


def test_a_baseline_comes_after_the_inputs():
    call, baseline = {"x": torch.zeros(2, 3)}, {"x": torch.ones(2, 3), "not asked for": torch.ones(1)}
    found = concatenated(call, baseline)
    assert list(found) == ["x"]
    assert found["x"].tolist() == [[0] * 3] * 2 + [[1] * 3] * 2
    alone = concatenated(call, None)["x"]
    assert torch.equal(alone, call["x"])
    assert alone is not call["x"]


def test_options_of_the_model_have_no_rows():
    call = {"flag": True, "scale": torch.tensor(2.0), "ids": torch.arange(6).view(3, 2)}
    assert row_count(call) == 3
    picked = rows_of(call, torch.tensor([2, 2]))
    assert picked["flag"] is True
    assert float(picked["scale"]) == 2.0
    assert picked["ids"].tolist() == [[4, 5], [4, 5]]
    assert concatenated(call, call)["scale"] is call["scale"]


def test_a_model_that_takes_one_row_alone_is_refused_by_its_own_words():
    class One(Model):
        def forward(self, input_ids):
            if len(input_ids) > 1:
                raise AssertionError("one at a time")
            return super().forward(input_ids)

    with pytest.raises(ValueError, match=r"model: .* fails on 2 rows .* AssertionError: one at a time"):
        explain(One().eval(), torch.arange(3, 9)[None], layers="blocks", method="layer_ig", baselines=7)


def test_a_head_that_reads_attention_maps_runs_on_the_autograd_engine():
    from transformers import BertConfig, BertModel

    class Pooled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16, "num_hidden_layers": 2}
            self.bert = BertModel(BertConfig(vocab_size=60, attn_implementation="eager", **sizes))
            self.head = torch.nn.Linear(16, 3)

        def forward(self, input_ids):
            out = self.bert(input_ids, output_attentions=True)
            return self.head((out.attentions[-1].mean((1, 2))[..., None] * out.last_hidden_state).sum(1))

    torch.manual_seed(0)
    found = explain(Pooled().eval(), torch.tensor([[1, 40, 17, 33, 2]]), baselines=0, method="layer_ig")
    assert found.engine == "autograd"
    assert found.converged.all()
