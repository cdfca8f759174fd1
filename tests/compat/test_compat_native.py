"""The native path: used wherever it can be, equal to Captum, and given up where anything is not as it assumes."""

import copy
from functools import cache, partial

import captum.attr as captums
import pytest
import torch
from real_models import minilm_tokenizer, minilm_topics
from tiny_models import IMAGE, PAD, TEXT, ids, inputs, tiny
from torch import nn
from toys import alike, same

from calig_fast import families
from calig_fast.compat import captum as ours

STEPS = 4


@cache
def model_of(kind, dtype=torch.float32):
    return copy.deepcopy(tiny(kind)).to(dtype)


def blocks_of(model):
    return [model.get_submodule(name) for name in families.find(model).blocks]


def embeddings_of(model):
    """What makes the hidden state of the first block, or the first part of it."""
    return next(m for n, m in model.named_modules() if n.endswith(("embeddings", "patch_embed")))


def words_of(model):
    return model.get_input_embeddings()


def text(model):
    return lambda i, mask=None: model(i, attention_mask=mask).logits


def vectors(model):
    return lambda e, mask=None: model(inputs_embeds=e, attention_mask=mask).logits


def image(model):
    return lambda x: getattr(model(x), "logits", None) if hasattr(model, "config") else model(x)


def compare(name, forward, args, layer=(), native=True, **options):
    options = {"target": [1, 2], "n_steps": STEPS, "return_convergence_delta": True, **options}
    mine = getattr(ours, name)(forward, *layer)
    found = mine.attribute(args, **options)
    alike(found, getattr(captums, name)(forward, *layer).attribute(args, **options))
    assert (mine.engine == "native") is native, mine.not_native
    assert bool(mine.not_native) is not native
    return mine


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", TEXT)
def test_text_families_with_padding(kind, dtype):
    model, x = model_of(kind, dtype), inputs(kind)
    mask = x["attention_mask"]
    assert not mask.bool().all()
    low = torch.where(x["input_ids"] > 2, PAD, x["input_ids"])
    # ALBERT's blocks run twice, and Captum moves a layer every time that it runs
    layers = [words_of(model), embeddings_of(model), *([] if kind == "albert" else blocks_of(model))]
    for layer in layers:
        compare("LayerIntegratedGradients", text(model), x["input_ids"], (layer,), baselines=low,
                additional_forward_args=mask)  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", IMAGE)
def test_image_families(kind, dtype):
    model, x = model_of(kind, dtype), inputs(kind).to(dtype)
    forward, blocks = image(model), blocks_of(model)
    compare("IntegratedGradients", forward, x, baselines=0.1)
    for layer in (embeddings_of(model), blocks[0], blocks[-1]):
        compare("LayerIntegratedGradients", forward, x, (layer,))
        compare("LayerConductance", forward, x, (layer,))


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_embeddings_as_inputs(kind):
    model, x = model_of(kind), inputs(kind)
    embeds = words_of(model)(x["input_ids"]).detach()
    options = {"additional_forward_args": x["attention_mask"]}
    compare("IntegratedGradients", vectors(model), embeds, **options)
    for layer in (embeddings_of(model), *blocks_of(model)):
        compare("LayerConductance", vectors(model), embeds, (layer,), **options)


def test_a_real_bert():
    model = minilm_topics()
    x = minilm_tokenizer()(["Shares rose.", "The visitors won the cup final in extra time."], padding=True,
                           return_tensors="pt")  # fmt: skip
    for layer in (embeddings_of(model), *blocks_of(model)[1::3]):
        compare("LayerIntegratedGradients", text(model), x["input_ids"], (layer,), method="riemann_middle",
                additional_forward_args=x["attention_mask"])  # fmt: skip


def test_a_module_called_directly_and_the_input_of_a_block():
    model, x = model_of("timm-token"), inputs("timm-token")
    for layer in (*blocks_of(model), model.norm, model.head):
        for name in ("LayerIntegratedGradients", "LayerConductance"):
            compare(name, model, x, (layer,), attribute_to_layer_input=True)


