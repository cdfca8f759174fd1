"""The native engine against the autograd engine, at equal nodes: every family, every preset, every batch size."""

import copy

import pytest
import torch
from helpers.tiny_models import IMAGE, TEXT, ids, pixels, tiny

from calig_fast import Explainer, explain, ops
from calig_fast.engines.native import compiled
from calig_fast.engines.native.engine import NativeEngine
from calig_fast.engines.native.run import NativeRun
from calig_fast.methods.registry import methods

NATIVE = [name for name, method in methods().items() if method.integral != "input"]
SAME_NODES = {"quadrature": "corrected_trapezoid", "n_steps": 5}


KIN = {  # of kinds whose blocks are read and run alike: one preset tells
    *("arcee", "biogpt", "camembert", "data2vec-text", "data2vec-vision", "deit-teacher", "ernie", "falcon-grouped"),
    *("falcon-many", "gemma", "glm4", "gpt_bigcode-many", "helium", "hunyuan_v1_dense", "ijepa", "layoutlm", "luke"),
    *("jina_embeddings_v3", "markuplm", "metaclip_2", "ministral", "ministral3", "mistral", "nemotron", "nomic_bert"),
    *("olmo", "olmo3", "opt-after", "phi3", "qwen2", "roc_bert", "seed_oss", "siglip", "smollm3", "stablelm-parallel"),
    *("starcoder2", "tapas", "timm-eva", "timm-eva02", "vit_msn", "xlm-roberta"),
}
ROUGH = {"nomic_bert", "ultrabert"}  # in float64 both engines agree; both float32 are off by as much as 1e-5


def call_of(kind):
    return ids(9, 6, 6, 3) if kind in TEXT else pixels(3)


def relative(a, b):
    return float((a - b).norm() / b.norm())


def agree(a, b, tolerance=1e-5):
    for name in ("scores", "layer_scores", "logits", "gap"):
        x, y = getattr(a, name), getattr(b, name)
        if bool(torch.isnan(y).any()):
            assert torch.equal(torch.isnan(x), torch.isnan(y))
        else:
            assert relative(x, y) < tolerance, name


@pytest.mark.parametrize("kind", [*TEXT, *IMAGE, "timm-map"])
def test_every_family_and_preset_equals_the_oracle(kind):
    call = call_of(kind)
    for method in NATIVE if kind not in KIN else ["calig"]:
        native = explain(tiny(kind), call, method=method, engine="native", **SAME_NODES)
        oracle = explain(tiny(kind), call, method=method, engine="autograd", **SAME_NODES)
        assert (native.engine, oracle.engine) == ("native", "autograd")
        agree(native, oracle, 3e-5 if kind in ROUGH else 1e-5)


@pytest.mark.parametrize("kind", ["bert", "albert", "vit", "dinov2", "timm-avg"])
def test_in_float64_the_engines_are_one(kind):
    call = call_of(kind)
    a, b = (explain(tiny(kind), call, engine=e, dtype=torch.float64, **SAME_NODES) for e in ("native", "autograd"))
    # results are float32, and so is the softmax of the models' own eager attention
    agree(a, b, 2e-7)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "vit", "dinov2"])
@pytest.mark.parametrize("baselines", ["zeros", None])
def test_the_zero_reference_and_the_adaptive_rule(kind, baselines):
    call = call_of(kind)
    a, b = (explain(tiny(kind), call, engine=e, baselines=baselines) for e in ("native", "autograd"))
    agree(a, b, 1e-4 if baselines else 1e-5)
    assert torch.equal(a.n_steps, b.n_steps)
    assert torch.equal(a.converged, b.converged)


@pytest.mark.parametrize("kind", ["bert", "vit", "timm-registers"])
@pytest.mark.parametrize("off", [{"prune": False}, {"linear": False}, {"prune": False, "linear": False}])
def test_work_left_out_changes_nothing(kind, off, monkeypatch):
    call = call_of(kind)
    whole = explain(tiny(kind), call, engine="native", dtype=torch.float64, **SAME_NODES)
    init = NativeEngine.__init__
    monkeypatch.setattr(NativeEngine, "__init__", lambda self, *args, **more: init(self, *args, **{**more, **off}))
    agree(explain(tiny(kind), call, engine="native", dtype=torch.float64, **SAME_NODES), whole, 2e-7)


