"""Every family: its blocks are found, its logits kept, its relevance is what hooks on a copy give."""

import copy
import functools
import itertools

import pytest
import torch
from helpers.real_models import seeded, small_timm_mae
from helpers.slow import attention_maps, layer_relevance
from helpers.tiny_models import CLS, IMAGE, PAD, PICTURE, SEP, SIZES, TEXT, Linear, ids, inputs, pixels, tiny

from calig_fast import Explainer, explain
from calig_fast.model import families
from calig_fast.quadrature.rules import nodes_and_weights

DEPTHS = dict.fromkeys(  # 3 for the others
    (
        *("albert", "cohere_compass_text", "exaone4", "gemma3_text", "gpt_neo", "ministral"),
        *("olmo3", "ultrabert"),
    ),
    4,
)
FAMILIES = {
    "beit": ["beit-shared", "data2vec-vision"],
    "deberta_v2": ["deberta-v2", "deberta-v3"],
    "bert": ["ernie", "layoutlm", "rembert", "roc_bert", "tapas"],
    "clip": ["metaclip_2", "siglip"],
    "deit": ["deit-teacher"],
    "dinov2": ["dinov2_with_registers"],
    "llama": [
        *("mistral", "ministral", "qwen2", "qwen3", "gemma", "gemma3_text", "phi3"),
        *("eurobert", "exaone4", "seed_oss", "smollm3", "starcoder2", "arcee", "nemotron"),
        *("hunyuan_v1_dense", "ministral3", "olmo", "olmo2", "olmo3", "ultrabert"),
    ],
    "cohere": ["cohere_compass_text"],
    "falcon": ["falcon-grouped", "falcon-many"],
    "glm": ["glm4", "helium"],
    "gpt2": ["gpt_bigcode", "gpt_bigcode-many"],
    "gte": ["jina_embeddings_v3", "nomic_bert"],
    "openai_gpt": ["openai-gpt"],
    "opt": ["biogpt", "opt-after"],
    "phi": ["persimmon"],
    "stablelm": ["stablelm-parallel"],
    "megatron_bert": ["megatron-bert"],
    "modernbert": ["modernbert-decoder", "modernbert-mean"],
    "roberta": ["camembert", "data2vec-text", "luke", "markuplm", "xlm-roberta"],
    "roberta_prelayernorm": ["roberta-prelayernorm", "xlm-roberta-xl"],
    "timm_eva": ["timm-dinov3", "timm-eva", "timm-eva02"],
    "timm_vit": [kind for kind in IMAGE if kind.startswith("timm-")],
    "vit": ["vit_msn"],
}
OFFSET = {"roberta", *FAMILIES["roberta"], *FAMILIES["roberta_prelayernorm"], "esm"}  # count from padding_idx + 1


def logits(model, call):
    with torch.no_grad():
        out = model(**call) if isinstance(call, dict) else model(call)
    return out if isinstance(out, torch.Tensor) else out.logits


def reference_call(kind, call):
    """The PAD reference as arguments: pads for ordinary tokens, positions still the input's own."""
    out = dict(call)
    real = call["input_ids"]
    out["input_ids"] = torch.where((real == CLS) | (real == SEP) | (call["attention_mask"] == 0), real, PAD)
    if kind in OFFSET:
        out["position_ids"] = torch.where(real != PAD, (real != PAD).cumsum(1), 0) + PAD
    return out


@pytest.mark.parametrize("kind", [*TEXT, *IMAGE])
def test_logits_are_the_models_own_and_every_layer_is_complete(kind):
    model, call = tiny(kind), inputs(kind)
    a = explain(model, call, n_steps=512)  # a path of some random models has a spike
    torch.testing.assert_close(a.logits, logits(model, call), rtol=1e-5, atol=1e-5)
    assert a.layer_scores.shape[1] == DEPTHS.get(kind, 3)
    assert a.engine == "native"
    assert a.settings["family"] == next((name for name, kinds in FAMILIES.items() if kind in kinds), kind)
    assert a.converged[0], "the second input of some kinds has a gap near 0, which a ReLU's kinks do not let it meet"
    torch.testing.assert_close(a.layer_scores.sum(2) - a.convergence_delta, a.gap, rtol=1e-3, atol=1e-5)
    assert (a.convergence_delta.abs() <= 2e-2 * a.gap.abs() + 1e-6)[a.layer_converged].all()


