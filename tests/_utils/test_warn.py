"""Warnings point to the caller's line, and the warning of an old name comes once."""

import sys
import warnings

import pytest
from helpers.tiny_models import ids, tiny

from calig_fast import explain
from calig_fast._utils import warn as module
from calig_fast._utils.warn import renamed, warn


@pytest.fixture
def seen(monkeypatch):
    monkeypatch.setattr(module, "_SEEN", set())


def test_the_line_is_the_callers():
    with pytest.warns(UserWarning, match="look out") as caught:
        warn("look out")
    line = sys._getframe().f_lineno - 1
    assert [(w.filename, w.lineno) for w in caught] == [(__file__, line)]


def test_the_line_is_the_callers_however_deep_it_was_said():
    call = {"input_ids": ids(9, 6)["input_ids"]}
    with pytest.warns(UserWarning, match="padding") as caught:
        explain(tiny("bert"), call)
    assert {w.filename for w in caught} == {__file__}


def test_an_old_name_warns_once(seen):
    names = {"old": "new"}
    with pytest.warns(FutureWarning, match=r'engine: "old" is now called "new"; the old name will go in') as caught:
        assert renamed("engine", "old", names) == "new"
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert renamed("engine", "old", names) == "new"
    with pytest.warns(FutureWarning, match="backend"):
        renamed("backend", "old", names)


@pytest.mark.parametrize("value", ["new", "other", None, 3])
def test_other_values_are_as_they_were(seen, value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert renamed("engine", value, {"old": "new"}) is value
