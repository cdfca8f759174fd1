"""Wrong calls of the command line and of the benchmark, each with the type of its error."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import torch

from calig_fast.bench import RedGateError, bench
from calig_fast.bench.gates import gate
from calig_fast.cli import reading
from calig_fast.cli.bench import use_threads
from calig_fast.cli.loading import Given, load
from calig_fast.cli.writing import STDOUT, folders_exist, is_table, one_to_stdout
from helpers.tiny_models import tiny

HERE = Path(__file__).parent


def loaded(
    prepare: Callable[[Path], None] = lambda folder: None,
    *,
    text: str | None = "a text",
    lines: str | None = None,
    folder: Path | None = None,
    target: str | None = None,
    device: str | None = None,
) -> Callable[[], object]:
    """A call of `load` on a folder that `prepare` filled."""

    def call() -> object:
        with tempfile.TemporaryDirectory() as made:
            prepare(Path(made))
            (Path(made) / "lines.txt").write_text(lines or "", encoding="utf-8")
            listed = None if lines is None else Path(made) / "lines.txt"
            texts = None if text is None else [text]
            given = Given(folder or Path(made), text=texts, lines=listed, target=target, device=device)
            return load(given)

    return call


def saved(folder: Path) -> None:
    """The model, with no tokenizer."""
    tiny("bert").save_pretrained(folder)


def with_tokenizer(folder: Path) -> None:
    """The model and a tokenizer of few words."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    saved(folder)
    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "text": 2}, unk_token="[UNK]"))
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)


def headless(folder: Path) -> None:
    """The model without its head."""
    with_tokenizer(folder)
    tiny("bert").bert.save_pretrained(folder)


def damaged(folder: Path) -> None:
    """The model with a file of weights that holds none."""
    with_tokenizer(folder)
    (folder / "model.safetensors").write_bytes(b"no tensors")


def coded(folder: Path) -> None:
    """The model of a class that the checkpoint brings along."""
    with_tokenizer(folder)
    told = json.loads((folder / "config.json").read_text())
    told["auto_map"] = {"AutoModelForSequenceClassification": "modeling_own.OwnModel"}
    (folder / "config.json").write_text(json.dumps(told))


def written(content: bytes) -> Callable[[], object]:
    """A call of `whole` on a file of such content."""

    def call() -> object:
        with tempfile.TemporaryDirectory() as made:
            (Path(made) / "text.txt").write_bytes(content)
            return reading.whole(Path(made) / "text.txt")

    return call


def empty_table() -> object:
    """A call of `column` on a table with a heading alone."""
    with tempfile.TemporaryDirectory() as made:
        (Path(made) / "a.csv").write_text("review\n")
        return reading.column(Path(made) / "a.csv", "review")


def without(package: str) -> Callable[[], object]:
    """A call of `load` where a package is not installed."""

    def call() -> object:
        with mock.patch("importlib.util.find_spec", lambda name, *a: None if name == package else mock.DEFAULT):
            return loaded(saved)()

    return call


COMMAND_CASES = [
    (ValueError, loaded(text=None)),
    (ValueError, loaded(text=None, lines="\n \n")),
    (ValueError, loaded(with_tokenizer, target="excellent")),
    (ValueError, loaded(folder=HERE / "nowhere")),
    (ValueError, loaded(damaged)),
    (ValueError, loaded(headless)),
    (ValueError, loaded(saved)),
    (ValueError, loaded(with_tokenizer, device="warp")),
    (FileNotFoundError, lambda: folders_exist(HERE / "nowhere" / "page.html")),
    (IsADirectoryError, lambda: folders_exist(HERE)),
    (ValueError, lambda: one_to_stdout(STDOUT, STDOUT)),
    (ValueError, lambda: folders_exist(HERE / "page", HERE / "page")),
    (ValueError, loaded(coded)),
    (ValueError, lambda: load(Given(HERE, file=[reading.STDIN], lines=reading.STDIN))),
    (ValueError, lambda: reading.whole(HERE / "nowhere")),
    (ValueError, lambda: reading.whole(HERE)),
    (ValueError, written(b"tr\xe8s")),
    (ValueError, written(b"a\x00b")),
    (ValueError, written(b"\xff\xfea\x00")),
    (ValueError, lambda: reading.pictures([Path(__file__)])),
    (ImportError, without("transformers")),
    (ValueError, lambda: load(Given(HERE, text=["a"], column="review"))),
    (ValueError, lambda: load(Given(HERE, text=["a"], pair_column="review"))),
    (ValueError, empty_table),
    (ValueError, lambda: is_table(Path("scores.xlsx"))),
    (ValueError, lambda: bench(tiny("bert"), [], None, rounds=0)),
    (ValueError, lambda: use_threads(0)),
    (RedGateError, lambda: gate("a check", float("nan"), 1e-5)),
    (RedGateError, lambda: gate("a check", float(torch.tensor(1e-4)), 1e-5)),
]
