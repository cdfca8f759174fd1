"""The call of `forward`: arguments of any name, plain values in every pass, and one clear error for each misfit."""

import numpy as np
import pytest
import torch
from helpers.real_models import minilm_tokenizer, seeded
from helpers.tiny_models import SIZES, Linear, ids, pixels, tiny
from torch import nn

from calig_fast import Explainer, explain, metrics

NODES = {"quadrature": "corrected_trapezoid", "n_steps": 4, "baselines": 0}
LAYERS = {"layers": "blocks", "method": "layer_ig", **NODES}
X = ids(6)
LLAMA = {
    "vocab_size": 60,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "num_labels": 3,
}


class Wrapped(nn.Module):
    """A BERT under a head of one's own."""

    def __init__(self, vocabulary=60):
        super().__init__()
        from transformers import BertConfig, BertModel

        self.bert, self.head = BertModel(BertConfig(**{**SIZES, "vocab_size": vocabulary})), nn.Linear(24, 3)

    def forward(self, input_ids, attention_mask=None, scale=1.0, shift=None, double=False):
        z = self.head(self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state[:, 0]) * scale
        z = z if shift is None else z + shift[:, None]
        return 2 * z if double else z


def same(a, b):
    torch.testing.assert_close(a.logits, b.logits)
    torch.testing.assert_close(a.scores, b.scores)
    torch.testing.assert_close(a.layer_scores, b.layer_scores)


@pytest.mark.parametrize(
    ("flags", "attention"),
    [
        ({"return_dict": True}, "sdpa"),
        ({"return_dict": False}, "sdpa"),
        ({"output_attentions": True}, "eager"),
        ({"output_hidden_states": True, "output_attentions": None}, "sdpa"),
    ],
)
def test_flags_of_a_hugging_face_model(flags, attention):
    model, call = tiny("bert", attention), ids(7)
    for engine in ("native", "autograd"):
        same(explain(model, {**call, **flags}, engine=engine, **NODES), explain(model, call, engine=engine, **NODES))


