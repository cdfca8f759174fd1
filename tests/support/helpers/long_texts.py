"""Texts longer than a model reads, and the windows that a tokenizer makes of them."""

import random

from helpers.real_models import minilm_tokenizer

CLOSE = {"rtol": 1e-3, "atol": 1e-6}


def text(count=150, seed=0):
    """Different words, a token each, so that no overlap repeats by chance."""
    names = sorted(name for name in minilm_tokenizer().get_vocab() if name.isascii() and name.isalpha())
    return " ".join(random.Random(seed).sample(names, count))


def encoded(*texts, stride, tokenizer=None, **options):
    """Windows of 64 tokens."""
    options = {"truncation": True, "max_length": 64, "padding": True, "return_tensors": "pt", **options}
    made = minilm_tokenizer() if tokenizer is None else tokenizer
    return made(*texts, stride=stride, return_overflowing_tokens=True, **options)
