"""The reason why no family reads a model: the parts that it has and our blocks have not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from ..encoder import Block
from ._weights import UnreadableError

# The parts of a block that ours has not, by the names of modules and weights: all that are found are told.
_OTHERS = {
    "layers of a state space or of linear attention": r"mamba|\bssm\b|state_?space|linear_?att|deltanet",
    "a mixture of experts": r"experts|\bmoe\b|sparsemoe",
    "positions that rotate queries and keys": r"rotary|\brope\b|rope_?(emb|2d|freq)|roformer",
    "a bias of relative positions": r"rel_?(pos|emb)|relative_?(position|attention)|alibi|position_bias|disentangled",
    "attention within windows": r"swin|window",
    "norms of the mean square": r"rms_?norm|layernorm_rms|t5layernorm",
    "squeezed or hashed keys": r"lsh|landmark|nystrom|linformer|spatial_?reduction|\bsr\b",
}
_CONVOLUTION = "convolutions in its blocks"
_NO_ATTENTION = "no attention"


@dataclass(frozen=True)
class Unread:
    """The `read` of an encoder whose blocks are known by their place alone.

    Args:
        why: the reason, in words.
    """

    why: str

    def __call__(self, module: nn.Module) -> Block:
        """Raise UnreadableError with the reason."""
        raise UnreadableError(self.why)


def unread(model: nn.Module) -> Unread:
    """The `read` for a model that no family knows, with its parts as the reason."""
    return Unread(f"no family reads it; it has {', '.join(others(model))}")


def others(model: nn.Module) -> tuple[str, ...]:
    """The parts of a model that our blocks have not, as the names of its modules and weights tell them."""
    names = "\n".join(_names(model)).lower()
    parts = [what for what, pattern in _OTHERS.items() if re.search(pattern, names)]
    if any(isinstance(m, nn.Conv1d | nn.Conv2d) for block in _blocks(model) for m in block.modules()):
        parts.append(_CONVOLUTION)
    if not re.search(r"attention|attn|attend", names):
        parts.append(_NO_ATTENTION)
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        parts.append("a decoder beside its encoder")
    elif any(getattr(m, name, False) is True for m in model.modules() for name in ("is_causal", "is_decoder")):
        parts.append("attention to the past alone")
    return tuple(parts) or ("blocks of its own kind",)


def _names(model: nn.Module) -> Iterator[str]:
    for name, module in model.named_modules():
        yield name
        yield type(module).__name__
    for name, _ in (*model.named_parameters(), *model.named_buffers()):
        yield name


def _blocks(model: nn.Module) -> Iterator[nn.Module]:
    """The members of lists of like modules."""
    for module in model.modules():
        members = list(module.children()) if isinstance(module, nn.ModuleList | nn.Sequential) else []
        if len(members) > 1 and len({type(member) for member in members}) == 1:
            yield from members
