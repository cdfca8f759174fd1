"""A call for each error of a corpus."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from calig_fast import Explainer, corpus
from calig_fast._utils import files
from calig_fast.corpus.columns import Columns
from calig_fast.corpus.options import recorded
from calig_fast.corpus.sources import opened
from calig_fast.corpus.work import work_of
from helpers import corpora

HERE = Path(__file__).parent


def ran(inputs: Any, **options: Any) -> Callable[[], object]:
    """A run in a new folder."""

    def call() -> object:
        with tempfile.TemporaryDirectory() as made:
            model, tokenizer = corpora.text_model()
            return corpus.explain_corpus(model, inputs, Path(made) / "out", tokenizer, **{"workers": 0, **options})

    return call


def read(name: str, content: bytes, columns: Columns | None = None) -> Callable[[], object]:
    """The items of a file of this content; a name that ends in / is a folder with a file `state.json`."""

    def call() -> object:
        with tempfile.TemporaryDirectory() as made:
            path = Path(made) / name.rstrip("/")
            if name.endswith("/"):
                path.mkdir()
                (path / "state.json").write_bytes(content)
            else:
                path.write_bytes(content)
            return list(opened(path, columns or Columns()).items())

    return call


def split(folder: str) -> object:
    """A data set of several splits."""
    (Path(folder) / "dataset_dict.json").write_text('{"splits": ["train"]}')
    return list(opened(folder, Columns()).items())


def verified(**given: Any) -> Callable[[], object]:
    """A verification of a corpus of a list."""

    def call() -> object:
        with tempfile.TemporaryDirectory() as made:
            model, tokenizer = corpora.text_model()
            corpus.explain_corpus(model, ["a film"], made, tokenizer, workers=0)
            return corpus.verify(made, **{"model": model, "processor": tokenizer, **given})

    return call


def locked() -> object:
    """A second run in a folder."""
    with tempfile.TemporaryDirectory() as made, files.held(Path(made) / ".lock"):
        return corpus.explain_corpus(corpora.text_model()[0], ["a"], made, corpora.text_model()[1], workers=0)


def failing() -> Any:
    """An iterator that fails."""
    yield "a film"
    raise OSError("gone")


def with_folder(call: Callable[[str], object]) -> Callable[[], object]:
    """A call in a new folder."""

    def run() -> object:
        with tempfile.TemporaryDirectory() as made:
            return call(made)

    return run


STATE = {"_data_files": [{"filename": "data.arrow"}]}
CORPUS_CASES = [
    (ValueError, ran(["a"], calibration="auto")),
    (TypeError, ran(3)),
    (ValueError, ran(HERE / "nowhere.txt")),
    (ValueError, ran(Path(__file__))),
    (ValueError, with_folder(lambda folder: opened(folder, Columns()))),
    (ValueError, lambda: ran(failing())()),
    (ValueError, read("a.txt", b"a", Columns(id="key"))),
    (ValueError, read("a.txt", b"\xff\xfea\x00")),
    (ValueError, read("a.csv", b"a,b\n1,2\n")),
    (ValueError, read("a.parquet", b"torn")),
    (ValueError, read("a.tar", b"torn" * 300)),
    (ValueError, read("a/", json.dumps(STATE).encode())),
    (ValueError, read("a/", json.dumps({**STATE, "_indices_data_files": [1]}).encode())),
    (ValueError, with_folder(split)),
    (ValueError, ran([{"text": "a", "key": 1}, {"text": "b", "key": 1}], id_column="key")),
    (ValueError, ran(["a film"], workers=1, output=lambda out: out.logits[:, 0])),
    (RuntimeError, locked),
    (ValueError, with_folder(lambda folder: corpus.report(folder))),
    (ValueError, verified(model=corpora.image_model()[0])),
    (ValueError, verified(processor=None, inputs=["a film"])),
    (ValueError, verified()),
    (ValueError, lambda: recorded(work_of(Explainer(*corpora.text_model(), output=max), {}).record)),
    (ValueError, lambda: corpus.estimate(corpora.text_model()[0], iter([None]), corpora.text_model()[1])),
]
