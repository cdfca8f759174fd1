"""docs/peers.md: each cell is one that a released archive was seen to show."""

import importlib.metadata
import json
import tarfile
import zipfile
from io import BytesIO

import pytest

from benchmarks.peers import archives
from benchmarks.peers.claims import PEERS
from benchmarks.peers.missing import MISSING
from benchmarks.peers.proofs import Proof

RESULT = json.loads(archives.RESULT.read_text(encoding="utf-8"))


def test_the_page_is_that_of_the_committed_places():
    assert archives.PAGE.read_text(encoding="utf-8") == archives.page(RESULT)


def test_every_cell_has_its_place_in_the_release_that_is_named():
    assert list(RESULT["peers"]) == [peer.package for peer in PEERS]
    for peer in PEERS:
        record = RESULT["peers"][peer.package]
        assert record["version"] == peer.version
        assert peer.version in record["archive"]
        assert {c: cell["text"] for c, cell in record["cells"].items()} == {
            c: fact.text for c, fact in zip(archives.COLUMNS, peer.facts, strict=True)
        }
        assert all(cell["places"] for cell in record["cells"].values())
    assert [(row["text"], row["who"]) for row in RESULT["missing"]] == [(one.text, one.who) for one in MISSING]
    assert all(row["places"] for row in RESULT["missing"])


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.package)
def test_the_installed_release_shows_what_is_said_of_it(peer):
    try:
        installed = importlib.metadata.distribution(peer.package)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("not installed")
    if installed.version != peer.version:
        pytest.skip(f"{installed.version} is installed")
    lines = {
        str(file): file.locate().read_text(encoding="utf-8", errors="replace").splitlines()
        for file in installed.files or ()
        if str(file).endswith(archives.READ) and "test" not in str(file).lower()
    }
    for fact in peer.facts:
        seen, unseen = archives.shown(lines, fact.proofs)
        assert seen
        assert unseen == []


def archive_of(path, files):
    if path.suffix == ".whl":
        with zipfile.ZipFile(path, "w") as wheel:
            for name, content in files.items():
                wheel.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz") as source:
            for name, content in files.items():
                member = tarfile.TarInfo(f"peer-1.0/{name}")
                member.size = len(content)
                source.addfile(member, BytesIO(content.encode()))
    return path


@pytest.mark.parametrize("name", ["peer-1.0-py3-none-any.whl", "peer-1.0.tar.gz"])
def test_an_archive_is_read_without_its_tests(name, tmp_path):
    path = archive_of(tmp_path / name, {"peer/a.py": "x = 1\ny = 2\n", "tests/test_a.py": "z", "data.bin": "x"})
    assert archives.texts(path) == {"peer/a.py": ["x = 1", "y = 2"]}


def test_a_fact_that_is_not_there_is_told():
    lines = {"peer/a.py": ["n_steps = 5", "class A:", "class B:"]}
    assert archives.shown(lines, (Proof("peer/*.py", "^class", 2), Proof("*.py", "delta", 0))) == (
        ["peer/a.py:2", "peer/a.py:3", "no line of *.py has delta"],
        [],
    )
    _, unseen = archives.shown(lines, (Proof("peer/*.py", "^class", 3), Proof("*.py", "n_steps", 0)))
    assert unseen == ["'^class' is on 2 lines of peer/*.py, 3 are needed", "'n_steps' is at peer/a.py:1"]
