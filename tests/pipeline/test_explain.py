"""The whole flow: what comes back, in any state the model or the caller is in, and the model as it was."""

import copy
import threading
import warnings

import pytest
import torch
from helpers.tiny_models import CLS, PAD, SEP, ids, pixels, tiny
from torch import nn

from calig_fast import Explainer, explain
from calig_fast.model import checks
from calig_fast.model.clone import share_weights, unwrap

X = ids(9, 6)


def same(a, b, tolerance=0.0):
    for name in ("scores", "layer_scores", "logits"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=tolerance, atol=tolerance)


@pytest.fixture
def model():
    return copy.deepcopy(tiny("bert"))


def state(model):
    return {
        "training": [m.training for m in model.modules()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()],
        "own": [sorted(m.__dict__) for m in model.modules()],
        "grads": [p.grad is None for p in model.parameters()],
        "requires": [p.requires_grad for p in model.parameters()],
        "values": [p.detach().clone() for p in model.parameters()],
        "attention": model.config._attn_implementation,
        "generator": torch.get_rng_state(),
    }


def unchanged(before, model):
    after = state(model)
    for name, value in before.items():
        if name == "values":
            assert all(torch.equal(a, b) for a, b in zip(value, after[name], strict=True))
        elif name == "generator":
            assert torch.equal(value, after[name])
        else:
            assert value == after[name], name


def test_the_shapes_and_dtypes_of_the_answer():
    a = explain(tiny("bert"), X, return_maps=True)
    b, layers, t = 2, 3, 9
    shapes = {
        "scores": (b, t),
        "layer_scores": (b, layers, t),
        "gap": (b, layers),
        "convergence_delta": (b, layers),
        "error": (b, layers),
        "score_error": (b,),
        "n_steps": (b, layers),
        "layer_converged": (b, layers),
        "converged": (b,),
        "target": (b,),
        "logits": (b, 4),
        "mask": (b, t),
        "special": (b, t),
        "maps": (b, layers, t, t),
    }
    for name, shape in shapes.items():
        value = getattr(a, name)
        assert value.shape == shape, name
        assert not value.requires_grad
    assert a.mask.tolist() == [[True] * 9, [True] * 6 + [False] * 3]
    assert a.special.sum(1).tolist() == [2, 2]
    assert a.target.tolist() == a.logits.argmax(1).tolist()
    assert (a.maps[1, :, 6:] == 0).all()
    assert (a.maps[1, :, :, 6:] == 0).all()
    assert a.engine == "native"
    assert a.settings["baselines"] == "pad"


def test_special_tokens_keep_the_reference_and_so_score_nothing_at_the_embeddings():
    a = explain(tiny("bert"), X)
    assert (a.layer_scores[:, 0][a.special] == 0).all()
    assert (a.layer_scores[:, 1][a.special] != 0).any()


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_model_is_explained_in_eval_mode_and_left_as_it_was(model, mode):
    wanted = explain(tiny("bert"), X)
    getattr(model, mode)()
    model.bert.encoder.layer[0].attention.eval()
    model.classifier.weight.requires_grad_(False)
    before = state(model)
    same(explain(model, X), wanted)
    unchanged(before, model)


def test_nothing_is_left_behind_when_something_raises(model):
    before = state(model)

    def fails(out):
        raise KeyError("the caller's own mistake")

    with pytest.raises(KeyError, match="own mistake"):
        explain(model, X, output=fails)
    with pytest.raises(ValueError, match="target"):
        explain(model, X, target=9)
    unchanged(before, model)
    same(explain(model, X), explain(tiny("bert"), X))


def test_gradients_and_the_callers_graph_survive_a_call_in_a_training_step(model):
    model.train()
    torch.manual_seed(0)
    plain = copy.deepcopy(model)
    torch.manual_seed(1)
    plain(**X).logits.sum().backward()
    torch.manual_seed(1)
    loss = model(**X).logits.sum()
    explain(model, X)
    loss.backward()
    for a, b in zip(model.parameters(), plain.parameters(), strict=True):
        assert (a.grad is None and b.grad is None) or torch.equal(a.grad, b.grad)


