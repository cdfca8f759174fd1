"""A figure that notebooks show, whether pyplot is loaded or not."""

from __future__ import annotations

from io import BytesIO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class ShownFigure(Figure):
    """A figure outside pyplot.

    Args:
        height: in inches.
        width: in inches.
    """

    def __init__(self, height: float, width: float) -> None:
        super().__init__(figsize=(width, height), facecolor="white")
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        """The picture that Jupyter shows; where pyplot's inline backend runs, its own picture comes first."""
        picture = BytesIO()
        self.savefig(picture, format="png")
        return picture.getvalue()
