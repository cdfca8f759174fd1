"""Common parts of the Triton implementations: supported tensors, the launch, and the segments of each token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from .backend.triton import interpreting as interpreting

Variant = tuple[str, dict[str, Any], triton.Config]  # the name's first word is its kernel's, where there are several
AMD = torch.version.hip is not None
WIDEST = 16384  # columns of a row that a program holds in registers
_INTERPRETED = {"ROWS": 64, "HELD": 64, "MET": 64}  # the interpreter takes about 2 ms a program, whatever its tile


def refusal(tensors: Sequence[Tensor], width: int = 0) -> str | None:
    """The reason why the Triton kernels cannot take these tensors, or None.

    Args:
        tensors: the arguments.
        width: columns of the widest row, where a program holds whole rows.
    """
    for tensor in tensors:
        if not (tensor.is_cuda or (interpreting() and tensor.device.type == "cpu")):
            return f"a tensor is on {tensor.device}, the triton kernels take those of a GPU (TRITON_INTERPRET=1: CPU)"
    return f"rows of {width}, the triton kernels hold at most {WIDEST}" if width > WIDEST else None


def computed_in(dtype: torch.dtype) -> torch.dtype:
    """The dtype of sums over tensors of some dtype."""
    return torch.promote_types(dtype, torch.float32)


def language(dtype: torch.dtype) -> Any:
    """Triton's name of the dtype that such tensors are computed in."""
    return tl.float64 if computed_in(dtype) == torch.float64 else tl.float32


def padded(width: int) -> int:
    """The number of a tile's columns for rows of a width."""
    return int(triton.next_power_of_2(max(width, 1)))


@cache
def whole_rows(width: int, beside: int = 0) -> tuple[triton.Config, ...]:
    """Configurations of kernels with whole rows in a program; the first is used where nothing can be measured.

    Args:
        width: columns of a row.
        beside: columns of a second one that is held with it.
    """
    held = padded(width) + (padded(beside) if beside else 0)
    counts = sorted({min(64, padded(elements // padded(held))) for elements in (1024, 2048, 4096)})
    warps = [1 << max(rows * held // 512, 1).bit_length() - 1 for rows in counts]
    return tuple(
        triton.Config({"ROWS": rows, "COLUMNS": padded(width)}, num_warps=min(16, w))
        for rows, w in zip(counts, warps, strict=True)
    )


@cache
def _tuner(kernel: Any, configs: tuple[triton.Config, ...]) -> Any:
    key = [name for name in kernel.arg_names if name in ("width", "SIZE")]
    return triton.autotune(configs=list(configs), key=key)(kernel)


def launch(
    kernel: Any,
    configs: tuple[triton.Config, ...],
    grid: Callable[[dict[str, Any]], tuple[int, ...]],
    *args: Any,
    **constants: Any,
) -> None:
    """Run a kernel on the device of its first argument, in the configuration that is the fastest there.

    Args:
        kernel: the kernel; where its `width` or `SIZE`, if any, changes, another configuration may be the fastest.
        configs: the configurations to choose from. The interpreter takes the first, with more rows.
        grid: programs, from the configuration's values.
        *args: the kernel's arguments.
        **constants: its compile-time constants that the configurations do not set.
    """
    if interpreting():
        tile = {name: _INTERPRETED.get(name, value) for name, value in configs[0].kwargs.items()}
        kernel[grid](*args, **constants, **tile)
        return
    with torch.cuda.device_of(args[0]):
        _tuner(kernel, configs)[grid](*args, **constants)


class Plan(NamedTuple):
    """The segments of every token; made on the tokens' device, without a synchronisation.

    Args:
        owner: [tokens] int64, the input of each token.
        offsets: [B+1] int64, the first token of each input.
        begins: [B+1] int64, the first place of each input's segments in the next two.
        firsts: [S] int64, the first row of each segment, input after input.
        values: [S], the segments' nodes or weights in the same order.
    """

    owner: Tensor
    offsets: Tensor
    begins: Tensor
    firsts: Tensor
    values: Tensor


def plan(offsets: Tensor, inputs: Tensor, values: Tensor, tokens: int, dtype: torch.dtype) -> Plan:
    """The plan of some segments, their values in `dtype`."""
    lengths = offsets.diff()[inputs]
    order = torch.argsort(inputs, stable=True)
    of_tokens = torch.arange(tokens, device=offsets.device)
    of_inputs = torch.arange(offsets.numel(), device=offsets.device)
    return Plan(
        torch.searchsorted(offsets[1:].contiguous(), of_tokens, right=True),
        offsets.contiguous(),
        torch.searchsorted(inputs[order], of_inputs),
        (lengths.cumsum(0) - lengths)[order],
        values[order].to(dtype),
    )


@triton.jit
def segments_of(token, mine, owner, offsets, begins):
    """First and last place of the segments of some tokens, and where the tokens lie in them."""
    b = tl.load(owner + token, mask=mine, other=0)
    place = tl.load(begins + b, mask=mine, other=0)
    stop = tl.load(begins + b + 1, mask=mine, other=0)
    return place, stop, token - tl.load(offsets + b, mask=mine, other=0)
