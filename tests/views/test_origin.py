"""The line of origin on every page."""

from datetime import date
from types import SimpleNamespace

import pytest
from helpers.looks import watched
from helpers.synthetic import of_texts, read

from calig_fast import __version__, compare, summary
from calig_fast.monitor.page import page as monitor_page
from calig_fast.views.origin import origin

END = f"calig_fast {__version__} \u00b7 2026-01-02"


@pytest.fixture(autouse=True)
def day(monkeypatch):
    monkeypatch.setattr("calig_fast.views.origin.date", SimpleNamespace(today=lambda: date(2026, 1, 2)))


def of(model: str):
    return of_texts([read("a fine film")], settings={"tolerance": 0.02, "model": model})


def test_each_model_once_and_none_without_a_name():
    assert origin(["b", "", "a", "b"], "2 texts") == f"model b and a \u00b7 2 texts \u00b7 {END}"
    assert origin([""]) == END


@pytest.mark.parametrize(
    "page",
    [
        lambda: of("acme/films").to_html(),
        lambda: compare([of("acme/films"), of("acme/films")]).to_html(),
        lambda: summary({"old": of("acme/films"), "new": of("acme/films")}).to_html(),
        lambda: monitor_page([watched(model="acme/films")], 0.1, False),
    ],
    ids=["explanation", "comparison", "data set", "monitor"],
)
def test_the_title_and_the_head_of_every_page_name_the_model(page):
    title, head = page().split("</title>")[0], page().split("</header>")[0].split("<body>")[1]
    for part in (title, head):
        assert "model acme/films \u00b7 " in part
        assert END in part


def test_a_data_set_of_two_models_names_both():
    both = summary({"old": of("acme/films"), "new": of("acme/films-2")})
    assert both.models == ("acme/films", "acme/films-2")
    assert f"model acme/films and acme/films-2 \u00b7 {END}" in both.to_html()
