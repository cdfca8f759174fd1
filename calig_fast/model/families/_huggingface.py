"""Common parts of the Hugging Face families."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ..encoder import Activation, Block, Encoder, children
from ._weights import activation, affine, encoder_only, fused, norm, unhooked


def join(prefix: str, name: str) -> str:
    """Dotted name of `name` inside the module at `prefix`."""
    return f"{prefix}.{name}" if prefix else name


def blocks(module: nn.Module, prefix: str, types: set[str], *paths: str) -> tuple[str, ...]:
    """Names of the blocks of a backbone of one of `types`; empty where `module` is something else.

    Args:
        module: a module of the user's model.
        prefix: its dotted name.
        types: values of `config.model_type` that are meant.
        paths: where releases of transformers keep the list of blocks, newest first.
    """
    if getattr(getattr(module, "config", None), "model_type", None) not in types:
        return ()
    for path in paths:
        names = children(module, path)
        if names:
            return tuple(join(prefix, name) for name in names)
    return ()


def padding_offset(module: nn.Module) -> int:
    """The positions that a model never uses for tokens where it counts them from padding_idx + 1."""
    padding = getattr(getattr(module, "config", None), "pad_token_id", None)
    return (padding if isinstance(padding, int) else 0) + 1


def text(
    module: nn.Module,
    prefix: str,
    family: str,
    types: set[str],
    *paths: str,
    offset: int = 0,
    read: Callable[[nn.Module], Block] | None = None,
) -> Encoder | None:
    """The encoder of a text backbone, or None.

    Args:
        offset: positions that the model's table of positions holds but never uses for tokens.
        read: how a block's weights are read.
    """
    names = blocks(module, prefix, types, *paths)
    if not names:
        return None
    config: Any = module.config
    return Encoder(
        family=family, modality="text", blocks=names, max_length=config.max_position_embeddings - offset, read=read
    )


def image(
    module: nn.Module,
    prefix: str,
    family: str,
    types: set[str],
    *paths: str,
    tokens: int = 1,
    readout: Callable[[Tensor], Tensor] | None = None,
    read: Callable[[nn.Module], Block] | None = None,
) -> Encoder | None:
    """The encoder of an image backbone, or None.

    Args:
        tokens: tokens before the first patch.
        readout: rows the head reads, see `Encoder`.
        read: how a block's weights are read.
    """
    names = blocks(module, prefix, types, *paths)
    if not names:
        return None
    config: Any = module.config
    size = config.patch_size
    patch = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    return Encoder(
        family=family,
        modality="image",
        blocks=names,
        prefix=tokens,
        patch=patch,
        readout=readout,
        read=read,
        stem=join(prefix, "embeddings"),
    )


POST_NORMS = ("attention.output.LayerNorm", "output.LayerNorm")


def bert_block(
    module: nn.Module,
    norms: tuple[str, str] = POST_NORMS,
    pre_norm: bool = False,
    function: Activation | None = None,
) -> Block:
    """The weights of a block whose projections are named as BERT's.

    Args:
        module: the block.
        norms: dotted names of norm 1 and norm 2 inside it.
        pre_norm: see `Block`.
        function: the activation, None to read it off the block.
    """
    m: Any = module
    attention = m.attention.self
    unhooked(module)
    encoder_only(getattr(attention, "config", attention))
    return Block(
        qkv=fused([affine(attention.query), affine(attention.key), affine(attention.value)]),
        out=affine(m.attention.output.dense),
        norm1=norm(module.get_submodule(norms[0])),
        norm2=norm(module.get_submodule(norms[1])),
        up=affine(m.intermediate.dense),
        down=affine(m.output.dense),
        activation=function or activation(m.intermediate.intermediate_act_fn),
        heads=attention.num_attention_heads,
        scale=attention.attention_head_size**-0.5,
        pre_norm=pre_norm,
    )


def vit_block(module: nn.Module) -> Block:
    """The weights of a block of ViT or DeiT, in releases of transformers before and since 5."""
    m: Any = module
    unhooked(module)
    new = hasattr(m.attention, "q_proj")
    inner = m.attention if new else m.attention.attention
    names = ("q_proj", "k_proj", "v_proj") if new else ("query", "key", "value")
    qkv = fused([affine(getattr(inner, name)) for name in names])
    heads = inner.num_attention_heads
    return Block(
        qkv=qkv,
        out=affine(m.attention.o_proj if new else m.attention.output.dense),
        norm1=norm(m.layernorm_before),
        norm2=norm(m.layernorm_after),
        up=affine(m.mlp.fc1 if new else m.intermediate.dense),
        down=affine(m.mlp.fc2 if new else m.output.dense),
        activation=activation(m.mlp.activation_fn if new else m.intermediate.intermediate_act_fn),
        heads=heads,
        scale=(len(qkv.weight) // 3 // heads) ** -0.5,
        pre_norm=True,
    )
