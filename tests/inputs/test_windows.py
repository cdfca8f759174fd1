"""Long texts in sliding windows: the windows are the tokenizer's own, and every token keeps its place and word."""

import copy
import warnings

import pytest
import torch
from helpers.long_texts import CLOSE, encoded, text
from helpers.real_models import minilm_tokenizer, seeded
from helpers.text_models import QUICK, bert, quick, words

from calig_fast import Attribution, Explainer, explain
from calig_fast.inputs.windows import most_positions


@pytest.mark.parametrize("stride", [0, 1, 13])
@pytest.mark.parametrize("side", ["right", "left"])
def test_they_are_the_windows_of_the_tokenizer(stride, side):
    tokenizer = copy.deepcopy(minilm_tokenizer())
    tokenizer.truncation_side = side
    explainer, given = quick(bert(), tokenizer), text()
    a = explainer(given, long_texts="windows", stride=stride)
    whole = tokenizer(given, verbose=False)["input_ids"]
    assert a.tokens == (tuple(tokenizer.convert_ids_to_tokens(whole)),)
    assert a.special[0].nonzero().flatten().tolist() == [0, len(whole) - 1]
    assert all(given[w.start : w.end] == w.text for w in a.words[0])
    assert words(a) == given.split()
    assert (a.texts[0].text, a.texts[0].truncated) == (given, 0)
    assert a.settings.windows == {"tokens": 64, "stride": stride}
    again = explainer(encoded(given, stride=stride, tokenizer=tokenizer))
    torch.testing.assert_close(a.scores, again.scores, **CLOSE)
    assert a.tokens == again.tokens
    assert [w.tokens for w in a.words[0]] == [w.tokens for w in again.words[0]]
    assert a.texts[0].windows == again.texts[0].windows > 2


def test_a_text_is_the_mean_of_its_windows():
    explainer, given = Explainer(bert(), minilm_tokenizer()), text()
    call = encoded(given, stride=10)
    a = explainer(given, long_texts="windows", stride=10)
    del call["overflow_to_sample_mapping"]
    rows = explainer(call, target=int(a.target[0]))
    count, length = len(rows), a.scores.shape[1]
    assert count == a.texts[0].windows == 3
    scores, layers = torch.zeros(length), torch.zeros(2, length)
    for w in range(count):
        own = int(rows.mask[w].sum())
        places = [0, *range(1 + w * 52, w * 52 + own - 1), length - 1]
        scores[places] += rows.scores[w, :own] / count
        layers[:, places] += rows.layer_scores[w, :, :own] / count
    # windows are integrated to a finer tolerance than these rows
    assert float((a.scores[0] - scores).norm() / scores.norm()) < 0.02
    assert float((a.layer_scores[0] - layers).norm() / layers.norm()) < 0.02
    torch.testing.assert_close(a.gap[0], rows.gap.mean(0), **CLOSE)
    torch.testing.assert_close(a.logits[0], rows.logits.mean(0), **CLOSE)
    torch.testing.assert_close(a.layer_scores.sum(2), a.gap + a.convergence_delta, **CLOSE)
    assert a.converged.all()
    assert a.settings.tolerance == 2e-2
    assert f"the mean of {count} windows" in a.statement()


def test_short_texts_beside_a_long_one_are_as_they_are_alone():
    explainer = quick(bert(), minilm_tokenizer())
    given = ["a short one", text(), "word " * 62, text(70, seed=1)]
    a = explainer(given, long_texts="windows")
    assert [t.windows for t in a.texts] == [1, 3, 1, 2]
    for b, one in enumerate(given):
        alone = explainer(one, long_texts="windows")
        n = alone.scores.shape[1]
        assert a.texts[b] == alone.texts[0]
        torch.testing.assert_close(a.scores[b, :n], alone.scores[0], **CLOSE)
        assert not a.mask[b, n:].any()
        assert not a.scores[b, n:].any()
    short = explainer(given[0])
    torch.testing.assert_close(a.scores[0, :5], short.scores[0], **CLOSE)
    assert explainer(given[0], long_texts="windows").settings.windows is None


@pytest.mark.parametrize(("order", "strategy"), [(1, "only_second"), (-1, "only_first")])
def test_of_a_pair_the_longer_text_moves(order, strategy, tmp_path):
    tokenizer = minilm_tokenizer()
    pair = ("who owns the café", text())[::order]
    a = quick(bert(), tokenizer)(pair, long_texts="windows", stride=9)
    assert a.tokens == (tuple(tokenizer.convert_ids_to_tokens(tokenizer(*pair, verbose=False)["input_ids"])),)
    assert words(a) == " ".join(pair).split()
    assert [w.part for w in a.words[0]] == [0] * len(pair[0].split()) + [1] * len(pair[1].split())
    assert int(a.special.sum()) == 3
    call = encoded(*pair, stride=9, truncation=strategy)
    torch.testing.assert_close(quick(bert(), tokenizer)(call).scores, a.scores, **CLOSE)
    a.save(tmp_path / "pair")
    assert Attribution.load(tmp_path / "pair").texts == a.texts


