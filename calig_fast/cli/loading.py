"""Loading of the files that the command's options name: a saved classifier, texts and pictures."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ..inputs.text import has_vocabulary


@dataclass(frozen=True)
class Loaded:
    """A model, its processor, the inputs, and the explained class.

    Args:
        model: the classifier, in eval mode.
        processor: its tokenizer, image processor or transform.
        inputs: texts, or PIL images.
        target: a class number, "all", or None.
    """

    model: Any
    processor: Any
    inputs: list[Any]
    target: int | str | None


def load(
    model: Path,
    text: Sequence[str] | None,
    file: Sequence[Path] | None,
    lines: Path | None,
    image: Sequence[Path] | None,
    target: str | None,
    device: str | None,
) -> Loaded:
    """Load the model and the inputs that the options name.

    Raises:
        ValueError: neither texts nor images, or both; a folder that holds no such classifier; no class of that name.
        OSError: a file that cannot be read.
        ImportError: the package that the model needs is not installed.
    """
    inputs = _texts(text or (), file or (), lines)
    if bool(inputs) == bool(image):
        raise ValueError("give --text, --file or --lines, or else --image")
    inputs = inputs or [_picture(path) for path in image or ()]
    if not model.is_dir():
        raise ValueError(f"--model {model}: no such folder; it must hold a saved classifier")
    with Console(stderr=True).status("reading the model"):
        found, processor = _timm(model) if _is_timm(model) else _transformers(model, bool(image))
        if device:
            found.to(_device(device))
    return Loaded(found.eval(), processor, inputs, _class(target, found))


def _device(name: str) -> Any:
    import torch

    try:
        wanted = torch.device(name)
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"--device {name}: not usable here ({str(error).splitlines()[0]}); try cpu") from error
    return wanted


def _texts(text: Sequence[str], file: Sequence[Path], lines: Path | None) -> list[Any]:
    whole = [*text, *(_read(path) for path in file)]
    if lines is None:
        return whole
    listed = [line for line in _read(lines).splitlines() if line.strip()]
    if not listed:
        raise ValueError(f"--lines {lines}: no line holds a text")
    return whole + listed


def _read(path: Path) -> str:
    return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")


def _picture(path: Path) -> Any:
    from PIL import Image

    picture = Image.open(path)
    picture.load()  # a damaged file is reported now, and the file is closed
    return picture


def _class(target: str | None, model: Any) -> int | str | None:
    """A class by its number or by its name in the model's configuration, upper and lower case alike."""
    if target is None or target == "all":
        return target
    if target.removeprefix("-").isdigit():
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


def _is_timm(folder: Path) -> bool:
    """Return True if timm wrote the folder's configuration, which names an architecture of its own."""
    told = folder / "config.json"
    try:
        return isinstance(json.loads(told.read_text(encoding="utf-8")).get("architecture"), str)
    except (OSError, ValueError, AttributeError):
        return False


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


def _transformers(folder: Path, image: bool) -> tuple[Any, Any]:
    """A Hugging Face classifier and its tokenizer or image processor, from disk alone."""
    _need("transformers")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import transformers
    from safetensors import SafetensorError

    reports: Any = transformers.logging  # its report is checked below, and shown in one line
    reports.set_verbosity_error()
    reports.disable_progress_bar()
    kinds = ("AutoModelForImageClassification", "AutoImageProcessor")
    if not image:
        kinds = ("AutoModelForSequenceClassification", "AutoTokenizer")
    try:
        model, told = getattr(transformers, kinds[0]).from_pretrained(folder, output_loading_info=True)
        processor = getattr(transformers, kinds[1]).from_pretrained(folder)
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(f"--model {folder}: its weights cannot be read ({error})") from error
    if told["missing_keys"]:
        raise ValueError(
            f"--model {folder}: its weights lack {', '.join(sorted(told['missing_keys']))}, so it is no trained "
            f"{type(model).__name__}; save the classifier itself"
        )
    if not image and not has_vocabulary(processor):
        raise ValueError(f"--model {folder}: it holds no tokenizer; save the model's own there with save_pretrained")
    return model, processor
