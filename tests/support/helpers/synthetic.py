"""Attributions made up for the views: the numbers are plausible, and consistent with completeness."""

from __future__ import annotations

import re
from dataclasses import replace

import torch

from calig_fast.results.attribution import Attribution
from calig_fast.results.tokens import Grid, Text, Word

REVIEW = (
    "Shares in the chipmaker climbed sharply on Tuesday after it raised its full-year profit forecast, "
    "although analysts warned that weak demand for smartphones - and a strike at its largest plant - could "
    "still hurt sales.\n\nThe coach of the national football team, who owns a small stake, declined to comment."
)
LABELS = ("business", "entertainment", "politics", "sport", "tech")


def read(text: str, known: bool = True, truncated: int = 0, cut: int | None = None) -> Text:
    """Words by a simple rule; a word of more than seven letters is two pieces."""
    tokens, words = ["[CLS]"], []
    for match in list(re.finditer(r"\w+|[^\w\s]", text))[:cut]:
        word, first = match.group(), len(tokens)
        tokens += [word] if len(word) < 8 else [word[:4], "##" + word[4:]]
        place = match.span() if known else (-1, -1)
        words.append(Word(word, tuple(range(first, len(tokens))), *place))
    return Text((*tokens, "[SEP]"), tuple(words), text if known else None, truncated)


