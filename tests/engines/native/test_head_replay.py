"""A head is repeated where its operations are all that it is; the results are those of the model's own code."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from helpers.tiny_models import ids, tiny
from torch import Tensor, nn

from calig_fast import Explainer
from calig_fast.engines.native.head_replay import HeadReplay
from calig_fast.model.call import picked

WIDTH = 6


class Head(nn.Module):
    """A head of ids and the last hidden state, in the way that `compute` says."""

    def __init__(self, compute: Callable[[Head, Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 3)
        self.scale = torch.tensor(2.0)
        self.compute = compute
        self.runs = 0

    def __call__(self, call: Any, hidden: Tensor) -> Any:
        self.runs += 1
        return self.compute(self, call["ids"], hidden)


class Straight(torch.autograd.Function):
    """A clamp whose gradient is that of the identity."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clamp(-9, 9)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


def plain(head: Head, ids: Tensor, hidden: Tensor) -> Tensor:
    return head.last(torch.tanh(head.first(hidden[:, 0])) * head.scale)


def named(head: Head, ids: Tensor, hidden: Tensor) -> dict[str, Tensor]:
    return {"logits": plain(head, ids, hidden)}


def by_ids(head: Head, ids: Tensor, hidden: Tensor) -> Tensor:
    return head.last(hidden[:, 0] * ids[:, :1])


def by_way(head: Head, ids: Tensor, hidden: Tensor) -> Tensor:
    z = plain(head, ids, hidden)
    return 2 * z if (ids == 7).any() else z


def by_value(head: Head, ids: Tensor, hidden: Tensor) -> Tensor:
    return plain(head, ids, hidden) * float(ids.max())


def split(head: Head, ids: Tensor, hidden: Tensor) -> Tensor:
    a, b = hidden[:, 0].chunk(2, -1)
    return torch.cat([head.last(torch.cat([b, a], -1)), a.max(-1, keepdim=True).values], 1)


def beside(head: Head, ids: Tensor, hidden: Tensor) -> Tensor:
    waste = torch.zeros(len(hidden), 2)
    waste[:, 0] = ids[:, 0]
    return plain(head, ids, hidden)


def in_place(head: Head, ids: Tensor, hidden: Tensor) -> Tensor:
    z = plain(head, ids, hidden)
    z[:, 0] += 1
    return z


def by_numpy(head: Head, ids: Tensor, hidden: Tensor) -> Tensor:
    return plain(head, ids, hidden) * float(ids.numpy().max())


def by_rows(head: Head, ids: Tensor, hidden: Tensor) -> Tensor:
    return plain(head, ids, hidden) / len(hidden)


def at_random(head: Head, ids: Tensor, hidden: Tensor) -> Tensor:
    return plain(head, ids, hidden) + torch.rand(3)


def cut(head: Head, ids: Tensor, hidden: Tensor) -> Tensor:
    with torch.no_grad():
        shift = head.first(hidden[:, 0])
    return head.last(hidden[:, 0] + shift)


def own_gradient(head: Head, ids: Tensor, hidden: Tensor) -> Tensor:
    return head.last(Straight.apply(hidden[:, 0]))


def from_elsewhere(head: Head, ids: Tensor, hidden: Tensor) -> Tensor:
    return plain(head, ids, hidden) + torch.from_numpy(ids[:, :1].numpy()).float()


def by_one(head: Head, ids: Tensor, hidden: Tensor) -> Tensor:
    return plain(head, ids, hidden) if len(hidden) > 1 else 2 * plain(head, ids, hidden)


REPEATED = [plain, named, by_ids, by_way, by_value, split, beside, by_one]
NOT = [in_place, by_numpy, by_rows, at_random, cut, own_gradient, from_elsewhere]


def passes(compute: Any, every: list[tuple[list[int], int]]) -> tuple[Head, list[tuple[Tensor, Tensor]]]:
    """The head, and of every pass (ids, rows) its logits and gradient beside the model's own."""
    torch.manual_seed(0)
    head, found = Head(compute), []
    replay = HeadReplay(head)
    for number, (values, rows) in enumerate(every):
        call = {"ids": torch.tensor(values)[:, None]}
        index = torch.arange(rows) % len(values)
        leaf = torch.randn(rows, 1, WIDTH, generator=torch.Generator().manual_seed(number)).requires_grad_()
        pairs = []
        for run in (partial(replay, head, call, index), partial(head, {"ids": call["ids"][index]})):
            torch.manual_seed(number)
            out = run(leaf)
            z = out["logits"] if isinstance(out, dict) else out
            pairs.append((z.detach(), *torch.autograd.grad(z.square().sum(), leaf)))
        found += [(ours, theirs) for ours, theirs in zip(*pairs, strict=True)]
    return head, found


EVERY = [([3, 4], 2), ([3, 4], 5), ([3, 4], 4), ([7, 4], 6), ([5, 9], 3), ([5, 9], 1), ([6, 8], 1), ([2, 1], 8)]


@pytest.mark.parametrize("compute", REPEATED + NOT, ids=lambda f: f.__name__)
def test_the_answers_are_the_models_own(compute: Any) -> None:
    head, found = passes(compute, EVERY)
    assert all(torch.equal(ours, theirs) for ours, theirs in found)
    own = head.runs - len(EVERY)  # beside those of the comparison
    if compute in NOT:
        assert own == len(EVERY)
    elif compute in (by_way, by_value):  # another way where it reads other values
        assert 2 < own < len(EVERY)
    elif compute is by_one:
        assert own == 4  # two that are noted, and both of a single row
    else:
        assert own == 3  # two that are noted, and one of a single row


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "vit", "deit"])
def test_results_are_those_of_the_models_own_head(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from helpers.tiny_models import pixels

    model = tiny(kind)
    calls = [ids(9, 6, seed=s) if "vit" not in kind and kind != "deit" else pixels(2, seed=s) for s in range(4)]
    explainer = Explainer(model, engine="native", target=1, quadrature="gausslegendre", n_steps=4)
    repeated = [explainer(call) for call in calls]
    monkeypatch.setattr(HeadReplay, "__call__", lambda self, head, call, rows, leaf: head(picked(call, rows), leaf))
    for call, ours in zip(calls, repeated, strict=True):
        theirs = Explainer(model, engine="native", target=1, quadrature="gausslegendre", n_steps=4)(call)
        assert torch.equal(ours.scores.nan_to_num(), theirs.scores.nan_to_num())
        assert torch.equal(ours.logits, theirs.logits)


def test_a_head_that_is_trained_is_repeated_with_its_new_weights() -> None:
    model = copy.deepcopy(tiny("bert"))
    explainer = Explainer(model, engine="native", target=1, quadrature="gausslegendre", n_steps=4)
    for seed in range(3):
        explainer(ids(9, 6, seed=seed))
    with torch.no_grad():
        model.classifier.weight.mul_(3)
    found = explainer(ids(9, 6))
    again = Explainer(model, engine="native", target=1, quadrature="gausslegendre", n_steps=4)(ids(9, 6))
    assert torch.equal(found.scores.nan_to_num(), again.scores.nan_to_num())
    assert torch.equal(found.logits, again.logits)
