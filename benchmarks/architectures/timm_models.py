"""Families of timm, small: one or a few models of each that have something of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import timm
from timm.layers import GluMlp, GroupNorm1
from timm.models import metaformer, mlp_mixer
from timm.models.convmixer import ConvMixer
from timm.models.focalnet import FocalNet
from timm.models.gcvit import GlobalContextVit
from timm.models.mlp_mixer import MlpMixer
from timm.models.mvitv2 import MultiScaleVit, MultiScaleVitCfg
from timm.models.nest import Nest
from timm.models.volo import VOLO
from torch import nn

from benchmarks.architectures.tiny import CLASSES, SIDE, Case

VIT: dict[str, Any] = {"img_size": SIDE, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 4}
PLAIN: dict[str, Any] = {"img_size": SIDE}
STAGES: dict[str, Any] = {"depths": (1, 1, 3, 1), "embed_dims": (16, 16, 32, 32), "num_heads": (2, 2, 4, 4)}
DIMS: dict[str, Any] = {"depths": (1, 1, 3, 1), "dims": (16, 16, 32, 32)}
SWIN: dict[str, Any] = {
    "img_size": SIDE,
    "patch_size": 2,
    "embed_dim": 16,
    "depths": (2, 3),
    "num_heads": (2, 4),
    "window_size": 4,
}
MAXX: dict[str, Any] = {
    "img_size": 64,
    "depths": (1, 1, 3, 1),
    "embed_dim": (32, 32, 32, 32),
    "transformer_dim_head": 8,
    "transformer_window_size": (2, 2),
    "transformer_grid_size": (2, 2),
}
MIXER: dict[str, Any] = {"img_size": SIDE, "patch_size": 8, "num_blocks": 3, "embed_dim": 32}

MVIT = MultiScaleVitCfg(
    depths=(1, 1, 2), embed_dim=(16, 32, 32), num_heads=(1, 2, 2), stride_q=((1, 1), (2, 2), (1, 1))
)

# name: (arguments, side)
MODELS: dict[str, tuple[dict[str, Any], int]] = {
    "vit_tiny_patch16_224": (VIT, SIDE),
    "vit_base_patch16_clip_224": (VIT, SIDE),
    "vit_base_patch16_clip_quickgelu_224": (VIT, SIDE),
    "vit_base_patch16_siglip_224": (VIT, SIDE),
    "vit_base_patch16_siglip_gap_224": (VIT, SIDE),
    "vit_medium_patch16_reg4_gap_256": (VIT, SIDE),
    "vit_small_patch14_reg4_dinov2": (VIT, SIDE),
    "vit_giant_patch14_dinov2": (VIT, SIDE),
    "vit_base_patch16_rope_reg1_gap_256": (VIT, SIDE),
    "vit_base_patch16_rope_ape_224": (VIT, SIDE),
    "vit_small_patch16_dinov3": (VIT, SIDE),
    "vit_base_patch16_18x2_224": (VIT, SIDE),
    "vit_relpos_base_patch16_224": (VIT, SIDE),
    "vit_relpos_base_patch16_cls_224": (VIT, SIDE),
    "vit_relpos_base_patch16_rpn_224": (VIT, SIDE),
    "vit_srelpos_small_patch16_224": (VIT, SIDE),
    "vit_base_r26_s32_224": ({"img_size": 64, "embed_dim": 32, "depth": 3, "num_heads": 4}, 64),
    "samvit_base_patch16_224": ({**VIT, "window_size": 2, "global_attn_indexes": (2,), "neck_chans": 16}, SIDE),
    "deit_tiny_patch16_224": (VIT, SIDE),
    "deit_tiny_distilled_patch16_224": (VIT, SIDE),
    "deit3_small_patch16_224": (VIT, SIDE),
    "beit_base_patch16_224": (VIT, SIDE),
    "beitv2_base_patch16_224": (VIT, SIDE),
    "eva02_tiny_patch14_224": (VIT, SIDE),
    "eva_giant_patch14_224": (VIT, SIDE),
    "vit_pe_core_tiny_patch16_384": (VIT, SIDE),
    "aimv2_large_patch14_224": (VIT, SIDE),
    "flexivit_small": (VIT, SIDE),
    "naflexvit_base_patch16_gap": (
        {"img_size": SIDE, "embed_dim": 32, "depth": 3, "num_heads": 4, "patch_size": 8},
        SIDE,
    ),
    "naflexvit_base_patch16_map": (
        {"img_size": SIDE, "embed_dim": 32, "depth": 3, "num_heads": 4, "patch_size": 8},
        SIDE,
    ),
    "gemma4_vit_167m": (
        {**VIT, "head_dim": 8, "intermediate_size": 48, "position_embedding_size": 64, "pooling_kernel_size": 2},
        SIDE,
    ),
    "qwen3_vit_88m": ({**VIT, "mlp_ratio": 2, "pos_embed_grid_size": 4}, SIDE),
    "deepseek_vit_412m": ({**VIT, "mlp_ratio": 2, "downsample_ratio": 2}, SIDE),
    "cait_xxs24_224": (VIT, SIDE),
    "xcit_nano_12_p8_224": (VIT, SIDE),
    "convit_tiny": ({**VIT, "local_up_to_layer": 2}, SIDE),
    "tnt_s_patch16_224": (
        {**VIT, "inner_dim": 12, "num_heads_inner": 2, "num_heads_outer": 4, "num_heads": None},
        SIDE,
    ),
    "crossvit_9_240": (
        {
            "img_size": 48,
            "img_scale": (1.0, 1.0),
            "patch_size": (12, 16),
            "embed_dim": (16, 32),
            "depth": ((1, 2, 0), (1, 2, 0)),
            "num_heads": (2, 4),
        },
        48,
    ),
    "crossvit_9_dagger_240": (
        {
            "img_size": 48,
            "img_scale": (1.0, 1.0),
            "patch_size": (12, 16),
            "embed_dim": (16, 32),
            "depth": ((1, 2, 0), (1, 2, 0)),
            "num_heads": (2, 4),
        },
        48,
    ),
    "pit_ti_224": (
        {
            "img_size": 64,
            "patch_size": 16,
            "stride": 8,
            "base_dims": (8, 8, 8),
            "depth": (1, 3, 1),
            "heads": (1, 2, 4),
        },
        64,
    ),
    "pit_ti_distilled_224": (
        {
            "img_size": 64,
            "patch_size": 16,
            "stride": 8,
            "base_dims": (8, 8, 8),
            "depth": (1, 3, 1),
            "heads": (1, 2, 4),
        },
        64,
    ),
    "coat_tiny": (
        {
            "img_size": 64,
            "embed_dims": (32, 32, 32, 32),
            "serial_depths": (2, 1, 1, 1),
            "parallel_depth": 2,
            "num_heads": 8,
        },
        64,
    ),
    "coat_lite_tiny": (
        {"img_size": 64, "embed_dims": (32, 32, 32, 32), "serial_depths": (1, 1, 3, 1), "num_heads": 8},
        64,
    ),
    "swin_tiny_patch4_window7_224": (SWIN, SIDE),
    "swinv2_tiny_window8_256": (SWIN, SIDE),
    "swinv2_cr_tiny_224": (SWIN, SIDE),
    "pvt_v2_b0": (STAGES, 64),
    "pvt_v2_b2_li": (STAGES, 64),
    "twins_pcpvt_small": ({**STAGES, "img_size": 64}, 64),
    "twins_svt_small": ({**STAGES, "img_size": 64}, 64),
    "hiera_tiny_224": (
        {"img_size": (64, 64), "embed_dim": 16, "stages": (1, 1, 3, 1), "num_heads": 1, "mask_unit_size": (8, 8)},
        64,
    ),
    "sam2_hiera_tiny": (
        {
            "embed_dim": 16,
            "num_heads": 1,
            "stages": (1, 1, 3, 1),
            "window_spec": (8, 4, 4, 2),
            "global_att_blocks": (3,),
        },
        64,
    ),
    "levit_128s": (
        {"img_size": 64, "embed_dim": (16, 24, 32), "key_dim": 8, "depth": (2, 3, 2), "num_heads": (2, 2, 2)},
        64,
    ),
    "levit_conv_128s": (
        {"img_size": 64, "embed_dim": (16, 24, 32), "key_dim": 8, "depth": (2, 3, 2), "num_heads": (2, 2, 2)},
        64,
    ),
    "efficientformer_l1": (
        {
            "img_size": 224,
            "embed_dims": (8, 16, 16, 32),
            "depths": (1, 1, 1, 3),
            "num_vit": 2,
        },
        224,
    ),
    "efficientformerv2_s0": ({"img_size": 64, "embed_dims": (8, 16, 16, 32), "depths": (1, 1, 3, 2)}, 64),
    "efficientvit_b0": ({"widths": (8, 8, 16, 16, 32), "head_dim": 8, "head_widths": (32, 32)}, 64),
    "efficientvit_m0": (
        {"img_size": 64, "embed_dim": (16, 16, 32), "num_heads": (2, 2, 2), "key_dim": (8, 8, 8), "depth": (1, 2, 3)},
        64,
    ),
    "mobilevit_xxs": ({}, 64),
    "mobilevitv2_050": ({}, 64),
    "convnext_atto": ({**DIMS, "ls_init_value": 0.5}, 64),
    "convnextv2_atto": (DIMS, 64),
    "coatnet_nano_rw_224": (MAXX, 64),
    "coatnet_0_224": (MAXX, 64),
    "coatnext_nano_rw_224": ({**MAXX, "embed_dim": (64, 64, 64, 64)}, 64),
    "maxvit_nano_rw_256": (MAXX, 64),
    "maxxvit_rmlp_nano_rw_256": ({**MAXX, "embed_dim": (64, 64, 64, 64)}, 64),
    "tiny_vit_5m_224": ({**STAGES, "depths": (1, 1, 3, 1), "window_sizes": (2, 2, 2, 2)}, 64),
    "davit_tiny": ({**STAGES, "window_size": 2}, 64),
    "visformer_tiny": ({"img_size": 64, "embed_dim": 32, "depth": (1, 3, 1), "num_heads": 2}, 64),
    "edgenext_xx_small": ({"dims": (16, 16, 32, 32), "depths": (1, 1, 3, 1), "heads": (2, 2, 2, 2)}, 64),
    "sequencer2d_s": (
        {
            "img_size": SIDE,
            "layers": (1, 1, 3, 1),
            "embed_dims": (16, 16, 16, 16),
            "hidden_sizes": (4, 4, 4, 4),
            "patch_sizes": (4, 2, 1, 1),
        },
        SIDE,
    ),
    "fastvit_t8": ({"layers": (1, 1, 3, 1), "embed_dims": (8, 16, 16, 32)}, 64),
    "fastvit_sa12": ({"layers": (1, 1, 3, 1), "embed_dims": (8, 16, 32, 32)}, 64),
    "repvit_m0_9": ({"embed_dim": (8, 16, 16, 32), "depth": (1, 1, 3, 1)}, 64),
    "mobilenetv5_base": ({"channel_multiplier": 0.25}, 64),
    "shvit_s1": ({}, 64),
    "efficientvim_m1": ({}, 64),
    "iformer_t": ({}, 64),
    "lowformer_b0": ({}, 64),
    "mambaout_femto": (DIMS, 64),
    "inception_next_atto": (DIMS, 64),
    "mobilenetv4_hybrid_medium": ({}, 64),
    "vitamin_small_224": ({"img_size": 64, "depth": 3}, 64),
    "swiftformer_xs": ({"layers": (1, 2, 3, 1), "embed_dims": (8, 16, 16, 32)}, 64),
    "nextvit_small": ({"depths": (1, 1, 5, 1)}, 64),
    "botnet26t_256": ({}, 256),
    "halonet26t": ({}, 256),
    "test_vit": (PLAIN, SIDE),
    "resnet18": ({}, 64),
    "regnety_002": ({}, 64),
}


# those whose registered functions have fixed sizes, by their class
OF_CLASS: dict[str, tuple[Callable[..., nn.Module], dict[str, Any], int]] = {
    "poolformer_s12": (
        metaformer.MetaFormer,
        {**DIMS, "downsample_norm": None, "norm_layers": GroupNorm1, "use_mlp_head": False, "mlp_bias": True},
        64,
    ),
    "caformer_s18": (
        metaformer.MetaFormer,
        {
            **DIMS,
            "token_mixers": [metaformer.SepConv] * 2 + [metaformer.Attention] * 2,
            "norm_layers": [metaformer.LayerNorm2dNoBias] * 2 + [metaformer.LayerNormNoBias] * 2,
        },
        64,
    ),
    "convformer_s18": (
        metaformer.MetaFormer,
        {**DIMS, "token_mixers": metaformer.SepConv, "norm_layers": metaformer.LayerNorm2dNoBias},
        64,
    ),
    "mvitv2_tiny": (MultiScaleVit, {"cfg": MVIT, "img_size": (SIDE, SIDE)}, SIDE),
    "mvitv2_base_cls": (MultiScaleVit, {"cfg": replace(MVIT, use_cls_token=True), "img_size": (SIDE, SIDE)}, SIDE),
    "nest_tiny": (
        Nest,
        {
            "img_size": SIDE,
            "patch_size": 2,
            "num_levels": 2,
            "embed_dims": (16, 32),
            "num_heads": (2, 4),
            "depths": (2, 3),
        },
        SIDE,
    ),
    "volo_d1_224": (
        VOLO,
        {
            "img_size": 64,
            "layers": (2, 3),
            "embed_dims": (16, 32),
            "num_heads": (2, 4),
            "downsamples": (True, False),
            "stem_hidden_dim": 8,
            "outlook_attention": (True, False),
        },
        64,
    ),
    "focalnet_tiny_srf": (
        FocalNet,
        {"embed_dim": 16, "depths": (2, 3), "focal_levels": (2, 2), "focal_windows": (3, 3)},
        SIDE,
    ),
    "gcvit_xxtiny": (
        GlobalContextVit,
        {
            "img_size": 64,
            "embed_dim": 8,
            "depths": (1, 1, 3, 1),
            "num_heads": (1, 2, 2, 2),
            "window_size": (4, 4, 4, 2),
        },
        64,
    ),
    "mixer_s16_224": (MlpMixer, MIXER, SIDE),
    "resmlp_12_224": (
        MlpMixer,
        {**MIXER, "mlp_ratio": 4, "block_layer": mlp_mixer.ResBlock, "norm_layer": mlp_mixer.Affine},
        SIDE,
    ),
    "gmixer_12_224": (MlpMixer, {**MIXER, "mlp_layer": GluMlp, "mlp_ratio": (1.0, 4.0)}, SIDE),
    "gmlp_ti16_224": (
        MlpMixer,
        {**MIXER, "mlp_ratio": 2, "block_layer": mlp_mixer.SpatialGatingBlock, "mlp_layer": mlp_mixer.GatedMlp},
        SIDE,
    ),
    "convmixer_768_32": (ConvMixer, {"dim": 32, "depth": 3, "patch_size": 8}, SIDE),
}

# blocks that `blocks.longest` does not find, or not first
BLOCKS = {
    "botnet26t_256": ("stages.2.1",),
    "efficientformer_l1": ("stages.3.blocks.2", "stages.3.blocks.3"),
    "halonet26t": ("stages.2.1",),
    "regnety_002": ("s4.b5", "s4.b6", "s4.b7"),
    "vitamin_small_224": ("blocks",),
}


def _maker(name: str, arguments: dict[str, Any]) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        given = {k: v for k, v in arguments.items() if v is not None}
        model: nn.Module = timm.create_model(name, num_classes=CLASSES, **given)
        return model

    return make


def _of_class(sort: Callable[..., nn.Module], arguments: dict[str, Any]) -> Callable[[], nn.Module]:
    return lambda: sort(num_classes=CLASSES, **arguments)


def cases() -> list[Case]:
    """One for each model, in the order of their names."""
    made = {name: (_maker(name, arguments), side) for name, (arguments, side) in MODELS.items()}
    made |= {name: (_of_class(sort, arguments), side) for name, (sort, arguments, side) in OF_CLASS.items()}
    return [
        Case(f"timm/{name}", make, side, blocks=BLOCKS.get(name, ())) for name, (make, side) in sorted(made.items())
    ]