def of_texts(
    texts: list[Text], /, layers: int = 6, integrates: bool = True, late: int | None = None, **changes: object
) -> Attribution:
    """Texts with scores that sharpen with depth; `late` is a block of input 0 that did not converge."""
    g = torch.Generator().manual_seed(len(texts) * 7 + layers)
    lengths = [len(t.tokens) for t in texts]
    b, width = len(texts), max(lengths)
    mask = torch.arange(width)[None] < torch.tensor(lengths)[:, None]
    special = torch.tensor(
        [
            [t < n and text.tokens[t] in {"[CLS]", "[SEP]"} for t in range(width)]
            for n, text in zip(lengths, texts, strict=True)
        ]
    )
    base = torch.randn(b, width, generator=g).pow(3) + 0.15
    noise = torch.randn(b, layers, width, generator=g)
    depth = torch.arange(1, layers + 1)[None, :, None] / max(layers, 1)
    rows = (base[:, None] * depth + noise * (1.1 - depth)) * mask[:, None]
    scores = (base * 0.01 * mask).float()
    gap = torch.full((b, layers), 4.2)
    delta = torch.randn(b, layers, generator=g) * 0.01
    if layers:
        rows = rows * 0.2
        rows[..., 0] += gap + delta - rows.sum(-1)
    error = torch.rand(b, layers, generator=g) * 0.015
    n_steps = torch.tensor([13, 9, 9, 7, 7, 5] * (layers // 6 + 1))[:layers].expand(b, layers).clone()
    if late is not None:
        error[0, late], n_steps[0, late] = 0.13, 257
    if not integrates:
        error, delta, gap, n_steps = error * torch.nan, delta * torch.nan, gap * torch.nan, n_steps * 0
    logits = torch.randn(b, 5, generator=g) + torch.tensor([3.0, 0, 0, 0, 1])
    fields: dict[str, object] = {
        "scores": scores,
        "layer_scores": rows.float(),
        "gap": gap,
        "convergence_delta": delta,
        "error": error,
        "score_error": error.amax(1) if layers else torch.zeros(b),
        "n_steps": n_steps,
        "layer_converged": error <= 0.02,
        "target": logits.argmax(1),
        "logits": logits,
        "mask": mask,
        "special": special,
        "texts": tuple(texts),
        "labels": LABELS,
        "settings": {"tolerance": 0.02, "reference": "pad", "lam": 0.5},
    }
    return Attribution(**{**fields, **changes})  # type: ignore[arg-type]


def of_images(
    images: torch.Tensor | None = None, count: int = 1, side: int = 14, layers: int = 12, **changes: object
) -> Attribution:
    """Images (or none) with a supporting and an opposing blob of scores on a square patch grid."""
    g = torch.Generator().manual_seed(side)
    if images is not None:
        count = len(images)
    y, x = torch.meshgrid(torch.arange(side) / side, torch.arange(side) / side, indexing="ij")
    blobs = torch.exp(-((x - 0.6) ** 2 + (y - 0.4) ** 2) * 18) - 0.6 * torch.exp(
        -((x - 0.2) ** 2 + (y - 0.8) ** 2) * 40
    )
    plane = blobs.reshape(1, 1, -1) * torch.linspace(0.3, 1, max(layers, 1))[None, :, None]
    noise = torch.randn(count, max(layers, 1), side * side, generator=g)
    rows = torch.cat([torch.full((count, max(layers, 1), 1), 0.3), (plane + 0.15 * noise) * 0.1], dim=2)
    error = torch.rand(count, layers, generator=g) * 0.015
    logits = torch.randn(count, 10, generator=g)
    fields: dict[str, object] = {
        "scores": rows[:, -1] * 0.02,
        "layer_scores": rows[:, :layers],
        "gap": rows[:, :layers].sum(-1) + 0.01,
        "convergence_delta": torch.full((count, layers), -0.01),
        "error": error,
        "score_error": torch.full((count,), 0.01),
        "n_steps": torch.full((count, layers), 17),
        "layer_converged": error <= 0.02,
        "target": logits.argmax(1),
        "logits": logits,
        "mask": torch.ones(count, side * side + 1, dtype=torch.bool),
        "special": torch.arange(side * side + 1).expand(count, -1) == 0,
        "grid": Grid(side, side),
        "images": images,
        "settings": {"tolerance": 0.02, "reference": "blur"},
    }
    return Attribution(**{**fields, **changes})  # type: ignore[arg-type]


HOSTILE = (
    "<script>alert(\"x\")</script> & 'quoted' </script><img src=x onerror=alert(1)> {{ 7*7 }} [bold]markup[/bold] "
    "$x_1$ \\alpha שלום עולם 🎉 e\u0301a\u0308\u0323 ሰላም \x1b[31mred\x07 \u202eoverride \ud800 {% raw %}"
)


def cases() -> dict[str, Attribution]:
    """One attribution for every shape of input the views must show."""
    one = of_texts([read(REVIEW)])
    alone = torch.zeros(1, 1, dtype=torch.bool)
    single = of_texts([Text(("hello",), (Word("hello", (0,), 0, 5),), "hello")], layers=2, special=alone)
    pixels = torch.arange(2 * 56 * 56 * 3).reshape(2, 56, 56, 3).to(torch.uint8)
    lost = of_texts([read("first second"), read(REVIEW, known=False)], late=1)
    broken = one.scores.clone()
    broken[0, 3] = torch.nan
    return {
        "text": one,
        "unconverged": of_texts([read(REVIEW)], late=2),
        "several, one without its text": lost,
        "integrates nothing": of_texts([read(REVIEW)], integrates=False),
        "no layers": of_texts([read(REVIEW)], layers=0),
        "one token": single,
        "nothing special": of_texts([read(REVIEW)], special=torch.zeros_like(one.special)),
        "no labels": of_texts([read(REVIEW)], labels=None),
        "no tolerance": of_texts([read(REVIEW)], settings={}),
        "contrast": of_texts([read(REVIEW)], target=torch.tensor([[0, 3]])),
        "own output": of_texts([read(REVIEW)], target=None, logits=torch.zeros(1, 0)),
        "one logit": of_texts([read(REVIEW)], logits=torch.tensor([[-2.0]]), target=torch.tensor([0]), labels=None),
        "hostile": of_texts([read(HOSTILE)], labels=(HOSTILE,) * 5, settings={"reference": HOSTILE, "tolerance": 0.02}),
        "long": of_texts([read(" ".join([REVIEW] * 40), cut=2000, truncated=320)]),
        "words unknown": of_texts([read(REVIEW)], texts=None),
        "all zero": of_texts([read(REVIEW)], scores=torch.zeros_like(one.scores)),
        "not finite": of_texts([read(REVIEW)], scores=broken),
        "no words": of_texts([Text(("[CLS]", "[SEP]"), (), "")]),
        "images": of_images(pixels, side=7, layers=4),
        "grid alone": of_images(side=14, layers=12),
        "wide grid": of_images(side=4, layers=2, grid=Grid(2, 8)),
    }


def with_maps(attribution: Attribution, **changes: object) -> Attribution:
    """The attribution with context maps [B,L,T,U], as `return_maps=True` keeps them."""
    b, layers, width = attribution.layer_scores.shape
    g = torch.Generator().manual_seed(width)
    maps = torch.randn(b, layers, width, width, generator=g).pow(3) * 1e-2
    real = (attribution.mask[:, :, None] & attribution.mask[:, None, :])[:, None]
    fields = {"maps": maps * real, "settings": {**attribution.settings, "fusion": {"lam": 0.5}}, **changes}
    return replace(attribution, **fields)  # type: ignore[arg-type]
