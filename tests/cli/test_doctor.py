"""`calig demo`, `calig doctor`, and the command as a module."""

import json
import subprocess
import sys

import torch
from helpers.typed import fails, run

import calig_fast
from calig_fast.cli.doctor import PACKAGES


def test_doctor_says_what_is_installed_and_what_runs():
    found = run("doctor")
    assert found.exit_code == 0
    assert f"torch {torch.__version__.split('+')[0]}" in found.stdout
    for name in PACKAGES:
        assert f"  {name} " in found.stdout
    assert "backend torch" in found.stdout
    assert "instruction sets" in found.stdout


def test_as_a_module():
    found = subprocess.run([sys.executable, "-m", "calig_fast", "--help"], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    for command in ("explain", "demo", "models", "doctor"):
        assert command in found.stdout
    wrong = subprocess.run(
        [sys.executable, "-m", "calig_fast", "explain", "--model", "/nowhere", "--text", "a"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert wrong.returncode == 2
    assert wrong.stderr.strip().splitlines()[-1].startswith("error: ")  # a warning may come first
    assert "no such folder" in wrong.stderr
    assert wrong.stdout == ""


def test_doctor_as_json():
    told = json.loads(run("doctor", "--json", "-").stdout)
    assert told["backends"]["torch"] is None
    assert told["packages"]["torch"] == torch.__version__.split("+")[0]
    assert "bert" in told["families"]


def test_help_names_the_exit_codes_and_every_command():
    found = run("--help")
    assert found.exit_code == 0
    for word in ("explain", "serve", "compare", "bench", "demo", "models", "doctor", "Exit codes"):
        assert word in found.stdout


def test_the_version():
    found = run("--version")
    assert found.exit_code == 0
    assert found.stdout == f"calig_fast {calig_fast.__version__}\n"


def test_doctor_tells_the_engine_of_a_saved_model(texts, pictures):
    for folder, family in ((texts, "bert"), (pictures, "vit")):
        found = run("doctor", "--model", folder)
        assert found.exit_code == 0, found.output
        assert found.stdout.splitlines()[-1] == f"model {folder}: family {family}, engine native"
        told = json.loads(run("doctor", "--model", folder, "--json", "-").stdout)
        assert told["model"] == {"family": family, "engine": "native", "why": ""}


def test_doctor_tells_why_a_model_runs_by_autograd(tmp_path):
    """No tokenizer is needed."""
    from transformers import DiffLlamaConfig, DiffLlamaForSequenceClassification

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    DiffLlamaForSequenceClassification(DiffLlamaConfig(**sizes, vocab_size=60)).save_pretrained(tmp_path)
    found = run("doctor", "--model", tmp_path)
    assert found.exit_code == 0, found.output
    last = found.stdout.splitlines()[-1]
    why = "no family reads it; it has positions that rotate queries and keys"
    assert last.startswith(f"model {tmp_path}: engine autograd, because {why}")


def test_doctor_of_a_timm_model(tmp_path):
    import timm
    from timm.models import save_for_hf

    save_for_hf(timm.create_model("test_vit", num_classes=3), tmp_path, model_config={"num_classes": 3})
    last = run("doctor", "--model", tmp_path).stdout.splitlines()[-1]
    assert last == f"model {tmp_path}: family timm_vit, engine native"


def test_doctor_of_no_model(tmp_path):
    fails("doctor", "--model", tmp_path / "nowhere", say="no such folder")
    fails("doctor", "--model", tmp_path, say=str(tmp_path))
