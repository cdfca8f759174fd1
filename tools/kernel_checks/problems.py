"""The operations' sample cases as the emulated launchers take them, and the answers they must give."""

from __future__ import annotations

import ctypes
import importlib
import inspect
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from calig_fast import ops

OPERATIONS = ops.operations("cuda")
Cases = Iterator[tuple[str, tuple[Any, ...]]]
SCALARS = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}
SCALES = ("none", "sum", "max", "max_t")
KINDS = ("gelu", "gelu_tanh", "relu", "silu")
OFFSETS, INPUTS = torch.tensor([0, 3, 3, 8]), torch.tensor([2, 0, 2])  # of the wider cases
FLOOR = 4  # as in tests/ops: twice plain PyTorch's error, and this many eps of the largest exact value
FLOORS = {"attention_gradient": 8}  # its log-sums come rounded; plain PyTorch makes its own softmax


@dataclass(frozen=True)
class Problem:
    """One call of an emulated launcher.

    Args:
        op: the operation's name.
        buffers: tensors in the launcher's order, None for a null pointer; the outputs are among them.
        numbers, reals: the other arguments.
        outputs: the buffers that are written.
    """

    op: str
    buffers: list[Tensor | None]
    numbers: list[int]
    reals: list[float]
    outputs: list[Tensor]

    def run(self, library: ctypes.CDLL) -> list[Tensor]:
        """The outputs, over memory that was nan before."""
        for out in self.outputs:
            out.fill_(torch.nan)
        pointers = (ctypes.c_void_p * len(self.buffers))(*(None if b is None else b.data_ptr() for b in self.buffers))
        numbers = (ctypes.c_int64 * len(self.numbers))(*self.numbers)
        reals = (ctypes.c_double * max(1, len(self.reals)))(*self.reals)
        if failed := library.emulated_run(self.op.encode(), pointers, numbers, reals):
            raise RuntimeError(f"{self.op}: the launcher returned {failed}")
        return [out.clone() for out in self.outputs]

    def packed(self) -> bytes:
        """Pack the problem in the format of the standalone program."""
        parts = [self.op.encode().ljust(32, b"\0")]
        parts.append(struct.pack("<3q", len(self.buffers), len(self.numbers), len(self.reals)))
        parts.append(struct.pack(f"<{len(self.numbers)}q{len(self.reals)}d", *self.numbers, *self.reals))
        for buffer in self.buffers:
            content = b"" if buffer is None else _bytes(buffer)
            parts += [struct.pack("<q", -1 if buffer is None else len(content)), content]
        return b"".join(parts)


def _bytes(x: Tensor) -> bytes:
    """Its content; of one number, "contiguous" says nothing of the stride, so it is copied."""
    flat = x.new_empty(x.numel()).copy_(x.flatten())
    return flat.view(torch.uint8).numpy().tobytes()


def wide(dtype: torch.dtype) -> torch.dtype:
    """The type of the arithmetic."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def complete(op: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments and, where some are left out, their defaults."""
    given = inspect.signature(module(op, "spec").fake).bind(*args)
    given.apply_defaults()
    return given.args


def problem(op: str, args: tuple[Any, ...]) -> Problem:
    """An operation's arguments as its launcher takes them."""
    buffers, numbers, reals, outputs = globals()[f"_{op}"](*complete(op, args))
    kept = [None if b is None else b.contiguous() for b in buffers]
    return Problem(op, [*kept, *outputs], numbers, reals, outputs)


def _rows(offsets: Tensor, inputs: Tensor) -> int:
    return int(offsets.diff()[inputs].sum())


def _interpolate_path(
    start: Tensor, end: Tensor, offsets: Tensor, inputs: Tensor, nodes: Tensor, rows: int | None = None
) -> Any:
    points = start.new_empty((_rows(offsets, inputs), start.shape[1]))
    numbers = [*start.shape, len(offsets) - 1, len(inputs), SCALARS[start.dtype]]
    return [start, end, offsets, inputs, nodes.double()], numbers, [], [points]


