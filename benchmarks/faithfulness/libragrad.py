"""LibraGrad's FullGrad: attention weights, gates and deviations of norms are constants, and biases have scores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from benchmarks.faithfulness.signals import eager, explainer
from benchmarks.faithfulness.task import Case, Task

SOFTMAX = {functional.softmax, torch.softmax, Tensor.softmax}
GATED = {functional.gelu, torch.tanh, Tensor.tanh}


class Pass(NamedTuple):
    """A forward pass from the first block on.

    Args:
        states: h_l [1,T,D], the input of every block.
        affine: the output and the bias of every linear map and norm.
    """

    states: list[Tensor]
    affine: list[tuple[Tensor, Tensor]]


class Constants(TorchFunctionMode):
    """LibraGrad's gradients: attention weights, the deviation of a norm and a gate f(x) / x are constants."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in SOFTMAX:
            return out.detach()
        if func in GATED:
            return args[0] * torch.where(args[0] == 0, 1.0, out / args[0]).detach()
        if func is functional.layer_norm:
            return _layer_norm(*args, **(kwargs or {}))
        return out


def _layer_norm(x: Tensor, _: Any, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    deviation = (x.var(-1, correction=0, keepdim=True) + eps).sqrt().detach()
    return (x - x.mean(-1, keepdim=True)) / deviation * weight + bias


def libragrad(task: Task, case: Case, target: int) -> tuple[Tensor, Tensor]:
    """FullGrad and FullGrad+ [1,T] under LibraGrad's gradients (Mehri et al. 2024, arXiv 2411.16760).

    s[t] = <h_0[t], dF/dh_0[t]> + b[t], and the same with the sum over l of <h_l[t], dF/dh_l[t]>, FullGrad+-PLUS in the
    authors' code. b[t] is the sum of <bias, dF/d out[t]> over the linear maps and norms after h_0; the biases of a head
    on one row are the first token's.
    The authors have no tanh; it is taken as a gate here, so that s sums to F(x).
    """
    model = eager(task)
    blocks = explainer(task).encoder.blocks
    with _recorded(model, blocks) as seen, torch.enable_grad(), Constants():
        value = model(**case.call).logits[0, target]
    outputs = [out for out, _ in seen.affine]
    slopes = torch.autograd.grad(value, [*seen.states, *outputs], allow_unused=True)
    products = [_along(h, g) for h, g in zip(seen.states, slopes, strict=False)]
    biases = torch.zeros_like(products[0])
    for (_, bias), g in zip(seen.affine, slopes[len(seen.states) :], strict=True):
        part = _along(bias, g)
        biases[:, : part.shape[-1]] += part.view(1, -1)
    return products[0] + biases, torch.stack(products).sum(0) + biases


def _along(values: Tensor, slopes: Tensor | None) -> Tensor:
    """<values, slopes> of every row; 0 where nothing reaches F."""
    return torch.zeros(1, 1) if slopes is None else (values * slopes).sum(-1).detach()


@contextmanager
def _recorded(model: nn.Module, blocks: tuple[str, ...]) -> Iterator[Pass]:
    """The pass of the model in this context; its graph begins at the input of the first block."""
    seen = Pass([], [])

    def enter(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        state = args[0] if seen.states else args[0].detach().requires_grad_(True)
        seen.states.append(state)
        return (state, *args[1:])

    def leave(module: nn.Module, _: Any, out: Tensor) -> None:
        bias = getattr(module, "bias", None)
        if bias is not None and out.requires_grad:
            seen.affine.append((out, bias))

    hooks = [model.get_submodule(name).register_forward_pre_hook(enter) for name in blocks]
    hooks += [m.register_forward_hook(leave) for m in model.modules() if isinstance(m, nn.Linear | nn.LayerNorm)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
