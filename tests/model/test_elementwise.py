"""Factors of a product that are functions of one tensor, element by element."""

import torch

from calig_fast.model.elementwise import Factor, related


def test_functions_of_one_tensor_are_related_and_others_are_not():
    x = torch.randn(2, 3, 4).requires_grad_()
    w = torch.randn(4, 4)
    h, other = x @ w, x @ w.T
    assert related(Factor(h), Factor(torch.sigmoid(1.7 * h)))
    assert related(Factor(2 * x), Factor(x.tanh() + 1))
    assert not related(Factor(h), Factor(torch.sigmoid(other)))
    assert not related(Factor(h), Factor(torch.sigmoid(h @ w)))
    one, two = (h @ torch.randn(4, 8)).chunk(2, -1)
    assert not related(Factor(one), Factor(two.sigmoid()))


def test_a_gate_is_bent_and_what_it_gates_is_not():
    x = torch.randn(2, 3, 4).requires_grad_() * 1.0
    assert Factor(0.5 * (1 + torch.erf(x))).bent
    assert not Factor(0.5 * x).bent


def test_the_deviation_of_a_norm_is_known_by_its_root():
    x = torch.randn(2, 3, 4).requires_grad_()
    for root in (torch.rsqrt, torch.sqrt, lambda v: v**-0.5):
        deviation = root(x.square().mean(-1, keepdim=True) + 1)
        assert related(Factor(x), Factor(deviation))
        assert not related(Factor(x @ torch.randn(4, 4)), Factor(x * deviation))
