"""Every image classifier of transformers, small."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as NAMES

from benchmarks.architectures.texts import SMALL, maker
from benchmarks.architectures.tiny import SIDE, Call, Case, picture

PICTURES: dict[str, Any] = {**SMALL, "image_size": SIDE, "patch_size": 8, "mlp_ratio": 2.0}
STAGES = {"image_size": SIDE, "patch_size": 2, "embed_dim": 16, "depths": [2, 3], "num_heads": [2, 4], "window_size": 4}
CNN = {"embedding_size": 8, "hidden_sizes": [16, 16, 32, 32], "depths": [1, 2, 3, 1]}
PYRAMID = {
    "num_encoder_blocks": 2,
    "depths": [2, 3],
    "sr_ratios": [2, 1],
    "sequence_reduction_ratios": [2, 1],
    "hidden_sizes": [16, 32],
    "patch_sizes": [3, 3],
    "strides": [4, 2],
    "num_attention_heads": [2, 4],
    "mlp_ratios": [2, 2],
}


def _alone(**others: Any) -> dict[str, Any]:
    """These sizes and none of the usual ones, some of which its config would take for others."""
    return {**dict.fromkeys(PICTURES), **others}


OTHERS: dict[str, dict[str, Any]] = {
    "beit": {"use_relative_position_bias": True, "layer_scale_init_value": 0.5},
    "bit": _alone(**CNN, num_groups=4),
    "convnext": _alone(hidden_sizes=[8, 16, 16, 32], depths=[1, 1, 3, 1], image_size=64),
    "convnextv2": _alone(hidden_sizes=[8, 16, 16, 32], depths=[1, 1, 3, 1], image_size=64),
    "cvt": {
        **dict.fromkeys(PICTURES),
        "patch_sizes": [3, 3, 3],
        "patch_stride": [2, 2, 2],
        "patch_padding": [1, 1, 1],
        "embed_dim": [16, 16, 32],
        "num_heads": [2, 2, 4],
        "depth": [1, 2, 3],
        "mlp_ratio": [2.0, 2.0, 2.0],
    },
    "data2vec-vision": {"use_relative_position_bias": True, "layer_scale_init_value": 0.5, "out_indices": [0, 1, 2, 2]},
    "dinov2": {"mlp_ratio": 2},
    "dinov2_with_registers": {"mlp_ratio": 2},
    "donut-swin": _alone(**STAGES),
    "efficientnet": _alone(image_size=64, width_coefficient=0.25, depth_coefficient=1.0, hidden_dim=320),
    "focalnet": {
        **dict.fromkeys(PICTURES),
        "image_size": SIDE,
        "patch_size": 2,
        "embed_dim": 16,
        "hidden_sizes": [32, 32],
        "depths": [2, 3],
        "focal_levels": [2, 2],
        "focal_windows": [3, 3],
    },
    "hgnet_v2": {
        **dict.fromkeys(PICTURES),
        "embedding_size": 16,
        "hidden_sizes": [16, 32],
        "depths": [1, 2],
        "stem_channels": [3, 8, 8],
        "stage_in_channels": [8, 16],
        "stage_mid_channels": [8, 8],
        "stage_out_channels": [16, 32],
        "stage_num_blocks": [1, 2],
        "stage_downsample": [False, True],
        "stage_downsample_strides": [2, 2],
        "stage_light_block": [False, True],
        "stage_kernel_size": [3, 3],
        "stage_numb_of_layers": [2, 2],
    },
    "hiera": {
        **dict.fromkeys(PICTURES),
        "embed_dim": 16,
        "image_size": [64, 64],
        "patch_size": [7, 7],
        "depths": [1, 1, 3, 1],
        "num_heads": [1, 1, 2, 2],
        "num_query_pool": 2,
        "masked_unit_size": [8, 8],
        "mlp_ratio": 2.0,
    },
    "imagegpt": {"vocab_size": 64, "n_positions": 64, "n_inner": 48},
    "levit": _alone(
        image_size=64,
        patch_size=16,
        hidden_sizes=[16, 24, 32],
        num_attention_heads=[2, 2, 2],
        depths=[2, 3, 2],
        key_dim=[8, 8, 8],
    ),
    "mobilevit": {"image_size": 64, "patch_size": 2, "hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8] * 6 + [16]},
    "mobilevitv2": {
        "image_size": 64,
        "patch_size": 2,
        "width_multiplier": 0.25,
        "base_attn_unit_dims": [64, 64, 64],
    },
    "poolformer": _alone(
        depths=[2, 3],
        hidden_sizes=[16, 32],
        patch_sizes=[3, 3],
        strides=[4, 2],
        padding=[1, 1],
        num_encoder_blocks=2,
        layer_scale_init_value=0.5,
    ),
    "pp_lcnet": {"scale": 0.25},
    "pvt": _alone(**{**PYRAMID, "patch_sizes": [4, 2]}, image_size=SIDE),
    "pvt_v2": _alone(**PYRAMID),
    "regnet": _alone(**CNN, groups_width=8),
    "resnet": _alone(**CNN),
    "segformer": _alone(**PYRAMID),
    "swiftformer": _alone(depths=[1, 2, 3, 1], embed_dims=[8, 16, 16, 32], mlp_ratio=2),
    "swin": _alone(**STAGES),
    "swinv2": _alone(**STAGES, pretrained_window_sizes=[0, 0]),
    "textnet": _alone(image_size=[64, 64], hidden_sizes=[8, 8, 16, 16, 16], stem_out_channels=8),
    "timm_wrapper": {"architecture": "test_vit", "model_args": {"img_size": SIDE}},
}
LATENTS = {"num_latents": 6, "d_latents": 32, "d_model": None, "num_blocks": 1, "num_self_attends_per_block": 3}
PERCEIVER: dict[str, dict[str, Any]] = {
    f"PerceiverForImageClassification{sort}": {**LATENTS, "image_size": SIDE, "num_cross_attention_heads": 1}
    for sort in ("Learned", "Fourier", "ConvProcessing")
}
LARGE = ("bit", "convnext", "convnextv2", "efficientnet", "hiera", "levit", "mobilevit", "mobilevitv2", "textnet")
NOT_TRIED = {
    "dinat": "needs natten",
    "pp_lcnet": "its output has no logits",
    "shieldgemma2": "reads ids and pixels together, and answers with the words yes and no",
}


def patches(model: nn.Module) -> tuple[Call, Call]:
    """Patches [1,16,3*8*8] with their mask and shape, as SigLIP 2 takes them."""
    calls = []
    for seed in (1, 2):
        pixels = picture(SIDE, seed).unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 4, 5, 1).reshape(1, 16, -1)
        mask, shape = torch.ones(1, 16, dtype=torch.int64), torch.tensor([[4, 4]])
        calls.append({"pixel_values": pixels, "pixel_attention_mask": mask, "spatial_shapes": shape})
    return calls[0], calls[1]


def colours(model: nn.Module) -> tuple[Call, Call]:
    """Ids [1,16] of colours, as ImageGPT takes them."""
    ids, low = torch.randint(1, 60, (2, 1, 16), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids}, {"input_ids": low}


CALLS = {"siglip2": patches, "imagegpt": colours}


def cases() -> list[Case]:
    """One for each class, in the order of their names."""
    image_cases = []
    for kind, names in sorted(NAMES.items()):
        for name in (names,) if isinstance(names, str) else names:
            title = kind if isinstance(names, str) else f"{kind}, {name}"
            others = {**OTHERS.get(kind, {}), **PERCEIVER.get(name, {})}
            make = maker(kind, name, PICTURES, others)
            image_cases.append(
                Case(
                    f"image/{title}",
                    make,
                    2 * SIDE if kind in LARGE else SIDE,
                    CALLS.get(kind),
                    not_tried=NOT_TRIED.get(kind, ""),
                )
            )
    return image_cases
