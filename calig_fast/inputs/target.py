"""The explained scalar F: which number of the model's output is explained, one per input."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._utils.arguments import as_tensor, rare_kind, shown
from .._utils.host_copies import sent
from .._utils.warn import warn

OutputFunction = Callable[..., Tensor]
Output = str | OutputFunction
KINDS = ("logit", "log_prob", "prob", "contrast")


def logits_of(output: Any, rows: int | None = None) -> Tensor | None:
    """The logits in what a model returned, or None where it holds none.

    A tensor, `logits` by name, the one [B,C] of a plain dict or a dataclass, or the first of a tuple that is no loss.
    One number a row is one logit, [B,1].

    Args:
        output: what the model returned.
        rows: rows of the call, None where that is not known.

    Raises:
        TypeError: complex, sparse, nested or quantised logits.
    """
    logits = output if isinstance(output, Tensor) else _inside(output)
    if logits is not None and (logits.is_complex() or rare_kind(logits)):
        raise TypeError(f"model: expected logits [B,C], a dense tensor of real numbers, got {shown(logits)}")
    if logits is None or logits.dim() > 1:
        return logits
    return logits.reshape(rows, -1) if rows and logits.numel() % rows == 0 else logits.reshape(-1, 1)


def _inside(output: Any) -> Tensor | None:
    """The logits in a container."""
    logits = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    if isinstance(output, tuple | list):
        return next((v for v in output if isinstance(v, Tensor) and v.is_floating_point() and v.dim() > 0), None)
    plain = isinstance(output, dict) and not hasattr(output, "to_tuple")  # a library's own output names its logits
    if plain or (is_dataclass(output) and not isinstance(output, Mapping)):
        values = output.values() if isinstance(output, dict) else [getattr(output, f.name) for f in fields(output)]
        numbers = [v for v in values if isinstance(v, Tensor) and v.is_floating_point()]
        tables = [v for v in numbers if v.dim() == 2] or [v for v in numbers if v.dim() == 1]
        return tables[0] if len(tables) == 1 else None
    return None


def returns(model: Any, logits: Tensor | None) -> str:
    """ "probabilities" or "values" (of a regression) where that is what a model returns, "" for logits.

    Args:
        model: the model, for its configuration.
        logits: [B,C] of some inputs, or None.
    """
    if logits is None or logits.dim() != 2 or is_multi_label(model):
        return ""
    config = getattr(model, "config", None)
    problem = getattr(config, "problem_type", None)
    if problem == "regression":
        return "values"
    if logits.shape[1] == 1:  # the usual meaning of one output without a name, also at Hugging Face
        labels = getattr(config, "id2label", None)
        names = [str(name) for name in labels.values()] if isinstance(labels, Mapping) else []
        return "values" if problem is None and names in ([], ["LABEL_0"]) else ""
    return "probabilities" if _sums_to_one(logits) else ""


def _sums_to_one(z: Tensor) -> bool:
    """Return True where every row is a distribution: the model holds its own softmax."""
    slack = max(1e-4, 8 * torch.finfo(z.dtype).eps)
    values = z.detach().double().cpu().numpy()
    return z.shape[1] > 1 and bool((values >= 0).all() and (np.abs(values.sum(1) - 1) <= slack).all())


def is_multi_label(model: Any) -> bool:
    """Return True if the model's configuration says that its classes are independent."""
    return getattr(getattr(model, "config", None), "problem_type", None) == "multi_label_classification"


def check_output(kind: Output, model: Any) -> None:
    """Raise where a probability is asked of a regression.

    Raises:
        ValueError: it is.
    """
    problem = getattr(getattr(model, "config", None), "problem_type", None)
    if problem == "regression" and isinstance(kind, str) and kind in {"prob", "log_prob"}:
        raise ValueError(
            f'output: {kind!r} is of classes, and the model is a regression (config.problem_type); use output="logit", '
            "the value itself"
        )