def _accumulate_gradients(
    gradients: list[Tensor],
    directions: list[Tensor],
    offsets: Tensor,
    inputs: Tensor,
    weights: Tensor,
    with_lig: bool,
) -> Any:
    tokens, dtype, second = len(directions[0]), gradients[0].dtype, len(gradients) == 2
    shapes = (len(gradients[0]),), (tokens,), (tokens if with_lig else 0, directions[0].shape[1])
    outputs = [gradients[0].new_empty(shape, dtype=wide(dtype)) for shape in shapes]
    buffers = [gradients[0], gradients[1] if second else None, directions[0], directions[1] if second else None]
    widths = [directions[0].shape[1], directions[1].shape[1] if second else 0]
    numbers = [tokens, *widths, len(offsets) - 1, len(inputs), SCALARS[dtype], len(gradients), int(with_lig)]
    return [*buffers, offsets, inputs, weights.double()], numbers, [], outputs


def _fuse_rollout(*args: Any) -> Any:
    (relevance, attention, offsets, row, identity), (lam, residual), (*scales, normalise) = (
        args[:5],
        args[5:7],
        args[7:],
    )
    scales = [SCALES.index(scale) for scale in scales]
    most_held = 0 if len(relevance) % 2 else 200  # odd ones as if no map could be held
    sizes = len(relevance), len(offsets) - 1
    numbers = [*sizes, SCALARS[relevance.dtype], *scales, int(normalise), len(attention), most_held]
    outputs = [row.new_empty(row.shape), row.new_empty(row.shape)]
    return [relevance, attention, offsets, row, identity], numbers, [lam, residual], outputs


def _norm_backward(
    gradient: Tensor,
    x: Tensor,
    mean: Tensor,
    deviation: Tensor,
    weight: Tensor | None,
    residual: Tensor | None,
) -> Any:
    statistics = [t.to(wide(gradient.dtype)) for t in (mean, deviation)]
    rows_a_team = 3 if len(gradient) > 3 else 0  # a batch large enough for several is too large to emulate
    numbers = [*gradient.shape, SCALARS[gradient.dtype], rows_a_team]
    return [gradient, x, *statistics, weight, residual], numbers, [], [gradient.new_empty(gradient.shape)]


def _activation_backward(gradient: Tensor, inner: Tensor, kind: str, gated: bool) -> Any:
    numbers = [*gradient.shape, SCALARS[gradient.dtype], KINDS.index(kind), int(gated)]
    return [gradient, inner], numbers, [], [inner.new_empty(inner.shape)]


def _attention_gradient(
    gradient: Tensor,
    qkv: Tensor,
    lse: Tensor,
    offsets: Tensor,
    longest: int,
    scale: float,
    positive: bool = False,
    tf32: bool = False,
    bias: Tensor | None = None,
) -> Any:
    if tf32:
        raise ValueError("tf32: the emulator has no tensor cores")
    segments = len(offsets) - 1
    side = 0 if bias is None else bias.shape[1]
    numbers = [len(qkv), *qkv.shape[2:], segments, longest, SCALARS[qkv.dtype], int(positive), side]
    return [gradient, qkv, lse, offsets, bias], numbers, [scale], [lse.new_empty((segments, longest, longest))]


def module(op: str, name: str) -> ModuleType:
    """A module of an operation's package: spec or reference."""
    return importlib.import_module(f"calig_fast.ops.{op}.{name}")


def cases(op: str) -> Cases:
    """Name and arguments of every sample case, and of some as wide as models are, in every dtype."""
    for dtype in module(op, "spec").DTYPES:
        for case in module(op, "spec").sample_cases(dtype):
            yield f"{op}, {dtype}, {case.name}", case.args
        for name, args in _wider(op, dtype):
            yield f"{op}, {dtype}, {name}", args


def _wider(op: str, dtype: torch.dtype) -> Cases:
    """Wider cases than the sample cases: packs of 16 bytes, several pieces a row."""
    torch.manual_seed(0)
    yield from WIDER[op](dtype)


def _normal(dtype: torch.dtype, *shape: int) -> Tensor:
    return torch.randn(shape).to(dtype)


def _wider_interpolate_path(dtype: torch.dtype) -> Cases:
    for width in (8, 264, 768):
        yield f"D {width}", (_normal(dtype, 8, width), _normal(dtype, 8, width), OFFSETS, INPUTS, torch.rand(3))


