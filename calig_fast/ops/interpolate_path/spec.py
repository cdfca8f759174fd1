"""Specification of interpolate_path: schema, checks, fake, float64 definition, sample cases."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..checks import check_inputs, check_offsets, check_rows, check_same_device, check_tensor
from ..samples import Case, Layout, layouts, numbers, strided

# steps and begin: the table of the path segments (csrc/common/path_steps_torch.h), made on the host once a wave; only
# the CUDA kernels read it
SCHEMA = (
    "(Tensor start, Tensor end, Tensor offsets, Tensor inputs, Tensor nodes, int? rows=None,"
    " Tensor? before=None, Tensor? steps=None, Tensor? begin=None) -> Tensor"
)
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def check(
    start: Tensor,
    end: Tensor,
    offsets: Tensor,
    inputs: Tensor,
    nodes: Tensor,
    rows: int | None = None,
    before: Tensor | None = None,
) -> None:
    """Raise TypeError or ValueError where the arguments do not fit."""
    check_tensor("start", start, ["tokens", "D"], DTYPES)
    check_tensor("end", end, list(start.shape), [start.dtype])
    check_offsets(offsets, start.shape[0])
    check_inputs(inputs, offsets.shape[0] - 1)
    check_tensor("nodes", nodes, [inputs.shape[0]], [torch.float32, torch.float64])
    tensors = {"start": start, "end": end, "offsets": offsets, "inputs": inputs, "nodes": nodes}
    if before is not None:
        narrower = (torch.float16, torch.bfloat16) if start.dtype == torch.float32 else ()
        tensors["before"] = check_tensor("before", before, ["Q", start.shape[1]], [start.dtype, *narrower])
    check_same_device(tensors)
    if rows is not None:
        check_rows("rows", rows, offsets, inputs)


def fake(
    start: Tensor,
    end: Tensor,
    offsets: Tensor,
    inputs: Tensor,
    nodes: Tensor,
    rows: int | None = None,
    before: Tensor | None = None,
    steps: Tensor | None = None,
    begin: Tensor | None = None,
) -> Tensor:
    """The result's shape; without `rows` it depends on the values of `offsets` and `inputs`."""
    known = torch.library.get_ctx().new_dynamic_size() if rows is None else rows
    first = start[:0] if before is None else before
    return first.new_empty((known + first.shape[0], start.shape[1]))


def exact(
    start: Tensor,
    end: Tensor,
    offsets: Tensor,
    inputs: Tensor,
    nodes: Tensor,
    rows: int | None = None,
    before: Tensor | None = None,
) -> tuple[Tensor]:
    """The formula, segment by segment, in float64."""
    points = [(start[:0] if before is None else before).double()]
    for b, a in zip(inputs.tolist(), nodes.tolist(), strict=True):
        here = slice(int(offsets[b]), int(offsets[b + 1]))
        first, last = start[here].double(), end[here].double()
        points.append(first + a * (last - first))
    return (torch.cat(points),)


def sample_cases(dtype: torch.dtype) -> list[Case]:
    """Small problems that have gone wrong in kernels before."""
    cases = []
    for name, offsets, inputs in layouts():
        for width in (1, 7, 67):
            tokens, count = int(offsets[-1]), inputs.numel()
            ends = numbers((tokens, width), dtype, 1), numbers((tokens, width), dtype, 2)
            nodes = torch.rand(count, generator=torch.Generator().manual_seed(3))
            nodes[::3], nodes[1::3] = 0.0, 1.0
            cases.append(Case(f"{name}, D {width}", (*ends, offsets, inputs, nodes)))
            turned = nodes.flip(0).double()
            apart = *map(strided, ends), offsets, inputs, strided(turned)
            cases.append(Case(f"{name}, D {width}, strided", apart))
            rows, first = int(offsets.diff()[inputs].sum()), numbers((5, width), dtype, 4)
            cases.append(Case(f"{name}, D {width}, before", (*ends, offsets, inputs, nodes, rows, first)))
            cases.append(Case(f"{name}, D {width}, strided, before", (*apart, rows, strided(first))))
            if dtype.itemsize == 2:
                wide = *(end.float() for end in ends), offsets, inputs, nodes
                cases.append(Case(f"{name}, D {width}, float32, before", (*wide, rows, first)))
    return cases


def large(layout: Layout) -> tuple[Any, ...]:
    """Arguments large enough to be cut between threads."""
    size = layout.tokens, layout.width
    return torch.randn(size), torch.randn(size), layout.offsets, layout.inputs, torch.rand(len(layout.segments))
