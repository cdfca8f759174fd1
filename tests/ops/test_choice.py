"""The backend that was fastest on a card is taken there, for the operation and dtype that were measured."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.feigned_gpu import feigned_gpu, there

from calig_fast import ops
from calig_fast.ops import backend, choice, dispatch

OP = dispatch._operations["norm_backward"]
MEASURED = {"Feigned": {"norm_backward": {"float32": "triton", "bfloat16": "torch"}}}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(dispatch.VARIABLE, raising=False)
    monkeypatch.setattr(choice, "table", lambda: MEASURED)


@pytest.mark.parametrize(
    ("dtype", "wanted"), [(torch.float32, "triton"), (torch.bfloat16, "torch"), (torch.float16, "cuda")]
)
def test_the_fastest_is_chosen_and_an_unmeasured_dtype_follows_the_rule(
    dtype: torch.dtype, wanted: str, measured: None
) -> None:
    x = torch.zeros(3, 4, dtype=dtype)
    with feigned_gpu():
        assert OP.resolve("auto", [there(x)]) == wanted
        assert OP.resolve("cuda", [there(x)]) == "cuda"
    assert OP.resolve("auto", [x]) in ("cpu", "torch")


def test_another_card_and_another_operation_follow_the_rule(measured: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with feigned_gpu():
        x = there(torch.zeros(3, 4))
        assert dispatch._operations["activation_backward"].resolve("auto", [x]) == "cuda"
        monkeypatch.setattr(choice, "card", lambda index: "Another")
        assert OP.resolve("auto", [x]) == "cuda"


def test_a_backend_that_cannot_run_is_not_chosen(measured: None, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = dispatch.Operation.refusal

    def refused(self: Any, name: str, tensors: Any) -> str | None:
        return "planted" if name == "triton" else refusal(self, name, tensors)

    with feigned_gpu():
        monkeypatch.setattr(dispatch.Operation, "refusal", refused)
        assert OP.resolve("auto", [there(torch.zeros(3, 4))]) == "cuda"


def test_the_table_that_ships_names_what_there_is() -> None:
    for by_operation in choice.table().values():
        assert set(by_operation) <= set(ops.operations())
        for by_dtype in by_operation.values():
            assert all(getattr(torch, dtype).is_floating_point for dtype in by_dtype)
            assert set(by_dtype.values()) <= set(backend.known())
