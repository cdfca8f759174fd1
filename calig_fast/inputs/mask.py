"""Which tokens are padding: as the mask's name says, or as the model's answer shows where the name does not."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .._utils.warn import warn
from ..model.call import called
from ..model.clone import share_weights
from .arguments import Arguments, is_mask
from .target import logits_of

Sense = Literal["real", "padding", "no mask"]
_STILL = 64  # units of rounding that an answer may move by where nothing that is read was changed
_seen: weakref.WeakKeyDictionary[nn.Module, dict[tuple[str, ...], Any]] = weakref.WeakKeyDictionary()


class Effect:
    """A model's answers when tokens are changed or left out, in evaluation mode and in float32 at least.

    The findings about an argument are kept with the model.

    Args:
        model: the module that computes; not touched.
        arguments: its arguments, the content's name among them.
    """

    def __init__(self, model: nn.Module, arguments: Arguments) -> None:
        self._model, self._call, self._fixed = model, arguments.tensors, arguments.fixed
        self._content = arguments.content or ""
        self._clone: nn.Module | None = None
        self.tokens = self._call[self._content].shape[1]

    def sense(self, name: str, value: Tensor, trial: str = "") -> Sense | None:
        """The meaning of a mask's values other than zero: a real token, padding, or something else; None: no telling.

        Tokens at the zeros are changed, then those at the other values. An answer that stays as it was did not read
        the tokens that were changed.

        Args:
            name: of the argument.
            value: [B,...,T], as it is passed.
            trial: the sort of trial where there are several, under which the answer is kept.
        """
        key = ("sense", trial, name, str(value.dtype), *sorted(self._call))
        meaning: Sense | None = self._kept(key, lambda: self._sense(name, value))
        return meaning

    def _sense(self, name: str, value: Tensor) -> Sense | None:
        content = self._call[self._content]
        zeros, others = sides(value, content.shape)
        both = zeros.any(1) & others.any(1)
        if not bool(both.any()):
            return None
        row = int(both.int().argmax())
        one = {**_rows(self._call, slice(row, row + 1)), name: value[row : row + 1]}
        call = {key: v.expand(3, *v.shape[1:]).clone() for key, v in one.items()}
        for place, changed in ((1, zeros[row]), (2, others[row])):
            call[self._content][place, changed] = _other(call[self._content][place, changed], content)
        output = self._answers(call)
        if output is None:
            return None
        zeros_read, others_read = _moved(output[0], output[1], zeros[row]), _moved(output[0], output[2], others[row])
        if zeros_read and others_read:
            return "no mask"
        return "real" if others_read else "padding" if zeros_read else None

    def ignores(self, real: Tensor, names: str) -> bool | None:
        """Return True where a model answers for a padded input as for it alone; None where it takes no shorter one.

        Args:
            real: [B,T] bool; each row's real tokens lie side by side.
            names: the sort of padding, under which the answer is kept.
        """
        ignored: bool | None = self._kept((names, *sorted(self._call)), lambda: self._ignores(real))
        return ignored

    def _ignores(self, real: Tensor) -> bool | None:
        row = int(real.sum(1).argmin())
        places = real[row].nonzero().flatten()
        keep = slice(int(places[0]), int(places[-1]) + 1)
        one = _rows(self._call, slice(row, row + 1))
        padded, alone = self._answers(one), self._answers(_cut(one, keep, self.tokens))
        if padded is None or alone is None:
            return None
        if padded.dim() > 2 and padded.shape[1] == self.tokens:
            padded = padded[:, keep]
        return padded.shape == alone.shape and not _moved(padded[0], alone[0], None)

    def _kept(self, key: tuple[str, ...], find: Callable[[], Any]) -> Any:
        known = _seen.setdefault(self._model, {})
        if key not in known:
            finding = find()
            if finding is None:
                return None
            known[key] = finding
        return known[key]

    @torch.no_grad()
    def _answers(self, call: Mapping[str, Tensor]) -> Tensor | None:
        """[N,...] float64, or None where the model takes no such call or answers with no number."""
        if self._clone is None:
            half = next(self._model.parameters()).dtype in {torch.float16, torch.bfloat16}
            self._clone = share_weights(self._model, torch.float32 if half else None)
        wide = next(self._clone.parameters()).dtype
        call = {k: v.to(wide) if v.is_floating_point() and v.dim() > 2 else v for k, v in call.items()}
        try:
            output = called(self._clone, {**call, **self._fixed})
            answers = logits_of(output, next(iter(call.values())).shape[0])
        except Exception:  # any of the model's own; where it is no fault of the trial, the call itself raises it
            return None
        answers = answers if answers is not None else _first_tensor(output)
        return None if answers is None or not bool(torch.isfinite(answers).any()) else answers.double()


def real_tokens(model: nn.Module, arguments: Arguments, shape: torch.Size, padding: int | None, known: bool) -> Tensor:
    """Real tokens [B,T].

    Args:
        model: the module that computes.
        arguments: its arguments, with content.
        shape: [B,T].
        padding: the model's padding id, or None.
        known: the model's family is known, so that a mask means what its name says.

    Raises:
        ValueError: an attention_mask of another shape or of other values, or an input that is all padding.
    """
    call = arguments.tensors
    given = call.get("attention_mask")
    if given is not None and (_by_token(given, shape) is None or (known and given.shape != shape)):
        raise ValueError(f"inputs: expected attention_mask {list(shape)}, got {list(given.shape)}")
    effect, ids = Effect(model, arguments), call[arguments.content or ""]
    if given is not None and known:
        return _checked("attention_mask", given, "real", shape)
    if given is not None:
        shown = _shown(effect, given, shape)
        mask = _checked("attention_mask", given, "padding" if shown == "padding" else "real", shape)
        return mask if shown in {"real", "padding"} else check_alone(effect, mask)
    for name, value in call.items():
        if name != arguments.content and _is_candidate(name, value, shape):
            sense, pattern = effect.sense(name, value), _pattern(value, ids)
            if not is_mask(name) and sense != pattern:
                continue  # tokens out of the answer's reach are not yet padding
            if sense in {"real", "padding"}:
                return _checked(name, value, sense, shape)
            if pattern is not None:
                return check_alone(effect, _checked(name, value, pattern, shape))
    return _unmasked(effect, ids, padding, shape)


def sides(value: Tensor, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Tokens [B,T] at which a mask is zero throughout, and those at which it is never zero."""
    by_token = _by_token(value, shape)
    other = (value if by_token is None else by_token) != 0
    between = tuple(range(1, other.dim() - 1))
    return (~other.any(between), other.all(between)) if between else (~other, other)


