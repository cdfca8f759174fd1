"""Small classifiers of text that keep their hidden states otherwise than as [N,T,D], and their layer IG by hooks.

Every class is a model of ids [B,T] with `blocks`, the modules that are explained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

WIDTH, CLASSES, WORDS = 12, 3, 60


class Block(nn.Module):
    """One residual block that mixes tokens smoothly; `axes` says how its states lie in [N,T,D]."""

    def __init__(self, axes: tuple[int, int, int] = (0, 1, 2)) -> None:
        super().__init__()
        self.norm, self.linear, self.axes = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), axes

    def forward(self, x: Tensor) -> Any:
        h = x.permute(self.axes)
        h = h + torch.tanh(self.linear(self.norm(h))) + 0.3 * torch.tanh(h).mean(1, keepdim=True)
        return h.permute([self.axes.index(i) for i in range(3)])


class Model(nn.Module):
    """Words, blocks, mean, head."""

    def __init__(self, block: Callable[[], nn.Module] = Block, depth: int = 3) -> None:
        super().__init__()
        self.word, self.position = nn.Embedding(WORDS, WIDTH), nn.Embedding(64, WIDTH)
        self.blocks = nn.ModuleList(block() for _ in range(depth))
        self.head = nn.Linear(WIDTH, CLASSES)

    def embed(self, ids: Tensor) -> Tensor:
        return self.word(ids) + self.position(torch.arange(ids.shape[1]))

    def forward(self, input_ids: Tensor) -> Any:
        h = self.embed(input_ids)
        for block in self.blocks:
            h = block(h)
        return self.head(h.mean(1))


class TokensFirst(Model):
    """[T,N,D]."""

    def __init__(self) -> None:
        super().__init__(lambda: Block((1, 0, 2)))

    def forward(self, input_ids: Tensor) -> Any:
        h = self.embed(input_ids).transpose(0, 1)
        for block in self.blocks:
            h = block(h)
        return self.head(h.mean(0))


class TokensLast(Model):
    """[N,D,T]."""

    def __init__(self) -> None:
        super().__init__(lambda: Block((0, 2, 1)))

    def forward(self, input_ids: Tensor) -> Any:
        h = self.embed(input_ids).transpose(1, 2)
        for block in self.blocks:
            h = block(h)
        return self.head(h.mean(2))


class FlatRows(Model):
    """[N*T,D]: blocks that work token by token."""

    def __init__(self) -> None:
        super().__init__(lambda: nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()))

    def forward(self, input_ids: Tensor) -> Any:
        h = self.embed(input_ids).flatten(0, 1)
        for block in self.blocks:
            h = block(h)
        return self.head(torch.tanh(h.view(*input_ids.shape, WIDTH)).mean(1))


class _Wrapped(Block):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Any:
        out = super().forward(x)
        return {"list": [out, None], "dict": {"state": out, "extra": 2}, "tuple": (None, out)}[self.kind]


class Containers(Model):
    """Blocks that return a list, a dict, or a tuple whose hidden state comes second."""

    def __init__(self, kind: str) -> None:
        super().__init__(lambda: _Wrapped(kind))
        self.kind = kind

    def forward(self, input_ids: Tensor) -> Any:
        h = self.embed(input_ids)
        for block in self.blocks:
            h = block(h)[{"list": 0, "dict": "state", "tuple": 1}[self.kind]]
        return self.head(h.mean(1))


class _InPlace(Block):
    def forward(self, x: Tensor) -> Any:
        x *= 0.9
        return super().forward(x)


class InPlace(Model):
    """Blocks that change the hidden state they are given."""

    def __init__(self) -> None:
        super().__init__(_InPlace)


class ReadsAllStates(Model):
    """A head that reads the hidden state after every block, and the embeddings."""

    def forward(self, input_ids: Tensor) -> Any:
        states = [self.embed(input_ids)]
        for block in self.blocks:
            states.append(block(states[-1]))
        return self.head(torch.tanh(torch.stack(states)).mean((0, 2)))


class SkipToHead(Model):
    """The embeddings reach the head past every block."""

    def forward(self, input_ids: Tensor) -> Any:
        first = self.embed(input_ids)
        h = first
        for block in self.blocks:
            h = block(h)
        return self.head((h + torch.tanh(first)).mean(1))


class TwoTowers(nn.Module):
    """The same ids through two encoders whose answers are added; the first one's blocks are explained."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = Model(), Model()
        self.blocks = self.one.blocks

    def forward(self, input_ids: Tensor) -> Any:
        return self.one(input_ids) + self.other(input_ids)