def _wider_accumulate_gradients(dtype: torch.dtype) -> Cases:
    for widths in ((8,), (1032,), (264, 1100)):
        lists = [[_normal(dtype, n, w) for w in widths] for n in (13, 8)]
        yield f"D {widths}", (*lists, OFFSETS, INPUTS, torch.rand(3), len(widths) == 1)


def _wider_fuse_rollout(dtype: torch.dtype) -> Cases:
    for lengths in ((33,), (128,), (200,), (700,), (34, 0, 37, 219)):  # the last: some held and some not
        tokens, bounds = sum(lengths), torch.tensor([0, *lengths]).cumsum(0)
        parts = [_normal(dtype, n) for n in (tokens, sum(n**2 for n in lengths))]
        yield f"T {lengths}", (*parts, bounds, _normal(dtype, tokens), _normal(dtype, tokens), 0.5)


def _wider_norm_backward(dtype: torch.dtype) -> Cases:
    normal = partial(_normal, dtype)
    for width in (384, 1088, 1601, 8320):
        statistics = torch.randn(5, 1).to(wide(dtype)), torch.rand(5, 1).to(wide(dtype)) + 0.5
        yield f"D {width}", (normal(5, width), normal(5, width), *statistics, normal(width), normal(5, width))


def _wider_activation_backward(dtype: torch.dtype) -> Cases:
    for kind in KINDS:
        yield f"I 520, {kind}", (_normal(dtype, 3, 520), _normal(dtype, 3, 520), kind)
        yield f"I 520, {kind}, gated", (_normal(dtype, 3, 520), _normal(dtype, 3, 1040), kind, True)


def _wider_attention_gradient(dtype: torch.dtype) -> Cases:
    # several pieces a head with and without a tail, units cut off, whole tiles, one head alone
    for tokens, heads, size in ((68, 2, 64), (64, 1, 128), (30, 2, 136), (12, 3, 20), (9, 1, 5)):
        yield f"T {tokens}, {heads} heads of {size}", _attention(dtype, tokens, heads, size)
    yield "T 68, 2 heads of 64, bias", _attention(dtype, 68, 2, 64, torch.randn(2, 70, 70).to(wide(dtype)))


def _attention(dtype: torch.dtype, tokens: int, heads: int, size: int, bias: Tensor | None = None) -> tuple[Any, ...]:
    """Arguments of attention_gradient: a segment of the tokens, and one without any."""
    qkv, offsets, scale = _normal(dtype, tokens, 3, heads, size), torch.tensor([0, 0, tokens]), size**-0.5
    lse = module("attention_forward", "spec").exact(qkv, offsets, tokens, scale, bias)[1]
    return _normal(dtype, tokens, heads, size), qkv, lse.to(wide(qkv.dtype)), offsets, tokens, scale, False, False, bias


WIDER = {
    "interpolate_path": _wider_interpolate_path,
    "accumulate_gradients": _wider_accumulate_gradients,
    "fuse_rollout": _wider_fuse_rollout,
    "norm_backward": _wider_norm_backward,
    "activation_backward": _wider_activation_backward,
    "attention_gradient": _wider_attention_gradient,
}


def refusal(op: str, args: tuple[Any, ...], got: list[Tensor]) -> str | None:
    """The reason why a result is not accurate enough, or None."""
    exact, plain = module(op, "spec").exact(*args), module(op, "pytorch").__dict__[op](*args)
    plain = plain if isinstance(plain, tuple) else (plain,)
    for g, w, p in zip(got, exact, plain, strict=True):
        if not w.numel():
            continue
        unit = torch.finfo(g.dtype).eps * float(w.abs().max())
        mine, theirs = (float((x.double() - w).abs().max()) for x in (g, p))
        if not mine <= 2 * theirs + FLOORS.get(op, FLOOR) * unit:  # nor a nan
            return f"error {mine:.3g}, plain PyTorch's {theirs:.3g}, unit {unit:.3g}"
    return None


def save(path: Path, problems: list[Problem]) -> None:
    """A file for the standalone program."""
    path.write_bytes(b"".join(p.packed() for p in problems))
