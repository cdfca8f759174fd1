"""Text in every form it is passed in: tokens, words that slice the text, special tokens, and what was cut off."""

import itertools
import random
import warnings
from functools import cache

import pytest
import torch
from helpers.real_models import minilm_tokenizer, minilm_topics, seeded
from helpers.text_models import QUICK, bert, quick, same, words
from helpers.tiny_models import ids, tiny

from calig_fast import Attribution, Explainer, explain

CORPUS = [
    "The café's owner didn't expect 25,000 visitors in a week!",
    "Überraschung: naïve models are models of the world, not the world.",
    "emoji 🎉 and family 👨‍👩‍👧 and שלום עולם and مرحبا بالعالم and 漢字",
    "state-of-the-art e-mail (sic) costs $3.50 or 4 €",
] * 3
TEXTS = [
    "Shares in unbelievably large chipmakers climbed.",
    "It's a state-of-the-art U.S. e-mail, isn't it? (Yes!)",
    "  leading,  double   spaces\n\nand\tnewlines  ",
    "CAFÉ naïve Überraschung résumé",
    "cafe\u0301 with a combining mark, e\u0301te\u0301",
    "שלום עולם and مرحبا بالعالم",
    "party 🎉🎉 family 👨‍👩‍👧 end",
    "漢字 mixed with words",
    "\ufb01ne ligature, \uff46\uff55\uff4c\uff4cwidth and ½",
    "zero\u200bwidth and soft\u00adhyphen and no\u00a0break",
    "x",
]


@cache
def roberta():
    from transformers import RobertaConfig, RobertaForSequenceClassification

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    config = RobertaConfig(**sizes, vocab_size=900, max_position_embeddings=130, num_labels=3, pad_token_id=1)
    return seeded(RobertaForSequenceClassification(config))


def wrapped(tokenizer, **options):
    from transformers import PreTrainedTokenizerFast

    names = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "pad_token": "<pad>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", mask_token="<mask>", model_max_length=128, **names, **options
    )


SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


@cache
def bytes_tokenizer(trim=True):
    """As RoBERTa's: byte-level BPE, a space belonging to the word after it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet)
    )
    made.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=trim, add_prefix_space=False
    )
    return wrapped(made)


@cache
def pieces_tokenizer():
    """As XLM-R's: unigram pieces, a mark at the start of each word, text normalised before."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence([normalizers.NFKC()])
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    made.decoder = decoders.Metaspace()
    made.train_from_iterator(CORPUS, trainers.UnigramTrainer(vocab_size=300, special_tokens=SPECIAL, unk_token="<unk>"))
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return wrapped(made)


def readers():
    return {
        "wordpiece": quick(bert(), minilm_tokenizer()),
        "byte-level": quick(roberta(), bytes_tokenizer()),
        "byte-level, spaces kept": quick(roberta(), bytes_tokenizer(trim=False)),
        "unigram": quick(roberta(), pieces_tokenizer()),
    }


READERS = ("wordpiece", "byte-level", "byte-level, spaces kept", "unigram")


def test_every_form_of_the_same_text_gives_the_same_scores():
    tokenizer, text = minilm_tokenizer(), "Shares climbed unbelievably."
    # an Explainer learns from call to call, so the adaptive rule would not take the same nodes
    nodes = {"quadrature": "corrected_trapezoid", "n_steps": 4}
    explainer = Explainer(bert(), tokenizer, **nodes)
    wanted = explainer(text)
    assert words(wanted) == ["Shares", "climbed", "unbelievably", "."]
    kept = tokenizer(text, return_tensors="pt")
    forms = {
        "a list of one": explainer([text]),
        "processor=": explain(bert(), text, processor=tokenizer, **nodes),
        "an encoding alone": explain(bert(), kept, **nodes),
        "an encoding of lists": explain(bert(), tokenizer(text), **nodes),
        "a dict of tensors": explainer(dict(kept)),
        "ids [B,T]": explainer(kept["input_ids"]),
        "ids [T]": explainer(kept["input_ids"][0]),
        "a dict without a tokenizer": explain(bert(), dict(kept), **nodes),
    }
    for name, found in forms.items():
        same(found, wanted)
        assert found.special.tolist() == wanted.special.tolist(), name
    lower = ["shares", "climbed", "unbelievably", "."]
    for name in ("an encoding alone", "an encoding of lists", "a dict of tensors", "ids [B,T]", "ids [T]"):
        assert words(forms[name]) == lower, name
        assert [(w.start, w.end) for w in forms[name].words[0]] == [(-1, -1)] * 4, name
        assert forms[name].texts[0].text is None
    assert words(forms["a dict without a tokenizer"])[0] == f"#{int(kept['input_ids'][0, 1])}"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", TEXTS)
