"""The memory that is measured is memory that was taken, and the bound of oneDNN's code leaves the caller's alone."""

import os

import numpy as np
import pytest

from calig_fast.corpus import memory


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux")
def test_memory_that_is_taken_and_let_go_counts(tmp_path):
    size = 64 << 20
    with memory.above() as peak:
        taken = np.ones(size, np.uint8)
        memory.of_process()
        while peak[0] < size // 2:
            assert taken[0]
        del taken
    assert size // 2 <= peak[0] < 2 * size
    assert memory.of_process() > 0
    file = tmp_path / "weights"
    file.write_bytes(bytes(size))
    before = memory.of_process()
    mapped = np.memmap(file, np.uint8, "r")
    assert not mapped.any()
    assert memory.of_process() - before < size // 2


def test_available_memory_is_the_least_of_its_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "CGROUPS", ())
    whole = memory.available()
    if whole is None:
        pytest.skip("the system does not say")
    for name, size in (("max", 3 << 20), ("used", 1 << 20)):
        (tmp_path / name).write_text(f"{size}\n")
    monkeypatch.setattr(memory, "CGROUPS", ((tmp_path / "max", tmp_path / "used"),))
    assert memory.available() == 2 << 20
    (tmp_path / "max").write_text("max\n")
    assert memory.available() > 2 << 20


def test_the_bound_of_code_is_the_callers_where_there_is_one(monkeypatch):
    monkeypatch.delenv(memory.CAPACITY, raising=False)
    memory.bound_code()
    assert os.environ[memory.CAPACITY] == str(memory.PRODUCTS)
    monkeypatch.setenv(memory.CAPACITY, "7")
    memory.bound_code()
    assert os.environ[memory.CAPACITY] == "7"
