"""The benchmark of explanations refuses wrong answers, counts what it says, and writes its page from the results."""

import copy
import json
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from helpers.small_work import bert
from helpers.tiny_models import ids, tiny
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import bench_explain, contenders, measure, memory, not_done, page, results, truth
from benchmarks.contenders import NAMES, Answer, Contender, Tuning, prepare
from benchmarks.works import Work
from calig_fast import ops
from calig_fast.methods.fusion import Fusion
from calig_fast.methods.rollout import rollout


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


def result_file(rows, **more):
    about = {"processor": "Some Processor", "instruction_set": "AVX2", "threads": 1, "date": "2026-01-02"}
    work = {
        "title": "a model, an input",
        "layers": [0, 1],
        "inputs": 1,
        "inputs_with_truth": 1,
        "tokens": [5],
        "warm": 12,
        "machine": {**about, "torch": "2.0", "transformers": "5.0", "captum": "0.9"},
        "native_against_oracle": 1e-7,
        "truth": "nearly exact",
        "captum_at_64_against_truth": [1e-6, 2e-6],
        "internal_batch_size": 8,
        "fewest_nodes": [12, 8],
        "single_nodes": 14,
        "product_peak_flops": {"PyTorch": 9e10, "ours": 2e11},
        "rows": rows,
    }
    return {"names": NAMES, "works": {"a_work": work}, **more}


def learned(explainer):
    return {kind: [cost.tolist() for cost in costs] for kind, costs in explainer._memory.calibration._costs.items()}


def test_a_gate_lets_small_errors_through_and_refuses_others():
    truth.gate("a check", 1e-5, 1e-5)
    for wrong in (1.1e-5, float("inf"), float("nan")):
        with pytest.raises(truth.RedGateError, match=r"a check.*no time is reported"):
            truth.gate("a check", wrong, 1e-5)


@pytest.mark.parametrize(("native", "red"), [(1.5e-5, False), (2.5e-5, True)])
def test_beyond_1e_5_the_native_engine_may_be_off_by_twice_the_oracle(monkeypatch, native, red):
    off = {("native", None): native, ("autograd", None): -1e-5, ("autograd", torch.float64): 0.0}
    answer = {key: [torch.ones(1, 1, dtype=torch.float64) * (1 + by)] for key, by in off.items()}
    monkeypatch.setattr(
        truth, "ours", lambda *_, engine, dtype=None, **__: SimpleNamespace(layers=answer[engine, dtype])
    )
    work = SimpleNamespace(name="a work", truths=[0])
    if red:
        with pytest.raises(truth.RedGateError, match="a work, native in float32"):
            truth.equal_nodes(work)
    else:
        assert truth.equal_nodes(work) == pytest.approx({"apart": 2.5e-5, "native": native, "oracle": 1e-5}, rel=1e-3)


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
    assert "equal nodes: 9.1e-02 is above 0e+00" in str(refused.value.code)
    assert not out.exists()


def test_what_was_timed_is_weighed_later(tmp_path, monkeypatch):
    out = tmp_path / "result.json"
    monkeypatch.setitem(bench_explain.WORKS, "minilm_128", bert)
    monkeypatch.setattr(sys, "argv", ["b", "--weigh-only", "--work", "minilm_128", "--out", str(out)])
    with pytest.raises(SystemExit, match="minilm_128 was not timed yet"):
        bench_explain.main()
    asked = []
    monkeypatch.setattr(memory, "extra", lambda name, contender, tuning: asked.append((contender, tuning)) or 2**20)
    timed = {"contender": "native", "cpu_seconds": measure.spread([1.5]), "ratio": measure.spread([8.0])}
    kept = {"internal_batch_size": 4, "fewest_nodes": [3, 2], "single_nodes": 3, "title": "a work"}
    out.write_text(json.dumps({"works": {"minilm_128": {**kept, "rows": [timed]}, "other": {"rows": []}}}))
    monkeypatch.setattr(bench_explain, "show", lambda *_: None)
    bench_explain.main()
    found = json.loads(out.read_text())["works"]
    row = found["minilm_128"]["rows"][0]
    assert asked == [("native", Tuning(4, (3, 2), 3))]
    assert row["extra_bytes"] == 2**20
    assert row["operator_calls"] > 100
    assert row["cpu_seconds"]["median"] == 1.5
    assert found["other"] == {"rows": []}


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


