"""Views register renderers of results; a result without a renderer names the module to import."""

import pytest

from calig_fast.results import rendering


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    monkeypatch.setattr(rendering, "_RENDERERS", {})


def test_the_result_comes_first_then_the_arguments():
    rendering.register_renderer("page", lambda result, *more: (result, more))
    assert rendering.render("page", "result", 1, 2) == ("result", (1, 2))


def test_a_later_function_replaces_an_earlier_one():
    rendering.register_renderer("page", lambda result: "first")
    rendering.register_renderer("page", lambda result: "second")
    assert rendering.render("page", None) == "second"


def test_what_nobody_registered():
    with pytest.raises(RuntimeError, match=r'no renderer "page" is registered; import calig_fast.views'):
        rendering.render("page", None)