class _TwoStreams(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.text, self.layout = Block(), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor, layout: Tensor) -> Any:
        new = torch.tanh(self.layout(torch.cat([x, layout], -1)))
        return self.text(x + 0.5 * layout), new


class TwoStreams(Model):
    """A second stream is handed from block to block beside the hidden state, and depends on it."""

    def __init__(self) -> None:
        super().__init__(_TwoStreams)

    def forward(self, input_ids: Tensor) -> Any:
        h = self.embed(input_ids)
        layout = torch.tanh(self.position(torch.arange(input_ids.shape[1]))).expand_as(h)
        for block in self.blocks:
            h, layout = block(h, layout)
        return self.head((h + layout).mean(1))


class _SharedBias(Block):
    def forward(self, x: Tensor, bias: Tensor | None = None) -> Any:  # type: ignore[override]
        if bias is None:
            bias = torch.linspace(-1, 1, x.shape[1]).view(1, -1, 1)
        return super().forward(x + bias), bias


class SharedBias(Model):
    """The first block makes a bias that all later ones take, as in T5."""

    def __init__(self) -> None:
        super().__init__(_SharedBias)

    def forward(self, input_ids: Tensor) -> Any:
        h, bias = self.embed(input_ids), None
        for block in self.blocks:
            h, bias = block(h, bias)
        return self.head(h.mean(1))


class _Named(Block):
    def forward(self, *, scale: float, x: Tensor) -> Any:  # type: ignore[override]
        return super().forward(scale * x)


class NamedState(Model):
    """Blocks called with keywords alone."""

    def __init__(self) -> None:
        super().__init__(_Named)

    def forward(self, input_ids: Tensor) -> Any:
        h = self.embed(input_ids)
        for block in self.blocks:
            h = block(scale=0.9, x=h)
        return self.head(h.mean(1))


class _Thrice(Block):
    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Any:  # type: ignore[override]
        return super().forward(query) + 0.2 * torch.tanh(key).mean(1, keepdim=True) * torch.tanh(value)


class GivenThrice(Model):
    """Blocks that are given the hidden state as query, key and value."""

    def __init__(self) -> None:
        super().__init__(_Thrice)

    def forward(self, input_ids: Tensor) -> Any:
        h = self.embed(input_ids)
        for block in self.blocks:
            h = block(h, h, h)
        return self.head(h.mean(1))


@dataclass
class State:
    """A hidden state with a mask before it."""

    mask: Tensor
    x: Tensor


class _InState(Block):
    def forward(self, state: State) -> Any:  # type: ignore[override]
        return replace(state, x=super().forward(state.x) * state.mask[..., None])


class InState(Model):
    """Blocks that take and return a dataclass."""

    def __init__(self) -> None:
        super().__init__(_InState)

    def forward(self, input_ids: Tensor) -> Any:
        h = self.embed(input_ids)
        state = State(torch.ones_like(h[..., 0]), h)
        for block in self.blocks:
            state = block(state)
        return self.head(state.x.mean(1))


class _Biased(Block):
    def forward(self, x: Tensor, bias: Tensor) -> Any:  # type: ignore[override]
        return super().forward(x + 0.03 * bias @ torch.tanh(x))


class BiasFirst(Model):
    """Blocks called with keywords in another order than they declare, a bias [N,T,T] before the hidden state."""

    def __init__(self) -> None:
        super().__init__(_Biased)

    def forward(self, input_ids: Tensor) -> Any:
        h = self.embed(input_ids)
        bias = torch.linspace(-1, 1, h.shape[1] ** 2).view(1, h.shape[1], -1).expand(len(h), -1, -1).to(h)
        for block in self.blocks:
            h = block(bias=bias, x=h)
        return self.head(h.mean(1))


