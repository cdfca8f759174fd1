"""`calig explain`, as it is typed: what it writes, and one plain line with an exit code where it cannot."""

import errno
import json
import os

import pytest
import torch
from helpers.real_models import minilm_tokenizer
from helpers.tiny_models import PICTURE, tiny
from helpers.typed import fails, run

from calig_fast import Attribution, Explainer


def explained(model, **options):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    loaded = AutoModelForSequenceClassification.from_pretrained(model)
    return Explainer(loaded, AutoTokenizer.from_pretrained(model), **options)


def test_texts_to_the_terminal_a_page_and_a_file(texts, tmp_path):
    page, saved = tmp_path / "page.html", tmp_path / "saved.safetensors"
    words = ["The film was unbelievably good", "A dull evening."]
    files = ("--html", page, "--json", tmp_path / "plain.json", "--save", saved)
    found = run("explain", "--model", texts, "--text", words[0], "--text", words[1], *files)
    assert found.exit_code == 0, found.output
    assert "unbelievably" in found.stdout
    for path in (page, saved):
        assert f"wrote {path}" in found.stderr.splitlines()
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
    assert run("explain", "--model", texts, "--text", "A dull film", "--save", tmp_path / "a", *options).exit_code == 0
    a = Attribution.load(tmp_path / "a")
    wanted = explained(texts, method="layer_ig", baselines="mask", tolerance=0.3)("A dull film", target=0)
    torch.testing.assert_close(a.scores, wanted.scores)
    assert (a.method, a.target.tolist()) == ("layer_ig", [0])
    assert (a.settings["baselines"], a.settings["tolerance"]) == ("mask", 0.3)


def test_several_baselines_have_commas_between_them(texts, tmp_path):
    call = ("explain", "--model", texts, "--text", "A dull film", "--save", tmp_path / "a", "--baselines")
    assert run(*call, "mask,pad").exit_code == 0
    a = Attribution.load(tmp_path / "a")
    torch.testing.assert_close(a.scores, explained(texts, baselines=["mask", "pad"])("A dull film").scores)
    assert a.settings["baselines"] == ["mask", "pad"]
    fails(*call, "mask,blur", say="baselines[1]: 'blur' is not one of")


def test_a_file_is_one_text(texts, tmp_path):
    (tmp_path / "review.txt").write_text("Très bon.\n\nTwo paragraphs.", encoding="utf-8")
    found = run("explain", "--model", texts, "--file", tmp_path / "review.txt", "--save", tmp_path / "a")
    assert found.exit_code == 0, found.output
    assert [t.text for t in Attribution.load(tmp_path / "a").texts] == ["Très bon.\n\nTwo paragraphs."]


def test_pictures(pictures, tmp_path):
    images = ("--image", pictures / "noise.png", "--image", pictures / "grey.png")
    found = run("explain", "--model", pictures, *images, "--html", tmp_path / "p.html", "--save", tmp_path / "a")
    assert found.exit_code == 0, found.output
    a = Attribution.load(tmp_path / "a")
    assert a.patch_scores(1).shape == (4, 4)
    assert a.images.shape == (2, 16, 16, 3)
    assert "data:image/png;base64" in (tmp_path / "p.html").read_text(encoding="utf-8")


def test_mistakes_are_one_line(texts, pictures, tmp_path):
    some = ("explain", "--model", texts, "--text", "some words")
    (tmp_path / "no picture.png").write_text("no picture")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x81")
    fails("explain", "--model", texts, say="give --text, --file or --lines, or else --image")
    fails(*some, "--image", pictures / "noise.png", say="give --text, --file or --lines, or else --image")
    fails("explain", "--model", tmp_path / "[/nowhere]", "--text", "a", say="[/nowhere]: no such folder")
    fails(*some, "--target", 7, say="target: [7] is outside 0..1")
    fails(*some, "--method", "lime", say="'lime' is not one of")
    fails(*some, "--baselines", "blur", say="'blur' is not one of")
    fails(*some, "--tolerance", -1, say="tolerance")
    fails(*some, "--html", tmp_path / "missing" / "p.html", say="missing")
    fails(*some, "--json", tmp_path / "missing" / "a", say="missing")
    fails("explain", "--model", texts, "--text", "  ", say="input [0] is empty")
    fails("explain", "--model", texts, "--file", tmp_path / "missing.txt", say="missing.txt")
    fails("explain", "--model", texts, "--file", tmp_path / "binary.txt", say="UTF-8")
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
    fails("explain", "--model", texts, "--text", "a", say='pip install "calig_fast[models]"', code=1)


