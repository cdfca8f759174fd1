"""The manifest of a corpus: a summary of what its parts say of themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .._utils import files
from .parts import SUFFIXES, Folder
from .work import SCHEMA_VERSION

NAME = "manifest.json"


def manifest(folder: Folder) -> dict[str, Any]:
    """The manifest of the parts in a folder.

    Args:
        folder: open.

    Returns:
        `schema_version`; `works`, the records by their digests; `inputs`, `failed` and `rows`, the totals; `aside`,
        parts that are no longer in the tables; `parts`, of each its name, work, numbers and files.
    """
    abouts = sorted(folder.there.values(), key=lambda about: about.name)
    return {
        "schema_version": SCHEMA_VERSION,
        "works": {about.work: about.record for about in abouts},
        "inputs": sum(about.inputs for about in abouts),
        "failed": sum(about.failed for about in abouts),
        "rows": sum(about.rows for about in abouts),
        "aside": len(folder.aside),
        "parts": [
            {
                "name": about.name,
                "work": about.work,
                "inputs": about.inputs,
                "failed": about.failed,
                "rows": about.rows,
                "files": [
                    f"{kind}/{about.name}{suffix}"
                    for kind, suffix in SUFFIXES.items()
                    if kind in about.sizes or kind == "inputs"
                ],
            }
            for about in abouts
        ],
    }


def write(folder: Folder) -> Path:
    """Write the manifest beside the parts."""
    return files.write(folder.path / NAME, json.dumps(manifest(folder), indent=1) + "\n")
