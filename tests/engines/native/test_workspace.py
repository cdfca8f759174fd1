"""The workspace of an Explainer: it sees every change of the model, and never writes to the model."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.recorder import Fake
from helpers.tiny_models import ids, pixels, tiny
from torch import Tensor, nn

from calig_fast import Explainer, explain, ops
from calig_fast.engines.native import engine as sweep
from calig_fast.engines.native.workspace import Workspace
from calig_fast.results.attribution import Attribution

needs_cpu = pytest.mark.skipif(ops.backends()["cpu"] is not None, reason="the reference reads values, on the CPU too")
NODES: dict[str, Any] = {"engine": "native", "target": 1, "quadrature": "gausslegendre", "n_steps": 4}


def call_of(kind: str, seed: int = 0) -> Any:
    return ids(9, 6, seed=seed) if kind == "bert" else pixels(2)


def same(a: Attribution, b: Attribution) -> None:
    assert torch.equal(a.layer_scores.nan_to_num(), b.layer_scores.nan_to_num())
    assert torch.equal(a.scores.nan_to_num(), b.scores.nan_to_num())


def alike(a: Attribution, b: Attribution) -> None:
    """As `same`, but for the rounding of padded batches."""
    for name in ("scores", "layer_scores"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=1e-5, atol=1e-6, equal_nan=True)


def workspaces(explainer: Explainer) -> list[Workspace]:
    return [engine.workspace for engine, _ in explainer._memory.engines._kept]


def qkv_places(explainer: Explainer) -> list[int]:
    workspace = workspaces(explainer)[0]
    return [block.qkv.weight.data_ptr() for block in workspace.weights.blocks]


def changed(p: Tensor) -> Tensor:
    return p * 1.02


def in_place(model: nn.Module) -> None:
    for p in model.parameters():
        p.grad = torch.full_like(p, 0.01)
    torch.optim.SGD(model.parameters(), lr=1.0).step()
    for p in model.parameters():
        p.grad = None


def in_place_behind_autograd(model: nn.Module) -> None:
    for p in model.parameters():
        p.data.mul_(1.02)


def data_replaced(model: nn.Module) -> None:
    for p in model.parameters():
        p.data = changed(p.data)


def state_loaded(model: nn.Module) -> None:
    model.load_state_dict({name: changed(t) if t.is_floating_point() else t for name, t in model.state_dict().items()})


def state_assigned(model: nn.Module) -> None:
    state = {name: changed(t) if t.is_floating_point() else t for name, t in model.state_dict().items()}
    model.load_state_dict(state, assign=True)


CHANGES = [in_place, in_place_behind_autograd, data_replaced, state_loaded, state_assigned]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("kind", "dtype"), [("bert", None), ("bert", torch.bfloat16), ("bert", torch.float64), ("timm-token", None)]
)
def test_weights_that_changed_are_read(
    kind: str, dtype: torch.dtype | None, change: Callable[[nn.Module], None]
) -> None:
    model = copy.deepcopy(tiny(kind))
    explainer = Explainer(model, dtype=dtype, **NODES)
    before = explainer(call_of(kind))
    change(model)
    after = explainer(call_of(kind))
    same(after, explain(model, call_of(kind), dtype=dtype, **NODES))
    assert not torch.equal(after.layer_scores.nan_to_num(), before.layer_scores.nan_to_num())


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_copies_stay_where_they_are(dtype: torch.dtype | None) -> None:
    model = copy.deepcopy(tiny("bert"))
    explainer = Explainer(model, dtype=dtype, **NODES)
    explainer(ids(9, 6))
    before = qkv_places(explainer)
    in_place(model)
    explainer(ids(7, seed=1))
    assert qkv_places(explainer) == before
    explainer(ids(7, seed=1), dtype=torch.float16 if dtype is None else None)
    assert not set(qkv_places(explainer)) & set(before)


@pytest.mark.parametrize("kind", ["bert", "timm-token"])
def test_what_the_model_held_is_never_written_to(kind: str) -> None:
    model = copy.deepcopy(tiny(kind))
    explainer = Explainer(model, **NODES)
    explainer(call_of(kind))
    held = [p.data for p in model.parameters()]
    copies = [t.clone() for t in held]
    data_replaced(model)
    explainer(call_of(kind))
    explainer(call_of(kind), dtype=torch.bfloat16)
    assert all(torch.equal(t, c) for t, c in zip(held, copies, strict=True))


def test_a_weight_that_is_no_parameter_is_never_written_to() -> None:
    model = copy.deepcopy(tiny("bert"))
    dense = model.bert.encoder.layer[1].output.dense
    held = dense.weight.detach().clone()
    del dense.weight
    dense.weight = held
    explainer = Explainer(model, **NODES)
    explainer(ids(6))
    dense.weight = changed(held)
    before = held.clone()
    same(explainer(ids(6)), explain(model, ids(6), **NODES))
    assert torch.equal(held, before)


def test_another_activation_is_seen() -> None:
    model = copy.deepcopy(tiny("bert"))
    explainer = Explainer(model, **NODES)
    explainer(ids(6))
    for layer in model.bert.encoder.layer:
        layer.intermediate.intermediate_act_fn = nn.ReLU()
    same(explainer(ids(6)), explain(model, ids(6), **NODES))


def test_calls_beside_each_other_have_a_workspace_each() -> None:
    explainer = Explainer(tiny("bert"), **NODES)
    wanted = [explain(tiny("bert"), ids(7, seed=s), **NODES) for s in range(4)]
    found: list[Any] = [None] * 4

    def work(s: int) -> None:
        for _ in range(3):
            found[s] = explainer(ids(7, seed=s))

    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, b in zip(found, wanted, strict=True):
        same(a, b)
    assert len(workspaces(explainer)) == 1


def test_nothing_is_left_by_an_error() -> None:
    explainer = Explainer(tiny("bert"), **NODES)
    explainer(ids(6))
    with pytest.raises(ValueError, match="target"):
        explainer(ids(6), target=99)
    assert len(workspaces(explainer)) == 0
    explainer(ids(6))


def test_a_copied_or_pickled_explainer_begins_with_an_empty_one() -> None:
    explainer = Explainer(tiny("bert"), **NODES)
    wanted = explainer(ids(6))
    assert pickle.loads(pickle.dumps(Workspace())).weights.blocks == ()
    assert workspaces(copy.deepcopy(explainer)) == []
    same(copy.deepcopy(explainer)(ids(6)), wanted)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    found = Fake()
    monkeypatch.setattr(sweep, "DEFAULT_BUDGET", 2**17)  # several waves a round
    monkeypatch.setattr(sweep, "recorder_for", lambda *args: found)
    return found


@needs_cpu
@pytest.mark.parametrize("kind", ["bert", "vit"])
def test_recordings_are_replayed_by_the_next_call(kind: str, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    model = copy.deepcopy(tiny(kind))
    explainer = Explainer(model, **NODES)
    for _ in range(3):  # ways up are recorded in the second call, the ways down of what they leave in the third
        explainer(call_of(kind))
    recorded, replayed = fake.recorded, fake.replayed
    assert recorded
    in_place(model)
    after = explainer(call_of(kind))
    assert fake.recorded == recorded
    assert fake.replayed > replayed
    monkeypatch.setattr(sweep, "recorder_for", lambda *args: None)
    alike(after, explain(model, call_of(kind), **NODES))


def other_places(model: nn.Module) -> dict[str, Any]:
    data_replaced(model)
    return {}


def other_dtype(model: nn.Module) -> dict[str, Any]:
    return {"dtype": torch.bfloat16}


def other_backend(model: nn.Module) -> dict[str, Any]:
    return {"backend": "cpu"}


def other_norm(model: Any) -> dict[str, Any]:
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 0.1
    return {}


@needs_cpu
@pytest.mark.parametrize("change", [other_places, other_dtype, other_backend, other_norm])
def test_recordings_of_something_else_are_let_go(
    change: Callable[[nn.Module], dict[str, Any]], fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = copy.deepcopy(tiny("bert"))
    explainer = Explainer(model, **NODES)
    explainer(ids(9, 6))
    explainer(ids(9, 6))
    recorded = fake.recorded
    options = change(model)
    first = explainer(ids(9, 6), **options)
    explainer(ids(9, 6), **options)
    assert fake.recorded > recorded
    monkeypatch.setattr(sweep, "recorder_for", lambda *args: None)
    alike(first, explain(model, ids(9, 6), **{**NODES, **options}))


@needs_cpu
def test_forgetting_lets_go_of_recordings_and_of_what_leads_to_them(fake: Fake) -> None:
    explainer = Explainer(tiny("bert"), **NODES)
    first = explainer(ids(9, 6))
    explainer(ids(9, 6))
    workspace = workspaces(explainer)[0]
    assert workspace._held
    explainer.forget()
    assert not workspace._held
    assert not workspace.buckets._misses
    same(explainer(ids(9, 6)), first)


@needs_cpu
def test_recordings_are_let_go_where_pytorch_would_take_other_kernels(fake: Fake) -> None:
    explainer = Explainer(tiny("bert"), **NODES)
    explainer(ids(9, 6))
    explainer(ids(9, 6))
    workspace = workspaces(explainer)[0]
    assert workspace._held
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        workspace.begin(workspace._kind[0], fake)
    finally:
        torch.set_float32_matmul_precision(before)
    assert not workspace._held