@pytest.mark.parametrize("kind", ["bert", "vit"])
def test_waves_of_any_size_give_the_same(kind):
    call = call_of(kind)
    whole = explain(tiny(kind), call, engine="native", memory_budget=2**30, **SAME_NODES)
    explainer = Explainer(tiny(kind), engine="native", memory_budget=2**20, **SAME_NODES)
    agree(explainer(call), whole)


def test_one_token_and_uneven_lengths():
    call = {"input_ids": torch.tensor([[7]]), "attention_mask": torch.ones(1, 1, dtype=torch.int64)}
    a, b = (explain(tiny("bert"), call, engine=e, baselines=0, **SAME_NODES) for e in ("native", "autograd"))
    agree(a, b)
    call = ids(9, 3, 8, 3, 3, 4)
    a, b = (explain(tiny("bert"), call, engine=e, **SAME_NODES) for e in ("native", "autograd"))
    agree(a, b)


def test_left_padding_goes_to_the_oracle_by_itself():
    call = ids(6)
    wide = {"input_ids": torch.cat([torch.zeros(1, 3, dtype=torch.int64), call["input_ids"]], 1)}
    wide["attention_mask"] = (wide["input_ids"] != 0).long()
    a = explain(tiny("bert"), wide)
    assert a.engine == "autograd"
    assert "rows of padding" in a.settings["not_native"]


def test_left_padding_is_found_when_calls_before_had_none():
    explainer = Explainer(tiny("bert"))
    assert explainer(ids(6)).engine == "native"
    assert explainer(ids(6, 4)).engine == "native"
    wide = {"input_ids": torch.tensor([[0, 0, 7, 8, 9, 7], [0, 7, 8, 9, 5, 6]])}
    wide["attention_mask"] = (wide["input_ids"] != 0).long()
    assert explainer(wide).engine == "autograd"


def test_pooling_that_does_not_heed_the_mask_is_found():
    class MeanOfAll(torch.nn.Module):
        def forward(self, hidden):
            return torch.tanh(hidden.mean(1))

    model = copy.deepcopy(tiny("bert"))
    model.bert.pooler = MeanOfAll()
    explainer = Explainer(model, **SAME_NODES)
    assert explainer(ids(6)).engine == "native"
    a = explainer(ids(6, 4))
    assert a.engine == "autograd"
    agree(a, explain(model, ids(6, 4), engine="autograd", **SAME_NODES))


def test_the_models_own_blocks_run_for_the_first_call_of_its_kind_alone(monkeypatch):
    model, runs = tiny("bert"), []
    layer = type(model.bert.encoder.layer[0].intermediate)
    forward = layer.forward
    monkeypatch.setattr(layer, "forward", lambda self, *a: runs.append(1) or forward(self, *a))
    explainer = Explainer(model, engine="native", **SAME_NODES)
    first, count = explainer(ids(6)), len(runs)
    depth = len(model.bert.encoder.layer)
    assert count == 3 * depth  # as the caller's own object, with replaced ids, and watched
    agree(explainer(ids(6)), first)
    explainer(ids(7, seed=3))
    assert len(runs) == count
    explainer(ids(6, 4))
    assert len(runs) == 4 * depth


def test_a_model_that_computes_something_else_is_refused(monkeypatch):
    model = copy.deepcopy(tiny("bert"))
    layer = model.bert.encoder.layer[1]
    monkeypatch.setattr(type(layer.output), "forward", lambda self, hidden, given: self.dense(hidden))
    with pytest.raises(ValueError, match="from the output of block 0 on it computes something else"):
        explain(model, ids(6), engine="native")


