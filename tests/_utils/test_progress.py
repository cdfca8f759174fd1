"""Progress is passed to a function, drawn as a bar, or not shown; a bar never mixes with what a program prints."""

import pytest
from helpers.tiny_models import ids, tiny
from rich.console import Console
from rich.progress import Progress

from calig_fast import explain
from calig_fast._utils.progress import ticker


def test_a_function_is_told_every_step():
    seen = []
    with ticker(lambda *told: seen.append(told), 3) as tick:
        assert seen == []
        for _ in range(3):
            tick()
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("nothing", [None, False])
def test_nothing_is_drawn_unasked(nothing, capfd):
    with ticker(nothing, 2) as tick:
        tick()
    assert capfd.readouterr() == ("", "")


def test_a_bar_leaves_standard_output_alone(capfd):
    with ticker(True, 2) as tick:
        tick()
        print("one line")
        tick()
    assert capfd.readouterr().out == "one line\n"


def test_a_bar_is_drawn_on_a_terminal(monkeypatch, capfd):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with ticker(True, 2) as tick:
        tick()
        tick()
    drawn = capfd.readouterr()
    assert "explaining" in drawn.err
    assert "100%" in drawn.err
    assert drawn.out == ""


def test_a_bar_inside_a_bar_of_the_callers():
    with Progress(console=Console(quiet=True)) as outer:
        task = outer.add_task("files", total=2)
        for _ in range(2):
            explain(tiny("bert"), ids(5), method="gradient_x_input", progress=True)
            outer.advance(task)
        assert outer.finished


def test_what_goes_wrong_is_passed_on_and_the_bar_is_closed():
    for _ in range(2):
        with pytest.raises(KeyError), ticker(True, 2):
            raise KeyError("stop")

    def fails(done, total):
        raise RuntimeError("the caller's own mistake")

    with pytest.raises(RuntimeError, match="own mistake"):
        explain(tiny("bert"), ids(5), method="gradient_x_input", progress=fails)
