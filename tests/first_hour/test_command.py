"""The command as a new user types it."""

import csv
import json
import os
import subprocess
import sys

import pytest
from helpers.typed import fails, run

TEXTS = ["A fine film.", "Not a good film, yet a charming one.", "Dull."]


def completed(**environment):
    """The command as a shell calls it to complete a line."""
    return subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'calig'; from calig_fast.cli import app; app()"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def without(module):
    """The command in a process in which a package cannot be imported."""
    code = f"import sys; sys.modules[{module!r}] = None; from calig_fast.cli import app; app()"
    return [sys.executable, "-c", code]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "reviews.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["id", "review"], [1, TEXTS[0]], [2, TEXTS[1]], [3, ""], [4, TEXTS[2]]])
    return path


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_column_of_a_table(folder, table, tmp_path):
    out = tmp_path / "scores.csv"
    found = run("explain", "--model", folder, "--file", table, "--column", "review", "--out", out)
    assert found.exit_code == 1  # a row was left out
    assert "row 2: the text is empty" in found.stderr
    rows = rows_of(out)
    assert {row["input"] for row in rows} == {"0", "1", "2"}
    assert {"text", "score", "label", "word"} <= set(rows[0])
    fails(
        "explain",
        "--model",
        folder,
        "--file",
        table,
        "--column",
        "words",
        say='no column "words"; there are id, review',
    )


@pytest.mark.parametrize("kind", [".jsonl", ".parquet"])
def test_other_tables(kind, folder, tmp_path):
    path, out = tmp_path / f"in{kind}", tmp_path / f"out{kind}"
    if kind == ".jsonl":
        path.write_text("".join(json.dumps({"review": text}) + "\n" for text in TEXTS))
    else:
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.table({"review": TEXTS}), path)
    found = run("explain", "--model", folder, "--file", path, "--column", "review", "--out", out, "--by", "sentence")
    assert found.exit_code == 0, found.output
    if kind == ".jsonl":
        rows = [json.loads(line) for line in out.read_text().splitlines()]
    else:
        rows = parquet.read_table(out).to_pylist()
    assert [row["text"].strip() for row in rows if not row["special"]] == TEXTS


def test_a_table_without_its_column_is_hinted_at(folder, table):
    assert f"--file {table} --column NAME" in " ".join(
        run("explain", "--model", folder, "--lines", table).stderr.split()
    )


def test_pairs(folder, tmp_path):
    assert run("explain", "--model", folder, "--pair", TEXTS[0], TEXTS[1]).exit_code == 0
    path = tmp_path / "in.csv"
    path.write_text("a,b\nwho came,nobody came\n")
    typed = ("explain", "--model", folder, "--file", path, "--column", "a", "--pair-column", "b", "--json", "-")
    assert json.loads(run(*typed).stdout)["inputs"][0]["tokens"].count("[SEP]") == 2


def test_batches(folder, tmp_path):
    texts = [part for text in TEXTS for part in ("--text", text)]
    answers = []
    for size in ((), ("--batch-size", 2)):
        assert run("explain", "--model", folder, *texts, "--out", tmp_path / "a.csv", *size).exit_code == 0
        answers.append(rows_of(tmp_path / "a.csv"))
    assert [row["word"] for row in answers[0]] == [row["word"] for row in answers[1]]
    for one, other in zip(*answers, strict=True):
        assert float(one["score"]) == pytest.approx(float(other["score"]), rel=0.05, abs=1e-3)
    fails("explain", "--model", folder, *texts, "--batch-size", 0, say="--batch-size")


def test_the_id_of_a_cached_model(cached):
    assert run("explain", "--model", cached, "--text", TEXTS[0]).exit_code == 0
    fails("explain", "--model", "no/such", "--text", "a", say="no such folder, and the hub's cache holds no model")


def test_standard_input_and_output(folder):
    found = run("explain", "--model", folder, "--lines", "-", "--json", "-", stdin="\n".join(TEXTS))
    assert len(json.loads(found.stdout)["inputs"]) == 3


def test_a_dash_as_a_text_is_hinted_at(folder):
    answer = run("explain", "--model", folder, "--text", "-", "--json", "-", stdin="unread")
    assert json.loads(answer.stdout)["inputs"][0]["text"] == "-"
    assert "for standard input --lines -" in " ".join(answer.stderr.split())


def test_an_output_that_is_no_table(folder, tmp_path):
    fails("explain", "--model", folder, "--text", "a", "--out", tmp_path / "a.xlsx", say=".csv, .jsonl, .parquet")


def test_the_version():
    assert run("--version").stdout.startswith("calig_fast ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell):
    found = completed(_CALIG_COMPLETE=f"source_{shell}")
    assert found.returncode == 0, found.stderr
    assert "calig" in found.stdout


def test_the_module_completes_as_the_command():
    answer = subprocess.run(
        [sys.executable, "-m", "calig_fast"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "_CALIG_COMPLETE": "source_bash"},
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.rstrip().endswith(" calig")


def test_completion_knows_the_commands():
    found = completed(_CALIG_COMPLETE="complete_bash", COMP_WORDS="calig ex", COMP_CWORD="1")
    assert found.stdout.split() == ["explain"]


def test_the_help_needs_no_torch():
    found = subprocess.run([*without("torch"), "--help"], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    assert "explain" in found.stdout


@pytest.mark.parametrize("command", ["explain", "compare", "corpus", "estimate", "verify", "bench", "demo", "doctor"])
def test_the_help_of_a_command_needs_no_torch(command):
    found = subprocess.run([*without("torch"), command, "--help"], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr


def test_doctor_without_torch_says_what_to_install():
    found = subprocess.run([*without("torch"), "doctor"], capture_output=True, text=True, timeout=120)
    assert found.returncode == 1
    assert found.stderr.strip() == "error: PyTorch is not installed, and nothing runs without it: pip install torch"
    assert "  transformers" in found.stdout


def test_the_package_without_torch_says_what_to_install():
    code = "import sys; sys.modules['torch'] = None\nimport calig_fast\ncalig_fast.explain"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "calig_fast needs PyTorch, which is not installed: pip install torch" in found.stderr


def test_the_import_loads_no_package_of_models():
    loaded = "[n for n in ('torch', 'transformers', 'timm', 'matplotlib') if n in sys.modules]"
    code = f"import sys, calig_fast; print({loaded})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert found.stdout.strip() == "[]"
