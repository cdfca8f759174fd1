"""Sum over layers of the attention a token receives times its gradient x activation (Qiang et al. 2022)."""

from __future__ import annotations

from .base import Method, Scores, Signals, attention_maps


def read(s: Signals) -> Scores:
    """Signals to scores: the mean over queries of each key's attention, times gradient x hidden state."""
    queries = s.mask[:, None, :, None]
    received = (attention_maps(s).double() * queries).sum(2) / queries.sum(2)
    layers = received * s.product
    return layers.sum(1), layers


METHOD = Method("attcat", "none", "attention", read)
