"""The arguments of `forward`: tensors with a row an input, values that every pass gets, and misfits."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from .._utils.arguments import rare_kind

NOT_FOR_THE_MODEL = {
    *("offset_mapping", "special_tokens_mask", "length"),
    *("overflow_to_sample_mapping", "overflowing_tokens", "num_truncated_tokens"),
}
LABELS = {"labels", "label", "label_ids"}
CONTENT = ("input_ids", "inputs_embeds", "ids", "token_ids", "tokens", "input", "inputs", "x", "src", "text")
_A_TOKEN = {"token_type_ids", "position_ids", "segment_ids", "langs"}
_BESIDE = _A_TOKEN | LABELS | {"lengths"}
_of_methods: WeakKeyDictionary[FunctionType, Mapping[str, inspect.Parameter]] = WeakKeyDictionary()
_POSITIONAL = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL}
_VARIABLE = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


@dataclass(frozen=True)
class Arguments:
    """The arguments of one call of the model.

    Args:
        tensors: each [B,...]; a sole unnamed one stands under "".
        content: name of the ids or the features, None where there are neither.
        fixed: flags, numbers and None, the same in every pass.
        aside: a mask [B,T] of our own that `forward` takes under no name of a tokenizer, or None.
    """

    tensors: dict[str, Tensor]
    content: str | None = None
    fixed: dict[str, Any] = field(default_factory=dict)
    aside: Tensor | None = None


class Forward:
    """The signature of a model's `forward`."""

    def __init__(self, model: nn.Module) -> None:
        self.parameters = _parameters(model.forward)
        self.open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in self.parameters.values())

    def takes(self, name: str) -> bool:
        """Return True where `forward` takes an argument of this name."""
        return self.open_ended or (name in self.parameters and self.parameters[name].kind not in _VARIABLE)

    def needs(self, name: str) -> bool:
        """Return True where `forward` cannot be called without it."""
        parameter = self.parameters.get(name)
        return (
            parameter is not None and parameter.default is inspect.Parameter.empty and parameter.kind not in _VARIABLE
        )

    def content(self) -> str:
        """The name under which `forward` takes ids, "" where it takes them without a name."""
        named = [name for name, p in self.parameters.items() if p.kind not in _VARIABLE and not is_mask(name)]
        chosen = next((name for name in CONTENT if name in named), named[0] if named else "")
        return "" if not chosen or self.parameters[chosen].kind in _POSITIONAL else chosen

    def mask(self) -> str | None:
        """The name under which `forward` takes a mask, or None."""
        masks = [n for n, p in self.parameters.items() if is_mask(n) and p.kind not in _VARIABLE]
        usual = ("attention_mask", "mask", "attn_mask", "input_mask", "padding_mask")
        return next((n for n in usual if n in masks), masks[0] if masks else None)

    def check(self, given: Iterable[str]) -> None:
        """Raise where an argument is missing.

        Raises:
            ValueError: naming it.
        """
        given = set(given)
        missing = [name for name in self.parameters if self.needs(name) and name not in given]
        if "" in given:  # takes the place of the first
            missing = missing[1:]
        if missing:
            raise ValueError(
                f"inputs: the model's forward needs {missing} too; pass a mapping of all its arguments, such as "
                f"{{{', '.join(f'{name!r}: ...' for name in self.parameters)}}}"
            )


