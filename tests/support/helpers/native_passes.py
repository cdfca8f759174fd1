"""Blocks of every kind at tiny sizes, and all results of the native engine's passes through them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from calig_fast.engines.base import PathPoints
from calig_fast.engines.native.path_batch import BatchKey, BlockRunner, to_device
from calig_fast.engines.native.whole_pass import WholePass
from calig_fast.model.encoder import Affine, Block, Norm
from calig_fast.ops.packing import Packed

# (pre-norm, activation, biases, gated, layer scale, affine norms)
KINDS: dict[str, tuple[bool, Any, bool, bool, bool, bool]] = {
    "post-norm": (False, "gelu", True, False, False, True),
    "post-norm, tanh": (False, "gelu_tanh", True, False, False, True),
    "post-norm, relu, bare": (False, "relu", False, False, False, False),
    "post-norm, gated": (False, "silu", True, True, False, True),
    "pre-norm": (True, "gelu", True, False, False, True),
    "pre-norm, relu, scaled": (True, "relu", True, False, True, True),
    "pre-norm, silu, bare": (True, "silu", False, False, False, False),
    "pre-norm, gated, scaled": (True, "silu", True, True, True, True),
    "pre-norm, gated relu": (True, "relu", True, True, False, True),
    "pre-norm, quick": (True, "quick_gelu", True, False, False, True),
    "pre-norm, gated quick": (True, "quick_gelu", False, True, True, True),
    "pre-norm, gated tanh": (True, "gelu_tanh", False, True, True, True),
}
DTYPES = [torch.float32, torch.float64, torch.bfloat16]
MASKS = {
    "whole": [[1] * 6] * 2,
    "ragged": [[1] * 7, [0, 1, 1, 1, 0, 0, 0], [1, 0, 1, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0, 1]],
    "one token": [[1]],
}
DEPTH = 3


def block(kind: str, dtype: torch.dtype, width: int = 12, heads: int = 2, seed: int = 0) -> Block:
    pre_norm, activation, biases, gated, scaled, affine_norms = KINDS[kind]
    g = torch.Generator().manual_seed(seed)
    inner = 2 * width - 3

    def rand(*shape: int) -> Tensor:
        return (torch.randn(*shape, generator=g, dtype=torch.float64) / shape[-1] ** 0.5).to(dtype)

    def affine(out: int, wide: int) -> Affine:
        return Affine(rand(out, wide), rand(out) if biases else None)

    def norm() -> Norm:
        return Norm(1 + rand(width), rand(width), 1e-5) if affine_norms else Norm(None, None, 1e-6)

    return Block(
        qkv=affine(3 * width, width),
        out=affine(width, width),
        norm1=norm(),
        norm2=norm(),
        up=affine(2 * inner if gated else inner, width),
        down=affine(width, inner),
        activation=activation,
        heads=heads,
        scale=0.4,
        pre_norm=pre_norm,
        gated=gated,
        scale1=rand(width) if scaled else None,
        scale2=rand(width) if scaled else None,
    )


def runner(
    kind: str, dtype: torch.dtype, first_only: bool, *, linear: bool = True, backend: str = "auto"
) -> BlockRunner:
    stack = tuple(block(kind, dtype, seed=seed) for seed in range(DEPTH))
    return BlockRunner(stack, first_only, linear, backend, dtype)


class InPython(BlockRunner):
    """The same blocks, passed through in Python."""

    def compiled_stack(self, rows: Tensor) -> None:
        return None


def in_python(one: BlockRunner) -> InPython:
    return InPython(one.stack, one.first_only, one.linear, one.backend, one.dtype)


# nodes of the points at some layers: not at every layer, from a later one on, and at the last alone
NODES: list[dict[int, tuple[float, ...]]] = [{0: (0.25, 0.75), 2: (0.5,)}, {1: (0.0,), 2: (1.0,)}, {2: (0.5, 0.75)}]


def points_of(batch: int, nodes: dict[int, tuple[float, ...]] = NODES[0]) -> PathPoints:
    """Points of every input."""
    every = [(layer, row, node) for layer, at in nodes.items() for row in range(batch) for node in at]
    layer, row, node = (np.array(column) for column in zip(*every, strict=True))
    return PathPoints(layer=layer, row=row, node=node)


@torch.no_grad()
def passes(one: BlockRunner, packed: Packed, maps: Any, downs: int = 2) -> list[Any]:
    """All results of the passes of whole inputs and of a batch of paths."""
    whole = whole_of(one, packed)
    g = torch.Generator().manual_seed(3)

    def rand(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64).to(packed.offsets.device, one.dtype)

    x = rand(*whole.everything.shape, one.stack[0].qkv.weight.shape[1])
    before = x.clone()
    hidden, projections, saved, out = whole.up(x)
    ends, found = whole.ends(hidden, projections), [hidden, projections, out]
    for k in range(downs):
        slope = rand(*out.shape)
        found.append(tuple(whole.derivatives(saved, slope, ends, maps=maps, free=k == downs - 1)))
    for nodes in NODES:
        points = points_of(packed.shape[0], nodes)
        shape = BatchKey.of(points, packed)
        rows, state = one.up(shape, to_device(points, shape, packed.offsets), ends)
        found.extend((rows, state.inputs))
        for k in range(downs):
            found.append(one.down(rand(*rows.shape), state, free=k == downs - 1))
    assert x.is_meta or torch.equal(x, before)
    return found


def whole_of(one: BlockRunner, packed: Packed) -> WholePass:
    return WholePass(runner=one, packed=packed, everything=packed.twice())


def packed_of(layout: str) -> Packed:
    return Packed.of(torch.tensor(MASKS[layout], dtype=torch.bool))
