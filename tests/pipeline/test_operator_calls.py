"""The host's own work: operator calls of an explanation, as a dispatch mode sees them, and values read."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from calig_fast import Explainer, ops

needs_cpu = pytest.mark.skipif(ops.backends()["cpu"] is not None, reason="without compiled operations there are more")
# of 12 blocks; the model's own forward pass takes 500
MOST = {"default": 1700, "ig": 600, "scores": 1700, "one pass": 900}
MODES: dict[str, dict[str, Any]] = {
    "default": {},
    "ig": {"method": "ig"},
    "scores": {"guarantee": "scores"},
    "one pass": {"method": "gradient_x_input"},
}
READ, TEXTS = 20, 6


class Calls(TorchDispatchMode):
    """Counts operator calls by name."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen[str(func)] += 1
        return func(*args, **(kwargs or {}))


def bert(seed: int = 0) -> Any:
    import transformers as t

    config = t.BertConfig(
        vocab_size=1000,
        hidden_size=32,
        num_hidden_layers=12,
        num_attention_heads=4,
        intermediate_size=64,
        num_labels=3,
    )
    torch.manual_seed(seed)
    return t.BertForSequenceClassification(config).eval()


def words(seed: int) -> dict[str, torch.Tensor]:
    drawn = torch.randint(5, 1000, (1, 16), generator=torch.Generator().manual_seed(seed))
    return {"input_ids": drawn, "attention_mask": torch.ones_like(drawn)}


@needs_cpu
@pytest.mark.parametrize("mode", MODES)
def test_a_warm_explanation_makes_few_calls_and_reads_few_values(mode: str) -> None:
    explainer = Explainer(bert(), **MODES[mode])
    for seed in range(3):
        explainer(words(seed))
    with Calls() as calls:
        for seed in range(3, 3 + TEXTS):
            explainer(words(seed))
    assert calls.seen.total() <= TEXTS * MOST[mode]
    assert sum(n for name, n in calls.seen.items() if "local_scalar" in name) <= TEXTS * READ


@needs_cpu
def test_more_tokens_and_inputs_read_no_more_values() -> None:
    read = []
    for batch, tokens in ((1, 16), (4, 40)):
        explainer = Explainer(bert())
        drawn = torch.randint(5, 1000, (batch, tokens), generator=torch.Generator().manual_seed(3))
        call = {"input_ids": drawn, "attention_mask": torch.ones_like(drawn)}
        for _ in range(2):
            explainer(call)
        with Calls() as calls:
            explainer(call)
        groups = 1 if batch == 1 else 2  # the first input alone tells how many fit
        read.append(sum(n for name, n in calls.seen.items() if "local_scalar" in name) / groups)
    assert read[1] <= read[0] + 2