@dataclass(frozen=True)
class Target:
    """F as a function of the model's output.

    Args:
        kind: "logit" z_c; "log_prob" log softmax(z)_c (log sigmoid(z) with one logit, log sigmoid(z_c) with
            several labels); "prob" its exponential; "contrast" z_a - z_b; or the caller's function.
        target: [B] classes, [B,2] pairs for a contrast, or None with the caller's function.
        multi_label: classes are independent (sigmoid), not exclusive (softmax).
        first: number of the batch's first input among all the caller's, added to the rows that its function gets.
        normalised: the model returns probabilities, so that none are made of them.
    """

    kind: Output
    target: Tensor | None
    multi_label: bool = False
    first: int = 0
    normalised: bool = False

    def __call__(self, output: Any, rows: Tensor) -> Tensor:
        """F of every row of a batch.

        Args:
            output: of the model for N rows.
            rows: [N] int64, which input each row belongs to.

        Returns:
            [N].

        Raises:
            ValueError: the caller's function returned another shape.
        """
        if callable(self.kind):
            values = self.kind(output, rows + self.first) if arity(self.kind) > 1 else self.kind(output)
            if not isinstance(values, Tensor) or values.shape != rows.shape or values.is_complex():
                came = (values.dtype, *values.shape) if isinstance(values, Tensor) else type(values).__name__
                raise ValueError(
                    f"output: the function must return a tensor [N] = [{len(rows)}], one scalar a row; got {came}"
                )
            return values
        z, target = logits_of(output, len(rows)), self.target
        if z is None or target is None:
            raise RuntimeError("a scalar of the logits was asked of a model without logits")
        rows = rows.to(target.device)  # a model on several devices
        if z.dim() != 2 or len(z) != len(rows):
            raise ValueError(f"model: expected logits [B,C] of {len(rows)} rows, got {list(z.shape)}")
        if self.kind == "contrast":
            pair = target[rows]
            return z.gather(1, pair[:, :1])[:, 0] - z.gather(1, pair[:, 1:])[:, 0]
        chosen = target[rows][:, None]
        if self.kind == "logit":
            return z.gather(1, chosen)[:, 0]
        if self.normalised:
            chance = z.gather(1, chosen)[:, 0]
            return chance if self.kind == "prob" else chance.clamp_min(torch.finfo(z.dtype).tiny).log()
        if z.shape[1] == 1 or self.multi_label:
            log = torch.nn.functional.logsigmoid(z).gather(1, chosen)[:, 0]
        else:
            log = torch.log_softmax(z, 1).gather(1, chosen)[:, 0]
        return log.exp() if self.kind == "prob" else log


def scalars(kind: Output, target: Any, logits: Tensor | None, multi_label: bool, first: int = 0) -> list[Target]:
    """F for a batch, one for each of its targets, which are resolved against the model's own logits.

    Args:
        kind: see `Target`.
        target: None (the class with the largest logit; for a contrast, that against the second), an int, a list or
            tensor of B ints or of [B,K], "all" for every class; for a contrast a pair, B pairs or [B,K] pairs.
        logits: [B,C] of the inputs, or None where the model returned none.
        multi_label: see `Target`.
        first: number of the first input, for messages.

    Returns:
        K of them, 1 but for targets [B,K] and "all".

    Raises:
        ValueError: an unknown kind, a target the model has no logit for, logits that are not [B,C] or not finite.
        TypeError: a target that is no int, list or tensor.
    """
    if callable(kind):
        if target is not None:
            raise ValueError("target: an output function says itself what is explained; leave target at None")
        return [Target(kind, None, first=first)]
    if kind not in KINDS:
        raise ValueError(f"output: {kind!r} is not one of {KINDS}, nor a function of the model's output")
    z = logits
    if z is None or z.dim() != 2 or not z.shape[1] or not z.is_floating_point():
        came = "none" if z is None else shown(z)
        raise ValueError(
            f"model: needs logits [B,C], got {came}; for token classification or question answering pass "
            "output=, a function of the model's output that returns one scalar a row"
        )
    check_finite(z, first)
    targets = _pairs(target, z) if kind == "contrast" else _classes(target, z)
    several = targets.unbind(1) if targets.dim() > (2 if kind == "contrast" else 1) else (targets,)
    normalised = not multi_label and _sums_to_one(z)
    if normalised:
        warn(
            'model: it returns probabilities (each row sums to 1), so no softmax is applied to them; output="logit" '
            'explains the probability itself, and output="log_prob" its logarithm'
        )
    return [Target(kind, one, multi_label, first, normalised) for one in several]


def check_finite(z: Tensor, first: int = 0) -> None:
    """Raise where logits are NaN or infinite.

    Args:
        z: [B,...].
        first: number of the first input.

    Raises:
        ValueError: naming the inputs concerned.
    """
    finite = np.isfinite(z.detach().double().flatten(1).cpu().numpy()).all(1)
    bad = [first + i for i in np.flatnonzero(~finite).tolist()]
    if bad:
        raise ValueError(
            f"model: its logits for input {bad} are NaN or infinite, so there is nothing to explain; look for NaN in "
            "the weights or the pixels, or for an overflow in float16 (dtype=torch.float32 helps)"
        )


