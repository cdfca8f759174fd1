"""`calig demo` writes pages and pictures."""

import pytest
from helpers.typed import fails, run
from PIL import Image

from calig_fast import demo


def test_the_topics_demo_writes_a_page_and_pictures(tmp_path):
    try:
        demo.load("topics", 1)
    except demo.MissingPackageError as error:
        pytest.skip(str(error))
    found = run("demo", "--only", "topics", "--out", tmp_path / "out")
    assert found.exit_code == 0, found.output
    page = (tmp_path / "out" / "topics.html").read_text(encoding="utf-8")
    assert demo.load("topics", 1).labels[0] in page
    for name in ("topics.png", "topics_layers.png"):
        with Image.open(tmp_path / "out" / name) as picture:
            assert min(picture.size) > 300
    assert "Converged" in found.stdout


def test_a_demo_that_does_not_exist(tmp_path):
    fails("demo", "--only", "cats", "--out", tmp_path, say="got 'cats'")
