"""Positions in tables: the buckets are the models' own at every distance, and every option of DeBERTa is read."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.real_models import seeded
from helpers.tiny_models import PICTURE, PLACES, SIZES, ids, pixels

from calig_fast import explain
from calig_fast.model.families._distances import LogBuckets, T5Buckets

NODES = {"method": "layer_ig", "quadrature": "gausslegendre", "n_steps": 5}
LONGEST = 1100


@pytest.mark.parametrize(("size", "most"), [(256, 512), (4, 16), (32, 128), (0, 0)])
def test_log_buckets_are_debertas(size: int, most: int) -> None:
    from transformers.models.deberta_v2.modeling_deberta_v2 import build_relative_position

    rows = torch.zeros(1, LONGEST, 1)
    own = build_relative_position(rows, rows, bucket_size=size or -1, max_position=most or -1)[0]
    span = size or 512
    found = LogBuckets(span, size, most)(LONGEST)
    places = torch.arange(LONGEST)
    wanted = torch.clamp(own + span, 0, 2 * span - 1)
    assert torch.equal(found[places[:, None] - places + LONGEST - 1], wanted)


def test_buckets_of_pairs_are_mpnets() -> None:
    from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

    places = torch.arange(LONGEST)
    wanted = MPNetEncoder.relative_position_bucket(places - places[:, None], num_buckets=32)
    assert torch.equal(T5Buckets(32, 128)(LONGEST), wanted)


OPTIONS: list[dict[str, Any]] = [
    {"pos_att_type": ["c2p"]},
    {"pos_att_type": ["p2c"], "share_att_key": True},
    {"pos_att_type": "p2c|c2p", "position_buckets": 6},
    {"relative_attention": False, "position_biased_input": True},
    {"norm_rel_ebd": "layer_norm", "max_relative_positions": 3},
]


def close(model: Any, call: Any) -> Any:
    """The native explanation, near autograd's at the same nodes."""
    a, b = (explain(model, call, engine=engine, **NODES) for engine in ("native", "autograd"))
    assert float((a.layer_scores - b.layer_scores).norm() / b.layer_scores.norm()) < 1e-5
    return a


@pytest.mark.parametrize("name", ["Deberta", "DebertaV2"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_of_deberta(name: str, options: dict[str, Any]) -> None:
    import transformers

    config = getattr(transformers, f"{name}Config")(**{**SIZES, **PLACES, **options})
    close(seeded(getattr(transformers, f"{name}ForSequenceClassification")(config)), ids(12, 7))


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("DebertaV2", {"conv_kernel_size": 3}, "a convolution follows its first block"),
        ("Deberta", {"talking_head": True}, "its heads exchange their logits"),
    ],
)
def test_options_of_deberta_that_the_blocks_have_not_run_by_autograd(
    name: str, options: dict[str, Any], why: str
) -> None:
    import transformers

    config = getattr(transformers, f"{name}Config")(**{**SIZES, **PLACES, **options})
    a = explain(seeded(getattr(transformers, f"{name}ForSequenceClassification")(config)), ids(9), **NODES)
    assert (a.engine, a.settings.not_native) == ("autograd", why)


@pytest.mark.parametrize("kind", ["deberta-v3", "mpnet"])
def test_padding_between_tokens_is_left_to_autograd(kind: str) -> None:
    from helpers.tiny_models import tiny

    call = ids(9, 6)
    assert explain(tiny(kind), call, **NODES).engine == "native"
    call["attention_mask"][0, 4] = 0
    a = explain(tiny(kind), call, **NODES)
    assert a.engine == "autograd"
    assert "padding lies between the tokens" in a.settings.not_native


def beit(**options: Any) -> Any:
    from timm.models.beit import Beit

    return seeded(Beit(img_size=16, patch_size=4, embed_dim=24, depth=3, num_heads=3, num_classes=4, **options))


@pytest.mark.parametrize(
    "options",
    [
        {"use_rel_pos_bias": True, "init_values": 0.5},
        {"use_shared_rel_pos_bias": True, "qkv_bias": False, "global_pool": "token"},
        {"use_rel_pos_bias": True, "use_shared_rel_pos_bias": True, "swiglu_mlp": True},
        {},
    ],
    ids=str,
)
def test_timms_beit(options: dict[str, Any]) -> None:
    assert close(beit(**options), pixels(2)).settings.family == "timm_beit"


def test_a_picture_of_another_shape_is_compared_anew() -> None:
    from transformers import BeitConfig, BeitForImageClassification

    model = seeded(BeitForImageClassification(BeitConfig(**PICTURE, use_relative_position_bias=True)))
    assert explain(model, pixels(1), **NODES).engine == "native"
    wide = {"pixel_values": torch.randn(1, 3, 8, 32), "interpolate_pos_encoding": True}
    a = explain(model, wide, **NODES)
    assert (a.engine, a.layer_scores.shape[2]) == ("autograd", 17)