@pytest.mark.parametrize("kind", TEXT)
def test_text_relevance_is_what_hooks_give(kind):
    model = tiny(kind)
    call = ids(8)
    nodes, weights = nodes_and_weights("gausslegendre", 5)
    a = explain(model, call, target=2, quadrature="gausslegendre", n_steps=5, dtype=torch.float64)
    encoder = Explainer(model).encoder
    # RMS norms of transformers, and norms of its own, compute in float32, also in a model of float64
    rounding = 1e-5 if kind in {*FAMILIES["llama"], *FAMILIES["glm"], *FAMILIES["cohere"]} else 1e-7
    for layer in range(len(encoder.blocks)):
        # of a block that runs several times the hook sees the first run
        index = layer * 2 if kind == "albert" else layer
        slow = layer_relevance(
            model, encoder.blocks[layer], call, reference_call(kind, call), 2, nodes=nodes, weights=weights.tolist()
        )
        torch.testing.assert_close(a.layer_scores[0, index].double(), slow, rtol=1e-5, atol=rounding)


@pytest.mark.parametrize("kind", IMAGE)
def test_image_relevance_is_what_hooks_give(kind):
    model, x = tiny(kind), pixels(1)
    nodes, weights = nodes_and_weights("riemann_middle", 4)
    a = explain(model, x, target=1, baselines="mean", quadrature="riemann_middle", n_steps=4, dtype=torch.float64)
    encoder = Explainer(model).encoder
    name = "" if kind.startswith("timm") else "pixel_values"
    for layer, block in enumerate(encoder.blocks):
        low = {name: torch.zeros_like(x)}
        slow = layer_relevance(model, block, {name: x}, low, 1, nodes=nodes, weights=weights.tolist())
        torch.testing.assert_close(a.layer_scores[0, layer].double(), slow, rtol=1e-5, atol=1e-7)


ATTENTIONS = itertools.product(
    ("bert", "deberta-v3", "distilbert", "gpt2", "llama", "mistral", "modernbert", "olmo2", "vit", "dinov2"),
    ("eager", "sdpa", "flex_attention"),
)


