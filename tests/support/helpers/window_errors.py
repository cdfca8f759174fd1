"""Errors of long texts in windows."""

import torch
from transformers import ByT5Tokenizer

from calig_fast import explain
from helpers.long_texts import encoded, text
from helpers.real_models import minilm_tokenizer, seeded
from helpers.text_models import QUICK, bert
from helpers.tiny_models import ids, tiny

X = ids(6, 6)
PAIR = (text(60), text(60, seed=1))


def slid(given, **options):
    options = {"long_texts": "windows", "method": QUICK, **options}
    return lambda: explain(bert(), given() if callable(given) else given, minilm_tokenizer(), **options)


def bare(*texts, **options):
    return lambda: dict(encoded(*texts, **options))


def decoder():
    """It tells padding by its id."""
    from transformers import GPT2Config, GPT2ForSequenceClassification

    sizes = {"vocab_size": 200, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
    return seeded(GPT2ForSequenceClassification(GPT2Config(**sizes, num_labels=3, pad_token_id=0)))


def rest():
    return ByT5Tokenizer()("many words " * 9, truncation=True, max_length=32, return_overflowing_tokens=True)


PADDED = torch.cat([torch.arange(5, 5 + 125), torch.zeros(1, dtype=torch.int64)])
LONG = {"input_ids": torch.full((1, 70), 7)}
WINDOW_CASES = [
    (ValueError, slid({**LONG, "padding_mask": torch.zeros(1, 70)})),
    (ValueError, slid((text(), text(seed=1)))),
    (ValueError, slid(text(), stride=62)),
    (ValueError, slid(text(), stride=3, long_texts="cut")),
    (ValueError, lambda: explain(tiny("bert"), {**X, "overflow_to_sample_mapping": [0]})),
    (
        ValueError,
        lambda: explain(
            tiny("bert"),
            {**X, "special_tokens_mask": [[1, 0, 0, 0, 0, 1], [0] * 6], "overflow_to_sample_mapping": [0, 0]},
        ),
    ),
    (ValueError, slid(bare("one two " * 60, stride=4))),
    (ValueError, slid(bare("one two " * 30, "three four " * 40, stride=4, max_length=40))),
    (ValueError, slid(bare(*PAIR, stride=4))),
    (ValueError, slid(bare(text(), stride=4), stride=5)),
    (ValueError, slid(rest)),
    (ValueError, lambda: explain(decoder(), PADDED, method="layer_ig", long_texts="windows", stride=0)),
    (ValueError, slid(text(), method="calig", return_maps=True)),
]
