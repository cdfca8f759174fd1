"""CA-LIG, a reconstruction: layer relevance fused with attention gradients into a map a layer, then rolled out."""

from __future__ import annotations

import torch

from .base import Method, Scores, Signals, attention_maps
from .fusion import Fusion
from .rollout import rollout

# Chosen on 50 images of clothes, where it scores 0.69 and lam=0.8 scores 0.59 (docs/faithfulness.md).
IMAGES = Fusion(lam=0.97)


def calig(fusion: Fusion) -> Method:
    """CA-LIG with some options (Mersha and Kalita, arXiv 2602.16608).

    The scores are the rollout of the context maps; of an input of one token, the mean of r_l over the layers.

    Args:
        fusion: the options.
    """

    def read(s: Signals) -> Scores:
        rolled = rollout(s.relevance, attention_maps(s), s.mask, s.readout, fusion, backend=s.backend)[0]
        # one token's Abar is 1 or 0 for every text, and it exchanges with no other: its relevance is the answer
        relevance = s.relevance.clamp_min(0) if fusion.sign == "positive" else s.relevance
        one_token = s.mask.sum(1, keepdim=True) == 1
        return torch.where(one_token, relevance.mean(1), rolled), s.relevance

    return Method("calig", "layer", "gradient", read, fusion=fusion)


METHOD = calig(Fusion())
