"""Texts that MiniLM-L6 classifies: sentences about films, film reviews with rationales, news articles."""

from __future__ import annotations

import gzip
import json
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faithfulness.task import Case, MissingDataError, Task, accuracy, kept, parted, words
from benchmarks.faithfulness.training import fit, padded
from calig_fast.demo import load, minilm

FROZEN = 4
SHORT = 128
REVIEWS = 800
TRAINED = (*(f"layer.{i}." for i in range(FROZEN, 6)), "pooler", "classifier")


def sentences(data: Path, cache: Path, sizes: dict[str, int]) -> Task:
    """Rated sentences about films; the demo's model, trained on others."""
    demo = load("sentiment", count=sum(sizes[part] for part in ("tune", "held", "more")))
    title = "Sentences about films, negative or positive; MiniLM-L6"
    return _demo("sentences", title, demo, sizes, 512)


def news(data: Path, cache: Path, sizes: dict[str, int]) -> Task:
    """BBC articles of five topics, up to 512 tokens to prove on and 128 to tune on."""
    demo = load("topics", count=sum(sizes[part] for part in ("tune", "held", "more")))
    title = "BBC news articles of five topics, up to 512 tokens; MiniLM-L6"
    return _demo("news", title, demo, sizes, SHORT)


def _demo(name: str, title: str, demo: Any, sizes: dict[str, int], short: int) -> Task:
    def case(k: int, sample: Any) -> Case:
        length = 512 if 0 <= k - sizes["tune"] < sizes["held"] else short
        call = demo.processor(sample.input, truncation=True, max_length=length, return_tensors="pt")
        return Case(dict(call), sample.label)

    cases = [case(k, sample) for k, sample in enumerate(demo.samples)]
    tune, held, more = parted(cases, sizes)
    facts = {"accuracy": accuracy(demo.model, held), "accuracy_on": len(held), "longest": _longest(cases)}
    return Task(name, title, "text", demo.model, demo.processor, tune, held, more, facts)


def _longest(cases: list[Case]) -> int:
    return max(c.call["input_ids"].shape[1] for c in cases)


def reviews(data: Path, cache: Path, sizes: dict[str, int]) -> Task:
    """Film reviews with human rationales (ERASER's Movie Reviews), up to 512 tokens."""
    documents = {part: _documents(data / f"movie_rationales/{part}.jsonl.gz") for part in ("train", "val")}
    tokenizer = minilm.tokenizer()
    state = kept(cache, f"reviews-{REVIEWS}", lambda: _learn(_turns(documents["train"])[:REVIEWS], tokenizer))
    model = load("sentiment", count=1).model
    model.load_state_dict(state, strict=False)
    cases = [case for case in (_review(d, tokenizer) for d in _turns(documents["val"])) if any(case.rationale)]
    tune, held, _ = parted(cases, {**sizes, "more": 0})
    fresh = (_review(d, tokenizer) for d in _turns(documents["train"])[REVIEWS:])  # the others taught the model
    more = list(islice((case for case in fresh if any(case.rationale)), sizes["more"]))
    tune, more = ([_cut(case, SHORT) for case in part] for part in (tune, more))
    facts = {"accuracy": accuracy(model, cases[:100]), "accuracy_on": len(cases[:100]), "longest": _longest(held)}
    title = "Film reviews with human rationales, up to 512 tokens; MiniLM-L6"
    return Task("reviews", title, "text", model, tokenizer, tune, held, more, facts)


def _documents(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        raise MissingDataError(f"no {file.parent.name}/{file.name}: the Movie Reviews task of ERASER, as JSON lines")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _turns(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The two classes taking turns."""
    parts = [[d for d in documents if d["label"] == label] for label in ("NEG", "POS")]
    return [d for pair in zip(*parts, strict=False) for d in pair]


def _review(document: dict[str, Any], tokenizer: Any) -> Case:
    """The call, the tokens of each whole word, and True for each word that annotators marked."""
    encoded = tokenizer(
        document["tokens"], is_split_into_words=True, truncation=True, max_length=512, return_tensors="pt"
    )
    spans = words(encoded)
    marked = {i for start, end in document["rationales"] for i in range(start, end)}
    call = {name: encoded[name] for name in ("input_ids", "attention_mask")}
    tokens = tuple(spans[i] for i in sorted(spans))
    return Case(call, int(document["label"] == "POS"), tokens, tuple(i in marked for i in sorted(spans)))


def _cut(case: Case, length: int) -> Case:
    """The first tokens, the last of them [SEP]."""
    if case.call["input_ids"].shape[1] <= length:
        return case
    call = {name: value[:, :length].clone() for name, value in case.call.items()}
    call["input_ids"][0, -1] = case.call["input_ids"][0, -1]
    whole = [k for k, (_, end) in enumerate(case.words) if end < length]
    return Case(call, case.label, tuple(case.words[k] for k in whole), tuple(case.rationale[k] for k in whole))


def _learn(documents: list[dict[str, Any]], tokenizer: Any) -> dict[str, Tensor]:
    """The upper blocks, the pooler and the head of the demo's sentiment model, taught by reviews."""
    model = load("sentiment", count=1).model
    cases = [_review(d, tokenizer) for d in documents]
    blocks = model.bert.encoder.layer
    with torch.no_grad():
        states = [
            _through(blocks[:FROZEN], model.bert.embeddings(input_ids=c.call["input_ids"]), None)[0] for c in cases
        ]

    def logits(rows: list[int]) -> Tensor:
        hidden, mask = padded([states[i] for i in rows])
        return model.classifier(model.bert.pooler(_through(blocks[FROZEN:], hidden, mask)))

    top = [blocks[FROZEN:], model.bert.pooler, model.classifier]
    parameters = [p for part in top for p in part.parameters()]
    labels = torch.tensor([c.label for c in cases])
    fit(parameters, logits, labels, [len(s) for s in states], rate=2e-4, epochs=2, size=8, name="reviews")
    return {k: v for k, v in model.state_dict().items() if any(part in k for part in TRAINED)}


def _through(blocks: nn.ModuleList, hidden: Tensor, mask: Tensor | None) -> Tensor:
    least = torch.finfo(torch.float32).min
    additive = None if mask is None else (1.0 - mask[:, None, None, :].float()) * least
    for block in blocks:
        out = block(hidden, additive)
        hidden = out[0] if isinstance(out, tuple) else out
    return hidden
