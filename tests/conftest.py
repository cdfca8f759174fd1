"""Settings of every test: no network; one thread, since the tests themselves run in parallel; a browser for pages."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch
from helpers import browser

from calig_fast.methods import registry
from calig_fast.model import families
from calig_fast.ops import backend

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium; without one the test is skipped, with CALIG_FAST_BROWSER=required it fails."""
    if browser.missing():
        (pytest.fail if os.environ.get("CALIG_FAST_BROWSER") == "required" else pytest.skip)(browser.missing())
    with browser.chromium() as running:
        yield running


@pytest.fixture(autouse=True)
def _registries(monkeypatch):
    """Remove after each test the objects that it registered."""
    for module in (registry, families, backend):
        monkeypatch.setattr(module, "_registered", {})
    yield
    backend.known.cache_clear()
