"""Layer relevance and attention maps the long way: hooks on a copy of the model, one path point at a time.

Shares nothing with the package, so that an error in one is no error in the other.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def hidden_into(block: nn.Module, run: Callable[[], Any]) -> Tensor:
    """Return the input of `block` in its first call during `run`."""
    caught: list[Tensor] = []
    hook = block.register_forward_pre_hook(lambda module, args: caught.append(args[0].detach().clone()) or None)
    with torch.no_grad():
        run()
    hook.remove()
    return caught[0]


def layer_relevance(
    model: nn.Module,
    block: str,
    call: dict[str, Tensor],
    reference: dict[str, Tensor],
    target: int,
    *,
    nodes: list[float],
    weights: list[float],
) -> Tensor:
    """r_l [T] of the first input at the input of `block`, by the rule given."""
    model = copy.deepcopy(model).double()
    call, reference = _double(call), _double(reference)
    module = model.get_submodule(block)
    high = hidden_into(module, lambda: logits(model, call))
    low = hidden_into(module, lambda: logits(model, reference))
    total = torch.zeros_like(high[0, :, 0])
    for a, w in zip(nodes, weights, strict=True):
        point = (low + a * (high - low)).requires_grad_()
        calls = []

        def swap(module: nn.Module, args: Any, point: Tensor = point, calls: list[int] = calls) -> Any:
            calls.append(1)
            return (point, *args[1:]) if len(calls) == 1 else None

        hook = module.register_forward_pre_hook(swap)
        slope = torch.autograd.grad(logits(model, call)[0, target], point)[0]
        hook.remove()
        total += w * ((high - low) * slope).sum(-1)[0]
    return total


def attention_maps(model: nn.Module, call: dict[str, Tensor], target: int) -> list[tuple[Tensor, Tensor]]:
    """(A, dF/dA) [H,T,U] of every block of an eager Hugging Face model, for the first input."""
    model = copy.deepcopy(model).double()
    model.set_attn_implementation("eager")
    out = model(**_double(call), output_attentions=True)
    slopes = torch.autograd.grad(out.logits[0, target], out.attentions)
    return [(a[0].detach(), g[0]) for a, g in zip(out.attentions, slopes, strict=True)]


def _double(call: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v.double() if v.is_floating_point() else v for k, v in call.items()}


def logits(model: nn.Module, call: dict[str, Tensor]) -> Tensor:
    out = model(call[""]) if "" in call else model(**call)
    return out if isinstance(out, Tensor) else out.logits
