"""The digest of an input changes with its content alone."""

import numpy as np
import pytest
import torch
from PIL import Image

from calig_fast.corpus.items import Item, Picture, content

GREY = Image.fromarray(np.zeros((4, 4), dtype=np.uint8))
VALUES = [
    "",
    "a",
    "a ",
    "\ud83d",
    ("a", ""),
    ("", "a"),
    ("a",),
    Picture(b"a"),
    b"a",
    None,
    GREY,
    GREY.convert("RGB"),
    np.zeros((2, 2)),
    np.zeros((2, 2), dtype=np.float32),
    np.zeros(4),
    torch.zeros(2, 2),
    {"input_ids": [1, 2]},
    {"input_ids": [1, 2], "token_type_ids": [0, 0]},
    {"input_ids": torch.tensor([1, 2])},
]


def test_no_two_contents_are_alike():
    digests = [content(Item(0, value)) for value in VALUES] + [content(Item(0, "a", "an error"))]
    assert len(set(digests)) == len(digests)


def test_the_id_is_no_content():
    for value in VALUES:
        assert content(Item(0, value)) == content(Item("another", value))
    assert content(Item(0, {"a": 1, "b": 2})) == content(Item(0, {"b": 2, "a": 1}))


def test_bytes_that_are_no_picture():
    with pytest.raises(ValueError, match="holds no picture that can be read"):
        Picture(b"no picture").decoded()


def test_size_is_of_the_value():
    assert Item(0, Picture(bytes(100))).size == 100
    assert Item(0, ("abc", "de")).size == 5
    assert Item(0, GREY).size == 16
