"""The Triton kernels, on a GPU or in Triton's interpreter."""

from __future__ import annotations

import importlib.util
import os

import torch

from .base import Backend


def interpreting() -> bool:
    """True if Triton's kernels run in its interpreter, on CPU tensors too: TRITON_INTERPRET, read before they load."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "on")


def available() -> str | None:
    """The reason why no Triton kernel can run here, or None."""
    if not (torch.cuda.is_available() or interpreting()):
        return "no GPU that torch can use"
    return "triton is not installed" if importlib.util.find_spec("triton") is None else None


# the interpreter is thousands of times slower: "auto" never takes it
BACKEND = Backend("triton", 20, available, chosen=lambda: not interpreting())
