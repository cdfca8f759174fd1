"""Our numbers and the peers' on the same inputs: Captum runs here, ferret's and Quantus' are committed."""

import importlib
import json
from pathlib import Path

import pytest

from benchmarks.peers import with_captum

COMMITTED = json.loads(
    (Path(__file__).parents[2] / "benchmarks" / "results" / "peers.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("peer", ["captum", "ferret", "quantus"])
def test_our_numbers_are_those_that_the_peer_gave(peer):
    ours = importlib.import_module(f"benchmarks.peers.with_{peer}").ours()
    theirs = {name: row["theirs"] for name, row in COMMITTED[peer]["metrics"].items()}
    assert set(ours) == set(theirs)
    for name, values in theirs.items():
        assert ours[name] == pytest.approx(values, rel=0, abs=2e-6), name  # 1e-6, and another machine's rounding


def test_captum_gives_the_same_now():
    pytest.importorskip("captum")
    ours, theirs = with_captum.ours(), with_captum.theirs()
    for name, values in theirs.items():
        assert ours[name] == pytest.approx(values, rel=0, abs=1e-6), name


def test_the_committed_numbers_agree():
    for peer, found in COMMITTED.items():
        assert found["command"] == f"python -m benchmarks.peers.compare_metrics {peer}"
        for name, row in found["metrics"].items():
            assert row["ours"] == pytest.approx(row["theirs"], rel=0, abs=1e-6), (peer, name)