def test_plain_values_reach_every_pass():
    model = seeded(Wrapped(), seed=3)
    plain = explain(model, X, **NODES)
    for scale in (2.0, 2, np.float32(2), torch.tensor(2.0)):
        a = explain(model, {**X, "scale": scale, "shift": None}, **NODES)
        torch.testing.assert_close(a.logits, 2 * plain.logits)
        torch.testing.assert_close(a.layer_scores, 2 * plain.layer_scores, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(explain(model, {**X, "double": True}, **NODES).logits, 2 * plain.logits)
    # a tensor of numbers has one for each input
    two = {name: value.expand(2, -1) for name, value in X.items()}
    shifted = explain(model, {**two, "shift": torch.tensor([0.0, 5.0])}, **NODES)
    torch.testing.assert_close(shifted.logits, plain.logits + torch.tensor([[0.0], [5.0]]))


def test_calls_with_other_values_do_not_mix():
    explainer = Explainer(seeded(Wrapped(), seed=3), **NODES)
    plain = explainer(X)
    doubled = explainer({**X, "double": True})
    torch.testing.assert_close(doubled.logits, 2 * plain.logits)
    same(explainer(X), plain)
    returned = Explainer(tiny("bert"), **NODES)
    for flags in ({}, {"return_dict": False}, {"output_hidden_states": True}, {}):
        same(returned({**X, **flags}), explain(tiny("bert"), X, **NODES))


def test_metrics_pass_plain_values_too():
    model = seeded(Wrapped(), seed=3)
    a = explain(model, {**X, "scale": 3.0}, **NODES)
    plain = metrics.comprehensiveness(model, X, a, output="logit", removal=0)
    tripled = metrics.comprehensiveness(model, {**X, "scale": 3.0}, a, output="logit", removal=0)
    torch.testing.assert_close(tripled.values, 3 * plain.values)


def test_flags_beside_pixels():
    model = tiny("vit")
    same(explain(model, {"pixel_values": pixels(1), "return_dict": False}), explain(model, pixels(1)))


def test_columns_beside_the_ids():
    batch = {**X, "labels": torch.tensor([1]), "label": [1], "text": ["a fine film"], "offset_mapping": None}
    same(explain(tiny("bert"), batch, **NODES), explain(tiny("bert"), X, **NODES))


def test_labels_that_forward_needs():
    class Trained(Wrapped):
        def forward(self, input_ids, labels):
            z = super().forward(input_ids)
            return nn.functional.cross_entropy(z, labels), z

    model = seeded(Trained(), seed=3)
    a = explain(model, {"input_ids": X["input_ids"], "labels": torch.tensor([2])}, **NODES)
    assert torch.equal(a.logits, explain(seeded(Wrapped(), seed=3), X["input_ids"], **NODES).logits)


def test_shapes_that_say_the_same():
    wanted, model = explain(tiny("bert"), X, **NODES), tiny("bert")
    one = {name: value[0] for name, value in X.items()}
    segments, places = torch.zeros(6, dtype=torch.int64), torch.arange(6)
    for call in (
        one,
        {**X, "token_type_ids": segments[None]},
        {**X, "token_type_ids": segments, "position_ids": places},
        {**one, "position_ids": places.tolist()},
        {name: value.numpy() for name, value in X.items()},
        {name: value.numpy().astype(np.int16) for name, value in X.items()},
        {**X, "input_ids": X["input_ids"].to(torch.uint8)},
        {**X, "input_ids": X["input_ids"].to(torch.int32), "attention_mask": X["attention_mask"].float()},
    ):
        same(explain(model, call, **NODES), wanted)
    both = ids(6, 4)
    for shared in (torch.arange(6)[None], torch.arange(6)):
        same(explain(model, {**both, "position_ids": shared}, **NODES), explain(model, both, **NODES))


@pytest.mark.parametrize("name", ["ids", "tokens", "x", "sequence"])
def test_a_sole_argument_of_any_name(name):
    tokenizer = minilm_tokenizer()
    space = {}
    exec(f"def forward(self, {name}):\n    return self.read({name})", space)
    kind = type("Own", (Wrapped,), {"forward": space["forward"], "read": lambda self, x: Wrapped.forward(self, x)})
    model = seeded(kind(len(tokenizer)), seed=3)
    wanted = explain(model, tokenizer("a fine film")["input_ids"], **NODES)
    same(explain(model, {name: tokenizer("a fine film")["input_ids"]}, **NODES), wanted)
    a = explain(model, "a fine film", tokenizer, **NODES)
    same(a, wanted)
    assert [word.text for word in a.words[0]] == ["a", "fine", "film"]
    same(explain(model, ["a fine film", "a poor film"], tokenizer, **NODES)[0], wanted)
    with pytest.raises(ValueError, match="heeds no mask"):
        explain(model, ["a fine film", "a very poor film"], tokenizer, **NODES)
    with pytest.raises(ValueError, match=r"takes no 'token_type_ids'.*pair of texts"):
        explain(model, ("a fine film", "a poor film"), tokenizer, **NODES)


def test_positional_only_and_starred_arguments():
    class Only(Wrapped):
        def forward(self, tokens, /):
            return super().forward(tokens)

    class Starred(Wrapped):
        def forward(self, *args):
            return super().forward(args[0])

    class Open(Wrapped):
        def forward(self, *args, **kwargs):
            return super().forward(*args, **{k: v for k, v in kwargs.items() if k != "token_type_ids"})

    tokenizer = minilm_tokenizer()
    for kind in (Only, Starred, Open):
        model = seeded(kind(len(tokenizer)), seed=3)
        wanted = explain(model, tokenizer("a fine film")["input_ids"], **NODES)
        same(explain(model, "a fine film", tokenizer, **NODES), wanted)


@pytest.mark.parametrize("name", ["mask", "attn_mask", "key_padding_mask", "src_key_padding_mask"])
@pytest.mark.parametrize("needed", [True, False])
def test_texts_for_a_model_with_a_mask_of_its_own(name, needed):
    tokenizer, default = minilm_tokenizer(), "" if needed else "=None"
    space = {}
    exec(f"def forward(self, ids, {name}{default}):\n    return self.read(ids, {name})", space)

    def read(self, ids, mask):
        if "padding" in name and mask is not None:
            mask = ~mask if mask.dtype == torch.bool else 1 - mask
        return Wrapped.forward(self, ids, mask)

    model = seeded(type("Own", (Wrapped,), {"forward": space["forward"], "read": read})(len(tokenizer)), seed=3)
    texts = ["a fine film", "a film that is not at all fine"]
    together = explain(model, texts, tokenizer, **NODES)
    for b, text in enumerate(texts):
        alone = explain(model, text, tokenizer, **NODES)
        assert alone.mask.all()
        n = alone.scores.shape[1]
        torch.testing.assert_close(together.logits[b], alone.logits[0])
        torch.testing.assert_close(together.scores[b, :n], alone.scores[0], rtol=1e-4, atol=1e-5)


def test_a_mask_that_takes_bools_alone():
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.head = nn.Embedding(len(tokenizer), 24), nn.Linear(24, 3)
            layer = nn.TransformerEncoderLayer(24, 3, 40, batch_first=True, dropout=0.0)
            self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, src, src_key_padding_mask):
            return self.head(self.blocks(self.words(src), src_key_padding_mask=src_key_padding_mask)[:, 0])

    tokenizer = minilm_tokenizer()
    options = {**LAYERS, "layers": "blocks.layers"}
    model, texts = seeded(Encoder(), seed=3), ["a fine film", "a film that is not at all fine"]
    together, alone = explain(model, texts, tokenizer, **options), explain(model, texts[0], tokenizer, **options)
    torch.testing.assert_close(together.layer_scores[0, :, :5], alone.layer_scores[0], rtol=1e-4, atol=1e-5)


