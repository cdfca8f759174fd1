"""The native path: used wherever it can be, and equal to Captum."""

from functools import partial

import captum.attr as captums
import pytest
import torch
from helpers.encoders import (
    STEPS,
    Wrapper,
    blocks_of,
    compare,
    embeddings_of,
    image,
    is_basic,
    model_of,
    text,
    vectors,
    words_of,
)
from helpers.real_models import minilm_tokenizer, minilm_topics
from helpers.tiny_models import IMAGE, PAD, TEXT, ids, inputs, tiny
from helpers.toys import same

from calig_fast import captum as ours

MAPS_TOO = {"megatron-bert", "rembert"}  # their blocks return more than a hidden state
FLOAT32 = "markuplm"  # its own attention takes the softmax in float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [kind for kind in TEXT if kind != "ctrl"])  # it writes into Captum's leaf
def test_text_families_with_padding(kind, dtype):
    model, x = model_of(kind, dtype), inputs(kind)
    mask = x["attention_mask"]
    assert not mask.bool().all()
    low = torch.where(x["input_ids"] > 2, PAD, x["input_ids"])
    # ALBERT's blocks run twice, and Captum moves a layer every time that it runs; it takes no layer that returns None
    told_more = not is_basic(model)  # positions, or a mask of its own for each kind of layer
    native = kind not in MAPS_TOO and not told_more and not (kind == FLOAT32 and dtype == torch.float64)
    others = [] if kind in {"albert", "luke", *MAPS_TOO} else blocks_of(model)
    layers = [words_of(model)] if told_more else [words_of(model), embeddings_of(model), *others]
    for layer in layers:
        compare("LayerIntegratedGradients", text(model), x["input_ids"], (layer,), native, baselines=low,
                additional_forward_args=mask)  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", IMAGE)
def test_image_families(kind, dtype):
    model, x = model_of(kind, dtype), inputs(kind).to(dtype)
    forward, blocks = image(model), blocks_of(model)
    native = is_basic(model) or kind in {"timm-eva", "timm-normed"}  # whose blocks get a hidden state alone
    compare("IntegratedGradients", forward, x, native=native, baselines=0.1)
    # Captum takes no layer that returns a tuple with something else than tensors
    layers = [] if kind == "data2vec-vision" else [embeddings_of(model), blocks[0], blocks[-1]]
    for layer in layers:
        compare("LayerIntegratedGradients", forward, x, (layer,), native)
        compare("LayerConductance", forward, x, (layer,), native)


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

    monkeypatch.setattr("calig_fast.engines.native.autograd_function.DEFAULT_BUDGET", 2**17)
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
    assert (native.engine, other.engine, other.not_native) == ("native", "autograd", "allow_native is False")


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
    from helpers.tiny_models import SIZES
    from transformers import BertConfig, BertForTokenClassification

    torch.manual_seed(0)
    return BertForTokenClassification(BertConfig(**SIZES)).eval()


def test_token_classification_reads_one_token():
    model, x = token_model(), inputs("bert")
    compare("LayerIntegratedGradients", text(model), x["input_ids"], (model.bert.embeddings,),
            additional_forward_args=x["attention_mask"], target=(3, 1))  # fmt: skip
