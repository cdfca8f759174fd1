"""Explanations of every kind that an export must take: padding on the left, pairs, targets, images, nan, no inputs."""

from dataclasses import replace
from functools import cache

import torch

from calig_fast import Attribution, Text, Word
from helpers.synthetic import of_images, of_texts, read


def left_padded():
    """Two texts, the shorter padded on the left."""
    a = of_texts([read("Good film here."), read("Bad one.")], layers=2)
    shift = int((~a.mask[1]).sum())
    moved = {}
    for name in ("scores", "layer_scores", "mask", "special"):
        tensor = getattr(a, name).clone()
        tensor[1] = tensor[1].roll(shift, -1)
        moved[name] = tensor
    short = a.texts[1]
    words = tuple(replace(w, tokens=tuple(t + shift for t in w.tokens)) for w in short.words)
    return replace(a, **moved, texts=(a.texts[0], replace(short, words=words)))


def pair():
    """A pair of texts, which keeps no place of its words; both have the word `bad`."""
    words = ["It", "is", "bad", ".", "So", "bad", "!", "Is", "it", "bad", "?"]
    parts = [0] * 7 + [1] * 4
    tokens = ("[CLS]", *words[:7], "[SEP]", *words[7:], "[SEP]")
    at = [*range(1, 8), *range(9, 13)]
    text = Text(tokens, tuple(Word(w, (t,), part=p) for w, t, p in zip(words, at, parts, strict=True)))
    return of_texts([text], layers=2, special=torch.tensor([[t in {"[CLS]", "[SEP]"} for t in tokens]]))


def scripts():
    """Letters of several scripts, a word twice, half a surrogate pair, and markup."""
    text = "\u05e9\u05dc\u05d5\u05dd caf\u00e9 \U0001f389 caf\u00e9 \ud800 <b>&amp; | , \u6f22\u5b57"
    return of_texts([read(text)], labels=("\u05e9 <b>", "b", "c", "d", "e"))


@cache
def exported() -> dict[str, Attribution]:
    """An explanation of every kind by its name."""
    texts = of_texts([read("One film. Another, unbelievably good, film!"), read("Bad.")], layers=3, late=1)
    pixels = torch.arange(2 * 30 * 42 * 3).reshape(2, 30, 42, 3).to(torch.uint8)
    broken = texts.scores.clone()
    broken[0, 3] = torch.nan
    broken[0, 4] = torch.inf
    return {
        "texts": texts,
        "one": texts[1],
        "none": texts[:0],
        "left padded": left_padded(),
        "pair": pair(),
        "scripts": scripts(),
        "targets": replace(texts, source=torch.tensor([3, 3])),
        "contrast": replace(texts, target=torch.tensor([[0, 1], [2, 0]])),
        "own output": replace(texts, target=None, logits=torch.zeros(2, 0)),
        "nothing integrated": of_texts([read("A film.")], integrates=False, method="rollout"),
        "no layers": of_texts([read("A film.")], layers=0),
        "not finite": replace(texts, scores=broken),
        "some blocks": replace(texts, settings={"tolerance": 0.02, "layers": [1, 4, 5], "baselines": "pad"}),
        "words unknown": replace(texts, texts=None),
        "images": of_images(pixels, side=3, layers=2),
        "grid alone": of_images(side=3, layers=2),
        "prefix tokens": of_images(count=2, side=3, layers=2, **_prefixed()),
    }


def _prefixed():
    from calig_fast import Grid

    special = torch.arange(10).expand(2, -1) < 2
    return {"grid": Grid(2, 4, prefix=2), "special": special, "images": None}
