"""DecompX: the logit of a BERT or RoBERTa classifier decomposed into vectors of its tokens, through every operation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faithfulness.signals import eager
from benchmarks.faithfulness.task import Case, Task

TINY = 1e-12  # added to what is divided by, as in the authors' code
ROWS = 32  # targets whose MLP is decomposed at once: all of 128 tokens would take 100 MB a layer of MiniLM
Calls = dict[nn.Module, tuple[Tensor, Tensor]]


def takes(task: Task) -> bool:
    """Return True for a model that the method is defined for: post-norm blocks of BERT with GELU, a head with tanh."""
    model = eager(task)
    kind = getattr(model.config, "model_type", "")
    return kind in {"bert", "roberta", "xlm-roberta"} and model.config.hidden_act == "gelu" and len(_head(model)) == 2


def decompx(task: Task, case: Case, target: int) -> Tensor:
    """DecompX (Modarressi et al., ACL 2023, arXiv 2306.02873) with the head, of one unpadded text [1,T].

    Every hidden state is a sum of vectors, one of each token. Linear maps, residuals and attention, its weights being
    constants, take each vector by itself. A norm centres each and divides it by the deviation of the sum. GELU and
    tanh multiply each by f(z) / z of the sum z ("ZO"). A bias b is shared by |<vector, b>|. The scores are the parts of
    the logit, and sum to it.
    """
    model = eager(task)
    calls, attentions = _calls(model, case)
    blocks = model.base_model.encoder.layer
    states = calls[blocks[0].attention.self.value][0]
    vectors = torch.diag_embed(states.T).permute(1, 2, 0)  # [targets,sources,D]
    for k, (block, attention) in enumerate(zip(blocks, attentions, strict=True)):
        rows = 1 if k == len(blocks) - 1 else len(states)  # the head reads the first row alone
        mixed = _attended(block.attention, vectors, attention[:, :rows], first=k == 0)
        mixed = _normed(block.attention.output.LayerNorm, mixed, calls)
        parts = [_mlp(block, mixed, slice(start, start + ROWS), calls) for start in range(0, rows, ROWS)]
        vectors = _normed(block.output.LayerNorm, mixed + torch.cat(parts), calls)
    dense, out = _head(model)
    pooled = _with_bias(vectors[:1] @ dense.weight.T, dense.bias)
    before = calls[dense][1][:1]
    pooled = pooled * (torch.tanh(before) / (before + TINY))[:, None]
    return _with_bias(pooled @ out.weight.T, out.bias)[..., target]


def _head(model: Any) -> tuple[nn.Linear, ...]:
    """The linear maps before and after the head's tanh; none where it is another head."""
    pooler = getattr(model.base_model, "pooler", None)
    pair = (
        (model.classifier.dense, model.classifier.out_proj)
        if hasattr(model.classifier, "out_proj")
        else (getattr(pooler, "dense", None), model.classifier)
    )
    return tuple(m for m in pair if isinstance(m, nn.Linear))


def _attended(attention: Any, vectors: Tensor, weights: Tensor, *, first: bool) -> Tensor:
    """The vectors after attention and residual, [targets,sources,D]; weights [H,targets,T]."""
    value, dense = attention.self.value, attention.output.dense
    values = vectors @ value.weight.T
    bias = dense.bias
    if first:  # a token's own value holds the bias
        values = values + torch.diag_embed(value.bias[:, None].expand(-1, len(values))).permute(1, 2, 0)
    else:
        bias = bias + dense.weight @ value.bias
    apart = values.unflatten(-1, (len(weights), -1))
    mixed = torch.einsum("hsq,qkhd->skhd", weights, apart).flatten(2) @ dense.weight.T
    return _with_bias(mixed + vectors[: weights.shape[1]], bias)


def _normed(norm: nn.LayerNorm, vectors: Tensor, calls: Calls) -> Tensor:
    states = calls[norm][0][: len(vectors)]
    deviation = (states.var(-1, correction=0) + norm.eps).sqrt()
    centred = vectors - vectors.mean(-1, keepdim=True)
    return _with_bias(centred / deviation[:, None, None] * norm.weight, norm.bias)


def _mlp(block: Any, vectors: Tensor, rows: slice, calls: Calls) -> Tensor:
    """The vectors after the MLP, of some targets."""
    inner, outer = block.intermediate.dense, block.output.dense
    wide = _with_bias(vectors[rows] @ inner.weight.T, inner.bias)
    before, after = calls[inner][1][: len(vectors)][rows], calls[outer][0][: len(vectors)][rows]
    return _with_bias((wide * (after / (before + TINY))[:, None]) @ outer.weight.T, outer.bias)


def _with_bias(vectors: Tensor, bias: Tensor) -> Tensor:
    """Every source gets the share |<vector, bias>| of the bias, [targets,sources,D]."""
    shares = (vectors @ bias).abs()
    return vectors + (shares / (shares.sum(-1, keepdim=True) + TINY))[..., None] * bias


@torch.no_grad()
def _calls(model: Any, case: Case) -> tuple[Calls, list[Tensor]]:
    """The input and output [T,D] of every linear map and norm, and the attention weights [H,T,U] of every block."""
    calls: Calls = {}

    def leave(module: nn.Module, args: tuple[Any, ...], out: Tensor) -> None:
        calls[module] = tuple(t.detach().view(-1, t.shape[-1]) for t in (args[0], out))  # type: ignore[assignment]

    hooks = [m.register_forward_hook(leave) for m in model.modules() if isinstance(m, nn.Linear | nn.LayerNorm)]
    try:
        out = model(**case.call, output_attentions=True)
    finally:
        for hook in hooks:
            hook.remove()
    return calls, [a[0] for a in out.attentions]
