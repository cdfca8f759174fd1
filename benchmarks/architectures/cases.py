"""Every architecture by its name."""

from __future__ import annotations

from benchmarks.architectures import images, texts, timm_models
from benchmarks.architectures.tiny import Case

CASES: dict[str, Case] = {case.name: case for kind in (texts, images, timm_models) for case in kind.cases()}
