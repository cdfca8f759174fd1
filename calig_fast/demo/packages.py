"""Locations of the files of other packages, found without importing them."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path


class MissingPackageError(ImportError):
    """A package that a demo reads its model or its data from is not there; the message says how to get it."""


def folder(module: str, command: str) -> Path:
    """The folder of an installed package.

    Args:
        module: its import name.
        command: the command that installs it.

    Raises:
        MissingPackageError: it is not installed.
    """
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError(f"this demo needs the package {module}: {command}", name=module)
    return Path(spec.submodule_search_locations[0])


def archive(name: str, command: str) -> Path:
    """A source archive, looked for in `CALIG_FAST_DATA` (if set) and in `<sys.prefix>/share/calig_fast`.

    Args:
        name: its file name, upper and lower case alike.
        command: the command that downloads it; the folder is appended.

    Raises:
        MissingPackageError: it is in neither folder.
    """
    places = [Path(sys.prefix) / "share" / "calig_fast"]
    if os.environ.get("CALIG_FAST_DATA"):
        places.insert(0, Path(os.environ["CALIG_FAST_DATA"]))
    for place in places:
        for file in sorted(place.glob("*")):
            if file.name.lower() == name.lower():
                return file
    looked = " and ".join(str(place) for place in places)
    raise MissingPackageError(f"this demo needs {name}, looked for in {looked}: {command} {places[0]}")
