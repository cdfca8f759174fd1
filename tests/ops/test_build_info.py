"""What the installation says about itself, with the compiled module and without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from calig_fast import ops
from calig_fast.build import BuildInfo, build_info
from calig_fast.ops.extension import _built_for, extension

WORK = """
import torch
from calig_fast import ops
from calig_fast.build import build_info
h = torch.arange(6.0).reshape(3, 2)
where = torch.tensor([0, 3]), torch.tensor([0]), torch.tensor([0.5])
assert torch.equal(ops.interpolate_path(h, h + 1, *where), h + 0.5)
assert torch.equal(torch.ops.calig_fast.interpolate_path(h, h + 1, *where), h + 0.5)
assert ops.resolve("auto", h) == "reference"
try:
    ops.resolve("cpu", h)
except RuntimeError as error:
    print(error)
print(build_info())
"""


def run(prelude: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", prelude + WORK], capture_output=True, text=True)


def test_it_reads_well() -> None:
    info = build_info()
    text = str(info)
    assert isinstance(info, BuildInfo)
    assert info.torch_running == str(torch.__version__)
    assert dict(info.backends) == ops.backends()
    for name, reason in info.backends.items():
        line = next(line for line in text.splitlines() if f"backend {name}" in line)
        assert line.endswith(reason or "usable")
    assert info.capability in text
    assert max(map(len, text.splitlines())) <= 200


@pytest.mark.skipif(extension().module is None, reason=extension().reason or "loaded")
def test_it_tells_what_was_compiled() -> None:
    info = build_info()
    assert info.compiled is None
    assert info.torch_built == info.torch_running
    assert info.instruction_set in info.instruction_sets
    assert (info.cuda is None) == bool(info.cuda_note)
    assert f"{info.instruction_set} (in use)" in str(info)
    assert info.compiler is not None
    assert info.compiler in str(info)


def test_without_the_compiled_module_it_works_and_warns_once() -> None:
    done = run("import sys; sys.modules['calig_fast._C'] = None\n")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("RuntimeWarning: calig_fast runs without its compiled operations") == 1
    assert "pip install --no-deps --force-reinstall ." in done.stderr
    assert "backend 'cpu' cannot run: the compiled module is not loaded: it was not built" in done.stdout
    assert "compiled operations  none: it was not built" in done.stdout


@pytest.mark.skipif(extension().module is None, reason=extension().reason or "loaded")
def test_a_module_for_another_torch_is_not_loaded() -> None:
    done = run("import torch; torch.__version__ = '1.2.3'\n")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("RuntimeWarning") == 1
    assert f"it was built for torch {build_info().torch_built}, this is torch 1.2.3" in done.stderr
    assert "compiled operations  none: it was built for torch" in done.stdout


def test_a_file_without_a_version_is_of_an_unknown_one(tmp_path: Path) -> None:
    path = tmp_path / "_C.so"
    path.write_bytes(b"\x7fELF nothing of ours")
    assert _built_for(path) == "unknown"
    path.write_bytes(b"\x7fELF calig_fast built for torch 2.9.0+cpu;\0")
    assert _built_for(path) == "2.9.0+cpu"
