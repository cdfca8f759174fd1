"""The explained scalar of a language model: the log-probability of the next token, or of an answer's tokens as one sum.

An integral is linear in what it integrates, so an answer of many tokens costs as many passes as a single token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .._utils.arguments import as_tensor, shown
from ..model.call import called
from ..model.clone import share_weights
from .prepare import Inputs
from .target import logits_of

KINDS = ("next_token", "answer")


@dataclass(frozen=True, eq=False)
class TokenLogProbs:
    """F = sum_i log softmax(z[places_i])[tokens_i] over the explained tokens of each input.

    Args:
        name: "next_token" or "answer".
        places: [B,n] int64, the row of the logits that gives each token's distribution: that of the token before it.
        tokens: [B,n] int64, ids.
        real: [B,n] bool, False where an input has fewer tokens.
    """

    name: str
    places: Tensor
    tokens: Tensor
    real: Tensor

    @property
    def __name__(self) -> str:
        return self.name

    def __call__(self, output: Any, rows: Tensor) -> Tensor:
        """F of every row of a batch.

        Args:
            output: of the model for N rows.
            rows: [N] int64, which input each row belongs to.

        Returns:
            [N].

        Raises:
            ValueError: the model returned no logits of every token.
        """
        z = _logits(output)
        places, tokens, real = (t[rows.to(t.device)].to(z.device) for t in (self.places, self.tokens, self.real))
        if places.shape[1] and int(places.max()) >= z.shape[1]:
            raise ValueError(f"model: expected logits of every token, got {z.shape[1]} rows; leave out logits_to_keep")
        log: Tensor = _LogProbs.apply(_rows_at(z, places), tokens)
        return (log * real).sum(1)


class _LogProbs(torch.autograd.Function):
    """log softmax(z)[tokens], with one pass over z and one over its gradient.

    The gradient of log_softmax and gather writes three tensors of z's size, and an answer has 200 rows of 50,000 words.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, tokens: Tensor) -> Tensor:
        """[N,n] in float32 at least, of logits z [N,n,V] and ids [N,n]."""
        wide = torch.promote_types(z.dtype, torch.float32)
        total = z.to(wide).logsumexp(-1)
        ctx.save_for_backward(z, tokens, total)
        return z.gather(2, tokens[..., None])[..., 0].to(wide) - total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        """g (1 at the token - softmax(z))."""
        z, tokens, total = ctx.saved_tensors
        gradient = (z.to(total.dtype) - total[..., None]).exp_().mul_(-g[..., None])
        gradient.scatter_add_(2, tokens[..., None], g[..., None])
        return gradient.to(z.dtype), None


def _rows_at(z: Tensor, places: Tensor) -> Tensor:
    """Rows [N,n,V] of z [N,T,V]; a part of z itself where they lie side by side, at the same places in each input."""
    first, count = int(places[0, 0]) if places.numel() else 0, places.shape[1]
    if places.numel() and bool((places == torch.arange(first, first + count, device=places.device)).all()):
        return z[:, first : first + count]
    return z.gather(1, places[..., None].expand(-1, -1, z.shape[2]))


def explained(kind: str, target: Any, batch: Inputs, model: nn.Module) -> tuple[Inputs, TokenLogProbs]:
    """The inputs and the scalar of a language model.

    Args:
        kind: "next_token", the token after each input, or "answer", the last tokens of each input.
        target: of "next_token" an id or one for each input, None for the most likely; of "answer" the number of its
            tokens, or one for each input.
        batch: the inputs.
        model: the model.

    Returns:
        the inputs, with the tokens of an answer special: the baseline has them too, and they get no score; and F.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    if batch.ids is None or batch.windows is not None:
        came = "windows of texts" if batch.windows is not None else "no ids"
        raise ValueError(f'output: "{kind}" is of tokens after whole texts of token ids, got {came}')
    real = [row.nonzero().flatten() for row in batch.mask.cpu()]
    ids = batch.ids.cpu()
    if kind == "next_token":
        last = torch.stack([places[-1:] for places in real])
        tokens = _next(target, batch, model, last) if target is None else _numbers(target, len(batch))[:, None]
        return batch, TokenLogProbs(kind, last, tokens, torch.ones_like(last, dtype=torch.bool))
    counts = _numbers(target, len(batch)).tolist()
    for b, (count, places) in enumerate(zip(counts, real, strict=True)):
        if not 0 < count < len(places):
            raise ValueError(
                f'target: with output="answer" it counts the last tokens of an input, 1 to {len(places) - 1} of input '
                f"{b}; got {count}"
            )
    n, special = max(counts, default=0), batch.special.clone()
    places, tokens = torch.zeros(2, len(batch), n, dtype=torch.int64)
    there = torch.zeros(len(batch), n, dtype=torch.bool)
    for b, count in enumerate(counts):
        answer = real[b][-count:]
        places[b, :count], tokens[b, :count] = real[b][-count - 1 : -1], ids[b, answer]
        there[b, :count], special[b, answer.to(special.device)] = True, True
    return replace(batch, special=special), TokenLogProbs(kind, places, tokens, there)


def _next(target: None, batch: Inputs, model: nn.Module, last: Tensor) -> Tensor:
    """[B,1] the most likely token after each input."""
    with torch.no_grad():
        z = _logits(called(share_weights(model, None), batch.call))
    return z[torch.arange(len(z), device=z.device), last[:, 0].to(z.device)].argmax(-1, keepdim=True).cpu()


def _logits(output: Any) -> Tensor:
    """The logits [N,T,V] of a language model."""
    z = logits_of(output)
    if z is None or z.dim() != 3:
        raise ValueError(
            'model: expected logits [B,T,V] of a language model, of which output="next_token" and "answer" are, got '
            f"{'none' if z is None else shown(z)}"
        )
    return z


def _numbers(target: Any, batch: int) -> Tensor:
    """[B] int64, one for all or one for each input."""
    if isinstance(target, bool) or not isinstance(target, int | Sequence | Tensor) or isinstance(target, str):
        raise TypeError(f"target: expected an int, or one for each input, got {shown(target)}")
    numbers = as_tensor("target", target, "ints").cpu()
    if (
        numbers.is_floating_point()
        or numbers.dtype == torch.bool
        or numbers.dim() > 1
        or numbers.shape not in {(), (batch,)}
    ):
        raise ValueError(f"target: expected an int, or one for each of {batch} inputs, got {shown(target)}")
    return numbers.to(torch.int64).expand(batch).clone()
