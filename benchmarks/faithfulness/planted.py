"""Planted rationales: a word decides the label, so what the model looks at is known."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faithfulness.task import Case, Task, accuracy, kept, parted, words
from benchmarks.faithfulness.training import fit, padded
from calig_fast.demo import minilm, sentiment

WORDS = ("matinee", "premiere")
TRAIN = 1500


def planted(data: Path, cache: Path, sizes: dict[str, int]) -> Task:
    """Film sentences labelled by the one of two words that was inserted, one to three times."""
    tokenizer = minilm.tokenizer()
    train, test = ([s.input for s in part] for part in sentiment.split())
    state = kept(cache, "planted", lambda: _learn([_plant(tokenizer, t, k) for k, t in enumerate(train[:TRAIN])]))
    model = minilm.classifier(WORDS, state)
    cases = [
        _plant(tokenizer, t, TRAIN + k) for k, t in enumerate(test[: sizes["tune"] + sizes["held"] + sizes["more"]])
    ]
    tune, held, more = parted(cases, sizes)
    facts = {
        "accuracy": accuracy(model, held),
        "accuracy_on": len(held),
        "chance_f1": sum(sum(c.rationale) / len(c.rationale) for c in held) / len(held),
    }
    title = "Film sentences in which a planted word decides the label; MiniLM-L6"
    return Task("planted", title, "text", model, tokenizer, tune, held, more, facts)


def _plant(tokenizer: Any, text: str, seed: int) -> Case:
    """A sentence with one of the words put in at random places; the seed decides all."""
    draw = random.Random(seed)
    label, texts = draw.randrange(2), text.split()
    for _ in range(draw.randint(1, 3)):
        texts.insert(draw.randint(0, len(texts)), WORDS[label])
    encoded = tokenizer(texts, is_split_into_words=True, truncation=True, max_length=64, return_tensors="pt")
    spans = words(encoded)
    call = {name: encoded[name] for name in ("input_ids", "attention_mask")}
    return Case(call, label, tuple(spans.values()), tuple(texts[w] == WORDS[label] for w in spans))


def _learn(cases: list[Case]) -> dict[str, Tensor]:
    """All of the blocks, the pooler and a head."""
    torch.manual_seed(0)
    head = nn.Linear(384, 2).state_dict()
    model = minilm.classifier(WORDS, {f"classifier.{name}": value for name, value in head.items()})
    rows = [c.call["input_ids"][0] for c in cases]

    def logits(chosen: list[int]) -> Tensor:
        ids, mask = padded([rows[i] for i in chosen])
        return model(input_ids=ids, attention_mask=mask).logits

    parts = (model.bert.encoder, model.bert.pooler, model.classifier)
    parameters = [p for part in parts for p in part.parameters()]
    labels = torch.tensor([c.label for c in cases])
    fit(parameters, logits, labels, [len(r) for r in rows], rate=1e-4, epochs=1, size=16, name="planted")
    return {k: v for k, v in model.state_dict().items() if "embeddings" not in k}
