"""A saved classifier and the processor of its inputs: from a folder, or from the cache of the Hugging Face hub."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .text import has_vocabulary


def folder_of(source: str | os.PathLike[str]) -> Path:
    """The folder of a saved classifier; nothing is downloaded.

    Args:
        source: the folder, or the id of a model that the hub's cache holds.

    Raises:
        ValueError: neither a folder nor a model of the cache.
        TypeError: no name.
    """
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f"model: expected a folder or the id of a cached model, got {type(source).__name__}")
    folder = Path(source)
    place = folder if folder.is_dir() else _cached(os.fspath(source))
    if place is None:
        raise ValueError(
            f"model: {folder}: no such folder, and the hub's cache holds no model of that name; pass a folder that "
            "save_pretrained wrote, or download the model first (hf download ID)"
        )
    return place


def _cached(name: str) -> Path | None:
    """The snapshot of a model in the hub's cache."""
    if importlib.util.find_spec("huggingface_hub") is None or name.startswith((".", "/", "~")):
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        return None


def model_and_processor(folder: Path, image: bool | None = None) -> tuple[Any, Any]:
    """A classifier in evaluation mode, and its tokenizer, image processor or transform.

    Args:
        folder: of a saved classifier.
        image: it reads images; None where its configuration says so.

    Raises:
        ValueError: the folder holds no such classifier, or it cannot be loaded; the message names it.
        ImportError: the package that the model needs is not installed.
    """
    image = _of_images(folder) if image is None else image
    model, processor = _named(folder, lambda: _timm(folder) if is_timm(folder) else _transformers(folder, image))
    model.eval()
    return model, processor


def classifier(folder: Path) -> Any:
    """The classifier alone, of texts or of images as its configuration says.

    Raises:
        ValueError, ImportError: see `model_and_processor`.
    """
    if is_timm(folder):
        return _named(folder, lambda: _timm(folder))[0]
    return _named(folder, lambda: _transformers_model(folder, _of_images(folder)))


def _named(folder: Path, load: Callable[[], Any]) -> Any:
    """The loaded parts of a folder; every error names it."""
    if _config(folder).get("auto_map"):
        code = ", ".join(sorted(map(str, _config(folder)["auto_map"].values())))
        raise ValueError(
            f"model: {folder}: this checkpoint needs code of its own ({code}), which is not run "
            "(trust_remote_code=False); load it in Python and pass the model to calig_fast.explain"
        )
    try:
        return load()
    except (ImportError, OSError, ValueError) as error:
        named = isinstance(error, ImportError) or str(folder) in str(error)
        if named:
            raise
        raise ValueError(f"model: {folder}: it cannot be loaded ({error})") from error
    except Exception as error:  # of the libraries, at files that others wrote
        raise ValueError(f"model: {folder}: it cannot be loaded ({type(error).__name__}: {error})") from error


def _need(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ImportError(f'loading this model needs {package}: pip install "calig_fast[models]"')


def _config(folder: Path) -> dict[str, Any]:
    """Return the content of config.json, empty where there is no such file."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def is_timm(folder: Path) -> bool:
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
        raise ValueError(f"model: {folder}: its weights cannot be read ({error})") from error
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
            folder, trust_remote_code=False, local_files_only=True
        )
    except RuntimeError as error:
        raise ValueError(f"model: {folder}: its processor cannot be read ({error})") from error
    if not image and not has_vocabulary(processor):
        raise ValueError(f"model: {folder}: it holds no tokenizer; save the model's own there with save_pretrained")
    return model, processor


def _transformers_model(folder: Path, image: bool) -> Any:
    """A Hugging Face classifier, from disk alone."""
    _need("transformers")
    import transformers
    from safetensors import SafetensorError

    kind = "AutoModelForImageClassification" if image else "AutoModelForSequenceClassification"
    try:
        model, loading = getattr(transformers, kind).from_pretrained(
            folder, output_loading_info=True, trust_remote_code=False, local_files_only=True
        )
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(f"model: {folder}: its weights cannot be read ({error})") from error
    if loading["missing_keys"]:
        raise ValueError(
            f"model: {folder}: its weights lack {', '.join(sorted(loading['missing_keys']))}, so it is no trained "
            f"{type(model).__name__}; save the classifier itself"
        )
    return model
