"""The inputs that a new user has at hand: lists, columns, arrays, encodings, loaders, pictures."""

import warnings

import numpy as np
import pytest
import torch
from helpers.tiny_models import tiny
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from calig_fast import explain
from calig_fast._utils import warn

TEXTS = ["A fine film.", "Not a good film, yet a charming one.", "Dull."]
QUICK = {"method": "gradient_x_input"}


@pytest.fixture
def wanted(explainer):
    return explainer(TEXTS).scores


def test_an_array_of_texts(explainer, wanted):
    for array in (np.array(TEXTS), np.array(TEXTS, dtype=object)):
        assert torch.equal(explainer(array).scores, wanted)


def test_a_column_of_pandas(explainer, wanted):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": TEXTS}, index=[7, 8, 9])
    assert torch.equal(explainer(frame["text"]).scores, wanted)
    with pytest.raises(TypeError, match=r'pass a column of texts, such as table\["text"\]'):
        explainer(frame)


def test_a_generator(explainer, wanted):
    assert torch.equal(explainer(text for text in TEXTS).scores, wanted)


def test_a_data_set_of_texts(explainer, wanted):
    class Texts(torch.utils.data.Dataset):
        def __len__(self):
            return len(TEXTS)

        def __getitem__(self, index):
            return TEXTS[range(len(TEXTS))[index]]

    assert torch.equal(explainer(Texts()).scores, wanted)


def test_a_loader_of_texts(explainer, wanted):
    assert torch.equal(explainer(DataLoader(TEXTS, 2)).scores, wanted)
    assert torch.equal(explainer(DataLoader([(text, 1) for text in TEXTS], 2)).scores, wanted)


def test_a_loader_of_encodings(explainer, tokenizer, wanted):
    def collate(rows):
        return {**tokenizer(list(rows), padding=True, return_tensors="pt"), "labels": torch.zeros(len(rows)).long()}

    torch.testing.assert_close(explainer(DataLoader(TEXTS, 2, collate_fn=collate)).scores, wanted)


def test_a_loader_of_columns_without_names_is_refused(explainer, tokenizer):
    x = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with pytest.raises(TypeError, match=r"batch 0 of the DataLoader has 2 columns beside labels.*collate_fn"):
        explainer(DataLoader(TensorDataset(x["input_ids"], x["attention_mask"], torch.zeros(3)), 2))


def test_encodings_in_every_form(explainer, tokenizer, wanted):
    tensors = tokenizer(TEXTS, padding=True, return_tensors="pt")
    forms = [
        tensors,
        dict(tensors),
        tokenizer(TEXTS, padding=True, return_tensors="np"),
        tokenizer(TEXTS, padding=True),
        {**tensors, "labels": torch.tensor([0, 1, 0])},
        [tokenizer(text) for text in TEXTS],
        [{**tokenizer(text), "labels": 1} for text in TEXTS],
    ]
    for form in forms:
        torch.testing.assert_close(explainer(form).scores, wanted)


def test_stars_before_an_encoding(model, tokenizer):
    with pytest.raises(TypeError, match=r"explain\(model, batch\), not explain\(model, \*\*batch\)"):
        explain(model, **tokenizer(TEXTS[0], return_tensors="pt"))


@pytest.mark.parametrize(("bad", "kind"), [(None, "NoneType"), (float("nan"), "NaN")], ids=["none", "nan"])
def test_the_bad_row_is_named(bad, kind, explainer):
    with pytest.raises(TypeError, match=rf"got {kind} at input \[1\]"):
        explainer([TEXTS[0], bad, TEXTS[2]])


def test_a_tuple_of_two_texts_is_a_pair_and_says_so_once(explainer, monkeypatch):
    monkeypatch.setattr(warn, "_SEEN", set())
    with pytest.warns(UserWarning, match="is one pair.*for two inputs pass a list"):
        assert len(explainer((TEXTS[0], TEXTS[1]))) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(explainer((TEXTS[0], TEXTS[1]))) == 1
        assert len(explainer([TEXTS[0], TEXTS[1]])) == 2
        assert len(explainer([(TEXTS[0], TEXTS[1])])) == 1


def test_a_data_set_of_the_hub(explainer, wanted):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"text": TEXTS})
    assert torch.equal(explainer(rows["text"]).scores, wanted)
    assert torch.equal(explainer(rows[:3]).scores, wanted)


def test_pictures_in_every_form(tmp_path):
    from transformers import ViTImageProcessor

    processor = ViTImageProcessor(size={"height": 16, "width": 16})
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    picture.save(tmp_path / "a.png")
    call = processor(picture, return_tensors="pt")
    wanted = explain(tiny("vit"), picture, processor, **QUICK).scores
    forms = [[picture], pixels, tmp_path / "a.png", str(tmp_path / "a.png"), call, [call], call["pixel_values"]]
    for form in forms:
        torch.testing.assert_close(explain(tiny("vit"), form, processor, **QUICK).scores, wanted)


def test_a_loader_of_pictures():
    pixels = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    wanted = explain(tiny("vit"), pixels, **QUICK).scores
    rows = [{"pixel_values": p, "labels": 1} for p in pixels]
    for given in (DataLoader(TensorDataset(pixels, torch.zeros(3)), 2), DataLoader(rows, 2), rows):
        torch.testing.assert_close(explain(tiny("vit"), given, **QUICK).scores, wanted)
