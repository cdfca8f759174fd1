"""Tokenizers of every kind: without padding or special tokens, slow, failing, and shared by threads."""

import copy
import threading
import warnings

import pytest
import torch
from helpers.real_models import minilm_tokenizer, seeded
from helpers.text_models import NODES, QUICK, bert, quick, same, words
from helpers.tiny_models import tiny

from calig_fast import Explainer, explain


def without_padding_token():
    made = copy.deepcopy(minilm_tokenizer())
    made.pad_token = None
    return made


def test_a_tokenizer_without_a_padding_token():
    texts, pairs = ["Shares climbed.", "Not a good film, yet a charming one."], [("One.", "Two."), ("A b c.", "D.")]
    assert without_padding_token().pad_token_id is None
    bare, usual = quick(bert(), without_padding_token()), quick(bert(), minilm_tokenizer())
    for given in (texts, texts[0], pairs, pairs[0]):
        a, b = bare(given), usual(given)
        same(a, b)
        assert a.texts == b.texts
        assert torch.equal(a.special, b.special)
    with pytest.warns(UserWarning, match="input 1 has 102 tokens"):
        assert bare([texts[0], "word " * 100]).texts[1].truncated == 38


def test_a_tokenizer_without_special_tokens():
    from tokenizers import processors

    made = copy.deepcopy(minilm_tokenizer())
    made._tokenizer.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
    explainer = quick(bert(), made)
    a = explainer(["Shares climbed unbelievably", "x"])
    assert not a.special.any()
    assert words(a) == ["Shares", "climbed", "unbelievably"]
    assert [w.part for w in explainer(("Shares climbed", "and fell")).words[0]] == [0, 0, 1, 1]


def test_a_slow_tokenizer():
    from transformers import BertConfig, BertForSequenceClassification, ByT5Tokenizer

    made = ByT5Tokenizer()
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    model = seeded(BertForSequenceClassification(BertConfig(**sizes, vocab_size=400, max_position_embeddings=32)))
    explainer = quick(model, made)
    a, b = explainer(["a fine film", "poor"]), explainer("poor")
    assert a.texts[1].tokens == b.texts[0].tokens
    n = b.scores.shape[1]
    torch.testing.assert_close(a.scores[1, :n], b.scores[0])
    assert a.special[1].nonzero().flatten().tolist() == [n - 1]
    with pytest.warns(UserWarning, match="reads 32 tokens"):
        assert explainer("many words " * 9).scores.shape == (1, 32)


def test_a_tokenizers_own_truncation_and_padding_stay():
    made = copy.deepcopy(minilm_tokenizer())
    shared, explainer = made._tokenizer, quick(bert(), made)
    wanted = quick(bert(), minilm_tokenizer())("Shares climbed.")
    for begin in (
        lambda: (shared.no_truncation(), shared.no_padding()),
        lambda: (shared.enable_truncation(3, strategy="only_first"), shared.enable_padding(length=9, direction="left")),
    ):
        begin()
        before = (shared.truncation, shared.padding)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            same(explainer("Shares climbed."), wanted)
            explainer(["word " * 100, "x"])
        with pytest.raises(TypeError):
            explainer([None])
        assert (shared.truncation, shared.padding) == before


def test_threads_share_a_tokenizer():
    made, long, wrong = copy.deepcopy(minilm_tokenizer()), "word " * 100, []

    def work(limit):
        from transformers import BertConfig, BertForSequenceClassification

        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
        config = BertConfig(**sizes, vocab_size=30522, max_position_embeddings=limit)
        explainer = quick(BertForSequenceClassification(config).eval(), made)
        for _ in range(12):
            try:
                found = [tuple(explainer(given).scores.shape) for given in (long, ["x", long])]
            except Exception as error:
                found = [error]
            wrong.extend(one for one in found if one not in {(1, limit), (2, limit)})

    threads = [threading.Thread(target=work, args=(limit,)) for limit in (64, 32, 64, 32)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_texts_are_padded_where_the_model_reads_them_as_alone():
    import transformers as t

    config = {"vocab_size": 30522, "n_embd": 16, "n_layer": 2, "n_head": 2, "num_labels": 3, "pad_token_id": 0}
    decoder = seeded(t.GPT2ForSequenceClassification(t.GPT2Config(**config, n_positions=64)))
    made = copy.deepcopy(minilm_tokenizer())
    made.padding_side = "left"
    texts = ["Shares climbed.", "Not a good film, yet a charming one."]
    for model in (decoder, bert()):
        explainer = Explainer(model, made, **NODES)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            together, alone = explainer(texts), explainer(texts[0])
        n = alone.scores.shape[1]
        torch.testing.assert_close(together.scores[0, :n], alone.scores[0], rtol=1e-4, atol=1e-5)
    assert made.padding_side == "left"


def failing(*texts, **options):
    raise KeyError("of the tokenizer's own")


@pytest.mark.parametrize(("tokenizer", "words"), [(failing, "KeyError"), (len, "TypeError"), (object(), "tokenizer")])
def test_a_tokenizer_that_fails_is_named(tokenizer, words):
    with pytest.raises((TypeError, ValueError), match=rf"processor: .* (cannot make ids|is no).*{words}"):
        explain(tiny("bert"), "a text", tokenizer, method=QUICK)
