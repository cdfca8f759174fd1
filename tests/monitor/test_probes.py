"""Every way to say what is watched."""

import numpy as np
import pytest
import torch
from helpers.tiny_models import ids, pixels

from calig_fast.monitor import Probe
from calig_fast.monitor.probes import probes


def shapes(given):
    found = probes(given)
    return [
        {k: list(v.shape) for k, v in p.inputs.items()} if isinstance(p.inputs, dict) else list(p.inputs.shape)
        for p in found
    ]


def test_texts_and_pairs():
    found = probes(["a b  c", ("one", "two"), Probe("last", target=2, name="mine")])
    assert [p.inputs for p in found] == ["a b  c", ("one", "two"), "last"]
    assert [p.name for p in found] == ["a b c", "one / two", "mine"]
    assert [p.target for p in found] == [None, None, 2]
    assert [p.name for p in probes("alone")] == ["alone"]
    assert probes("word " * 40)[0].name == ("word " * 40)[:59] + "…"


def test_batches_become_a_probe_a_row():
    assert shapes(ids(9, 6)) == [{"input_ids": [1, 9], "attention_mask": [1, 9]}] * 2
    assert shapes(ids(9)["input_ids"]) == [[1, 9]]
    assert shapes(ids(9)["input_ids"][0]) == [[1, 9]]
    assert shapes({"input_ids": [1, 7, 2]}) == [{"input_ids": [1, 3]}]
    assert shapes(pixels(3)) == [[1, 3, 16, 16]] * 3
    assert shapes(pixels(1)[0]) == [[1, 3, 16, 16]]
    assert shapes(pixels(2).numpy()) == [[1, 3, 16, 16]] * 2
    assert shapes([pixels(2), Probe(pixels(1), name="x")]) == [[1, 3, 16, 16]] * 3
    assert [p.name for p in probes(pixels(2))] == ["probe 0", "probe 1"]
    assert shapes({**ids(9, 6), "overflow_to_sample_mapping": torch.tensor([0, 0])}) == shapes(ids(9, 6))


def test_a_tokenizers_output():
    transformers = pytest.importorskip("transformers")
    assert len(probes(transformers.BatchEncoding(ids(9, 6)))) == 2


def test_pictures_stay_whole():
    image = pytest.importorskip("PIL.Image").fromarray(np.zeros((8, 8, 3), np.uint8))
    found = probes([image, Probe(image, target=1, name="again")])
    assert all(p.inputs is image for p in found)


def test_a_buffer_that_is_filled_again_changes_no_probe():
    buffer = pixels(1)
    found = probes(buffer)[0].inputs
    buffer.zero_()
    assert found.abs().sum() > 0


def test_tensors_go_where_the_model_is():
    there = torch.device("meta")
    assert probes(pixels(1))[0].on(there).is_meta
    assert all(v.is_meta for v in probes(ids(5))[0].on(there).values())
    assert probes("text")[0].on(there) == "text"


def test_lists_in_lists_without_an_end():
    loop = []
    loop.append(loop)
    with pytest.raises(TypeError, match="probes: expected lists of inputs, got lists nested more than 8 deep"):
        probes(loop)
