"""Headers and libraries that a wheel for several releases of PyTorch is built against.

`python -m tools.torches DIR [RELEASE ...]` gets them.

Each release's headers, and the libraries to link with, come from its wheel and lie in DIR/RELEASE/torch;
`CALIG_TORCH_DIR="DIR/*/torch"` tells the build of them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# the last correction of every release from the oldest that pyproject.toml claims
RELEASES = ("2.6.0", "2.7.1", "2.8.0", "2.9.1", "2.10.0", "2.11.0", "2.12.1", "2.13.0", "2.14.1", "2.15.0")
PARTS = ("torch/include/", "torch/version.py", "torch/share/cmake/Torch/TorchConfig.cmake")
LIBRARIES = ("torch_cpu", "torch", "c10")


def wanted(name: str) -> bool:
    """Return True for a file of a wheel that a build reads."""
    return name.startswith(PARTS) or any(name.startswith(f"torch/lib/lib{library}.") for library in LIBRARIES)


def fetch(release: str, folder: Path) -> Path:
    """The package torch of a release in a folder, downloaded unless it is there."""
    there = folder / release
    if not there.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
            subprocess.run([*pip, "--only-binary", ":all:", "--dest", temporary, f"torch=={release}"], check=True)
            (wheel,) = Path(temporary).glob("torch-*.whl")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(Path(temporary, "content"), filter(wanted, archive.namelist()))
            Path(temporary, "content").rename(there)
    return there / "torch"


if __name__ == "__main__":
    for named in sys.argv[2:] or RELEASES:
        print(fetch(named, Path(sys.argv[1])), flush=True)