class Wrapper(nn.Module):
    """A head of the caller's own over a backbone: the mean of all real tokens, then a softmax."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.out = backbone, nn.Linear(24, 4)

    def forward(self, ids, mask):
        hidden = self.backbone(ids, attention_mask=mask).last_hidden_state
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return torch.softmax(self.out(mean), -1)


@pytest.mark.parametrize(
    "wrap", [lambda f: f, lambda f: partial(f), lambda f: lambda *a: f(*a) ** 2, lambda f: f.forward]
)
def test_whatever_wraps_the_encoder(wrap):
    torch.manual_seed(1)
    wrapper, x = Wrapper(model_of("bert").bert).eval(), inputs("bert")
    for layer in (wrapper.backbone.embeddings, wrapper.backbone.encoder.layer[0]):
        compare("LayerIntegratedGradients", wrap(wrapper), x["input_ids"], (layer,),
                additional_forward_args=x["attention_mask"])  # fmt: skip


@pytest.mark.filterwarnings("ignore:layer. several", "ignore:Multiple layers")
def test_several_layers_at_once():
    model, x = model_of("bert"), inputs("bert")
    e, blocks = model.bert.embeddings, blocks_of(model)
    for layers in ([e.word_embeddings, e.position_embeddings], [blocks[0]], [blocks[0], blocks[1]]):
        compare(
            "LayerIntegratedGradients",
            text(model),
            x["input_ids"][:1],
            (layers,),
            target=1,
            grad_kwargs={"materialize_grads": True},
        )


@pytest.mark.parametrize("rows", [2, 6, 1000])
def test_internal_batches(rows):
    model, x = model_of("bert"), inputs("bert")
    embeds, sizes = words_of(model)(x["input_ids"]).detach(), []

    def counted(forward):
        return lambda e, mask: sizes.append(len(e)) or forward(e, mask)

    options = {"additional_forward_args": x["attention_mask"], "internal_batch_size": rows}
    compare("LayerIntegratedGradients", counted(text(model)), x["input_ids"], (blocks_of(model)[0],), **options)
    if rows > 2:
        compare("LayerConductance", counted(vectors(model)), embeds, (blocks_of(model)[0],), **options)
    assert max(sizes) <= rows


def test_a_layer_that_another_path_goes_around():
    model, x = model_of("bert"), inputs("bert")

    def forward(i, mask):
        out = model.bert(i, attention_mask=mask)
        return out.pooler_output[:, :4] * out.last_hidden_state[:, 0, :4]

    compare("LayerIntegratedGradients", forward, x["input_ids"], (model.bert.pooler,),
            additional_forward_args=x["attention_mask"])  # fmt: skip


def test_waves_are_cut_to_the_memory_budget(monkeypatch):
    model, x = model_of("bert"), inputs("bert")
    sizes = []

    def forward(i, mask):
        sizes.append(len(i))
        return text(model)(i, mask)

    monkeypatch.setattr("calig_fast.compat.captum.native.DEFAULT_BUDGET", 2**17)
    lig = ours.LayerIntegratedGradients(forward, blocks_of(model)[0])
    found = lig.attribute(x["input_ids"], target=0, additional_forward_args=x["attention_mask"], n_steps=9)
    assert lig.engine == "native"
    assert 2 < max(sizes) < 18
    wanted = captums.LayerIntegratedGradients(text(model), blocks_of(model)[0])
    same(found, wanted.attribute(x["input_ids"], target=0, additional_forward_args=x["attention_mask"], n_steps=9))


def test_both_paths_agree_and_the_native_one_can_be_declined():
    model, x = model_of("bert"), inputs("bert")
    options = {"target": 0, "additional_forward_args": x["attention_mask"], "n_steps": STEPS}
    native, other = (ours.LayerIntegratedGradients(text(model), blocks_of(model)[1]) for _ in range(2))
    other.allow_native = False
    assert native.engine == ""
    same(native.attribute(x["input_ids"], **options), other.attribute(x["input_ids"], **options))
    assert (native.engine, other.engine, other.not_native) == ("native", "reference", "allow_native is False")


def test_left_padding_and_eager_attention():
    x = ids(6, 4)
    left = {k: torch.stack([row.roll(6 - int(m.sum())) for row, m in zip(v, x["attention_mask"], strict=True)])
            for k, v in x.items()}  # fmt: skip
    for model in (model_of("bert"), tiny("bert", "eager")):
        for layer in (model.bert.embeddings, blocks_of(model)[0]):
            # the pooler reads the first row, which is padding where the left is padded
            compare("LayerIntegratedGradients", text(model), left["input_ids"], (layer,), native=False,
                    additional_forward_args=left["attention_mask"])  # fmt: skip
            compare("LayerIntegratedGradients", text(model), x["input_ids"], (layer,),
                    additional_forward_args=x["attention_mask"])  # fmt: skip


def test_position_ids_and_segments_are_heeded():
    model, x = model_of("bert"), inputs("bert")
    places = torch.arange(9).flip(0).expand(2, 9)
    kinds = (torch.arange(9) > 4).long().expand(2, 9)

    def forward(i, mask, places, kinds):
        return model(i, attention_mask=mask, position_ids=places, token_type_ids=kinds).logits

    more = (x["attention_mask"], places, kinds)
    compare("LayerIntegratedGradients", forward, x["input_ids"], (words_of(model),), additional_forward_args=more)


def token_model():
    from tiny_models import SIZES
    from transformers import BertConfig, BertForTokenClassification

    torch.manual_seed(0)
    return BertForTokenClassification(BertConfig(**SIZES)).eval()


def test_token_classification_reads_one_token():
    model, x = token_model(), inputs("bert")
    compare("LayerIntegratedGradients", text(model), x["input_ids"], (model.bert.embeddings,),
            additional_forward_args=x["attention_mask"], target=(3, 1))  # fmt: skip


def declined(forward, layer, reason, kind="bert", model=None, **options):
    """Captum's result by the reference path, for this reason."""
    x = inputs(kind)
    args, more = (x["input_ids"], x["attention_mask"]) if isinstance(x, dict) else (x, None)
    mine = compare("LayerIntegratedGradients", forward, args, (layer,), native=False,
                   additional_forward_args=more, **options)  # fmt: skip
    assert reason in mine.not_native


