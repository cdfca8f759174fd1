"""The pictures of pages in docs/images: real classifiers on sentences of our own, and on pictures of clothes.

    python -m examples.screenshots [FOLDER]

It needs Chromium (`apt-get install chromium`) and playwright.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from calig_fast import Explainer, compare, demo
from tests.support.helpers.browser import chromium

ARTICLE = (
    "Chip maker bets on phones\n\n"
    "The company that makes processors for most of the country's phones said on Monday that it would spend two billion "
    "euros on a new plant. Shares rose by four per cent, although several analysts warned that demand for handsets has "
    "been weak since the spring.\n\n"
    "Its software, which finds faults in a network before customers notice them, is used by three broadband providers. "
    "The minister for trade called the plan good news for the region, and the football club that the firm sponsors "
    "gave its workers free tickets for the cup final. Users will be able to try the first devices online next year."
)
REVIEW = "The plot is thin and the ending predictable, but the two leads are superb and the music is a joy."
METHODS = ("calig", "ig", "chefer")


def pages() -> dict[str, str]:
    """The HTML of each kind of page."""
    topics, films, clothes = (demo.load(name) for name in ("topics", "sentiment", "fashion"))
    about, feels, looks = (Explainer(d.model, d.processor) for d in (topics, films, clothes))
    return {
        "text": about(ARTICLE, return_maps=True).to_html(),
        "image": looks(clothes.samples[1].input, return_maps=True).to_html(),
        "compare": compare([feels(REVIEW, method=m, return_maps=m == "calig") for m in METHODS]).to_html(),
    }


def click_and_slide(page: Any) -> None:
    """Show the attention of one word in a block."""
    page.get_by_text("software", exact=True).first.click()
    page.locator(".calig-layer").fill("4")
    page.locator(".calig-layer").evaluate("e => e.blur()")


def hover(page: Any) -> None:
    """The exact value of one word."""
    page.get_by_text("broadband", exact=True).first.hover()


SHOTS: dict[str, tuple[str, int, dict[str, str], Callable[[Any], None]]] = {
    "page_text": ("text", 1280, {}, hover),
    "page_dark": ("text", 1280, {"color_scheme": "dark"}, click_and_slide),
    "page_image": ("image", 1280, {}, lambda page: None),
    "page_compare": ("compare", 1280, {}, lambda page: None),
    "page_narrow": ("text", 400, {}, click_and_slide),
}


def main(folder: str = "docs/images") -> None:
    """Explain, open each page, and write what it looks like."""
    sources = pages()
    with tempfile.TemporaryDirectory() as temporary, chromium() as browser:
        for name, (kind, width, options, act) in SHOTS.items():
            path = Path(temporary) / f"{kind}.html"
            path.write_text(sources[kind], encoding="utf-8")
            page = browser.new_page(viewport={"width": width, "height": 800}, **options)
            page.goto(path.as_uri())
            act(page)
            page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
            page.close()
            print(f"wrote {Path(folder) / name}.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