def test_words_slice_the_text_in_order_and_leave_no_token_out(reader, text):
    a = readers()[reader](text)
    found = a.words[0]
    assert found
    last = 0
    for word in found:
        assert text[word.start : word.end] == word.text
        assert word.text
        assert last <= word.start < word.end
        last = word.end
        if word.text.strip():
            assert word.text == word.text.lstrip()
    taken = [t for word in found for t in word.tokens]
    assert taken == sorted(set(taken))
    assert set(taken) == set((a.mask[0] & ~a.special[0]).nonzero().flatten().tolist())
    assert sum(score for _, score in a.word_scores()) == pytest.approx(
        float(a.scores[0][~a.special[0]].sum()), rel=1e-4, abs=1e-6
    )
    read = "".join(w.text for w in found).split()
    invisible = {"\u200b", "\u00ad"}
    assert [c for c in "".join(read) if c not in invisible] == [
        c for c in "".join(text.split()) if c not in invisible
    ], "every visible character belongs to a word"


def test_words_are_whole():
    for name, explainer in readers().items():
        a = explainer("The café costs 25 unbelievably large euros")
        assert words(a) == ["The", "café", "costs", "25", "unbelievably", "large", "euros"], name
        longest = max(a.words[0], key=lambda w: len(w.tokens))
        assert len(longest.tokens) > 1, name


def test_a_text_in_a_batch_reads_as_it_does_alone():
    for explainer in readers().values():
        together = explainer(TEXTS)
        assert len(together) == len(TEXTS)
        for b, text in enumerate(TEXTS):
            alone = explainer(text)
            assert together.texts[b] == alone.texts[0]
            n = alone.scores.shape[1]
            torch.testing.assert_close(together.scores[b, :n], alone.scores[0], rtol=1e-3, atol=1e-5)


def test_left_padding_moves_the_words_with_their_tokens():
    tokenizer = bytes_tokenizer()
    explainer = quick(roberta(), tokenizer)
    batch = ["The café", "The owner of the café didn't expect it"]
    right = explainer(batch)
    tokenizer.padding_side = "left"
    try:
        encoding, again = tokenizer(batch, return_tensors="pt", padding=True), explainer(batch)
    finally:
        tokenizer.padding_side = "right"
    same(again, right)  # the class token's row would be padding: texts are padded on the right
    with pytest.warns(UserWarning, match="input 0 padded on the left"):
        left = explainer(encoding)
    shift = int((~left.mask[0]).sum())
    assert shift > 2
    assert left.tokens == right.tokens
    assert words(right) == ["The", "café"]
    assert words(left) == ["The", "café"]
    for a, b in zip(left.words[0], right.words[0], strict=True):
        assert a.tokens == tuple(t + shift for t in b.tokens)
    assert not left.special[0, :shift].any()
    assert left.special[0].nonzero().flatten().tolist() == [shift, left.scores.shape[1] - 1]


@pytest.mark.parametrize("reader", READERS)
def test_a_pair_names_the_words_of_both_texts(reader, tmp_path):
    explainer = readers()[reader]
    a = explainer(("The café costs", "naïve Überraschung"))
    assert words(a) == ["The", "café", "costs", "naïve", "Überraschung"]
    assert {(w.start, w.end) for w in a.words[0]} == {(-1, -1)}
    assert a.texts[0].text is None
    assert [w.part for w in a.words[0]] == [0, 0, 0, 1, 1]
    a.save(tmp_path / "pair")
    assert Attribution.load(tmp_path / "pair").words == a.words
    both = explainer([("The café costs", "naïve Überraschung"), ["The", "owner of the café"]])
    assert both.texts[0] == a.texts[0]
    assert words(both, 1) == ["The", "owner", "of", "the", "café"]
    separators = 3 if reader == "wordpiece" else 4
    assert both.special.sum(1).tolist() == [separators, separators]


