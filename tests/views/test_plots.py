import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers.synthetic import cases, of_texts, read

from calig_fast import compare
from calig_fast.views import plots
from calig_fast.views.figures import WORDS

pytest.importorskip("matplotlib")
from matplotlib.axes import Axes
from matplotlib.figure import Figure

CASES = cases()


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
@pytest.mark.parametrize("suffix", ["png", "svg"])
@pytest.mark.parametrize("name", CASES)
def test_figures_save(name: str, suffix: str, tmp_path: Path) -> None:
    a = CASES[name]
    figures = [plots.plot(a, len(a) - 1)] + ([plots.plot_layers(a)] if a.layer_scores.shape[1] else [])
    for figure in figures:
        path = tmp_path / f"figure.{suffix}"
        figure.savefig(path)
        start = path.read_bytes()[:400]
        assert start.startswith(b"\x89PNG") if suffix == "png" else b"<svg" in start or b"<?xml" in start


def test_a_figure_of_a_text_is_letters_and_lines_in_a_pdf(tmp_path: Path) -> None:
    texts, image = CASES["text"], CASES["images"]
    for name, figure in (("words", plots.plot(texts)), ("beside", compare([texts, texts]).plot())):
        figure.savefig(tmp_path / f"{name}.pdf")
        written = (tmp_path / f"{name}.pdf").read_bytes()
        assert written.startswith(b"%PDF")
        assert b"/Font" in written
        assert b"/Subtype /Image" not in written
    plots.plot(image).savefig(tmp_path / "image.pdf")
    assert b"/Subtype /Image" in (tmp_path / "image.pdf").read_bytes()


def test_percentile_and_opacity_change_what_is_drawn() -> None:
    a = CASES["images"]
    layers = [np.asarray(plots.plot(a, opacity=o).axes[1].images[1].get_array())[..., 3] for o in (0.3, 0.6)]
    assert layers[0].max() == pytest.approx(0.3)
    assert layers[1] == pytest.approx(2 * layers[0])
    shares = [np.asarray(plots.plot(a, percentile=p).axes[1].images[1].get_array())[..., 3] for p in (100, 60)]
    assert np.mean(shares[1] == shares[1].max()) > 0.2 > np.mean(shares[0] == shares[0].max())
    low, high = (
        np.abs(plots.plot_layers(CASES["text"], percentile=p).axes[1].collections[0].get_array()) for p in (99, 50)
    )
    assert (high >= low).all()
    assert (high > low).any()


def test_bars_are_the_strongest_words_in_reading_order() -> None:
    a = CASES["text"]
    axes = plots.plot(a).axes[0]
    scores = a.word_scores()
    strongest = sorted(sorted(range(len(scores)), key=lambda i: -abs(scores[i][1]))[: plots.RANKED])
    assert [t.get_text() for t in axes.get_yticklabels()] == [scores[i][0] for i in strongest]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([scores[i][1] for i in strongest], abs=1e-6)


def callers_axes() -> tuple[Figure, Axes]:
    """Two axes as pyplot makes them, the second one given away."""
    figure = Figure()
    return figure, figure.subplots(1, 2)[1]


def test_bars_in_the_axes_of_the_caller() -> None:
    (figure, ax), alone = callers_axes(), CASES["text"].plot()
    assert CASES["text"].plot(ax=ax) is figure
    assert [b.get_width() for b in ax.patches] == [b.get_width() for b in alone.axes[0].patches]
    assert [t.get_text() for t in ax.get_yticklabels()] == [t.get_text() for t in alone.axes[0].get_yticklabels()]
    assert "explained: " in ax.get_title()
    assert len(figure.axes) == 2
    assert not figure.texts
    figure.canvas.draw()


def test_patches_in_the_axes_of_the_caller() -> None:
    (figure, ax), alone = callers_axes(), CASES["images"].plot(1, opacity=0.5)
    CASES["images"].plot(1, opacity=0.5, ax=ax)
    for here, there in zip(ax.images, alone.axes[1].images, strict=True):
        assert np.array_equal(np.asarray(here.get_array()), np.asarray(there.get_array()))
    figure.canvas.draw()


def test_axes_of_a_subfigure_give_the_whole_figure() -> None:
    figure = Figure()
    assert CASES["text"].plot(ax=figure.subfigures(1, 2)[0].subplots()) is figure


def test_what_are_no_axes() -> None:
    figure, ax = callers_axes()
    with pytest.raises(
        TypeError, match=r"ax: expected matplotlib's Axes, as plt.subplots\(\) returns them, got .*Figure"
    ):
        CASES["text"].plot(ax=figure)  # type: ignore[arg-type]
    ax.remove()
    with pytest.raises(ValueError, match="ax: it was removed from its figure"):
        CASES["text"].plot(ax=ax)


