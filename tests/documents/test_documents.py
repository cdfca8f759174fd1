"""Every Python block and every call of `calig` in README.md and docs/ runs unchanged."""

import os

import pytest
import torch
from helpers.documents import PAGES, Fence, commands, fences, run

from calig_fast import demo

LEFT_OUT = 3  # blocks in all that may be left out
TYPED: set[str] = set()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The files that the pages use: a text and an image classifier, a picture, and texts, one a line."""
    made = tmp_path_factory.mktemp("mine")
    try:
        texts, clothes = demo.load("sentiment", 4), demo.load("fashion", 1)
    except demo.MissingPackageError as error:
        pytest.skip(str(error))
    for name, shown in (("my-classifier", texts), ("my-image-classifier", clothes)):
        shown.model.save_pretrained(made / name)
        shown.processor.save_pretrained(made / name)
    clothes.samples[0].input.save(made / "photo.png")
    (made / "reviews.txt").write_text("\n".join(s.input for s in texts.samples[:4]), encoding="utf-8")
    (made / "reviews.csv").write_text("id,review\n1,A superb film.\n2,Dull.\n", encoding="utf-8")
    (made / "review.txt").write_text(texts.samples[0].input, encoding="utf-8")
    return made


@pytest.mark.parametrize(
    "page", [p for p in PAGES if any(f.language == "python" or commands(f) for f in fences(p))], ids=lambda p: p.stem
)
@pytest.mark.filterwarnings("ignore")
def test_a_page_runs_as_it_stands(page, folder, tmp_path, monkeypatch):
    for entry in folder.iterdir():
        os.symlink(entry, tmp_path / entry.name)
    monkeypatch.chdir(tmp_path)
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    try:
        run(page, TYPED)
    finally:
        torch.set_num_threads(threads)
        torch.random.set_rng_state(state)


def test_few_blocks_are_left_out_and_each_says_why():
    left_out = [f.left_out for page in PAGES for f in fences(page) if f.left_out]
    assert len(left_out) <= LEFT_OUT
    assert all(len(why) > len("no-run: ") + 10 for why in left_out)


def test_no_block_is_of_a_language_that_is_run_by_nobody():
    told = {f.language for page in PAGES for f in fences(page)}
    assert told <= {"python", "sh", "diff", "text", "toml", ""}


def test_every_fence_is_found():
    for page in PAGES:
        lines = page.read_text(encoding="utf-8").splitlines()
        assert sum(line.strip().startswith("```") for line in lines) == 2 * len(fences(page)), page


def test_blocks_fail_where_they_are_wrong(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "Words\n\n```python\nx = 1\n```\n\n<!-- no-run: it is wrong on purpose -->\n```python\n1 / 0\n```\n"
    )
    assert fences(page) == [
        Fence(4, "python", "x = 1\n", ""),
        Fence(9, "python", "1 / 0\n", "no-run: it is wrong on purpose"),
    ]
    run(page, set())
    page.write_text("```python\nx = 1\n```\n```python\nassert x == 2\n```\n")
    with pytest.raises(AssertionError):
        run(page, set())
    page.write_text("```sh\ncalig explain --model nowhere \\\n  --text 'a b'  # said\nls\n```\n")
    assert commands(fences(page)[0]) == [["explain", "--model", "nowhere", "--text", "a b"]]
    with pytest.raises(AssertionError, match="no such folder"):
        run(page, set())
