"""Ways by which token ids reach a model's output past the lookups of their embeddings."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .._utils.arguments import rare_kind
from .call import Call, ModelFailsError, concatenated, kind_of
from .instrumented import InstrumentedModel
from .own_answer import output_tensors, same
from .word_lookup import Lookup, Replacement, integers_beside


@dataclass
class WordReach:
    """The findings for each kind of call.

    Args:
        known: by kind, True where the ids reach the output past their lookups.
    """

    known: dict[Hashable, bool] = field(default_factory=dict)

    def past_lookups(self, tap: InstrumentedModel, call: Call, name: str, keep: Tensor) -> bool:
        """Return True where replaced ids and replaced words give two answers: arithmetic that cannot be followed.

        Content is replaced by an ordinary token of the text, since padding and separators have a meaning for positions
        and for the row that is read. One pass of [replaced ids; replaced embeddings] tells.

        Args:
            tap: the model.
            call: its arguments, B rows.
            name: of the argument that carries the ids.
            keep: [B,T] bool, special tokens and padding, which stay.
        """
        kind = kind_of(call)
        if kind not in self.known:
            ids = call[name]
            token = _ordinary(ids[~keep])
            replaced = torch.where(keep, ids, token)
            both = concatenated({**call, name: replaced}, call)
            words = Replacement(both[name], _by(keep, token), torch.cat([replaced] * 2), integers_beside(both, name))
            try:
                self.known[kind] = not _halves_agree(tap.whole(both, words), tap.dtype)
            except ModelFailsError:  # a mask made of the ids keeps them where the words are others
                self.known[kind] = True
        return self.known[kind]


def _by(keep: Tensor, token: int) -> Callable[[Tensor, Lookup], Tensor]:
    def words(out: Tensor, lookup: Lookup) -> Tensor:
        made = lookup(torch.full(keep.shape, token, device=out.device))
        return torch.where(keep[:, :, None], out, made)

    return words


def _ordinary(content: Tensor) -> int:
    """An id among those of the text, or beside its only one."""
    if not content.numel():
        return 0
    first = int(content[0])
    return first if bool((content != first).any()) else max(0, first - 1)


def _halves_agree(output: object, dtype: torch.dtype) -> bool:
    tensors = [v for v in output_tensors(output) if not rare_kind(v) and v.dim() and v.shape[0] % 2 == 0]
    halves = [v.chunk(2) for v in tensors]
    return all(same(a, b, dtype) for a, b in halves)
