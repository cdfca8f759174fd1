"""Explain a corpus, a text on every line, and print the words that move each class most.

    pip install "calig_fast[corpus,tables]"
    python examples/corpus_to_parquet.py --model DIR --lines FILE --out explained

It goes on where it was ended. Read the tables with pandas, Polars or DuckDB, as in
    SELECT word, avg(score) FROM 'explained/tokens/*.parquet' WHERE converged GROUP BY word ORDER BY 2 DESC
"""

import argparse
from pathlib import Path


def main() -> None:
    """Explain, write, read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--lines", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("explained"))
    parser.add_argument("--workers", type=int)
    options = parser.parse_args()
    try:
        import pandas
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise SystemExit('this example needs pyarrow and pandas: pip install "calig_fast[corpus,tables]"') from error
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from calig_fast.corpus import explain_corpus

    model = AutoModelForSequenceClassification.from_pretrained(options.model).eval()
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    done = explain_corpus(
        model,
        options.lines,
        options.out,
        tokenizer,
        by="word",
        guarantee="scores",
        workers=options.workers,
        progress=True,
    )
    print(f"{done.inputs} texts, {done.failed} failed, {done.rows} words")
    words = pandas.read_parquet(options.out / "tokens")
    print(words.groupby(["label", "word"]).score.mean().sort_values().tail(10))


if __name__ == "__main__":
    main()
