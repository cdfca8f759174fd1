"""Infidelity and max-sensitivity where they are known."""

from functools import partial

import pytest
import torch
from helpers.bags import Bag, content, contributions
from helpers.tiny_models import ids, pixels, tiny

from calig_fast import explain
from calig_fast.metrics import infidelity, max_sensitivity

OPTIONS = {"target": 1, "removal": "zero_embedding", "samples": 8, "fraction": 0.3}


def test_scores_that_add_up_have_no_infidelity():
    model, call = Bag(), ids(12, 7)
    worth = contributions(model, call)
    assert infidelity(model, call, worth, **OPTIONS).values.tolist() == pytest.approx([0, 0], abs=1e-20)
    assert infidelity(model, call, 3 * worth, normalised=True, **OPTIONS).values.tolist() == pytest.approx(
        [0, 0], abs=1e-20
    )


def test_scores_of_zero_miss_all_of_the_drop():
    model, call = Bag(), ids(12, 7)
    sets = torch.rand(5, 2, 12, generator=torch.Generator().manual_seed(0)) < 0.3
    found = infidelity(model, call, torch.zeros(2, 12), target=1, removal="delete", removed=sets)
    drop = (contributions(model, call) * content(call) * sets).sum(2)  # special tokens stay, whatever is asked
    torch.testing.assert_close(found.values, (drop**2).mean(0))


def test_drawn_sets_do_not_depend_on_the_batch():
    model, call = tiny("bert"), ids(12, 7)
    scores = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))
    whole = infidelity(model, call, scores, removal="pad", target=0)
    for b, n in enumerate((12, 7)):
        alone = {name: value[b : b + 1, :n] for name, value in call.items()}
        one = infidelity(model, alone, scores[b : b + 1, :n], removal="pad", target=0, batch_size=9)
        torch.testing.assert_close(whole.values[b : b + 1], one.values, rtol=1e-4, atol=1e-6)
    assert not torch.equal(infidelity(model, call, scores, removal="pad", target=0, seed=1).values, whole.values)


def test_scores_that_never_move_are_not_sensitive():
    found = max_sensitivity(
        tiny("vit"), pixels(2), lambda model, x, target, tokenizer: torch.ones(len(x["pixel_values"]), 3)
    )
    assert found.values.tolist() == [0, 0]


def test_a_linear_explanation_moves_by_the_perturbation():
    seen = []

    def explainer(model, x, target, tokenizer):
        seen.append(x["pixel_values"])
        return x["pixel_values"].flatten(1)

    x = pixels(2)
    found = max_sensitivity(tiny("vit"), x, explainer, radius=0.1, samples=3, batch_size=4)
    moved = torch.cat(seen[1:]).unflatten(0, (2, 3))
    noise = moved - x[:, None]
    assert 0.09 < float(noise.abs().max()) <= 0.1 + 1e-6
    wanted = noise.flatten(2).norm(dim=2).amax(1) / x.flatten(1).norm(dim=1)
    torch.testing.assert_close(found.values.float(), wanted)


def test_words_are_moved_in_the_embedding_and_padding_is_not():
    seen = []

    def explainer(model, x, target, tokenizer):
        assert target.tolist() == [2] * len(target)
        seen.append(x["inputs_embeds"])
        return explain(model, x, target=target, method="gradient_x_input")

    model, call = tiny("bert"), ids(9, 6)
    found = max_sensitivity(model, call, explainer, target=2, samples=2)
    original = model.bert.embeddings.word_embeddings(call["input_ids"])
    assert torch.equal(seen[0], original)
    moved = (torch.cat(seen[1:]).unflatten(0, (2, 2)) - original[:, None]).abs().amax(-1)
    assert float(moved.max()) <= 0.02 + 1e-6
    assert bool((moved[:, 0][call["attention_mask"] != 0] > 0).all())
    assert bool((moved[:, 0][call["attention_mask"] == 0] == 0).all())
    assert bool((found.values > 0).all())


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_text_one_at_a_time_gives_the_same(kind):
    model, call = tiny(kind), ids(9, 6)
    explainer = partial(explain, method="gradient_x_input")
    whole = max_sensitivity(model, call, explainer, samples=3, target=1)
    for b, n in enumerate((9, 6)):
        alone = {name: value[b : b + 1, :n] for name, value in call.items()}
        one = max_sensitivity(model, alone, explainer, samples=3, target=1, batch_size=2)
        torch.testing.assert_close(whole.values[b : b + 1], one.values, rtol=1e-3, atol=1e-5)
