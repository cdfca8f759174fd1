"""The weights of a block, read from modules with known arithmetic; anything else is refused, never guessed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..encoder import Activation, Affine, Norm, Rotary


class UnreadableError(ValueError):
    """A block computes something that its family does not know; the message names it."""


_OWN_NORMS = {  # layer norms of transformers: their eps where they name none
    "CohereCompassLayerNorm": None,
    "EsmcLayerNorm": None,
    "NemotronLayerNorm1P": None,
    "OlmoLayerNorm": 1e-5,
}
_LESS_ONE = {"NemotronLayerNorm1P", "GemmaRMSNorm", "Gemma2RMSNorm", "Gemma3RMSNorm"}
_ACTIVATIONS: dict[str, Activation] = {
    "GELUActivation": "gelu",
    "NewGELUActivation": "gelu_tanh",
    "GELUTanh": "gelu_tanh",
    "QuickGELU": "quick_gelu",
    "QuickGELUActivation": "quick_gelu",
    "ReLU": "relu",
    "ReLUSquaredActivation": "relu_squared",
    "SiLU": "silu",
    "SiLUActivation": "silu",
    "gelu": "gelu",
    "relu": "relu",
    "silu": "silu",
}


def affine(module: Any) -> Affine:
    """The weights of a linear layer, LoRA adapters merged into them.

    Raises:
        UnreadableError: another kind of module.
    """
    if type(module) is nn.Linear:
        return Affine(module.weight, module.bias)
    if type(module).__name__ == "Conv1D" and type(module).__module__ == "transformers.pytorch_utils":
        return Affine(module.weight.T.contiguous(), module.bias)
    if type(module).__module__.startswith("peft.tuners.lora") and type(module).__name__ == "Linear":
        return _with_adapters(module)
    raise UnreadableError(f"a projection is a {type(module).__name__}, not a plain linear layer")


def _with_adapters(module: Any) -> Affine:
    base = module.get_base_layer()
    if type(base) is not nn.Linear:
        raise UnreadableError(f"an adapter lies over a {type(base).__name__}")
    weight: Tensor = base.weight
    if not module.merged and not module.disable_adapters:
        for name in module.active_adapters:
            if name not in module.lora_A:
                continue
            if module.use_dora.get(name) or module.lora_bias.get(name):
                raise UnreadableError("an adapter is DoRA or has a bias of its own")
            weight = weight + module.get_delta_weight(name).to(weight.dtype)
    return Affine(weight, base.bias)


def fused(parts: Sequence[Affine]) -> Affine:
    """Projections side by side, a copy; a missing bias counts as zeros where another has one."""
    biases = [p.bias for p in parts]
    bias = None
    if any(b is not None for b in biases):
        bias = torch.cat([p.weight.new_zeros(len(p.weight)) if p.bias is None else p.bias for p in parts])
    return Affine(torch.cat([p.weight for p in parts]), bias, tuple(parts))


def relative_tables(rows: Tensor, keys: Affine | None, queries: Affine | None, heads: int) -> Tensor:
    """Relative keys and queries [2,H,P,E] of the embeddings of positions.

    Args:
        rows: the embeddings [P,D].
        keys: their projection to keys, None where the model adds no such term.
        queries: the same to queries.
        heads: H.
    """
    made = [None if p is None else nn.functional.linear(rows, p.weight, p.bias) for p in (keys, queries)]
    one = next(table for table in made if table is not None)
    both = torch.stack([torch.zeros_like(one) if table is None else table for table in made])
    return torch.unflatten(both, 2, (heads, -1)).transpose(1, 2).contiguous()


def norm(module: Any) -> Norm:
    """The weights of a layer norm or an RMS norm over the last axis.

    Raises:
        UnreadableError: another kind of norm.
    """
    if type(module).__name__.endswith("RMSNorm") and type(module).__module__.startswith("transformers."):
        return _rms_norm(module)
    if type(module).__name__ == "RmsNorm" and type(module).__module__.startswith("timm."):
        return Norm(module.weight, None, float(module.eps), rms=True)
    if type(module).__name__ in _OWN_NORMS and type(module).__module__.startswith("transformers."):
        return _own_norm(module)
    known = isinstance(module, nn.LayerNorm) and type(module).forward in _norm_forwards()
    if not known or len(module.normalized_shape) != 1:
        raise UnreadableError(f"a norm is a {type(module).__name__}, not a layer norm")
    return Norm(module.weight, module.bias, float(module.eps))


def _rms_norm(module: Any) -> Norm:
    """The weights of an RMS norm of transformers."""
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    weight = getattr(module, "weight", None)
    if eps is None or not isinstance(weight, Tensor):
        raise UnreadableError(f"a norm is a {type(module).__name__}, without weight or eps")
    return Norm(_whole(module), None, float(eps), rms=True)


def _own_norm(module: Any) -> Norm:
    """The weights of a layer norm of transformers' own."""
    eps: Any = getattr(module, "variance_epsilon", getattr(module, "eps", _OWN_NORMS[type(module).__name__]))
    return Norm(_whole(module), getattr(module, "bias", None), float(eps))