@pytest.mark.parametrize(
    "context", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)]
)
def test_works_inside_the_callers_contexts(model, context):
    wanted = explain(model, X)
    with context():
        fresh = {k: v + 0 for k, v in X.items()}
        same(explain(model, fresh), wanted)
        same(explain(tiny("vit"), pixels(1) + 0), explain(tiny("vit"), pixels(1)))


def test_weights_made_under_inference_mode(model):
    with torch.inference_mode():
        other = copy.deepcopy(model)
        for p in other.parameters():
            p.data = p.data + 0
    same(explain(other, X), explain(model, X))


def test_a_weight_that_training_changes_is_seen_at_the_next_call(model):
    explainer = Explainer(model)
    before = explainer(X)
    with torch.no_grad():
        model.classifier.weight.mul_(2)
    after = explainer(X, target=before.target)
    torch.testing.assert_close(after.gap, before.gap * 2, rtol=1e-4, atol=1e-5)
    model.classifier.weight = nn.Parameter(model.classifier.weight.detach() * 2)
    torch.testing.assert_close(explainer(X, target=before.target).gap, before.gap * 4, rtol=1e-4, atol=1e-5)


def test_threads_share_one_model(model):
    wanted = [explain(model, ids(7, seed=s)) for s in range(4)]
    found = [None] * 4

    def work(s):
        found[s] = explain(model, ids(7, seed=s))

    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, b in zip(found, wanted, strict=True):
        same(a, b, 1e-6)


def test_wrapped_models(model):
    wanted = explain(model, X)
    same(explain(torch.compile(model, backend="eager"), X), wanted)
    same(explain(nn.DataParallel(model), X), wanted)
    model.compile(backend="eager")
    same(explain(model, X), wanted)
    assert unwrap(torch.compile(model, backend="eager")) is model