def test_hooks_and_unknown_parts_go_to_the_oracle_by_themselves():
    model = copy.deepcopy(tiny("bert"))
    model.bert.encoder.layer[1].output.dense.register_forward_hook(lambda module, args, out: out * 2)
    a = explain(model, ids(6))
    assert a.engine == "autograd"
    assert "forward hooks" in a.settings["not_native"]
    with pytest.raises(ValueError, match="forward hooks"):
        explain(model, ids(6), engine="native")
    model = copy.deepcopy(tiny("vit"))
    model.vit.layers[0].mlp.activation_fn = torch.nn.Tanh()
    assert "the activation is 'Tanh'" in explain(model, pixels(1)).settings["not_native"]
    model = copy.deepcopy(tiny("vit"))
    model.vit.layers[0].layernorm_after = torch.nn.RMSNorm(24)
    assert "a norm is a RMSNorm" in explain(model, pixels(1)).settings["not_native"]
    model = copy.deepcopy(tiny("timm-token"))
    model.blocks[0].attn.gate = torch.nn.Linear(24, 24)
    assert "attn.gate" in explain(model, pixels(1)).settings["not_native"]


def test_a_model_that_once_gave_its_hidden_states_stays_native():
    model = copy.deepcopy(tiny("bert"))
    wanted = explain(model, ids(6))
    model(**ids(6), output_hidden_states=True)  # transformers 5 leaves hooks in the blocks
    found = explain(model, ids(6))
    assert found.engine == wanted.engine == "native"
    assert torch.equal(found.scores, wanted.scores)


def test_lora_adapters_count_with_their_effective_weights():
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    adapted = get_peft_model(
        copy.deepcopy(tiny("bert")),
        LoraConfig(r=2, target_modules=["query", "value", "dense"], init_lora_weights=False),
    )
    options = {**SAME_NODES, "dtype": torch.float64}
    native = explain(adapted, ids(7), engine="native", **options)
    agree(native, explain(adapted, ids(7), engine="autograd", **options), 2e-7)
    assert relative(native.logits, explain(tiny("bert"), ids(7)).logits) > 1e-3
    with adapted.disable_adapter():
        agree(explain(adapted, ids(7), engine="native", **options), explain(tiny("bert"), ids(7), **options), 2e-7)


def test_gated_mlps_of_dinov2():
    a, b = (explain(tiny("dinov2-gated"), pixels(2), engine=e, **SAME_NODES) for e in ("native", "autograd"))
    agree(a, b)


