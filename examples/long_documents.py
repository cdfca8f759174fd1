"""The decisive passages of a document that is longer than the model's maximum length.

    python examples/long_documents.py                                 an article of the topics demo, in short passages
    python examples/long_documents.py --model DIR --file FILE --words 300

The document is cut into passages of whole sentences. Each is explained for one class, the one that the passages vote
for; the gap of a passage, F(x) - F(x'), is its change of that class's logit from a text without words.
"""

import argparse
import re
from pathlib import Path
from typing import Any

from calig_fast import Explainer, demo


def passages(text: str, words: int) -> list[str]:
    """The text in pieces of whole sentences, of about `words` words."""
    found: list[list[str]] = [[]]
    for sentence in re.split(r"(?<=[.!?])\s+", text.strip()):
        if found[-1] and sum(len(s.split()) for s in [*found[-1], sentence]) > words:
            found.append([])
        found[-1].append(sentence)
    return [" ".join(piece) for piece in found]


def load(folder: Path | None, file: Path | None) -> tuple[Any, Any, str]:
    """Model, tokenizer and document."""
    if (folder is None) != (file is None):
        raise SystemExit("give both --model and --file, or neither for the demo")
    if folder is None or file is None:
        d = demo.load("topics", 1)
        return d.model, d.processor, str(d.samples[0].input)
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder)
    return model, AutoTokenizer.from_pretrained(folder), file.read_text(encoding="utf-8")


def main() -> None:
    """Explain passage by passage, strongest first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--words", type=int, default=60)
    parser.add_argument("--most", type=int, default=12, help="passages at most")
    parser.add_argument("--html", type=Path, default=Path("document.html"))
    options = parser.parse_args()
    model, tokenizer, text = load(options.model, options.file)
    pieces = passages(text, options.words)[: options.most]
    explainer = Explainer(model, tokenizer, guarantee="scores")
    votes = explainer(pieces, method="rollout", guarantee="layers").logits.softmax(1).mean(0)  # rollout is one pass
    a = explainer(pieces, target=int(votes.argmax()), progress=True)
    print(f"{len(pieces)} passages, class {a.label()}, mean probability {float(votes.max()):.2f}")
    for i in a.gap[:, 0].argsort(descending=True).tolist():
        best = sorted(a.word_scores(i), key=lambda pair: -pair[1])[:5]
        print(f"{float(a.gap[i, 0]):+.2f}  {pieces[i][:50]}...  because of {', '.join(word for word, _ in best)}")
    a.to_html(options.html)


if __name__ == "__main__":
    main()
