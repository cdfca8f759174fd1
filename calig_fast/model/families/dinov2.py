"""DINOv2: ViT's blocks with a layer scale; its classifier reads the class token and the mean patch side by side."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..encoder import Affine, Block, Encoder
from ._huggingface import image
from ._weights import activation, affine, fused, layer_scale, norm, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a Dinov2Model or a Dinov2WithRegistersModel."""
    config: Any = getattr(module, "config", None)
    tokens = 1 + int(getattr(config, "num_register_tokens", 0) or 0)

    def readout(mask: Tensor) -> Tensor:
        weights = torch.zeros(mask.shape, dtype=torch.float64, device=mask.device)
        weights[:, 0] = 0.5
        weights[:, tokens:] = 0.5 / max(mask.shape[1] - tokens, 1)
        return weights

    types = {"dinov2", "dinov2_with_registers"}
    return image(
        module, prefix, "dinov2", types, "encoder.layer", "layers", tokens=tokens, readout=readout, read=_block
    )


def _block(module: nn.Module) -> Block:
    m: Any = module
    unhooked(module)
    new = hasattr(m.attention, "q_proj")
    inner = m.attention if new else m.attention.attention
    names = ("q_proj", "k_proj", "v_proj") if new else ("query", "key", "value")
    qkv = fused([affine(getattr(inner, name)) for name in names])
    up, down, function = _mlp(m.mlp)
    return Block(
        qkv=qkv,
        out=affine(m.attention.o_proj if new else m.attention.output.dense),
        norm1=norm(m.norm1),
        norm2=norm(m.norm2),
        up=up,
        down=down,
        activation=activation(function),
        heads=inner.num_attention_heads,
        scale=(len(qkv.weight) // 3 // inner.num_attention_heads) ** -0.5,
        pre_norm=True,
        gated=not hasattr(m.mlp, "fc1"),
        scale1=layer_scale(m.layer_scale1, "lambda1"),
        scale2=layer_scale(m.layer_scale2, "lambda1"),
    )


def _mlp(mlp: Any) -> tuple[Affine, Affine, Any]:
    """First and second projection and the activation; of the gated kind, gate and value side by side."""
    if hasattr(mlp, "fc1"):
        return affine(mlp.fc1), affine(mlp.fc2), getattr(mlp, "activation_fn", None) or mlp.activation
    if hasattr(mlp, "gate_proj"):
        return fused([affine(mlp.gate_proj), affine(mlp.up_proj)]), affine(mlp.down_proj), mlp.act_fn
    return affine(mlp.weights_in), affine(mlp.weights_out), nn.SiLU()
