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
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

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
RUN = "axe.run().then(r => [r.passes.length, r.violations.map(v => [v.id, v.nodes[0].html])])"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


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


def check_accessibility(page: Page) -> None:
    """Fail if axe-core finds a fault of accessibility in an open page, light or dark.

    `make setup` installs axe-core where there is npm; `AXE` names another one. Without it the test is skipped, or fails
    where the browser is required.
    """
    script = Path(os.environ.get("AXE") or Path(sys.prefix, "share/calig_fast/node_modules/axe-core/axe.min.js"))
    if not script.is_file():
        required = os.environ.get("CALIG_FAST_BROWSER") == "required" and shutil.which("npm")
        (pytest.fail if required else pytest.skip)(f"no axe-core at {script}: make setup, or AXE=/path")
    page.evaluate(script.read_text(encoding="utf-8"))
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        passed, faults = page.evaluate(RUN)
        if faults or passed <= 10:
            pytest.fail(f"axe-core, {scheme}: {passed} rules passed; {faults}")


def _path() -> str | None:
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
