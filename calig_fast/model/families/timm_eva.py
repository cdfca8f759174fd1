"""timm's EVA and its kin: EVA-01 with embedded positions, and EVA-02, DINOv3, PE and ViTs that rotate queries and keys.

A patch has an angle for its row and its column; class token and registers do not rotate.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from ..encoder import Affine, Block, Encoder, Norm, RotaryTable
from ._rotated import by_halves, halves
from ._timm import extra_norms, image, made_of, mlp_up
from ._weights import UnreadableError, activation, affine, fused, norm, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a timm Eva."""
    if "timm.models.eva.Eva" not in made_of(module):
        return None
    return image(module, prefix, "timm_eva", "patch_embed", partial(_block, module))


def _block(backbone: Any, module: nn.Module) -> Block:
    m: Any = module
    unhooked(module)
    if type(module).__name__ != "EvaBlock" or type(m.attn).__name__ not in {"AttentionRope", "EvaAttention"}:
        kinds = ", ".join(type(part).__name__ for part in (m, getattr(m, "attn", None)) if part is not None)
        raise UnreadableError(f"its blocks are of another kind ({kinds})")
    attention = m.attn
    heads, keys = attention.num_heads, getattr(attention, "num_kv_heads", attention.num_heads)
    up, gated = mlp_up(m.mlp)
    qkv, norms, turn = _qkv(attention), extra_norms(m), _turn(backbone)
    if turn is not None and not attention.rotate_half:
        size, pairs = attention.head_dim, turn.cosines.shape[1]
        qkv = by_halves(qkv, heads + keys, size, pairs)
        norms |= {name: _reordered(norms[name], size, pairs) for name in ("norm_q", "norm_k")}
    return Block(
        qkv=qkv,
        out=affine(attention.proj),
        norm1=norm(m.norm1),
        norm2=norm(m.norm2),
        up=up,
        down=affine(m.mlp.fc2),
        activation=activation(m.mlp.act),
        heads=heads,
        scale=float(attention.scale),
        pre_norm=True,
        gated=gated,
        scale1=m.gamma_1,
        scale2=m.gamma_2,
        key_heads=keys,
        rotary=turn,
        **norms,
    )


def _qkv(attention: Any) -> Affine:
    """Queries, keys and values side by side, their biases joined."""
    if attention.qkv is None:
        return fused([affine(attention.q_proj), affine(attention.k_proj), affine(attention.v_proj)])
    if getattr(attention, "q_bias", None) is None:
        return affine(attention.qkv)
    return Affine(affine(attention.qkv).weight, torch.cat([attention.q_bias, attention.k_bias, attention.v_bias]))


def _turn(backbone: Any) -> RotaryTable | None:
    """The rotation of the tokens of a picture of the size that the model was made for."""
    rope = getattr(backbone, "rope", None)
    if rope is None:
        return None
    if backbone.rope_mixed:
        raise UnreadableError("each of its heads has rotations of its own, which are learned")
    made = hasattr(rope, "feat_shape") and not backbone.dynamic_img_size
    angles = rope.get_embed() if made else rope.get_embed(shape=backbone.patch_embed.grid_size)
    sines, cosines = angles.detach().chunk(2, -1)
    half = cosines.shape[-1] // 2
    columns = slice(half) if backbone.blocks[0].attn.rotate_half else slice(0, None, 2)  # each number stands twice
    first = cosines.new_zeros(backbone.num_prefix_tokens, half)
    return RotaryTable(torch.cat([first + 1, cosines[:, columns]]), torch.cat([first, sines[:, columns]]), whole=True)


def _reordered(n: Norm | None, size: int, pairs: int) -> Norm | None:
    """The norm of heads in the order of `by_halves`."""
    if n is None or n.weight is None:
        return n
    order = halves(size, pairs).to(n.weight.device)
    return Norm(n.weight[order], None if n.bias is None else n.bias[order], n.eps, n.rms)