def _whole(module: Any) -> Tensor | None:
    """The weight of a norm, where there is one; some are kept less 1."""
    weight: Tensor | None = getattr(module, "weight", None)
    if weight is None or type(module).__name__ not in _LESS_ONE:
        return weight
    return weight.to(torch.promote_types(weight.dtype, torch.float32)) + 1


def rotary(module: Any, kind: str = "") -> Rotary:
    """The rotation of queries and keys by a module of transformers; of some kinds that of texts of its own length.

    Args:
        module: a rotary embedding.
        kind: of a block's attention, where each kind has frequencies of its own.

    Raises:
        UnreadableError: one that has been scaled for a longer text.
    """
    prefix = f"{kind}_" if kind and hasattr(module, f"{kind}_inv_freq") else ""
    scaled, most = module.rope_type[kind] if prefix else module.rope_type, None
    frequencies: Tensor = getattr(module, f"{prefix}inv_freq")
    if scaled in {"dynamic", "longrope"}:  # the first of these is kept scaled after a longer text
        rope = module.config.rope_parameters
        rope, frequencies = rope[kind] if prefix else rope, getattr(module, f"{prefix}original_inv_freq")
        most = rope["original_max_position_embeddings"] if scaled == "longrope" else module.original_max_seq_len - 1
    scaling = float(getattr(module, f"{prefix}attention_scaling"))
    return Rotary(tuple(frequencies.tolist()), scaling, most)


def _norm_forwards() -> list[Any]:
    """The forwards of layer norms that compute what torch's does."""
    # not imported for its own sake: 20 MiB of modules that a model from elsewhere has no use for
    timm = sys.modules.get("timm.layers.norm")
    return [nn.LayerNorm.forward] if timm is None else [nn.LayerNorm.forward, timm.LayerNorm.forward]


def activation(function: Any) -> Activation:
    """The name of an activation.

    Raises:
        UnreadableError: one that is not known.
    """
    if isinstance(function, nn.GELU):
        return "gelu_tanh" if function.approximate == "tanh" else "gelu"
    if type(function).__name__ == "GELU" and type(function).__module__.startswith("timm."):
        return "gelu"
    if type(function).__name__ == "GELUTanh" and type(function).__module__.startswith("timm."):
        return "gelu_tanh"
    name = type(function).__name__ if isinstance(function, nn.Module) else getattr(function, "__name__", "")
    if name not in _ACTIVATIONS:
        raise UnreadableError(f"the activation is {name or function!r}")
    return _ACTIVATIONS[name]


def layer_scale(module: Any, name: str) -> Tensor | None:
    """The factors of a layer scale kept under `name`, None where there is none.

    Raises:
        UnreadableError: something that is neither a layer scale nor the identity.
    """
    if module is None or isinstance(module, nn.Identity):
        return None
    factors = getattr(module, name, None)
    if not isinstance(factors, Tensor):
        raise UnreadableError(f"a layer scale is a {type(module).__name__} without {name}")
    return factors


def _records(hook: Callable[..., Any]) -> bool:
    """Return True for a hook that transformers 5 leaves after `output_hidden_states=True`, which changes nothing."""
    name, module = getattr(hook, "__name__", ""), getattr(hook, "__module__", "") or ""
    return module.startswith("transformers.") and name == "output_capturing_hook"


def unhooked(module: nn.Module) -> None:
    """Raise where a hook may change what the modules of a block compute.

    Raises:
        UnreadableError: naming the module.
    """
    for name, inner in module.named_modules():
        if inner._forward_pre_hooks or not all(map(_records, inner._forward_hooks.values())):
            raise UnreadableError(f"{name or 'a block'} has forward hooks, which may change what it computes")


def encoder_only(config: Any) -> None:
    """Raise where a block attends to the past alone, or with relative positions.

    Raises:
        UnreadableError: saying which.
    """
    if getattr(config, "is_decoder", False):
        raise UnreadableError("the model is a decoder")
    kind = getattr(config, "position_embedding_type", "absolute") or "absolute"
    if kind != "absolute":
        raise UnreadableError(f"its positions are {kind}")
