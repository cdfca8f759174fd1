"""Actions on a page in a browser, and readings of it, for tests."""

ALPHA = """c => {
  const copy = new OffscreenCanvas(c.width, c.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(c, 0, 0);
  return [...copy.getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 4 === 3);
}"""


def overflow(page):
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


def levels(page, selector=".calig-w:not(.calig-special)"):
    return [int(s) for s in page.eval_on_selector_all(selector, "all => all.map(e => e.dataset.s)")]


def slide(page, selector, value):
    page.eval_on_selector(
        selector, f"e => {{ e.value = {value}; e.dispatchEvent(new Event('input', {{bubbles: true}})) }}"
    )
