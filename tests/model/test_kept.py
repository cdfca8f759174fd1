"""A call leaves the model, its modules, the process and the inputs as they were."""

import random
import threading
from copy import deepcopy

import numpy as np
import pytest
import torch
from helpers.odd_models import Model
from helpers.tiny_models import ids, tiny
from torch import nn

from calig_fast import explain

IDS = torch.arange(3, 9)[None]
OPTIONS = {"layers": "blocks", "method": "layer_ig", "baselines": 7}


class Counts(Model):
    """Writes at every call: a buffer, a plain tensor, a table of words, attributes, containers, and its arguments."""

    def __init__(self):
        super().__init__()
        self.word.max_norm = 1.0
        self.register_buffer("steps", torch.zeros(1))
        self.seen = torch.zeros(1)
        self.calls, self.last, self.log, self.named = 0, None, [], {"of": {"all": [0]}}

    def forward(self, input_ids):
        self.steps += 1
        self.seen += 1
        self.calls += 1
        self.log.append(self.calls)
        self.named["of"]["all"].append(1)
        self.named[self.calls] = self.fresh = 1
        input_ids.clamp_(max=40)
        torch.rand(1), random.random(), np.random.rand()
        self.last = out = super().forward(input_ids)
        return out


def states(model):
    """Every attribute of every module, with the contents of its containers."""
    return {
        (name, key): repr(value) if isinstance(value, dict | list) else value
        for name, module in model.named_modules()
        for key, value in vars(module).items()
    }


def test_what_a_forward_writes_into_is_given_back():
    model, given = Counts().eval(), torch.tensor([[3, 50, 51, 20, 6, 7]])
    before, tensors = states(model), {name: value.clone() for name, value in model.state_dict().items()}
    drawn = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    found = explain(model, given, **OPTIONS)
    with pytest.raises(ValueError, match="target"):
        explain(model, given, **OPTIONS, target=99)
    assert states(model) == before
    for name, value in model.state_dict().items():
        assert torch.equal(value, tensors[name]), name
    assert torch.equal(torch.get_rng_state(), drawn[0])
    assert random.getstate() == drawn[1]
    assert np.random.get_state()[1].tolist() == drawn[2]
    assert given.tolist() == [[3, 50, 51, 20, 6, 7]]
    torch.testing.assert_close(found.logits, model(given.clone()).detach())


def test_pixels_that_a_model_changes_in_place_are_the_callers():
    class Centred(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch = nn.Conv2d(3, 8, 4, 4)
            self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8), nn.Tanh()) for _ in range(2))
            self.head = nn.Linear(8, 3)

        def forward(self, pixel_values):
            h = self.patch(pixel_values.sub_(0.5)).flatten(2).transpose(1, 2)
            for block in self.blocks:
                h = block(h)
            return self.head(h.mean(1))

    model, pixels = Centred().eval(), torch.rand(1, 3, 16, 16)
    before = pixels.clone()
    found = explain(model, pixels, method="layer_ig", layers="blocks")
    assert torch.equal(pixels, before)
    torch.testing.assert_close(found.logits, model(pixels).detach())


@pytest.mark.parametrize("flag", ["output_attentions", "output_hidden_states"])
@pytest.mark.parametrize("method", ["calig", "conductance"])
def test_hooks_that_a_library_puts_on_at_its_first_call_are_taken_off(flag, method):
    model, plain = deepcopy(tiny("bert")), ids(7)
    wanted = explain(model, plain, baselines=0, method=method)
    before = states(model)
    found = explain(model, {**plain, flag: True}, baselines=0, method=method)
    assert states(model) == before
    torch.testing.assert_close(found.scores, wanted.scores)
    model(**plain, **{flag: True})  # the hooks are on now, and no user put them there
    assert explain(model, {**plain, flag: True}, baselines=0, method=method).engine == wanted.engine


def test_threads_that_share_a_model_take_no_hooks_from_each_other():
    model, call, said = deepcopy(tiny("bert")), {**ids(7), "output_attentions": True}, []

    def work():
        for _ in range(4):
            try:
                explain(model, call, baselines=0, method="gradient_x_input")
            except Exception as error:
                said.append(repr(error))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not said
    assert not any(m._forward_hooks for m in model.modules())


class Fails(Counts):
    """Writes, and then fails."""

    def forward(self, input_ids):
        super().forward(input_ids)
        raise RuntimeError("mine")


def test_attributes_are_given_back_when_the_call_fails():
    model = Fails().eval()
    before = states(model)
    with pytest.raises(ValueError, match="RuntimeError: mine"):
        explain(model, IDS, **OPTIONS)
    assert states(model) == before
