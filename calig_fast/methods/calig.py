"""CA-LIG, a reconstruction: layer relevance fused with attention gradients into a map a layer, then rolled out."""

from __future__ import annotations

from .base import Method, Scores, Signals, attention_maps
from .fusion import Fusion
from .rollout import rollout

# Chosen on 50 images of clothes, where it scores 0.69 and lam=0.8 scores 0.59 (docs/faithfulness.md).
IMAGES = Fusion(lam=0.97)


def calig(fusion: Fusion) -> Method:
    """CA-LIG with some options (Mersha and Kalita, arXiv 2602.16608)."""

    def read(s: Signals) -> Scores:
        return rollout(s.relevance, attention_maps(s), s.mask, s.readout, fusion, s.backend)[0], s.relevance

    return Method("calig", "layer", "gradient", read, fusion=fusion)


METHOD = calig(Fusion())