@pytest.mark.parametrize("backend", ["auto", *(b for b, reason in ops.backends().items() if reason is None)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_near(dtype, backend):
    exact = explain(tiny("bert"), ids(8), dtype=torch.float64, target=1, **SAME_NODES)
    native = explain(tiny("bert"), ids(8), dtype=dtype, target=1, engine="native", backend=backend, **SAME_NODES)
    assert relative(native.layer_scores, exact.layer_scores) < {torch.bfloat16: 0.15, torch.float16: 0.02}[dtype]


@pytest.mark.parametrize("name", ["bert", "vit"])
def test_a_forced_backend_is_taken(name, monkeypatch):
    taken = []
    fused = (ops.norm_backward, ops.activation_backward, ops.attention_forward, ops.attention_backward)
    for op in fused:

        def watched(*args, op=op, **more):
            taken.append((op.__name__, more.get("backend", args[-1])))
            return op(*args, **more)

        monkeypatch.setattr(ops, op.__name__, watched)
    monkeypatch.setattr(compiled, "takes", lambda rows: False)  # C++ calls the kernels past the functions that we watch
    call = pixels(2) if name == "vit" else ids(8)
    found = {}
    for backend in [b for b, reason in ops.backends().items() if reason is None]:
        taken.clear()
        found[backend] = explain(tiny(name), call, engine="native", backend=backend, **SAME_NODES)
        assert set(taken) == {(op.__name__, backend) for op in fused}
        agree(found[backend], found["torch"])


def test_the_error_is_never_below_what_the_dtype_rounds():
    eps = torch.finfo(torch.bfloat16).eps
    coarse = explain(tiny("bert"), ids(9, 6), dtype=torch.bfloat16)
    assert bool((coarse.error >= eps).all())
    assert bool((coarse.score_error >= eps).all())
    assert bool((coarse.layer_converged == (coarse.error <= 2e-2)).all())
    # a tolerance that bfloat16 cannot meet is not met, and not chased to the budget either
    fine = explain(tiny("bert"), ids(9, 6), dtype=torch.bfloat16, tolerance=eps / 2)
    assert not bool(fine.layer_converged.any())
    assert int(fine.n_steps.max()) < 128
    along = explain(tiny("bert"), ids(9, 6, seed=2), dtype=torch.bfloat16, method="conductance")
    assert not bool(along.layer_converged.any())
    assert int(along.n_steps.max()) < 128


def test_a_wave_too_large_for_the_device_is_halved_and_nothing_is_lost(monkeypatch):
    call = ids(9, 6, 6)
    whole = explain(tiny("bert"), call, engine="native", **SAME_NODES)
    wave, sizes = NativeRun._wave, []

    def short(self, points):
        sizes.append(len(points))
        if len(points) > 3:
            raise torch.OutOfMemoryError("planted")
        return wave(self, points)

    monkeypatch.setattr(NativeRun, "_wave", short)
    agree(explain(tiny("bert"), call, engine="native", **SAME_NODES), whole)
    assert max(sizes) > 3
    monkeypatch.setattr(NativeRun, "_wave", lambda *args: (_ for _ in ()).throw(torch.OutOfMemoryError("always")))
    with pytest.raises(torch.OutOfMemoryError):
        explain(tiny("bert"), call, engine="native", **SAME_NODES)


@pytest.mark.parametrize("engine", ["native", "autograd"])
def test_certified_scores_meet_the_tolerance(engine):
    call = ids(9, 7, 8)
    exact = explain(tiny("bert"), call, tolerance=1e-5, n_steps=512)
    layers = explain(tiny("bert"), call, engine=engine)
    for tolerance in (1e-1, 2e-2, 1e-3):
        a = explain(tiny("bert"), call, engine=engine, certify="scores", tolerance=tolerance)
        error = (a.scores - exact.scores).norm(dim=1) / exact.scores.norm(dim=1)
        assert a.converged.all()
        assert (a.score_error <= tolerance).all()
        assert (error <= 2 * tolerance).all()
    loose = explain(tiny("bert"), call, engine=engine, certify="scores", tolerance=2e-2)
    assert int(loose.n_steps.sum()) <= int(layers.n_steps.sum())
    assert "error of the scores" in loose.statement(0)
    spent = explain(tiny("bert"), call, engine=engine, certify="scores", tolerance=1e-9, n_steps=8)
    assert not spent.converged.any()
    assert (spent.n_steps <= 9).all()


def test_arguments_that_are_not_tokens_reach_the_head_whole():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = tiny("bert").bert
            self.head = torch.nn.Linear(24 + 3, 2)

        def forward(self, input_ids, attention_mask, features):
            first = self.backbone(input_ids, attention_mask=attention_mask).last_hidden_state[:, 0]
            return self.head(torch.cat([first, features], 1))

    torch.manual_seed(0)
    net, call = Net(), {**ids(7, 5), "features": torch.randn(2, 3)}
    a, b = (explain(net, call, engine=e, target=1, **SAME_NODES) for e in ("native", "autograd"))
    agree(a, b)


def test_the_rows_that_a_head_reads_are_told_by_the_longest_text():
    """A head that reads the last token reads the first of a text of one token: longer texts are not cut to it."""

    class Last(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = tiny("bert").bert
            self.head = torch.nn.Linear(24, 2)

        def forward(self, input_ids, attention_mask):
            hidden = self.backbone(input_ids, attention_mask=attention_mask).last_hidden_state
            return self.head(hidden[torch.arange(len(hidden)), attention_mask.sum(1) - 1])

    torch.manual_seed(0)
    net, explainer = Last(), None
    for lengths in ((1, 6, 4), (1, 1), (6, 1)):
        call = ids(*lengths)
        a, b = (explain(net, call, engine=e, target=1, baselines=0, **SAME_NODES) for e in ("native", "autograd"))
        agree(a, b, 5e-5)
        explainer = explainer or Explainer(net, engine="native", target=1, baselines=0, **SAME_NODES)
        agree(explainer(call), b, 5e-5)
