"""A call for each error that `calig_fast.metrics` raises of its own."""

import torch
from torch import nn

from calig_fast import explain, metrics
from helpers.tiny_models import Linear, ids, pixels, tiny

X, P = ids(7), pixels(1)
SCORES, PATCHES = torch.arange(7.0)[None], torch.arange(17.0)[None]
MARKED = torch.tensor([[True, False, True]])
PLAIN = {"input_ids": X["input_ids"], "special_tokens_mask": torch.zeros(1, 7)}
WORDS = torch.tensor([[3.0, 1.0, 2.0]])


def erased(scores=SCORES, inputs=X, **options):
    return lambda: metrics.erasure(tiny("bert"), inputs, scores, **{"removal": "pad", **options})


def unfaithful(**options):
    return lambda: metrics.infidelity(tiny("bert"), X, SCORES, removal="pad", **options)


class Bare(nn.Module):
    """Sums a table of its own, so that it has no nn.Embedding."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(60, 3))

    def forward(self, input_ids):
        return self.table[input_ids].sum(1)


def drawn(**options):
    return lambda: metrics.perturbation_auc(tiny("vit"), P, PATCHES, **options)


METRIC_CASES = [
    (TypeError, lambda: metrics.naopc(tiny("bert"), X, SCORES, removal="pad", bounds=3)),
    (TypeError, erased("scores")),
    (ValueError, erased(torch.arange(7.0))),
    (ValueError, erased(SCORES * float("nan"))),
    (ValueError, erased(torch.zeros(2, 7))),
    (ValueError, erased(torch.zeros(1, 5))),
    (ValueError, drawn(order="positive", fractions=[0.5, 0.1])),
    (ValueError, drawn(order="up")),
    (ValueError, lambda: metrics.erasure(tiny("vit"), P, torch.zeros(1, 13))),
    (ValueError, lambda: metrics.erasure(tiny("vit"), P, PATCHES, removal="mask")),
    (ValueError, lambda: metrics.erasure(tiny("vit"), pixels(2), PATCHES.expand(2, -1), removal=pixels(3))),
    (ValueError, drawn(removal=pixels(1)[:, :, :8])),
    (ValueError, erased(removal="zeros")),
    (ValueError, erased(removal="mask")),
    (TypeError, erased(removal=torch.zeros(24))),
    (ValueError, lambda: metrics.deletion_auc(Linear(), PLAIN, SCORES, removal="delete")),
    (ValueError, lambda: metrics.erasure(Bare(), X["input_ids"], SCORES, removal=3)),
    (ValueError, erased(target=[[0, 1]])),
    (ValueError, erased(target=9)),
    (ValueError, erased(output="margin")),
    (ValueError, erased(fractions=[])),
    (ValueError, erased(fractions=[1.5])),
    (TypeError, lambda: metrics.log_odds(tiny("bert"), X, SCORES, removal="pad", output="logit")),
    (ValueError, erased(batch_size=0)),
    (ValueError, unfaithful(samples=0)),
    (ValueError, unfaithful(fraction=0.0)),
    (ValueError, unfaithful(removed=torch.zeros(1, 7))),
    (ValueError, lambda: metrics.max_sensitivity(tiny("bert"), X, radius=0.0)),
    (ValueError, lambda: metrics.max_sensitivity(tiny("bert"), X, samples=0)),
    (ValueError, lambda: metrics.max_sensitivity(Bare(), X["input_ids"])),
    (ValueError, lambda: metrics.smoothed(tiny("bert"), X, level=0.0)),
    (ValueError, lambda: metrics.smoothed(tiny("bert"), X, samples=1)),
    (ValueError, lambda: metrics.model_randomisation(tiny("bert"), X, mode="upward")),
    (ValueError, lambda: metrics.model_randomisation(tiny("bert"), X, similarity="pearson")),
    (ValueError, lambda: metrics.model_randomisation(Linear(), X["input_ids"])),
    (ValueError, lambda: metrics.spearman(WORDS, SCORES)),
    (ValueError, lambda: metrics.agreement({})),
    (ValueError, lambda: metrics.spearman(WORDS, WORDS, mask=MARKED[:, :2])),
    (TypeError, lambda: metrics.token_f1(WORDS, [["a", "b", "c"]])),
    (TypeError, lambda: metrics.token_f1(WORDS, MARKED, k="2")),
    (ValueError, lambda: metrics.token_f1(WORDS, MARKED, k=1.5)),
    (ValueError, lambda: metrics.iou_f1(WORDS, MARKED, threshold=0.0)),
    (ValueError, lambda: metrics.average_ratio(MARKED[0])),
    (ValueError, lambda: metrics.span_scores(explain(tiny("bert"), X), [[(0, 3)]], pool="min")),
    (ValueError, lambda: metrics.span_scores(explain(tiny("bert"), X), [[(0, 3)]])),
    (TypeError, lambda: metrics.span_scores("words", [])),
    (ValueError, lambda: metrics.interval([1.0, float("inf")])),
    (TypeError, lambda: metrics.interval([1.0, 2.0], seed="0")),
    (TypeError, erased(normalised="yes")),
    (TypeError, lambda: metrics.spearman(WORDS, WORDS, absolute=2)),
    (TypeError, lambda: metrics.max_sensitivity(tiny("bert"), X, "ig")),
    (ValueError, lambda: metrics.max_sensitivity(tiny("bert"), X, lambda *a, **b: torch.zeros(2, 3))),
    (TypeError, lambda: metrics.agreement([WORDS])),
    (TypeError, lambda: metrics.model_randomisation(tiny("bert"), X, layers=3)),
    (ValueError, lambda: metrics.interval([1.0])),
    (ValueError, lambda: metrics.interval([1.0, 2.0], level=95)),
    (ValueError, lambda: metrics.interval([1.0, 2.0], resamples=0)),
    (ValueError, lambda: metrics.interval([1.0, 2.0], method="t")),
    (ValueError, lambda: metrics.paired_test([1.0, 2.0], [1.0])),
]
