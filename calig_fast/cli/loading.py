"""Loading of the files that the command's options name: a saved classifier, texts and pictures."""

from __future__ import annotations

import importlib.util
import json
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ..inputs.prepare import read
from ..inputs.text import has_vocabulary
from ..model import families
from . import reading
from .errors import tell


@dataclass(frozen=True)
class Given:
    """The inputs of a command, as its options name them.

    Args:
        model: folder of a saved classifier.
        text: texts.
        pair: pairs of texts.
        file: files whose whole content is one text each.
        lines: a file with a text on every line.
        image: files of pictures.
        target: class asked about, by number or name.
        device: where the model runs.
    """

    model: Path
    text: Sequence[str] | None = None
    pair: Sequence[tuple[str, str]] | None = None
    file: Sequence[Path] | None = None
    lines: Path | None = None
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
    inputs: list[Any] = [*(given.text or ()), *map(reading.whole, given.file or ()), *map(tuple, given.pair or ())]
    listed, bad = ([], 0) if given.lines is None else reading.lines(given.lines)
    inputs += reading.pictures(given.image or ())
    found, processor = loaded_from(given.model, bool(given.image), given.device)
    fit = [line for line in listed if _fits(line, found, processor)]
    if listed and not fit and not inputs:
        raise ValueError(f"--lines {given.lines}: none of its lines can be explained")
    inputs += [line.text for line in fit]
    return Loaded(found, processor, inputs, class_of(given.target, found), bad + len(listed) - len(fit))


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
    if not folder.is_dir():
        raise ValueError(f"--model {folder}: no such folder; it must hold a saved classifier")
    if image is None:
        image = _of_images(folder)
    with Console(stderr=True).status("reading the model"):
        found, processor = _loaded(folder, image)
        if device:
            found.to(_device(device))
    found.eval()
    return found, processor


def _fits(line: reading.Line, model: Any, processor: Any) -> bool:
    """Return True if the model can read a line; report it otherwise."""
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


def _need(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ImportError(f'loading this model needs {package}: pip install "calig_fast[models]"')


def classifier(folder: Path) -> Any:
    """The classifier of a folder alone, of texts or of images as its configuration says.

    Raises:
        ValueError: no such folder, or no classifier that can be loaded; the message names the folder.
        ImportError: the package that it needs is not installed.
    """
    if not folder.is_dir():
        raise ValueError(f"--model {folder}: no such folder; it must hold a saved classifier")
    if _is_timm(folder):
        return _told(folder, lambda: _timm(folder))[0]
    return _told(folder, lambda: _transformers_model(folder, _of_images(folder)))


def _loaded(folder: Path, image: bool) -> tuple[Any, Any]:
    """A classifier and what prepares its inputs.

    Raises:
        ValueError: it cannot be loaded; the message names the folder.
        ImportError: the package that it needs is not installed.
    """
    model, processor = _told(folder, lambda: _timm(folder) if _is_timm(folder) else _transformers(folder, image))
    return model, processor


def _told(folder: Path, load: Callable[[], Any]) -> Any:
    """The loaded parts of a folder; every error names it."""
    if _config(folder).get("auto_map"):
        code = ", ".join(sorted(map(str, _config(folder)["auto_map"].values())))
        raise ValueError(
            f"--model {folder}: this checkpoint needs code of its own ({code}), which is not run "
            "(trust_remote_code=False); load it in Python and pass the model to calig_fast.explain"
        )
    try:
        return load()
    except (ImportError, OSError, ValueError) as error:
        named = isinstance(error, ImportError) or str(folder) in str(error)
        if named:
            raise
        raise ValueError(f"--model {folder}: it cannot be loaded ({error})") from error
    except Exception as error:  # of the libraries, at files that others wrote
        raise ValueError(f"--model {folder}: it cannot be loaded ({type(error).__name__}: {error})") from error


def _config(folder: Path) -> dict[str, Any]:
    """Return the content of config.json, empty where there is no such file."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_timm(folder: Path) -> bool:
    """Return True if timm wrote the folder's configuration, which names an architecture of its own."""
    return isinstance(_config(folder).get("architecture"), str)


def _timm(folder: Path) -> tuple[Any, Any]:
    """A timm model and the transform of its pictures."""
    _need("timm")
    import timm

    data: Any = timm.data
    try:
        model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    except RuntimeError as error:
        raise ValueError(f"--model {folder}: its weights cannot be read ({error})") from error
    return model, data.create_transform(**data.resolve_model_data_config(model), is_training=False)


def _of_images(folder: Path) -> bool:
    """Return True if a Hugging Face configuration names a classifier of images, or a kind of model that is no other."""
    _need("transformers")
    from transformers.models.auto import modeling_auto as auto

    config = _config(folder)
    classes = " ".join(map(str, config.get("architectures") or ()))
    if "ImageClassification" in classes or "SequenceClassification" in classes:
        return "ImageClassification" in classes
    kind = config.get("model_type")
    texts = auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
    return kind in auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES and kind not in texts


def _transformers(folder: Path, image: bool) -> tuple[Any, Any]:
    """A Hugging Face classifier and its tokenizer or image processor, from disk alone."""
    model = _transformers_model(folder, image)
    import transformers

    try:
        processor = getattr(transformers, "AutoImageProcessor" if image else "AutoTokenizer").from_pretrained(
            folder, trust_remote_code=False
        )
    except RuntimeError as error:
        raise ValueError(f"--model {folder}: its processor cannot be read ({error})") from error
    if not image and not has_vocabulary(processor):
        raise ValueError(f"--model {folder}: it holds no tokenizer; save the model's own there with save_pretrained")
    return model, processor


def _transformers_model(folder: Path, image: bool) -> Any:
    """A Hugging Face classifier, from disk alone."""
    _need("transformers")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import transformers
    from safetensors import SafetensorError

    reports: Any = transformers.logging  # its report is checked below, and shown in one line
    reports.set_verbosity_error()
    reports.disable_progress_bar()
    kind = "AutoModelForImageClassification" if image else "AutoModelForSequenceClassification"
    try:
        model, told = getattr(transformers, kind).from_pretrained(
            folder, output_loading_info=True, trust_remote_code=False
        )
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(f"--model {folder}: its weights cannot be read ({error})") from error
    if told["missing_keys"]:
        raise ValueError(
            f"--model {folder}: its weights lack {', '.join(sorted(told['missing_keys']))}, so it is no trained "
            f"{type(model).__name__}; save the classifier itself"
        )
    return model
