"""TokenTM: attention weighed by what becomes of each token's length and direction, for a ViT of Hugging Face."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.faithfulness.signals import eager, explainer, heads
from benchmarks.faithfulness.task import Case, Task

MIDDLE = "layernorm_after"  # its input is the hidden state between a block's attention and its MLP


def takes(task: Task) -> bool:
    """Return True for a model that the method is defined for."""
    model, blocks = eager(task), explainer(task).encoder.blocks
    return task.kind == "image" and all(hasattr(model.get_submodule(name), MIDDLE) for name in blocks)


def token_tm(task: Task, case: Case, target: int) -> Tensor:
    """TokenTM (Wu et al., CVPR 2024, arXiv 2403.14552), in LibraGrad's authors' reading [1,T].

    C_0 = diag(|h_0|), C_l = (I + W(m_l, h_l+1)) (I + mean_h A W(h_l, m_l) (.) mean_h max(0, dF/dA)) C_l-1, with m_l the
    hidden state between attention and MLP. W(x, y) = diag(|y| / |x| (.) softmax over tokens of cos(x, y)). The scores
    are the row of the first token.
    """
    weights, slopes = heads(task, case, target)
    middles, states = _states(eager(task), explainer(task).encoder.blocks, case)
    identity = torch.eye(weights.shape[-1], dtype=weights.dtype)
    contributions = torch.diag(states[0].norm(dim=-1))
    for k, middle in enumerate(middles):
        moved = weights[k].mean(0) * transformation(states[k], middle)
        by_attention = identity + moved * slopes[k].clamp_min(0).mean(0)
        by_mlp = identity + torch.diag(transformation(middle, states[k + 1]))
        contributions = by_mlp @ by_attention @ contributions
    return contributions[:1].float()


def transformation(before: Tensor, after: Tensor) -> Tensor:
    """The diagonal of W(before, after) [T], of hidden states [T,D]."""
    coherence = functional.cosine_similarity(before, after, dim=-1).softmax(-1)
    return after.norm(dim=-1) / before.norm(dim=-1) * coherence


def _states(model: nn.Module, blocks: tuple[str, ...], case: Case) -> tuple[list[Tensor], list[Tensor]]:
    """The hidden states [T,D] float64 inside every block, and at the input of every block and after the last."""
    middles, states, hooks = list[Tensor](), list[Tensor](), []
    for name in blocks:
        block = model.get_submodule(name)
        hooks.append(block.register_forward_pre_hook(lambda _, args: states.append(args[0][0].double())))
        middle = block.get_submodule(MIDDLE)
        hooks.append(middle.register_forward_pre_hook(lambda _, args: middles.append(args[0][0].double())))
    hooks.append(block.register_forward_hook(lambda _, __, out: states.append(out[0].double())))
    try:
        with torch.no_grad():
            model(**case.call)
    finally:
        for hook in hooks:
            hook.remove()
    return middles, states
