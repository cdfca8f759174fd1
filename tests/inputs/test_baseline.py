"""Every baseline is the input it says it is: F(x) - F(x') is what the model itself gives for the two."""

import copy

import pytest
import torch
from helpers.slow import hidden_into
from helpers.slow import logits as logits_of
from helpers.tiny_models import CLS, PAD, SEP, ids, pixels, tiny

from calig_fast import Explainer, explain
from calig_fast.inputs.baseline import blur

X = ids(9, 6)
P = pixels(2)
CONTENT = (X["attention_mask"] == 1) & (X["input_ids"] != CLS) & (X["input_ids"] != SEP)
TEXT = ["bert", "roberta", "distilbert", "electra", "albert"]


class Names:
    """A tokenizer as far as baselines ask for one."""

    pad_token_id, cls_token_id, sep_token_id, mask_token_id, unk_token_id = 0, 1, 2, 3, 4
    all_special_ids = (0, 1, 2, 3, 4)

    def convert_ids_to_tokens(self, values):
        return [str(v) for v in values]


def logits(model, **call):
    with torch.no_grad():
        return model(**call).logits


def positions(kind):
    """The positions of the input itself, which a baseline keeps."""
    if kind != "roberta":
        return {}
    real = X["input_ids"] != PAD
    return {"position_ids": torch.where(real, real.cumsum(1), 0) + PAD}


def gap_to(kind, target=1, **call):
    model = tiny(kind)
    high = logits(model, **X)
    low = logits(model, attention_mask=X["attention_mask"], **positions(kind), **call)
    return (high - low)[:, target]


def check_gap(a, gap):
    for layer in range(a.gap.shape[1]):
        torch.testing.assert_close(a.gap[:, layer], gap, rtol=1e-4, atol=2e-5)
    torch.testing.assert_close(a.layer_scores.sum(2), a.gap + a.convergence_delta, rtol=1e-4, atol=2e-5)


def embeddings(kind):
    return tiny(kind).get_input_embeddings()(X["input_ids"]).detach()


@pytest.mark.parametrize("kind", TEXT)
@pytest.mark.parametrize(("name", "token"), [("pad", 0), ("mask", 3), ("unk", 4), (None, 0)])
def test_named_tokens_stand_for_content_and_special_tokens_stay(kind, name, token):
    a = explain(tiny(kind), X, target=1, baselines=name, processor=Names(), n_steps=2)
    check_gap(a, gap_to(kind, input_ids=torch.where(CONTENT, token, X["input_ids"])))
    assert a.settings["baselines"] == (name or "pad")
    assert (a.layer_scores[:, 0][~CONTENT] == 0).all()


@pytest.mark.parametrize("kind", TEXT)
def test_ids_of_ones_own_stand_everywhere_but_at_padding(kind):
    padding = X["attention_mask"] == 0
    other = torch.randint(5, 60, (2, 9), generator=torch.Generator().manual_seed(1))
    given = {"[T]": other[0], "[1,T]": other[:1], "[B,T]": other, "scalar": torch.tensor(7)}
    for name, baselines in given.items():
        table = torch.as_tensor(baselines).expand(2, 9)
        a = explain(tiny(kind), X, target=1, baselines=baselines, n_steps=2)
        check_gap(a, gap_to(kind, input_ids=torch.where(padding, X["input_ids"], table)))
        assert a.settings["baselines"] == "ids", name


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_one_id_stands_for_content_as_the_named_references_do(kind):
    a = explain(tiny(kind), X, target=1, baselines=7, n_steps=2)
    check_gap(a, gap_to(kind, input_ids=torch.where(CONTENT, 7, X["input_ids"])))
    assert a.settings["baselines"] == "id"


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra"])
def test_embeddings_of_ones_own_stand_for_content(kind):
    e = embeddings(kind)
    draw = torch.randn(e.shape, generator=torch.Generator().manual_seed(2))
    for baselines in (draw[0, 0], draw[0], draw[:1], draw):
        a = explain(tiny(kind), X, target=1, baselines=baselines, n_steps=2)
        low = torch.where(CONTENT[:, :, None], baselines.expand(e.shape), e)
        check_gap(a, gap_to(kind, inputs_embeds=low))
        assert a.settings["baselines"] == "embeddings"


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra"])
def test_zero_embedding_keeps_special_tokens(kind):
    a = explain(tiny(kind), X, target=1, baselines="zero_embedding", n_steps=2)
    check_gap(a, gap_to(kind, inputs_embeds=torch.where(CONTENT[:, :, None], 0.0, embeddings(kind))))
    assert (a.layer_scores[:, 0][~CONTENT] == 0).all()