@pytest.mark.parametrize(("kind", "attention"), [*ATTENTIONS, ("bloom", "sdpa"), ("roformer", "sdpa")])
def test_attention_gradients_equal_eager_autograd(kind, attention):
    model = tiny(kind)
    if attention != "sdpa":
        model = copy.deepcopy(model)
        model.config._attn_implementation = attention
    call = ids(7) if kind in TEXT else {"pixel_values": pixels(1)}
    slow = attention_maps(model, call, 1)
    options = {"target": 1, "return_maps": True, "lam": 0.0, "dtype": torch.float64}
    maps = explain(model, call, **options).maps[0].double()
    for (a, slope), found in zip(slow, maps, strict=True):
        gradient = (a * slope).mean(0)
        torch.testing.assert_close(found, gradient / gradient.abs().sum(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", TEXT)
def test_a_batch_of_mixed_lengths_gives_what_single_calls_give(kind):
    model, call = tiny(kind), ids(9, 4, 6)
    together = explain(model, call)
    for b, n in enumerate((9, 4, 6)):
        alone = explain(model, {k: v[b : b + 1, :n] for k, v in call.items()})
        for name in ("scores", "layer_scores"):
            x, y = getattr(together, name)[b], getattr(alone, name)[0]
            size = y.abs().max()
            torch.testing.assert_close(x[..., :n] / size, y / size, rtol=1e-5, atol=1e-5)
            assert (x[..., n:] == 0).all()
        assert together.n_steps[b].tolist() == alone.n_steps[0].tolist()


def test_left_padding_and_holes_in_the_mask_are_padding_too():
    call = ids(6)
    wide = {"input_ids": torch.cat([torch.zeros(1, 3, dtype=torch.int64), call["input_ids"]], 1)}
    wide["attention_mask"] = (wide["input_ids"] != 0).long()
    wide["position_ids"] = torch.tensor([[0, 0, 0, 0, 1, 2, 3, 4, 5]])
    a = explain(tiny("bert"), wide, output=lambda out: out.logits[:, 1])
    assert (a.scores[0, :3] == 0).all()
    assert (a.layer_scores[0, :, :3] == 0).all()
    assert a.special[0].tolist() == [False] * 3 + [True, False, False, False, False, True]


def test_a_linear_model_gives_exactly_w_times_the_difference():
    torch.manual_seed(0)
    model = Linear()
    x = torch.randint(5, 60, (2, 6))
    low = torch.randint(5, 60, (2, 6))
    a = explain(model, x, layers="blocks", method="layer_ig", baselines=low, n_steps=1, target=1)
    with torch.no_grad():
        step = [torch.eye(8) + block.weight.T for block in model.blocks]
        w = [step[0] @ step[1] @ model.head.weight[1], step[1] @ model.head.weight[1]]
        h = [model.words(x) - model.words(low), (model.words(x) - model.words(low)) @ step[0]]
    for layer in range(2):
        torch.testing.assert_close(a.layer_scores[:, layer], h[layer] @ w[layer], rtol=1e-5, atol=1e-6)
    assert a.converged.logical_not().all(), "end points alone cannot know that the model is linear"
    assert (
        explain(model, x, layers="blocks", method="layer_ig", baselines=low, target=1).n_steps.tolist() == [[5, 5]] * 2
    )


def test_a_head_of_the_users_own_over_a_known_backbone():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = tiny("bert").bert
            self.head = torch.nn.Linear(24, 3)

        def forward(self, input_ids, attention_mask=None):
            return self.head(self.backbone(input_ids, attention_mask=attention_mask).last_hidden_state.mean(1))

    torch.manual_seed(0)
    a = explain(Net(), ids(7))
    assert a.settings["family"] == "bert"
    assert a.converged.all()


def test_a_pooling_head_after_the_blocks_is_no_block():
    a = explain(tiny("timm-map"), pixels(1))
    assert a.layer_scores.shape == (1, 3, 16)
    assert a.converged.all()


def test_timms_masked_autoencoder_with_pooled_patches():
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    a = explain(small_timm_mae(), x)
    assert a.settings["family"] == "timm_vit"
    assert (a.grid.rows, a.grid.columns) == (4, 4)
    torch.testing.assert_close(a.logits, logits(small_timm_mae(), x), rtol=1e-5, atol=1e-5)
    assert a.converged.all()


def test_families_are_found_by_file():
    assert set(families.names()) >= {"albert", "bert", "deit", "dinov2", "distilbert", "electra", "roberta", "timm_vit"}
    assert {"vit", "vit_mae", "clip", "esm", "ijepa", "megatron_bert"} <= set(families.names())


def test_a_pretraining_autoencoder_says_where_its_classifier_is():
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = ViTMAEForPreTraining(
        ViTMAEConfig(**sizes, image_size=8, patch_size=4, decoder_hidden_size=16, decoder_num_hidden_layers=1)
    )
    with pytest.raises(ValueError, match="ViTForImageClassification"):
        explain(model, torch.zeros(1, 3, 8, 8))


def test_blocks_named_in_an_image_model_with_embedded_positions():
    """CLIP embeds its places with an nn.Embedding, which is no word embedding."""
    from transformers import CLIPConfig, CLIPForImageClassification, CLIPTextConfig, CLIPVisionConfig

    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
        projection_dim=8,
    )
    config = CLIPConfig(text_config=CLIPTextConfig().to_dict(), vision_config=vision.to_dict(), num_labels=3)
    model = CLIPForImageClassification(config)
    pictures = {"pixel_values": torch.rand(2, 3, 16, 16)}
    a = explain(model, pictures, layers="vision_model.encoder.layers", method="layer_ig", baselines="mean")
    assert a.texts is None
    torch.testing.assert_close(a.logits, logits(model, pictures), rtol=1e-5, atol=1e-5)
    assert bool((a.convergence_delta.abs() <= 2e-2 * a.gap.abs()).all())


def drawn(most, *shape):
    return torch.randint(0, most, shape, generator=torch.Generator().manual_seed(1))


MORE = {  # arguments beside the ids, of two texts of 9 tokens
    "ernie": {"task_type_ids": drawn(3, 2, 9)},
    "layoutlm": {"bbox": drawn(400, 2, 9, 4) + torch.tensor([0, 0, 400, 400])},
    "markuplm": {"xpath_tags_seq": drawn(200, 2, 9, 4), "xpath_subs_seq": drawn(900, 2, 9, 4)},
    "roc_bert": {"input_shape_ids": drawn(9, 2, 9), "input_pronunciation_ids": drawn(9, 2, 9)},
    "tapas": {"token_type_ids": drawn(2, 2, 9, 7)},
}
NODES = {"method": "layer_ig", "quadrature": "gausslegendre", "n_steps": 5}


@pytest.mark.parametrize("kind", MORE)
def test_arguments_beside_the_ids_stay_the_inputs_own(kind):
    call = {**ids(9, 6), **MORE[kind]}
    a, b = (explain(tiny(kind), call, engine=engine, **NODES) for engine in ("native", "autograd"))
    torch.testing.assert_close(a.logits, logits(tiny(kind), call), rtol=1e-5, atol=1e-5)
    assert float((a.layer_scores - b.layer_scores).norm() / b.layer_scores.norm()) < 1e-5
    plain = explain(tiny(kind), ids(9, 6), **NODES)
    assert not torch.allclose(plain.logits, a.logits, atol=1e-4), "they change the answer"
    alone = explain(tiny(kind), {name: value[1:, :6] for name, value in call.items()}, **NODES)
    torch.testing.assert_close(alone.layer_scores[0], a.layer_scores[1, :, :6], rtol=1e-4, atol=1e-6)


def test_entities_beside_the_words_are_left_to_autograd():
    places = torch.tensor([[[1, 2, -1], [3, -1, -1]], [[1, -1, -1], [2, 3, -1]]])
    more = {"entity_ids": torch.tensor([[1, 2], [3, 4]]), "entity_position_ids": places}
    a = explain(tiny("luke"), {**ids(9, 6), **more, "entity_attention_mask": torch.ones(2, 2).long()}, **NODES)
    assert a.engine == "autograd"
    assert (a.bypass > 0.05).any(), "the entities carry a part of the answer past the words"


@pytest.mark.parametrize("kind", [*TEXT, *IMAGE])
def test_bfloat16_stays_near(kind):
    exact = explain(tiny(kind), inputs(kind, 1), target=1, **NODES)
    found = explain(tiny(kind), inputs(kind, 1), target=1, dtype=torch.bfloat16, engine="native", **NODES)
    assert float((found.layer_scores - exact.layer_scores).norm() / exact.layer_scores.norm()) < 0.3


GATED = [("GluMlp", {}), ("GluMlp", {"gate_last": False}), ("SwiGLU", {})]


@pytest.mark.parametrize(("name", "more"), GATED)
def test_gated_mlps_of_timm(name, more):
    import timm.layers

    mlp = functools.partial(getattr(timm.layers, name), **more)
    model = vision_transformer(mlp_layer=mlp, act_layer="silu")
    a, b = (explain(model, pixels(2), engine=engine, **NODES) for engine in ("native", "autograd"))
    assert float((a.layer_scores - b.layer_scores).norm() / b.layer_scores.norm()) < 1e-5


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"block_fn": "ResPostBlock"}, "another kind (ResPostBlock, Attention)"),
        ({"block_fn": "ParallelThingsBlock"}, "another kind (ParallelThingsBlock)"),
        ({"act_layer": "hard_swish"}, "the activation is"),
        ({"mlp_layer": "GatedMlp"}, "an MLP of kind GatedMlp"),
    ],
)
def test_options_of_timm_that_the_blocks_have_not_run_by_autograd(options, why):
    import timm.layers
    from timm.models import vision_transformer as timms

    rooms = {"block_fn": timms, "mlp_layer": timm.layers}
    parts = {name: getattr(rooms[name], option) for name, option in options.items() if name in rooms}
    model = vision_transformer(**{**options, **parts})
    a = explain(model, pixels(1), **NODES)
    assert a.engine == "autograd"
    assert why in a.settings.not_native
    torch.testing.assert_close(a.logits, logits(model, pixels(1)), rtol=1e-5, atol=1e-5)


