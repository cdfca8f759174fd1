"""What people do today: Captum's LayerIntegratedGradients layer by layer, and one eager pass for attention gradients.

Captum 0.9 cannot integrate at the input of a block that is called with None arguments, as those of transformers 5 are;
the output of the module before is the same tensor, so it integrates there: the embeddings, then blocks 0 to L-2.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import Any

import torch
from captum.attr import LayerIntegratedGradients
from torch import Tensor, nn

from benchmarks.works import Work

BATCH_SIZES = (4, 8, 16, 32)
RULE = "gausslegendre"


def modules_before(work: Work) -> list[nn.Module]:
    """The modules whose outputs are the inputs of block 0, 1, ..."""
    blocks: Any = work.model.get_submodule(work.blocks)
    embeddings = next(m for name, m in work.model.named_modules() if name.endswith("embeddings"))
    return [embeddings, *list(blocks)[:-1]]


def relevance(work: Work, index: int, steps: Sequence[int], batch_size: int) -> Tensor:
    """r_l [L,T] of one input by Captum, `steps[i]` Gauss nodes at the i-th layer of the work."""
    call, before = work.calls[index], modules_before(work)
    rows = []
    for layer, n in zip(work.layers, steps, strict=True):
        lig = LayerIntegratedGradients(lambda x: work.model(**{work.key: x}).logits, before[layer])
        found = lig.attribute(
            call[work.key],
            baselines=work.lows[index],
            target=work.targets[index],
            n_steps=n,
            method=RULE,
            internal_batch_size=batch_size,
        )
        rows.append((found[0] if isinstance(found, tuple) else found).detach().sum(-1)[0])
    return torch.stack(rows)


def eager_copy(model: Any) -> Any:
    """The model with an attention that returns its maps."""
    eager = copy.deepcopy(model)
    eager.set_attn_implementation("eager")
    return eager


def attention_gradients(eager: Any, call: dict[str, Tensor], target: int) -> list[Tensor]:
    """G_l = mean over heads of A (.) dF/dA, [T,T] of every block."""
    out = eager(**call, output_attentions=True)
    slopes = torch.autograd.grad(out.logits[0, target], out.attentions)
    return [(a.detach() * g).mean(1)[0] for a, g in zip(out.attentions, slopes, strict=True)]


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


def seconds_padded_and_single(work: Work, batch_size: int) -> tuple[float, float]:
    """CPU seconds of two nodes at the first layer: all inputs as one padded batch, and one by one."""
    batch, module = work.batch, modules_before(work)[work.layers[0]]
    low = nn.utils.rnn.pad_sequence([low[0] for low in work.lows], batch_first=True, padding_value=0)
    lig = LayerIntegratedGradients(lambda x, mask: work.model(**{work.key: x}, attention_mask=mask).logits, module)
    started = time.process_time()
    lig.attribute(
        batch[work.key],
        baselines=low,
        target=work.targets,
        additional_forward_args=(batch["attention_mask"],),
        n_steps=2,
        method=RULE,
        internal_batch_size=max(batch_size, len(work.calls)),
    )
    padded = time.process_time() - started
    started = time.process_time()
    for index in range(len(work.calls)):
        single = LayerIntegratedGradients(lambda x: work.model(**{work.key: x}).logits, module)
        single.attribute(
            work.calls[index][work.key],
            baselines=work.lows[index],
            target=work.targets[index],
            n_steps=2,
            method=RULE,
            internal_batch_size=batch_size,
        )
    return padded, time.process_time() - started
