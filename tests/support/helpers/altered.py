"""Copies of models with modules whose own autograd gives the gradients of backward rules, written out one by one."""

from __future__ import annotations

import copy
import types
from typing import Any

import torch
from torch import Tensor, nn

MAPS: list[Tensor] = []  # of every attention that ran, in order


def split(x: Tensor, weight: float) -> Tensor:
    """x, its gradient times a weight."""
    return x * weight + (x * (1 - weight)).detach()


def product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b, the gradient halved between them."""
    return split(a, 0.5) @ split(b, 0.5)


def softmax(z: Tensor, t: float) -> Tensor:
    """softmax(z), its gradient that of t softmax(z / t)."""
    soft = t * torch.softmax(z / t, -1)
    return soft + (torch.softmax(z, -1) - soft).detach()


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """Attention by GIM's rules."""
    z = product(q, k.transpose(-1, -2)) * scale
    attention = softmax(z if mask is None else z + mask, 2.0)
    MAPS.append(attention)
    return product(attention, v)


def layer_norm(self: nn.LayerNorm, x: Tensor) -> Tensor:
    """Layer norm of a constant deviation."""
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + self.eps).sqrt().detach() * self.weight + self.bias


def rms_norm(self: Any, x: Tensor) -> Tensor:
    """Llama's norm, its root a constant."""
    return self.weight * x / (x.square().mean(-1, keepdim=True) + self.variance_epsilon).sqrt().detach()


def gated(self: Any, x: Tensor) -> Tensor:
    """A gate times its branch, the gradient halved between them."""
    return self.down_proj(split(self.act_fn(self.gate_proj(x)), 0.5) * split(self.up_proj(x), 0.5))


def timm_attention(self: Any, x: Tensor, **_: Any) -> Tensor:
    """timm's attention by GIM's rules."""
    q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
    return self.proj(attend(q, k, v, None, self.scale).transpose(1, 2).flatten(2))


def multi_head(self: nn.MultiheadAttention, x: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
    """PyTorch's own attention by GIM's rules, batch first."""
    q, k, v = nn.functional.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)
    q, k, v = (p.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for p in (q, k, v))
    return self.out_proj(attend(q, k, v, None, q.shape[-1] ** -0.5).transpose(1, 2).flatten(2)), None


FORWARDS = {
    "LayerNorm": layer_norm,
    "LlamaRMSNorm": rms_norm,
    "LlamaMLP": gated,
    "Dinov2SwiGLUFFN": gated,
    "Attention": timm_attention,
    "MultiheadAttention": multi_head,
}


def hugging_face(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **more: Any
) -> tuple[Tensor, None]:
    """An attention function of transformers by GIM's rules."""
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    mask = attention_mask
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.zeros_like(query[..., :1] @ key[..., :1].transpose(-1, -2)).masked_fill(~mask, -1e30)
    scale = more.get("scaling") or query.shape[-1] ** -0.5
    return attend(query, key, value, mask, scale).transpose(1, 2), None


def by_gim(model: nn.Module) -> Any:
    """A copy of the model whose autograd gives the gradients of `rules="gim"`."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register("by_gim", hugging_face)
    AttentionMaskInterface.register("by_gim", eager_mask)
    found = copy.deepcopy(model)
    if hasattr(found, "set_attn_implementation"):
        found.set_attn_implementation("by_gim")
    for module in found.modules():
        forward = FORWARDS.get(type(module).__name__)
        if forward is not None:
            module.forward = types.MethodType(forward, module)
    return found


def layer_relevance(
    model: Any, call: dict[str, Tensor], ends: tuple[Tensor, Tensor], block: str, target: int
) -> Tensor:
    """r_l [T] of one input by hooks and the midpoint rule of four steps.

    Args:
        model: whose autograd gives the gradients.
        call: its arguments, one row.
        ends: h_l and h'_l [1,T,D].
        block: name of the block.
        target: the class.
    """
    high, low = ends
    total = torch.zeros(high.shape[:2], dtype=torch.float64)
    for node in (0.125, 0.375, 0.625, 0.875):
        leaf = (low + node * (high - low)).requires_grad_()

        def replaced(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], leaf: Tensor = leaf) -> Any:
            if args:
                return (leaf, *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": leaf}

        handle = model.get_submodule(block).register_forward_pre_hook(replaced, with_kwargs=True)
        output = model(**call)
        handle.remove()
        logits = output if isinstance(output, Tensor) else output.logits
        (slope,) = torch.autograd.grad(logits[0, target], leaf)
        total += ((high - low) * slope).double().sum(-1) / 4
    return total[0]


def block_input(model: Any, call: dict[str, Tensor], block: str) -> Tensor:
    """h_l [1,T,D]."""
    seen: list[Tensor] = []
    handle = model.get_submodule(block).register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
    )
    with torch.no_grad():
        model(**call)
    handle.remove()
    return seen[0].detach()
