"""The memory budget: the caller's or a default, and what it has room for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from .._utils import heap

# Of a GPU's memory. Computed, not measured on one: a 64th of 80 GB is 5,000 rows of a BERT base over half its blocks,
# which fills the tensor cores, and the eight waves that are recorded at most take an eighth.
SHARE = 64
# What a wave takes in pages over what its tensors count: a ViT-S/14 of 65 tokens grew 5 MiB above 56, and a MiniLM 12
# above 128 (glibc 2.36).
PAGES = 1.1
# The same of a whole call on a CPU: freed memory lies in pieces between what is held, and the libraries have buffers of
# their own. MiniLM-L6 at budgets of 64 MiB to 1 GiB took 1.4 to 2 times its tensors; a wave after `give_back` 1.1 to
# 1.5 times its own (glibc 2.36, Zen 4).
PIECES = 2.0
GROWTH = 1.5
ENDS_16 = 4.0  # in 16 bits: paths are of float32, in which the first calls run too, for the rounding
# Bytes of the code that oneDNN makes of such products on a CPU, one a size and a weight: MiniLM-L6 (Zen 4).
CODE_16 = 40 * 2**20


class BudgetError(ValueError):
    """A memory budget that has no room for one input."""


@dataclass
class Budget:
    """The memory of a call.

    Args:
        size: bytes.
        stated: the caller's own. Then it holds all that a call takes beside the model and the results: copies of
            weights, both ends of the paths, their saved tensors and a wave; else a wave alone.
        overhead: bytes that the process takes for a byte of tensors.
        ends: bytes of both ends of the paths and their saved tensors, over the latter.
        copies: of weights that are not the model's own, and the code of products.
        limit: bytes that the process may have; 0 where the system does not say what it has.
        waiting: bytes of tensors of runs that wait while another has its turn.
    """

    size: int
    stated: bool
    overhead: float = PAGES
    ends: float = 1.0
    copies: int = 0
    limit: int = 0
    waiting: int = 0

    @classmethod
    def of(cls, stated: int | None, device: torch.device, least: int, dtype: torch.dtype) -> Budget:
        """The budget that the caller states, or a default: the least that keeps a device busy.

        Args:
            stated: bytes, or None.
            device: where the blocks' weights are.
            least: bytes on a CPU, and on a small GPU.
            dtype: of the blocks.
        """
        if stated is not None:
            overhead, code = (PAGES, 0) if device.type == "cuda" else (PIECES, CODE_16)
            return cls(stated, True, overhead, *((ENDS_16, code) if dtype.itemsize == 2 else (1.0, 0)))
        return cls(_default(device, least), False)

    @property
    def tensors(self) -> int:
        """Bytes of tensors that it has room for."""
        return max(0, int((self.size - self.copies) / self.overhead))

    def begin(self, device: torch.device) -> None:
        """A call begins, its weights copied already: what the process has now is not the call's."""
        if self.stated and device.type == "cpu":
            heap.give_back()
            now = heap.process_bytes()
            self.limit = now and now - self.copies + self.size

    def for_wave(self, held: Iterable[Tensor], wanted: int) -> int:
        """Bytes of tensors that the next wave may take.

        Args:
            held: the tensors of the run: both ends of all paths, and the attention maps.
            wanted: that it would take.
        """
        if not self.stated:
            return self.tensors
        room = self.tensors - self.waiting - sum(t.nbytes for t in held)
        return min(room, self._free(min(room, wanted)))

    def _free(self, wanted: int) -> int:
        """Bytes of tensors that the process has room for; pieces are given back where so many want more."""
        if not self.limit:
            return wanted
        if heap.process_bytes() + GROWTH * wanted > self.limit:
            heap.give_back()
        return int((self.limit - heap.process_bytes()) / GROWTH)

    def inputs(self, row_bytes: int) -> int:
        """Inputs that it has room for with both ends of their paths, one at least.

        Args:
            row_bytes: that the pass of the endpoints holds for one of its rows.
        """
        each = 2 * row_bytes * self.ends
        room = min(self.tensors, self._free(self.tensors)) if self.stated else self.size
        return max(1, int(room / each))

    def share(self, other: Budget, held: Iterable[Tensor]) -> None:
        """Leave another engine's budget what this one's copies and tensors leave."""
        if self.stated:
            other.size = max(1, int(self.size - self.copies - self.overhead * sum(t.nbytes for t in held)))
            other.limit = self.limit

    def halve(self) -> None:
        """Take half, as the device lacks memory."""
        self.size = max(1, self.size // 2)

    def check(self, needed: int, tokens: int) -> None:
        """Refuse a budget of the caller's that has no room for one input.

        Args:
            needed: bytes of tensors that it takes.
            tokens: of the input.

        Raises:
            BudgetError: it has none.
        """
        least = self.copies + self.overhead * (self.ends * needed + self.waiting)
        if not self.stated or least <= self.size:
            return
        fixed = f", {-(-self.copies // 2**20):,} MiB of them for any input" if self.copies >= 2**20 else ""
        raise BudgetError(
            f"memory_budget: expected at least {-(-int(least) // 2**20):,} MiB for an input of {tokens:,} "
            f"tokens by this model{fixed}, got {self.size / 2**20:,.0f} MiB; raise it, or cut the input"
        )


def _default(device: torch.device, least: int) -> int:
    if device.type != "cuda":
        return least
    return max(least, torch.cuda.get_device_properties(device).total_memory // SHARE)


def is_out_of_memory(error: BaseException) -> bool:
    """Return True for an error by which a device, or the system, refuses memory."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
