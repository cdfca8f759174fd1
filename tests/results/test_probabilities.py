"""Class probabilities: softmax over classes that compete, a sigmoid of each that does not."""

import torch

from calig_fast.results.probabilities import probabilities

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0]])


def test_classes_that_compete_sum_to_one():
    found = probabilities(LOGITS, False)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, LOGITS.double().exp() / LOGITS.double().exp().sum(1, keepdim=True))
    torch.testing.assert_close(found[1], torch.full((3,), 1 / 3, dtype=torch.float64))


def test_classes_that_do_not_compete():
    torch.testing.assert_close(probabilities(LOGITS, True), 1 / (1 + (-LOGITS.double()).exp()))


def test_a_single_logit_is_that_of_a_yes():
    torch.testing.assert_close(
        probabilities(torch.tensor([[0.0], [800.0]]), False)[:, 0], torch.tensor([0.5, 1.0]).double()
    )


def test_half_precision_is_widened_first():
    assert float(probabilities(torch.tensor([[0.0, -12.0]], dtype=torch.float16), False).sum()) == 1.0
