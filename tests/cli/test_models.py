"""`calig models`: the architectures that were tried, chosen by words and engine; the page has the same."""

import json
from pathlib import Path

from helpers.typed import fails, run

from calig_fast.cli.models import TRIED, Engine

TOLD = json.loads(TRIED.read_text(encoding="utf-8"))["models"]
PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def names(found):
    return [line.split()[1] for line in found.stdout.splitlines()[:-1]]


def test_all_of_them_and_a_count():
    found = run("models")
    assert found.exit_code == 0, found.output
    lines = found.stdout.splitlines()
    assert len(lines) == len(TOLD) + 1 > 250
    native = sum(row["engine"] == "native" for row in TOLD)
    assert f"{native} native" in lines[-1]
    assert native >= 74


def test_words_and_an_engine_choose():
    found = run("models", "RoBERTa", "text/albert", "--engine", "native")
    chosen = names(found)
    assert {"text/albert", "text/roberta", "text/xlm-roberta-xl"} <= set(chosen)
    assert all("roberta" in name or name == "text/albert" for name in chosen)
    assert names(run("models", "deberta", "--engine", "native")) == ["text/deberta", "text/deberta-v2"]
    assert names(run("models", "diffllama", "--engine", "autograd")) == ["text/diffllama"]
    assert "rotate queries and keys" in run("models", "diffllama").stdout


def test_as_json():
    told = json.loads(run("models", "mpnet", "--json", "-").stdout)
    assert [row["name"] for row in told["models"]] == ["text/mpnet"]
    assert set(told["packages"]) == {"transformers", "timm"}


def test_names_that_no_model_has():
    fails("models", "nowhere", say="models: no architecture that was tried has nowhere in its name")
    assert run("models", "--engine", "fast").exit_code == 2


def test_every_row_says_why_or_by_which_family():
    for row in TOLD:
        assert row["engine"] in list(Engine)
        assert bool(row["why"]) is (row["engine"] != "native"), row
        assert row["family"] or row["engine"] != "native"


def test_the_page_has_every_row():
    page = PAGE.read_text(encoding="utf-8")
    for row in TOLD:
        assert f"| {row['name'].partition('/')[2]} | {row['engine']} |" in page
