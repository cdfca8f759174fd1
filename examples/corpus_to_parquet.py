"""Explain a corpus, a text on every line, and write a Parquet table with a row a word.

    pip install "calig_fast[corpus]"
    python examples/corpus_to_parquet.py --model DIR --lines FILE --out words.parquet

Memory stays bounded: texts are explained and written batch by batch. Read it with pandas, Polars or DuckDB, as in
    SELECT word, avg(score) FROM 'words.parquet' WHERE converged GROUP BY word ORDER BY 2 DESC
"""

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from calig_fast import Attribution, Explainer


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """(number of the line, text) of every line that holds one."""
    with path.open(encoding="utf-8") as file:
        yield from ((i, line.strip()) for i, line in enumerate(file) if line.strip())


def rows(a: Attribution, lines: list[int]) -> dict[str, list[Any]]:
    """The table's columns for one batch."""
    found: dict[str, list[Any]] = {n: [] for n in ("line", "label", "converged", "word", "score", "start", "end")}
    for i, words in enumerate(a.words or ()):
        scores = [score for _, score in a.word_scores(i)]
        found["line"] += [lines[i]] * len(words)
        found["label"] += [a.label(i)] * len(words)
        found["converged"] += [bool(a.converged[i])] * len(words)
        found["word"] += [word.text for word in words]
        found["score"] += scores
        found["start"] += [word.start for word in words]
        found["end"] += [word.end for word in words]
    return found


def main() -> None:
    """Read, explain, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--lines", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("words.parquet"))
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise SystemExit('this example needs pyarrow: pip install "calig_fast[corpus]"') from error
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(options.model)
    explainer = Explainer(model, AutoTokenizer.from_pretrained(options.model), guarantee="scores")
    source, done, writer = texts(options.lines), 0, None
    while batch := list(islice(source, options.batch)):
        a = explainer([text for _, text in batch], progress=True)
        table = arrow.table(rows(a, [line for line, _ in batch]))
        writer = writer or parquet.ParquetWriter(options.out, table.schema)
        writer.write_table(table)
        done += len(batch)
        print(f"{done} texts", flush=True)
    if writer:
        writer.close()


if __name__ == "__main__":
    main()
