"""The rollout of the paper's reconstruction alone, whatever `method="calig"` becomes."""

from __future__ import annotations

from dataclasses import replace

from . import calig
from .fusion import Fusion

METHOD = replace(calig.METHOD, name="calig-paper")
# with images, by name
IMAGES = {
    "calig": calig.calig(calig.IMAGES),
    "calig-paper": replace(calig.calig(Fusion(lam=calig.IMAGES.lam)), name="calig-paper"),
}
