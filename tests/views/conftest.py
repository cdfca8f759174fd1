"""Pages in a window of a real browser."""

from contextlib import contextmanager

import pytest


@pytest.fixture
def open_page(chromium, tmp_path):
    """A function that shows HTML in a window, and at the end nothing was loaded and nothing complained."""
    trouble = []

    @contextmanager
    def show(source, width=1280, **options):
        path = tmp_path / "page.html"
        path.write_text(source, encoding="utf-8")
        page = chromium.new_page(viewport={"width": width, "height": 900}, **options)
        page.on("console", lambda m: trouble.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda e: trouble.append(str(e)))
        page.on("dialog", lambda d: (trouble.append(f"dialog: {d.message}"), d.dismiss()))
        page.on("request", lambda r: r.url in (path.as_uri(),) or r.url.startswith("data:") or trouble.append(r.url))
        page.goto(path.as_uri())
        yield page
        page.close()
        assert trouble == []

    return show
