"""Loading of the files that the command's options name: a saved classifier, texts and pictures."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import reading
from .errors import hint, tell


@dataclass(frozen=True)
class Given:
    """The inputs of a command, as its options name them.

    Args:
        model: folder of a saved classifier.
        text: texts.
        pair: pairs of texts.
        file: files whose whole content is one text each.
        lines: a file with a text on every line.
        column: column of the texts of a table; None where each file is one text.
        pair_column: column of the second texts of pairs.
        image: files of pictures.
        target: class asked about, by number or name.
        device: where the model runs.
    """

    model: Path
    text: Sequence[str] | None = None
    pair: Sequence[tuple[str, str]] | None = None
    file: Sequence[Path] | None = None
    lines: Path | None = None
    column: str | None = None
    pair_column: str | None = None
    image: Sequence[Path] | None = None
    target: str | None = None
    device: str | None = None


@dataclass(frozen=True)
class Loaded:
    """A model, its processor, the inputs, and the explained class.

    Args:
        model: the classifier, in eval mode.
        processor: its tokenizer, image processor or transform.
        inputs: texts, pairs of texts, or PIL images.
        target: a class number, "all", or None.
        left_out: lines that cannot be explained; each was told.
    """

    model: Any
    processor: Any
    inputs: list[Any]
    target: int | str | None
    left_out: int = 0


def load(given: Given) -> Loaded:
    """Load the model and the inputs that the options name.

    Raises:
        ValueError: neither texts nor images, or both; a file that cannot be read; a folder that holds no such
            classifier; no class of that name.
        OSError: a file that cannot be read.
        ImportError: the package that the model needs is not installed.
    """
    kinds = [bool(given.text or given.file or given.lines is not None), bool(given.pair), bool(given.image)]
    if sum(kinds) != 1:
        raise ValueError("give --text, --file or --lines, or else --image, or else --pair")
    if [given.lines, *(given.file or ())].count(reading.STDIN) > 1:
        raise ValueError("--file, --lines: standard input can be read once; give - once")
    if given.column is None and given.pair_column is not None:
        raise ValueError("--pair-column: it goes with --column, the first text of each pair")
    if given.column is not None and not given.file:
        raise ValueError("--column: it goes with --file, a .csv, .jsonl or .parquet")
    if "-" in (given.text or ()):
        hint('--text -: the text is "-" itself; for standard input --lines -, or --file - for one text')
    whole = map(reading.whole, given.file or ()) if given.column is None else ()
    inputs: list[Any] = [*(given.text or ()), *whole, *map(tuple, given.pair or ())]
    listed, bad = _listed(given)
    inputs += reading.pictures(given.image or ())
    model, processor = loaded_from(given.model, bool(given.image), given.device)
    fit = [line for line in listed if _fits(line, model, processor)]
    if listed and not fit and not inputs:
        raise ValueError(f"{listed[0].place.rpartition(',')[0]}: none of its lines can be explained")
    inputs += [line.text for line in fit]
    return Loaded(model, processor, inputs, class_of(given.target, model), bad + len(listed) - len(fit))


def _listed(given: Given) -> tuple[list[reading.Line], int]:
    """The lines and the rows of tables, and how many were left out."""
    parts = [] if given.lines is None else [reading.lines(given.lines)]
    if given.column is not None:
        parts += [reading.column(path, given.column, given.pair_column) for path in given.file or ()]
    return [line for lines, _ in parts for line in lines], sum(bad for _, bad in parts)


def loaded_from(folder: Path, image: bool | None = None, device: str | None = None) -> tuple[Any, Any]:
    """The classifier of a folder, in eval mode, and its tokenizer, image processor or transform.

    Args:
        folder: of a saved classifier.
        image: it reads images; None where its configuration says so.
        device: where it runs.

    Raises:
        ValueError: no folder, or no such classifier in it; no such device.
        ImportError: the package that the model needs is not installed.
    """
    from rich.console import Console

    from ..inputs import saved

    with _option(), Console(stderr=True).status("reading the model"):
        model, processor = saved.model_and_processor(_quietly(saved.folder_of(folder)), image)
    if device:
        model.to(_device(device))
    return model, processor


def classifier(folder: Path) -> Any:
    """The classifier of a folder alone, of texts or of images as its configuration says.

    Raises:
        ValueError: no such folder, or no classifier that can be loaded; the message names the folder.
        ImportError: the package that it needs is not installed.
    """
    from ..inputs import saved

    with _option():
        return saved.classifier(_quietly(saved.folder_of(folder)))


@contextlib.contextmanager
def _option() -> Iterator[None]:
    """Name the option in errors of the model."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith("model: "):
            raise
        raise ValueError(f"--model {str(error).removeprefix('model: ')}") from error


def _quietly(folder: Path) -> Path:
    """The folder, the reports of transformers off; what they tell is checked, and shown in one line."""
    from ..inputs import saved

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if not saved.is_timm(folder) and importlib.util.find_spec("transformers") is not None:
        import transformers

        reports: Any = transformers.logging
        reports.set_verbosity_error()
        reports.disable_progress_bar()
    return folder


def _fits(line: reading.Line, model: Any, processor: Any) -> bool:
    """Return True if the model can read a line; report it otherwise."""
    from ..inputs.prepare import read
    from ..model import families

    encoder = families.find(model)
    if encoder is None:  # told by the explanation
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a text that is cut is told by the explanation
            read([line.text], model, encoder, processor)
    except (ValueError, TypeError) as error:
        why = str(error).removeprefix("inputs: ").replace("input [0]", "the text")
        tell(f"{line.place}: {why}")
        return False
    return True


def _device(name: str) -> Any:
    import torch

    try:
        wanted = torch.device(name)
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"--device {name}: not usable here ({str(error).splitlines()[0]}); try cpu") from error
    return wanted


def class_of(target: str | None, model: Any) -> int | str | None:
    """A class by its number or by its name in the model's configuration, upper and lower case alike."""
    if target is None or target == "all":
        return target
    if target.removeprefix("-").isdecimal() and len(target) < 20:
        return int(target)
    names = getattr(getattr(model, "config", None), "id2label", None) or {}
    known = {str(name).lower(): int(number) for number, name in names.items()}
    if target.lower() not in known:
        listed = ", ".join(str(name) for name in names.values()) or "none: the model names no classes"
        raise ValueError(f"--target {target}: no class of that name; there are {listed}")
    return known[target.lower()]