class Between(nn.Module):
    """Reads what every block made."""

    def __init__(self, bert):
        super().__init__()
        self.bert = bert

    def forward(self, ids):
        hidden, total = self.bert.embeddings(ids), 0
        for block in self.bert.encoder.layer:
            hidden = block(hidden)
            total = total + hidden[:, 0, :4]
        return total


def test_a_function_that_reads_hidden_states_of_all_blocks():
    bert = model_of("bert").bert
    mine = compare("LayerIntegratedGradients", Between(bert).eval(), inputs("bert")["input_ids"], (bert.embeddings,),
                   native=False)  # fmt: skip
    assert "reads more of the blocks" in mine.not_native


@pytest.mark.parametrize("read", [lambda hidden: hidden[1][:, 3, :4], lambda hidden: hidden[-1][:, -1, :4]])
def test_a_function_that_reads_next_to_nothing_of_what_is_not_computed(read):
    class Whisper(Between):
        def forward(self, ids, mask):
            square = mask[:, None, None].bool().expand(-1, 1, mask.shape[1], -1)
            hidden = [self.bert.embeddings(ids)]
            for block in self.bert.encoder.layer:
                hidden.append(block(hidden[-1], square))
            return hidden[-1][:, 0, :4] + 1e-7 * read(hidden)

    declined(Whisper(model_of("bert").bert).eval(), model_of("bert").bert.embeddings, "reads more of the blocks")


def test_hidden_states_that_transformers_collects():
    model = copy.deepcopy(model_of("bert"))  # transformers leaves hooks in it

    def forward(i, mask):
        hidden = model.bert(i, attention_mask=mask, output_hidden_states=True).hidden_states
        return hidden[2][:, 0, :4] + hidden[-1][:, 0, 4:8]

    declined(forward, model.bert.embeddings, "hooks")


def test_a_function_whose_rows_depend_on_each_other():
    model = model_of("bert")
    x = inputs("bert")
    lig = ours.LayerIntegratedGradients(lambda i, m: (z := text(model)(i, m)) - z.mean(0), model.bert.embeddings)
    lig.attribute(x["input_ids"], target=0, additional_forward_args=x["attention_mask"], n_steps=STEPS)
    assert "its rows depend on each other" in lig.not_native


