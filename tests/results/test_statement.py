"""The error of an explanation in words, and the reasons of layers that did not converge."""

from dataclasses import replace

import pytest
import torch
from helpers.tiny_models import ids, tiny

from calig_fast import explain
from calig_fast.results.statement import incomplete


@pytest.fixture(scope="module")
def a():
    return explain(tiny("bert"), ids(6, 5), baselines=0)


def test_a_share_above_the_tolerance_is_incomplete():
    bypass = torch.tensor([[0.0, 0.019, -0.03], [torch.nan, torch.inf, -torch.inf]])
    assert incomplete(bypass, 2e-2).tolist() == [[False, False, True], [False, True, True]]
    assert not incomplete(bypass, None).any()


def test_reasons_name_the_bypass_before_the_limit(a):
    bypass = torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.0, 0.0]])
    late = torch.tensor([[False, False, True], [True, True, True]])
    b = replace(a, bypass=bypass, layer_converged=late)
    assert b.reasons == (("incomplete", "limit", ""), ("", "", ""))
    assert b.converged.tolist() == [False, True]


def test_the_statement_says_what_share_is_missing(a):
    bypass = torch.tensor([[0.5, 0.25, 0.0], [0.0, 0.0, 0.0]])
    b = replace(a, bypass=bypass, layer_converged=torch.tensor([[False, False, True], [True] * 3]))
    said = b.statement(0)
    assert said.startswith("NOT converged: 50 % of the change of the output does not pass the hidden state of block 0")
    assert "(layers 0, 1)" in said
    assert "n_steps" not in said
    assert b.statement(1).startswith("Converged")


def test_scores_converge_only_where_nothing_passes_the_layers_by(a):
    b = replace(a, score_error=torch.full((2,), 1e-3), settings=replace(a.settings, certify="scores"))
    assert b.converged.all()
    b = replace(b, bypass=torch.tensor([[0.0, 0.0, 0.4], [0.0, 0.0, 0.0]]))
    assert b.converged.tolist() == [False, True]
    assert "40 % of the change" in b.statement(0)


def test_a_file_of_an_earlier_release_holds_no_bypass(a):
    b = replace(a, bypass=None)
    assert b.converged.all()
    assert not b.bypass_or_zero.any()
