"""Images scored with given texts: the model's own scores, natively, and what hooks on its vision tower give."""

from functools import cache

import pytest
import torch
import transformers
from helpers.real_models import seeded
from helpers.slow import layer_relevance
from helpers.tiny_models import PICTURE, SIZES, pixels

from calig_fast import Explainer, ZeroShot, explain
from calig_fast.quadrature.rules import nodes_and_weights

MODELS = ("CLIP", "Siglip", "AltCLIP", "ChineseCLIP", "MetaClip2")
NAMES = ["a cat", "a dog", "a car"]
IDS = torch.tensor([[1, 7, 9, 2], [1, 8, 5, 2], [1, 9, 9, 2]])
TEXTS = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}


@cache
def model(kind):
    words = {name: size for name, size in SIZES.items() if name != "num_labels"} | {"eos_token_id": 2}
    words |= {"projection_size": 24} if kind == "Siglip" else {}
    config = getattr(transformers, f"{kind}Config")(text_config=words, vision_config=PICTURE)
    return seeded(getattr(transformers, f"{kind}Model")(config))


@pytest.mark.parametrize("kind", MODELS)
def test_logits_are_the_scores_of_images_with_texts(kind):
    a = explain(ZeroShot(model(kind), TEXTS, NAMES), pixels(2))
    with torch.no_grad():
        wanted = model(kind)(pixel_values=pixels(2), **TEXTS).logits_per_image
    torch.testing.assert_close(a.logits, wanted, rtol=1e-5, atol=1e-6)
    assert (a.engine, a.settings.family) == ("native", "clip")
    assert a.label() == NAMES[int(wanted[0].argmax())]
    assert (a.grid.rows, a.grid.columns) == (4, 4)
    assert a.grid.prefix == (0 if kind == "Siglip" else 1)


@pytest.mark.parametrize("kind", MODELS)
def test_relevance_is_what_hooks_give(kind):
    scorer, x = ZeroShot(model(kind), TEXTS), pixels(1)
    nodes, weights = nodes_and_weights("riemann_middle", 4)
    options = {"quadrature": "riemann_middle", "n_steps": 4, "dtype": torch.float64, "baselines": "mean"}
    a = explain(scorer, x, target=1, **options)
    for layer, block in enumerate(Explainer(scorer).encoder.blocks):
        low = {"pixel_values": torch.zeros_like(x)}
        slow = layer_relevance(scorer, block, {"pixel_values": x}, low, 1, nodes=nodes, weights=weights.tolist())
        torch.testing.assert_close(a.layer_scores[0, layer].double(), slow, rtol=1e-5, atol=1e-7)


def test_a_batch_is_its_images_alone():
    scorer = ZeroShot(model("CLIP"), TEXTS)
    together = explain(scorer, pixels(3), target=1)
    for b in range(3):
        alone = explain(scorer, pixels(3)[b : b + 1], target=1)
        torch.testing.assert_close(together.layer_scores[b], alone.layer_scores[0], rtol=1e-4, atol=1e-8)


def test_a_text_beside_it_changes_nothing():
    one = explain(ZeroShot(model("CLIP"), {k: v[:1] for k, v in TEXTS.items()}), pixels(1), target=0)
    three = explain(ZeroShot(model("CLIP"), TEXTS), pixels(1), target=0)
    torch.testing.assert_close(one.layer_scores, three.layer_scores, rtol=1e-4, atol=1e-8)


def test_siglips_classes_are_independent_and_clips_are_exclusive():
    for kind, squash in (("Siglip", torch.sigmoid), ("CLIP", lambda z: z.softmax(1))):
        scorer = ZeroShot(model(kind), TEXTS)
        a = explain(scorer, pixels(1), output="prob", target=1, method="layer_ig", baselines="mean")
        with torch.no_grad():
            high, low = (squash(scorer(x))[:, 1] for x in (pixels(1), torch.zeros_like(pixels(1))))
        torch.testing.assert_close(a.gap[:, 0], high - low, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", MODELS)
def test_the_model_itself_is_refused_as_its_scores_are_of_pairs(kind):
    call = {"pixel_values": pixels(2), "input_ids": IDS[:2]}
    with pytest.raises(ValueError, match=r"^model: it scores each image with each text .*ZeroShot"):
        explain(model(kind), call, output=lambda out: out.logits_per_image[:, 0])


@pytest.mark.parametrize(
    ("texts", "names", "kind", "say"),
    [
        (IDS, None, TypeError, "texts: expected a mapping"),
        ({}, None, TypeError, "texts: expected a mapping"),
        ({"input_ids": [[1, 2]]}, None, TypeError, "texts: expected a mapping"),
        ({"input_ids": torch.tensor(3)}, None, TypeError, "texts: expected a mapping"),
        ({**TEXTS, "attention_mask": torch.ones(2, 4)}, None, ValueError, "a row for each text"),
        ({"input_ids": IDS[:0]}, None, ValueError, "a row for each text"),
        ({1: IDS}, None, TypeError, "texts: expected a mapping"),
        ({**TEXTS, "pixel_values": pixels(3)}, None, ValueError, "texts: they hold pixel_values"),
        (TEXTS, ["a cat"], ValueError, "names: expected a name for each of 3 texts, got 1"),
        (TEXTS, "abc", TypeError, "names: expected a name"),
        (TEXTS, [1, 2, 3], TypeError, "names: expected a name"),
        (TEXTS, 3, TypeError, "names: expected a name"),
    ],
)
def test_wrong_arguments(texts, names, kind, say):
    with pytest.raises(kind, match=say):
        ZeroShot(model("CLIP"), texts, names)


def test_a_model_without_such_scores():
    with pytest.raises(TypeError, match="model: expected a model"):
        ZeroShot("clip", TEXTS)
    with pytest.raises(ValueError, match="returns no logits_per_image"):
        explain(ZeroShot(model("CLIP").vision_model, {"interpolate_pos_encoding": torch.ones(1)}), pixels(1))


def test_it_moves_with_its_model_and_is_saved_as_the_model_alone():
    scorer = ZeroShot(model("CLIP"), TEXTS).double()
    assert scorer(pixels(1).double()).dtype == torch.float64
    assert all(name.startswith("model.") for name in scorer.state_dict())
    model("CLIP").float()
