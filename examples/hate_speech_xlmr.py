"""The words that decide when an XLM-R (or AfroXLMR, AfroLM) calls a post hateful, and the faithfulness of the scores.

    python examples/hate_speech_xlmr.py --model DIR --data FILE --target hate

DIR is a fine-tuned classifier that save_pretrained wrote, with its tokenizer. FILE holds `label TAB text` on every
line, plain or as .gz, as the Amharic posts of Ayele et al. (RANLP 2023) do. Neither is part of this project. The words
shown are real posts.
"""

import argparse
import gzip
from collections import Counter
from pathlib import Path
from typing import Any

from calig_fast import Explainer, metrics


def read(path: Path) -> list[tuple[str, str]]:
    """(label, text) of every line."""
    raw = path.read_bytes()
    lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8").splitlines()
    pairs = [line.split("\t", 1) for line in lines if line.count("\t")]
    return [(label, text) for label, text in pairs if text.strip()]


def load(folder: Path) -> tuple[Any, Any]:
    """Model and tokenizer."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    return AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def main() -> None:
    """Explain the posts of one label, list the words that speak for it, measure how faithful that is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--target", required=True, help="label, as the model and the data write it")
    parser.add_argument("--count", type=int, default=32)
    options = parser.parse_args()
    for name, path in (("model", options.model), ("data", options.data)):
        if not path.exists():
            raise SystemExit(f"--{name} {path}: not there. {__doc__.strip()}")
    model, tokenizer = load(options.model)
    number = {str(name).lower(): i for i, name in model.config.id2label.items()}.get(options.target.lower())
    texts = [text for label, text in read(options.data) if label.lower() == options.target.lower()][: options.count]
    if number is None or len(texts) < 2:
        known = ", ".join(map(str, model.config.id2label.values()))
        raise SystemExit(f"--target {options.target}: the model knows {known}; the data has {len(texts)} such posts")
    a = Explainer(model, tokenizer, guarantee="scores")(texts, target=number, progress=True)
    words = Counter(max(a.word_scores(i), key=lambda pair: pair[1])[0].lower() for i in range(len(a)))
    print(f"the word that speaks most for {options.target}, over {len(texts)} posts:")
    for word, count in words.most_common(10):
        print(f"{count:4d}  {word}")
    found = metrics.erasure(model, texts, a, processor=tokenizer)
    print(f"comprehensiveness minus sufficiency: {found.difference.interval()}")
    hits = int((a.logits.argmax(1) == number).sum())
    print(f"{hits} of {len(a)} are predicted so; {int(a.converged.sum())} converged")


if __name__ == "__main__":
    main()