def _parameters(forward: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a model's `forward`, without the model itself."""
    function = forward.__func__ if inspect.ismethod(forward) else None
    if not inspect.isfunction(function):
        return inspect.signature(forward).parameters
    if function not in _of_methods:
        _of_methods[function] = inspect.signature(forward).parameters
    return _of_methods[function]


def is_mask(name: str) -> bool:
    """Return True where an argument's name says that it is a mask."""
    return "mask" in name.lower() or "pad" in name.lower()


def of_mapping(given: Any, model: nn.Module, made: frozenset[str] = frozenset()) -> Arguments:
    """The arguments in a mapping.

    Args:
        given: values by name.
        model: the module that computes.
        made: names that a tokenizer chose for us, which fit the model's own names or are left out where they say
            nothing.

    Raises:
        ValueError: a name that `forward` does not take, or tensors of different numbers of rows.
        TypeError: a value that is neither a tensor nor a plain value.
    """
    forward = Forward(model)
    values, aside = _fitted(dict(given), forward, made)
    device = next(model.parameters()).device
    tensors: dict[str, Tensor] = {}
    fixed: dict[str, Any] = {}
    for name, value in values.items():
        if name in (NOT_FOR_THE_MODEL | LABELS) and not forward.needs(name):
            continue
        if _is_column(name, value, forward):
            continue
        if name and not forward.takes(name):
            raise ValueError(
                f"inputs: the model's forward takes no {name!r} (it takes {sorted(forward.parameters)}); this "
                "tokenizer does not fit the model, or the key is not an input: leave it out"
            )
        if value is None and name in forward.parameters and forward.parameters[name].default is not None:
            fixed[name] = None
        elif value is not None and _is_plain(value):
            fixed[name] = value
        elif value is not None:
            tensors[name] = _tensor(name, value, device)
    if not tensors:
        raise ValueError(
            f"inputs: the mapping holds no tensor for the model, only {sorted(map(str, given))}; texts belong under "
            '"text", or are passed as a list'
        )
    content = _content(tensors, list(forward.parameters))
    forward.check([*tensors, *fixed, *([] if aside is None else [forward.mask() or ""])])
    return Arguments(_aligned(tensors, content), content, fixed, aside)


def usable(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The tensors, those of inference mode copied.

    Raises:
        ValueError: a tensor on another device than the model.
    """
    device = next(model.parameters()).device
    for name, value in tensors.items():
        if value.device != device:
            raise ValueError(
                f"inputs: {name or 'the tensor'} is on {value.device}, the model on {device}; move one: "
                f'inputs.to("{device}")'
            )
    return {name: value.clone() if value.is_inference() else value for name, value in tensors.items()}


def dense(name: str, value: Tensor) -> Tensor:
    """The tensor itself.

    Raises:
        TypeError: a sparse, nested, quantised or complex one, or floats of eight bits.
    """
    rare = rare_kind(value)
    if rare or value.is_complex():
        kind = rare or str(value.dtype).removeprefix("torch.")
        raise TypeError(f"{name or 'it'} is a {kind} tensor; expected a dense one of ints, bools or floats")
    return value


def with_mask(arguments: Arguments, name: str, mask: Tensor) -> Arguments:
    """The arguments with a mask under the model's own name."""
    return replace(arguments, tensors={**arguments.tensors, name: mask}, aside=None)


def _fitted(values: dict[str, Any], forward: Forward, made: frozenset[str]) -> tuple[dict[str, Any], Tensor | None]:
    """The values under the model's own names, and a mask that has none yet."""
    ours = {name for name in made & set(values) if not forward.takes(name)}
    aside = torch.as_tensor(values.pop("attention_mask")) if "attention_mask" in ours else None
    if "input_ids" in ours:
        values = {forward.content() if name == "input_ids" else name: v for name, v in values.items()}
    for name in ours - {"input_ids", "attention_mask"} - NOT_FOR_THE_MODEL:
        if not bool((torch.as_tensor(values[name]) == 0).all()):
            raise ValueError(
                f"inputs: the model's forward takes no {name!r}, which the tokenizer made of a pair of texts (it takes "
                f"{sorted(forward.parameters)}); pass ids, or one text"
            )
        del values[name]
    return values, aside


def _is_column(name: str, value: Any, forward: Forward) -> bool:
    """Text, or nothing, that lies beside the ids under a name that is no argument's."""
    if name in forward.parameters:
        return False
    words = isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(v, str) for v in value)
    return value is None or words or (isinstance(value, str) and not forward.takes(name))


def _is_plain(value: Any) -> bool:
    single = isinstance(value, Tensor) and value.dim() == 0
    return single or isinstance(value, bool | int | float | complex | str | np.generic)


def _tensor(name: str, value: Any, device: torch.device) -> Tensor:
    try:
        return dense(name, value if isinstance(value, Tensor) else torch.as_tensor(value, device=device))
    except (ValueError, TypeError, RuntimeError) as error:
        raise TypeError(
            f"inputs: {name} is no tensor and cannot be made one ({error}); for a tokenizer pass "
            'return_tensors="pt", padding=True'
        ) from error


def _content(tensors: Mapping[str, Tensor], order: list[str]) -> str | None:
    """The name of the ids, or of the features, by name, kind and the order of `forward`."""
    if "" in tensors:
        return ""
    if (usual := next((name for name in CONTENT[:2] if name in tensors), None)) is not None:
        return usual
    rest = [n for n in tensors if not is_mask(n) and n not in _BESIDE and tensors[n].dtype != torch.bool]
    rest.sort(key=lambda name: order.index(name) if name in order else len(order))
    flat = all(tensors[name].dim() < 2 for name in tensors)
    ids = [n for n in rest if not tensors[n].is_floating_point() and tensors[n].dim() == (1 if flat else 2)]
    ids = [n for n in ids if tensors[n].numel() and int(tensors[n].max()) > 1] or ids
    features = [n for n in rest if tensors[n].is_floating_point() and tensors[n].dim() == 3]
    candidates = sorted([*ids[:1], *features[:1]], key=rest.index)
    choices = [n for n in rest if not tensors[n].is_floating_point() and tensors[n].dim() == 3]
    return next(iter([*candidates, *choices]), None)


def _aligned(tensors: dict[str, Tensor], content: str | None) -> dict[str, Tensor]:
    """Every tensor with a row an input; ids [T] are one input, and what serves all inputs is repeated."""
    main = None if content is None else tensors[content]
    if main is None or main.dim() == 1:
        out = {name: v[None] if v.dim() == 1 and (main is None or len(v) != 1) else v for name, v in tensors.items()}
        if content is not None and main is not None:
            out[content] = main[None]
    else:
        out = {name: _repeated(name, v, main.shape) for name, v in tensors.items()}
    rows = {name: v.shape[0] for name, v in out.items()}
    if len(set(rows.values())) > 1:
        raise ValueError(f"inputs: every tensor needs the same number of rows, got {rows}")
    return out


def _repeated(name: str, value: Tensor, shape: torch.Size) -> Tensor:
    rows, each = shape[0], name in _A_TOKEN
    if value.dim() == 1 and value.shape == shape[1:2] and (each or is_mask(name) or rows == 1 < len(value)):
        value = value[None]
    return value.expand(rows, *value.shape[1:]) if each and len(value) == 1 < rows else value
