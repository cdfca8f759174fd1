"""Sentences about films, negative or positive: a BERT of three small blocks that this package ships whole."""

from __future__ import annotations

from typing import Any

from . import weights
from .demo import Demo, Sample, first

NAME = "tiny"
LABELS = ("negative", "positive")
WIDTH, BLOCKS, HEADS, LONGEST = 64, 3, 4, 128
SAMPLES = (
    Sample("A dull film, badly acted and far too long.", 0),
    Sample("A warm and funny film with a wonderful cast.", 1),
    Sample("The jokes are stale and the ending is a mess.", 0),
    Sample("The story is simple, but it is told with charm and care.", 1),
    Sample("Nothing in this tedious sequel works.", 0),
    Sample("A gripping, beautiful and moving drama.", 1),
)


def vocabulary() -> list[str]:
    """The word pieces, in the order of their ids."""
    return weights.DATA.joinpath(f"{NAME}_vocabulary.txt").read_text(encoding="utf-8").splitlines()


def tokenizer(pieces: list[str]) -> Any:
    """BERT's tokenizer of these word pieces.

    Args:
        pieces: in the order of their ids, the special tokens among them.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = {piece: i for i, piece in enumerate(pieces)}
    built = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    built.normalizer = normalizers.BertNormalizer(lowercase=True)
    built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    built.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, ids[name]) for name in ("[CLS]", "[SEP]")],
    )
    built.decoder = decoders.WordPiece()
    kind: Any = PreTrainedTokenizerFast  # transformers 5 has no types of it
    return kind(
        tokenizer_object=built,
        model_max_length=LONGEST,
        **{f"{name.lower()}_token": f"[{name}]" for name in ("PAD", "UNK", "CLS", "SEP", "MASK")},
    )


def config(pieces: int) -> Any:
    """The `BertConfig` of the model.

    Args:
        pieces: size of the vocabulary.
    """
    from transformers import BertConfig

    names = dict(enumerate(LABELS))
    return BertConfig(
        vocab_size=pieces,
        hidden_size=WIDTH,
        num_hidden_layers=BLOCKS,
        num_attention_heads=HEADS,
        intermediate_size=2 * WIDTH,
        max_position_embeddings=LONGEST,
        id2label=names,
        label2id={name: index for index, name in names.items()},
    )


def load(count: int) -> Demo:
    """The demo with `count` of the sentences."""
    from transformers import BertForSequenceClassification

    pieces, chosen = vocabulary(), first(list(SAMPLES), count)
    model = weights.build(BertForSequenceClassification, config(len(pieces)), weights.read(NAME))
    return Demo(NAME, model, tokenizer(pieces), chosen, LABELS)
