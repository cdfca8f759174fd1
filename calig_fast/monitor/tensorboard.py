"""TensorBoard as a log target: the numbers of every look, its words as text, and its patches over the picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..views import colours
from .history import History, shares_of
from .measures import Floats, numbers_of

Record = dict[str, Any]
WORDS = 30  # of a look, the strongest
SIDE = 8  # pixels of a patch, where there is no picture


def numbers(writer: Any) -> Callable[[Record], object]:
    """A function that writes calig/<probe>/<number> and calig/<probe>/layers/<l> of a record; an error as text.

    Args:
        writer: a SummaryWriter.
    """

    def write(record: Record) -> None:
        step = record["step"]
        if "error" in record:
            writer.add_text("calig/errors", f"{record['at']}: {record['error']}", step)
            return
        for name, value in numbers_of(record, record["probe"]).items():
            writer.add_scalar(name, value, step)

    return write


def shown(writer: Any) -> Callable[[History], object]:
    """A function that writes the last look at a probe: calig/<probe>/words, or calig/<probe>/patches.

    Args:
        writer: a SummaryWriter.
    """

    def write(history: History) -> None:
        subject, look, values = history.subject, history.looks[-1], shares_of(history.values[-1])
        if subject is None:
            return
        if subject.grid is None:
            writer.add_text(f"calig/{history.name}/words", table(subject.summary.units, values), look.step)
        elif values.size:
            patches = values.reshape(subject.grid.rows, subject.grid.columns)
            image = coloured(patches, subject.image)
            writer.add_image(f"calig/{history.name}/patches", image, look.step, dataformats="HWC")

    return write


def table(units: Any, values: Floats) -> str:
    """The strongest words in their order, as a table of Markdown.

    Args:
        units: words.
        values: their shares [N].
    """
    strongest = np.sort(np.argsort(-np.abs(values), kind="stable")[:WORDS])
    rows = [f"| {_plain(units[i])} | {100 * values[i]:+.1f} % |" for i in strongest]
    return "\n".join(["| word | share |", "|---|---|", *rows])


def _plain(word: str) -> str:
    """A word without what Markdown or HTML would read as markup."""
    line = " ".join(word.split())
    return "".join(c if c.isalnum() or c in " .,'-" else f"&#{ord(c)};" for c in line)


def coloured(patches: Floats, picture: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """The picture in grey with each patch in the colour of its sign, as strong as its score, [H,W,3].

    Args:
        patches: shares [rows, columns].
        picture: the pixels under them, [H,W,3]; None for a white ground.
    """
    rows, columns = patches.shape
    height, width = (rows * SIDE, columns * SIDE) if picture is None else picture.shape[:2]
    grey = np.full((height, width), 255.0) if picture is None else picture.mean(axis=2)
    scores = colours.normalise(patches, colours.robust_scale(patches))
    down, across = np.arange(height) * rows // height, np.arange(width) * columns // width
    pixels = scores[down[:, None], across[None, :]][..., None]
    colour = np.where(pixels > 0, np.array(colours.SUPPORT), np.array(colours.OPPOSE))
    opacity = np.abs(pixels)
    return np.asarray(np.rint(opacity * colour + (1 - opacity) * grey[..., None]), dtype=np.uint8)