def test_rows_that_depend_on_each_other_where_every_batch_goes_alone():
    model, x = model_of("bert"), inputs("bert")
    compare("LayerIntegratedGradients", lambda i, m: (z := text(model)(i, m)) - z.mean(0), x["input_ids"],
            (model.bert.embeddings,), additional_forward_args=x["attention_mask"], internal_batch_size=2)  # fmt: skip


def test_a_head_that_reads_padding():
    model = model_of("bert")
    declined(
        lambda i, m: model.bert(i, attention_mask=m).last_hidden_state.mean(1)[:, :4],
        blocks_of(model)[0],
        "reads more of the blocks",
    )


def test_a_block_that_is_not_what_its_family_says():
    model = copy.deepcopy(model_of("bert"))
    layer = model.bert.encoder.layer[1]
    kind = type(layer)
    layer.__class__ = type("Odd", (kind,), {"forward": lambda self, *a, **k: 1.001 * kind.forward(self, *a, **k)})
    declined(text(model), model.bert.embeddings, "computes something else than its family says")


def test_hooks_of_the_callers_are_not_run_past():
    model = copy.deepcopy(model_of("bert"))
    handle = model.bert.encoder.layer[2].output.register_forward_hook(lambda m, i, o: 2 * o)
    declined(text(model), model.bert.embeddings, "forward hooks")
    handle.remove()
    model.bert.encoder.layer[2].output.register_full_backward_hook(lambda m, i, o: (2 * i[0], *i[1:]))
    declined(text(model), model.bert.embeddings, "backward hooks")


def test_a_forward_that_was_replaced():
    model = copy.deepcopy(model_of("bert"))
    layer = model.bert.encoder.layer[0]
    own = type(layer).forward
    layer.forward = lambda *a, **k: own(layer, *a, **k)
    declined(text(model), model.bert.embeddings, "was replaced on the instance")
    assert "forward" in vars(layer)


def test_layers_inside_blocks_and_blocks_that_run_twice():
    bert, albert = model_of("bert"), model_of("albert")
    declined(text(bert), bert.bert.encoder.layer[0].intermediate, "inside a block")
    declined(text(albert), blocks_of(albert)[0], "runs 2 times", kind="albert")


def test_options_that_only_autograd_has():
    model = model_of("bert")
    declined(text(model), model.bert.embeddings, "create_graph", grad_kwargs={"create_graph": True})


def test_masks_that_are_more_than_padding():
    model = model_of("bert")
    above = torch.ones(9, 9, dtype=torch.bool).triu()
    bias = -0.1 * torch.arange(9.0).expand(9, 9)

    def masked(square):
        return lambda i, m: model(i, attention_mask=square.expand(len(i), 1, 9, 9)).logits

    for square, reason in (
        (above, "reads more of the blocks"),  # the last token alone looks at what all look at
        (above | (torch.arange(9) == 0), "differs from token to token"),
        (torch.eye(9, dtype=torch.bool), "is all padding"),
        (bias, "more than a mask of padding"),
    ):
        declined(masked(square), model.bert.embeddings, reason)


def test_a_model_that_rounds_more_than_its_dtype():
    model = copy.deepcopy(model_of("bert")).double()
    layer = model.bert.encoder.layer[1]
    kind = type(layer)
    rounded = {"forward": lambda self, *a, **k: kind.forward(self, *a, **k).float().double()}
    layer.__class__ = type("Rounded", (kind,), rounded)
    declined(text(model), model.bert.embeddings, "computes something else than its family says")


def test_autocast_and_half_precision():
    model, x = model_of("bert"), inputs("bert")
    half = copy.deepcopy(model).bfloat16()

    def reason(forward, layer):
        lig = ours.LayerIntegratedGradients(forward, layer)
        options = {"target": 0, "additional_forward_args": x["attention_mask"], "n_steps": 2}
        assert torch.isfinite(lig.attribute(x["input_ids"], **options)).all()
        return lig.not_native

    inside = torch.autocast("cpu", torch.bfloat16)(text(model))
    assert "computes something else" in reason(inside, model.bert.embeddings)
    assert "float32 or float64" in reason(text(half), half.bert.embeddings)
    with torch.autocast("cpu", torch.bfloat16):
        assert "autocast is on" in reason(text(model), model.bert.embeddings)


