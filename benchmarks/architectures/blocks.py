"""Which modules of a model are its blocks: the longest list of modules that the tokens pass through.

It is found by running the model, so an automatic choice can be held against it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.architectures import oracle
from benchmarks.architectures.tiny import Call

Seen = list[tuple[str, tuple[int, ...]]]  # the children called, each with the shape that went in and came out


def longest(model: nn.Module, call: Call, low: Call) -> tuple[str, ...]:
    """The names for `layers`: a list of blocks, or some of a list; nothing where no two blocks follow each other.

    The blocks take and give hidden states of one shape. Lists whose inputs all carry the whole change from the baseline
    to the input go before the others, then the one with most calls, then the outermost.
    """
    candidates: list[tuple[bool, int, tuple[str, ...]]] = []
    for name, children in lists(model).items():
        run = _run(model, children, call)
        if len(run) > 1:
            whole = set(run) == set(children)
            named = (name,) if whole and len(children) > 1 else tuple(dict.fromkeys(run))
            candidates.append((_carries(model, run, call, low), len(run), named))
    return max(candidates, key=lambda one: one[:2])[2] if candidates else ()


def lists(model: nn.Module) -> dict[str, list[str]]:
    """Every list of modules, by its name: its children's names; of a sequence, only where none is a single layer."""
    out = {}
    for name, module in model.named_modules():
        blocks = list(module.children()) if isinstance(module, nn.ModuleList | nn.Sequential) else []
        alike = len({type(block) for block in blocks}) == 1
        if blocks and (alike or isinstance(module, nn.ModuleList) or all(any(b.children()) for b in blocks)):
            out[name] = [f"{name}.{child}" if name else child for child, _ in module.named_children()]
    return out


def _run(model: nn.Module, children: list[str], call: Call) -> list[str]:
    """The longest run of calls of the children that take and give hidden states of one shape."""
    seen: Seen = []
    handles = [
        model.get_submodule(name).register_forward_hook(_keep(name, seen), with_kwargs=True) for name in children
    ]
    try:
        with torch.no_grad():
            oracle.logits(model, call)
    finally:
        for handle in handles:
            handle.remove()
    best: list[str] = []
    now: list[str] = []
    shape: tuple[int, ...] = ()
    for name, one in seen:
        now = [*now, name] if one == shape and one else [name] if one else []
        shape = one
        best = now if len(now) > len(best) else best
    return best


def _keep(name: str, seen: Seen) -> Any:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        try:
            key = oracle.carrier(args, kwargs)
        except LookupError:
            seen.append((name, ()))
            return
        hidden = args[key] if isinstance(key, int) else kwargs[key]
        outs = out.values() if isinstance(out, dict) else out if isinstance(out, tuple | list) else (out,)
        first = next((v for v in outs if isinstance(v, Tensor)), None)
        same = first is not None and first.shape == hidden.shape and hidden.dim() > 2
        seen.append((name, tuple(hidden.shape) if same else ()))

    return hook


@torch.no_grad()
def _carries(model: nn.Module, children: list[str], call: Call, low: Call) -> bool:
    """The model at the input says of each hidden state of the baseline what it says of the baseline."""
    below, wanted = oracle.states(model, children, low)[0], oracle.logits(model, low)
    for at, state in enumerate(below):
        with oracle.hooked(model, children, lambda i, h, at=at, state=state: state if i == at else h):
            if not torch.allclose(oracle.logits(model, call), wanted, rtol=1e-3, atol=1e-4):
                return False
    return True
