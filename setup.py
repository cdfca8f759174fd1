"""Build of the compiled operations: CMake and ninja, against a PyTorch that is found without being imported.

Environment: MAX_JOBS (compile jobs, default 2), CALIG_BUILD=0 (leave the compiled operations out), CALIG_CUDA=0 (leave
the CUDA part out), CALIG_CUDA_ARCH (GPU architectures, as 90 or "80;90a", default 80, 90 and 100), CALIG_TORCH_DIR
(folder of the torch package, where it is not found by itself; a pattern of several, as in torches/*/torch, makes a
package that serves all these releases), CUDA_HOME (folder of the CUDA toolkit), CXX (the compiler).
"""

from __future__ import annotations

import glob
import importlib.util
import os
import re
import runpy
import shlex
import shutil
import site
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


def say(text: str) -> None:
    """Print one line of what the build does; pip shows it with -v."""
    print(f"calig_fast: {text}", flush=True)


@dataclass(frozen=True)
class Torch:
    """A PyTorch on disk: its folder, version, CUDA version ('' for a CPU build) and C++ ABI ('0' is the old one)."""

    folder: Path
    version: str
    cuda: str
    abi: str


def read_torch(folder: Path) -> Torch | None:
    """The PyTorch in a folder, None where there is none that can be built against."""
    if not all((folder / part).exists() for part in ("version.py", "include/ATen", "lib")):
        return None
    version = runpy.run_path(str(folder / "version.py"))
    config = folder / "share/cmake/Torch/TorchConfig.cmake"
    old_abi = config.exists() and "_GLIBCXX_USE_CXX11_ABI=0" in config.read_text()
    return Torch(folder, version["__version__"], version.get("cuda") or "", "0" if old_abi else "1")


def find_torches() -> list[Torch]:
    """The releases of PyTorch this package will run with: those of CALIG_TORCH_DIR, or the installed one.

    A build-isolated environment hides the user's packages from import; the interpreter's own site-packages are still
    where sysconfig says.
    """
    if given := os.environ.get("CALIG_TORCH_DIR"):
        folders = sorted(folder for pattern in given.split(os.pathsep) for folder in glob.glob(pattern))
        return [torch for folder in folders if (torch := read_torch(Path(folder)))]
    folders = [Path(p) for p in (*sys.path, sysconfig.get_path("purelib"), sysconfig.get_path("platlib")) if p]
    if site.ENABLE_USER_SITE:
        folders.append(Path(site.getusersitepackages()))
    return next(([torch] for folder in folders if (torch := read_torch(folder / "torch"))), [])


def find_tool(name: str) -> str | None:
    """A program on PATH, or beside the interpreter: a virtual environment need not be activated."""
    return shutil.which(name) or shutil.which(name, path=sysconfig.get_path("scripts"))


def find_compiler() -> str | None:
    """The C++ compiler: the first word of CXX (CMake reads flags after it), or one of the usual names."""
    if words := shlex.split(os.environ.get("CXX", "")):
        return shutil.which(words[0])
    return next((found for name in ("c++", "g++", "clang++") if (found := shutil.which(name))), None)


def find_nvcc(torches: list[Torch]) -> tuple[str | None, str]:
    """The CUDA compiler that fits the torch found, or None and why there is none."""
    torch = torches[0]
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    nvcc = shutil.which("nvcc", path=str(Path(home) / "bin")) if home else shutil.which("nvcc")
    if os.environ.get("CALIG_CUDA") == "0":
        return None, "left out by CALIG_CUDA=0"
    if len(torches) > 1:
        return None, "a package for several releases of torch has none"
    if not torch.cuda:
        return None, f"torch {torch.version} has no CUDA"
    if nvcc is None:
        return None, f"no nvcc {'in CUDA_HOME ' + home if home else 'on PATH'}"
    told = re.search(
        r"release (\d+)\.(\d+)", subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
    )
    if told is None:
        return None, "nvcc --version says no release"
    if told[1] != torch.cuda.split(".")[0]:
        return None, f"nvcc {told[1]}.{told[2]} does not fit torch's CUDA {torch.cuda}"
    return nvcc, ""


def missing() -> str | None:
    """Why the compiled operations cannot be built here, or None."""
    if os.environ.get("CALIG_BUILD") == "0":
        return "CALIG_BUILD=0"
    if sys.platform == "win32":
        return "Windows is not supported yet"
    if not find_torches():
        return "no torch in this environment (pip install torch first, then this package again)"
    if find_compiler() is None:
        return "no C++ compiler (for instance: apt install g++)"
    for name in ("cmake", "ninja"):
        if find_tool(name) is None:
            return f"no {name} (pip install {name})"
    return None


