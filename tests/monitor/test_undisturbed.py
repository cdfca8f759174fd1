"""Training is bit for bit what it would be without the monitor."""

import random

import numpy as np
import pytest
import torch
from helpers.tiny_models import ids
from helpers.watched_training import X, model_to_train, train

from calig_fast.monitor import Monitor

RUNS = {
    "plain": {},
    "in autocast": {"autocast": True},
    "accumulating": {"accumulate": 3},
    "between forward and backward, in autocast, accumulating": {"autocast": True, "accumulate": 3, "middle": True},
}


@pytest.mark.parametrize("watch", [{}, {"certify": "scores"}, {"engine": "autograd"}], ids=str)
@pytest.mark.parametrize("run", RUNS)
def test_losses_weights_and_randomness_are_the_same_bit_for_bit(run, watch):
    losses, weights, after, _ = train(None, **RUNS[run])
    watched, same_weights, same_after, monitor = train(watch, **RUNS[run])
    assert [len(h.looks) for h in monitor.histories.values()] == [6, 6]
    assert watched == losses
    assert all(torch.equal(a, b) for a, b in zip(weights, same_weights, strict=True))
    assert same_after == after


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
@pytest.mark.parametrize("run", RUNS)
def test_on_a_gpu_too(run):
    def draws(record):
        torch.rand(1, device="cuda")

    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        losses, weights, after, _ = train(None, device="cuda", **RUNS[run])
        watched, same_weights, same_after, monitor = train({"log": draws}, device="cuda", **RUNS[run])
    finally:
        torch.use_deterministic_algorithms(before)
    assert monitor.budget.looks == 6
    assert watched == losses
    assert all(torch.equal(a, b) for a, b in zip(weights, same_weights, strict=True))
    assert same_after == after


def test_the_training_is_one_that_a_draw_would_change():
    def draws(record):
        torch.rand(1)

    losses, _, after, _ = train(None)
    torch.manual_seed(0)
    assert train(None)[0] == losses  # the seeds decide
    monitor = train({"log": draws})[3]  # and what a log draws is put back
    assert monitor.budget.looks == 6
    assert train({"log": draws})[0] == losses
    assert train({"log": draws})[2] == after


def state(model):
    """Everything around and in a model that a look might change."""
    modules = {
        name: (m.training, len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks), set(m.__dict__))
        for name, m in model.named_modules()
    }
    weights = {
        name: (id(w), w.data_ptr(), w._version, w.requires_grad, id(w.grad), w.grad is None or w.grad._version)
        for name, w in model.named_parameters()
    }
    around = (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_autocast_dtype("cpu"),
        torch.is_autocast_cache_enabled(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.enabled,
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.backends.cuda.flash_sdp_enabled(),
        torch.backends.cuda.mem_efficient_sdp_enabled(),
        torch.backends.cuda.math_sdp_enabled(),
        torch.backends.mkldnn.enabled,
        model.config.to_dict(),
    )
    chance = (torch.get_rng_state().tolist(), random.getstate(), [str(part) for part in np.random.get_state()])
    return modules, weights, around, chance


@pytest.mark.parametrize("mode", ["training", "evaluating", "frozen", "no grad", "autocast"])
def test_nothing_in_or_around_the_model_changes(mode):
    model = model_to_train()
    model.register_forward_hook(lambda module, args, out: None)
    model(**X).logits.sum().backward()
    if mode == "evaluating":
        model.eval()
    if mode == "frozen":
        model.bert.encoder.layer[0].requires_grad_(False)
    monitor = Monitor(model, ids(9, 6), overhead=1.0)
    around = {"no grad": torch.no_grad(), "autocast": torch.autocast("cpu", dtype=torch.bfloat16)}
    with around.get(mode, torch.enable_grad()):
        before = state(model)
        gradients = [w.grad.clone() for w in model.parameters()]
        assert monitor.step()
        assert state(model) == before
    assert all(torch.equal(w.grad, g) for w, g in zip(model.parameters(), gradients, strict=True))


def test_a_tokenizer_that_is_used_in_training_keeps_its_padding_and_truncation():
    class Remembers:
        """Keeps what it was last asked for, as fast tokenizers do."""

        all_special_ids, unk_token_id, pad_token_id, model_max_length = (1, 2), None, 0, 40
        last = None

        def __call__(self, first, second=None, **options):
            from transformers import BatchEncoding

            self.last = options
            rows = [[1, *(5 + len(w) for w in text.split()), 2] for text in first]
            if "return_tensors" not in options:
                return {"input_ids": rows}
            return BatchEncoding({"input_ids": torch.tensor(rows)})

        def convert_ids_to_tokens(self, values):
            return [str(v) for v in values]

    tokenizer = Remembers()
    monitor = Monitor(model_to_train(), ["two words"], tokenizer, strict=True)
    assert monitor.step()
    assert tokenizer.last is None
