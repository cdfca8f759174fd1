"""CA-LIG, a reconstruction: layer relevance fused with attention gradients into a map a layer, then rolled out."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Method, Scores, Signals, attention_maps
from .fusion import Fusion
from .rollout import rollout
from .rollout_changes import changed_rollouts

# Chosen on 50 images of clothes, where it scores 0.69 and lam=0.8 scores 0.59 (docs/faithfulness.md).
IMAGES = Fusion(lam=0.97)


def calig(fusion: Fusion) -> Method:
    """CA-LIG with some options (Mersha and Kalita, arXiv 2602.16608).

    The scores are the rollout of the context maps; of an input of one token, the mean of r_l over the layers.

    Args:
        fusion: the options.
    """

    def positive(relevance: Tensor) -> Tensor:
        return relevance.clamp_min(0) if fusion.sign == "positive" else relevance

    # one token's Abar is 1 or 0 for every text, and it exchanges with no other: its relevance is the answer
    def one_token(s: Signals) -> Tensor:
        return s.mask.sum(1, keepdim=True) == 1

    def read(s: Signals) -> Scores:
        rolled = rollout(s.relevance, attention_maps(s), s.mask, s.readout, fusion, backend=s.backend)[0]
        return torch.where(one_token(s), positive(s.relevance).mean(1), rolled), s.relevance

    def changed(s: Signals, others: Tensor) -> Tensor:
        rolled = changed_rollouts(s.relevance, others, attention_maps(s), s.mask, s.readout, fusion=fusion)
        moved = (positive(others) - positive(s.relevance)).transpose(1, 2) / others.shape[2]
        return torch.where(one_token(s), positive(s.relevance).mean(1) + moved, rolled)

    return Method("calig", "layer", "gradient", read, fusion=fusion, changed=changed)


METHOD = calig(Fusion())