def test_features_of_a_model_without_words():
    class Series(nn.Module):
        def __init__(self):
            super().__init__()
            self.inwards, self.places = nn.Linear(3, 8), nn.Embedding(20, 8)
            self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(2)])
            self.head = nn.Linear(8, 3)

        def forward(self, series):
            h = self.inwards(series) + self.places(torch.arange(series.shape[1]))
            for block in self.blocks:
                h = block(h)
            return self.head(h.mean(1))

    model, series = seeded(Series(), seed=3), torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(0))
    options = {**LAYERS, "baselines": None}
    wanted = explain(model, series, **options)
    with torch.no_grad():
        change = model(series) - model(torch.zeros_like(series))
    torch.testing.assert_close(wanted.gap[:, 0], change.gather(1, wanted.target[:, None])[:, 0])
    for given in ({"series": series}, series.numpy(), list(series)):
        same(explain(model, given, **options), wanted)
    same(explain(model, series[0], **options), wanted[0])
    with pytest.raises(ValueError, match="NaN"):
        explain(model, series * torch.nan, **options)


def test_embeddings_by_name():
    model = tiny("bert")
    words = model.get_input_embeddings()(X["input_ids"]).detach()
    special = {"special_tokens_mask": torch.tensor([[1, 0, 0, 0, 0, 1]])}
    a = explain(model, {"attention_mask": X["attention_mask"], "inputs_embeds": words, **special}, **NODES)
    torch.testing.assert_close(a.scores, explain(model, X, **NODES).scores)


def decoder(kind, **more):
    import transformers as t

    if kind == "gpt2":
        config = t.GPT2Config(vocab_size=60, n_embd=24, n_layer=2, n_head=3, n_positions=40, num_labels=3, **more)
        return seeded(t.GPT2ForSequenceClassification(config), seed=3), "transformer.h"
    config = {"llama": t.LlamaConfig, "mistral": t.MistralConfig, "qwen2": t.Qwen2Config}[kind]
    model = {
        "llama": t.LlamaForSequenceClassification,
        "mistral": t.MistralForSequenceClassification,
        "qwen2": t.Qwen2ForSequenceClassification,
    }[kind]
    return seeded(model(config(**LLAMA, num_key_value_heads=3, **more)), seed=3), "model.layers"


