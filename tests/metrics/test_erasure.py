"""Comprehensiveness, sufficiency and log-odds: closed forms, what is never removed, and what is left alone."""

import copy

import pytest
import torch
from helpers.bags import Bag, content, contributions
from helpers.tiny_models import SIZES, Linear, ids, pixels, tiny

from calig_fast import explain
from calig_fast.metrics import comprehensiveness, erasure, log_odds, sufficiency

FRACTIONS = (0.05, 0.1, 0.2, 0.3, 0.5)
LENGTHS = (12, 7, 22)


def drops(model, call, scores, fractions=FRACTIONS):
    """[B,K] what the k highest content scores add to the logit, and what the others add, one token at a time."""
    worth, inner = contributions(model, call), content(call)
    top, rest = torch.zeros(len(worth), len(fractions)).double(), torch.zeros(len(worth), len(fractions)).double()
    for b in range(len(worth)):
        tokens = inner[b].nonzero().flatten().tolist()
        order = sorted(tokens, key=lambda t: -float(scores[b, t]))  # stable: the earlier of equal scores first
        for k, fraction in enumerate(fractions):
            count = max(1, int(fraction * len(tokens) + 0.5))
            top[b, k] = sum(float(worth[b, t]) for t in order[:count])
            rest[b, k] = sum(float(worth[b, t]) for t in order[count:])
    return top, rest


@pytest.mark.parametrize("removal", ["zero_embedding", "delete"])
@pytest.mark.parametrize("ranking", ["perfect", "reversed", "random", "equal"])
def test_a_bag_of_words_in_closed_form(removal, ranking):
    model, call = Bag(), ids(*LENGTHS)
    worth = contributions(model, call)
    scores = {
        "perfect": worth,
        "reversed": -worth,
        "random": torch.randn(worth.shape, generator=torch.Generator().manual_seed(0)),
        "equal": torch.ones_like(worth),
    }[ranking]
    top, rest = drops(model, call, scores)
    found = erasure(model, call, scores, target=1, output="logit", removal=removal)
    torch.testing.assert_close(found.comprehensiveness.curve, top)
    torch.testing.assert_close(found.sufficiency.curve, rest)
    torch.testing.assert_close(found.comprehensiveness.values, top.mean(1))
    torch.testing.assert_close(found.difference.values, (top - rest).mean(1))
    torch.testing.assert_close(found.comprehensiveness.original, worth.sum(1))
    assert found.log_odds is None

    total = worth.sum(1)[:, None]
    p, without, alone = total.sigmoid(), (total - top).sigmoid(), (total - rest).sigmoid()
    probable = erasure(model, call, scores, target=1, removal=removal)
    torch.testing.assert_close(probable.comprehensiveness.curve, p - without)
    torch.testing.assert_close(probable.sufficiency.curve, p - alone)
    torch.testing.assert_close(probable.log_odds.curve, without.log() - p.log())


def test_a_perfect_ranking_is_best_and_a_reversed_one_worst():
    model, call = Bag(), ids(*LENGTHS)
    worth = contributions(model, call)

    def difference(scores):
        return erasure(model, call, scores, target=1, output="logit", removal="delete").difference.values

    best, worst = difference(worth), difference(-worth)
    for seed in range(5):
        other = difference(torch.randn(worth.shape, generator=torch.Generator().manual_seed(seed)))
        assert bool((other < best).all())
        assert bool((other > worst).all())


@pytest.mark.parametrize("removal", ["pad", "zero_embedding", 7, "delete"])
@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_batched_equals_single_with_any_batch_size(kind, removal):
    model, call = tiny(kind), ids(12, 5, 20)
    scores = torch.randn(3, 20, generator=torch.Generator().manual_seed(0))
    target = [1, 0, 2]
    whole = erasure(model, call, scores, target=target, removal=removal, normalised=True)
    small = erasure(model, call, scores, target=target, removal=removal, normalised=True, batch_size=5)
    for b, n in enumerate((12, 5, 20)):
        alone = {name: value[b : b + 1, :n] for name, value in call.items()}
        one = erasure(model, alone, scores[b : b + 1, :n], target=target[b], removal=removal, normalised=True)
        for measure in ("comprehensiveness", "sufficiency", "log_odds"):
            wanted = getattr(one, measure).curve
            for found in (whole, small):
                torch.testing.assert_close(
                    getattr(found, measure).curve[b : b + 1], wanted, rtol=1e-4, atol=1e-5, equal_nan=True
                )


