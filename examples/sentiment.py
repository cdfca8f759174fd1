"""The words that decide the sentiment of film sentences, over many sentences.

python examples/sentiment.py                                        the demo's classifier and sentences
python examples/sentiment.py --model DIR --lines FILE --html OUT    a classifier of yours, a sentence on every line
"""

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

from calig_fast import Explainer, demo


def load(folder: Path | None, lines: Path | None, count: int) -> tuple[Any, Any, list[str]]:
    """Model, tokenizer and sentences."""
    if (folder is None) != (lines is None):
        raise SystemExit("give both --model and --lines, or neither for the demo")
    if folder is None or lines is None:
        d = demo.load("sentiment", count)
        return d.model, d.processor, [str(sample.input) for sample in d.samples]
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    texts = [line for line in lines.read_text(encoding="utf-8").splitlines() if line.strip()]
    return (
        AutoModelForSequenceClassification.from_pretrained(folder),
        AutoTokenizer.from_pretrained(folder),
        texts[:count],
    )


def main() -> None:
    """Explain, rank words by their mean score for the predicted class, write a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--lines", type=Path)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--html", type=Path, default=Path("sentiment.html"))
    options = parser.parse_args()
    model, tokenizer, texts = load(options.model, options.lines, options.count)
    a = Explainer(model, tokenizer, guarantee="scores")(texts, progress=True)
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for i in range(len(a)):
        for word, score in a.word_scores(i):
            found[a.label(i), word.lower()].append(score)
    for label in sorted({label for label, _ in found}):
        means = {word: sum(s) / len(s) for (of, word), s in found.items() if of == label}
        best = sorted(means, key=means.__getitem__, reverse=True)[:8]
        print(f"{label}: " + ", ".join(f"{word} {means[word]:+.3f}" for word in best))
    print(f"{int(a.converged.sum())} of {len(a)} converged; wrote {options.html}")
    a.to_html(options.html)


if __name__ == "__main__":
    main()
