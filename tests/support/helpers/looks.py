"""Looks of a monitor made up for its page, and what writes them down."""

import math
import re

import torch

from calig_fast.monitor.history import History
from calig_fast.results.attribution import Attribution
from calig_fast.results.tokens import Text, Word

HOSTILE = "<script>alert(1)</script> \"quoted\" 'it' & שלום \u202eabc e\u0301 🎬"


def attribution(text, scores, chance=0.5, model=""):
    """A text with words split at blanks, between two special tokens."""
    places = [m.span() for m in re.finditer(r"\S+", text)]
    words = tuple(Word(text[a:b], (i + 1,), a, b) for i, (a, b) in enumerate(places))
    t = len(words) + 2
    return Attribution(
        scores=torch.tensor([[0.1, *scores, 0.1]]),
        layer_scores=torch.tensor([[[0.1, *scores, 0.1]] * 2]),
        gap=torch.ones(1, 2),
        convergence_delta=torch.zeros(1, 2),
        error=torch.zeros(1, 2),
        score_error=torch.zeros(1),
        n_steps=torch.full((1, 2), 2),
        layer_converged=torch.ones(1, 2, dtype=torch.bool),
        target=torch.tensor([1]),
        logits=torch.tensor([[0.0, math.log(chance / (1 - chance))]]),
        mask=torch.ones(1, t, dtype=torch.bool),
        special=torch.tensor([[True, *[False] * (t - 2), True]]),
        texts=(Text(("[CLS]", *(w.text for w in words), "[SEP]"), words, text),),
        labels=("bad", "<b>good</b>"),
        settings={"tolerance": 0.02, "certify": "layers", "model": model},
    )


def watched(text=HOSTILE, looks=3, name="probe", model=""):
    history = History(name)
    count = len(text.split())
    for k in range(looks):
        scores = [1.0 / (1 + abs(i - k % count)) * (-1) ** i for i in range(count)]
        history.add(10 * k, attribution(text, scores, 0.1 + 0.8 * k / max(1, looks - 1), model), False)
    return history


class Writer:
    """Looks like a SummaryWriter."""

    def __init__(self):
        self.scalars, self.texts = {}, []

    def add_scalar(self, tag, value, step):
        self.scalars.setdefault(tag, []).append((step, value))

    def add_text(self, tag, text, step):
        self.texts.append((tag, text, step))
