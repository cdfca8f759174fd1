"""Captum's LayerIntegratedGradients at one layer after another.

Captum 0.9 cannot integrate at the input of a block that is called with None arguments, as in transformers 5.
The output of the module before is the same tensor, so it integrates there.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .. import Encoder
from ..inputs.baseline import make_baseline
from ..inputs.prepare import Inputs, read
from ..inputs.target import logits_of

BATCH_SIZES = (4, 8, 16, 32)
RULE = "gausslegendre"


@dataclass(frozen=True)
class Loop:
    """One input, as Captum takes it.

    Args:
        forward: x to logits [N,C].
        x: word embeddings [1,T,E] or pixels [1,C,H,W].
        low: the baseline, of the same shape.
        target: class.
        before: the modules with the inputs of the blocks as outputs.
    """

    forward: Callable[[Tensor], Tensor]
    x: Tensor
    low: Tensor
    target: int
    before: tuple[nn.Module, ...]

    def relevance(self, n_steps: int, batch_size: int | None = None) -> Tensor:
        """r_l [L,T] at `n_steps` Gauss nodes of every layer."""
        steps = [n_steps] * len(self.before)
        scores = layer_relevance(
            self.forward, self.before, steps, self.x, self.low, target=self.target, batch_size=batch_size
        )
        return scores[:, 0]

    def best_batch_size(self) -> int:
        """The internal_batch_size of `BATCH_SIZES` that takes the least time at 32 nodes of the first layer."""

        def seconds(size: int) -> float:
            started = time.perf_counter()
            layer_relevance(self.forward, self.before[:1], [32], self.x, self.low, target=self.target, batch_size=size)
            return time.perf_counter() - started

        return min(BATCH_SIZES, key=seconds)


def layer_relevance(
    forward: Callable[..., Tensor],
    before: Sequence[nn.Module],
    steps: Sequence[int],
    x: Tensor,
    low: Tensor,
    *,
    target: Any,
    batch_size: int | None,
    others: Any = None,
) -> Tensor:
    """[L,B,T]: LayerIntegratedGradients at the output of one module after another, summed over the hidden units.

    Args:
        forward: x, and `others`, to logits [N,C].
        before: the modules.
        steps: Gauss nodes, one number a module.
        x: the inputs [B,...].
        low: the baselines.
        target: class of each.
        batch_size: internal_batch_size; None for all nodes of a layer in one batch.
        others: additional_forward_args.
    """
    from captum.attr import LayerIntegratedGradients  # type: ignore[import-untyped]

    rows = []
    for module, n in zip(before, steps, strict=True):
        attributions = LayerIntegratedGradients(forward, module).attribute(
            x,
            baselines=low,
            target=target,
            additional_forward_args=others,
            n_steps=n,
            method=RULE,
            internal_batch_size=batch_size,
        )
        rows.append((attributions[0] if isinstance(attributions, tuple) else attributions).detach().sum(-1))
    return torch.stack(rows)


def loop(
    model: nn.Module,
    encoder: Encoder,
    given: Any,
    target: int,
    processor: Any = None,
    *,
    baseline: Any = None,
    dtype: torch.dtype | None = None,
) -> Loop:
    """One input and its baseline, ready for Captum.

    Args:
        model: the user's model, in eval mode.
        encoder: where its blocks are.
        given: one input, as `explain` takes it.
        target: class.
        processor: tokenizer or image processor, or None.
        baseline: a name or an id, None for the default; not "zeros", which is no input of the model.
        dtype: of a copy of the model that is integrated; None for the model itself.

    Raises:
        ValueError: Captum cannot integrate at the blocks of this model; the message says why.
    """
    one = read([given], model, encoder, processor)
    key, x, low = _ends(model, encoder, one, baseline)
    if dtype is not None:
        model, x, low = copy.deepcopy(model).to(dtype), x.to(dtype), low.to(dtype)
    others = {name: value for name, value in one.call.items() if name not in {"input_ids", key}}

    def forward(points: Tensor) -> Tensor:
        more = {name: value.expand(len(points), *value.shape[1:]) for name, value in others.items()}
        logits = logits_of(model(**{key: points}, **more) if key else model(points, **more))
        if logits is None:
            raise ValueError("the model returns no logits")
        return logits

    with torch.no_grad():
        before = modules_before(model, encoder.blocks, lambda: forward(x))
    return Loop(forward, x, low, target, before)


def _ends(model: nn.Module, encoder: Encoder, one: Inputs, baseline: Any) -> tuple[str, Tensor, Tensor]:
    """The endpoints of Captum's path: the argument's name, the input and its baseline."""
    low = make_baseline(baseline, one)
    if one.ids is None:
        key, x = one.pixels
        if low.call is None:
            raise ValueError("the baseline is no input of the model")
        return key, x, low.call[key]
    embedding = None if encoder.embedding is None else model.get_submodule(encoder.embedding)
    if embedding is None or low.words is None:
        raise ValueError("the model has no word embedding to replace")
    with torch.no_grad():
        x = embedding(one.ids)
        return "inputs_embeds", x, low.words(x, embedding)


def modules_before(model: nn.Module, blocks: Sequence[str], run: Callable[[], Any]) -> tuple[nn.Module, ...]:
    """The modules with the inputs of the blocks as outputs.

    Args:
        model: any model.
        blocks: dotted names of the blocks.
        run: runs it once.

    Raises:
        ValueError: a block runs more than once, or its input is no module's output as it stands.
    """
    returned: dict[int, nn.Module] = {}
    entered: dict[str, list[nn.Module | None]] = {name: [] for name in blocks}
    alive: list[Tensor] = []  # so that no two tensors have the same id

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) and output else output
        if isinstance(first, Tensor):
            returned.setdefault(id(first), module)  # the first: Captum fails at a module that is called with None
            alive.append(first)

    def enter(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
            hidden = args[0] if args else next(iter(kwargs.values()), None)
            entered[name].append(returned.get(id(hidden)))

        return hook

    handles = [m.register_forward_hook(leave) for m in model.modules()]
    handles += [model.get_submodule(n).register_forward_pre_hook(enter(n), with_kwargs=True) for n in blocks]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    predecessors = []
    for name, modules in entered.items():
        if len(modules) != 1 or modules[0] is None:
            raise ValueError(
                f"Captum cannot integrate at the input of {name}: "
                + (f"it runs {len(modules)} times" if len(modules) != 1 else "it is no module's output as it stands")
            )
        predecessors.append(modules[0])
    return tuple(predecessors)


def attention_gradients(eager: Any, call: dict[str, Tensor], targets: list[int]) -> list[Tensor]:
    """G_l = mean over heads of A (.) dF/dA, [B,T,T] of every block."""
    out = eager(**call, output_attentions=True)
    value = out.logits[torch.arange(len(targets)), torch.tensor(targets)].sum()
    slopes = torch.autograd.grad(value, out.attentions)
    return [(a.detach() * g).mean(1) for a, g in zip(out.attentions, slopes, strict=True)]
