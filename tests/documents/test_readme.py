"""The README says what is so; tests/documents/test_documents.py runs what stands in it."""

import json
import re

from helpers.documents import ROOT, fences

from benchmarks.accuracy import PARTS

README, ACCURACY, GLANCE = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/accuracy.md", "docs/at_a_glance.md")
)


def test_the_python_to_paste_says_what_the_text_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first = next(f.code for f in fences(ROOT / "README.md") if f.language == "python")
    assert len(first.splitlines()) < 10
    exec(compile(first, "README.md", "exec"), {})
    said = capsys.readouterr().out
    assert "superb" in said
    assert "onverged" in said
    assert (tmp_path / "why.html").stat().st_size > 10_000


def test_what_it_links_to_is_there():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_its_accuracy_is_the_committed_one():
    parts = json.loads((ROOT / "benchmarks/results/accuracy.json").read_text())["parts"]
    assert set(parts) == set(PARTS)
    for part in parts.values():
        worst, gradients = part["worst_true_error_of_converged"], part["mean_gradients"]
        told = (
            f"| {part['converged']} of {part['paths']} | {part['off_by_more_than_the_tolerance']} | {part['lied']} "
            f"| {worst:.1e} | {gradients:.0f} |"
        )
        assert told in ACCURACY


def test_the_targets_it_names_are_in_the_makefile():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)\b", README)) - {"alone"} <= targets


def test_its_faithfulness_is_the_committed_one():
    tasks = json.loads((ROOT / "benchmarks/results/faithfulness.json").read_text())["tasks"]
    told = GLANCE.replace("*", "")
    for name, method in (("calig, default", "calig"), ("IG at the embeddings", "ig"), ("random", "random")):
        scores = [
            tasks[t]["methods"][method]["score"]["mean"]
            for t in ("sentences", "reviews", "news", "hate", "fashion", "vit", "planted")
        ]
        assert f"| {name} | {' | '.join(f'{s:.2f}' for s in scores)} |" in told


def _told(row):
    ratios = [row[key]["median"] for key in ("ratio", "ratio_one_by_one") if key in row]
    return f"{row['cpu_seconds']['median']:.1f} s: {' and '.join(f'{r:.1f}' for r in ratios)}"


def test_its_times_are_committed_ones():
    files = (json.loads(path.read_text()) for path in (ROOT / "benchmarks/results").glob("*-thread*.json"))
    names = "native", "scores", "bf16", "ends"
    works = [file["works"] for file in files if {"minilm_128", "ragged"} <= file.get("works", {}).keys()]
    told = []
    for found in works:
        few, many = ({r["contender"]: r for r in found[name]["rows"]} for name in ("minilm_128", "ragged"))
        told.append([_told(rows[name]) for rows in (few, many) for name in names])
    assert any(all(line in GLANCE for line in lines) for lines in told)


def test_its_headlines_are_those_of_the_tables():
    parts = json.loads((ROOT / "benchmarks/results/accuracy.json").read_text())["parts"]
    part = parts[next(name for name in parts if "sentence" in name or "sentiment" in name)]
    words = " ".join(README.split())
    assert f"of {part['paths']} paths of 200 film sentences" in words
    assert f"{part['off_by_more_than_the_tolerance']} were off by more than that" in words
    assert part["lied"] == 0
    speed = re.search(r"([\d.]+) times faster than Captum at 50 nodes", words)[1]
    assert f"{speed} times faster" in GLANCE
    tasks = json.loads((ROOT / "benchmarks/results/faithfulness.json").read_text())["tasks"]
    ahead = [t["methods"]["calig"]["score"]["mean"] > t["methods"]["ig"]["score"]["mean"] for t in tasks.values()]
    assert (sum(ahead), len(ahead)) == (4, 7)
