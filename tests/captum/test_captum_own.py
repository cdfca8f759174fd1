"""Captum's own unit tests with our classes, where a checkout of its repository is named in CAPTUM."""

import os
from pathlib import Path

import pytest
from helpers.captum_own import CLASSES, run

CHECKOUT = os.environ.get("CAPTUM")


@pytest.mark.skipif(
    not CHECKOUT, reason="set CAPTUM to a checkout of Captum's repository; no distribution has its tests"
)
def test_captums_own_tests_pass():
    found = run(Path(CHECKOUT).resolve(), CLASSES)
    assert len(found) >= 72
    assert {name: outcome for name, outcome in found.items() if outcome != "passed"} == {}
