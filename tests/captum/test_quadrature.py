"""Nodes and weights are Captum's, to the last bit where they go into a model."""

import numpy as np
import pytest
import torch

from calig_fast.captum import quadrature


@pytest.mark.parametrize("method", quadrature.METHODS)
@pytest.mark.parametrize("n", [2, 3, 20, 50])
def test_they_are_captums(method, n):
    rules = pytest.importorskip("captum.attr._utils.approximation_methods")
    sizes, alphas = rules.approximation_parameters(method)
    as_float32 = [torch.tensor(values, dtype=torch.float32) for values in (quadrature.nodes(method, n), alphas(n))]
    assert torch.equal(*as_float32)
    assert quadrature.weights(method, n) == pytest.approx([float(size) for size in sizes(n)], rel=1e-6)


def test_the_gauss_rule_has_a_single_node():
    assert quadrature.nodes("gausslegendre", 1) == [0.5]
    assert quadrature.weights("gausslegendre", 1) == [1.0]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((5, "simpson"), ValueError, "method: expected one of"),
        ((5, []), ValueError, "method: expected one of"),
        ((5.0, "gausslegendre"), TypeError, "n_steps: expected an int of at least 1, got 5.0"),
        ((None, "gausslegendre"), TypeError, "n_steps: expected an int of at least 1, got None"),
        ((1, "riemann_trapezoid"), ValueError, "expected an int of at least 2, got 1"),
        ((0, "gausslegendre"), ValueError, "expected an int of at least 1, got 0"),
        ((10**9, "gausslegendre"), ValueError, "expected an int of at most 5000, got 1000000000"),
    ],
)
def test_rules_there_are_not(arguments, error, words):
    with pytest.raises(error, match=words):
        quadrature.checked(*arguments)


def test_nodes_beyond_the_steps_count():
    assert quadrature.checked(1, "riemann_trapezoid", extra=1) == (1, "riemann_trapezoid")
    assert quadrature.checked(np.int64(3), "gausslegendre") == (3, "gausslegendre")
