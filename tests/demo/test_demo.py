"""The demos load without a network, decide as well as stated, and say what is missing."""

from functools import cache
from importlib.util import find_spec

import pytest
import torch

from calig_fast import demo
from calig_fast.demo import MissingPackageError, sentiment, topics, weights

MEASURED = {"topics": (300, 128), "sentiment": (400, 64)}  # a demo and its held-out texts


@cache
def loaded(name, count=4):
    try:
        return demo.load(name, count)
    except MissingPackageError as error:
        pytest.skip(str(error))


@torch.inference_mode()
def logits(d, length=128):
    inputs = [sample.input for sample in d.samples]
    if d.name == "fashion":
        return d.model(**d.processor(inputs, return_tensors="pt")).logits
    x = d.processor(inputs, truncation=True, max_length=length, padding=True, return_tensors="pt")
    return d.model(**x).logits


def chunks(d, size):
    for begin in range(0, len(d.samples), size):
        yield demo.Demo(d.name, d.model, d.processor, d.samples[begin : begin + size], d.labels)


def share_right(d, length=128):
    scores = torch.cat([logits(part, length) for part in chunks(d, 20)])
    return (scores.argmax(dim=-1) == torch.tensor([s.label for s in d.samples])).float().mean().item()


@pytest.mark.parametrize("name", demo.NAMES)
def test_a_demo_is_a_float32_classifier_in_eval_mode_with_its_labels(name):
    d = loaded(name)
    assert d.name == name
    assert len(d.samples) == 4
    assert not d.model.training
    assert {p.dtype for p in d.model.parameters()} == {torch.float32}
    assert tuple(d.model.config.id2label[i] for i in range(len(d.labels))) == d.labels
    assert logits(d).shape == (4, len(d.labels))
    assert len({s.label for s in d.samples}) == min(4, len(d.labels))


@pytest.mark.parametrize("name", MEASURED)
def test_held_out_texts_are_decided_as_well_as_stated(name):
    count, length = MEASURED[name]
    stated = weights.metadata(name)
    key = "accuracy_128" if name == "topics" else "accuracy"
    assert share_right(loaded(name, count), length) >= float(stated[key]) - 0.04


def test_shipped_images_are_decided_as_well_as_stated():
    d = loaded("fashion", 120)
    assert [sum(s.label == c for s in d.samples) for c in range(10)] == [12] * 10
    assert {s.input.size for s in d.samples} == {(28, 28)}
    assert share_right(d) >= float(weights.metadata("fashion")["accuracy"]) - 0.06


@pytest.mark.parametrize("name", demo.NAMES)
def test_loading_twice_gives_the_same_logits(name):
    again = demo.load(name) if loaded(name) else None
    assert [s.label for s in again.samples] == [s.label for s in loaded(name).samples]
    assert torch.equal(logits(again), logits(loaded(name)))


@pytest.mark.parametrize("part", [topics, sentiment])
def test_no_held_out_text_was_trained_on(part):
    try:
        train, test = part.split()
    except MissingPackageError as error:
        pytest.skip(str(error))
    assert len(test) > 400
    assert not {s.input.lower() for s in train} & {s.input.lower() for s in test}


def test_an_unknown_name_lists_the_names():
    with pytest.raises(ValueError, match=r"tiny, topics, sentiment, fashion; got 'cats'"):
        demo.load("cats")


@pytest.mark.parametrize("count", [0, 121])
def test_a_count_beyond_the_samples_says_how_many_there_are(count):
    with pytest.raises(ValueError, match=rf"1 to 120, .* got {count}"):
        demo.load("fashion", count)


def test_the_tiny_model_is_as_good_as_stated_on_texts_of_the_split():
    try:
        test = sentiment.split()[1][:400]
    except MissingPackageError as error:
        pytest.skip(str(error))
    d = loaded("tiny")
    whole = demo.Demo(d.name, d.model, d.processor, tuple(test), d.labels)
    assert share_right(whole, 64) >= float(weights.metadata("tiny")["accuracy"]) - 0.04


def test_the_tiny_model_needs_transformers_alone(monkeypatch):
    wanted = []
    monkeypatch.setattr(demo.packages, "find_spec", lambda name: wanted.append(name) or find_spec(name))
    d = demo.load("tiny", 6)
    assert wanted == ["transformers"]
    assert [d.model(**d.processor(s.input, return_tensors="pt")).logits.argmax().item() for s in d.samples] == [
        s.label for s in d.samples
    ]


def test_the_tiny_tokenizer_comes_back_from_a_folder(tmp_path):
    from transformers import AutoTokenizer

    d = loaded("tiny")
    d.processor.save_pretrained(tmp_path)
    d.model.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    for text in ("The plot is thin, but the acting is superb.", "unbelievably na\u00efve"):
        assert again(text)["input_ids"] == d.processor(text)["input_ids"]
