"""Objects in the place of a model: pipelines and cross-encoders bring their model and tokenizer along."""

import pytest
import torch
from helpers.real_models import minilm_tokenizer, seeded
from helpers.tiny_models import SIZES, tiny
from torch import nn

from calig_fast import Explainer, explain, metrics
from calig_fast.inputs import source

QUICK = {"method": "gradient_x_input"}
TEXTS = ["Shares climbed.", "Not a good film, yet a charming one."]


@pytest.fixture(scope="module")
def model():
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(**{**SIZES, "vocab_size": len(minilm_tokenizer())})
    return seeded(BertForSequenceClassification(config), seed=3)


def test_a_text_pipeline(model):
    from transformers import pipeline

    pipe = pipeline("text-classification", model=model, tokenizer=minilm_tokenizer(), device="cpu")
    wanted = explain(model, TEXTS, minilm_tokenizer(), **QUICK)
    for a in (explain(pipe, TEXTS, **QUICK), Explainer(pipe, **QUICK)(TEXTS)):
        assert torch.equal(a.scores, wanted.scores)
        assert a.words == wanted.words
    scores = metrics.comprehensiveness(pipe, TEXTS, wanted).values
    assert torch.equal(scores, metrics.comprehensiveness(model, TEXTS, wanted, processor=minilm_tokenizer()).values)
    pair = {"text": "The hall was empty.", "text_pair": "Nobody came."}
    assert len(explain(pipe, pair, **QUICK)) == len(pipe([pair])) == 1


def test_a_text_pipeline_cuts_texts_as_it_was_told_to(model):
    from transformers import pipeline

    tokenizer = minilm_tokenizer()
    pipe = pipeline("text-classification", model=model, tokenizer=tokenizer, max_length=6, truncation=True)
    text = "A fine film with a plot that holds to the very end."
    with pytest.warns(UserWarning, match="the model reads 6 tokens"):
        found = explain(pipe, text, **QUICK)
    call = tokenizer(text, max_length=6, truncation=True, return_tensors="pt")
    torch.testing.assert_close(found.logits, model(**call).logits.detach())
    assert tokenizer.model_max_length > 6
    with pytest.raises(ValueError, match="its tokenizer with add_special_tokens"):
        explain(pipeline("text-classification", model=model, tokenizer=tokenizer, add_special_tokens=False), TEXTS[0])


def test_a_picture_pipeline():
    from PIL import Image
    from transformers import ViTImageProcessor, pipeline

    processor = ViTImageProcessor(size={"height": 16, "width": 16})
    pipe = pipeline("image-classification", model=tiny("vit"), image_processor=processor, device="cpu")
    picture = Image.new("RGB", (20, 20), "orange")
    a, b = explain(pipe, picture, **QUICK), explain(tiny("vit"), picture, processor, **QUICK)
    assert torch.equal(a.scores, b.scores)


def test_a_zero_shot_pipeline_is_refused(model):
    from transformers import pipeline

    model.config.label2id = {"entailment": 0, "neutral": 1, "contradiction": 2, "other": 3}
    pipe = pipeline("zero-shot-classification", model=model, tokenizer=minilm_tokenizer(), device="cpu")
    with pytest.raises(ValueError, match="zero-shot pipeline"):
        explain(pipe, TEXTS)


class Holder:
    """As older cross-encoders: no module, but it has one."""

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer


class CrossEncoder(nn.Sequential):
    """As newer cross-encoders: a module whose forward takes a dictionary."""

    def __init__(self, model, tokenizer):
        super().__init__()
        self.add_module("0", model)
        self.model, self.tokenizer = model, tokenizer


class SentenceTransformer(nn.Sequential):
    pass


def test_a_cross_encoder_reads_pairs(model):
    tokenizer, pair = minilm_tokenizer(), ("who came", "Nobody came.")
    wanted = explain(model, pair, tokenizer, **QUICK)
    made = CrossEncoder(model, tokenizer)
    for given in (pair, list(pair), [pair], [list(pair)]):
        a = explain(made, given, **QUICK)
        assert torch.equal(a.scores, wanted.scores)
        assert len(a) == 1
    assert torch.equal(explain(Holder(model, tokenizer), pair, **QUICK).scores, wanted.scores)


def test_the_real_ones():
    library = pytest.importorskip("sentence_transformers")
    assert {kind.__name__ for kind in (library.CrossEncoder, library.SentenceTransformer)} == {
        "CrossEncoder",
        "SentenceTransformer",
    }


def test_a_sentence_transformer_has_no_classes():
    with pytest.raises(ValueError, match=r"output="):
        explain(SentenceTransformer(nn.Linear(2, 2)), "a text")


def test_what_is_no_model():
    for wrong in ("bert-base-uncased", None, object(), Holder(None, None)):
        with pytest.raises(TypeError, match=r"expected a torch\.nn\.Module"):
            explain(wrong, "a text")


def test_a_module_stays_itself(model):
    class Outer(nn.Module):
        """Has a `model` and a `tokenizer`, and a forward of its own."""

        def __init__(self):
            super().__init__()
            self.model, self.tokenizer = model, minilm_tokenizer()

    outer = Outer()
    assert source.opened(outer) == source.Source(outer)
