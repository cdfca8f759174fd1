"""The memory budget: its default, and how many inputs and path points one of the caller's has room for."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from helpers.tiny_models import ids, tiny
from transformers import BertConfig, BertForSequenceClassification

from calig_fast import Explainer
from calig_fast._utils import heap
from calig_fast.engines.autograd import AutogradEngine
from calig_fast.engines.budget import CODE_16, ENDS_16, PAGES, PIECES, Budget, BudgetError
from calig_fast.engines.native.engine import NativeEngine
from calig_fast.engines.native.recomputed import KeptInput
from calig_fast.model.families import find

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
MIB = 2**20


def wide() -> BertForSequenceClassification:
    sizes = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 256}
    torch.manual_seed(0)
    return BertForSequenceClassification(BertConfig(**sizes, vocab_size=100, max_position_embeddings=250)).eval()


@pytest.mark.parametrize(("gib", "wanted"), [(2, 56 * MIB), (16, 2**28), (80, 80 * 2**24)])
def test_a_gpu_takes_more_where_it_has_more(monkeypatch, gib, wanted):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=gib * 2**30))
    assert Budget.of(None, GPU, 56 * MIB, torch.float32).size == wanted
    assert Budget.of(None, CPU, 56 * MIB, torch.float32).size == 56 * MIB


@pytest.mark.parametrize("engine", [NativeEngine, AutogradEngine])
def test_an_engine_asks_for_its_device_and_takes_what_it_is_told(engine):
    model = tiny("bert")
    encoder = find(model)
    least = {NativeEngine: 56, AutogradEngine: 512}[engine] * MIB
    default = engine(model, encoder, dtype=None, memory_budget=None, backend="torch").budget
    assert (default.size, default.stated) == (least, False)
    own = engine(model, encoder, dtype=None, memory_budget=2 * MIB, backend="torch").budget
    assert (own.size, own.stated) == (2 * MIB, True)


@pytest.mark.parametrize("engine", [NativeEngine, AutogradEngine])
def test_copies_of_weights_count(engine):
    model = copy.deepcopy(tiny("bert")).bfloat16()
    wide = engine(model, find(model), dtype=torch.float32, memory_budget=MIB, backend="torch").budget
    assert wide.copies >= 4 * sum(p.numel() for p in model.parameters())
    own = engine(model, find(model), dtype=None, memory_budget=MIB, backend="torch").budget
    joined = {NativeEngine: 3, AutogradEngine: 0}[engine] * model.config.hidden_size**2 * 2
    assert joined * model.config.num_hidden_layers <= own.copies - CODE_16 < wide.copies / 2


def test_a_stated_budget_holds_the_copies_and_what_a_run_holds():
    held = [torch.zeros(3, 4), torch.zeros(2)]  # 56 bytes
    assert Budget(300, True, overhead=2.0, copies=100).for_wave(held, 1000) == 44
    assert Budget(300, False, overhead=1.0).for_wave(held, 1000) == 300, "a default is the wave's own"
    waits = Budget(300, True, overhead=2.0, copies=100, waiting=20)
    assert waits.for_wave(held, 1000) == 24
    with pytest.raises(BudgetError):
        waits.check(81, 7)
    waits.check(80, 7)
    own, other, default = Budget(300, True, overhead=2.0, copies=100, limit=7), Budget(300, True), Budget(9, False)
    own.share(other, held)
    assert (other.size, other.limit) == (88, 7)
    default.share(other, held)
    assert other.size == 88


def test_a_wave_takes_no_more_than_the_process_may(monkeypatch):
    now, given = [900], []
    monkeypatch.setattr(heap, "process_bytes", lambda: now[0])
    monkeypatch.setattr(heap, "give_back", lambda: given.append(now[0]) or now.__setitem__(0, now[0] - 100))
    budget = Budget(600, True, overhead=1.0, copies=100)
    budget.begin(CPU)
    assert (budget.limit, given) == (1300, [900])  # 800 of others and copies, 500 more
    assert budget.for_wave([], 300) == 333, "it fits"
    assert len(given) == 1
    assert budget.for_wave([], 500) == 400, "pieces are given back first"
    assert given == [900, 800]
    now[0] = 1290
    assert budget.inputs(50) == 1
    budget.begin(GPU)
    assert budget.limit == 1300, "a GPU's memory is not the process's"


def test_inputs_share_a_budget():
    assert Budget(1000, True, overhead=2.0, copies=200).inputs(50) == 4
    assert Budget(1000, True, overhead=2.0, ends=2.0, copies=200).inputs(50) == 2
    assert Budget(1000, False).inputs(50) == 10
    assert Budget(10, True).inputs(50) == 1


def test_what_a_device_adds():
    assert Budget.of(MIB, CPU, 1, torch.float32) == Budget(MIB, True, PIECES, 1.0)
    assert Budget.of(MIB, CPU, 1, torch.float16) == Budget(MIB, True, PIECES, ENDS_16, CODE_16)
    assert Budget.of(MIB, GPU, 1, torch.bfloat16) == Budget(MIB, True, PAGES, ENDS_16)


def test_a_budget_without_room_for_an_input_is_refused():
    budget = Budget(20 * MIB, True, overhead=2.0, copies=10 * MIB)
    budget.check(5 * MIB, 7)
    wanted = "at least 30 MiB for an input of 7 tokens by this model, 10 MiB of them for any input"
    with pytest.raises(BudgetError, match=wanted):
        budget.check(10 * MIB, 7)
    Budget(1, False).check(10**12, 7)


@pytest.mark.parametrize("engine", ["native", "autograd"])
def test_the_least_that_an_error_names_is_enough(engine):
    model, call = wide(), ids(200)
    with pytest.raises(BudgetError, match="expected at least") as refused:
        Explainer(model, engine=engine, memory_budget=MIB)(call)
    least = int(str(refused.value).split(" MiB")[0].rsplit(" ", 1)[1])
    assert least > 1
    Explainer(model, engine=engine, memory_budget=least * MIB)(call)


def test_where_an_input_has_no_room_its_blocks_run_again(monkeypatch):
    ran, saved = [], KeptInput.saved
    monkeypatch.setattr(KeptInput, "saved", lambda kept: ran.append(1) or saved(kept))
    call = ids(100, 40)
    whole = Explainer(wide(), memory_budget=64 * MIB)(call)
    assert not ran
    small = Explainer(wide(), memory_budget=3 * MIB)(call)
    assert ran
    torch.testing.assert_close(small.scores, whole.scores, rtol=1e-3, atol=1e-6)
