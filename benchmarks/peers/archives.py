"""Reads the released archives of other libraries: which line shows which fact of docs/peers.md.

    python -m benchmarks.peers.archives [--folder DIR]

pip fetches the archives, without their dependencies, and nothing of them is installed or run. Writes the file, digest
and lines to benchmarks/results/peer_table.json, and docs/peers.md. Exits with 1, and writes nothing, if a fact is not
seen in its archive.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from benchmarks.peers.claims import PEERS
from benchmarks.peers.missing import MISSING
from benchmarks.peers.proofs import Peer, Proof
from calig_fast.bench import markdown, record

ROOT = Path(__file__).parents[2]
PAGE, RESULT = ROOT / "docs" / "peers.md", ROOT / "benchmarks" / "results" / "peer_table.json"
COLUMNS = ("for", "methods", "models", "error of the integral", "faithfulness metrics")
READ = (".py", "METADATA", "PKG-INFO", "README.md")
KEPT = 40  # places of a fact that are written down

Texts = Mapping[str, list[str]]


def main() -> int:
    """Fetch, read and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="archives that are here already")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        paths = {peer.package: archive(peer, folder, fetch=options.folder is None) for peer in PEERS}
        result, unseen = facts({name: texts(path) for name, path in paths.items()})
        for name, path in paths.items():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            result["peers"][name] |= {"archive": path.name, "sha256": digest}
    for line in unseen:
        print(line, file=sys.stderr)
    if unseen:
        return 1
    record.write(RESULT, {"date": datetime.date.today().isoformat(), **result})
    record.write(PAGE, page(json.loads(RESULT.read_text(encoding="utf-8"))))
    print(f"wrote {RESULT} and {PAGE}", file=sys.stderr)
    return 0


def archive(peer: Peer, folder: Path, fetch: bool) -> Path:
    """The wheel or source archive of a release.

    Raises:
        FileNotFoundError: it is not in the folder.
    """
    if fetch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
        subprocess.run([*command, "--dest", str(folder), f"{peer.package}=={peer.version}"], check=True)
    start = f"{re.sub(r'[-_.]+', '_', peer.package)}-{peer.version}"
    for path in sorted(folder.iterdir()):
        if re.sub(r"[-.]", "_", path.name).startswith(re.sub(r"[-.]", "_", start)):
            return path
    raise FileNotFoundError(f"{folder} holds no archive of {peer.package} {peer.version}")


def texts(path: Path) -> dict[str, list[str]]:
    """The lines of the modules and descriptions in an archive, without its tests."""
    lines = {}
    for name, content in _members(path):
        if name.endswith(READ) and "test" not in name.lower():
            lines[name] = content.decode(errors="replace").splitlines()
    return lines


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            for name in wheel.namelist():
                yield name, wheel.read(name)
        return
    with tarfile.open(path) as source:
        for member in source.getmembers():
            if (file := source.extractfile(member)) is not None:
                yield member.name.partition("/")[2], file.read()


def facts(archives: Mapping[str, Texts]) -> tuple[dict[str, Any], list[str]]:
    """The places of each fact, and a line for each fact that its archive does not show."""
    unseen, peers = [], {}
    for peer in PEERS:
        cells = {}
        for column, fact in zip(COLUMNS, peer.facts, strict=True):
            seen, missing = shown(archives[peer.package], fact.proofs)
            cells[column] = {"text": fact.text, "places": seen}
            unseen += [f"{peer.package}, {column}, {fact.text!r}: {why}" for why in missing]
        peers[peer.package] = {"version": peer.version, "cells": cells}
    lacks = []
    for one in MISSING:
        places = []
        for package, proof in one.proofs:
            seen, missing = shown(archives[package], (proof,))
            places += [f"{package}: {place}" for place in seen]
            unseen += [f"{package}, missing here, {one.text!r}: {why}" for why in missing]
        lacks.append({"text": one.text, "who": one.who, "places": places})
    return {"peers": peers, "missing": lacks}, unseen


def shown(archive: Texts, proofs: tuple[Proof, ...]) -> tuple[list[str], list[str]]:
    """The places of proofs, and the reasons of those that fail."""
    seen, missing = [], []
    for proof in proofs:
        places = [
            f"{name}:{number}"
            for name, lines in sorted(archive.items())
            if fnmatch(name, proof.path)
            for number, line in enumerate(lines, 1)
            if re.search(proof.words, line)
        ]
        if proof.least == 0:
            if places:
                missing.append(f"{proof.words!r} is at {', '.join(places[:3])}")
            seen.append(f"no line of {proof.path} has {proof.words}")
        elif len(places) < proof.least:
            missing.append(f"{proof.words!r} is on {len(places)} lines of {proof.path}, {proof.least} are needed")
        else:
            seen += places[:KEPT]
    return seen, missing


def page(result: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    titles = {peer.package: peer.title for peer in PEERS}
    return markdown.page(Path(__file__).with_name("peers.md.j2"), result=result, titles=titles)


if __name__ == "__main__":
    sys.exit(main())
