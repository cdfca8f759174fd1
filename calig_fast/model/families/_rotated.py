"""The readings of attention by the names that transformers gives its parts, in decoders and in encoders made like them.

A block's description is the family's own; here are the projections, the MLP and the rotation that many share.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..encoder import Affine, Block, Norm
from ._weights import UnreadableError, activation, affine, fused, norm, rotary, unhooked

Norms = tuple[Norm | None, Norm | None, Norm | None, Norm | None]
_OUT = ("o_proj", "out_proj", "dense", "Wo")
_ACTIVATIONS = ("act_fn", "activation_fn", "act")
_PLAIN_MLP = (  # of modules that hold no more than their two projections
    *(("up_proj", "down_proj"), ("fc1", "fc2"), ("c_fc", "c_proj")),
    *(("dense_h_to_4h", "dense_4h_to_h"), ("fc_in", "fc_out")),
)


def rotated_block(
    module: nn.Module, backbone: Any | None, norms: Norms, *, kind: str = "", interleaved: bool = False
) -> Block:
    """The weights of a pre-norm block with rotated queries and keys.

    Args:
        module: the block, with its attention as `self_attn` or `attn`.
        backbone: the module with the rotary embedding, None where the block does not rotate.
        norms: before attention and MLP, and those of their branches.
        kind: of the attention, where each kind has frequencies of its own.
        interleaved: columns (2i, 2i + 1) of a head are rotated together, not (i, i + n).
    """
    m: Any = module
    attention = m.self_attn if hasattr(m, "self_attn") else m.attn
    unhooked(module)
    turn = None if backbone is None else rotary(backbone.rotary_emb, kind)
    qkv, heads, key_heads = projections(attention, attention.head_dim)
    if interleaved and turn is not None:
        qkv = by_halves(qkv, heads + key_heads, attention.head_dim, len(turn.frequencies))
    up, down, gated = mlp(m.mlp)
    first, second, post1, post2 = norms
    causal = bool(getattr(attention, "is_causal", False))
    before = window(attention) - 1
    return Block(
        qkv=qkv,
        out=output(attention),
        norm1=first,
        norm2=second,
        up=up,
        down=down,
        activation=mlp_activation(m.mlp),
        heads=heads,
        scale=float(getattr(attention, "scaling", attention.head_dim**-0.5)),
        pre_norm=True,
        gated=gated,
        key_heads=key_heads,
        norm_q=optional_norm(attention, "q_norm"),
        norm_k=optional_norm(attention, "k_norm"),
        rotary=turn,
        before=before,
        after=0 if causal else before,
        post1=post1,
        post2=post2,
    )


def projections(attention: Any, size: int) -> tuple[Affine, int, int]:
    """Queries, keys and values side by side, and the heads of queries and of keys.

    Args:
        attention: the module of the projections.
        size: columns of a head.
    """
    together = getattr(attention, "qkv_proj", None) or getattr(attention, "Wqkv", None)
    if together is not None:
        qkv = affine(together)
    else:
        qkv = fused([affine(attention.q_proj), affine(attention.k_proj), affine(attention.v_proj)])
    heads = output(attention).weight.shape[1] // size
    return qkv, heads, (len(qkv.weight) // size - heads) // 2


def output(attention: Any) -> Affine:
    """The output projection of an attention."""
    return affine(_first(attention, _OUT))


def mlp(module: Any) -> tuple[Affine, Affine, bool]:
    """First and second projection, of a gated one gate and value side by side, and whether it is gated."""
    if hasattr(module, "gate_up_proj"):
        return affine(module.gate_up_proj), affine(module.down_proj), True
    if hasattr(module, "gate_proj"):
        return fused([affine(module.gate_proj), affine(module.up_proj)]), affine(module.down_proj), True
    if hasattr(module, "Wi"):
        return affine(module.Wi), affine(module.Wo), True
    for up, down in _PLAIN_MLP:
        if hasattr(module, up):
            return affine(getattr(module, up)), affine(getattr(module, down)), False
    raise UnreadableError(f"its MLP is a {type(module).__name__}")


def mlp_activation(module: Any) -> Any:
    """The name of an MLP's activation."""
    return activation(_first(module, _ACTIVATIONS))


def optional_norm(module: Any, name: str) -> Norm | None:
    """The norm of this name, where there is one."""
    child = getattr(module, name, None)
    return None if child is None else norm(child)


def window(attention: Any) -> int:
    """Tokens that a query attends to on one side, itself among them; 0 for all."""
    if getattr(attention, "is_sliding", True) is False:
        return 0
    if hasattr(attention, "sliding_window"):
        return int(attention.sliding_window or 0)
    return int(getattr(attention.config, "sliding_window", None) or 0)


def by_halves(qkv: Affine, heads: int, size: int, pairs: int) -> Affine:
    """A copy in which columns (2i, 2i + 1) of the first heads are columns (i, i + n); their products stay the same.

    Args:
        qkv: queries, keys and values side by side.
        heads: of queries and keys together.
        size: columns of a head.
        pairs: n.
    """
    order = torch.arange(len(qkv.weight))
    order[: heads * size] = (torch.arange(heads)[:, None] * size + halves(size, pairs)).flatten()
    return _rows(qkv, order)


def halves(size: int, pairs: int) -> Tensor:
    """The columns of a head in the order of `by_halves`, [size] int64."""
    order = torch.arange(size)
    order[: 2 * pairs] = order[: 2 * pairs].view(pairs, 2).T.flatten()
    return order


def by_kind(qkv: Affine, heads: int, size: int, share: int = 1) -> Affine:
    """All queries, then all keys, then all values, a copy of what lies group by group.

    Args:
        qkv: of each group its queries, a key and a value.
        heads: of queries.
        size: columns of a head.
        share: heads of queries in a group.
    """
    groups = torch.arange(len(qkv.weight)).view(heads // share, share + 2, size)
    return _rows(qkv, torch.cat([groups[:, :share].flatten(), groups[:, share].flatten(), groups[:, -1].flatten()]))


def _rows(layer: Affine, order: Tensor) -> Affine:
    order = order.to(layer.weight.device)
    return Affine(layer.weight[order], None if layer.bias is None else layer.bias[order])


def _first(module: Any, names: tuple[str, ...]) -> Any:
    """The part of a module that has one of some names."""
    for name in names:
        part = getattr(module, name, None)
        if part is not None:
            return part
    raise UnreadableError(f"its {type(module).__name__} has none of {', '.join(names)}")
