"""Small corpora, with the tiny classifiers that explain them, and the tables that come out."""

import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from helpers.real_models import minilm_tokenizer, seeded
from helpers.tiny_models import PICTURE

WORDS = [
    "the",
    "film",
    "was",
    "unbelievably",
    "good",
    "and",
    "a",
    "dull",
    "evening",
    "with",
    "its",
    "plot",
    "never",
    "ends",
]
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}


@cache
def text_model() -> tuple[Any, Any]:
    """A classifier of two classes and its tokenizer; not to be changed."""
    from transformers import BertConfig, BertForSequenceClassification

    names = {0: "bad", 1: "good"}
    config = BertConfig(**SIZES, vocab_size=30522, max_position_embeddings=64, id2label=names)
    return seeded(BertForSequenceClassification(config)), minilm_tokenizer()


@cache
def image_model() -> tuple[Any, Any]:
    """A classifier of pictures and its processor; not to be changed."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    model = seeded(ViTForImageClassification(ViTConfig(**PICTURE)))
    return model, ViTImageProcessor(size={"height": 16, "width": 16})


def sentences(count: int, seed: int = 0) -> list[str]:
    """Seeded texts of 1 to 20 words."""
    rng = random.Random(seed)
    return [" ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 20))) for _ in range(count)]


def text_file(path: Path, texts: list[str]) -> Path:
    """A text a line."""
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def picture_folder(path: Path, count: int) -> Path:
    """Seeded pictures, some in a folder below."""
    noise = np.random.default_rng(0)
    for number in range(count):
        file = path / ("below" if number % 3 == 0 else ".") / f"{number:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(file)
    return path


def read(folder: Path, kind: str) -> Any:
    """A table of a corpus, in the order of the ids, without the time that it took."""
    import pyarrow as arrow
    from pyarrow import parquet

    files = sorted((folder / kind).glob("*.parquet"))
    table = arrow.concat_tables([parquet.ParquetFile(file).read().replace_schema_metadata(None) for file in files])
    keys = [("id", "ascending")] + ([("target", "ascending"), ("number", "ascending")] if kind == "tokens" else [])
    table = table.sort_by(keys)
    return table.drop_columns(["seconds"]) if kind == "inputs" else table


def content(folder: Path) -> dict[str, bytes]:
    """The files of the rows by their names."""
    return {file.name: file.read_bytes() for file in sorted((folder / "tokens").glob("*"))}


def differences(one: Path, other: Path, tolerance: float = 1e-5) -> list[str]:
    """The columns of two corpora that differ."""
    found = []
    for kind in ("tokens", "inputs"):
        a, b = read(one, kind), read(other, kind)
        if a.num_rows != b.num_rows or a.schema != b.schema:
            found.append(f"{kind}: {a.num_rows} rows and {b.num_rows}")
            continue
        for name in a.column_names:
            if str(a.schema.field(name).type) == "double":
                values = [np.asarray(t[name].to_numpy(zero_copy_only=False), dtype=float) for t in (a, b)]
                same = np.allclose(*values, rtol=tolerance, atol=tolerance, equal_nan=True)
            elif name == "logits":
                flat = [np.array([v for row in t[name].to_pylist() for v in row or [np.nan]]) for t in (a, b)]
                same = flat[0].shape == flat[1].shape and np.allclose(*flat, rtol=tolerance, equal_nan=True)
            else:
                same = a[name].equals(b[name])
            found += [] if same else [f"{kind}: {name}"]
    return found
