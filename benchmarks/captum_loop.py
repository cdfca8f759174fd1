"""Captum's LayerIntegratedGradients layer by layer, and one eager pass for attention gradients.

Captum 0.9 cannot integrate at the input of a block that is called with None arguments, as in transformers 5;
the output of the module before is the same tensor, so it integrates there: the embeddings, then blocks 0 to L-2.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from benchmarks.works import Work
from calig_fast.bench.captum_loop import BATCH_SIZES, RULE, attention_gradients, layer_relevance

__all__ = ["BATCH_SIZES", "RULE", "attention_gradients"]


def modules_before(work: Work) -> list[nn.Module]:
    """The modules with the inputs of block 0, 1, ... as outputs"""
    blocks: Any = work.model.get_submodule(work.blocks)
    embeddings = next(m for name, m in work.model.named_modules() if name.endswith("embeddings"))
    return [embeddings, *list(blocks)[:-1]]


def relevance(work: Work, index: int, steps: Sequence[int], batch_size: int | None) -> Tensor:
    """r_l [L,T] of one input by Captum, `steps[i]` Gauss nodes at the i-th layer of the work.

    Args:
        work: the workload.
        index: which input.
        steps: nodes of each layer.
        batch_size: internal_batch_size; None for all nodes of a layer in one batch.
    """

    def forward(x: Tensor) -> Tensor:
        return work.model(**{work.key: x}).logits

    call, target = work.calls[index], work.targets[index]
    return _loop(work, steps, forward, call[work.key], work.lows[index], target=target, batch_size=batch_size)[:, 0]


def relevance_padded(work: Work, steps: Sequence[int], batch_size: int) -> list[Tensor]:
    """r_l [L,T] of every input by Captum, all of them as one padded batch; padding cut off."""

    def forward(x: Tensor, mask: Tensor) -> Tensor:
        return work.model(**{work.key: x}, attention_mask=mask).logits

    batch = work.batch
    low = nn.utils.rnn.pad_sequence([low[0] for low in work.lows], batch_first=True, padding_value=0)
    # one node of every input is the least that Captum takes at a time
    size = max(batch_size, len(work.calls))
    padded = _loop(
        work,
        steps,
        forward,
        batch[work.key],
        low,
        target=work.targets,
        batch_size=size,
        others=(batch["attention_mask"],),
    )
    return [padded[:, b, :n] for b, n in enumerate(work.tokens)]


def _loop(
    work: Work,
    steps: Sequence[int],
    forward: Callable[..., Tensor],
    inputs: Tensor,
    low: Tensor,
    *,
    target: Any,
    batch_size: int | None,
    others: Any = None,
) -> Tensor:
    """[L,B,T]: LayerIntegratedGradients at one layer after another."""
    before = [modules_before(work)[layer] for layer in work.layers]
    return layer_relevance(forward, before, steps, inputs, low, target=target, batch_size=batch_size, others=others)


def eager_copy(model: Any) -> Any:
    """The model with an attention that returns its maps."""
    eager = copy.deepcopy(model)
    eager.set_attn_implementation("eager")
    return eager


def best_batch_size(work: Work) -> int:
    """The internal_batch_size of `BATCH_SIZES` that takes the least CPU time at 32 nodes of the first layer.

    Of the longest input, where most of the time goes.
    """
    longest = max(range(len(work.calls)), key=lambda i: work.calls[i][work.key].numel())

    def seconds(size: int) -> float:
        started = time.process_time()
        relevance(work, longest, [32] + [1] * (len(work.layers) - 1), size)
        return time.process_time() - started

    return min(BATCH_SIZES, key=lambda size: min(seconds(size) for _ in range(2)))
