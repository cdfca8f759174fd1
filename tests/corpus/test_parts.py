"""A part is there as a whole or not at all, wherever a kill came."""

import pytest
from helpers import corpora

from calig_fast import corpus
from calig_fast.corpus.parts import ASIDE, INPUTS, UNITS, Folder, name_of


@pytest.fixture
def folder(tmp_path):
    """Three parts."""
    model, tokenizer = corpora.text_model()
    corpus.explain_corpus(model, corpora.sentences(9), tmp_path, tokenizer, workers=0, part_size=3)
    found = Folder(tmp_path)
    found.open()
    assert len(found.there) == 3
    return found


def again(folder):
    found = Folder(folder.path)
    found.open()
    return found


def listed(folder, kind):
    return sorted(file.stem for file in (folder.path / kind).iterdir())


def test_rows_without_their_inputs_are_no_part(folder):
    first, *rest = sorted(folder.there)
    folder.file(first, INPUTS).unlink()  # killed before it was written
    found = again(folder)
    assert sorted(found.there) == rest
    assert listed(folder, UNITS) == rest


@pytest.mark.parametrize("harm", ["missing", "cut", "no Parquet"])
def test_damaged_parts_are_none(folder, harm):
    first, *rest = sorted(folder.there)
    file = folder.file(first, INPUTS if harm == "no Parquet" else UNITS)
    content = file.read_bytes()
    file.unlink()
    if harm != "missing":
        file.write_bytes(content[:-20])
    found = again(folder)
    assert sorted(found.there) == rest
    assert listed(folder, UNITS) == listed(folder, INPUTS) == rest
    assert list(again(found).there) == list(found.there)


def test_a_part_goes_aside_and_comes_back(folder):
    first, *rest = sorted(folder.there)
    before = corpora.content(folder.path)
    folder.set_aside(first)
    assert listed(folder, UNITS) == listed(folder, INPUTS) == rest
    found = again(folder)
    assert sorted(found.there) == rest
    assert list(found.aside) == [first]
    found.restore(first)
    assert corpora.content(folder.path) == before
    assert sorted(again(folder).there) == [first, *rest]


@pytest.mark.parametrize("moves", range(1, 3))
def test_a_kill_between_two_moves(folder, moves):
    first, *rest = sorted(folder.there)
    done = []
    real = folder._rename

    def rename(*args, **more):
        if len(done) == moves:
            raise KeyboardInterrupt
        done.append(args)
        real(*args, **more)

    folder._rename = rename
    with pytest.raises(KeyboardInterrupt):
        folder.set_aside(first)
    found = again(folder)
    assert sorted(found.there) == rest
    assert listed(folder, UNITS) == rest
    assert sorted(found.aside) in ([], [first])
    assert sorted(again(folder).aside) == [first]
    assert (folder.path / ASIDE / UNITS).is_dir()


def test_names_differ_by_all_that_a_part_holds():
    inputs = [(0, "a"), (1, "b")]
    others = [
        ("work", [(0, "a")]),
        ("work", [(1, "b"), (0, "a")]),
        ("work", [("0", "a"), ("1", "b")]),
        ("other", inputs),
    ]
    names = {name_of(work, given) for work, given in [("work", inputs), *others]}
    assert len(names) == 5