def test_special_tokens_and_padding_are_neither_ranked_nor_removed():
    model, call = tiny("bert"), ids(12, 5)
    scores = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))
    loud = torch.where(content(call), scores, 1e6)
    a, b = (erasure(model, call, s, removal="pad", fractions=[0.0, 1.0]) for s in (scores, loud))
    assert torch.equal(a.comprehensiveness.curve, b.comprehensiveness.curve)
    assert a.comprehensiveness.curve[:, 0].tolist() == [0.0, 0.0]
    # everything removed is every content token padded, class and separator token as they were
    emptied = {**call, "input_ids": torch.where(content(call), 0, call["input_ids"])}
    p = model(**call).logits.softmax(1)
    target = p.argmax(1)
    wanted = (p - model(**emptied).logits.softmax(1)).gather(1, target[:, None])[:, 0]
    torch.testing.assert_close(a.comprehensiveness.curve[:, 1].float(), wanted, rtol=0, atol=1e-6)
    torch.testing.assert_close(a.sufficiency.curve[:, 0], a.comprehensiveness.curve[:, 1])


def test_a_token_id_takes_the_tokens_place():
    model, call = tiny("bert"), ids(9)
    scores = torch.arange(9.0)[None]  # the last content tokens, 7 and 6, go first
    found = comprehensiveness(model, call, scores, target=2, removal=11, fractions=[2 / 7], output="logit")
    changed = call["input_ids"].clone()
    changed[0, 6:8] = 11
    wanted = (model(**call).logits - model(changed, call["attention_mask"]).logits)[:, 2:3]
    torch.testing.assert_close(found.curve.float(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("left", [False, True])
def test_deletion_is_the_shorter_text(kind, left):
    model, call = tiny(kind), ids(9)
    scores = torch.arange(9.0)[None]
    shorter = {name: value[:, [0, 1, 2, 3, 4, 5, 8]] for name, value in call.items()}
    wanted = (model(**call).logits - model(**shorter).logits)[:, 2]
    if left:  # padding goes to the right, for the whole text too
        call = {name: torch.cat([torch.zeros(1, 3, dtype=torch.int64), value], 1) for name, value in call.items()}
        scores = torch.nn.functional.pad(scores, (3, 0))
    found = comprehensiveness(model, call, scores, target=2, removal="delete", fractions=[2 / 7], output="logit")
    torch.testing.assert_close(found.curve[:, 0].float(), wanted, rtol=1e-5, atol=1e-6)


def test_deletion_without_a_mask_runs_texts_of_one_length_together():
    model, generator = Linear(), torch.Generator().manual_seed(0)
    table = torch.randint(5, 60, (4, 10), generator=generator)
    call = {"input_ids": table, "special_tokens_mask": torch.zeros(4, 10)}
    scores = torch.randn(4, 10, generator=generator)
    found = comprehensiveness(
        model, call, scores, target=1, output="logit", removal="delete", fractions=[0.2, 0.5], batch_size=3
    )
    worth = torch.stack([model(table[:, t : t + 1])[:, 1] for t in range(10)], 1) - model.head.bias[1]
    order = scores.argsort(1, descending=True)
    wanted = torch.stack([worth.gather(1, order[:, :count]).sum(1) for count in (2, 5)], 1)
    torch.testing.assert_close(found.curve.float(), wanted, rtol=1e-4, atol=1e-5)


def test_fractions_round_half_up_and_take_one_token_at_least():
    model, call = Bag(), ids(12)  # 10 content tokens
    scores = contributions(model, call)
    found = comprehensiveness(
        model, call, scores, target=1, output="logit", removal="delete", fractions=[0.0, 0.01, 0.1, 0.15, 0.24, 1.0]
    )
    inner = scores[content(call)].sort(descending=True).values
    wanted = torch.stack([inner[:count].sum() for count in (0, 1, 1, 2, 2, 10)])
    torch.testing.assert_close(found.curve[0], wanted)


def test_normalised_divides_by_what_there_is_to_lose():
    model, call = Bag(), ids(12, 7, seed=3)
    worth = contributions(model, call)
    top, rest = drops(model, call, worth)
    room = (worth * content(call)).sum(1, keepdim=True)
    for target in (0, 1):  # the logit of class 0 is 0 whatever is removed
        found = erasure(model, call, worth, target=target, output="logit", removal="delete", normalised=True)
        if target == 0:
            assert bool(torch.isnan(found.comprehensiveness.values).all())
            continue
        defined = (room > 0).expand_as(top)
        assert bool(defined.any())
        for curve, drop in ((found.comprehensiveness.curve, top), (found.sufficiency.curve, rest)):
            torch.testing.assert_close(curve[defined], (drop / room).clamp(0, 1)[defined])
            assert bool(torch.isnan(curve[~defined]).all())


def test_the_model_is_explained_in_evaluation_mode_and_not_touched():
    model, call = copy.deepcopy(tiny("bert")), ids(9, 6)
    scores = torch.randn(2, 9, generator=torch.Generator().manual_seed(0))
    wanted = erasure(model, call, scores, removal="pad").difference.values
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = erasure(model, call, scores, removal="pad").difference.values
    assert torch.equal(found, wanted)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.bert.embeddings.word_embeddings.__dict__.get("forward")
    assert all(weight.grad is None for weight in model.parameters())


def test_an_attribution_brings_its_targets_mask_and_grid():
    model, call = tiny("bert"), ids(9, 6)
    every = explain(model, call, target="all", method="gradient_x_input")
    found = erasure(model, call, every, removal="pad").difference.values.reshape(2, 4)
    for c in range(4):
        one = explain(model, call, target=c, method="gradient_x_input")
        torch.testing.assert_close(found[:, c], erasure(model, call, one, removal="pad").difference.values)
        told = erasure(model, call, one.scores, target=c, removal="pad").difference.values
        torch.testing.assert_close(found[:, c], told)


def test_patches_are_replaced_by_the_reference():
    model, x = tiny("vit"), pixels(2)
    scores = torch.zeros(2, 17)
    scores[0, 1 + 5], scores[1, 1 + 12] = 1, 1  # row 1 column 1; row 3 column 0
    found = comprehensiveness(model, x, scores, target=0, removal=0.25, fractions=[1 / 16], output="logit")
    changed = x.clone()
    changed[0, :, 4:8, 4:8] = 0.25
    changed[1, :, 12:16, 0:4] = 0.25
    wanted = (model(x).logits - model(changed).logits)[:, :1]
    torch.testing.assert_close(found.curve.float(), wanted, rtol=1e-5, atol=1e-6)


def test_each_image_can_have_its_own_pixels_put_in():
    model, x, other = tiny("vit"), pixels(3), pixels(3, seed=1)
    scores = torch.randn(3, 17, generator=torch.Generator().manual_seed(0))
    whole = comprehensiveness(model, x, scores, removal=other, batch_size=4)
    for b in range(3):
        one = comprehensiveness(model, x[b : b + 1], scores[b : b + 1], removal=other[b])
        torch.testing.assert_close(whole.curve[b : b + 1], one.curve, rtol=1e-4, atol=1e-5)
    a = explain(model, x, target=[[0, 1], [2, 3], [1, 0]], method="gradient_x_input")
    several = comprehensiveness(model, x, a, removal=other)
    one = comprehensiveness(model, x, a.scores[1::2], target=[1, 3, 0], removal=other)
    torch.testing.assert_close(several.curve[1::2], one.curve)


def test_outputs():
    from transformers import BertConfig, BertForSequenceClassification

    model, call = tiny("bert"), ids(9, 6)
    scores = torch.randn(2, 9, generator=torch.Generator().manual_seed(0))
    options = {"removal": "pad", "fractions": [0.3]}
    logit = erasure(model, call, scores, target=1, output="logit", **options)
    own = erasure(model, call, scores, output=lambda out: out.logits[:, 1], **options)
    torch.testing.assert_close(own.difference.values, logit.difference.values)
    right = erasure(model, call, scores, target=model(**call).logits.argmax(1), output="accuracy", **options)
    assert right.comprehensiveness.original.tolist() == [1.0, 1.0]
    assert set(right.comprehensiveness.curve.flatten().tolist()) <= {0.0, 1.0}
    one = BertForSequenceClassification(BertConfig(**{**SIZES, "num_labels": 1})).eval()
    found = erasure(one, call, scores, **options)
    torch.testing.assert_close(found.comprehensiveness.original.float(), torch.sigmoid(one(**call).logits)[:, 0])


def test_embeddings_in_the_place_of_ids_give_the_same():
    model, call = tiny("bert"), ids(9)
    scores = torch.randn(1, 9, generator=torch.Generator().manual_seed(0))
    embeds = model.bert.embeddings.word_embeddings(call["input_ids"]).detach()
    given = {
        "inputs_embeds": embeds,
        "attention_mask": call["attention_mask"],
        "special_tokens_mask": (~content(call)).long(),
    }
    for removal in ("pad", "delete"):
        wanted = sufficiency(model, call, scores, removal=removal)
        torch.testing.assert_close(sufficiency(model, given, scores, removal=removal).curve, wanted.curve)


def test_log_odds_is_the_one_of_erasure():
    model, call = tiny("bert"), ids(9, 6)
    scores = torch.randn(2, 9, generator=torch.Generator().manual_seed(0))
    both = erasure(model, call, scores, removal="pad")
    assert torch.equal(log_odds(model, call, scores, removal="pad").values, both.log_odds.values)
    assert not both.log_odds.higher_is_better
    logs = erasure(model, call, scores, removal="pad", output="log_prob")
    torch.testing.assert_close(logs.comprehensiveness.values, -both.log_odds.values)


def test_half_precision_runs():
    model, call = copy.deepcopy(tiny("bert")).to(torch.bfloat16), ids(9, 6)
    scores = torch.randn(2, 9, generator=torch.Generator().manual_seed(0))
    found = erasure(model, call, scores, removal="pad", target=1).difference.values
    wanted = erasure(tiny("bert"), call, scores, removal="pad", target=1).difference.values
    torch.testing.assert_close(found, wanted, rtol=0, atol=5e-2)