def test_an_option_that_is_missing_or_unknown():
    for arguments in (("explain",), ("explain", "--modle", "x"), ("explode",)):
        found = run(*arguments)
        assert found.exit_code == 2
        assert "Traceback" not in found.output


def test_json_on_standard_output_is_all_that_is_there(texts):
    found = run("explain", "--model", texts, "--text", "A truly unbelievable film", "--target", "GOOD", "--json", "-")
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    wanted = explained(texts)("A truly unbelievable film", target=1)
    (one,) = told["inputs"]
    assert (told["method"], told["labels"], one["label"], one["target"]) == ("calig", ["bad", "good"], "good", [1])
    assert one["scores"] == pytest.approx(wanted.scores[0].tolist())
    assert [(w["text"], pytest.approx(w["score"])) for w in one["words"]] == wanted.word_scores()
    assert [one["text"][w["start"] : w["end"]] for w in one["words"]] == [w["text"] for w in one["words"]]
    assert one["tokens"] == list(wanted.tokens[0])
    assert one["statement"] == wanted.statement()
    for layer, of in enumerate(one["layers"]):
        assert of["scores"] == pytest.approx(wanted.layer_scores[0, layer].tolist())
        assert of["sum"] - of["gap"] == pytest.approx(of["delta"], abs=1e-6)
        assert of["gradients"] == int(wanted.n_steps[0, layer])


def test_numbers_that_are_not_defined_are_null(texts):
    found = run("explain", "--model", texts, "--text", "A film", "--method", "chefer", "--json", "-")
    layers = json.loads(found.stdout)["inputs"][0]["layers"]
    assert [layer["error"] for layer in layers] == [None, None]


def test_lines_and_standard_input(texts, tmp_path):
    (tmp_path / "many.txt").write_text("A dull film\n\nSuperb\n", encoding="utf-8")
    found = run("explain", "--model", texts, "--lines", tmp_path / "many.txt", "--text", "First", "--json", "-")
    assert [one["text"] for one in json.loads(found.stdout)["inputs"]] == ["First", "A dull film", "Superb"]
    for option, wanted in (("--file", ["Two\nlines"]), ("--lines", ["Two", "lines"])):
        found = run("explain", "--model", texts, option, "-", "--json", "-", stdin="Two\nlines")
        assert [one["text"] for one in json.loads(found.stdout)["inputs"]] == wanted


def test_every_class_of_a_text(texts):
    found = run("explain", "--model", texts, "--text", "A dull film", "--target", "all", "--json", "-")
    told = json.loads(found.stdout)["inputs"]
    assert [(one["label"], one["input"]) for one in told] == [("bad", 0), ("good", 0)]


def test_a_timm_folder(pictures, tmp_path):
    from safetensors.torch import save_file

    model = tiny("timm-token")
    sizes = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 3, "num_heads": 3}
    told = {"architecture": "vit_tiny_patch16_224", "num_classes": 4, "model_args": sizes}
    told["pretrained_cfg"] = {"input_size": [3, 16, 16], "num_classes": 4, "mean": [0.5] * 3, "std": [0.5] * 3}
    (tmp_path / "config.json").write_text(json.dumps(told))
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    found = run("explain", "--model", tmp_path, "--image", pictures / "noise.png", "--json", "-")
    assert found.exit_code == 0, found.output
    (one,) = json.loads(found.stdout)["inputs"]
    assert torch.tensor(one["patches"]).shape == (4, 4)
    (tmp_path / "model.safetensors").unlink()
    save_file({"head.bias": torch.zeros(4)}, tmp_path / "model.safetensors")
    fails("explain", "--model", tmp_path, "--image", pictures / "noise.png", say="its weights cannot be read")


