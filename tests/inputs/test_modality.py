"""The modality that inputs show by their kind."""

import numpy as np
import pytest
import torch
from PIL import Image

from calig_fast.inputs.modality import modality_of

PICTURE = Image.new("RGB", (4, 4))
CASES = [
    ("a text", "text"),
    (["a text", "another"], "text"),
    (("a text", "its pair"), "text"),
    (torch.zeros(3, dtype=torch.int64), "text"),
    (torch.zeros(2, 3, dtype=torch.int64), "text"),
    ({"input_ids": torch.zeros(2, 3, dtype=torch.int64)}, "text"),
    ({"inputs_embeds": torch.zeros(2, 3, 8)}, "text"),
    (PICTURE, "image"),
    ([PICTURE, PICTURE], "image"),
    (torch.zeros(3, 8, 8), "image"),
    (torch.zeros(2, 3, 8, 8), "image"),
    ({"pixel_values": torch.zeros(2, 3, 8, 8)}, "image"),
    ({"x": torch.zeros(2, 3, 8, 8)}, "image"),
    (torch.zeros(3), None),
    ({}, None),
    ([], None),
    (3.5, None),
    (None, None),
]


@pytest.mark.parametrize(("given", "wanted"), CASES)
def test_inputs_show_what_they_are(given, wanted):
    assert modality_of(given) == wanted


def test_a_batch_encoding_is_read_as_its_mapping():
    from transformers import BatchEncoding

    assert modality_of(BatchEncoding({"input_ids": torch.zeros(1, 3, dtype=torch.int64)})) == "text"
    assert modality_of(BatchEncoding({"pixel_values": np.zeros((1, 3, 8, 8))})) == "image"