def test_the_text_above_fits_the_figure() -> None:
    figure = plots.plot(CASES["long"])
    figure.canvas.draw()
    width, height = figure.bbox.width, figure.bbox.height
    for text in figure.texts:
        box = text.get_window_extent()
        assert 0 <= box.x0 <= box.x1 <= width
        assert figure.axes[0].bbox.y1 < box.y0 <= box.y1 <= height
    words = [t.get_text() for t in figure.texts]
    assert f"and {2000 - WORDS} words more" in words[-3]
    assert "did not read the last 320 tokens" in words[-2]
    assert words[WORDS - 1 : -3] == [CASES["long"].texts[0].words[WORDS - 1].text]  # and nothing that was not read


def test_layers_show_every_block_and_its_total() -> None:
    a = CASES["unconverged"]
    figure = plots.plot_layers(a)
    totals, blocks, fused = figure.axes[:3]
    assert [bar.get_height() for bar in totals.patches] == pytest.approx(a.layer_scores[0].sum(-1).tolist(), abs=1e-4)
    assert [t.get_text() for t in totals.texts] == ["not converged"]
    assert np.asarray(blocks.collections[0].get_array()).shape == (plots.HEAT_WORDS, 6)
    assert np.asarray(fused.collections[0].get_array()).shape == (plots.HEAT_WORDS, 1)


def test_a_map_a_block_over_images() -> None:
    figure = plots.plot_layers(CASES["images"])
    titles = [axes.get_title() for axes in figure.axes]
    assert [t.split(":")[0] for t in titles[:5]] == ["fused", "block 0", "block 1", "block 2", "block 3"]


def test_no_layers_is_an_error_that_helps() -> None:
    with pytest.raises(ValueError, match="no layer scores; use plot"):
        plots.plot_layers(CASES["no layers"])
    with pytest.raises(IndexError, match="holds 1 inputs"):
        plots.plot(CASES["text"], 5)


def test_dollars_are_no_formula() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plots.plot(of_texts([read("costs $ 5 _ or $ \\frac")]))
        figure.canvas.draw()
    assert "$" in {t.get_text() for t in figure.texts}


def test_pyplot_is_never_imported() -> None:
    code = (
        "import sys; from helpers.synthetic import cases\n"
        "for name in ('text', 'images'): cases()[name].plot(), cases()[name].plot_layers()\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    search = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    run = subprocess.run([sys.executable, "-c", code], env=search, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_without_matplotlib_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'calig_fast\[plots\]'"):
        plots.plot(CASES["text"])


def places(figure: Figure) -> dict[str, tuple[float, float]]:
    return {t.get_text(): t.get_position() for t in figure.texts}


def test_words_from_right_to_left_start_at_the_right() -> None:
    found = places(plots.plot(of_texts([read("שלום עולם טוב מאוד")])))
    assert found["שלום"][0] > found["עולם"][0] > found["טוב"][0] > 0.5
    assert found["מאוד"][1] == found["שלום"][1]


def test_punctuation_stays_with_its_word() -> None:
    figure = plots.plot(of_texts([read("(quite) good, " * 60)]))
    texts = [(t.get_text(), t.get_position()) for t in figure.texts]
    lines = {text: [y for name, (_, y) in texts if name == text] for text in ("(", "quite", ")", "good", ",")}
    assert len(set(lines["good"])) > 1
    assert lines["("] == lines["quite"] == lines[")"]
    assert lines["good"] == lines[","]


def test_letters_that_no_font_has_are_boxes_with_one_warning() -> None:
    letter = "\U00013000"  # a hieroglyph
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure = plots.plot(of_texts([read(f"a {letter} word, {letter}{letter} again")]))
        figure.canvas.draw()
    assert [str(w.message)[:40] for w in caught] == ["plot: no installed font has 1 letters of"]
    assert "\u25a1" in places(figure)


def test_a_map_has_numbered_patches_and_an_image_its_colours() -> None:
    axes = plots.plot(CASES["images"]).axes[1]
    assert [t.get_text() for t in axes.get_xticklabels()] == [str(n) for n in range(7)]
    assert np.array_equal(np.asarray(axes.images[0].get_array()), CASES["images"].images[0].numpy())
    alpha = np.asarray(axes.images[1].get_array())
    opposing = alpha[..., 0] > alpha[..., 2]
    strong = opposing & (alpha[..., 3] > 0.1)
    turned = np.roll(strong, 4, axis=1) & strong
    assert turned.any()
    assert np.abs(alpha[..., 3] - np.roll(alpha[..., 3], 4, axis=1))[turned].mean() > 0.05  # stripes
