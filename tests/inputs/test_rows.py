"""Containers: every habit of passing several inputs gives what a list of texts, or one encoding of them, gives."""

import itertools

import numpy as np
import pytest
import torch
from helpers.real_models import minilm_tokenizer, seeded
from helpers.tiny_models import SIZES, ids, tiny
from torch.utils.data import DataLoader, Dataset

from calig_fast import Explainer, explain
from calig_fast.inputs import rows

TEXTS = ["Shares climbed.", "Not a good film, yet a charming one."]
PAIRS = [("The hall was empty.", "Nobody came."), ("One.", "Two or three.")]
QUICK = {"method": "gradient_x_input"}
ENDLESS = []
ENDLESS.append(ENDLESS)


@pytest.fixture(scope="module")
def explainer():
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = minilm_tokenizer()
    config = BertConfig(**{**SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": 64})
    return Explainer(seeded(BertForSequenceClassification(config), seed=3), tokenizer, **QUICK)


def same(a, b, words=True):
    torch.testing.assert_close(a.scores, b.scores)
    torch.testing.assert_close(a.logits, b.logits)
    assert a.mask.tolist() == b.mask.tolist()
    assert a.special.tolist() == b.special.tolist()
    if words:
        assert a.tokens == b.tokens
        assert [[w.tokens for w in one] for one in a.words] == [[w.tokens for w in one] for one in b.words]


class Rows(Dataset):
    """A data set that has no end of its own but its length."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


class Series:
    """A column: values to go through, an index that is no place."""

    def __init__(self, values):
        self.values = values

    def __iter__(self):
        return iter(self.values)


CONTAINERS = {
    "list": list,
    "iterator": iter,
    "generator": lambda texts: (text for text in texts),
    "array of str": np.array,
    "array of objects": lambda texts: np.array(texts, dtype=object),
    "numpy str": lambda texts: [np.str_(text) for text in texts],
    "column": Series,
    "data set": Rows,
    "data loader": lambda texts: itertools.chain.from_iterable(DataLoader(Rows(texts), batch_size=1)),
    "values of a dict": lambda texts: dict(enumerate(texts)).values(),
    "as a pipeline names them": lambda texts: [{"text": text} for text in texts],
    "a slice of a data set": lambda texts: {"text": texts, "label": [0, 1]},
    "batches of texts": lambda texts: DataLoader(Rows([{"text": text, "label": 1} for text in texts]), batch_size=2),
    "rows with labels": lambda texts: Rows([{"text": text, "label": 1} for text in texts]),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_container_of_texts(kind, explainer):
    same(explainer(CONTAINERS[kind](TEXTS)), explainer(TEXTS))


def test_pandas_and_datasets_columns(explainer):
    pandas = pytest.importorskip("pandas")
    same(explainer(pandas.Series(TEXTS, index=[7, 3])), explainer(TEXTS))
    with pytest.raises(TypeError, match="a table"):
        explainer(pandas.DataFrame({"text": TEXTS}))


def test_pairs_in_every_container(explainer):
    wanted = explainer(PAIRS)
    for given in (iter(PAIRS), [list(p) for p in PAIRS], [{"text": a, "text_pair": b} for a, b in PAIRS]):
        same(explainer(given), wanted)
    same(explainer({"text": [a for a, _ in PAIRS], "text_pair": [b for _, b in PAIRS]}), wanted)
    same(explainer({"text": PAIRS[0][0], "text_pair": PAIRS[0][1]}), explainer(PAIRS[0]))
    # an array of two texts is two texts, a tuple of two is a pair
    assert len(explainer(np.array(PAIRS[0]))) == 2
    assert len(explainer(PAIRS[0])) == 1


def test_every_form_of_several_encodings(explainer):
    tokenizer, wanted = explainer.processor, explainer(TEXTS)
    batch = tokenizer(TEXTS, return_tensors="pt", padding=True)
    labelled = Rows([tokenizer(text) | {"labels": 1} for text in TEXTS])
    loader = DataLoader(labelled, batch_size=2, collate_fn=tokenizer.pad)
    forms = {
        "encodings": [tokenizer(text) for text in TEXTS],
        "encodings of tensors": [tokenizer(text, return_tensors="pt") for text in TEXTS],
        "dicts": [dict(tokenizer(text)) for text in TEXTS],
        "ids alone": [{"input_ids": tokenizer(text)["input_ids"]} for text in TEXTS],
        "lists of ids": [tokenizer(text)["input_ids"] for text in TEXTS],
        "tensors of ids": [torch.tensor(tokenizer(text)["input_ids"]) for text in TEXTS],
        "arrays of ids": [np.array(tokenizer(text)["input_ids"]) for text in TEXTS],
        "a batch of lists": tokenizer(TEXTS, padding=True),
        "a batch of arrays": tokenizer(TEXTS, padding=True, return_tensors="np"),
        "batches": [{name: value[i : i + 1] for name, value in batch.items()} for i in range(2)],
        "a data set": Rows([tokenizer(text) | {"text": text, "label": 0} for text in TEXTS]),
    }
    for given in forms.values():
        same(explainer(given), wanted)
    for given in (loader, next(iter(DataLoader(Rows([dict(b) for b in [batch]]), batch_size=None)))):
        same(explainer(given), wanted)
    same(explainer(tokenizer(TEXTS[0])["input_ids"]), explainer(TEXTS[0]))


def test_words_of_encodings_without_a_tokenizer(explainer):
    tokenizer = explainer.processor
    a = explain(explainer.model, [tokenizer(text) for text in TEXTS], **QUICK)
    assert a.tokens == explainer(TEXTS).tokens
    pair = explain(explainer.model, [tokenizer(*pair) for pair in PAIRS], **QUICK)
    assert pair.special.tolist() == explainer(PAIRS).special.tolist()


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ([*TEXTS, None], TypeError, r"NoneType at input \[2\]"),
        ([TEXTS[0], float("nan"), 3], TypeError, r"NaN, int at input \[1, 2\]"),
        (np.array([TEXTS[0], None], dtype=object), TypeError, r"NoneType at input \[1\]"),
        (["", TEXTS[0], " \n"], ValueError, r"input \[0, 2\] is empty"),
        ([("a", "b", "c")], TypeError, "tuple at input"),
        ([(TEXTS[0], 1)], TypeError, "tuple at input"),
        ([TEXTS[0], b"bytes"], TypeError, r"bytes at input \[1\]"),
        (iter([]), ValueError, "the batch is empty"),
        (b"bytes", TypeError, "got bytes"),
        ({"a text", "another"}, TypeError, "got set"),
        (None, TypeError, "nothing was passed"),
        (3.5, TypeError, "got float"),
        (object(), TypeError, "got object"),
        ([{"input_ids": [1, 5, 2]}, TEXTS[0]], TypeError, "dict at input"),
        ([{"text": TEXTS[0]}, {"input_ids": [1, 5, 2]}], TypeError, "texts or encodings"),
        ([{"input_ids": [1, 5, 2]}, {"input_ids": [1, 2], "attention_mask": [1, 1]}], ValueError, "the same names"),
        ([torch.randn(3, 4), torch.randn(5, 4)], ValueError, "different shapes"),
        ({"text": ["a"], "text_pair": ["b", "c"]}, ValueError, "as many of text_pair"),
        (ENDLESS, TypeError, "list at input"),
        (range(10**12), ValueError, "more than 100000 inputs"),
        ([True, False], TypeError, r"bool at input \[0, 1\]"),
    ],
)
def test_what_is_no_input_is_named_by_its_index(given, error, words, explainer):
    with pytest.raises(error, match=words):
        explainer(given)


def test_an_iterator_without_an_end(monkeypatch, explainer):
    monkeypatch.setattr(rows, "MOST", 50)
    with pytest.raises(ValueError, match="more than 50 inputs"):
        explainer(itertools.repeat("a text"))


def test_rows_are_padded_with_the_models_own_id():
    batch = ids(7, 4)
    each = [{name: value[b, : 7 - 3 * b].tolist() for name, value in batch.items()} for b in range(2)]
    same(explain(tiny("bert"), each, **QUICK), explain(tiny("bert"), batch, **QUICK))
    same(explain(tiny("roberta"), each, **QUICK), explain(tiny("roberta"), batch, **QUICK))
