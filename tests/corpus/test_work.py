"""The digest of the work changes with all that changes a number, and with nothing else."""

import copy
import os
import subprocess
import sys

import pytest
import torch
from helpers import corpora
from helpers.tiny_models import tiny

from calig_fast import Explainer, Fusion
from calig_fast.corpus import work
from calig_fast.corpus.options import dtype_of, recorded


def digest(model=None, tokenizer=None, **options):
    found, words = corpora.text_model()
    return work.work_of(Explainer(model or found, tokenizer or words, **options), {}).digest


def altered(change):
    model = copy.deepcopy(corpora.text_model()[0])
    with torch.no_grad():
        change(model)
    return model


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.classifier.bias[1].add_(1e-6),
        lambda model: model.bert.embeddings.word_embeddings.weight[30000, 3].mul_(1.001),
        lambda model: setattr(model.bert.encoder.layer[0].attention.output.LayerNorm, "eps", 1e-3),
        lambda model: setattr(model.config, "id2label", {0: "other", 1: "names"}),
        lambda model: model.double(),
    ],
)
def test_other_models_are_other_work(change):
    assert digest(altered(change)) != digest()


@pytest.mark.parametrize(
    "options",
    [
        {"tolerance": 0.1},
        {"target": 1},
        {"method": "ig"},
        {"method": Fusion(lam=0.3)},
        {"output": "prob"},
        {"output": lambda out: out.logits[:, 0]},
        {"baselines": "mask"},
        {"baselines": torch.zeros(16)},
        {"baselines": ["pad", "mask"]},
        {"baselines": ["mask", torch.zeros(16)]},
        {"layers": [0]},
        {"n_steps": 4},
        {"dtype": torch.float64},
        {"engine": "autograd"},
    ],
)
def test_other_options_are_other_work(options):
    assert digest(**options) != digest()
    assert digest(**options) == digest(**options)


def test_functions_differ_by_their_content():
    def scaled(factor):
        return lambda out: factor * out.logits[:, 0]

    assert digest(output=scaled(1)) != digest(output=scaled(2))
    assert digest(output=scaled(2)) == digest(output=scaled(2))


def test_other_tokenizers_are_other_work():
    tokenizer = copy.deepcopy(corpora.text_model()[1])
    assert digest(tokenizer=tokenizer) == digest()
    tokenizer("a", truncation=True, max_length=3)  # which the backend remembers
    assert digest(tokenizer=tokenizer) == digest()
    tokenizer.add_tokens(["calig"])
    assert digest(tokenizer=tokenizer) != digest()


def test_nothing_but_the_numbers_counts():
    model = copy.deepcopy(corpora.text_model()[0])
    model.train()
    model.config._name_or_path = "elsewhere"
    assert digest(model, progress=True) == digest()
    explainer = Explainer(*corpora.text_model())
    before = work.work_of(explainer, {}).digest
    explainer("a film")
    assert work.work_of(explainer, {}).digest == before


def test_processors_of_pictures():
    _, processor = corpora.image_model()
    assert work.processor(processor) == work.processor(copy.deepcopy(processor))
    other = copy.deepcopy(processor)
    other.image_mean = [0.1, 0.2, 0.3]
    assert work.processor(processor) != work.processor(other)
    timm = pytest.importorskip("timm")
    made = [timm.data.create_transform(input_size=16, mean=m) for m in ((0.5,) * 3, (0.5,) * 3, (0.4,) * 3)]
    assert work.processor(made[0]) == work.processor(made[1]) != work.processor(made[2])
    assert work.work_of(Explainer(tiny("timm-token"), made[0]), {}).digest


def test_another_process_gives_the_same():
    code = (
        "from helpers import corpora; from calig_fast import Explainer; from calig_fast.corpus import work; "
        "print(work.work_of(Explainer(*corpora.text_model(), method='ig', baselines='mask'), {}).digest)"
    )
    search = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, env=search).stdout
    assert said.strip() == digest(method="ig", baselines="mask")


def test_options_come_back_from_the_record():
    made = work.work_of(Explainer(*corpora.text_model(), tolerance=0.1, dtype=torch.float64, layers=[0, 1]), {})
    options = recorded(made.record)
    assert (options["tolerance"], options["dtype"], options["layers"]) == (0.1, torch.float64, [0, 1])
    Explainer(*corpora.text_model(), **options)
    with pytest.raises(ValueError, match="output: it was an object"):
        recorded(work.work_of(Explainer(*corpora.text_model(), output=lambda out: out.logits[:, 0]), {}).record)
    with pytest.raises(ValueError, match="dtype"):
        dtype_of("int8")
