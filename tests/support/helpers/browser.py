"""A headless Chromium for tests of pages, and for the pictures in docs/.

Debian's package does: `apt-get install chromium`. `CHROMIUM` names another one.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def missing() -> str:
    """Why no browser can be started here; empty where one can."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "playwright is not installed: pip install playwright"
    return "" if _path() else f"no Chromium: apt-get install chromium, or CHROMIUM=/path; looked for {', '.join(NAMES)}"


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running Chromium.

    Raises:
        RuntimeError: there is none here; the message says what to install.
    """
    if missing():
        raise RuntimeError(missing())
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_path(), args=list(ARGUMENTS))
        yield browser
        browser.close()


def axe() -> Path:
    """The script of axe-core, which finds faults of accessibility; `make setup` installs it where there is npm.

    `AXE` names another one.
    """
    return Path(os.environ.get("AXE") or Path(sys.prefix, "share/calig_fast/node_modules/axe-core/axe.min.js"))


def _path() -> str | None:
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
