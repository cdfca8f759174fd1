"""Windows that a tokenizer made, put together by their places in the text, or by their ids alone."""

import copy

import pytest
import torch
from helpers.long_texts import CLOSE, encoded, text
from helpers.real_models import minilm_tokenizer
from helpers.text_models import bert, quick, words
from helpers.tiny_models import ids


def explainer():
    return quick(bert(), minilm_tokenizer())


def forms(call, stride):
    """The same windows as they are passed, with less and less of what the tokenizer kept."""
    bare = {name: call[name] for name in ("input_ids", "attention_mask", "overflow_to_sample_mapping")}
    lists = {name: value.tolist() for name, value in bare.items()}
    rows = [{name: call[name][i] for name in bare} for i in range(len(call["input_ids"]))]
    plain = [{name: value[i] for name, value in lists.items()} for i in range(len(call["input_ids"]))]
    return [
        (call, {}),
        (call, {"stride": stride}),
        (dict(call), {}),
        (bare, {"stride": stride}),
        (lists, {"stride": stride}),
        (rows, {"stride": stride}),
        (plain, {"stride": stride}),
    ]


@pytest.mark.parametrize("stride", [0, 2, 20])
def test_windows_in_every_form_are_one_text(stride):
    given = [text(), "short", text(70, seed=1)]
    wanted = explainer()(given, long_texts="windows", stride=stride)
    call = encoded(given, stride=stride, return_offsets_mapping=True)
    for form, options in forms(call, stride):
        a = explainer()(form, **options)
        assert a.tokens == wanted.tokens
        assert [words(a, b) for b in range(3)] == [one.split() for one in given]
        assert [t.windows for t in a.texts] == [t.windows for t in wanted.texts]
        assert torch.equal(a.special, wanted.special)
        torch.testing.assert_close(a.scores, wanted.scores, **CLOSE)
        assert a.settings.windows == {"tokens": 64, "stride": stride}
        assert a.source is None


def test_ids_alone_tell_the_overlap_where_it_is_certain():
    given = text()
    for stride in (0, 2, 20):
        call = dict(encoded(given, stride=stride))
        assert explainer()(call).settings.windows == {"tokens": 64, "stride": stride}
    periodic = encoded("one two " * 60, stride=4)
    wanted = explainer()("one two " * 60, long_texts="windows", stride=4)
    assert explainer()(periodic).tokens == wanted.tokens
    with pytest.raises(ValueError, match=r"overlap of the windows cannot be told .*\[0, 2, 4"):
        explainer()(dict(periodic))
    assert explainer()(dict(periodic), stride=4).tokens == wanted.tokens
    single = dict(encoded(text(100), stride=1))  # one token that repeats may do so by chance
    with pytest.raises(ValueError, match=r"may be \[0, 1\] tokens"):
        explainer()(single)
    assert explainer()(single, stride=1).tokens == explainer()(text(100), long_texts="windows").tokens


def test_a_stride_that_is_not_the_windows():
    call = encoded(text(), stride=5)
    with pytest.raises(ValueError, match="stride: the windows do not share 6 tokens"):
        explainer()(dict(call), stride=6)
    with pytest.raises(ValueError, match=r"stride: the windows share \[5\] tokens, got 6"):
        explainer()(call, stride=6)


@pytest.mark.parametrize("order", [1, -1])
def test_the_text_that_stays_stands_once(order):
    pair = ("who owns the cafe", text())[::order]
    call = encoded(*pair, stride=9, truncation="only_second" if order > 0 else "only_first")
    for form, options in forms(call, 9):
        a = explainer()(form, **options)
        assert words(a) == " ".join(pair).split()
        assert int(a.special.sum()) == 3


def test_both_texts_of_a_pair_may_move():
    pair = (text(60), text(60, seed=1))
    call = encoded(*pair, stride=4)
    a = explainer()(call)
    assert words(a) == " ".join(pair).split()
    assert a.texts[0].windows == len(call["input_ids"]) > 4
    with pytest.raises(ValueError, match=r"both texts move|of different lengths"):
        explainer()(dict(call))
    del call["overflow_to_sample_mapping"]
    assert len(explainer()(call)) == a.texts[0].windows


def test_windows_in_any_order_and_from_several_calls():
    given = [text(), "short", text(70, seed=1)]
    wanted = explainer()(given, long_texts="windows", stride=6)
    calls = [encoded(one, stride=6) for one in given]
    a = explainer()(calls)  # every mapping counts from 0
    assert a.tokens == wanted.tokens
    torch.testing.assert_close(a.scores, wanted.scores, **CLOSE)
    call = encoded(given, stride=6, return_offsets_mapping=True)
    order = torch.tensor([5, 2, 0, 3, 1, 4])[: len(call["input_ids"])]
    moved = explainer()({name: value[order] for name, value in call.items()})
    first = list(dict.fromkeys(call["overflow_to_sample_mapping"][order].tolist()))
    assert moved.tokens == tuple(wanted.tokens[i] for i in first)
    torch.testing.assert_close(moved.scores, wanted.scores[first], **CLOSE)


def test_left_truncation_and_left_padding():
    tokenizer = copy.deepcopy(minilm_tokenizer())
    tokenizer.truncation_side, tokenizer.padding_side = "left", "left"
    given = text()
    call = encoded(given, stride=6, tokenizer=tokenizer)
    for form, options in ((call, {}), (dict(call), {"stride": 6})):
        with pytest.warns(UserWarning, match="padded on the left"):
            a = quick(copy.deepcopy(bert()), tokenizer)(form, **options)
        assert words(a) == given.split()
        assert a.mask.all()


def test_words_that_came_apart():
    given = text().split()
    call = encoded(given, stride=6, is_split_into_words=True, return_offsets_mapping=True)
    for form, options in ((call, {}), (dict(call), {}), (dict(call), {"stride": 6})):
        assert words(explainer()(form, **options)) == given


def test_features_have_places_too():
    values = torch.randn(3, 10, 16, generator=torch.Generator().manual_seed(0))
    values[1, :4] = values[0, 6:]
    call = {"inputs_embeds": values, "overflow_to_sample_mapping": [7, 7, 2]}
    a = explainer()(call)
    assert [len(t.tokens) for t in a.texts] == [16, 10]
    assert a.tokens[0][-1] == "[15]"


def test_a_mapping_that_does_not_fit():
    call = ids(6, 6, 6)
    for wrong in ([0, 0], [0.5, 0.5, 1.0], [True, True, False], ["a", "a", "b"], 3):
        with pytest.raises(ValueError, match=r"inputs: .*overflow_to_sample_mapping"):
            explainer()({**call, "overflow_to_sample_mapping": wrong})
    for alone in ([0, 1, 2], None, torch.tensor([4, 2, 9])):
        assert len(explainer()({**call, "overflow_to_sample_mapping": alone})) == 3
    apart = {"special_tokens_mask": [[1, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 1]]}
    with pytest.raises(ValueError, match="of text 0 have not the same special tokens"):
        explainer()({**call, **apart, "overflow_to_sample_mapping": [0, 0, 1]})