def test_the_callers_hooks_that_change_the_output_are_part_of_the_model(model):
    plain = explain(model, X)
    model.bert.encoder.layer[1].register_forward_hook(lambda module, args, out: out * 1.5)
    hooked = explain(model, X)
    with torch.no_grad():
        torch.testing.assert_close(hooked.logits, model(**X).logits, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(hooked.logits, plain.logits)


def test_a_forward_replaced_on_the_instance(model):
    wanted = explain(model, X)
    layer = model.bert.encoder.layer[0]
    layer.forward = layer.forward
    same(explain(model, X), wanted)
    forward = layer.forward
    layer.forward = lambda *args, **kwargs: forward(*args, **kwargs)
    with pytest.raises(ValueError, match="replaced on the instance"):
        explain(model, X)


def test_the_twin_shares_its_weights(model):
    other = share_weights(model)
    for (name, p), q in zip(model.named_parameters(), other.parameters(), strict=True):
        assert p.data_ptr() == q.data_ptr(), name
        assert not q.requires_grad
    wide = share_weights(model, torch.float64)
    assert all(p.dtype == torch.float64 for p in wide.parameters())
    assert all(p.dtype == torch.float32 for p in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_precision_by_argument_and_by_the_model(model, dtype):
    options = {"target": [1, 2], "quadrature": "gausslegendre", "n_steps": 12}  # so that precision alone differs
    wanted = explain(model, X, dtype=torch.float64, **options)
    loose = {torch.float64: 0.0, torch.bfloat16: 0.15, torch.float16: 0.02}[dtype]
    for a in (explain(model, X, dtype=dtype, **options), explain(model.to(dtype), X, **options)):
        difference = (a.layer_scores - wanted.layer_scores).norm() / wanted.layer_scores.norm()
        assert float(difference) <= max(loose, 1e-3)
    # half precision that the processor has no instructions for is computed in float32, unless asked for
    own = "float32" if dtype == torch.float16 or (dtype == torch.bfloat16 and not checks._has_bfloat16()) else None
    assert a.settings["dtype"] == (own or str(dtype).removeprefix("torch."))


def test_layers_by_index(model):
    full = explain(model, X)
    some = explain(model, X, layers=[-1, 0])
    assert some.settings["layers"] == [0, 2]
    torch.testing.assert_close(some.layer_scores, full.layer_scores[:, [0, 2]])
    assert explain(model, X, layers=1).layer_scores.shape[1] == 1


def test_layers_by_name_explain_a_model_no_family_knows():
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(60, 16)
            self.stack = nn.ModuleList([Block() for _ in range(2)])
            self.head = nn.Linear(16, 3)

        def forward(self, input_ids, attention_mask=None):
            h = self.words(input_ids)
            for block in self.stack:
                h = block(h)[0]
            return {"logits": self.head(h[:, 0])}["logits"]

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)

        def forward(self, x):
            q, k, v = (t.unflatten(-1, (2, 8)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
            y = nn.functional.scaled_dot_product_attention(q, k, v)
            return x + self.out(y.transpose(1, 2).flatten(2)), None

    net = Net()
    a = explain(net, ids(7)["input_ids"], layers="stack", baselines=0)
    b = explain(net, ids(7)["input_ids"], layers=["stack.0", "stack.1"], baselines="zero_embedding")
    assert a.layer_scores.shape == b.layer_scores.shape == (1, 2, 7)
    assert a.converged.all()
    assert a.settings["family"] == "layers"
    found = explain(net, ids(7)["input_ids"], baselines=0)
    assert found.settings["family"] == "unknown"
    assert found.settings["blocks"] == a.settings["blocks"] == ["stack.0", "stack.1"]
    assert torch.equal(found.scores, a.scores)
    with pytest.raises(ValueError, match=r"not modules of Net; its lists of modules: \['stack'\]"):
        explain(net, ids(7)["input_ids"], layers="blocks")
    with pytest.raises(ValueError, match="0 attention maps of token by token can be read in 2 blocks"):
        explain(net, ids(7)["input_ids"], layers=["stack.0.out", "stack.1.out"], baselines=0)


def test_targets(model):
    one = explain(model, X, target=2)
    assert one.target.tolist() == [2, 2]
    each = explain(model, X, target=torch.tensor([2, 0]))
    assert torch.equal(each.layer_scores[0], one.layer_scores[0])
    assert each.label(1) == "LABEL_0"
    contrast = explain(model, X, output="contrast", target=(2, 0))
    assert contrast.target.tolist() == [[2, 0], [2, 0]]
    other = explain(model, X, target=0)
    torch.testing.assert_close(contrast.gap, one.gap - other.gap, rtol=1e-4, atol=1e-5)
    top = explain(model, X, output="contrast")
    assert top.target.tolist() == top.logits.topk(2).indices.tolist()


def test_scalars_of_the_output(model):
    with torch.no_grad():
        z = model(**X).logits
        low = {**X, "input_ids": torch.where((X["input_ids"] == CLS) | (X["input_ids"] == SEP), X["input_ids"], PAD)}
        z0 = model(**low).logits
    pairs = {
        "logit": lambda v: v[:, 1],
        "log_prob": lambda v: v.log_softmax(1)[:, 1],
        "prob": lambda v: v.softmax(1)[:, 1],
    }
    for kind, f in pairs.items():
        found = explain(model, X, output=kind, target=1)
        torch.testing.assert_close(found.gap[:, 0], f(z) - f(z0), rtol=1e-4, atol=1e-5)
    model.config.problem_type = "multi_label_classification"
    found = explain(model, X, output="log_prob", target=1)
    torch.testing.assert_close(found.gap[:, 0], (z[:, 1].sigmoid() / z0[:, 1].sigmoid()).log(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.probabilities, z.double().sigmoid(), rtol=1e-5, atol=1e-6)


def test_a_regression_head():
    from helpers.tiny_models import SIZES
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    a = explain(BertForSequenceClassification(BertConfig(**{**SIZES, "num_labels": 1})), X)
    assert a.target.tolist() == [0, 0]
    assert a.logits.shape == (2, 1)


def test_token_classification_and_question_answering_by_an_output_function():
    from helpers.real_models import seeded
    from helpers.tiny_models import SIZES
    from transformers import BertConfig, BertForQuestionAnswering, BertForTokenClassification

    tagger = seeded(BertForTokenClassification(BertConfig(**SIZES)))
    a = explain(tagger, X, output=lambda out: out.logits[:, 3, 1])
    assert a.target is None
    assert a.label(0) == "output"
    assert a.logits.shape == (2, 0)
    assert a.converged.all()
    # the readout is the tagged token's row, so its own entry loses the identity's share like the class token's does
    places = torch.tensor([4, 2])
    b = explain(tagger, X, output=lambda out, rows: out.logits[torch.arange(len(rows)), places[rows], 1])
    c = explain(tagger, {k: v[1:] for k, v in X.items()}, output=lambda out: out.logits[:, 2, 1])
    torch.testing.assert_close(b.scores[1], c.scores[0], rtol=1e-4, atol=1e-6)
    reader = seeded(BertForQuestionAnswering(BertConfig(**{**SIZES, "num_labels": 2})))
    d = explain(reader, X, output=lambda out: out.start_logits[:, 2] + out.end_logits[:, 4])
    assert d.layer_converged.float().mean() > 0.5


def test_groups_bound_memory_and_change_nothing(model):
    call = ids(9, 4, 6, 7, 5)
    whole = explain(model, call, memory_budget=2**30)
    small = explain(model, call, memory_budget=2**20)
    same(whole, small, 1e-5)


def test_progress(model):
    seen = []
    explain(model, X, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    explain(model, X, progress=True)


def test_an_explainer_keeps_options_and_a_call_may_differ(model):
    explainer = Explainer(model, target=1, tolerance=0.1)
    assert explainer(X).target.tolist() == [1, 1]
    assert explainer(X, target=3).target.tolist() == [3, 3]
    assert explainer(X).settings["tolerance"] == 0.1
    with pytest.raises(TypeError, match="unknown option"):
        explainer(X, steps=3)


def test_a_fixed_rule_is_used_as_asked(model):
    a = explain(model, X, quadrature="gausslegendre", n_steps=7)
    assert (a.n_steps == 7).all()
    a = explain(model, X, quadrature="riemann_trapezoid")
    assert (a.n_steps == 50).all()
    a = explain(model, X, n_steps=1)
    assert (a.n_steps == 2).all()
    assert not a.converged.any()
    a = explain(model, X, quadrature="corrected_trapezoid", n_steps=24)
    assert (a.n_steps == 25).all()
    truth = explain(model, X, quadrature="gausslegendre", n_steps=96, dtype=torch.float64)
    error = (a.layer_scores - truth.layer_scores).norm(dim=2) / truth.layer_scores.norm(dim=2)
    assert (error <= a.error + 1e-4).all()


def test_the_estimates_are_honest(model):
    truth = explain(model, X, quadrature="gausslegendre", n_steps=128, dtype=torch.float64)
    for tolerance in (1e-1, 2e-2, 1e-3):
        a = explain(model, X, tolerance=tolerance, target=truth.target)
        error = (a.layer_scores - truth.layer_scores).norm(dim=2) / truth.layer_scores.norm(dim=2)
        assert (error[a.layer_converged] <= tolerance).all()
        moved = (a.scores - truth.scores).norm(dim=1) / truth.scores.norm(dim=1)
        assert (moved <= 2 * a.score_error + 1e-4).all()


def test_padding_ids_without_a_mask_warn(model):
    with pytest.warns(UserWarning, match="attention_mask"):
        explain(model, X["input_ids"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explain(model, ids(7)["input_ids"])