@pytest.mark.skipif(ops.backends()["cpu"] is not None, reason=f"cpu: {ops.backends()['cpu']}")
def test_operations_of_ours():
    a, b = torch.rand(5, 7), torch.rand(3, 7)
    assert measure.matrix_flops(lambda: ops.linear(a, b, backend="cpu")) == 2 * 5 * 7 * 3
    assert measure.matrix_flops(lambda: ops.linear(a, b.T, backward=True, backend="cpu")) == 2 * 5 * 7 * 3
    qkv, offsets = torch.rand(9, 3, 4, 8), torch.tensor([0, 6, 9])
    out, lse = ops.attention_forward(qkv, offsets, 6, 1.0, backend="cpu")
    pairs = 6 * 6 + 3 * 3
    assert measure.matrix_flops(lambda: ops.attention_forward(qkv, offsets, 6, 1.0, backend="cpu")) == 4 * pairs * 32
    back = (out, qkv, out, lse, offsets, 6, 1.0)
    assert measure.matrix_flops(lambda: ops.attention_backward(*back, backend="cpu")) == 10 * pairs * 32


def test_the_peak_is_of_both_products():
    peaks = measure.product_peaks()
    assert set(peaks) == {"PyTorch", "ours"}
    assert min(peaks.values()) > 1e9


def test_operator_calls_are_counted():
    a = torch.rand(3)
    once, thrice = (measure.operator_calls(lambda n=n: [a.sin() for _ in range(n)]) for n in (1, 3))
    assert thrice == 3 * once > 0


def test_memory_is_put_back_before_each_timed_call(monkeypatch):
    made, began = [], []

    class Watched(contenders.Explainer):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            made.append(self)

        def __call__(self, inputs, **options):
            began.append(learned(self))
            return super().__call__(inputs, **options)

    monkeypatch.setattr(contenders, "Explainer", Watched)
    contender = prepare("native", bert(), Tuning(8))
    assert began[0] == {}  # warm-up
    assert began[1] != {}
    after_warm_up = learned(made[0])
    assert after_warm_up != began[1]
    for _ in range(2):
        del began[:]
        measure.timed(contender)
        assert began == [after_warm_up, after_warm_up]  # nor does the second input know of the first


def test_what_resetting_takes_is_not_timed():
    order = []
    answer = Answer([], None, None, 0)
    contender = Contender(lambda: order.append("run") or answer, lambda: order.append("reset") or time.sleep(0.05))
    found, _, wall = measure.timed(contender)
    assert found is answer
    assert order == ["reset", "run"]
    assert wall < 0.05


def test_times_faster_is_counted_against_what_ran_once_in_every_round():
    seconds = {"captum_padded": [(12.0, 12.0)], "captum_one_by_one": [(6.0, 6.0), (4.0, 4.0)]}
    seconds["native"] = [(1.0, 1.0), (2.0, 2.0)]
    row = bench_explain.summary("native", seconds, "captum_padded")
    assert row["ratio"] == {"median": 9.0, "min": 6.0, "max": 12.0}
    assert row["ratio_one_by_one"] == {"median": 4.0, "min": 2.0, "max": 6.0}


def test_scores_are_held_against_the_converged_ones():
    work = bert(1)
    exact, found = (Answer([], [torch.tensor(x)], None, 1) for x in ([3.0, 4.0], [3.0, 4.5]))
    assert truth.score_error(work, found, exact) == pytest.approx(0.1)
    assert truth.score_error(work, Answer([], None, None, 1), exact) is None


