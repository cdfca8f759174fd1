"""A figure shows itself in a notebook, without pyplot."""

import os
import pickle
import subprocess
import sys

import pytest
from helpers.synthetic import cases

pytest.importorskip("matplotlib")

CASES = cases()
SHOWN = """
from IPython.core.formatters import DisplayFormatter
from helpers.synthetic import cases
display = DisplayFormatter()
print(sorted(display.format(cases()["text"].plot())[0]))
"""


@pytest.mark.parametrize("name", ["text", "images"])
def test_it_is_a_picture_and_can_be_pickled(name):
    figure = CASES[name].plot()
    assert figure._repr_png_().startswith(b"\x89PNG")
    again = pickle.loads(pickle.dumps(figure))
    assert again.get_size_inches().tolist() == figure.get_size_inches().tolist()


def test_ipython_shows_the_picture():
    pytest.importorskip("IPython")
    search = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    run = subprocess.run([sys.executable, "-c", SHOWN], env=search, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "['image/png', 'text/plain']", run.stderr
