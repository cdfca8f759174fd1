"""The tables are read alike by everything that reads Parquet."""

from pathlib import Path

import pytest
from helpers import corpora

from calig_fast import corpus
from calig_fast.corpus.tables import INPUT_COLUMNS


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    model, tokenizer = corpora.text_model()
    texts = ["", "", *corpora.sentences(6)]  # the first part has no rows
    corpus.explain_corpus(model, texts, folder, tokenizer, workers=0, part_size=2)
    return folder


def columns(folder, kind):
    table = corpora.read(folder, kind)
    return table.num_rows, table.column_names


def test_columns_are_those_of_the_page(made):
    page = (Path(__file__).parents[2] / "docs" / "corpus.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in INPUT_COLUMNS)
    names = columns(made, "tokens")[1]
    assert (names[0], names[-1]) == ("id", "settings")
    assert not {"row", "input"} & set(names)


def test_the_version_is_in_every_file(made):
    from pyarrow import parquet

    for file in made.glob("*/*.parquet"):
        assert parquet.read_metadata(file).metadata[b"schema_version"] == b"1"


@pytest.mark.parametrize("kind", ["tokens", "inputs"])
@pytest.mark.parametrize("library", ["pandas", "polars", "duckdb", "datasets"])
def test_libraries_read_them(made, kind, library, tmp_path):
    package = pytest.importorskip(library)
    rows = f"{made}/{kind}/*.parquet"
    if library == "pandas":
        found = package.read_parquet(made / kind)
        seen = len(found), list(found.columns)
    elif library == "polars":
        found = package.read_parquet(rows)
        seen = found.height, found.columns
    elif library == "duckdb":
        found = package.sql(f"select * from '{rows}'")
        seen = len(found.fetchall()), list(found.columns)
    else:
        found = package.load_dataset("parquet", data_files=rows, split="train", cache_dir=str(tmp_path))
        seen = found.num_rows, found.column_names
    wanted = columns(made, kind)
    assert (seen[0], [name for name in seen[1] if name != "seconds"]) == wanted
