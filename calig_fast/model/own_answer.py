"""The answer of the caller's own object: what an explanation's logits have to equal."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .call import Call, called, copied, has_rows, kind_of
from .clone import share_weights, transparent
from .kept import kept_attributes, kept_random_state


@dataclass
class OwnAnswers:
    """Calls of the object that the caller passed, one for each kind of call.

    Args:
        known: kinds of calls that were made, and whether the user's forward hooks change their answer.
    """

    known: dict[Hashable, bool] = field(default_factory=dict)

    @contextlib.contextmanager
    def unless_it_fails(self) -> Iterator[None]:
        """A context of one explanation; where it fails, the next one calls the object again."""
        try:
            yield
        except BaseException:
            self.known.clear()
            raise

    def of(self, model: nn.Module, inner: nn.Module, call: Call, hooks: tuple[int, ...]) -> tuple[bool, Any]:
        """Return True if the user's hooks act on the answer, and the answer itself for a new kind of call.

        The object is called once, without gradients. Where it is in training mode, its twin in evaluation mode is.

        Args:
            model: what the caller passed.
            inner: the module that computes, out of its wrappers.
            call: the arguments.
            hooks: from `user_hooks`, of the module that computes.

        Returns:
            True where the hooks act, and the output of the model, None where the kind of call is known.

        Raises:
            ValueError: the model's own forward pass fails.
        """
        kind = (kind_of(call), hooks, inner.training)
        if kind in self.known:
            return self.known[kind], None
        outer = transparent(model)
        own = _answer(share_weights(outer) if any(m.training for m in outer.modules()) else outer, call)
        act = False
        if hooks and own is not None:
            act = not same(_answer(share_weights(inner, hooks=False), call), own, _dtype(inner))
        self.known[kind] = act
        return act, own


def _answer(model: nn.Module, call: Call) -> Any:
    devices = sorted({v.device.index or 0 for v in call.values() if has_rows(v) and v.device.type == "cuda"})
    try:
        with torch.no_grad(), kept_random_state(devices), kept_attributes(model):
            return called(model, copied(call))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        if "not implemented for" in str(error):
            return None  # a half precision that this device lacks: the explanation runs in float32
        raise ValueError(
            f"inputs: the model's own forward pass fails on them, with {type(error).__name__}: {error}"
        ) from error


def same(output: Any, own: Any, dtype: torch.dtype) -> bool:
    """Return True where two outputs hold the same tensors, as far as rounding lets them.

    Args:
        output: one output, or its logits.
        own: another of the same kind.
        dtype: the coarser of the dtypes they were computed in.
    """
    tensors, own_tensors = (output_tensors(v) for v in (output, own))
    return len(tensors) == len(own_tensors) and all(
        _close(a, b, dtype) for a, b in zip(tensors, own_tensors, strict=True)
    )


def output_tensors(output: Any) -> list[Tensor]:
    """The tensors that say what a model decided: its logits, where it names them, else all it returned."""
    if isinstance(output, Tensor):
        return [output]
    logits = getattr(output, "logits", None)
    if isinstance(logits, Tensor):
        return [logits]
    values = output.values() if isinstance(output, dict) else output if isinstance(output, tuple | list) else ()
    return [v for v in values if isinstance(v, Tensor)]


def _close(a: Tensor, b: Tensor, dtype: torch.dtype) -> bool:
    if a.shape != b.shape:
        return False
    a, b = a.detach().double().cpu(), b.detach().double().cpu()
    finite = torch.isfinite(b)
    size = torch.where(finite, b, 0.0).abs().max() if b.numel() else b.new_zeros(())
    limit = min(0.5, max(1e-4, 64 * torch.finfo(dtype).eps)) * size.clamp_min(1e-6)
    return bool(((finite == torch.isfinite(a)) & (torch.where(finite, a - b, 0.0).abs() <= limit)).all())


def _dtype(model: nn.Module) -> torch.dtype:
    return next(model.parameters()).dtype


def check_rows(own: Any) -> None:
    """Raise where a model compares every row of a call with every other, so that no score belongs to one row.

    Args:
        own: the output of the object the caller passed, None where it was not called.

    Raises:
        ValueError: it holds `logits_per_image`.
    """
    if isinstance(getattr(own, "logits_per_image", None), Tensor):
        raise ValueError(
            "model: it scores each image with each text of a call, so its scores change with the rows beside them; "
            "pass calig_fast.ZeroShot(model, texts), a classifier of images whose classes are the texts"
        )


def check_logits(own: Tensor | None, logits: Tensor, dtypes: tuple[torch.dtype, torch.dtype]) -> None:
    """Raise where an explanation's logits are not the model's own.

    Args:
        own: [B,C] of the object the caller passed, None where it gave none.
        logits: [B,C] of the explanation.
        dtypes: of the model and of the explanation.

    Raises:
        ValueError: naming the first input that differs, and both answers.
    """
    if own is None or not logits.numel() or own.numel() != logits.numel():
        return
    coarser = max(dtypes, key=lambda d: torch.finfo(d).eps)
    own = own.detach().reshape(logits.shape)
    if same(logits, own, coarser):
        return
    row = int((own.double().cpu() - logits.double()).abs().flatten(1).amax(1).argmax())
    raise ValueError(
        f"model: for input {row} the explanation's logits are {_short(logits[row])} where a call of the "
        f"model gives {_short(own[row])}: a wrapper, hook or adapter around it computes something else than the module "
        "that was explained; pass the module that makes the decision itself"
    )


def _short(row: Tensor) -> str:
    values = [f"{v:.4g}" for v in row.flatten()[:4].tolist()]
    return f"[{', '.join(values)}{', ...' if row.numel() > 4 else ''}]"