def test_a_picture_is_read_as_the_model_wants_it(pictures, tmp_path):
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    ViTForImageClassification(ViTConfig(**PICTURE, num_channels=1)).save_pretrained(tmp_path)
    size = {"height": 16, "width": 16}
    ViTImageProcessor(size=size, image_mean=[0.5], image_std=[0.5]).save_pretrained(tmp_path)
    found = run("explain", "--model", tmp_path, "--image", pictures / "grey.png", "--json", "-")
    assert found.exit_code == 0, found.output


def test_a_failure_of_the_work_is_another_code_than_a_mistake(texts, monkeypatch):
    monkeypatch.setenv("CALIG_FAST_BACKEND", "cuda")
    fails("explain", "--model", texts, "--text", "a film", say="cannot run", code=1)


def test_debug_shows_where_an_error_came_from(texts):
    found = run("explain", "--model", texts, "--text", "a", "--target", 7, "--debug")
    assert found.exit_code == 1
    assert isinstance(found.exception, ValueError)
    assert "outside 0..1" in str(found.exception)


def test_files_that_cannot_be_written_are_told_before_the_work(texts, tmp_path, monkeypatch):
    monkeypatch.setattr(Explainer, "__call__", lambda *a, **b: pytest.fail("explained first"))
    for option in ("--html", "--json", "--save"):
        fails("explain", "--model", texts, "--text", "a", option, tmp_path / "no" / "x", say="make it first")


def test_a_page_on_standard_output_and_nothing_else(texts, tmp_path):
    some = ("explain", "--model", texts, "--text", "A dull film", "--method", "chefer")
    found = run(*some, "--html", "-", "--save", tmp_path / "a")
    assert found.exit_code == 0, found.output
    assert found.stdout.lower().startswith("<!doctype html>")
    assert found.stdout.rstrip().endswith("</html>")
    assert found.stderr.splitlines()[-1] == f"wrote {tmp_path / 'a.safetensors'}"
    fails(*some, "--html", "-", "--json", "-", say="standard output takes --json already")
    fails(*some, "--save", "-", say="--save: expected the name of a file")


def test_a_disk_that_is_full_is_one_line_and_keeps_the_old_file(texts, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    page = tmp_path / "page.html"
    page.write_text("the old page", encoding="utf-8")
    monkeypatch.setattr(os, "fsync", full)
    some = ("explain", "--model", texts, "--text", "A dull film", "--method", "chefer")
    fails(*some, "--html", page, say=f"No space left on device; the file is as it was: '{page}'", code=1)
    assert page.read_text(encoding="utf-8") == "the old page"


def test_a_bad_line_is_told_and_the_others_are_explained(texts, tmp_path):
    (tmp_path / "many.txt").write_bytes(b"A dull film\n\xe2\x80\x8b\ntr\xe8s\nSuperb\xe2\x80\xa8indeed\n")
    for more in (("--json", "-"), ("--json", "-", "--method", "rollout")):
        found = run("explain", "--model", texts, "--lines", tmp_path / "many.txt", *more)
        assert found.exit_code == 1
        assert [one["text"] for one in json.loads(found.stdout)["inputs"]] == ["A dull film", "Superb\u2028indeed"]
        told = found.stderr.splitlines()
        assert "line 3: byte 3, 0xe8" in told[0]
        assert "line 2: the text is empty" in told[1]
        assert told[2] == "error: 2 lines were left out"
    (tmp_path / "none.txt").write_text("\u200b\n")
    found = run("explain", "--model", texts, "--lines", tmp_path / "none.txt")
    assert found.exit_code == 2
    assert "none of its lines can be explained" in found.stderr


def test_pairs(texts):
    pairs = ("--pair", "A dull film", "It is long", "--pair", "Superb", "Fine")
    found = run("explain", "--model", texts, *pairs, "--json", "-")
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)["inputs"]
    wanted = explained(texts)([("A dull film", "It is long"), ("Superb", "Fine")])
    assert [one["tokens"] for one in told] == [list(tokens) for tokens in wanted.tokens]
    assert told[1]["scores"] == pytest.approx(wanted.scores[1][wanted.mask[1]].tolist())
    fails("explain", "--model", texts, "--pair", "alone", say="requires 2 arguments")
    fails("explain", "--model", texts, *pairs, "--text", "a", say="give --text, --file or --lines")


