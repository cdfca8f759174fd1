"""Deletion, insertion and perturbation AUC: closed forms and their order."""

import pytest
import torch
from helpers.bags import Bag, content, contributions
from helpers.tiny_models import ids, pixels, tiny

from calig_fast import explain
from calig_fast.metrics import deletion_auc, insertion_auc, perturbation_auc


def test_a_bag_of_words_in_closed_form():
    model, call = Bag(), ids(12)  # 10 content tokens, a tenth each
    worth = contributions(model, call)
    inner = worth[content(call)].sort(descending=True).values
    total, ends = worth.sum(), worth.sum() - inner.sum()
    taken = torch.cat([torch.zeros(1).double(), inner.cumsum(0)])
    options = {"target": 1, "output": "logit", "removal": "zero_embedding"}
    deletion, insertion = deletion_auc(model, call, worth, **options), insertion_auc(model, call, worth, **options)
    torch.testing.assert_close(deletion.curve[0], total - taken)
    torch.testing.assert_close(insertion.curve[0], ends + taken)
    torch.testing.assert_close(insertion.values[0], torch.trapezoid(ends + taken, dx=0.1))
    assert insertion.higher_is_better
    assert not deletion.higher_is_better
    # what deletion leaves of a reversed ranking is what insertion has of the ranking
    back = deletion_auc(model, call, -worth, **options)
    torch.testing.assert_close(back.curve.flip(1), insertion.curve)


def test_the_area_is_a_mean_over_the_span():
    model, call = Bag(), ids(12, 7)
    scores = torch.zeros(2, 12)
    found = deletion_auc(
        model, call, scores, output=lambda out: torch.ones(len(out)), removal="delete", fractions=[0.1, 0.15, 0.7]
    )
    assert found.values.tolist() == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("removal", ["blur", "blur:2", "mean", 0.5])
def test_positive_and_negative_perturbation_are_each_others_reverse(removal):
    model, x = tiny("vit"), pixels(3)
    a = explain(model, x, method="gradient_x_input")
    positive = perturbation_auc(model, x, a, removal=removal, output="prob")
    negative = perturbation_auc(model, x, a, removal=removal, output="prob", order="negative")
    flipped = perturbation_auc(model, x, -a.scores, removal=removal, output="prob")
    torch.testing.assert_close(negative.curve, flipped.curve)
    assert negative.higher_is_better
    assert not positive.higher_is_better
    assert positive.fractions.tolist() == pytest.approx([i / 10 for i in range(1, 10)])


def test_accuracy_is_that_of_the_perturbed_images():
    model, x = tiny("vit"), pixels(2)
    scores = torch.arange(17.0).expand(2, -1)  # the last patches go first
    labels = [int(model(x).logits[0].argmax()), 3]
    found = perturbation_auc(model, x, scores, target=labels, removal=0.0, fractions=[0.25, 0.5])
    changed = x.clone()
    changed[:, :, 12:] = 0
    quarter = model(changed).logits.argmax(1)
    changed[:, :, 8:] = 0
    half = model(changed).logits.argmax(1)
    wanted = torch.stack([quarter == torch.tensor(labels), half == torch.tensor(labels)], 1)
    assert torch.equal(found.curve, wanted.double())
    assert found.original[0] == 1.0


@pytest.mark.parametrize("kind", ["timm-avg", "dinov2_with_registers", "timm-registers"])
def test_prefix_tokens_are_no_patches(kind):
    model, x = tiny(kind), pixels(2)
    a = explain(model, x, method="gradient_x_input")
    loud = a.scores.clone()
    loud[:, : a.grid.prefix] = 1e6
    wanted = deletion_auc(model, x, a, target=a.target)
    torch.testing.assert_close(deletion_auc(model, x, loud, target=a.target).curve, wanted.curve)


def test_images_one_at_a_time_give_the_same():
    model, x = tiny("vit"), pixels(3)
    a = explain(model, x, method="gradient_x_input")
    whole = perturbation_auc(model, x, a, output="prob", batch_size=7)
    for b in range(3):
        one = perturbation_auc(model, x[b : b + 1], a[b], output="prob")
        torch.testing.assert_close(whole.curve[b : b + 1], one.curve, rtol=1e-4, atol=1e-5)
