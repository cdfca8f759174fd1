import io
import re
from dataclasses import replace

import pytest
import torch
from helpers.synthetic import cases, of_texts, read
from rich.cells import cell_len
from rich.console import Console

from calig_fast.results.attribution import Attribution
from calig_fast.views.terminal import WORDS, render

CASES = cases()
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def printed(attribution: Attribution, width: int = 80, colour: bool = False, layers: bool = True) -> str:
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=colour, color_system="truecolor" if colour else None, legacy_windows=False
    )
    render(attribution, console, layers)
    return out.getvalue()


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_80_columns_with_and_without_colour(name: str, colour: bool) -> None:
    text = printed(CASES[name], colour=colour)
    assert ("\x1b[" in text) is colour
    plain = ESCAPE.sub("", text)
    assert "\x1b" not in plain
    assert "\x07" not in plain
    assert max(cell_len(line) for line in plain.splitlines()) <= 80
    assert plain.count("explained ") == len(CASES[name])
    for i in range(len(CASES[name])):
        assert " ".join(CASES[name].statement(i).split()) in " ".join(plain.split())


def test_without_colour_the_sign_is_written() -> None:
    a = CASES["text"]
    text = printed(a, width=200)
    scores = dict(a.word_scores())
    best = max(scores, key=lambda w: scores[w])
    worst = min(scores, key=lambda w: scores[w])
    assert f"{best}[+" in text
    assert f"{worst}[-" in text
    assert f"{scores[best]:+.3g}" in text
    assert "[+]" not in ESCAPE.sub("", printed(a, width=200, colour=True))


def test_colour_paints_the_words_by_sign() -> None:
    a = of_texts([read("good bad plain")])
    a.scores[0, 1:4] = a.scores.new_tensor([1.0, -1.0, 0.0])
    text = printed(a, colour=True)
    assert re.search(r"\x1b\[[0-9;]*48;2;8;91;139mgood", text)
    assert re.search(r"\x1b\[[0-9;]*48;2;162;77;11mbad", text)
    assert re.search(r"(^| )plain", text)


def test_a_row_a_block_with_its_numbers() -> None:
    a = CASES["unconverged"]
    rows = [r.split() for r in printed(a, width=100).splitlines() if re.match(r"\s+\d\s", r)]
    assert [r[0] for r in rows] == ["0", "1", "2", "3", "4", "5"]
    assert [r[-1] for r in rows] == ["yes", "yes", "NO", "yes", "yes", "yes"]
    assert [int(r[-2]) for r in rows] == a.n_steps[0].tolist()
    assert [float(r[-5]) for r in rows] == pytest.approx(a.layer_scores[0].sum(-1).tolist(), rel=1e-2)
    assert "gradients  ok" not in printed(a, layers=False)


def test_a_long_text_says_what_was_left_out() -> None:
    text = " ".join(printed(CASES["long"]).split())
    assert f"The first {WORDS} of 2000 words" in text
    rest = sum(v for _, v in CASES["long"].word_scores()[WORDS:])
    assert f"add up to {rest:+.3g}" in text
    assert "did not read the last 320 tokens" in text


def test_markup_in_a_text_is_text() -> None:
    assert "[bold]" in re.sub(r"\[[+-]+\]", "", printed(CASES["hostile"], width=300))


@pytest.mark.parametrize("name", ["text", "hostile", "images"])
def test_an_ascii_stream_is_enough(name: str) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    render(CASES[name], Console(file=out, width=80))
    out.flush()
    assert "explained" in out.buffer.getvalue().decode("ascii")


def test_images_show_their_grid() -> None:
    plain = printed(CASES["grid alone"])
    assert len([line for line in plain.splitlines() if re.fullmatch(r"\s*[#+.=-]{14}\s*", line)]) == 14
    assert all(f"block {i}" in plain for i in range(12))
    assert "▀" in printed(CASES["images"], colour=True)


def test_standard_output_is_the_default(capsys) -> None:
    render(CASES["text"])
    assert f"explained {CASES['text'].label()}" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["sum", "mean", "absmax"])
@pytest.mark.parametrize("by", ["token", "word", "sentence"])
def test_other_units_are_shown(by: str, how: str) -> None:
    a = CASES["text"]
    g = a.by(by, how)
    text = printed(g, width=300)
    told = f"Each {by} has the {how} of its tokens." in text
    assert told is (by == "sentence" or (by == "word" and how != "sum"))
    best = g.top(1)[0][0]
    assert f"{best.score:+.3g}" in text
    out = io.StringIO()
    g.print(Console(file=out, width=300))
    assert out.getvalue() == text


@pytest.mark.parametrize("by", ["patch", "token"])
def test_patches_by_their_mean_are_the_patches(by: str) -> None:
    a = CASES["grid alone"]
    assert printed(a.by(by, "mean")) == printed(a)
    some = replace(a, mask=torch.arange(a.mask.shape[1])[None] % 9 > 0)
    assert printed(some.by(by, "mean")) == printed(some)