def _by_token(value: Tensor, shape: Sequence[int]) -> Tensor | None:
    """A mask [B,T], [B,T,1], [B,1,T], [B,T,T] or [B,H,T,T] with the tokens last, or None."""
    rows, tokens = shape[:2]
    if value.dim() < 2 or value.shape[0] != rows:
        return None
    if value.shape[1:] == (tokens, 1):
        value = value[..., 0]
    return value if value.shape[-1] == tokens and set(value.shape[2:-1]) <= {1, tokens} else None


def check_alone(effect: Effect, real: Tensor) -> Tensor:
    """Warn where the model answers for a padded input otherwise than for the input alone.

    Args:
        effect: the model with its inputs.
        real: [B,T] bool.

    Returns:
        real.
    """
    if bool(real.all()):
        return real
    side = "right" if bool(real[:, 0].all()) else "left"
    if effect.ignores(real, side) is False:
        row, mend = int(real.sum(1).argmin()), "pad on the right, or " if side == "left" else ""
        warn(
            f"inputs: the model answers otherwise for input {row} padded on the {side} than for it alone, so its "
            f"positions or its pooling read the padding; {mend}explain the inputs one at a time"
        )
    return real


def fitting(effect: Effect, name: str, mask: Tensor) -> Tensor | None:
    """A mask [B,T] of 1 at real tokens as the model's argument `name` takes it, or None where it heeds none.

    Where no token is padding, the last one is masked for a trial.
    """
    real = mask != 0
    trial = real.clone()
    if bool(real.all()):
        trial[:, -1] = False
    for dtype in (mask.dtype, torch.bool):
        if effect.sense(name, trial.to(dtype)) == "real":
            return real.to(dtype)
        if effect.sense(name, (~trial).to(dtype), trial="inverted") == "padding":
            return (~real).to(dtype)
    return None


def _is_candidate(name: str, value: Tensor, shape: Sequence[int]) -> bool:
    if _by_token(value, shape) is None or name in {"position_ids", "token_type_ids"}:
        return False
    return value.dtype == torch.bool or bool(((value == value.min()) | (value == value.max())).all())


def _shown(effect: Effect, given: Tensor, shape: Sequence[int]) -> Sense | None:
    """The sense that a model of one's own shows of an attention_mask, None where it shows none."""
    zeros, others = sides(given, shape)
    if not bool((zeros.any(1) & others.any(1)).any()):
        if not bool(zeros.all(1).any()) or shape[1] < 2:
            return None
        given = given.clone()  # nothing but zeros: the last token is masked for a trial
        _last(given, shape).fill_(torch.finfo(given.dtype).min if given.is_floating_point() else 1)
    return effect.sense("attention_mask", given)


