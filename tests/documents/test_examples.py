"""The example scripts run, at a small size, as they are typed."""

import ast
import runpy
import sys
from pathlib import Path

import pytest
import torch
from helpers.real_models import minilm_tokenizer, seeded
from helpers.tiny_models import PICTURE
from PIL import Image

from calig_fast import demo

EXAMPLES = Path(__file__).parents[2] / "examples"
SHORT = ("sentiment", "long_documents", "hate_speech_xlmr", "images_vit_mae", "corpus_to_parquet")
MOST = 60


@pytest.fixture(scope="module")
def xlmr(tmp_path_factory):
    """A saved XLM-R classifier of three classes, with a tokenizer."""
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    folder = tmp_path_factory.mktemp("xlmr")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    names = {0: "hate", 1: "offensive", 2: "normal"}
    config = XLMRobertaConfig(
        **sizes, vocab_size=30522, max_position_embeddings=64, pad_token_id=0, type_vocab_size=2, id2label=names
    )
    seeded(XLMRobertaForSequenceClassification(config)).save_pretrained(folder)
    minilm_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Runs a script in an empty folder; what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


def there(name):
    try:
        demo.load(name, 1)
    except demo.MissingPackageError as error:
        pytest.skip(str(error))


def test_sentiment_of_the_demo(call, tmp_path):
    there("sentiment")
    said = call("sentiment", "--count", 4, "--html", "out.html")
    assert "positive: " in said
    assert "of 4 converged" in said
    assert (tmp_path / "out.html").stat().st_size > 10_000


def test_sentiment_of_ones_own(call, xlmr, tmp_path):
    (tmp_path / "lines.txt").write_text("one thing\n\nanother thing\n", encoding="utf-8")
    assert "of 2 converged" in call("sentiment", "--model", xlmr, "--lines", "lines.txt")
    with pytest.raises(SystemExit, match="give both"):
        call("sentiment", "--model", xlmr)


def test_long_documents(call, xlmr, tmp_path):
    (tmp_path / "long.txt").write_text("A first sentence. A second one! Is it the third? " * 20, encoding="utf-8")
    said = call("long_documents", "--model", xlmr, "--file", "long.txt", "--words", 12, "--most", 5)
    assert said.startswith("5 passages, class ")
    gaps = [float(line.split()[0]) for line in said.splitlines()[1:]]
    assert gaps == sorted(gaps, reverse=True)
    assert (tmp_path / "document.html").exists()


def test_the_passages_are_the_document():
    passages = runpy.run_path(str(EXAMPLES / "long_documents.py"))["passages"]
    text = "One two three. Four five! Six seven eight nine ten? Eleven."
    pieces = passages(text, 5)
    assert " ".join(pieces) == text
    assert pieces == ["One two three. Four five!", "Six seven eight nine ten?", "Eleven."]


def test_hate_speech(call, xlmr, tmp_path):
    lines = ["hate\tsome unkind thing", "normal\ta kind thing", "hate\tthing of unkindness"]
    (tmp_path / "posts.tsv").write_text("\n".join(lines), encoding="utf-8")
    said = call("hate_speech_xlmr", "--model", xlmr, "--data", "posts.tsv", "--target", "HATE")
    assert "over 2 posts" in said
    assert "Interval(" in said
    with pytest.raises(SystemExit, match=r"no\.tsv: not there"):
        call("hate_speech_xlmr", "--model", xlmr, "--data", "no.tsv", "--target", "hate")
    with pytest.raises(SystemExit, match="the model knows hate, offensive, normal"):
        call("hate_speech_xlmr", "--model", xlmr, "--data", "posts.tsv", "--target", "spam")


def test_images(call, tmp_path):
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    seeded(ViTForImageClassification(ViTConfig(**PICTURE))).save_pretrained(tmp_path / "vit")
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(tmp_path / "vit")
    noise = torch.randint(0, 256, (20, 20, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    Image.fromarray(noise.numpy()).save(tmp_path / "noise.png")
    said = call("images_vit_mae", "--model", "vit", "--image", "noise.png", "--out", "drawn")
    assert "negative perturbation" in said
    assert {p.name for p in (tmp_path / "drawn").iterdir()} == {"pictures.html", "0.png"}


def test_images_of_the_demo(call, tmp_path):
    there("fashion")
    assert "positive perturbation" in call("images_vit_mae", "--count", 2)


def test_corpus(call, xlmr, tmp_path):
    pandas = pytest.importorskip("pandas")
    (tmp_path / "lines.txt").write_text("one thing\nanother unkind thing\nlast\n", encoding="utf-8")
    arguments = ("corpus_to_parquet", "--model", xlmr, "--lines", "lines.txt", "--workers", 0)
    for _ in range(2):
        assert call(*arguments).splitlines()[0] == "3 texts, 0 failed, 6 words"
    table = pandas.read_parquet(tmp_path / "explained" / "tokens")
    assert table["word"].tolist() == ["one", "thing", "another", "unkind", "thing", "last"]
    assert table["id"].tolist() == [0, 0, 1, 1, 1, 2]


def test_corpus_without_pyarrow_names_the_extra(call, xlmr, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SystemExit, match=r"calig_fast\[corpus,tables\]"):
        call("corpus_to_parquet", "--model", xlmr, "--lines", "x")


@pytest.mark.parametrize("name", SHORT)
def test_it_is_short(name):
    source = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    told = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node):
            told |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = [line for i, line in enumerate(source.splitlines(), 1) if line.strip() and i not in told]
    assert len(lines) <= MOST
