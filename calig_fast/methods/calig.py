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

    The scores are the rollout of the context maps; of an input of one token, the mean of r_l over the layers. With an
    embedding share e they are (1 - e) k sum|r_0| / sum|k| + e r_0, k the rollout, sums over the content.

    Args:
        fusion: the options.
    """

    def positive(relevance: Tensor) -> Tensor:
        return relevance.clamp_min(0) if fusion.sign == "positive" else relevance

    # one token's Abar is 1 or 0 for every text, and it exchanges with no other: its relevance is the answer
    def one_token(s: Signals) -> Tensor:
        return s.mask.sum(1, keepdim=True) == 1

    def first_of(s: Signals) -> Tensor:
        if s.embedding is None and fusion.embedding_rules is not None:
            raise RuntimeError("the method reads IG at the embeddings under rules of its own and was given none")
        return positive(s.relevance[:, 0] if s.embedding is None else s.embedding)

    def shared(rolled: Tensor, first: Tensor, s: Signals) -> Tensor:
        share = fusion.embedding_share
        return rolled if share == 0 else blend(rolled, first, s.mask if s.content is None else s.content, share)

    def read(s: Signals) -> Scores:
        rolled = rollout(s.relevance, attention_maps(s), s.mask, s.readout, fusion, backend=s.backend)[0]
        return torch.where(one_token(s), positive(s.relevance).mean(1), shared(rolled, first_of(s), s)), s.relevance

    def changed(s: Signals, others: Tensor) -> Tensor:
        rolled = changed_rollouts(s.relevance, others, attention_maps(s), s.mask, s.readout, fusion=fusion)
        moved = (positive(others) - positive(s.relevance)).transpose(1, 2) / others.shape[2]
        first = first_of(s).expand_as(rolled).clone()
        if s.embedding is None:
            first[:, 0] = positive(others)[:, :, 0]
        return torch.where(one_token(s), positive(s.relevance).mean(1) + moved, shared(rolled, first, s))

    return Method("calig", "layer", "gradient", read, fusion=fusion, changed=changed)


def blend(rolled: Tensor, first: Tensor, content: Tensor, share: float) -> Tensor:
    """(1 - share) of the rollout, scaled to the sum of magnitudes of the first layer's relevance, and share of that.

    Args:
        rolled, first: [...,B,T].
        content: [B,T] bool, tokens whose magnitudes are summed.
        share: 0 to 1.
    """
    sizes = [(part * content).abs().sum(-1, keepdim=True) for part in (rolled, first)]
    scale = sizes[1] / sizes[0].where(sizes[0] > 0, 1.0)
    return (1 - share) * scale * rolled + share * first


METHOD = calig(Fusion())