@pytest.mark.parametrize("baselines", ["pad", "zero_embedding", "zeros", 7])
def test_embeddings_instead_of_ids_give_the_same(baselines):
    call = {
        "inputs_embeds": embeddings("bert"),
        "attention_mask": X["attention_mask"],
        "special_tokens_mask": (~CONTENT).long(),
    }
    wanted = explain(tiny("bert"), X, baselines=baselines)
    found = explain(tiny("bert"), call, baselines=baselines)
    torch.testing.assert_close(found.layer_scores, wanted.layer_scores, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.scores, wanted.scores, rtol=1e-4, atol=1e-6)
    assert found.special.tolist() == wanted.special.tolist()


def test_a_reference_equal_to_the_input_leaves_nothing_to_explain():
    for model, x, same in (
        (tiny("bert"), X, X["input_ids"]),
        (tiny("bert"), X, embeddings("bert")),
        (tiny("vit"), P, P),
        (tiny("timm-token"), P, P),
    ):
        a = explain(model, x, baselines=same)
        assert (a.layer_scores == 0).all()
        assert (a.gap == 0).all()
        assert a.converged.all()
        assert (a.convergence_delta == 0).all()


def test_each_input_of_a_batch_has_its_own_reference():
    other = torch.randint(5, 60, (2, 9), generator=torch.Generator().manual_seed(3))
    together = explain(tiny("bert"), X, baselines=other, target=1)
    for b in range(2):
        alone = explain(tiny("bert"), {k: v[b : b + 1] for k, v in X.items()}, baselines=other[b], target=1)
        torch.testing.assert_close(together.layer_scores[b], alone.layer_scores[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "vit", "timm-registers"])
def test_zeros_is_a_zero_hidden_state_at_each_layer(kind):
    model = tiny(kind)
    call = {k: v[:1] for k, v in X.items()} if kind in TEXT else {"": P[:1]}
    a = explain(model, call if kind in TEXT else P[:1], target=1, baselines="zeros", quadrature="gausslegendre")
    encoder = Explainer(model).encoder

    def run(changed):
        with torch.no_grad():
            return logits_of(changed, call)[0, 1]

    for layer, name in enumerate(encoder.blocks):
        changed = copy.deepcopy(model)
        block = changed.get_submodule(name)
        assert hidden_into(block, lambda changed=changed: run(changed)).abs().max() > 0.1
        block.register_forward_pre_hook(lambda module, args: (torch.zeros_like(args[0]), *args[1:]))
        torch.testing.assert_close(a.gap[0, layer], run(model) - run(changed), rtol=1e-4, atol=2e-5)
    torch.testing.assert_close(a.layer_scores.sum(2), a.gap + a.convergence_delta, rtol=1e-4, atol=2e-5)
    assert a.settings["baselines"] == "zeros"


def test_a_baseline_that_holds_no_numbers():
    for model, x, wrong in (
        (tiny("vit"), P, float("nan")),
        (tiny("vit"), P, torch.full((3, 16, 16), torch.inf)),
        (tiny("bert"), X, torch.full((24,), torch.nan)),
    ):
        with pytest.raises(ValueError, match="baselines: the baseline holds NaN"):
            explain(model, x, baselines=wrong)


def image_gap(kind, low):
    model = tiny(kind)
    with torch.no_grad():
        out = [model(x) for x in (P, low)]
    z = [o if isinstance(o, torch.Tensor) else o.logits for o in out]
    return (z[0] - z[1])[:, 1]


@pytest.mark.parametrize("kind", ["vit", "deit", "dinov2", "timm-avg"])
def test_references_of_images(kind):
    own = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(4))
    cases = [
        (None, blur(P), "blur"),
        ("blur", blur(P), "blur"),
        ("mean", torch.zeros_like(P), "mean"),
        (own, own, "pixels"),
        (own[0], own[:1].expand(2, -1, -1, -1), "pixels"),
        (own[:1], own[:1].expand(2, -1, -1, -1), "pixels"),
        (own[0, :, :1, :1], own[:1, :, :1, :1].expand(2, -1, 16, 16), "pixels"),
        (0.5, torch.full_like(P, 0.5), "pixels"),
        (-1, torch.full_like(P, -1.0), "pixels"),
    ]
    for baselines, low, name in cases:
        a = explain(tiny(kind), P, target=1, baselines=baselines, n_steps=2)
        check_gap(a, image_gap(kind, low))
        assert a.settings["baselines"] == name


def test_black_is_what_the_processor_makes_of_a_black_picture():
    from PIL import Image
    from transformers import ViTImageProcessor

    processor = ViTImageProcessor(
        size={"height": 16, "width": 16}, image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.25, 0.5]
    )
    dark = processor(images=Image.new("RGB", (16, 16)), return_tensors="pt")["pixel_values"]
    a = explain(tiny("vit"), P, target=1, baselines="black", processor=processor, n_steps=2)
    check_gap(a, image_gap("vit", dark.expand(2, -1, -1, -1)))


def test_black_of_a_processor_that_does_not_normalise_is_zero():
    from transformers import ViTImageProcessor

    processor = ViTImageProcessor(size={"height": 16, "width": 16}, do_normalize=False)
    a = explain(tiny("vit"), P, target=1, baselines="black", processor=processor, n_steps=2)
    check_gap(a, image_gap("vit", torch.zeros_like(P)))


