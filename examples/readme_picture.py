"""The terminal picture in README.md: a sentence of our own and a picture from the demonstration.

    python examples/readme_picture.py OUT.svg

Any browser turns the SVG into a PNG; chromium --headless --screenshot does it from the shell.
"""

import io
import sys

from rich.console import Console

from calig_fast import Explainer
from calig_fast.demo import load
from calig_fast.views.terminal import render

SENTENCE = "The plot is thin and the ending predictable, but the two leads are superb and the music is a joy."


def main(out: str) -> None:
    """Explain, render and write."""
    console = Console(record=True, width=88, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for name, inputs in (("sentiment", [SENTENCE]), ("fashion", None)):
        demo = load(name, count=2)
        a = Explainer(demo.model, demo.processor)(inputs or [demo.samples[-1].input])
        console.rule(name)
        render(a, console)
    console.save_svg(out, title="calig_fast")


if __name__ == "__main__":
    main(sys.argv[1])