def _last(value: Tensor, shape: Sequence[int]) -> Tensor:
    """The part of a mask that is of the last token."""
    by_token = _by_token(value, shape)
    return (value if by_token is None else by_token)[..., -1]


def _checked(name: str, given: Tensor, sense: str, shape: Sequence[int]) -> Tensor:
    """Real tokens [B,T] of a mask.

    Raises:
        ValueError: values that no mask has, or an input that is all padding.
    """
    if sense == "real" and given.dtype != torch.bool and bool((~(given >= 0)).any()):
        raise ValueError(
            f"inputs: expected {name} 1 at real tokens and 0 at padding, got values from {float(given.min()):g} to "
            f"{float(given.max()):g}"
        )
    zeros, others = sides(given, shape)
    mask = ~zeros if sense == "real" else ~others
    if not bool(mask.any(1).all()):
        empty = (~mask.any(1)).nonzero().flatten().tolist()
        raise ValueError(f"inputs: the {name} of input {empty} is all padding; leave these inputs out")
    return mask


def _pattern(value: Tensor, ids: Tensor) -> Sense | None:
    """The sense of a mask on one side of which all tokens stand at the ends of rows, with an id that no other has."""
    zeros, others = sides(value, ids.shape)
    return "real" if _pads(zeros, ids) else "padding" if _pads(others, ids) else None


def _pads(padding: Tensor, ids: Tensor) -> bool:
    if not bool(padding.any()) or bool(padding.all(1).any()):
        return False
    if ids.is_floating_point():
        return _at_ends(padding)
    inside = ids[padding]
    alike = bool((inside == inside[0]).all()) and not bool((ids[~padding] == inside[0]).any())
    return alike and _at_ends(padding)


def _at_ends(padding: Tensor) -> bool:
    """Return True where padding lies before the first and after the last real token of each row alone."""
    real = (~padding).int()
    within = real.cummax(1).values * real.flip(1).cummax(1).values.flip(1)
    return bool((within == real).all())


def _unmasked(effect: Effect, ids: Tensor, padding: int | None, shape: torch.Size) -> Tensor:
    """Real tokens where there is no mask: all, unless the model tells padding by its id."""
    everything = torch.ones(tuple(shape), dtype=torch.bool, device=ids.device)
    if ids.is_floating_point() or (padding is None and len(ids) == 1):
        return everything
    other = (ids != (0 if padding is None else padding)).int()
    real = (other.cummax(1).values * other.flip(1).cummax(1).values.flip(1)).bool()
    if bool(real.all()) or not bool(real.any(1).all()):
        real = everything
    elif effect.ignores(real, "padding id"):
        return real
    if padding is not None and bool((ids == padding).any()):
        warn(
            f"inputs hold the padding id {padding} and no attention_mask, so the model reads padding as text; pass the "
            "tokenizer's attention_mask with them"
        )
    return everything


def _rows(call: Mapping[str, Tensor], rows: slice) -> dict[str, Tensor]:
    return {name: value[rows] for name, value in call.items()}


def _cut(call: Mapping[str, Tensor], keep: slice, tokens: int) -> dict[str, Tensor]:
    """The arguments of some of the tokens."""
    out = {}
    for name, value in call.items():
        axes = range(1, value.dim()) if is_mask(name) else range(1, min(value.dim(), 2))
        for axis in axes:
            if value.shape[axis] == tokens:
                value = value.narrow(axis, keep.start, keep.stop - keep.start)
        out[name] = value
    return out


def _other(part: Tensor, everything: Tensor) -> Tensor:
    """Other ids, or features, than these, of a kind that the inputs hold too."""
    if part.is_floating_point():
        return 1 - part
    low, high = everything.min(), everything.max()
    if low == high:
        low = (high - 1).abs()
    return torch.where(part == high, low, high)


def _moved(before: Tensor, after: Tensor, changed: Tensor | None) -> bool:
    """Return True where an answer is another one, rows of tokens that were changed themselves left out."""
    if changed is not None and before.dim() > 1 and len(before) == len(changed):
        before, after = before[~changed], after[~changed]
    if before.numel() == 0:
        return False
    size = before.abs().max().clamp_min(1e-6)
    return not float((before - after).abs().max() / size) <= _STILL * torch.finfo(torch.float32).eps


def _first_tensor(output: Any) -> Tensor | None:
    values = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else ()
    return next((v for v in values if isinstance(v, Tensor) and v.dim() > 0), None)
