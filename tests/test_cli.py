"""The command `calig`, as it is typed: what it writes, and one plain line with exit code 2 where it cannot."""

import subprocess
import sys

import pytest
import torch
from PIL import Image
from real_models import minilm_tokenizer, seeded
from tiny_models import PICTURE
from typer.testing import CliRunner

from calig_fast import Attribution, Explainer, demo
from calig_fast.cli import PACKAGES, app


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A saved text classifier with its tokenizer."""
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("texts")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    names = {0: "bad", 1: "good"}
    config = BertConfig(**sizes, vocab_size=30522, max_position_embeddings=64, id2label=names)
    seeded(BertForSequenceClassification(config)).save_pretrained(folder)
    minilm_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A saved image classifier with its processor, and a picture."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    folder = tmp_path_factory.mktemp("pictures")
    seeded(ViTForImageClassification(ViTConfig(**PICTURE))).save_pretrained(folder)
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    noise = torch.randint(0, 256, (20, 30, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    Image.fromarray(noise.numpy()).save(folder / "noise.png")
    Image.fromarray(noise.numpy()).convert("L").save(folder / "grey.png")
    return folder


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def fails(*arguments, say):
    found = run(*arguments)
    assert found.exit_code == 2, found.output
    lines = found.stderr.strip().splitlines()
    assert len(lines) == 1, found.stderr
    assert lines[0].startswith("error: ")
    assert say in lines[0]
    assert "Traceback" not in found.output


def explained(model, **options):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    loaded = AutoModelForSequenceClassification.from_pretrained(model)
    return Explainer(loaded, AutoTokenizer.from_pretrained(model), **options)


def test_texts_to_the_terminal_a_page_and_a_file(texts, tmp_path):
    page, saved = tmp_path / "page.html", tmp_path / "saved.json"
    words = ["The film was unbelievably good", "A dull evening."]
    found = run("explain", "--model", texts, "--text", words[0], "--text", words[1], "--html", page, "--json", saved)
    assert found.exit_code == 0, found.output
    assert "unbelievably" in found.stdout
    for path in (page, saved, saved.with_suffix(".safetensors")):
        assert f"wrote {path}" in found.stdout.splitlines()
        assert path.stat().st_size > 500
    assert "unbelievably" in page.read_text(encoding="utf-8")
    assert (
        page.read_text(encoding="utf-8").count("what it attended to") == 2
    )  # the maps are on the page, not in the file
    assert Attribution.load(saved).maps is None
    a, wanted = Attribution.load(saved), explained(texts)(words)
    torch.testing.assert_close(a.scores, wanted.scores)
    assert a.texts == wanted.texts
    assert a.labels == ("bad", "good")


def test_options_reach_the_explanation(texts, tmp_path):
    options = ("--target", 0, "--method", "layer_ig", "--baselines", "mask", "--tolerance", 0.3)
    assert run("explain", "--model", texts, "--text", "A dull film", "--json", tmp_path / "a", *options).exit_code == 0
    a = Attribution.load(tmp_path / "a")
    wanted = explained(texts, method="layer_ig", baselines="mask", tolerance=0.3)("A dull film", target=0)
    torch.testing.assert_close(a.scores, wanted.scores)
    assert (a.method, a.target.tolist()) == ("layer_ig", [0])
    assert (a.settings["baselines"], a.settings["tolerance"]) == ("mask", 0.3)


def test_a_file_is_one_text(texts, tmp_path):
    (tmp_path / "review.txt").write_text("Très bon.\n\nTwo paragraphs.", encoding="utf-8")
    found = run("explain", "--model", texts, "--file", tmp_path / "review.txt", "--json", tmp_path / "a")
    assert found.exit_code == 0, found.output
    assert [t.text for t in Attribution.load(tmp_path / "a").texts] == ["Très bon.\n\nTwo paragraphs."]


def test_pictures(pictures, tmp_path):
    images = ("--image", pictures / "noise.png", "--image", pictures / "grey.png")
    found = run("explain", "--model", pictures, *images, "--html", tmp_path / "p.html", "--json", tmp_path / "a")
    assert found.exit_code == 0, found.output
    a = Attribution.load(tmp_path / "a")
    assert a.patch_scores(1).shape == (4, 4)
    assert a.images.shape == (2, 16, 16, 3)
    assert "data:image/png;base64" in (tmp_path / "p.html").read_text(encoding="utf-8")


def test_mistakes_are_one_line(texts, pictures, tmp_path):
    some = ("explain", "--model", texts, "--text", "some words")
    (tmp_path / "no picture.png").write_text("no picture")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x81")
    fails("explain", "--model", texts, say="give --text or --file, or else --image")
    fails(*some, "--image", pictures / "noise.png", say="give --text or --file, or else --image")
    fails("explain", "--model", tmp_path / "[/nowhere]", "--text", "a", say="[/nowhere]: no such folder")
    fails(*some, "--target", 7, say="target: [7] is outside 0..1")
    fails(*some, "--method", "lime", say="'lime' is not one of")
    fails(*some, "--baselines", "blur", say="'blur' is not one of")
    fails(*some, "--tolerance", -1, say="tolerance")
    fails(*some, "--html", tmp_path / "missing" / "p.html", say="missing")
    fails(*some, "--json", tmp_path / "missing" / "a", say="missing")
    fails("explain", "--model", texts, "--text", "  ", say="input [0] is empty")
    fails("explain", "--model", texts, "--file", tmp_path / "missing.txt", say="missing.txt")
    fails("explain", "--model", texts, "--file", tmp_path / "binary.txt", say="utf-8")
    fails("explain", "--model", pictures, "--image", tmp_path / "no picture.png", say="no picture.png")
    fails("explain", "--model", pictures, "--image", tmp_path / "missing.png", say="missing.png")
    fails("explain", "--model", pictures, "--image", pictures / "noise.png", "--baselines", "pad", say="'pad' is not")
    fails("demo", "--only", "cats", "--out", tmp_path / "demo", say="got 'cats'")


def test_folders_that_hold_no_classifier(texts, pictures, tmp_path):
    from transformers import AutoModel

    fails("explain", "--model", tmp_path, "--text", "a", say=str(tmp_path))
    headless = tmp_path / "headless"
    AutoModel.from_pretrained(texts).save_pretrained(headless)
    minilm_tokenizer().save_pretrained(headless)
    fails("explain", "--model", headless, "--text", "a", say="classifier.weight")
    speechless = tmp_path / "speechless"
    explained(texts).model.save_pretrained(speechless)
    fails("explain", "--model", speechless, "--text", "a", say="tokenizer")
    fails("explain", "--model", pictures, "--text", "a", say="ViT")
    broken = tmp_path / "broken"
    explained(texts).model.save_pretrained(broken)
    minilm_tokenizer().save_pretrained(broken)
    (broken / "model.safetensors").write_bytes(b"no tensors")
    fails("explain", "--model", broken, "--text", "a", say="broken")


def test_a_missing_package_is_named_with_its_command(texts, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "transformers" else find(name, *a)
    )
    fails("explain", "--model", texts, "--text", "a", say='pip install "calig_fast[models]"')


def test_an_option_that_is_missing_or_unknown():
    for arguments in (("explain",), ("explain", "--modle", "x"), ("explode",)):
        found = run(*arguments)
        assert found.exit_code == 2
        assert "Traceback" not in found.output


def test_doctor_says_what_is_installed_and_what_runs():
    found = run("doctor")
    assert found.exit_code == 0
    assert f"torch {torch.__version__.split('+')[0]}" in found.stdout
    for name in PACKAGES:
        assert f"  {name} " in found.stdout
    assert "backend reference" in found.stdout
    assert "instruction sets" in found.stdout


def test_as_a_module():
    found = subprocess.run([sys.executable, "-m", "calig_fast", "--help"], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    for command in ("explain", "demo", "doctor"):
        assert command in found.stdout
    wrong = subprocess.run(
        [sys.executable, "-m", "calig_fast", "explain", "--model", "/nowhere", "--text", "a"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert wrong.returncode == 2
    assert wrong.stderr.strip().startswith("error: ")
    assert "no such folder" in wrong.stderr
    assert wrong.stdout == ""


def test_the_topics_demo_writes_a_page_and_pictures(tmp_path):
    try:
        demo.load("topics", 1)
    except demo.MissingPackageError as error:
        pytest.skip(str(error))
    found = run("demo", "--only", "topics", "--out", tmp_path / "out")
    assert found.exit_code == 0, found.output
    page = (tmp_path / "out" / "topics.html").read_text(encoding="utf-8")
    assert demo.load("topics", 1).labels[0] in page
    for name in ("topics.png", "topics_layers.png"):
        with Image.open(tmp_path / "out" / name) as picture:
            assert min(picture.size) > 300
    assert "Converged" in found.stdout
