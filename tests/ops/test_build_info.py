"""The build information, with and without the compiled module."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from calig_fast import ops
from calig_fast.ops.backend import sources
from calig_fast.ops.backend.extension import ROOT, Extension, _built, extension, fits
from calig_fast.ops.build_info import BuildInfo, build_info

WORK = """
import torch
from calig_fast import ops
from calig_fast.ops.build_info import build_info
h = torch.arange(6.0).reshape(3, 2)
where = torch.tensor([0, 3]), torch.tensor([0]), torch.tensor([0.5])
assert torch.equal(ops.interpolate_path(h, h + 1, *where), h + 0.5)
assert torch.equal(torch.ops.calig_fast.interpolate_path(h, h + 1, *where), h + 0.5)
assert ops.resolve("auto", h) == "torch"
try:
    ops.resolve("cpu", h)
except RuntimeError as error:
    print(error)
print(build_info())
"""


def run(prelude: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", prelude + WORK], capture_output=True, text=True)


def way_out() -> str:
    in_place = "make setup, or python setup.py build_ext --inplace"
    return in_place if sources.checkout(ROOT) else "pip install --no-deps --force-reinstall SOURCE"


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
    assert fits(str(info.torch_built), info.torch_running)
    assert info.instruction_set in info.instruction_sets
    assert (info.cuda is None) == bool(info.cuda_note)
    assert f"{info.instruction_set} (in use)" in str(info)
    assert info.compiler is not None
    assert info.compiler in str(info)


def test_without_the_compiled_module_it_works_and_warns_once() -> None:
    done = run(
        "from pathlib import Path\nreal = Path.glob\nPath.glob = lambda *a: () if a[1][:3] == '_C.' else real(*a)\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("RuntimeWarning: calig_fast runs without its compiled operations") == 1
    assert way_out() in done.stderr
    assert "backend 'cpu' cannot run: the compiled module is not loaded: it was not built" in done.stdout
    assert "compiled operations  none: it was not built" in done.stdout


@pytest.mark.skipif(extension().module is None, reason=extension().reason or "loaded")
def test_a_module_for_another_torch_is_not_loaded() -> None:
    done = run("import torch; torch.__version__ = '1.2.3'\n")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("RuntimeWarning") == 1
    assert re.search(r"it was built for torch [\d., +cu]+, this is torch 1\.2\.3", done.stderr)
    assert str(build_info().torch_built) in done.stderr
    assert "compiled operations  none: it was built for torch" in done.stdout


def test_away_from_the_sources_the_way_out_is_that_of_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "checkout", lambda root: False)
    for module, torches in (
        (Extension(None, "it was not built"), ""),
        (Extension(None, "it was built for torch 1.0.0, this is torch 2", "1.0.0"), "install torch 1.0.0, or "),
    ):
        monkeypatch.setattr("calig_fast.ops.backend.extension._load", lambda module=module: module)
        with pytest.warns(RuntimeWarning, match=f"; to get it, {torches}build it where a C\\+\\+17 compiler is: pip"):
            extension.__wrapped__()


@pytest.mark.skipif(extension().module is None, reason=extension().reason or "loaded")
@pytest.mark.skipif(not sources.checkout(ROOT), reason="the sources are not here")
def test_a_module_from_other_sources_is_not_loaded() -> None:
    done = run("import hashlib\nreal = hashlib.sha256\nhashlib.sha256 = lambda *args: real(b'something else')\n")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("RuntimeWarning") == 1
    assert f"it was built from other sources than those in {ROOT / 'csrc'}; to get it, run in {ROOT}: " in done.stderr
    assert "python setup.py build_ext --inplace" in done.stderr
    assert "compiled operations  none: it was built from other sources" in done.stdout


@pytest.mark.skipif(extension().module is None, reason=extension().reason or "loaded")
def test_away_from_its_sources_a_module_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "digest", lambda root: "something else")
    monkeypatch.setattr(sources, "checkout", lambda root: True)
    with pytest.warns(RuntimeWarning, match="built from other sources"):
        assert extension.__wrapped__().module is None
    monkeypatch.setattr(sources, "checkout", lambda root: False)
    assert extension.__wrapped__().module is extension().module


def test_the_digest_is_that_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "csrc" / "one").mkdir(parents=True)
    for name in ("CMakeLists.txt", "csrc/module.cpp", "csrc/one/one.h"):
        (tmp_path / name).write_text(name)
    assert sources.checkout(tmp_path)
    first = sources.digest(tmp_path)
    assert sources.digest(tmp_path) == first
    (tmp_path / "csrc/one/one.h").write_text("changed")
    second = sources.digest(tmp_path)
    (tmp_path / "csrc/one/one.h").rename(tmp_path / "csrc/one/other.h")
    third = sources.digest(tmp_path)
    (tmp_path / "CMakeLists.txt").write_text("changed")
    assert len({first, second, third, sources.digest(tmp_path)}) == 4
    (tmp_path / "CMakeLists.txt").unlink()
    assert not sources.checkout(tmp_path)


def test_what_a_file_was_built_for_is_written_in_it(tmp_path: Path) -> None:
    path = tmp_path / "_C.so"
    for content in (b"", b"\x7fELF nothing of ours", b"\x7fELF calig_fast built for torch 2.9.0+cpu;\0"):
        path.write_bytes(content)
        assert _built(path) is None
    path.write_bytes(b"\x7fELF calig_fast built for torch 2.9.0+cpu from 0123456789abcdef;\0")
    assert _built(path) == ("2.9.0+cpu", "0123456789abcdef")


def test_of_several_releases_the_one_in_use_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = str(torch.__version__).partition("+")[0]
    mark = "calig_fast built for torch {} from 0123456789abcdef;\0"
    for version in ("1.0.0", running):
        (tmp_path / f"_C.torch-{version}.so").write_bytes(b"\x7fELF" + mark.format(version).encode())
    (tmp_path / "_C.kernels.so").write_bytes(b"\x7fELF")
    monkeypatch.setattr("calig_fast.ops.backend.extension.FOLDER", tmp_path)
    monkeypatch.setattr(sources, "checkout", lambda root: False)
    with pytest.warns(RuntimeWarning, match=f"it cannot be loaded: .*_C.torch-{re.escape(running)}.so"):
        extension.__wrapped__()
    (tmp_path / f"_C.torch-{running}.so").unlink()
    with pytest.warns(RuntimeWarning, match="it was built for torch 1.0.0, this is torch"):
        extension.__wrapped__()
    (tmp_path / "_C.torch-1.0.0.so").write_bytes(b"")
    with pytest.warns(RuntimeWarning, match="its file is damaged, or of another release of calig_fast"):
        extension.__wrapped__()
    (tmp_path / "_C.torch-1.0.0.so").unlink()
    with pytest.warns(RuntimeWarning, match="it was not built"):
        extension.__wrapped__()


@pytest.mark.parametrize(
    ("built", "running", "runs"),
    [
        ("2.14.1", "2.14.1+cpu", True),
        ("2.14.1", "2.14.1", True),
        ("2.14.1+cu130", "2.14.1+cu130", True),
        ("2.14.1+cu130", "2.14.1+cpu", False),
        ("2.14.1", "2.14.0+cpu", True),
        ("2.14.1", "2.14.2", True),
        ("2.14.1", "2.15.0", False),
        ("2.1.0", "2.14.1", False),
        ("2.14.1", "2.14.2a0+git12", False),
        ("2.14.1", "2.14.0.dev20261130+cpu", False),
        ("2.14.1+cu130", "2.14.2+cu130", False),
        ("2.14.1", "2.13.0", False),
    ],
)
def test_a_module_without_cuda_fits_every_build_of_its_release(built: str, running: str, runs: bool) -> None:
    assert fits(built, running) is runs
