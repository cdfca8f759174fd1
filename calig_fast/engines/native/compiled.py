"""The passes through the blocks in C++ (csrc/wave): one call a pass, no Python between the blocks.

They call the same kernels in the same order as the passes in Python, `path_batch` and `whole_pass`, which are their
definition: the results are equal to the last bit. They run where every operation has a compiled kernel for the rows;
with the backend "cuda" the attention's is Triton's. The passes in Python run for the other backends: plain PyTorch,
Triton, and those from outside of the package.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...model.attention_capture import MapKind
from ...model.encoder import Block
from ...ops import extension
from ...ops.accumulate_gradients import OPERATION as ACCUMULATE
from ...ops.activation_backward import OPERATION as ACTIVATION
from ...ops.add_norm import OPERATION as ADD_NORM
from ...ops.attention_backward import OPERATION as ATTENTION_BACKWARD
from ...ops.attention_forward import OPERATION as ATTENTION_FORWARD
from ...ops.attention_gradient import OPERATION as MAPS
from ...ops.dispatch import Operation
from ...ops.interpolate_path import OPERATION as INTERPOLATE
from ...ops.norm_backward import OPERATION as NORM
from ...ops.packing import Packed, Segments
from . import block as blocks
from .linear import by_onednn, by_ours

if TYPE_CHECKING:
    from .path_batch import BatchKey, BlockRunner, PathEndpoints

PRODUCTS = ("torch", "tiles", "ours")  # in the order of `Products` in csrc/wave/stack.h


def takes(rows: Tensor) -> bool:
    """Return True if the passes in C++ take such rows: they record no gradients, and read real memory."""
    return type(rows) is Tensor and not torch.is_grad_enabled()


@torch.no_grad()
def stack_of(runner: BlockRunner) -> torch.ScriptObject | None:
    """The blocks as the passes in C++ take them, or None where an operation has no compiled kernel for their rows."""
    weight, backend = runner.stack[0].qkv.weight, runner.backend
    known = all(block.basic and block.rules is None for block in runner.stack)
    if extension().module is None or weight.dtype != runner.dtype or not known:
        return None
    tensors = [tensor for block in runner.stack for tensor in _tensors(block)]
    if not all(map(_is_plain, tensors)):
        return None
    rows = weight.new_empty(0, 3, 1, runner.stack[0].head_size)
    if not _is_compiled(rows, backend):
        return None
    product = "ours" if by_ours(rows, backend) else "tiles" if by_onednn(rows) else "torch"
    apart = MAPS.resolve(backend, [rows]) != ATTENTION_BACKWARD.resolve(backend, [rows])
    choices = [PRODUCTS.index(product), int(runner.first_only), int(runner.linear), int(apart)]
    integers = [n for b in runner.stack for n in (b.heads, b.pre_norm, b.gated, blocks.is_one_pass(b, rows, backend))]
    stack: torch.ScriptObject = torch.classes.calig_fast.Stack(
        tensors,
        [int(n) for n in integers],
        [float(x) for b in runner.stack for x in (b.scale, *(n.eps for n in (b.norm1, b.norm2) if n))],
        [block.activation for block in runner.stack],
        choices,
    )
    return stack


def path_forward(
    stack: torch.ScriptObject, table: Tensor, shape: BatchKey, lines: PathEndpoints
) -> tuple[Tensor, Tensor, torch.ScriptObject]:
    """`BlockRunner.up`: the last rows, the input of each point, and the state."""
    ends = lines.low, lines.high, lines.qkv_low, lines.qkv_high
    outputs: tuple[Tensor, Tensor, torch.ScriptObject] = torch.ops.calig_fast.wave_up(
        stack, table, shape.layers, shape.lengths, lines.offsets, *ends
    )
    return outputs


def path_backward(state: torch.ScriptObject, g: Tensor, free: bool) -> Tensor:
    """`BlockRunner.down`: phi of all points' rows."""
    phi: Tensor = torch.ops.calig_fast.wave_down(state, g, free)
    return phi


def whole_forward(
    stack: torch.ScriptObject, x: Tensor, segments: Segments
) -> tuple[list[Tensor], list[Tensor], torch.ScriptObject, Tensor]:
    """`WholePass.up`."""
    out, hidden, projections, state = torch.ops.calig_fast.whole_up(stack, x, segments.offsets, segments.lengths)
    return hidden, projections, state, out


def whole_backward(
    state: torch.ScriptObject, g: Tensor, lines: PathEndpoints, packed: Packed, *, maps: MapKind | None, free: bool
) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """`WholePass.derivatives`."""
    where = packed.positions, packed.lengths, packed.shape[1]
    derivatives: tuple[Tensor, Tensor, Tensor, list[Tensor]] = torch.ops.calig_fast.whole_down(
        state, g, lines.low, lines.high, *where, maps, free
    )
    return derivatives


def _is_compiled(rows: Tensor, backend: str) -> bool:
    """Return True if the kernels that run are those that C++ calls, for rows and for the paths' ends."""
    wide = rows.new_empty(0, dtype=torch.promote_types(rows.dtype, torch.float32))
    narrow = ATTENTION_FORWARD, ATTENTION_BACKWARD, ADD_NORM, NORM, ACTIVATION
    pairs = [*((op, rows) for op in narrow), (INTERPOLATE, wide), (ACCUMULATE, wide)]
    try:
        chosen = {op: op.resolve(backend, [sample]) for op, sample in pairs}
    except RuntimeError:  # a backend asked for that cannot run: the passes in Python say so, or have another for it
        return False
    others = {op: name for op, name in chosen.items() if name != rows.device.type}
    if not others:
        return True
    # CUDA has no kernel of the attention: Triton's is called from C++
    if rows.device.type != "cuda" or not set(others.items()) <= {(op, "triton") for op in narrow[:2]}:
        return False
    for op in others:
        _register(op)
    return True


@cache
def _register(operation: Operation) -> None:
    operation.register("triton", "CUDA")


def _is_plain(tensor: Tensor | None) -> bool:
    """Return False for a subclass, whose operations are its own (quantized or distributed weights)."""
    return tensor is None or type(tensor) in (Tensor, torch.nn.Parameter)


def _tensors(block: Block) -> list[Tensor | None]:
    """The tensors of a block, in the order of csrc/wave/stack_torch.cpp."""
    layers = block.qkv, block.out, block.up, block.down, block.norm1, block.norm2
    pairs = (t for layer in layers if layer for t in (layer.weight, layer.bias))
    return [*pairs, block.scale1, block.scale2]
