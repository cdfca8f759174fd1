"""Token-F1, IOU-F1 and AUPRC by hand, and against scikit-learn."""

import pytest
import torch
from helpers.tiny_models import tiny

from benchmarks.peers import inputs as sentences
from calig_fast import Explainer, explain
from calig_fast.metrics import auprc, average_precision, average_ratio, iou_f1, span_scores, token_f1, token_iou

SCORES = torch.tensor([[0.9, 0.8, 0.1, 0.7, 0.2, 0.0], [0.1, 0.2, 0.3, 0.4, 9.0, 9.0]])
MARKED = torch.tensor([[1, 0, 0, 1, 1, 0], [1, 1, 0, 0, 0, 0]]).bool()
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]]).bool()


def test_token_f1_by_hand():
    found = token_f1(SCORES, MARKED, mask=MASK)  # as many as marked: {0, 1, 3} and {2, 3}
    assert found.precision.tolist() == pytest.approx([2 / 3, 0])
    assert found.recall.tolist() == pytest.approx([2 / 3, 0])
    assert found.values.tolist() == pytest.approx([2 / 3, 0])
    assert found.mean() == pytest.approx(1 / 3)
    assert found.micro() == pytest.approx(2 / 5)
    fixed = token_f1(SCORES, MARKED, k=4, mask=MASK)  # {0, 1, 3, 4} and all four
    assert fixed.values.tolist() == pytest.approx([2 * 0.75 * 1 / 1.75, 2 * 0.5 * 1 / 1.5])
    assert fixed.macro() == pytest.approx(2 * 0.625 * 1 / 1.625)
    assert token_iou(SCORES, MARKED, mask=MASK).values.tolist() == pytest.approx([2 / 4, 0])


def test_a_share_is_the_data_sets_average_ratio():
    ratio = average_ratio(MARKED, MASK)
    assert ratio == pytest.approx(0.5)
    found = token_f1(SCORES, MARKED, k=ratio, mask=MASK)
    assert found.predicted.tolist() == [3, 2]


def test_perfect_and_reversed_scores():
    scores = MARKED.double() + 0.01 * torch.rand(2, 6, generator=torch.Generator().manual_seed(0))
    for measure in (token_f1, token_iou, iou_f1, auprc, average_precision):
        assert measure(scores, MARKED, mask=MASK).values.tolist() == pytest.approx([1, 1])
    assert token_f1(-scores, MARKED, mask=MASK).values.tolist() == [0, 0]
    assert auprc(-scores, MARKED, mask=MASK).mean() < 0.5


def test_iou_f1_counts_spans():
    marked = torch.tensor([[1, 1, 1, 0, 0, 1, 0, 0]]).bool()
    scores = torch.tensor([[9, 8, 0, 0, 7, 6, 0, 5.0]])  # spans 0-1 (IOU 2/3), 4-5 (1/2), 7 (0)
    found = iou_f1(scores, marked, k=5)
    assert found.hits.tolist() == [2]
    assert found.precision.tolist() == pytest.approx([2 / 3])
    assert found.recall.tolist() == [1.0]
    assert found.values.tolist() == pytest.approx([0.8])
    strict = iou_f1(scores, marked, k=5, threshold=0.6)
    assert strict.hits.tolist() == [1]


def test_an_input_without_a_rationale_is_undefined():
    marked = torch.stack([MARKED[0], torch.zeros(6).bool()])
    for measure in (token_f1, token_iou, iou_f1, auprc, average_precision):
        found = measure(SCORES, marked, k=2) if measure in {token_f1, token_iou, iou_f1} else measure(SCORES, marked)
        assert torch.isnan(found.values).tolist() == [False, True]
        assert found.mean() == pytest.approx(float(found.values[0]))


def test_equal_scores_take_the_earlier_word():
    found = token_f1(torch.zeros(1, 4), torch.tensor([[1, 0, 0, 1]]), k=2)
    assert found.hits.tolist() == [1]
    assert token_f1(torch.zeros(1, 4), torch.tensor([[1, 1, 0, 0]]), k=2).values.tolist() == [1.0]


@pytest.mark.parametrize("ties", [False, True])
def test_auprc_is_that_of_scikit_learn(ties):
    reference = pytest.importorskip("sklearn.metrics")
    scores = torch.randn(5, 30, generator=torch.Generator().manual_seed(0)).double()
    scores = (2 * scores).round() if ties else scores
    marked = torch.rand(5, 30, generator=torch.Generator().manual_seed(1)) < 0.4
    ours, steps = auprc(scores, marked), average_precision(scores, marked)
    for b in range(5):
        precision, recall, _ = reference.precision_recall_curve(marked[b].numpy(), scores[b].numpy())
        assert float(ours.values[b]) == pytest.approx(reference.auc(recall, precision), abs=1e-12)
        wanted = reference.average_precision_score(marked[b].numpy(), scores[b].numpy())
        assert float(steps.values[b]) == pytest.approx(wanted, abs=1e-12)


def test_tokens_of_an_attribution_leave_special_ones_out():
    from helpers.tiny_models import ids

    a = explain(tiny("bert"), ids(8, 5), method="gradient_x_input")
    marked = torch.ones(2, 8).bool()
    assert token_f1(a, marked).marked.tolist() == [6, 3]


def test_spans_take_the_largest_piece():
    tokenizer = sentences.tokenizer()
    text = "the plot is thin and the music holds"
    a = Explainer(sentences.text_model(len(tokenizer)), tokenizer, method="gradient_x_input")([text, "the end"])
    spans = [[(0, 8), (9, 11), (200, 210)], [(0, 3)]]
    scores, mask = span_scores(a, spans)
    assert mask.tolist() == [[True, True, False], [True, False, False]]
    row = a.scores[0].double()
    assert float(scores[0, 0]) == float(row[1:3].max())
    assert float(scores[0, 1]) == float(row[3])
    assert float(span_scores(a, spans, pool="sum")[0][0, 0]) == pytest.approx(float(row[1:3].sum()))
    assert float(span_scores(a, spans, pool="mean")[0][0, 0]) == pytest.approx(float(row[1:3].mean()))
