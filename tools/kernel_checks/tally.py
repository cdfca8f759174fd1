"""Counts the operator calls, bytes and operations of a computation, on any device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import flop_registry

from calig_fast.bench.products import ATTENTION
from calig_fast.engines.native import compiled
from calig_fast.engines.native import linear as product

BANDWIDTH = 3.35e12
# of an H100 SXM: name, operations a second of matrix products, bytes of a number
PEAKS = (("float32", 67e12, 4), ("float32, TF32 products", 494e12, 4), ("bfloat16", 989e12, 2))


@dataclass(frozen=True)
class Call:
    """One operator call that computes something.

    Args:
        bytes: of every tensor it reads or writes, once, floating ones as float32.
        integers: the part of the bytes of integers and bools.
        products: operations of matrix products.
        others: one for each number written by any other operator.
    """

    bytes: float
    integers: float
    products: float
    others: float

    def seconds(self, peak: float, size: int) -> float:
        """The least time: of its bytes, or of its products."""
        moved = self.integers + (self.bytes - self.integers) * size / 4
        return max(moved / BANDWIDTH, self.products / peak)


def _bytes(tensor: Tensor) -> int:
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _only_looks(func: Any) -> bool:
    """Return True if an operator makes a view or bare memory, so that no GPU kernel runs."""
    returns = func._schema.returns
    views = bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)
    return views or "empty" in func.__name__ or func.__name__.split(".")[0] in ("detach", "_local_scalar_dense")


class Tally(TorchDispatchMode):
    """The calls made while it is entered; operators of this package count as one, as their kernels do the work.

    Args:
        skip: answer matrix products with zeros, which is faster and changes no count where no number decides what is
            done next.
    """

    def __init__(self, skip: bool = False) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.skip = skip

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        packet = func.overloadpacket
        skipped = self.skip and (packet in ATTENTION or packet in flop_registry)
        out = _zeros(func, args, kwargs) if skipped else func(*args, **kwargs)
        if not _only_looks(func):
            written = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
            read = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
            every = list({id(t): t for t in (*read, *written)}.values())
            products = _products(packet, args, kwargs, out)
            self.calls.append(
                Call(
                    sum(map(_bytes, every)),
                    sum(_bytes(t) for t in every if not t.is_floating_point()),
                    products,
                    0 if products else sum(t.numel() for t in written),
                )
            )
        return out

    def summary(self) -> dict[str, Any]:
        """Totals, and the sums of each call's least time in seconds, by the names of `PEAKS`."""
        return {
            "calls": len(self.calls),
            "bytes": sum(c.bytes for c in self.calls),
            "products": sum(c.products for c in self.calls),
            "others": sum(c.others for c in self.calls),
            "seconds": {name: sum(c.seconds(peak, size) for c in self.calls) for name, peak, size in PEAKS},
        }


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """Let the engine use PyTorch's products, in place of ours or oneDNN's, and call them from Python: to be counted."""
    narrow = mock.patch.object(product, "_mkl_is_narrow", return_value=False)
    in_python = mock.patch.object(compiled, "takes", return_value=False)
    with torch.backends.mkldnn.flags(enabled=False), narrow, in_python:
        yield


def _zeros(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Results of the right shapes, made without the arithmetic."""
    shapes = func(*tree_map_only(Tensor, lambda t: t.to("meta"), args), **kwargs)
    return tree_map_only(Tensor, lambda t: torch.empty_strided(t.shape, t.stride(), dtype=t.dtype).zero_(), shapes)


def _products(packet: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> float:
    if packet in ATTENTION:
        products, at = ATTENTION[packet]
        n, heads, asking, dim = args[at].shape
        return float(products * 2 * n * heads * asking * args[at + 1].shape[2] * dim)
    return float(flop_registry[packet](*args, **kwargs, out_val=out)) if packet in flop_registry else 0.0
