"""Re-entrant checkpoints of a model run their blocks once, and with gradients, while it is explained."""

import threading
from copy import deepcopy

import pytest
import torch
from helpers.odd_models import Model
from torch.utils.checkpoint import CheckpointFunction, checkpoint, checkpoint_sequential

from calig_fast import explain
from calig_fast.model.recomputation import without_checkpoints

IDS = torch.tensor([[1, 40, 17, 33, 58, 21, 2]])
OPTIONS = {"layers": "blocks", "baselines": 7}


class Each(Model):
    def forward(self, input_ids):
        h = self.embed(input_ids)
        for block in self.blocks:
            h = checkpoint(block, h, use_reentrant=True)
        return self.head(h.mean(1))


class All(Model):
    def forward(self, input_ids):
        return self.head(checkpoint_sequential(self.blocks, 2, self.embed(input_ids), use_reentrant=True).mean(1))


class Head(Model):
    def forward(self, input_ids):
        h = self.embed(input_ids)
        for block in self.blocks:
            h = block(h)
        return checkpoint(lambda x: self.head(x.mean(1)), h, use_reentrant=True)


@pytest.mark.parametrize("kind", [Each, All, Head])
@pytest.mark.parametrize("method", ["layer_ig", "conductance", "gradient_x_input"])
def test_a_reentrant_checkpoint_changes_nothing(kind, method):
    plain, model = Model().eval().double(), kind().eval().double()
    model.load_state_dict(plain.state_dict())
    a, b = (explain(one, IDS, method=method, **OPTIONS) for one in (model, plain))
    torch.testing.assert_close(a.layer_scores, b.layer_scores)
    assert torch.equal(a.converged, b.converged)


def test_a_model_of_transformers_with_checkpoints_is_explained_in_training_mode():
    from helpers.tiny_models import ids, tiny

    model = deepcopy(tiny("bert"))
    wanted = explain(model, ids(7), baselines=0)
    model.train().gradient_checkpointing_enable({"use_reentrant": True})
    torch.testing.assert_close(explain(model, ids(7), baselines=0).scores, wanted.scores)
    assert model.training
    assert model.is_gradient_checkpointing
    model.eval().gradient_checkpointing_disable()


def test_checkpoints_of_other_threads_and_of_later_calls_are_as_they_were():
    linear, x, seen = torch.nn.Linear(3, 3), torch.ones(1, 3, requires_grad=True), {}

    def enabled(name):
        def function(h):
            seen.setdefault(name, []).append(torch.is_grad_enabled())
            return linear(h)

        checkpoint(function, x, use_reentrant=True).sum().backward()

    with without_checkpoints():
        enabled("inside")
        thread = threading.Thread(target=enabled, args=("beside",))
        thread.start()
        thread.join()
    enabled("after")
    assert seen == {"inside": [True], "beside": [False, True], "after": [False, True]}
    assert "apply" not in vars(CheckpointFunction)