def test_the_fewest_nodes_of_each_layer_and_of_all_alike(monkeypatch):
    meets = {0: {4, 6, 7}, 1: {3, 5, 7}}  # neither meets it at all numbers from its fewest on
    monkeypatch.setattr(
        truth, "_errors_at", lambda work, exact, n, layers: {i: 0.0 if n in meets[i] else 1.0 for i in layers}
    )
    assert truth.fewest_nodes(bert(1), Answer([], None, None, 0)) == ((4, 3), 7)


def test_extra_memory_is_the_growth_of_the_process():
    peak = memory.Peak()
    held = torch.ones(2**23)  # 32 MiB
    del held
    assert 30 * 2**20 < peak.extra() < 60 * 2**20


def test_work_left_out_changes_no_answer():
    work = bert(1)
    ready = not_done.explainer(work)
    found = [not_done.call(ready, work, switches) for switches in not_done.SWITCHES.values()]
    assert max(not_done.difference(f, found[0]) for f in found) < truth.SAME
    vector, matrices = not_done.rollouts(ready, work)
    assert not_done.apart(matrices(), vector()) < 1e-12


def test_the_product_of_the_maps_is_the_rollout():
    generator = torch.Generator().manual_seed(0)
    r, g = (torch.randn(1, 3, *shape, generator=generator, dtype=torch.float64) for shape in ((4,), (4, 4)))
    readout = torch.eye(4, dtype=torch.float64)[:1]
    wanted = rollout(r, g, torch.ones(1, 4, dtype=torch.bool), readout, Fusion(), backend="torch")[0][0]
    assert not_done.apart(not_done.matrix_rollout(r[0], g[0], readout[0], Fusion()), wanted) < 1e-12


def written(folder, rows, **more):
    (folder / "machine.json").write_text(json.dumps(result_file(rows, **more)))
    (folder / "accuracy.json").write_text(json.dumps({"parts": {}}))
    page.write(folder, folder / "page.md")
    return (folder / "page.md").read_text()


def cells_of(text, name):
    line = next(x for x in text.splitlines() if x.startswith(f"| {name} |"))
    return [c.strip() for c in line.strip("|").split("|")][1:]


def test_the_page_shows_every_figure_of_the_results(tmp_path):
    weighed = {"extra_bytes": 2**21, "operator_calls": 4321, "share_of_peak": 0.5, "score_error": 0.015}
    rows = [row("captum", 12.0), row("captum_single_n", 6.0), row("native", 1.5, **weighed), row("ends", 0.5)]
    text = written(tmp_path, rows)
    assert "| a_work | Some Processor | 1 | 12.00 | 1.50 | 8.0 | 4.0 | 2.5e-01 | - | 24.0 | - |" in text
    assert "## a_work: a model, an input" in text
    assert "Some Processor (AVX2), 1 thread, 2026-01-02" in text
    seconds = "1.50 (1.50-3.00)"
    want = ["2.5e-01", "1.5e-02", seconds, seconds, "8.00 (6.67-9.33)", "77", "2", "4321", "50%"]
    assert cells_of(text, NAMES["native"]) == want
    assert cells_of(text, NAMES["captum"])[-3:] == ["-", "-", "-"]
    assert f"| {NAMES['native']} | 2.5e-01 | 6.2e-02 |" in text
    assert "Nodes of (c): 14; of (c') by layer: 12, 8." in text
    assert "Warmed on 12 other inputs." in text
    assert f"Not measured here: {NAMES['oracle']}" in text
    assert "one padded batch;" not in text


def test_cells_for_missing_values_are_dashes():
    found = dict(zip(page.COLUMNS, page.cells(row("captum", 12.0)), strict=True))
    missing = {"error of scores", "than (a) one at a time", "extra MiB", "operator calls", "rho of scores", "of peak"}
    assert {name for name, cell in found.items() if cell == "-"} == missing