def test_a_pair_without_room_and_an_overlap_without_end():
    explainer = quick(bert(), minilm_tokenizer())
    with pytest.raises(ValueError, match=r"inputs: of the pair 0, both texts are as long as a window of 64 tokens"):
        explainer((text(), text(seed=1)), long_texts="windows")
    with pytest.raises(ValueError, match=r"stride: expected less than the 62 tokens .* of text 1, got 62"):
        explainer(["short", text()], long_texts="windows", stride=62)
    with pytest.raises(ValueError, match=r"stride: .*pass long_texts=\"windows\" too"):
        explainer(text(), stride=3)


def test_a_slow_tokenizer_and_a_tokenizer_without_a_limit():
    from transformers import BertConfig, BertForSequenceClassification, ByT5Tokenizer

    tokenizer = ByT5Tokenizer()
    assert tokenizer.model_max_length > 10**20
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    model = seeded(BertForSequenceClassification(BertConfig(**sizes, vocab_size=400, max_position_embeddings=32)))
    given = "many words " * 9
    a = quick(model, tokenizer)(given, long_texts="windows", stride=4)
    assert a.tokens == (tuple(tokenizer.convert_ids_to_tokens(tokenizer(given)["input_ids"])),)
    assert a.texts[0].windows == 4
    pair = quick(model, tokenizer)(("question", given), long_texts="windows")
    assert pair.tokens == (tuple(tokenizer.convert_ids_to_tokens(tokenizer("question", given)["input_ids"])),)
    call = tokenizer(given, truncation=True, max_length=32, return_overflowing_tokens=True)
    with pytest.raises(ValueError, match="as overflowing_tokens, not as windows; pass the text itself"):
        quick(model, tokenizer)(call)


def test_positions_of_a_model_that_no_family_knows():
    import transformers as t

    config = {"vocab_size": 30522, "n_embd": 16, "n_layer": 2, "n_head": 2, "num_labels": 3, "pad_token_id": 0}
    decoder = seeded(t.GPT2ForSequenceClassification(t.GPT2Config(**config, n_positions=64)))
    assert most_positions(decoder) == 64
    assert most_positions(torch.nn.Linear(2, 2)) is None
    tokenizer = copy.deepcopy(minilm_tokenizer())
    tokenizer.model_max_length = int(1e30)
    for side in ("left", "right"):
        tokenizer.padding_side = side
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            a = explain(decoder, ["a b", text()], tokenizer, method="layer_ig", layers=[0], long_texts="windows")
        assert [one.windows for one in a.texts] == [1, 3]


def test_ids_that_are_too_long_move_through_windows_too():
    tokenizer, given = minilm_tokenizer(), text()
    wanted = quick(bert(), tokenizer)(given, long_texts="windows", stride=7)
    call = tokenizer([given, "short"], padding=True, return_tensors="pt", verbose=False)
    ids = call["input_ids"][:1]
    for one in (dict(call), call, ids, ids[0], ids[0].tolist(), {"input_ids": ids}):
        a = quick(bert(), tokenizer)(one, long_texts="windows", stride=7)
        torch.testing.assert_close(a.scores[:1], wanted.scores, **CLOSE)
        assert a.tokens[0] == wanted.tokens[0]
    with pytest.raises(ValueError, match=r'the model reads 64; .*long_texts="windows"'):
        quick(bert(), tokenizer)(ids)
    with pytest.raises(ValueError, match=r"inputs: expected attention_mask \[1, 152\]"):
        quick(bert(), tokenizer)({"input_ids": ids, "attention_mask": torch.ones(1, 3)}, long_texts="windows")


def test_literal_special_tokens_are_content_in_windows_as_elsewhere():
    given = f"a [SEP] b [MASK] {text(80)} and [SEP] the end"
    a = quick(bert(), minilm_tokenizer())(given, long_texts="windows")
    assert a.special[0].nonzero().flatten().tolist() == [0, a.scores.shape[1] - 1]
    assert words(a) == given.split()


def test_tokens_that_the_model_adds_stand_once():
    peft = pytest.importorskip("peft")
    tokenizer = copy.deepcopy(minilm_tokenizer())
    tokenizer.model_max_length = 40
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        config = peft.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=3)
        model = peft.get_peft_model(copy.deepcopy(bert()), config).eval()
    a = Explainer(model, tokenizer)(["short", text(60)], long_texts="windows")
    assert a.tokens[1][:4] == ("[before 0]", "[before 1]", "[before 2]", "[CLS]")
    assert a.words[1][0].tokens == (4,)
    assert [len(names) for names in a.tokens] == a.mask.sum(1).tolist()
    torch.testing.assert_close(a.layer_scores.sum(2), a.gap + a.convergence_delta, **CLOSE)


def test_maps_are_refused_and_a_cut_text_names_the_way():
    with pytest.raises(ValueError, match="return_maps: a text of several windows"):
        explain(bert(), text(), minilm_tokenizer(), return_maps=True, long_texts="windows")
    a = explain(bert(), "a short one", minilm_tokenizer(), return_maps=True, long_texts="windows")
    assert a.maps is not None
    with pytest.warns(UserWarning, match=r'the rest is cut \(long_texts="windows" explains all of it'):
        assert explain(bert(), text(), minilm_tokenizer(), method=QUICK).texts[0].truncated
