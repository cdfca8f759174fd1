"""The identity of the work: weights, tokenizer, settings and version, of which one digest is made."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from .. import Explainer
from .._utils.version import __version__

SCHEMA_VERSION = 1  # of the tables of a corpus; docs/corpus.md
LEFT_OUT = ("progress",)  # options that change no number
VERSIONS = ("_name_or_path", "transformers_version")  # of a configuration, which change no number


@dataclass(frozen=True)
class Work:
    """All that the rows of a corpus depend on but the inputs.

    Args:
        record: plain values: `package`, `schema_version`, `model`, `processor`, `settings`, `tables`.
    """

    record: Mapping[str, Any]

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits of the record."""
        return _digest(json.dumps(self.record, sort_keys=True).encode())


def work_of(explainer: Explainer, tables: Mapping[str, Any], encoder: Any = None) -> Work:
    """The work of an explainer.

    Args:
        explainer: with the options of every call, before its first.
        tables: options of the tables.
        encoder: given by the caller, or None.

    Raises:
        ValueError: a calibration of each call.
    """
    if explainer.settings.calibration == "auto":
        raise ValueError(
            'calibration: "auto" chooses on the inputs of a call, and a corpus is explained in many; pass the choice '
            "of Explainer.calibrate"
        )
    model = explainer.model
    settings = {f.name: getattr(explainer.settings, f.name) for f in fields(explainer.settings)}
    return Work(
        {
            "package": __version__,
            "schema_version": SCHEMA_VERSION,
            "model": {
                "class": _name(type(model)),
                "weights": weights(model),
                "modules": _digest(json.dumps([_module(n, m) for n, m in model.named_modules()]).encode()),
                "config": _plain(_config(model)),
            },
            "processor": processor(explainer.processor),
            "encoder": [explainer.encoder.family, list(explainer.encoder.blocks), _plain(encoder)],
            "settings": _plain({name: value for name, value in settings.items() if name not in LEFT_OUT}),
            "tables": _plain(tables),
        }
    )


def weights(model: nn.Module) -> str:
    """A digest of the parameters and buffers of a model, with their names, dtypes and shapes."""
    digest = hashlib.sha256()
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, value in sorted(state.items()):
        plain = value.detach().cpu().contiguous()
        digest.update(f"{name}:{plain.dtype}:{list(plain.shape)}:".encode())
        data: Any = plain.reshape(-1).view(torch.uint8).numpy()
        digest.update(memoryview(data))
    return digest.hexdigest()[:32]


def _module(name: str, module: nn.Module) -> list[Any]:
    """A module's class and its plain attributes, such as the number of heads."""
    known = (bool, int, float, str)
    plain = {k: v for k, v in vars(module).items() if isinstance(v, known) and not k.startswith("_")}
    plain.pop("training", None)
    return [name, _name(type(module)), {k: repr(v) for k, v in sorted(plain.items())}]


def _config(model: nn.Module) -> dict[str, Any]:
    config: Any = getattr(model, "config", None)
    made = config.to_dict() if hasattr(config, "to_dict") else config if isinstance(config, Mapping) else {}
    return {name: value for name, value in made.items() if name not in VERSIONS}


def processor(given: Any) -> str:
    """A digest of a tokenizer, an image processor or a transform: of its content, not of its place."""
    if given is None:
        return "none"
    parts: list[Any] = [_name(type(given))]
    backend = getattr(given, "backend_tokenizer", None)
    if backend is not None:
        content = json.loads(backend.to_str())
        parts.append({name: value for name, value in content.items() if name not in ("truncation", "padding")})
    elif hasattr(given, "get_vocab"):
        parts += [given.get_vocab(), _plain(getattr(given, "init_kwargs", {}))]
    if hasattr(given, "get_vocab"):
        names = ("model_max_length", "padding_side", "truncation_side", "special_tokens_map")
        parts.append({name: str(getattr(given, name, None)) for name in names})
    elif hasattr(given, "to_dict"):
        parts.append({name: value for name, value in _plain(given.to_dict()).items() if name not in VERSIONS})
    else:
        parts.append(_plain(given))
    return _digest(json.dumps(parts, sort_keys=True, default=str).encode())


def _plain(value: Any) -> Any:
    """A value of JSON that changes with the value given, and not from process to process."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(v) for v in value]
    if isinstance(value, Tensor):
        return {"tensor": weights_of(value)}
    if isinstance(value, FunctionType):
        return {"function": _name(value), "code": _code(value.__code__), "closure": _closure(value)}
    if isinstance(value, nn.Module):
        return {"module": repr(value), "weights": weights(value)}
    if is_dataclass(value) and not isinstance(value, type):
        return {_name(type(value)): {f.name: _plain(getattr(value, f.name)) for f in fields(value)}}
    if hasattr(value, "transforms"):  # a Compose of torchvision or timm
        return repr(value)
    if isinstance(value, type | torch.dtype):
        return str(value)
    return _pickled(value)


def weights_of(value: Tensor) -> str:
    """A digest of one tensor."""
    plain = value.detach().cpu().contiguous()
    data = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
    return _digest(f"{plain.dtype}:{list(plain.shape)}:".encode() + data)


def _code(code: CodeType) -> str:
    parts = [_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return _digest(repr((code.co_code, code.co_names, parts)).encode())


def _closure(function: FunctionType) -> Any:
    inside = [cell.cell_contents for cell in function.__closure__ or ()]
    cells = ["itself" if value is function else _plain(value) for value in inside]
    return [cells, _plain(function.__defaults__), _plain(function.__kwdefaults__)]


def _pickled(value: Any) -> dict[str, str]:
    """A digest of what pickle keeps of an object; its text without addresses where pickle keeps nothing."""
    try:
        data = pickle.dumps(value)
    except Exception:  # of the object's own class
        data = re.sub(r"0x[0-9a-f]+", "", repr(value)).encode()
    return {_name(type(value)): _digest(data)}


def _name(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__name__)}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
