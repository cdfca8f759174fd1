"""Hate speech in a low-resource language: an XLM-R-shaped model and its subword tokenizer, both from scratch."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.faithfulness.task import Case, MissingDataError, Task, accuracy, kept, parted
from benchmarks.faithfulness.training import fit, padded
from calig_fast.demo import weights

LABELS = ("normal", "offensive", "hate")
VOCABULARY = 8000
LENGTH = 128
BOS, PAD, EOS, UNK, MASK = "<s>", "<pad>", "</s>", "<unk>", "<mask>"


def hate(data: Path, cache: Path, sizes: dict[str, int]) -> Task:
    """Amharic tweets: normal, offensive or hate."""
    train, dev = (_rows(data / f"amharic_hate/{part}.tsv.gz") for part in ("train", "dev"))
    tokenizer = _tokenizer([text for text, _ in train], cache)
    state = kept(cache, "hate", lambda: _learn(train, tokenizer))
    model = weights.build(_kind(), _config(tokenizer), state)
    cases = [_case(tokenizer, text, label) for text, label in dev]
    facts = {"accuracy": accuracy(model, cases[-500:]), "accuracy_on": 500, "longest": LENGTH}
    facts["commonest_class"] = max(sum(c.label == k for c in cases[-500:]) for k in range(3)) / 500
    tune, held, more = parted(cases, sizes)
    title = "Amharic tweets, normal, offensive or hate; an XLM-R of four blocks trained from scratch"
    return Task("hate", title, "text", model, tokenizer, tune, held, more, facts)


def _kind() -> Any:
    from transformers import XLMRobertaForSequenceClassification

    return XLMRobertaForSequenceClassification


def _rows(file: Path) -> list[tuple[str, int]]:
    if not file.exists():
        raise MissingDataError(f"no {file.parent.name}/{file.name}: Amharic tweets, a label, a tab and the text a line")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        pairs = [line.rstrip("\n").split("\t", 1) for line in lines]
    return [(text, LABELS.index(label)) for label, text in pairs]


def _tokenizer(texts: list[str], cache: Path) -> Any:
    """A unigram model of subwords, as XLM-R has."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    file = cache / "hate-tokenizer.json"
    if not file.exists():
        made = Tokenizer(models.Unigram())
        made.normalizer = normalizers.NFKC()
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        made.decoder = decoders.Metaspace()
        special = [BOS, PAD, EOS, UNK, MASK]
        made.train_from_iterator(
            texts, trainers.UnigramTrainer(vocab_size=VOCABULARY, special_tokens=special, unk_token=UNK)
        )
        made.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A {EOS}", special_tokens=[(BOS, 0), (EOS, 2)]
        )
        cache.mkdir(parents=True, exist_ok=True)
        made.save(str(file))
    names = {"bos_token": BOS, "cls_token": BOS, "eos_token": EOS, "sep_token": EOS, "pad_token": PAD}
    return PreTrainedTokenizerFast(tokenizer_file=str(file), unk_token=UNK, mask_token=MASK, **names)


def _case(tokenizer: Any, text: str, label: int) -> Case:
    call = tokenizer(text, truncation=True, max_length=LENGTH, return_tensors="pt")
    return Case({name: call[name] for name in ("input_ids", "attention_mask")}, label)


def _config(tokenizer: Any) -> Any:
    from transformers import XLMRobertaConfig

    return XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=768,
        max_position_embeddings=LENGTH + 2,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        id2label=dict(enumerate(LABELS)),
        label2id={name: k for k, name in enumerate(LABELS)},
    )


def _learn(train: list[tuple[str, int]], tokenizer: Any) -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = _kind()(_config(tokenizer)).train()
    rows = [torch.tensor(tokenizer(text, truncation=True, max_length=LENGTH)["input_ids"]) for text, _ in train]

    def logits(chosen: list[int]) -> Tensor:
        ids, mask = padded([rows[i] for i in chosen], value=1)
        return model(input_ids=ids, attention_mask=mask).logits

    labels = torch.tensor([label for _, label in train])
    fit(list(model.parameters()), logits, labels, [len(r) for r in rows], rate=5e-4, epochs=3, size=32, name="hate")
    return dict(model.state_dict())
