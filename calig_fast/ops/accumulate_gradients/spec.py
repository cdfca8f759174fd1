"""Specification of accumulate_gradients: schema, checks, fake, float64 definition, sample cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..checks import check_inputs, check_offsets, check_rows, check_same_device, check_tensor
from ..samples import Case, Layout, layouts, numbers, strided

# steps and begin: the table of the path segments (csrc/common/path_steps_torch.h), made on the host once a wave; only
# the CUDA kernels read it
SCHEMA = (
    "(Tensor[] gradients, Tensor[] directions, Tensor offsets, Tensor inputs, Tensor weights, bool with_lig=False,"
    " Tensor[]? starts=None, Tensor? steps=None, Tensor? begin=None) -> (Tensor, Tensor, Tensor)"
)
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def check(
    gradients: Sequence[Tensor],
    directions: Sequence[Tensor],
    offsets: Tensor,
    inputs: Tensor,
    weights: Tensor,
    with_lig: bool,
    starts: Sequence[Tensor] | None = None,
) -> None:
    """Raise TypeError or ValueError where the arguments do not fit."""
    starts = () if starts is None else starts
    for name, given in (("gradients", gradients), ("directions", directions), ("starts", starts)):
        if isinstance(given, Tensor) or not isinstance(given, Sequence):
            raise TypeError(f"{name}: expected a list of one or two tensors, got {type(given).__name__}")
    if len(gradients) not in (1, 2) or len(gradients) != len(directions):
        raise ValueError(
            f"gradients, directions: expected one or two of each, got {len(gradients)} and {len(directions)}"
        )
    if len(starts) not in (0, len(directions)):
        raise ValueError(f"starts: expected None or as many as the {len(directions)} directions, got {len(starts)}")
    if with_lig and len(gradients) == 2:
        raise ValueError("with_lig: takes one pair of gradients and directions, got two; call once a pair")
    check_tensor("gradients[0]", gradients[0], ["rows", "D_0"], DTYPES)
    dtype = gradients[0].dtype
    wider = (dtype, torch.float32) if dtype.itemsize == 2 else (dtype,)
    check_tensor("directions[0]", directions[0], ["tokens", "D_0"], wider)
    (rows, _), (tokens, _), along = gradients[0].shape, directions[0].shape, directions[0].dtype
    devices: dict[str, Tensor] = {}
    for k, (gradient, direction) in enumerate(zip(gradients, directions, strict=True)):
        check_tensor(f"gradients[{k}]", gradient, [rows, f"D_{k}"], [dtype])
        check_tensor(f"directions[{k}]", direction, [tokens, gradient.shape[1]], [along])
        devices |= {f"gradients[{k}]": gradient, f"directions[{k}]": direction}
    for k, start in enumerate(starts):
        devices[f"starts[{k}]"] = check_tensor(f"starts[{k}]", start, list(directions[k].shape), [along])
    check_offsets(offsets, tokens)
    check_inputs(inputs, offsets.shape[0] - 1)
    check_tensor("weights", weights, [inputs.shape[0]], [torch.float32, torch.float64])
    check_same_device({**devices, "offsets": offsets, "inputs": inputs, "weights": weights})
    check_rows("gradients", rows, offsets, inputs)


def fake(
    gradients: Sequence[Tensor],
    directions: Sequence[Tensor],
    offsets: Tensor,
    inputs: Tensor,
    weights: Tensor,
    with_lig: bool = False,
    starts: Sequence[Tensor] | None = None,
    steps: Tensor | None = None,
    begin: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The results' shapes and dtype."""
    tokens, width = directions[0].shape
    dtype = torch.float64 if gradients[0].dtype == torch.float64 else torch.float32
    shapes = ((gradients[0].shape[0],), (tokens,), (tokens if with_lig else 0, width))
    phi, r, lig = (gradients[0].new_empty(shape, dtype=dtype) for shape in shapes)
    return phi, r, lig


def exact(
    gradients: Sequence[Tensor],
    directions: Sequence[Tensor],
    offsets: Tensor,
    inputs: Tensor,
    weights: Tensor,
    with_lig: bool = False,
    starts: Sequence[Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The formulas, segment by segment, in float64."""
    g, d = [x.double() for x in gradients], [x.double() for x in directions]
    if starts:
        d = [end - start.double() for end, start in zip(d, starts, strict=True)]
    phi, r, lig = g[0].new_zeros(len(g[0])), d[0].new_zeros(len(d[0])), torch.zeros_like(d[0])
    row = 0
    for b, weight in zip(inputs.tolist(), weights.tolist(), strict=True):
        for t in range(int(offsets[b]), int(offsets[b + 1])):
            phi[row] = sum((x[row] * y[t]).sum() for x, y in zip(g, d, strict=True))
            r[t] += weight * phi[row]
            lig[t] += weight * g[0][row] * d[0][t]
            row += 1
    return phi, r, lig if with_lig else lig[:0]


def sample_cases(dtype: torch.dtype) -> list[Case]:
    """Small problems that have gone wrong in kernels before."""
    cases = []
    for name, offsets, inputs in layouts():
        tokens = int(offsets[-1])
        rows = int((offsets[1:] - offsets[:-1])[inputs].sum())
        weights = torch.rand(inputs.numel(), generator=torch.Generator().manual_seed(5)) - 0.3
        for widths in ((1,), (67,), (130, 7)):
            gradients = [numbers((rows, w), dtype, 1 + i) for i, w in enumerate(widths)]
            directions = [numbers((tokens, w), dtype, 3 + i) for i, w in enumerate(widths)]
            where = f"{name}, D {' and '.join(map(str, widths))}"
            starts = [numbers((tokens, w), dtype, 6 + i) for i, w in enumerate(widths)]
            rest = offsets, inputs, weights
            cases.append(Case(where, (gradients, directions, *rest, False)))
            cases.append(Case(f"{where}, starts", (gradients, directions, *rest, False, starts)))
            if dtype.itemsize == 2:
                wide = [[t.float() for t in given] for given in (directions, starts)]
                cases.append(Case(f"{where}, float32", (gradients, wide[0], *rest, len(widths) == 1)))
                cases.append(Case(f"{where}, float32, starts", (gradients, wide[0], *rest, False, wide[1])))
            if len(widths) == 1:
                apart = [strided(g) for g in gradients], [strided(d) for d in directions]
                double = offsets, inputs, weights.double()
                cases.append(Case(f"{where}, lig, strided", (*apart, *double, True)))
                from_starts = [strided(start) for start in starts]
                cases.append(Case(f"{where}, starts, lig, strided", (*apart, *double, True, from_starts)))
    return cases


def large(layout: Layout) -> tuple[Any, ...]:
    """Arguments large enough to be cut between threads."""
    pairs = [torch.randn(layout.rows, layout.width)], [torch.randn(layout.tokens, layout.width)]
    return (*pairs, layout.offsets, layout.inputs, torch.rand(len(layout.segments)), True)