class Recomputed(Model):
    """Blocks under a checkpoint, which runs them again for their gradients."""

    def forward(self, input_ids: Tensor) -> Any:
        h = self.embed(input_ids)
        for block in self.blocks:
            h = checkpoint(block, h, use_reentrant=False)
        return self.head(h.mean(1))


class Weighed(Model):
    """Blocks that are given a mask and a gate, one number a token under names of their own, before the state."""

    class Block(Block):
        def forward(self, seen: Tensor, gate: Tensor, x: Tensor) -> Any:  # type: ignore[override]
            return super().forward(x * seen[..., None]) * gate

    def __init__(self) -> None:
        super().__init__(Weighed.Block)

    def forward(self, input_ids: Tensor) -> Any:
        h = self.embed(input_ids)
        weights = {"seen": torch.ones_like(h[..., 0]), "gate": torch.full_like(h[..., :1], 0.9)}
        for block in self.blocks:
            h = block(**weights, x=h)
        return self.head(h.mean(1))


class PlainList(Model):
    """Blocks that are run from a plain list beside their own."""

    def __init__(self) -> None:
        super().__init__()
        self.run = list(self.blocks)

    def forward(self, input_ids: Tensor) -> Any:
        h = self.embed(input_ids)
        for block in self.run:
            h = block(h)
        return self.head(h.mean(1))


PLAIN: dict[str, Callable[[], nn.Module]] = {
    "tokens_first": TokensFirst,
    "tokens_last": TokensLast,
    "flat_rows": FlatRows,
    "list": lambda: Containers("list"),
    "dict": lambda: Containers("dict"),
    "tuple": lambda: Containers("tuple"),
    "in_place": InPlace,
    "shared_bias": SharedBias,
    "named": NamedState,
    "given_thrice": GivenThrice,
    "in_state": InState,
    "bias_first": BiasFirst,
    "weighed": Weighed,
    "plain_list": PlainList,
}
BYPASSED: dict[str, Callable[[], nn.Module]] = {
    "reads_all_states": ReadsAllStates,
    "skip_to_head": SkipToHead,
    "two_towers": TwoTowers,
    "two_streams": TwoStreams,
}


def made(name: str) -> nn.Module:
    """A seeded model in evaluation mode."""
    torch.manual_seed(5)
    model = {**PLAIN, **BYPASSED}[name]()
    for weight in model.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, std=0.5)
    return model.eval().double()


def logits(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output.logits


def by_hooks(model: nn.Module, call: tuple[Tensor, Tensor], layer: int, target: int, points: int = 200) -> Tensor:
    """r_l of one block: its input moved by a pre-hook, everything else as the model has it; the states' own axes.

    Args:
        model: one of this file, or any with `blocks`.
        call: ids [1,T] of the input and of its baseline.
        layer: l.
        target: class.
        points: of the midpoint rule.
    """
    block, seen = model.blocks[layer], []

    def entered(make: Callable[[Tensor], Tensor]) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> Any:
            given = args[0] if args else kwargs["x"]
            if isinstance(given, State):
                return (replace(given, x=make(given.x)),), kwargs
            state = make(given)
            swapped = [state if a is given else a for a in args]
            return tuple(swapped), {k: state if v is given else v for k, v in kwargs.items()}

        return block.register_forward_pre_hook(hook, with_kwargs=True)

    for ids in call:
        handle = entered(lambda state: seen.append(state.detach().clone()) or state)
        model(ids)
        handle.remove()
    high, low = seen
    total = torch.zeros_like(high)
    for i in range(points):
        point = (low + (i + 0.5) / points * (high - low)).requires_grad_()
        handle = entered(lambda state, point=point: point.clone())
        total += torch.autograd.grad(logits(model(call[0]))[0, target], point)[0] / points
        handle.remove()
    return total * (high - low)
