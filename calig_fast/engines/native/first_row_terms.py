"""The terms of positions in the logits of first rows, for `first_token_block`: one query a segment, at place 0.

A key is projected nowhere, so neither is it here: scale <k_u, b> = x_u.(scale Wk^T b) + scale <bk, b>.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...model.encoder import Block
from .attention import terms_of


@dataclass(frozen=True)
class FirstRowTerms:
    """The terms of the keys at places 0 to T - 1.

    Args:
        bias: [H,T], added to the logits; None for nothing.
        keys: a [H,T,E], relative keys; None for none.
        rows: scale Wk^T b [T,H,D] of relative queries b; None for none.
    """

    bias: Tensor | None = None
    keys: Tensor | None = None
    rows: Tensor | None = None

    @classmethod
    def of(cls, block: Block, tokens: int, x: Tensor, wk: Tensor, bk: Tensor | None) -> FirstRowTerms:
        """The terms of a block.

        Args:
            block: the block.
            tokens: T, of the longest segment.
            x: of the dtype and on the device of the rows.
            wk: the projection of keys by head, [H,E,D].
            bk: its bias [H,E], or None.
        """
        bias, relative = terms_of(block, tokens, x)
        if relative is None:
            return cls() if bias is None else cls(bias[:, 0].to(x.dtype))
        keys, queries = relative[:, :, :tokens].flip(2)
        queries = queries * block.scale
        added = None if bk is None else (queries @ bk[..., None])[..., 0]
        return cls(added, keys, torch.einsum("hte,hed->thd", queries, wk))

    def logits(self, plain: Tensor, q: Tensor, rows: Tensor) -> Tensor:
        """The logits [n,H,T] with the terms.

        Args:
            plain: without them.
            q: queries times the scale, [n,H,E].
            rows: [n,T,D] that the keys are projections of.
        """
        tokens = rows.shape[1]
        if self.keys is not None:
            plain = plain + torch.einsum("nhe,hte->nht", q, self.keys[:, :tokens])
        if self.rows is not None:
            plain = plain + torch.einsum("ntd,thd->nht", rows, self.rows[:tokens])
        return plain if self.bias is None else plain + self.bias[:, :tokens]

    def query_grad(self, grad: Tensor, ds: Sequence[Tensor]) -> Tensor:
        """The gradient of the queries over the scale, [S,H,E]: without the terms, and each run's dS [n,H,T], given."""
        if self.keys is None:
            return grad
        return grad + torch.cat([torch.einsum("nht,hte->nhe", part, self.keys[:, : part.shape[2]]) for part in ds])

    def row_grad(self, grad: Tensor, ds: Tensor) -> Tensor:
        """The gradient of a run's rows, [n,T,D]; likewise."""
        return grad if self.rows is None else grad + torch.einsum("nht,thd->ntd", ds, self.rows[: ds.shape[2]])
