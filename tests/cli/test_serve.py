"""`calig serve` in a browser: a question, its layers, a word clicked away, a page to share, a picture dropped."""

import base64
import re

import pytest
from helpers.browser import check_accessibility
from helpers.hostile import running
from helpers.typed import fails

from calig_fast import from_pretrained
from calig_fast.cli.answers import Answers

expect = pytest.importorskip("playwright.sync_api").expect
TEXT = "The film 🎬 was <b>unbelievably</b> good."
DROP = """([name, content]) => {
  const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, { type: "image/png" }));
  document.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
}"""

LATE = """() => {
  const now = fetch;
  window.fetch = (path, ...rest) => (path === "/explain"
    ? new Promise((then) => setTimeout(then, 700)).then(() => now(path, ...rest))
    : now(path, ...rest));
}"""


def of(folder):
    explainer = from_pretrained(folder)
    return Answers(explainer.model, explainer.processor, folder.name)


@pytest.fixture(params=[(1280, "light"), (380, "dark")], ids=str)
def opened(chromium, request):
    """A function that opens the app of a model; complaints of the browser and requests to others fail the test."""
    width, scheme = request.param
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True)
    page, complaints, asked = context.new_page(), [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda one: asked.append(one.url))

    def open_(server):
        page.goto(server.url)
        expect(page).to_have_title(re.compile("^calig: "))
        return page

    yield open_
    assert [c for c in complaints if "the server responded with a status of 400" not in c] == []
    assert all(url.startswith(("http://127.0.0.1:", "data:", "blob:")) for url in asked)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


def percents(page, column):
    return page.locator(f"#probabilities tr td:nth-child({column})").all_text_contents()


def test_a_text(opened, texts, tmp_path):
    answers = of(texts)
    with running(answers) as server:
        page = opened(server)
        page.fill("#text", TEXT)
        page.select_option("#target", label="bad")
        page.click("#ask")
        page.wait_for_selector("#answer:not([hidden])")
        assert page.locator("#parts").inner_text() == TEXT
        assert "relative error of the scores" in page.locator("#status").inner_text()
        told = answers.explain({"text": TEXT, "target": 0})
        assert percents(page, 2) == [f"{100 * p:.1f} %" for p in told["probabilities"]]
        title = page.locator("#parts button", has_text="unbelievably").get_attribute("title")
        page.select_option("#layer", "1")
        assert page.locator("#parts button", has_text="unbelievably").get_attribute("title") != title
        page.locator("#parts button", has_text="unbelievably").click()
        expect(page.locator("#probabilities td:nth-child(3)").first).not_to_be_empty()
        place = TEXT.index("unbelievably")
        without = answers.without({"text": TEXT, "removed": [[place, place + len("unbelievably")]]})
        assert percents(page, 3) == [f"{100 * p:.1f} %" for p in without["probabilities"]]
        page.locator("#parts button[aria-pressed=true]").click()
        assert percents(page, 3) == ["", ""]
        check_accessibility(page)
        with page.expect_download() as download:
            page.click("#share")
        download.value.save_as(tmp_path / "why.html")
    assert "unbelievably" in (tmp_path / "why.html").read_text(encoding="utf-8")


def test_a_word_clicked_away_while_the_next_answer_is_made_does_not_lose_it(opened, texts):
    with running(of(texts)) as server:
        page = opened(server)
        page.fill("#text", TEXT)
        page.click("#ask")
        page.wait_for_selector("#answer:not([hidden])")
        page.evaluate(LATE)
        page.fill("#text", "Another text.")
        page.click("#ask")
        page.locator("#parts button").first.click()
        expect(page.locator("#probabilities td:nth-child(3)").first).not_to_be_empty()  # of the answer that is shown
        expect(page.locator("#parts")).to_have_text("Another text.")
        expect(page.locator("#status")).to_contain_text("relative error of the scores")
        assert percents(page, 3) == ["", ""]


def test_an_error_is_shown(opened, texts):
    with running(of(texts)) as server:
        page = opened(server)
        page.evaluate("document.getElementById('text').value = '  '")
        page.evaluate("explain()")
        page.wait_for_selector("#status[data-kind=error]")
        assert "is empty; pass text with a word in it" in page.locator("#status").inner_text()


def test_a_picture_is_dropped(opened, pictures):
    content = base64.b64encode((pictures / "noise.png").read_bytes()).decode()
    with running(of(pictures)) as server:
        page = opened(server)
        page.evaluate(DROP, ["noise.png", content])
        expect(page.locator("#status")).to_contain_text("is ready")
        page.click("#ask")
        page.wait_for_selector("#answer:not([hidden])")
        patches = page.locator("#parts button")
        assert patches.count() == 16
        image, first = page.locator("#parts img").bounding_box(), patches.nth(5).bounding_box()
        assert first["x"] == pytest.approx(image["x"] + image["width"] / 4, abs=1)
        assert first["height"] == pytest.approx(image["height"] / 4, abs=1)
        patches.nth(5).click()
        expect(page.locator("#probabilities td:nth-child(3)").first).not_to_be_empty()
        check_accessibility(page)
        assert sum(float(p.removesuffix(" %")) for p in percents(page, 3)) == pytest.approx(100, abs=0.3)


def test_a_port_that_is_none(texts):
    fails("serve", "--model", texts, "--port", 70000, say="--port")


def test_a_port_that_is_taken(texts):
    with running(of(texts)) as server:
        fails("serve", "--model", texts, "--port", server.server_port, say="in use", code=2)
