"""SaCo: its definition pair by pair, and its ends."""

import pytest
import torch
from helpers.bags import Bag, content, contributions
from helpers.tiny_models import ids

from calig_fast.metrics import saco

OPTIONS = {"target": 1, "removal": "zero_embedding", "output": "logit"}


@pytest.mark.parametrize("groups", [2, 3, 50])
def test_the_definition_pair_by_pair(groups):
    model, call = Bag(), ids(14, 7)
    call["input_ids"] = torch.arange(5, 33).view(2, 14)  # no word twice: equal effects are equal to rounding alone
    worth, inner = contributions(model, call), content(call)
    scores = torch.randn(worth.shape, generator=torch.Generator().manual_seed(0)).double()
    found = saco(model, call, scores, groups=groups, **OPTIONS)
    for b in range(2):
        tokens = sorted(inner[b].nonzero().flatten().tolist(), key=lambda t: -float(scores[b, t]))
        number = min(groups, len(tokens))
        parts = [[t for i, t in enumerate(tokens) if i * number // len(tokens) == g] for g in range(number)]
        total = size = 0.0
        for i in range(number):
            for j in range(i + 1, number):
                apart = float(scores[b, parts[i]].sum() - scores[b, parts[j]].sum())
                right = float(worth[b, parts[i]].sum()) >= float(worth[b, parts[j]].sum())
                total, size = total + (apart if right else -apart), size + abs(apart)
        assert float(found.values[b]) == pytest.approx(total / size)


def test_its_ends():
    model, call = Bag(), ids(14, 7)
    worth = contributions(model, call)
    assert saco(model, call, worth, groups=4, **OPTIONS).values.tolist() == pytest.approx([1.0, 1.0])
    assert saco(model, call, -worth, groups=4, **OPTIONS).values.tolist() == pytest.approx([-1.0, -1.0])
    assert saco(model, call, torch.zeros_like(worth), **OPTIONS).values.isnan().all()