def vision_transformer(**options):
    from timm.models.vision_transformer import VisionTransformer

    return seeded(
        VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=3, num_heads=3, num_classes=4, **options)
    )


def test_timms_vit_of_any_picture():
    import timm

    model = seeded(timm.create_model("naflexvit_base_patch16_gap", embed_dim=24, depth=2, num_heads=3, num_classes=4))
    x = torch.randn(1, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    a, b = (explain(model, x, engine=engine, **NODES) for engine in ("native", "autograd"))
    assert (a.settings.family, a.grid.rows, a.grid.columns, a.grid.prefix) == ("timm_vit", 4, 3, 4)
    assert float((a.layer_scores - b.layer_scores).norm() / b.layer_scores.norm()) < 1e-5


def test_sparse_attention_is_left_to_autograd():
    from transformers import BigBirdConfig, BigBirdForSequenceClassification

    model = seeded(BigBirdForSequenceClassification(BigBirdConfig(**SIZES)))
    a = explain(model, ids(9), **NODES)
    assert (a.engine, a.settings.not_native) == ("autograd", "its attention is sparse")


def test_the_vision_tower_of_a_language_model_is_not_what_reads_its_text():
    from transformers import Gemma3Config, Gemma3ForSequenceClassification

    text = {**SIZES, "head_dim": 8, "num_key_value_heads": 1, "num_hidden_layers": 2}
    text = {name: size for name, size in text.items() if name != "num_labels"}
    config = Gemma3Config(text_config=text, vision_config=PICTURE, mm_tokens_per_image=4, num_labels=3)
    model = seeded(Gemma3ForSequenceClassification(config))
    a = explain(model, {"input_ids": ids(7)["input_ids"]}, baselines=0, **NODES)
    assert a.settings.family == "llama"
    assert all("language_model" in name for name in a.settings.blocks)
