"""A call for each error of saving and loading."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from calig_fast import Attribution
from calig_fast._utils import files
from helpers.looks import attribution

A = attribution("a film", [0.5, -0.5])


def loaded(prepare: Callable[[Path], object]) -> Callable[[], object]:
    """A call of `load` on a saved attribution that `prepare` then changed."""

    def call() -> object:
        with tempfile.TemporaryDirectory() as made:
            file = A.save(Path(made) / "a")
            prepare(file)
            return Attribution.load(file)

    return call


def pair(record: object) -> Callable[[Path], object]:
    """A pair of files of which the record is this."""

    def prepare(file: Path) -> None:
        save_file({"scores": A.scores}, file)
        file.with_suffix(".json").write_text(json.dumps(record), encoding="utf-8")

    return prepare


def damaged(file: Path) -> None:
    """One bit of the last tensor."""
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


FILE_CASES = [
    (TypeError, lambda: A.save(3)),
    (ValueError, lambda: A.to_html("")),
    (FileNotFoundError, lambda: A.save(Path("no folder") / "a")),
    (OSError, lambda: files.write("/dev/full", "text")),
    (OSError, loaded(lambda file: (file.unlink(), file.mkdir()))),
    (ValueError, lambda: replace(A, scores=A.scores.double()).save("a")),
    (TypeError, lambda: replace(A, settings={"mine": torch.ones(1)}).save("a")),
    (ValueError, loaded(lambda file: file.write_bytes(b"no tensors"))),
    (ValueError, loaded(damaged)),
    (ValueError, loaded(lambda file: save_file({"weight": A.scores}, file))),
    (ValueError, loaded(pair({"format": 3}))),
    (ValueError, loaded(pair({"format": 1, "maps": 3}))),
    (ValueError, loaded(lambda file: file.write_bytes(file.read_bytes().replace(b'"format":"2"', b'"format":"9"')))),
]
