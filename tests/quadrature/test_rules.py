"""Fixed rules: their nodes are Captum's, their order is what is said of it, and an unknown one is named."""

import math

import pytest
import torch

from calig_fast.quadrature.rules import FIXED, corrected_trapezoid, nodes_and_weights


def test_fixed_nodes_are_captums():
    from captum.attr._utils.approximation_methods import approximation_parameters

    for rule in FIXED[:-1]:
        sizes, alphas = approximation_parameters(rule)
        nodes, weights = nodes_and_weights(rule, 9)
        torch.testing.assert_close(torch.tensor(nodes), torch.tensor(alphas(9)))
        theirs = torch.tensor(sizes(9), dtype=torch.float64)
        # Captum's trapezoid weighs by 1/n where n nodes span n - 1 intervals
        torch.testing.assert_close(weights, theirs * (9 / 8 if rule == "riemann_trapezoid" else 1))


def test_the_end_correction_is_third_order_better_than_the_trapezoid():
    exact = math.exp(1) - 1
    for m in (4, 8, 16):
        values = torch.exp(torch.arange(m + 1, dtype=torch.float64) / m)
        corrected = abs(float(corrected_trapezoid(m) @ values) - exact)
        plain = abs(float((values[1:] + values[:-1]).sum() / (2 * m)) - exact)
        assert corrected < plain / m * 1.3


def test_an_unknown_rule_is_named():
    with pytest.raises(ValueError, match="quadrature: 'simpson'"):
        nodes_and_weights("simpson", 4)
