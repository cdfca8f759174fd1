"""Options of a call whose rows are windows: one class for a text, its number for the caller's function."""

import pytest
import torch
from helpers.long_texts import CLOSE, text
from helpers.real_models import minilm_tokenizer
from helpers.text_models import QUICK, bert

from calig_fast import Explainer


def explained(given, **options):
    return Explainer(bert(), minilm_tokenizer(), method=QUICK, long_texts="windows")(given, **options)


def rows(given):
    """Logits of the windows of one text."""
    tokenizer = minilm_tokenizer()
    options = {"truncation": True, "max_length": 64, "stride": 15, "return_overflowing_tokens": True}
    call = tokenizer(given, padding=True, return_tensors="pt", **options)
    return Explainer(bert(), tokenizer, method="rollout")(
        {name: call[name] for name in ("input_ids", "attention_mask")}
    )


def test_the_predicted_class_is_that_of_the_mean_logits():
    mixed = 0
    for seed in range(12):
        given = text(seed=seed)
        logits = rows(given).logits
        a = explained(given)
        assert a.target.tolist() == [int(logits.mean(0).argmax())]
        torch.testing.assert_close(a.logits[0], logits.mean(0), **CLOSE)
        assert explained(given, output="contrast").target.tolist() == [logits.mean(0).topk(2).indices.tolist()]
        mixed += len(set(logits.argmax(1).tolist())) > 1
    assert mixed, "no text has windows of different classes"


def test_targets_are_those_of_the_texts():
    given = [text(), "short", text(70, seed=1)]
    assert explained(given, target=2).target.tolist() == [2, 2, 2]
    for target in ([2, 0, 1], torch.tensor([2, 0, 1]), ["LABEL_2", 0, "label_1"]):
        assert explained(given, target=target).target.tolist() == [2, 0, 1]
    for target in ([[2, 0], [1, 1], [0, 2]], torch.tensor([[2, 0], [1, 1], [0, 2]])):
        a = explained(given, target=target)
        assert (a.target.tolist(), a.source.tolist()) == ([2, 0, 1, 1, 0, 2], [0, 0, 1, 1, 2, 2])
        torch.testing.assert_close(a.scores[5], explained(given, target=2).scores[2], **CLOSE)
    pairs = [[0, 1], [2, 1], [1, 0]]
    assert explained(given, output="contrast", target=pairs).target.tolist() == pairs
    assert explained(given, output="contrast", target=[0, 1]).target.tolist() == [[0, 1]] * 3
    several = explained(given, output="contrast", target=[[pair, pair[::-1]] for pair in pairs])
    torch.testing.assert_close(several.scores[0], -several.scores[1], **CLOSE)
    for wrong in ([0, 1], [0] * 7, [[0], [1, 2], [0]]):
        with pytest.raises(ValueError, match=r"target: "):
            explained(given, target=wrong)


def test_a_function_gets_the_number_of_the_text():
    given = [text(), "short", text(70, seed=1)]
    plain = explained(given, output=lambda out: out.logits[:, 0])
    seen = set()

    def weighted(out, numbers):
        seen.update(numbers.tolist())
        return out.logits[:, 0] * (numbers + 1)

    a = explained(given, output=weighted)
    assert seen == {0, 1, 2}
    assert a.settings.output == "weighted"
    assert a.target is None
    torch.testing.assert_close(a.scores, plain.scores * torch.tensor([1.0, 2.0, 3.0])[:, None], **CLOSE)


def test_the_mean_of_probabilities_is_explained_for_prob():
    given = text()
    chances = rows(given).probabilities
    a = Explainer(bert(), minilm_tokenizer())(given, long_texts="windows", output="prob", target=1, baselines="mask")
    b = Explainer(bert(), minilm_tokenizer())(given, long_texts="windows", output="prob", target=1, baselines="unk")
    low = [float(chances[:, 1].mean()) - float(one.gap[0, 0]) for one in (a, b)]
    assert all(0 < value < 1 for value in low)
    torch.testing.assert_close(a.layer_scores.sum(2), a.gap + a.convergence_delta, **CLOSE)


def test_half_precision_and_other_dtypes():
    import copy

    wanted = explained(text())
    for dtype in (torch.float64, torch.bfloat16):
        model = copy.deepcopy(bert()).to(dtype)
        a = Explainer(model, minilm_tokenizer(), method=QUICK, long_texts="windows")(text())
        assert a.target.tolist() == wanted.target.tolist()
