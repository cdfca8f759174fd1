"""timm's EVA and its ViTs with weights of pairs: every option is read, or named as the reason of autograd."""

import pytest
import torch
from helpers.real_models import seeded
from helpers.tiny_models import pixels

from calig_fast import explain

NODES = {"method": "layer_ig", "quadrature": "gausslegendre", "n_steps": 5}
ROTATED = {"use_rot_pos_emb": True, "embed_dim": 48}
PE = {
    **ROTATED,
    "attn_type": "rope",
    "use_pre_transformer_norm": True,
    "rope_grid_indexing": "xy",
    "global_pool": "map",
}
DINO = {**ROTATED, "rope_type": "dinov3", "rope_rotate_half": True, "num_reg_tokens": 2, "use_abs_pos_emb": False}
EVA = [
    *({}, {"qkv_fused": False}, {"qkv_bias": False}, {"swiglu_mlp": True}, {"init_values": 0.5, "num_reg_tokens": 2}),
    *({"scale_mlp": True, "swiglu_mlp": True}, {"scale_mlp": True}, {"scale_attn_inner": True}, {"qk_norm": True}),
    *(ROTATED, {**ROTATED, "swiglu_mlp": True, "scale_mlp": True, "qkv_fused": False}, PE, DINO),
    {**ROTATED, "qk_norm": True, "no_embed_class": True},
    {**PE, "qkv_fused": False, "num_kv_heads": 1},
]
PAIRS = [
    *({}, {"class_token": True}, {"rel_pos_type": "bias"}, {"rel_pos_type": "bias", "class_token": True}),
    *({"shared_rel_pos": True}, {"init_values": 0.5}, {"qk_norm": True}, {"block_fn": "ResPostRelPosBlock"}),
]


def eva(**options):
    from timm.models.eva import Eva

    sizes = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 3, "num_heads": 3, "num_classes": 4}
    model = seeded(Eva(**{**sizes, **options}))
    for block in model.blocks:
        if getattr(block.attn, "k_bias", None) is not None:
            block.attn.k_bias.fill_(0.1)
    return model


def relative(**options):
    from timm.models import vision_transformer_relpos as relpos

    if "block_fn" in options:
        options["block_fn"] = getattr(relpos, options["block_fn"])
    sizes = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 3, "num_heads": 3, "num_classes": 4}
    return seeded(relpos.VisionTransformerRelPos(**sizes, **options))


def same(model, family, pictures):
    a, b = (explain(model, pictures, engine=engine, **NODES) for engine in ("native", "autograd"))
    assert a.settings.family == family
    assert float((a.layer_scores - b.layer_scores).norm() / b.layer_scores.norm()) < 1e-5


@pytest.mark.parametrize("options", EVA, ids=str)
def test_timms_eva(options):
    same(eva(**options), "timm_eva", pixels(2))


@pytest.mark.parametrize("options", PAIRS, ids=str)
def test_timms_weights_of_pairs(options):
    same(relative(**options), "timm_relpos", pixels(2))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({**ROTATED, "rope_type": "mixed"}, "rotations of its own"),
        ({"use_post_norm": True}, "another kind (EvaBlockPostNorm, EvaAttention)"),
    ],
    ids=str,
)
def test_options_of_eva_that_the_blocks_have_not_run_by_autograd(options, why):
    a = explain(eva(**options), pixels(1), **NODES)
    assert (a.engine, a.settings.family) == ("autograd", "timm_eva")
    assert why in a.settings.not_native


def test_pictures_of_another_size_run_by_autograd():
    model = eva(**ROTATED, dynamic_img_size=True)
    wide = torch.randn(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    a = explain(model, wide, **NODES)
    assert a.engine == "autograd"
    assert "rotated at 17 places" in a.settings.not_native
    long = torch.randn(1, 3, 8, 32, generator=torch.Generator().manual_seed(0))  # as many patches, elsewhere
    assert explain(model, long, **NODES).engine == "autograd"
    assert explain(model, pixels(1), **NODES).engine == "native"
