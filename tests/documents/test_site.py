"""The site is built, strictly, and its pages load nothing from elsewhere."""

import functools
import html
import http.server
import inspect
import os
import re
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tools.error_index import sites

pytest.importorskip("material")
pytest.importorskip("mkdocstrings_handlers.python")
ROOT = Path(__file__).parents[2]
LOADS = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src", "use": "href"}


class Loads(HTMLParser):
    """The resources that a page makes the browser load."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag in LOADS and given.get(LOADS[tag]):
            self.found.append(given[LOADS[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site. `strict` of mkdocs.yml makes a warning, such as a link to nowhere, an error."""
    out = tmp_path_factory.mktemp("site")
    found = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(out)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == 0, found.stderr
    return out


def test_every_page_is_in_the_site_and_in_the_navigation(site):
    home = (site / "index.html").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        built = page.relative_to(ROOT / "docs").with_suffix(".html")
        assert (site / built).is_file()
        assert f'href="{built.as_posix()}"' in home or built.name == "index.html", (
            f"{built}: add it to nav in mkdocs.yml"
        )


def test_the_index_of_errors_is_that_of_the_sources(site):
    shown = html.unescape((site / "error_index.html").read_text(encoding="utf-8"))
    listed = sites()
    assert len(listed) > 300
    assert [one.message for one in listed if " ".join(one.message.split()) not in " ".join(shown.split())] == []
    linked = re.findall(r'errors\.html#([\w-]+)"', shown)
    remedies = (site / "errors.html").read_text(encoding="utf-8")
    assert len(linked) > 100
    assert [name for name in set(linked) if f'id="{name}"' not in remedies] == []


def test_nothing_is_loaded_from_another_host(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        assert len(loads.found) > 3
        for url in loads.found:
            assert not re.match(r"(https?:)?//", url), f"{page.name}: {url}"
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", style.read_text(encoding="utf-8")), style.name


def test_the_reference_holds_what_is_public(site):
    import calig_fast
    from calig_fast import captum, metrics, monitor

    said = "".join(p.read_text(encoding="utf-8") for p in (site / "api").glob("*.html"))
    for module in (calig_fast, metrics, monitor, captum):
        for name in module.__all__:
            if inspect.ismodule(getattr(module, name)):
                continue  # a room of the package, on a page of its own
            assert re.search(rf'id="calig_fast\.[\w.]*\b{name}"', said), name


@pytest.fixture(scope="module")
def address(site):
    """The site, served on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_it(site, address, chromium, width):
    context = chromium.new_context(viewport={"width": width, "height": 900})
    shown = context.new_page()
    complaints, asked = [], []
    shown.on("console", lambda message: complaints.append(message.text))
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    shown.on("response", lambda one: complaints.append(one.url) if one.status >= 400 else None)
    shown.on("request", lambda one: asked.append(one.url))
    for page in sorted(site.rglob("*.html")):
        shown.goto(f"{address}/{page.relative_to(site).as_posix()}")
        assert shown.locator("h1").first.is_visible()
        assert shown.evaluate("document.documentElement.scrollWidth") <= width, page.name
    shown.goto(f"{address}/index.html")
    if width > 1000:
        shown.get_by_placeholder("Search").click()
        shown.get_by_placeholder("Search").press_sequentially("sufficiency")
        shown.locator(".md-search-result__item").first.wait_for(timeout=60_000)
    context.close()
    assert complaints == []
    assert all(url.startswith((address, "data:", "blob:")) for url in asked), asked
