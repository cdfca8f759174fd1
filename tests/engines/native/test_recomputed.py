"""Blocks that run again on the way back: the same numbers, of inputs alone."""

import pytest
import torch
from helpers.tiny_models import inputs, pixels, tiny

from calig_fast import explain
from calig_fast.engines.budget import Budget
from calig_fast.engines.native import recomputed

NODES = {"method": "layer_ig", "quadrature": "gausslegendre", "n_steps": 2}


@pytest.fixture
def again(monkeypatch):
    """Every block runs again; the list has an entry for each."""
    ran, saved = [], recomputed.KeptInput.saved
    monkeypatch.setattr(recomputed, "too_much", lambda size, budget: True)
    monkeypatch.setattr(recomputed.KeptInput, "saved", lambda kept: ran.append(kept.rows.shape) or saved(kept))
    return ran


@pytest.mark.parametrize("kind", ["bert", "deberta-v3", "gpt2", "modernbert", "timm-token", "vit"])
def test_blocks_that_run_again_give_the_same(kind, again, monkeypatch):
    options = {"return_maps": True, "target": 1}
    found = explain(tiny(kind), inputs(kind), **options)
    count = len(again)
    assert count > 0
    monkeypatch.setattr(recomputed, "too_much", lambda size, budget: False)
    usual = explain(tiny(kind), inputs(kind), **options)
    assert len(again) == count
    for name in ("scores", "layer_scores", "convergence_delta", "logits"):
        torch.testing.assert_close(getattr(found, name), getattr(usual, name), rtol=1e-4, atol=1e-6)
    for mine, theirs in zip(found.maps, usual.maps, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_only_passes_that_would_keep_too_much_run_again():
    assert recomputed.too_much(2**30 + 1, Budget(2**20, False))
    assert not recomputed.too_much(2**30, Budget(2**20, False))
    assert not recomputed.too_much(2**32, Budget(2**33, False)), "a larger budget holds them"
    stated = Budget(2**20, True, overhead=2.0, ends=2.0, copies=2**19)
    assert recomputed.too_much(2**17 + 1, stated)
    assert not recomputed.too_much(2**17, stated)


def test_several_targets_run_the_blocks_again_for_each(again):
    explain(tiny("vit"), pixels(1), target=1, **NODES)
    once = len(again)
    explain(tiny("vit"), pixels(1), target=[[1, 2, 3]], **NODES)
    assert len(again) == 4 * once