def test_training_mode_is_captums_training_mode():
    model = copy.deepcopy(model_of("bert")).train()
    found = []
    for kind in (ours, captums):
        torch.manual_seed(7)
        lig = kind.LayerIntegratedGradients(text(model), model.bert.embeddings)
        x = inputs("bert")
        found.append(lig.attribute(x["input_ids"], target=0, additional_forward_args=x["attention_mask"], n_steps=2))
        if kind is ours:
            assert lig.not_native == "the blocks are in training mode"
    same(*found)
    assert model.training


@pytest.mark.parametrize("name", ["LayerIntegratedGradients", "LayerConductance"])
def test_random_numbers_of_a_head_in_training_mode(name):
    torch.manual_seed(1)
    wrapper, found = Wrapper(model_of("vit").vit), []
    wrapper.forward = lambda x: wrapper.out(nn.functional.dropout(wrapper.backbone(x).last_hidden_state[:, 0]))
    for kind in (ours, captums):
        torch.manual_seed(7)
        method = getattr(kind, name)(wrapper, blocks_of(model_of("vit"))[1])
        found.append((method.attribute(inputs("vit"), target=0, n_steps=2), torch.rand(1)))
        if kind is ours:
            assert method.not_native == "forward_func draws random numbers"
    same(*found)


def test_a_wrapper_in_training_mode_and_anomaly_detection():
    torch.manual_seed(1)
    wrapper, x = Wrapper(model_of("bert").bert), inputs("bert")
    wrapper.backbone.eval()
    assert wrapper.training
    options = {"additional_forward_args": x["attention_mask"]}
    with torch.autograd.set_detect_anomaly(True):
        for layer in (wrapper.backbone.embeddings, wrapper.backbone.encoder.layer[0]):
            compare("LayerIntegratedGradients", wrapper, x["input_ids"], (layer,), **options)
            compare("LayerIntegratedGradients", text(model_of("bert")), x["input_ids"], (layer,), **options)


def test_two_encoders_in_one_function():
    bert, vit = model_of("bert"), model_of("vit")
    x, p = inputs("bert"), inputs("vit")

    def forward(i, pixels):
        return text(bert)(i) * image(vit)(pixels)

    for layer in (bert.bert.embeddings, embeddings_of(vit), blocks_of(vit)[1]):
        compare("LayerIntegratedGradients", forward, (x["input_ids"], p), (layer,))


def test_a_model_that_is_run_twice_in_one_function():
    model = model_of("bert")
    forward = lambda i, m: text(model)(i, m) - text(model)(i.flip(1), m.flip(1))  # noqa: E731
    declined(forward, model.bert.embeddings, "do not run one after another")


def test_the_model_is_as_before_even_after_an_error():
    model, x = copy.deepcopy(model_of("bert")), inputs("bert")
    before = {name: (m.training, dict(vars(m)).keys()) for name, m in model.named_modules()}
    lig = ours.LayerIntegratedGradients(text(model), model.bert.embeddings)
    lig.attribute(x["input_ids"], target=0, n_steps=2)
    with pytest.raises(ValueError, match="target"):
        lig.attribute(x["input_ids"], target=9, n_steps=2)
    failing = []

    def forward(i):
        failing.append(i)
        if len(failing) > 3:
            raise KeyError("the caller's own")
        return text(model)(i)

    with pytest.raises(KeyError):
        ours.LayerIntegratedGradients(forward, model.bert.embeddings).attribute(x["input_ids"], target=0, n_steps=2)
    assert {name: (m.training, dict(vars(m)).keys()) for name, m in model.named_modules()} == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())
    from torch.nn.modules import module

    assert not module._global_forward_pre_hooks


def test_compiled_models_are_left_to_autograd():
    model, x = copy.deepcopy(model_of("bert")), inputs("bert")
    options = {"target": 0, "additional_forward_args": x["attention_mask"], "n_steps": 2}
    plain = ours.LayerIntegratedGradients(text(model), model.bert.embeddings).attribute(x["input_ids"], **options)
    model.classifier = torch.compile(model.classifier, backend="eager")
    lig = ours.LayerIntegratedGradients(text(model), model.bert.embeddings)
    same(lig.attribute(x["input_ids"], **options), plain)
    assert lig.not_native == "the model is compiled"
