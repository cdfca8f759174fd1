"""The explanation of a text from those of its windows: sums, errors that stay bounds, and files and views of it."""

import pytest
import torch
from helpers.long_texts import text
from helpers.real_models import minilm_tokenizer
from helpers.text_models import bert

from calig_fast import Attribution, Explainer, explain
from calig_fast.results.windows import bypassed, sum_error

FINE = {"quadrature": "gausslegendre", "n_steps": 64, "dtype": torch.float64}


def test_the_error_of_a_sum_is_a_bound():
    draw = torch.Generator().manual_seed(0)
    for _ in range(200):
        parts = torch.randn(4, 3, 7, generator=draw, dtype=torch.float64)
        wrong = parts + 0.1 * torch.randn(4, 3, 7, generator=draw, dtype=torch.float64)
        error = (wrong - parts).norm(dim=2) / wrong.norm(dim=2)
        whole = wrong.sum(0)
        true = (whole - parts.sum(0)).norm(dim=1) / whole.norm(dim=1)
        assert (sum_error(error, wrong.norm(dim=2), whole.norm(dim=1)) >= true * (1 - 1e-12)).all()


def test_the_error_of_what_cancels_is_not_small():
    one = torch.ones(2, 1, dtype=torch.float64)
    assert float(sum_error(0.01 * one, one, torch.tensor([2.0]))) == pytest.approx(0.01)
    assert float(sum_error(0.01 * one, one, torch.tensor([0.001]))) == pytest.approx(20)
    assert float(sum_error(0.01 * one, one, torch.tensor([0.0]))) == torch.inf
    assert float(sum_error(0.01 * one, 0 * one, torch.tensor([0.0]))) == pytest.approx(0.01)
    assert float(sum_error(torch.tensor([[torch.inf], [0.0]]), 0 * one, torch.tensor([0.0]))) == torch.inf
    assert sum_error(torch.nan * one, one, torch.tensor([1.0])).isnan().all()


def test_what_passes_the_layers_by_does_not_cancel():
    gap = torch.tensor([[2.0], [1.0]])
    assert float(bypassed(torch.tensor([[0.5], [0.5]]), gap)) == pytest.approx(0.5)
    assert float(bypassed(torch.tensor([[-0.5], [-0.5]]), gap)) == pytest.approx(-0.5)
    assert float(bypassed(torch.tensor([[0.5], [-1.0]]), gap)) == pytest.approx(2 / 3)
    assert float(bypassed(torch.zeros(2, 1), torch.tensor([[1.0], [-1.0]]))) == 0
    assert float(bypassed(torch.full((2, 1), 0.1), torch.tensor([[1.0], [-1.0]]))) == torch.inf


@pytest.mark.parametrize("certify", ["layers", "scores"])
def test_the_reported_error_holds_for_the_whole_text(certify):
    given = [text(), text(70, seed=1)]
    found = explain(bert(), given, minilm_tokenizer(), long_texts="windows", target=1, certify=certify)
    fine = explain(bert(), given, minilm_tokenizer(), long_texts="windows", target=1, **FINE)
    true = (found.layer_scores - fine.layer_scores).norm(dim=2) / fine.layer_scores.norm(dim=2)
    assert (true <= found.error).all()
    if certify == "layers":
        assert ((found.scores - fine.scores).norm(dim=1) / fine.scores.norm(dim=1) <= found.score_error).all()
    assert found.converged.all()
    assert (found.settings.tolerance, found.settings.certify) == (2e-2, certify)


def test_it_is_not_converged_where_the_windows_are_not():
    a = explain(bert(), text(), minilm_tokenizer(), long_texts="windows", n_steps=1, tolerance=1e-5)
    assert not a.converged.any()
    assert a.reasons == (("limit", "limit"),)
    assert a.statement().startswith("NOT converged")
    rollout = explain(bert(), text(), minilm_tokenizer(), long_texts="windows", method="rollout")
    assert rollout.error.isnan().all()
    assert rollout.converged.all()


def test_files_and_views_of_a_text_in_windows(tmp_path):
    given = ["short", text()]
    a = Explainer(bert(), minilm_tokenizer())(given, long_texts="windows", target="all")
    assert a.source.tolist() == [0, 0, 0, 1, 1, 1]
    b = Attribution.load(a.save(tmp_path / "windows"))
    assert b.texts == a.texts
    assert b.settings == a.settings
    assert b.settings["windows"] == a.settings["windows"] == {"tokens": 64, "stride": 15}
    assert [t.windows for t in b.texts] == [1, 1, 1, 3, 3, 3]
    assert "the mean of 3 windows" in b[3].statement()
    assert "windows" not in b[0].statement()
    last = given[1].split()[-1]
    assert last in b.to_html()
    assert b.word_scores(5, layer=1)[-1][0] == last
    assert b.plot(5) is not None
    assert b.maps is None