def cmake_options(torches: list[Torch], nvcc: str | None, no_cuda: str, output: Path) -> dict[str, object]:
    """The variables of CMakeLists.txt and the compilers."""
    # without CUDA code a library calls what every build of a release has, for whatever device that build is
    versions = [torch.version if nvcc else torch.version.partition("+")[0] for torch in torches]
    architectures = ";".join(f"{name}-real" for name in os.environ.get("CALIG_CUDA_ARCH", "").split(";") if name)
    return {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_MAKE_PROGRAM": find_tool("ninja"),
        "CMAKE_LIBRARY_OUTPUT_DIRECTORY": output,
        "CALIG_TORCH_DIRS": ";".join(str(torch.folder) for torch in torches),
        "CALIG_TORCH_VERSIONS": ";".join(versions),
        "CALIG_CXX11_ABIS": ";".join(torch.abi for torch in torches),
        "CALIG_SOURCES": runpy.run_path(str(ROOT / "calig_fast/ops/backend/sources.py"))["digest"](ROOT),
        "CALIG_CUDA_MISSING": no_cuda,
        **({} if os.environ.get("CXX") else {"CMAKE_CXX_COMPILER": find_compiler()}),
        **({"CMAKE_CUDA_COMPILER": nvcc} if nvcc else {}),
        **({"CMAKE_CUDA_ARCHITECTURES": architectures} if architectures else {}),
    }


class CMakeBuild(build_ext):
    """Runs CMake for the compiled libraries, or says why they are left out."""

    def folder(self) -> Path:
        """The package that gets the libraries: the one in place, or the copy that becomes a wheel."""
        return (ROOT if self.inplace or self.editable_mode else Path(self.build_lib).resolve()) / "calig_fast"

    def run(self) -> None:
        """Configure, compile, and put the libraries into the package, in place of those of an earlier build."""
        if reason := missing():
            say(f"compiled operations LEFT OUT: {reason}. The package works without them, slower, in plain PyTorch.")
            return
        torches, output = find_torches(), self.folder()
        nvcc, no_cuda = find_nvcc(torches)
        named = ", ".join(torch.version for torch in torches)
        build = ROOT / "build" / f"torch-{'several' if len(torches) > 1 else named}{'' if nvcc else '-cpu'}"
        jobs = os.environ.get("MAX_JOBS", "2")
        say(f"torch {named}, compiler {find_compiler()}, CUDA {nvcc or 'no: ' + no_cuda}, {jobs} jobs")
        flags = [f"-D{name}={value}" for name, value in cmake_options(torches, nvcc, no_cuda, output).items()]
        # an isolated build's cache names folders that are gone; elsewhere, compile only what changed
        fresh = ["--fresh"] if importlib.util.find_spec("torch") is None else []
        cmake = find_tool("cmake")
        for old in output.glob("_C.*.so"):
            old.unlink()
        subprocess.run([cmake, *fresh, "-G", "Ninja", "-S", ROOT, "-B", build, *flags], check=True)
        subprocess.run([cmake, "--build", build, "--parallel", jobs], check=True)
        for library in self.libraries_built():
            say(f"built {library}")

    def libraries_built(self) -> list[Path]:
        """The files that the build has put into the package."""
        return sorted(self.folder().glob("_C.*.so"))

    def get_outputs(self) -> list[str]:
        """The same, for setuptools."""
        return [str(library) for library in self.libraries_built()]

    def get_output_mapping(self) -> dict[str, str]:
        """No file is copied: an editable installation is built in place."""
        return {}


class Wheel(bdist_wheel):
    """A wheel for every Python: the libraries call nothing of it."""

    def get_tag(self) -> tuple[str, str, str]:
        """The tag names the platform where there are libraries."""
        built = self.get_finalized_command("build_ext").get_outputs()
        return ("py3", "none", super().get_tag()[2] if built else "any")


files = ["CMakeLists.txt", *(str(p.relative_to(ROOT)) for p in sorted((ROOT / "csrc").rglob("*")) if p.is_file())]
setup(
    ext_modules=[Extension("calig_fast._C", sources=[], depends=files)],
    cmdclass={"build_ext": CMakeBuild, "bdist_wheel": Wheel},
)
