"""Build of the compiled operations: CMake and ninja, against a PyTorch that is found without being imported.

Environment: MAX_JOBS (compile jobs, default 2), CALIG_BUILD=0 (leave the compiled operations out), CALIG_CUDA=0 (leave
the CUDA part out), CALIG_CUDA_ARCH (GPU architectures, as 90 or "80;90a", default 80, 90 and 100), CALIG_TORCH_DIR
(folder of the torch package, where it is not found by itself), CUDA_HOME (folder of the CUDA toolkit), CXX (the
compiler).
"""

from __future__ import annotations

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


def find_torch() -> Torch | None:
    """The PyTorch this package will run with.

    A build-isolated environment hides the user's packages from import; the interpreter's own site-packages are still
    where sysconfig says.
    """
    folders = [Path(p) for p in (*sys.path, sysconfig.get_path("purelib"), sysconfig.get_path("platlib")) if p]
    if site.ENABLE_USER_SITE:
        folders.append(Path(site.getusersitepackages()))
    candidates = [folder / "torch" for folder in folders]
    if given := os.environ.get("CALIG_TORCH_DIR"):
        candidates = [Path(given)]
    for folder in candidates:
        if all((folder / part).exists() for part in ("version.py", "include/ATen", "lib")):
            version = runpy.run_path(str(folder / "version.py"))
            config = folder / "share/cmake/Torch/TorchConfig.cmake"
            old_abi = config.exists() and "_GLIBCXX_USE_CXX11_ABI=0" in config.read_text()
            return Torch(folder, version["__version__"], version.get("cuda") or "", "0" if old_abi else "1")
    return None


def find_tool(name: str) -> str | None:
    """A program on PATH, or beside the interpreter: a virtual environment need not be activated."""
    return shutil.which(name) or shutil.which(name, path=sysconfig.get_path("scripts"))


def find_compiler() -> str | None:
    """The C++ compiler: the first word of CXX (CMake reads flags after it), or one of the usual names."""
    if words := shlex.split(os.environ.get("CXX", "")):
        return shutil.which(words[0])
    return next((found for name in ("c++", "g++", "clang++") if (found := shutil.which(name))), None)


def find_nvcc(torch: Torch) -> tuple[str | None, str]:
    """The CUDA compiler that fits the torch found, or None and why there is none."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    nvcc = shutil.which("nvcc", path=str(Path(home) / "bin")) if home else shutil.which("nvcc")
    if os.environ.get("CALIG_CUDA") == "0":
        return None, "left out by CALIG_CUDA=0"
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
    if find_torch() is None:
        return "no torch in this environment (pip install torch first, then this package again)"
    if find_compiler() is None:
        return "no C++ compiler (for instance: apt install g++)"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "no Python headers (for instance: apt install python3-dev)"
    for name in ("cmake", "ninja"):
        if find_tool(name) is None:
            return f"no {name} (pip install {name})"
    return None


class CMakeBuild(build_ext):
    """Runs CMake for the one extension module, or says why it is left out."""

    def build_extension(self, ext: Extension) -> None:
        """Configure, compile, and put the module where setuptools expects it."""
        if reason := missing():
            say(f"compiled operations LEFT OUT: {reason}. The package works without them, slower, in plain PyTorch.")
            return
        import pybind11

        torch, compiler = find_torch(), find_compiler()
        nvcc, no_cuda = find_nvcc(torch)
        # without CUDA code the module calls what every build of a release has, for whatever device that build is
        version = torch.version if nvcc else torch.version.partition("+")[0]
        build = ROOT / "build" / f"{sys.implementation.cache_tag}-torch-{torch.version}{'' if nvcc else '-cpu'}"
        output = Path(self.get_ext_fullpath(ext.name)).resolve().parent
        jobs = os.environ.get("MAX_JOBS", "2")
        architectures = ";".join(f"{name}-real" for name in os.environ.get("CALIG_CUDA_ARCH", "").split(";") if name)
        say(f"torch {torch.version}, compiler {compiler}, CUDA {nvcc or 'no: ' + no_cuda}, {jobs} jobs")
        options = {
            "CMAKE_BUILD_TYPE": "Release",
            "CMAKE_MAKE_PROGRAM": find_tool("ninja"),
            "CMAKE_LIBRARY_OUTPUT_DIRECTORY": output,
            "Python_EXECUTABLE": sys.executable,
            "pybind11_DIR": pybind11.get_cmake_dir(),
            "CALIG_TORCH_DIR": torch.folder,
            "CALIG_TORCH_VERSION": version,
            "CALIG_SOURCES": runpy.run_path(str(ROOT / "calig_fast/ops/backend/sources.py"))["digest"](ROOT),
            "CALIG_CXX11_ABI": torch.abi,
            "CALIG_CUDA_MISSING": no_cuda,
            **({} if os.environ.get("CXX") else {"CMAKE_CXX_COMPILER": compiler}),
            **({"CMAKE_CUDA_COMPILER": nvcc} if nvcc else {}),
            **({"CMAKE_CUDA_ARCHITECTURES": architectures} if architectures else {}),
        }
        cmake = find_tool("cmake")
        flags = [f"-D{name}={value}" for name, value in options.items()]
        # an isolated build's cache names folders that are gone; elsewhere, compile only what changed
        fresh = ["--fresh"] if importlib.util.find_spec("torch") is None else []
        configure = [cmake, *fresh, "-G", "Ninja", "-S", ROOT, "-B", build]
        subprocess.run([*configure, *flags], check=True)
        subprocess.run([cmake, "--build", build, "--parallel", jobs], check=True)
        say(f"built {output / Path(self.get_ext_filename(ext.name)).name}")


files = ["CMakeLists.txt", *(str(p.relative_to(ROOT)) for p in sorted((ROOT / "csrc").rglob("*")) if p.is_file())]
setup(
    ext_modules=[Extension("calig_fast._C", sources=[], depends=files, optional=True)],
    cmdclass={"build_ext": CMakeBuild},
)