def test_columns_without_figures_are_left_out():
    rows = [row("captum", 12.0), row("native", 1.5, rank_correlation=0.5)]
    head = page.table(rows)[0]
    assert "rho of scores" in head
    assert "than (a) one at a time" not in head
    assert {len(line) for line in page.table(rows)} == {len(head)}


def test_a_batch_is_held_against_captum_both_ways(tmp_path):
    one = {"median": 3.0, "min": 2.0, "max": 4.0}
    rows = [row("captum_padded", 12.0, rounds=1), row("native", 1.5, ratio_one_by_one=one)]
    text = written(tmp_path, rows)
    assert "| a_work | Some Processor | 1 | 12.00 | 1.50 | 8.0 | - |" in text
    assert "3.00 (2.00-4.00)" in text
    assert f"One round of {NAMES['captum_padded']}; 3 of the others." in text
    assert NAMES["captum_one_by_one"] in text.partition("Not measured here:")[2]


def test_what_misses_its_promise_is_said(tmp_path):
    rows = [row("captum", 12.0), row("native", 1.5), row("scores", 1.0, score_error=0.03), row("bf16", 0.75)]
    text = written(tmp_path, rows)
    assert f"**{NAMES['bf16']} misses twice 0.04: 2.5e-01.**" in text
    assert f"**{NAMES['scores']} misses 0.02 in the scores: 3.0e-02.**" in text


def test_the_page_shows_memory_and_what_is_not_done(tmp_path):
    about = {"processor": "Some Processor", "instruction_set": "AVX2", "date": "2026-01-02"}
    mib = 2**20
    both = [
        {"contender": "Captum", "budget": None, "extra_bytes": [900 * mib, 1000 * mib, 1100 * mib]},
        {"contender": "ours", "budget": 32 * mib, "extra_bytes": [90 * mib, 100 * mib, 110 * mib]},
    ]
    spread = {"median": 0.5, "min": 0.5, "max": 0.5}
    left_out = {"switched_off": "a part", "cpu_seconds": spread, "with_everything_on": spread, "times": spread}
    more = {
        "memory": {"a_work": {"machine": about, "fixed_bytes": 70 * mib, "rows": both}},
        "not_done": {"a_work": {"machine": about, "steps": 8, "rounds": 7, "rows": [{**left_out, "difference": 1e-7}]}},
    }
    text = written(tmp_path, [row("captum", 12.0), row("native", 1.5)], **more)
    assert "| a_work | Captum | 1000 (900-1100) | 100% | - | - | - |" in text
    assert "| a_work | ours | 100 (90-110) | 10% | 32 + 70 | no | +8 |" in text
    assert "| a part | 500.00 | 500.00 | 0.50 (0.50-0.50) | 1.0e-07 |" in text


def test_results_are_added_to_what_is_there(tmp_path):
    path = tmp_path / "machine.json"
    for part, name in (("works", "a"), ("works", "b"), ("memory", "a"), ("works", "a")):
        results.add(path, part, {name: part})
    found = json.loads(path.read_text())
    assert found["works"] == {"a": "works", "b": "works"}
    assert found["memory"] == {"a": "memory"}


def test_the_committed_page_is_made_from_the_committed_results(tmp_path):
    path = tmp_path / "page.md"
    page.write(results.FOLDER, path)
    assert page.PAGE.read_text() == path.read_text()


def test_operations_are_those_of_the_counter_of_torch_where_it_runs():
    model, call = tiny("bert"), ids(9)
    with FlopCounterMode(display=False) as counter:
        model(**call)
    assert measure.matrix_flops(lambda: model(**call)) >= counter.get_total_flops() > 0
    eager = copy.deepcopy(model)
    eager.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter:
        eager(**call)
    assert measure.matrix_flops(lambda: eager(**call)) == counter.get_total_flops()
