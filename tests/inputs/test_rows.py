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


def nested(layout):
    return torch.nested.nested_tensor([torch.ones(3), torch.ones(5)], layout=layout)


STRANGE = {
    "nested": nested(torch.strided),
    "jagged": nested(torch.jagged),
    "sparse": torch.eye(3).to_sparse(),
    "csr": torch.eye(3).to_sparse_csr(),
    "quantised": torch.quantize_per_tensor(torch.ones(2, 3), 0.1, 0, torch.quint8),
    "complex": torch.ones(2, 3, dtype=torch.complex64),
    "float8": torch.ones(2, 3).to(torch.float8_e4m3fn),
}


@pytest.mark.parametrize("value", STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize("within", [lambda v: v, lambda v: [v], lambda v: {"input_ids": v}, lambda v: {"x": v}])
@pytest.mark.parametrize("kind", ["bert", "vit"])
def test_tensors_of_rare_kinds_are_refused_wherever_they_stand(kind, within, value):
    with pytest.raises((TypeError, ValueError), match=r"inputs: .*(expected a dense one|takes no 'x'|needs \['pixel)"):
        explain(tiny(kind), within(value), **QUICK)


@pytest.mark.parametrize("name", ["reversed", "big endian", "uint16", "uint64", "unmasked", "rows"])
def test_arrays_in_every_layout_of_memory_are_ids(name):
    table = ids(6)["input_ids"].numpy()
    given = {
        "reversed": table[:, ::-1].copy()[:, ::-1],
        "big endian": table.astype(">i8"),
        "uint16": table.astype(np.uint16),
        "uint64": torch.tensor(table).to(torch.uint64),
        "unmasked": np.ma.masked_array(table, mask=False),
        "rows": [table[0].astype(">i4")],
    }[name]
    same(explain(tiny("bert"), given, **QUICK), explain(tiny("bert"), torch.tensor(table), **QUICK))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.ma.masked_array([[1, 2]], mask=[[True, False]]), "values of the array are masked"),
        (np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), "expected ints, bools, floats or texts"),
        (np.array(["2020-01-01"], dtype="datetime64"), "expected ints, bools, floats or texts"),
        ({1: torch.ones(1, 3)}, "a mapping of arguments by their names, got the name 1"),
        ([{None: [1, 2]}], "got the name None"),
        ([[10**400]], "inputs: expected ids"),
    ],
)
def test_arrays_and_names_that_no_model_takes(given, words, explainer):
    with pytest.raises((TypeError, ValueError), match=words):
        explainer(given)


def failing():
    yield "a text"
    raise KeyError("of the caller's own")


class Failing:
    def __len__(self):
        return 3

    def __getitem__(self, index):
        raise RuntimeError("of the caller's own")


@pytest.mark.parametrize(("given", "after"), [(failing(), 1), (Failing(), 0)])
def test_containers_that_fail_are_named(given, after, explainer):
    with pytest.raises(ValueError, match=f"inputs: reading them from a .* fails after {after}, with .*own"):
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
