"""Sums of the scores of every word (or patch) of every class over a corpus, part by part, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..results.tables import needed
from . import tables
from .parts import UNITS, Folder

COLUMNS = ["id", "target", "label", "text", "word", "word_number", "number", "special", "score"]
SUMS = ("count", "score", "score2", "share", "share2")
MERGED = 64  # parts, after which the sums are brought together

# An input's occurrences of a word are one value each: their mean score, and their share of all magnitudes.
SQL = """
with units as (
  select id, target, label, coalesce(word, text) as word, coalesce(word_number, number) as place, sum(score) as score
  from read_parquet({files}) where not special group by all
), shares as (
  select *, abs(score) / nullif(sum(abs(score)) over (partition by id, target), 0) as share from units
), values as (
  select id, target, label, word, avg(score) as score, sum(coalesce(share, 0)) as share from shares group by all
)
select label, word, count(*) as count, sum(score) as score, sum(score * score) as score2, sum(share) as share,
  sum(share * share) as share2 from values group by all order by label, word
"""


def sums(folder: Folder) -> Any:
    """The sums over the inputs that have a word: through DuckDB where it is installed, else part by part.

    Args:
        folder: of the parts.

    Returns:
        an Arrow table of `label`, `word`, `count`, and the sums and sums of squares of `score` and `share`.
    """
    files = [folder.file(name, UNITS) for name, about in sorted(folder.there.items()) if about.rows]
    return by_duckdb(files) if files and find_spec("duckdb") else by_arrow(files)


def by_duckdb(files: list[Path]) -> Any:
    """The sums, by one query that spills to disk where the memory is full."""
    duckdb = needed("duckdb", "report", "a report")
    quoted = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    with duckdb.connect() as connection:
        table = connection.sql(SQL.format(files=f"[{quoted}]")).to_arrow_table()
    types = [("label", "string"), ("word", "string"), ("count", "int64"), *((name, "double") for name in SUMS[1:])]
    return table.cast(tables.arrow().schema(types))


def by_arrow(files: list[Path]) -> Any:
    """The sums, part by part."""
    package = tables.arrow()
    held: list[Any] = []
    for part in _parts(files):
        held.append(part)
        if len(held) == MERGED:
            held = [_merged(package, held)]
    if not held:
        types = [("label", "string"), ("word", "string"), ("count", "int64"), *((name, "double") for name in SUMS[1:])]
        return package.schema(types).empty_table()
    return _merged(package, held).sort_by([("label", "ascending"), ("word", "ascending")])


def _parts(files: list[Path]) -> Iterator[Any]:
    parquet = needed("pyarrow.parquet", "corpus", "a corpus")
    compute = tables.arrow().compute
    for file in files:
        table = parquet.ParquetFile(file).read(columns=COLUMNS)
        table = table.filter(compute.invert(table["special"]))
        columns = {name: table[name] for name in ("id", "target", "label", "score")}
        columns["word"] = compute.coalesce(table["word"], table["text"])
        columns["place"] = compute.coalesce(table["word_number"], table["number"])
        yield _sums(tables.arrow().table(columns))


def _sums(table: Any) -> Any:
    """The sums of one part, whose inputs are whole."""
    compute = tables.arrow().compute
    units = _grouped(table, ["id", "target", "label", "word", "place"], [("score", "sum", "score")])
    units = units.append_column("size", compute.abs(units["score"]))
    whole = _grouped(units, ["id", "target"], [("size", "sum", "all")])
    whole = whole.set_column(1, "target", compute.fill_null(whole["target"], -1))
    units = units.set_column(units.column_names.index("target"), "target", compute.fill_null(units["target"], -1))
    units = units.join(whole, ["id", "target"])
    share = compute.divide(units["size"], compute.if_else(compute.equal(units["all"], 0.0), 1.0, units["all"]))
    units = units.append_column("share", share)
    values = _grouped(units, ["id", "target", "label", "word"], [("score", "mean", "score"), ("share", "sum", "share")])
    for name in ("score", "share"):
        values = values.append_column(f"{name}2", compute.multiply(values[name], values[name]))
    values = values.append_column("count", tables.arrow().array([1] * values.num_rows, "int64"))
    return _grouped(values, ["label", "word"], [(name, "sum", name) for name in SUMS])


def _merged(package: Any, parts: list[Any]) -> Any:
    return _grouped(package.concat_tables(parts), ["label", "word"], [(name, "sum", name) for name in SUMS])


def _grouped(table: Any, keys: list[str], sums: list[tuple[str, str, str]]) -> Any:
    """A table by its keys, with (column, function, new name)."""
    grouped = table.group_by(keys, use_threads=False).aggregate([(column, how) for column, how, _ in sums])
    names = {f"{column}_{how}": new for column, how, new in sums}
    return grouped.rename_columns([names.get(name, name) for name in grouped.column_names]).select(
        [*keys, *(new for _, _, new in sums)]
    )