def test_a_pair_reads_its_segments():
    tokenizer = minilm_tokenizer()
    pair = ("the coach", "the team")
    call = tokenizer(*pair, return_tensors="pt")
    assert call["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1, 1]]
    same(quick(bert(), tokenizer)(pair), quick(bert(), tokenizer)(call))


def test_texts_and_pairs_do_not_mix():
    explainer = quick(bert(), minilm_tokenizer())
    for mixed in (["hello there", ("a", "pair")], [("a", "pair"), "hello there"]):
        with pytest.raises(TypeError, match="pairs"):
            explainer(mixed)


def test_literal_special_tokens_in_a_text_are_content():
    tokenizer = minilm_tokenizer()
    text = "a literal [MASK] and [UNK] and [SEP] here"
    a = quick(bert(), tokenizer)(text)
    n = a.scores.shape[1]
    assert a.special[0].nonzero().flatten().tolist() == [0, n - 1]
    assert words(a) == text.split()
    # without what the tokenizer kept, the unknown and the mask token stay content, a separator cannot
    b = quick(bert(), tokenizer)(tokenizer(text, return_tensors="pt")["input_ids"])
    assert b.special[0].nonzero().flatten().tolist() == [0, a.tokens[0].index("[SEP]"), n - 1]


def test_ids_alone_take_their_first_and_last_token_for_special():
    call = ids(8, 6)
    middle = call["input_ids"].clone()
    middle[0, 4] = 2  # a separator between a pair
    a = explain(tiny("bert"), {**call, "input_ids": middle}, method=QUICK)
    assert a.special[0].nonzero().flatten().tolist() == [0, 4, 7]
    assert a.special[1].nonzero().flatten().tolist() == [0, 5]
    short = explain(tiny("bert"), torch.tensor([[7, 9]]), method=QUICK)
    assert not short.special.any()


def test_the_callers_own_special_tokens_mask_is_honoured():
    tokenizer = minilm_tokenizer()
    call = tokenizer(["one two three", "four"], return_tensors="pt", padding=True, return_special_tokens_mask=True)
    told = call["special_tokens_mask"]
    a = quick(bert(), tokenizer)(call)
    assert a.special.tolist() == ((told == 1) & (call["attention_mask"] == 1)).tolist()
    told[0, 2] = 1
    b = quick(bert(), tokenizer)({**call, "special_tokens_mask": told.tolist()})
    assert b.special[0].nonzero().flatten().tolist() == [0, 2, 4]
    assert words(b) == ["one", "three"]


def test_a_special_tokens_mask_of_another_shape():
    for wrong in (torch.zeros(1, 3), torch.zeros(2, 6), [0] * 5):
        with pytest.raises(ValueError, match=r"expected special_tokens_mask \[1, 6\]"):
            explain(tiny("bert"), {**ids(6), "special_tokens_mask": wrong})
    told = [0, 1, 0, 0, 0, 0]
    assert explain(tiny("bert"), {**ids(6), "special_tokens_mask": told}, method=QUICK).special.tolist() == [
        [bool(i) for i in told]
    ]


def test_an_encoding_whose_ids_were_edited_is_read_by_its_ids():
    tokenizer = minilm_tokenizer()
    call = tokenizer("the dog barked", return_tensors="pt")
    call["input_ids"] = call["input_ids"].clone()
    call["input_ids"][0, 2] = tokenizer.convert_tokens_to_ids("cat")
    assert words(explain(bert(), call, processor=tokenizer, method=QUICK)) == ["the", "cat", "barked"]
    shorter = tokenizer("the dog barked", return_tensors="pt")
    for name in list(shorter):
        shorter[name] = shorter[name][:, :4]
    a = explain(bert(), shorter, processor=tokenizer, method=QUICK)
    assert a.tokens == (("[CLS]", "the", "dog", "barked"),)
    assert a.special.tolist() == [[True, False, False, False]]


@pytest.mark.parametrize("tokenizer", [bytes_tokenizer, pieces_tokenizer])
def test_words_of_ids_are_written_as_text(tokenizer):
    call = tokenizer()("The café costs Überraschung", return_tensors="pt")
    a = quick(roberta(), tokenizer())({"input_ids": call["input_ids"]})
    assert words(a) == ["The", "café", "costs", "Überraschung"]


def test_a_long_text_is_cut_and_says_so():
    explainer = quick(bert(), minilm_tokenizer())
    text = "word " * 100
    with pytest.warns(UserWarning, match=r"reads 64 tokens and input 1 has 102 tokens"):
        a = explainer(["a short one", text])
    assert [t.truncated for t in a.texts] == [0, 38]
    assert a.scores.shape == (2, 64)
    assert a.special[1].nonzero().flatten().tolist() == [0, 63]
    assert a.words[1][-1].end == text.index("word", a.words[1][-1].start) + 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exact = explainer("word " * 62)
    assert exact.scores.shape == (1, 64)
    assert exact.texts[0].truncated == 0


def test_a_long_pair_is_cut():
    explainer = quick(bert(), minilm_tokenizer())
    with pytest.warns(UserWarning, match="input 0 has 103 tokens"):
        a = explainer(("one " * 50, "two " * 50))
    assert a.texts[0].truncated == 39
    assert a.scores.shape == (1, 64)
    assert a.special.sum() == 3


def test_the_tokenizers_own_limit_counts_too():
    tokenizer = minilm_tokenizer()
    longest, tokenizer.model_max_length = tokenizer.model_max_length, 10
    try:
        with pytest.warns(UserWarning, match="reads 10 tokens"):
            a = quick(bert(), tokenizer)("word " * 20)
    finally:
        tokenizer.model_max_length = longest
    assert a.texts[0].truncated == 12


def test_a_model_from_a_folder_brings_its_tokenizer(tmp_path):
    from transformers import AutoModelForSequenceClassification

    bert().save_pretrained(tmp_path)
    minilm_tokenizer().save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    text = "The café costs 25 euros"
    same(explain(loaded, text), explain(bert(), text, processor=minilm_tokenizer()))


def test_a_folder_without_a_tokenizer_gives_none(tmp_path):
    from transformers import AutoModelForSequenceClassification

    bert().save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    with pytest.raises(TypeError, match="text needs a tokenizer"):
        explain(loaded, "some text")
    a = explain(loaded, ids(6), method=QUICK)
    assert a.tokens[0][0].startswith("#")


def test_a_real_decision_rests_on_words_of_its_topic():
    text = "The striker scored twice and the team won the cup final."
    a = explain(minilm_topics(), text, processor=minilm_tokenizer())
    assert a.label() == "sports"
    assert a.converged.all()
    top = sorted(a.word_scores(), key=lambda pair: -pair[1])[:4]
    assert {word for word, _ in top} & {"striker", "scored", "team", "cup", "final"}
    assert sum(score for _, score in a.word_scores(layer=0)) == pytest.approx(float(a.gap[0, 0]), rel=0.02)


def test_random_texts_keep_their_places():
    draw = random.Random(0)
    letters = "abcé ÜÑ  \n\t.,!?'-_🎉漢שם\u0301\u200d\u00a0\ufb01"
    texts = ["a" + "".join(draw.choices(letters, k=draw.randint(1, 20))) for _ in range(40)]
    for explainer in readers().values():
        a = explainer(texts)
        for text, found in zip(texts, a.words, strict=True):
            assert all(text[w.start : w.end] == w.text != "" for w in found)
            assert all(x.end <= y.start for x, y in itertools.pairwise(found))


@pytest.mark.parametrize("row", [[7, 7, 7, 7], [5, 9, 9, 5, 5, 9], [0, 0, 0]])
def test_ids_that_all_equal_the_first_or_the_last_are_content_between_them(row):
    a = explain(tiny("bert"), torch.tensor([row]), baselines=3, method="layer_ig")
    assert a.special.tolist() == [[True, *[False] * (len(row) - 2), True]]
    assert a.converged.all()


def test_vowel_signs_stay_with_their_word():
    from calig_fast.inputs.text import _places

    text = "यह है"  # the vowel sign at the end has the combining class 0
    assert _places(text, [(0, 2), (3, 4)]) == [(0, 2), (3, 5)]
