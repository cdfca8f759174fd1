"""The autograd engine on models whose blocks hand on more, or otherwise, than one hidden state [N,T,D]."""

import pytest
import torch
from helpers.odd_models import BYPASSED, PLAIN, WIDTH, Model, Recomputed, by_hooks, logits, made

from calig_fast import explain

IDS = torch.tensor([[1, 40, 17, 33, 58, 21, 2], [1, 5, 9, 31, 44, 12, 2], [1, 8, 51, 26, 19, 37, 2]])
BASELINE = torch.where((IDS == 1) | (IDS == 2), IDS, 7)
WIDTH_AXIS = {"tokens_last": 1}
OPTIONS = {"method": "layer_ig", "baselines": 7, "tolerance": 1e-2}


def relevance(name, model, row, layer, target):
    """r_l [T] by hooks."""
    found = by_hooks(model, (IDS[row : row + 1], BASELINE[row : row + 1]), layer, target)
    return found.sum(WIDTH_AXIS.get(name, -1)).flatten()


@pytest.mark.parametrize("name", [*PLAIN, *BYPASSED])
@pytest.mark.parametrize("layers", [None, "blocks"])
def test_every_layer_equals_plain_hooks(name, layers):
    model = made(name)
    given = "one.blocks" if name == "two_towers" and layers else layers
    a = explain(model, IDS, layers=given, **OPTIONS)
    with torch.no_grad():
        whole, other = logits(model(IDS)), logits(model(BASELINE))
    torch.testing.assert_close(a.logits, whole.float())
    change = (whole - other).gather(1, a.target[:, None])[:, 0]
    for layer in range(3):
        torch.testing.assert_close(a.gap[:, layer].double(), change, rtol=1e-5, atol=1e-7)
        for row in range(3):
            expected = relevance(name, model, row, layer, int(a.target[row]))
            off = (a.layer_scores[row, layer] - expected).norm() / expected.norm()
            assert float(off) < 2 * max(1e-2, float(a.error[row, layer])), (layer, row)
    if name in PLAIN:
        assert float(a.bypass.abs().max()) == 0
        assert a.converged.all()
        assert a.reasons == (("", "", ""),) * 3


@pytest.mark.parametrize("name", BYPASSED)
@pytest.mark.parametrize("certify", ["layers", "scores"])
def test_a_change_that_passes_a_block_by_is_measured_and_said(name, certify):
    model = made(name)
    a = explain(model, IDS, layers="one.blocks" if name == "two_towers" else "blocks", certify=certify, **OPTIONS)
    past = 2 if name == "reads_all_states" else 1
    if certify == "layers":
        torch.testing.assert_close(a.bypass, 1 - a.layer_scores.sum(2) / a.gap, rtol=3e-2, atol=3e-2)
    bypassed = a.bypass.abs() > 1e-2
    assert bypassed[:, past].all()
    assert not (a.layer_converged & bypassed).any()
    assert not a.converged[bypassed.any(1)].any()
    assert a.reasons[0][past] == "incomplete"
    assert "does not pass the hidden state of block" in a.statement()
    assert a[0].statement().startswith("NOT converged")


def test_a_batch_with_as_many_inputs_as_tokens_is_read_along_the_right_axes():
    model = made("tokens_first")
    ids = torch.randint(3, 60, (7, 7), generator=torch.Generator().manual_seed(0))
    both = explain(model, ids, layers="blocks", **OPTIONS)
    for row in range(7):
        alone = explain(model, ids[row : row + 1], layers="blocks", **OPTIONS)
        torch.testing.assert_close(both.layer_scores[row], alone.layer_scores[0], rtol=2e-2, atol=2e-3)


def test_a_text_as_long_as_the_model_is_wide_is_read_along_the_right_axes():
    model = made("tokens_last")
    ids = torch.randint(3, 60, (2, WIDTH), generator=torch.Generator().manual_seed(0))
    a = explain(model, ids, layers="blocks", **OPTIONS)
    base = torch.full_like(ids[:1], 7)
    expected = by_hooks(model, (ids[:1], base), 1, int(a.target[0])).sum(1).flatten()
    b = explain(model, ids[:1], layers="blocks", **{**OPTIONS, "baselines": base})
    torch.testing.assert_close(b.layer_scores[0, 1].double(), expected, rtol=2e-2, atol=1e-2)


def test_a_model_that_draws_random_numbers_is_refused():
    class Head(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x) + torch.randn(len(x), 3)

    model = made("shared_bias")
    model.head.__class__ = Head
    with pytest.raises(ValueError, match="draws random numbers"):
        explain(model, IDS, layers="blocks", **OPTIONS)


def test_a_checkpoint_of_the_models_own_changes_nothing():
    plain = Model().eval().double()
    model = Recomputed().eval().double()
    model.load_state_dict(plain.state_dict())
    for method in ("layer_ig", "conductance"):
        a, b = (explain(m, IDS, layers="blocks", **{**OPTIONS, "method": method}) for m in (model, plain))
        torch.testing.assert_close(a.layer_scores, b.layer_scores)
        torch.testing.assert_close(a.gap, b.gap)


@pytest.mark.parametrize("name", ["tokens_first", "tokens_last", "flat_rows"])
def test_axes_are_told_without_a_baseline(name):
    model = made(name)
    ids = torch.randint(3, 60, (1, WIDTH), generator=torch.Generator().manual_seed(0))
    plain = Model().eval().double()
    a = explain(model, ids, layers="blocks", **{**OPTIONS, "baselines": "zeros"})
    assert a.layer_scores.shape == (1, 3, WIDTH)
    if name != "flat_rows":
        plain.load_state_dict(model.state_dict())
        b = explain(plain, ids, layers="blocks", **{**OPTIONS, "baselines": "zeros"})
        torch.testing.assert_close(a.layer_scores, b.layer_scores, rtol=1e-4, atol=1e-5)


def test_conductance_says_what_its_path_does_not_carry():
    a = explain(made("two_towers"), IDS, layers="one.blocks", **{**OPTIONS, "method": "conductance"})
    torch.testing.assert_close(a.bypass, 1 - a.layer_scores.sum(2) / a.gap, rtol=3e-2, atol=3e-2)
    assert a.reasons[0] == ("incomplete",) * 3


class ReadsFirst(Model):
    """A head that reads the first row, whatever stands there, and blocks that heed a mask."""

    def forward(self, input_ids, attention_mask):
        h, seen = self.embed(input_ids), attention_mask[..., None]
        for block in self.blocks:
            h = h + block(h * seen) + (h * seen).mean(1, keepdim=True)
        return self.head(torch.tanh(h[:, 0]))


def test_the_share_of_padding_is_said():
    model, ids = ReadsFirst().eval().double(), torch.tensor([[0, 0, 1, 40, 17, 33, 58, 2]])
    a = explain(model, {"input_ids": ids, "attention_mask": (ids > 0).long()}, layers="blocks", **OPTIONS)
    torch.testing.assert_close(a.bypass, 1 - a.layer_scores.sum(2) / a.gap, rtol=3e-2, atol=3e-2)
    assert a.reasons[0][2] == "incomplete"
