"""The models and inputs that are explained on a GPU, with random weights: BERT base and ViT-B/16."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from .clocks import there
from .rows import DEVICE, HEADS, REHEARSAL, TOKENS, WIDTH, Row

SMALL: Row = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "intermediate_size": 40} if REHEARSAL else {}
NODES = 8 if REHEARSAL else 64  # of the definition in float64
CLS, SEP, PAD = 101, 102, 0


@cache
def model_of(kind: str, blocks: int) -> Any:
    """BERT base or ViT-B/16 with seeded random weights, on the device."""
    import transformers
    from helpers.real_models import seeded

    sizes: Row = {**SMALL, "num_labels": 5, "num_hidden_layers": blocks}
    if kind == "bert":
        model = transformers.BertForSequenceClassification(transformers.BertConfig(**sizes))
    else:
        sizes |= {"image_size": 16, "patch_size": 4} if REHEARSAL else {}
        model = transformers.ViTForImageClassification(transformers.ViTConfig(**sizes))
    return seeded(model).to(DEVICE)


@cache
def work(kind: str, count: int, seed: int, blocks: int = 3 if REHEARSAL else 12) -> Any:
    """`count` inputs: texts of 128 random ids ("ragged": 16 to 256 ids), or pictures."""
    from benchmarks.works import Work, of_pictures

    draw = torch.Generator().manual_seed(seed)
    model, layers = model_of("vit" if kind == "vit" else "bert", blocks), tuple(range(blocks))
    if kind == "vit":
        side = model.config.image_size
        pictures = there([torch.randn(1, 3, side, side, generator=draw) for _ in range(count)])
        return of_pictures(kind, kind, model, pictures, layers=layers)
    calls, lows = list[dict[str, Tensor]](), list[Tensor]()
    for i in range(count):
        length = TOKENS // 8 + 2 + (15 * TOKENS * i) // (8 * count) if kind == "ragged" else TOKENS
        ids = torch.randint(1000, 30000, (1, length), generator=draw)
        ids[0, 0], ids[0, -1] = CLS, SEP
        special = (ids == CLS) | (ids == SEP)
        calls.append(there({"input_ids": ids, "attention_mask": torch.ones_like(ids)}))
        lows.append(there(torch.where(special, ids, PAD)))
    return Work(kind, kind, model, "bert.encoder.layer", calls, "input_ids", lows, [], layers)


@cache
def truth(kind: str, nodes: int = NODES) -> Any:
    """The first input of all works of a kind in float64, by autograd through the model's own modules."""
    from calig_fast import explain

    one = work(kind, 1, 0)
    options: Row = {"quadrature": "gausslegendre", "n_steps": nodes, "dtype": torch.float64, "target": one.targets}
    return explain(one.model, one.calls[0], engine="autograd", **options)


def apart(values: Tensor, wanted: Tensor) -> float:
    """Relative difference, the norm over the tokens, of the worst layer."""
    f, w = values.double().cpu(), wanted.double().cpu()
    return float(((f - w).norm(dim=-1) / w.norm(dim=-1)).max())


def errors_of(kind: str, layers: Tensor, scores: Tensor | None = None) -> Row:
    """Errors against `truth`; the first input is the same in works of any count."""
    exact = truth(kind)
    row: Row = {"error": apart(layers, exact.layer_scores[0, : len(layers)])}
    return row if scores is None else {**row, "score_error": apart(scores, exact.scores[0])}


def per_input(row: Row, one: Any) -> Row:
    """A time of all inputs, and of each."""
    count, tokens = len(one.calls), sum(one.tokens) or None
    each = {"inputs": count, "ms_an_input": row["ms"] / count}
    return {**row, **each, **({"tokens_s": 1e3 * tokens / row["ms"]} if tokens else {})}
