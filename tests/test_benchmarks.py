"""The benchmark of explanations refuses wrong answers, counts what it says, and writes its page from the results."""

import json
import sys

import pytest
import torch

from benchmarks import bench_explain, measure, page, truth
from benchmarks.contenders import NAMES, Answer
from benchmarks.works import Work


def row(name, cpu, **more):
    seconds = {"median": cpu, "min": cpu, "max": 2 * cpu}
    return {
        "contender": name,
        "rounds": 3,
        "cpu_seconds": seconds,
        "wall_seconds": seconds,
        "ratio": {"median": 12 / cpu, "min": 10 / cpu, "max": 14 / cpu},
        "errors": [0.25, 0.0625],
        "gradients": 77,
        "rank_correlation": None,
        **more,
    }


def results(rows):
    about = {"processor": "Some Processor", "instruction_set": "AVX2", "threads": 1, "date": "2026-01-02"}
    work = {
        "title": "a model, an input",
        "layers": [0, 1],
        "inputs": 1,
        "inputs_with_truth": 1,
        "tokens": [5],
        "machine": {**about, "torch": "2.0", "transformers": "5.0", "captum": "0.9"},
        "native_against_oracle": 1e-7,
        "truth": "nearly exact",
        "captum_at_64_against_truth": [1e-6, 2e-6],
        "internal_batch_size": 8,
        "captum_padded_and_single_seconds": None,
        "fewest_nodes": [12, 8],
        "product_peak_flops": 9e10,
        "rows": rows,
    }
    return {"names": NAMES, "works": {"a_work": work}}


def test_a_gate_lets_small_errors_through_and_refuses_others():
    truth.gate("a check", 1e-5, 1e-5)
    for wrong in (1.1e-5, float("inf"), float("nan")):
        with pytest.raises(truth.RedGateError, match=r"a check.*no time is reported"):
            truth.gate("a check", wrong, 1e-5)


def test_a_red_gate_ends_the_benchmark_without_a_file(tmp_path, monkeypatch):
    wrong = Answer([torch.ones(2, 3)], None, None, 4)
    right = Answer([torch.ones(2, 3) * 1.1], None, None, 4)
    monkeypatch.setattr(truth, "ours", lambda *a, engine, **more: wrong if engine == "native" else right)
    call = {"input_ids": torch.ones(1, 3, dtype=torch.int64)}

    def answer(**call):
        return type("Output", (), {"logits": torch.zeros(1, 2)})

    work = Work("w", "a work", answer, "blocks", [call], "input_ids", [call["input_ids"]], [], (0, 1))
    monkeypatch.setitem(bench_explain.WORKS, "minilm_128", lambda: work)
    out = tmp_path / "result.json"
    monkeypatch.setattr(sys, "argv", ["bench_explain", "--work", "minilm_128", "--out", str(out)])
    with pytest.raises(SystemExit) as refused:
        bench_explain.main()
    assert "equal nodes: 9.1e-02 is above 1e-05" in str(refused.value.code)
    assert not out.exists()


def test_errors_are_the_worst_of_the_inputs_at_each_layer():
    wanted = [torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 2.0]])]
    got = [wanted[0] + torch.tensor([[0.0, 1.0], [0.0, 0.0]]), wanted[1] + torch.tensor([[0.1, 0, 0], [0, 0, 1.0]])]
    assert truth.errors(got, wanted) == pytest.approx([0.2, 0.5])


def test_operations_of_a_product_and_of_fused_attention():
    a, b = torch.rand(5, 7), torch.rand(7, 3)
    assert measure.matrix_flops(lambda: a @ b) == 2 * 5 * 7 * 3
    q = torch.rand(2, 4, 6, 8)
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    assert measure.matrix_flops(lambda: fused(q, q, q)) == 2 * 2 * 2 * 4 * 6 * 6 * 8


def test_operator_calls_are_counted():
    a = torch.rand(3)
    once, thrice = (measure.operator_calls(lambda n=n: [a.sin() for _ in range(n)]) for n in (1, 3))
    assert thrice == 3 * once > 0


def test_the_page_shows_every_figure_of_the_results(tmp_path):
    rows = [row("captum", 12.0), row("native", 1.5, extra_bytes=2**21, operator_calls=4321, share_of_peak=0.5)]
    (tmp_path / "machine.json").write_text(json.dumps(results(rows)))
    (tmp_path / "accuracy.json").write_text(json.dumps({"results": []}))
    path = tmp_path / "page.md"
    page.write(tmp_path, path)
    text = path.read_text()
    assert "| a_work | Some Processor | 1 | 12.00 | 1.50 | 8.0 | 2.5e-01 | - |" in text
    assert "## a_work: a model, an input" in text
    assert "Some Processor (AVX2), 1 thread, 2026-01-02" in text
    line = next(x for x in text.splitlines() if x.startswith(f"| {NAMES['native']} |"))
    cells = [c.strip() for c in line.strip("|").split("|")]
    want = ["2.5e-01", "1.50 (1.50-3.00)", "1.50 (1.50-3.00)", "8.00 (6.67-9.33)", "77", "2", "4321", "-", "50%"]
    assert cells[1:] == want
    assert len(page.COLUMNS) == len(cells)
    assert f"| {NAMES['native']} | 2.5e-01 | 6.2e-02 |" in text
    assert f"Not measured here: {NAMES['oracle']}" in text


def test_the_committed_page_is_made_from_the_committed_results(tmp_path):
    path = tmp_path / "page.md"
    page.write(bench_explain.RESULTS, path)
    assert page.PAGE.read_text() == path.read_text()