@pytest.mark.parametrize("kind", ["gpt2", "llama", "mistral", "qwen2"])
def test_a_decoder_without_a_padding_id_takes_one_input(kind):
    model, layers = decoder(kind)
    assert model.config.pad_token_id is None
    options = {**NODES, "layers": layers, "baselines": "zero_embedding"}
    a = explain(model, X, **options)
    with torch.no_grad():
        torch.testing.assert_close(a.logits, model(**X).logits)
    assert model.config.pad_token_id is None
    same(explain(model, X["input_ids"][0], **options), a)
    told, _ = decoder(kind, pad_token_id=0)
    same(explain(told, X, **options), a)
    with pytest.raises(ValueError, match=r"Cannot handle batch sizes > 1"):
        explain(model, ids(6, 4), **options)
    both = explain(told, ids(6, 4), **options)
    alone = explain(told, {name: value[1:, :4] for name, value in ids(6, 4).items()}, **options)
    torch.testing.assert_close(both.scores[1, :4], alone.scores[0])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        ({"input_ids": X["input_ids"].float()}, TypeError, "expected token ids .* of integers"),
        ({"input_ids": X["input_ids"].bool()}, TypeError, "expected token ids .* of integers"),
        ({"input_ids": X["input_ids"][:, None].expand(1, 4, 6)}, ValueError, "several choices"),
        ({**X, "token_type_ids": torch.full((1, 6), 2)}, ValueError, "token_type_ids .* from 0 to 1"),
        ({**X, "token_type_ids": torch.zeros(1, 5, dtype=torch.int64)}, ValueError, "token_type_ids"),
        ({"input_ids": torch.tensor([[1, 5, 60]])}, ValueError, "vocabulary has 60"),
        ({"input_ids": torch.tensor([[1, -5, 2]])}, ValueError, "ids from -5"),
        ({**X, "attention_mask": torch.ones(2, 6)}, ValueError, "same number of rows"),
        ({"input_ids": "a fine film"}, ValueError, "holds no tensor"),
        ({"input_ids": ["a fine film"]}, TypeError, "cannot be made one"),
        ({**X, "token_type_ids": {"a": 1}}, TypeError, "cannot be made one"),
        ({}, ValueError, "holds no tensor"),
        ({k: v.to("meta") for k, v in X.items()}, ValueError, "on meta, the model on cpu"),
        ({"input_ids": X["input_ids"].to_sparse()}, TypeError, "expected a dense one"),
        ({"input_ids": X["input_ids"].to(torch.complex64)}, TypeError, "expected a dense one"),
        ({**X, "position_ids": torch.full((1, 6), 0.5)}, TypeError, "position_ids of integers"),
        ({**X, "token_type_ids": torch.zeros(1, 6)}, TypeError, "token_type_ids of integers"),
        (X["input_ids"].to_sparse(), TypeError, "expected a dense one"),
        (X["input_ids"].float(), TypeError, "reads integer ids"),
        (torch.randn(1, 6, 24), TypeError, "inputs_embeds"),
    ],
)
def test_misfits_are_named(call, error, words):
    with pytest.raises(error, match=words):
        explain(tiny("bert"), call, **NODES)


def test_arguments_that_are_missing_or_unknown():
    class Two(Linear):
        def forward(self, input_ids, factor):
            return super().forward(input_ids) * factor

    with pytest.raises(ValueError, match=r"forward needs \['factor'\] too"):
        explain(Two(), X["input_ids"], **LAYERS)
    with pytest.raises(ValueError, match=r"forward needs \['factor'\] too"):
        explain(Two(), {"input_ids": X["input_ids"]}, **LAYERS)
    assert explain(Two(), {"input_ids": X["input_ids"], "factor": 2}, **LAYERS).scores.shape == (1, 6)
    with pytest.raises(ValueError, match="takes no 'factors'"):
        explain(Two(), {"input_ids": X["input_ids"], "factor": 2, "factors": torch.ones(1)}, **LAYERS)


def test_multiple_choice_is_refused():
    from transformers import BertConfig, BertForMultipleChoice

    model = BertForMultipleChoice(BertConfig(**SIZES))
    for given in (X, {name: value[:, None].expand(1, 4, 6) for name, value in X.items()}):
        with pytest.raises(ValueError, match="several choices"):
            explain(model, given, **NODES)


def test_a_batch_as_keywords():
    with pytest.raises(TypeError, match=r"explain\(model, batch\)"):
        explain(tiny("bert"), **X)
    with pytest.raises(TypeError, match=r"explain\(model, batch\)"):
        explain(tiny("bert"))


def test_deletions_from_a_decoder_without_a_padding_id():
    (model, layers), (told, _) = decoder("gpt2"), decoder("gpt2", pad_token_id=0)
    options = {**NODES, "layers": layers, "baselines": "zero_embedding"}
    a = explain(model, ids(9), **options)
    values = [metrics.comprehensiveness(m, ids(9), a, removal="delete").values for m in (model, told)]
    torch.testing.assert_close(*values)
