"""Backward rules in the native engine: equal to the autograd engine's, for every family."""

from dataclasses import asdict

import pytest
import torch
from helpers.tiny_models import IMAGE, OTHERS, TEXT, inputs, tiny

from calig_fast import Explainer, Fusion, Method, Rules, explain
from calig_fast.model import families
from calig_fast.model.backward_rules import resolve

FIXED = {"quadrature": "corrected_trapezoid", "n_steps": 4, "dtype": torch.float64}
RULES = {
    "gim": "gim",
    "norm": Rules(norm="frozen"),
    "temperature": Rules(softmax_temperature=3),
    "halves": Rules(halve_products=True),
}


def read(kind, rules, engine, **options):
    """Layer relevance, and the attention maps."""
    seen = []

    def scores(signals):
        seen.append(signals.maps)
        return signals.product[:, 0], torch.cat([signals.relevance, signals.product], 1)[:, : signals.product.shape[1]]

    method = Method("maps", "layer", "gradient", scores, changed=lambda s, o: o.transpose(1, 2))
    a = explain(tiny(kind), inputs(kind), method=method, rules=rules, engine=engine, target=1, **FIXED, **options)
    return a, seen[-1][-1:]  # of the last input; engines take another number at once


def same(kind, rules):
    ours, maps = read(kind, rules, "native")
    theirs, others = read(kind, rules, "autograd")
    assert ours.engine == "native"
    torch.testing.assert_close(ours.layer_scores, theirs.layer_scores, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(ours.scores, theirs.scores, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(maps.double(), others.double(), rtol=1e-5, atol=1e-8)  # some softmaxes are of float32
    assert torch.isnan(ours.convergence_delta).all()
    assert torch.allclose(ours.gap, theirs.gap, rtol=1e-4)


@pytest.mark.parametrize("kind", [*TEXT, *IMAGE, *OTHERS])
def test_every_family_under_gims_rules(kind):
    model = tiny(kind)
    encoder = families.find(model)
    if all(encoder.block(model.get_submodule(name)).basic for name in encoder.blocks):
        same(kind, "gim")
        return
    with pytest.raises(ValueError, match="run on the autograd engine"):
        read(kind, "gim", "native")
    assert explain(model, inputs(kind), rules="gim", target=1, n_steps=1).engine == "autograd"


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("kind", ["bert", "vit", "dinov2-gated", "timm-avg"])
def test_each_rule(kind, rules):
    same(kind, RULES[rules])
    plain = explain(tiny(kind), inputs(kind), method="layer_ig", target=1, layers=[0], **FIXED)
    other = explain(tiny(kind), inputs(kind), method="layer_ig", target=1, layers=[0], rules=RULES[rules], **FIXED)
    assert (plain.scores - other.scores).norm() > 1e-3 * plain.scores.norm()


@pytest.mark.parametrize("engine", ["native", "autograd"])
@pytest.mark.parametrize("kind", ["bert", "vit", "timm-avg"])
def test_maps_by_rules_of_their_own(kind, engine):
    (plain, plain_maps), (gim, gim_maps) = (read(kind, rules, engine) for rules in ("plain", "gim"))
    for rules, other, mine, maps in (("plain", "gim", plain, gim_maps), ("gim", "plain", gim, plain_maps)):
        apart, found = read(kind, rules, engine, map_rules=other)
        torch.testing.assert_close(apart.layer_scores, mine.layer_scores, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(found, maps, rtol=1e-7, atol=1e-12)  # packed with other rows
        assert apart.settings.map_rules == asdict(resolve(other))
        torch.testing.assert_close(apart.convergence_delta, mine.convergence_delta, equal_nan=True)
    assert not torch.allclose(plain_maps, gim_maps, rtol=1e-2)
    assert read(kind, "gim", engine, map_rules="gim")[0].settings.map_rules is None


@pytest.mark.parametrize("engine", ["native", "autograd"])
@pytest.mark.parametrize("kind", ["bert", "vit"])
def test_a_share_of_ig_by_rules_of_its_own(kind, engine):
    options = {"engine": engine, "target": 1, **FIXED}
    rolled = explain(tiny(kind), inputs(kind), method=Fusion(), **options)
    ig = explain(tiny(kind), inputs(kind), method="ig", rules="gim", **options)
    for share in (0.4, 1.0):
        fusion = Fusion(embedding_share=share, embedding_rules="gim")
        a = explain(tiny(kind), inputs(kind), method=fusion, **options)
        content = a.mask & ~a.special
        scale = (ig.scores * content).abs().sum(1) / (rolled.scores * content).abs().sum(1)
        wanted = (1 - share) * rolled.scores * scale[:, None] + share * ig.scores
        torch.testing.assert_close(a.scores, wanted, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(a.layer_scores, rolled.layer_scores)
        torch.testing.assert_close(a.convergence_delta, rolled.convergence_delta)
        assert (a.error[:, 0] >= torch.maximum(rolled.error[:, 0], ig.error[:, 0]) * 0.999).all()
        assert (a.n_steps[:, 0] == rolled.n_steps[:, 0] + ig.n_steps[:, 0]).all()
        assert (a.score_error > rolled.score_error * (1 - share) * 0.5).all()
        assert a.settings.fusion["embedding_rules"] == "gim"


def test_the_error_of_the_share_is_counted():
    fusion = Fusion(embedding_share=0.9, embedding_rules=Rules(softmax_temperature=3))
    few, many = (
        explain(tiny("bert"), inputs("bert"), method=fusion, target=1, quadrature="riemann_left", n_steps=n)
        for n in (2, 400)
    )
    off = (few.scores - many.scores).norm(dim=1) / many.scores.norm(dim=1)
    assert (off <= few.score_error + many.score_error).all()
    assert float(few.score_error.min()) > float(many.score_error.max())


def test_rules_of_maps_that_no_method_reads_change_nothing():
    a = explain(tiny("bert"), inputs("bert"), method="rollout", map_rules="gim")
    assert torch.equal(a.scores, explain(tiny("bert"), inputs("bert"), method="rollout").scores)
    assert a.settings.map_rules is None


def test_an_explainer_keeps_the_engine_of_its_maps_while_the_weights_are_the_models():
    model = tiny("bert")
    explainer = Explainer(model, method="chefer", map_rules="gim", target=1)
    explainer(inputs("bert"))
    with torch.no_grad():
        model.bert.encoder.layer[0].output.dense.weight.mul_(1.5)
    wanted = explain(model, inputs("bert"), method="chefer", map_rules="gim", target=1)
    assert torch.equal(explainer(inputs("bert")).scores, wanted.scores)


def test_the_passes_in_python_equal_those_in_cpp_where_no_rule_is_left():
    nothing = Rules(softmax_temperature=1 + 1e-9)  # not plain, so that the blocks run in Python
    for kind in ("bert", "vit"):
        ours, maps = read(kind, nothing, "native")
        plain, others = read(kind, "plain", "native")
        torch.testing.assert_close(ours.layer_scores, plain.layer_scores, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(
            maps.double(), others.double(), rtol=1e-5, atol=1e-8
        )  # some softmaxes are of float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_narrower_dtypes(dtype):
    options = {"rules": "gim", "target": 1, "quadrature": "corrected_trapezoid", "n_steps": 4}
    exact = explain(tiny("bert"), inputs("bert"), dtype=torch.float64, engine="native", **options)
    a = explain(tiny("bert"), inputs("bert"), dtype=dtype, engine="native", **options)
    off = (a.layer_scores - exact.layer_scores).norm() / exact.layer_scores.norm()
    assert float(off) < (1e-4 if dtype == torch.float32 else 5e-2)


def test_a_frozen_gate_goes_to_the_autograd_engine():
    a = explain(tiny("bert"), inputs("bert"), rules=Rules(gate="frozen"))
    assert a.engine == "autograd"
    assert "gate" in a.settings.not_native
    with pytest.raises(ValueError, match='engine: "native" cannot run this: Rules'):
        explain(tiny("bert"), inputs("bert"), rules=Rules(gate="frozen"), engine="native")