def test_black_of_a_timm_model_is_known_from_its_own_config():
    model = copy.deepcopy(tiny("timm-token"))
    model.pretrained_cfg = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.5)}
    a = explain(model, P, target=1, baselines="black", n_steps=2)
    dark = torch.tensor([-2.5, -1.6, -0.6]).view(1, 3, 1, 1).expand(2, -1, 16, 16)
    check_gap(a, image_gap("timm-token", dark))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (2, 1, 7, 30), (1, 4, 4, 4), (1, 1, 2, 2)])
def test_blur_keeps_constants_shape_and_dtype(shape, dtype):
    flat = torch.full(shape, 0.7, dtype=dtype)
    found = blur(flat)
    assert found.dtype == dtype
    assert found.shape == flat.shape
    torch.testing.assert_close(found, flat, rtol=2e-2 if dtype == torch.bfloat16 else 1e-6, atol=0)


def test_blur_is_a_gaussian_of_the_stated_width():
    point = torch.zeros(1, 2, 112, 112, dtype=torch.float64)
    point[0, 0, 56, 56] = 1
    found = blur(point)[0]
    assert (found[1] == 0).all(), "channels do not mix"
    found = found[0]
    assert float(found.sum()) == pytest.approx(1)
    torch.testing.assert_close(found, found.T)
    torch.testing.assert_close(found[1:, 1:], found[1:, 1:].flip(0).flip(1))
    profile = found.sum(1)
    variance = float((profile * (torch.arange(112) - 56) ** 2).sum())
    assert variance == pytest.approx(10**2, rel=0.05)
    assert float(found[56, 66] / found[56, 56]) == pytest.approx(2.718281828**-0.5, rel=1e-6)


def test_a_blur_has_the_width_of_its_name():
    point = torch.zeros(1, 1, 64, 64, dtype=torch.float64)
    point[0, 0, 32, 32] = 1
    profile = blur(point, 4.0)[0, 0].sum(1)
    assert float((profile * (torch.arange(64) - 32) ** 2).sum()) == pytest.approx(4**2, rel=0.05)
    a = explain(tiny("vit"), P, target=1, baselines="blur:1.5", n_steps=2)
    check_gap(a, image_gap("vit", blur(P, 1.5)))
    assert a.settings["baselines"] == "blur:1.5"
    for wrong in ("blur:", "blur:0", "blur:wide", "blur:nan", "blur:inf", "blur:-1"):
        with pytest.raises(ValueError, match='as in "blur:4"; got'):
            explain(tiny("vit"), P, baselines=wrong)


@pytest.mark.parametrize(
    ("baselines", "error", "said"),
    [
        (["zero_embedding", "blur"], ValueError, r"^baselines\[1\]: 'blur' is not one of"),
        ([7, "mask"], ValueError, r'^baselines\[1\]: "mask" needs the id'),
        (
            (torch.zeros(3, 9, dtype=torch.int64), "zeros"),
            ValueError,
            r"^baselines\[0\]: expected one baseline for all",
        ),
        (["zeros", torch.zeros(5)], ValueError, r"^baselines\[1\]: expected a tensor that fits"),
        (["zeros", ["zeros"]], TypeError, r"^baselines\[1\]: expected a name, an id, a number or a tensor, got \["),
        (["zeros", None, True], TypeError, r"^baselines\[2\]: expected a name"),
        ([], ValueError, "^baselines: expected at least one baseline, got none"),
        ((), ValueError, "^baselines: expected at least one baseline, got none"),
        ([5, 6, 7], ValueError, r"^baselines: \[5, 6, 7\] may be the numbers of one baseline"),
    ],
)
def test_one_of_several_that_cannot_serve_is_named_by_its_place(baselines, error, said):
    with pytest.raises(error, match=said):
        explain(tiny("bert"), X, baselines=baselines)


def test_each_of_several_may_have_a_row_for_each_input():
    first, second = torch.randint(5, 60, (2, 2, 9), generator=torch.Generator().manual_seed(3))
    together = explain(tiny("bert"), X, baselines=[first, second, 7], target=1)
    for b in range(2):
        one = {k: v[b : b + 1] for k, v in X.items()}
        alone = explain(tiny("bert"), one, baselines=[first[b], second[b], 7], target=1)
        torch.testing.assert_close(together.layer_scores[b], alone.layer_scores[0], rtol=1e-3, atol=1e-5)


def test_blur_does_not_reach_across_the_edge():
    ramp = torch.linspace(0, 1, 32, dtype=torch.float64).expand(1, 1, 32, 32)
    found = blur(ramp)[0, 0]
    torch.testing.assert_close(found, found[:1].expand(32, -1))
    assert (found[0].diff() > 0).all()
    assert float(found[0, 0]) < 0.2
    torch.testing.assert_close(found[0] + found[0].flip(0), torch.ones(32, dtype=torch.float64))
