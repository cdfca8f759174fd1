"""timm's EVA: every option of its blocks is read, or named as the reason of autograd."""

import pytest
from helpers.real_models import seeded
from helpers.tiny_models import pixels

from calig_fast import explain

NODES = {"method": "layer_ig", "quadrature": "gausslegendre", "n_steps": 5}
EVA = [{}, {"qkv_fused": False}, {"qkv_bias": False}, {"swiglu_mlp": True}, {"init_values": 0.5, "num_reg_tokens": 2}]


def eva(**options):
    from timm.models.eva import Eva

    model = seeded(Eva(img_size=16, patch_size=4, embed_dim=24, depth=3, num_heads=3, num_classes=4, **options))
    for block in model.blocks:
        if block.attn.k_bias is not None:
            block.attn.k_bias.fill_(0.1)
    return model


@pytest.mark.parametrize("options", EVA, ids=str)
def test_timms_eva(options):
    a, b = (explain(eva(**options), pixels(2), engine=engine, **NODES) for engine in ("native", "autograd"))
    assert a.settings.family == "timm_eva"
    assert float((a.layer_scores - b.layer_scores).norm() / b.layer_scores.norm()) < 1e-5


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"use_rot_pos_emb": True}, "its positions rotate queries and keys"),
        ({"use_post_norm": True}, "another kind (EvaBlockPostNorm, EvaAttention)"),
        ({"scale_mlp": True, "swiglu_mlp": True}, "mlp.norm"),
        ({"qk_norm": True}, "attn.q_norm"),
    ],
    ids=str,
)
def test_options_of_eva_that_the_blocks_have_not_run_by_autograd(options, why):
    a = explain(eva(**options), pixels(1), **NODES)
    assert (a.engine, a.settings.family) == ("autograd", "timm_eva")
    assert why in a.settings.not_native
