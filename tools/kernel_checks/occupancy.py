"""The warps that a kernel can keep in flight on a multiprocessor, from the resources that the compiler reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Multiprocessor:
    """The resources of one multiprocessor, by the vendors' tables.

    Args:
        warps: most in flight.
        lanes: of a warp.
        registers: of all lanes.
        unit: registers of a warp are given out in multiples of this.
        shared: bytes of shared memory.
        reserved: bytes of it that each block loses to the system.
        blocks: most in flight.
    """

    warps: int
    lanes: int
    registers: int
    unit: int
    shared: int
    reserved: int
    blocks: int


KINDS = {
    "sm_80": Multiprocessor(64, 32, 65536, 256, 164 * 1024, 1024, 32),
    "sm_90": Multiprocessor(64, 32, 65536, 256, 228 * 1024, 1024, 32),
    "sm_100": Multiprocessor(64, 32, 65536, 256, 228 * 1024, 1024, 32),
    "gfx942": Multiprocessor(32, 64, 4 * 512 * 64, 512, 64 * 1024, 0, 32),
}


def occupancy(arch: str, threads: int, registers: int, shared: int) -> float:
    """The share of a multiprocessor's warps that can be in flight: the least of what four limits allow.

    Args:
        arch: a key of `KINDS`.
        threads: of a block.
        registers: of a thread.
        shared: bytes of a block.

    Returns:
        warps in flight over the most there can be; 0 where a block does not fit.
    """
    kind = KINDS[arch]
    warps = -(-threads // kind.lanes)
    of_warp = -(-max(registers, 1) * kind.lanes // kind.unit) * kind.unit
    by_registers = kind.registers // of_warp // warps
    by_shared = kind.shared // max(shared + kind.reserved, 1)
    return min(kind.warps // warps, by_registers, by_shared, kind.blocks) * warps / kind.warps
