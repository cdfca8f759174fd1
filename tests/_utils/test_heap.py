"""Freed memory goes back to the system."""

import os

import pytest
import torch

from calig_fast._utils import heap
from calig_fast.corpus import memory


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux")
def test_pieces_between_what_is_held_go_back():
    pieces = [torch.ones(2**17) for _ in range(200)]  # 512 KiB each
    held, pieces = pieces[::2], None
    before = memory.of_process()
    heap.give_back()
    assert memory.of_process() <= before
    assert sum(float(t.sum()) for t in held) == 100 * 2**17


def test_another_c_library_is_no_fault(monkeypatch):
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: object())
    heap.give_back()