def gradients(value: Tensor, inputs: list[Tensor], keep_graph: bool = False) -> list[Tensor]:
    """dF/d input for each, zeros where F does not depend on it.

    Raises:
        ValueError: F has no gradient at all.
    """
    if not value.requires_grad:
        raise ValueError(
            "output: the explained scalar has no gradient to the blocks; the model (or the output function) cuts the "
            "graph, for example with .detach(), .item() or torch.no_grad()"
        )
    derivatives = torch.autograd.grad(value.sum(), inputs, allow_unused=True, retain_graph=keep_graph)
    return [torch.zeros_like(i) if g is None else g.detach() for i, g in zip(inputs, derivatives, strict=True)]


def per_input(kind: Output, target: Any, batch: int, rows: slice) -> Any:
    """The targets of some of the inputs; one for all of them (for a contrast, one pair) is left as it is.

    Raises:
        ValueError: as many targets as neither one nor one for each input, or more of one input than of another.
    """
    if isinstance(target, Tensor):
        target = as_tensor("target", target, "ints")
    shape = target.shape if isinstance(target, Tensor) else _shape(target)
    one = 1 if kind == "contrast" else 0
    if target is None or len(shape) <= one:
        return target
    if shape[0] != batch:
        raise ValueError(
            f"target: expected one for all inputs or one for each of {batch}, got {shape[0]}; several of one input "
            "are a list in the list, [[0, 3], [1, 2]]"
        )
    if not isinstance(target, Tensor) and len({_shape(one)[:1] for one in target}) > 1:
        raise ValueError(f"target: {target!r} asks for more of one input than of another; give each as many")
    return target[rows]


def _shape(target: Any, axes: int = 4) -> tuple[int, ...]:
    """The shape of nested sequences, as far as their first items tell, of at most so many axes."""
    if not isinstance(target, Sequence) or isinstance(target, str) or not axes:
        return ()
    return (len(target), *(_shape(target[0], axes - 1) if len(target) else ()))


def _classes(target: Any, z: Tensor) -> Tensor:
    """[B], or [B,K] where several of each input are asked for."""
    batch, classes = z.shape
    if target is None:
        return z.argmax(1)
    if isinstance(target, str) and target == "all":
        return torch.arange(classes, device=z.device).expand(batch, classes)
    return _in_range(_integers(target, z, (batch,)), classes)


def _pairs(target: Any, z: Tensor) -> Tensor:
    """[B,2], or [B,K,2] where several of each input are asked for."""
    batch, classes = z.shape
    if classes < 2:
        raise ValueError('output: "contrast" needs two classes, and the model has one logit')
    if target is None:
        return z.topk(2, dim=1).indices
    pairs = _integers(target, z, (batch, 2))
    return _in_range(pairs, classes)


def _integers(target: Any, z: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The targets in `shape`, or with an axis of several after the batch's."""
    if isinstance(target, str):
        raise TypeError(
            f'target: expected None, an int, a list or a tensor of ints, or "all" (not with output="contrast"), got '
            f"{target!r}"
        )
    if isinstance(target, bool) or not isinstance(target, int | Sequence | Tensor):
        raise TypeError(
            f'target: expected None, an int, a list or a tensor of ints, or "all", got {type(target).__name__}'
        )
    try:
        integers = sent(as_tensor("target", target, "ints"), z.device)
    except TypeError as error:
        raise TypeError(f"target: {shown(target)} holds something other than ints") from error
    if integers.is_floating_point() or integers.dtype == torch.bool:
        raise TypeError(f"target: expected ints, got {integers.dtype}")
    if integers.dim() < len(shape):
        integers = integers.expand(shape) if integers.shape in {(), shape[1:]} else integers
    several = (
        integers.dim() == len(shape) + 1 and (integers.shape[0], *integers.shape[2:]) == shape and integers.shape[1] > 0
    )
    if integers.shape != shape and not several:
        raise ValueError(
            f"target: expected shape {list(shape)} for {shape[0]} inputs, or [{shape[0]},K"
            f"{''.join(f',{n}' for n in shape[1:])}] for several of each, got {list(integers.shape)}"
        )
    return integers.to(torch.int64)


def _in_range(target: Tensor, classes: int) -> Tensor:
    if target.numel() and (int(target.min()) < 0 or int(target.max()) >= classes):
        raise ValueError(f"target: {target.tolist()} is outside 0..{classes - 1}, the classes the model has logits for")
    return target


def arity(function: OutputFunction) -> int:
    """The positional arguments that a function needs."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    positional = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return sum(p.kind in positional and p.default is inspect.Parameter.empty for p in parameters)
