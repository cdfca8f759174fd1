"""Plain PyTorch, on any device, with the lowest priority."""

from __future__ import annotations

from .base import Backend

# a file named torch.py would hide PyTorch in its package
BACKEND = Backend("torch", 0, available=lambda: None, module=lambda package: f"{package}.pytorch")