def test_standard_input_is_read_once(texts):
    fails("explain", "--model", texts, "--lines", "-", "--file", "-", say="standard input can be read once")


def test_a_checkpoint_with_code_of_its_own(texts, tmp_path):
    explained(texts).model.save_pretrained(tmp_path)
    minilm_tokenizer().save_pretrained(tmp_path)
    told = json.loads((tmp_path / "config.json").read_text())
    told["auto_map"] = {"AutoModelForSequenceClassification": "modeling_own.OwnModel"}
    (tmp_path / "config.json").write_text(json.dumps(told))
    fails("explain", "--model", tmp_path, "--text", "a", say="(modeling_own.OwnModel), which is not run")
    (tmp_path / "config.json").write_text("{")
    fails("explain", "--model", tmp_path, "--text", "a", say=f"{tmp_path}")


def test_a_class_that_is_no_number_python_reads(texts):
    for target in ("²", "9" * 5000):
        fails("explain", "--model", texts, "--text", "a", "--target", target, say="no class of that name")


def test_scores_by_sentence_reach_every_output(texts, tmp_path):
    page, numbers = tmp_path / "page.html", tmp_path / "plain.json"
    text = "The film was good. A dull evening!"
    found = run("explain", "--model", texts, "--text", text, "--by", "sentence", "--html", page, "--json", numbers)
    assert found.exit_code == 0, found.output
    assert "Each sentence has the sum of its tokens." in found.stdout
    assert 'title="' in page.read_text(encoding="utf-8")
    assert page.read_text(encoding="utf-8").count('class="calig-w" data-u') == 2
    document = json.loads(numbers.read_text(encoding="utf-8"))
    assert (document["by"], document["how"]) == ("sentence", "sum")
    units = document["inputs"][0]["units"]
    assert [unit["text"] for unit in units] == ["The film was good.", "A dull evening!"]
    wanted = explained(texts)(text).by("sentence").scores[0].tolist()
    assert [unit["score"] for unit in units] == pytest.approx(wanted, rel=1e-4, abs=1e-7)
    assert "by" not in json.loads(run("explain", "--model", texts, "--text", text, "--json", "-").stdout)


def test_units_that_are_not_there_are_told_before_the_work(texts, pictures):
    fails("explain", "--model", texts, "--text", "A film", "--by", "letter", say='--by: expected one of "token"')
    fails("explain", "--model", texts, "--text", "A film", "--by", "patch", say="texts have no patches")
    image = ("--image", pictures / "noise.png")
    fails("explain", "--model", pictures, *image, "--by", "word", say="images have no words")
    fails("explain", "--model", "no/where", *image, "--by", "sentence", say="images have no sentences")


def test_a_long_text_is_explained_in_windows(texts, tmp_path):
    (tmp_path / "long.txt").write_text("a dull evening and " * 40, encoding="utf-8")
    options = (
        "--long-texts",
        "windows",
        "--stride",
        8,
        "--html",
        tmp_path / "page.html",
        "--json",
        tmp_path / "a.json",
    )
    call = ("explain", "--model", texts, "--file", tmp_path / "long.txt", "--text", "short", "--save", tmp_path / "a")
    found = run(*call, *options)
    assert found.exit_code == 0, found.output
    a = Attribution.load(tmp_path / "a")
    assert [t.windows for t in a.texts] == [1, 3]
    assert a.settings.windows == {"tokens": 64, "stride": 8}
    told = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["inputs"]
    assert [one["windows"] for one in told] == [1, 3]
    assert "the mean of 3 windows" in (tmp_path / "page.html").read_text(encoding="utf-8")
    call = ("explain", "--model", texts, "--text", "a film")
    fails(*call, "--long-texts", "all", say="long_texts: expected one of")
    fails(*call, "--stride", -1, say="stride: expected")
    fails(*call, "--stride", 3, say="stride: it is the overlap of windows")
