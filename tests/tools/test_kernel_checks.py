"""The kernels' page is what its numbers say, they pass the gates, and the gates refuse what they are for."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tiny_models import inputs, tiny

from calig_fast import explain
from calig_fast.inputs import image_layout
from calig_fast.methods import score_error

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tools.kernel_checks import gates, kernels_page, roofline, tally
from tools.kernel_checks.occupancy import occupancy

ROOT = Path(__file__).resolve().parents[2]
RESULTS = json.loads((ROOT / "tools" / "kernel_checks" / "results.json").read_text())


def first(part: str, **wanted: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A way to the first row of a part that has some values."""
    return lambda results: next(r for r in results[part] if all(r[k] == v for k, v in wanted.items()))


def packed(results: dict[str, Any]) -> dict[str, Any]:
    rows = (k for k in results["cuda"] if k["op"] == "norm_backward" and gates.PACKED.search(k["name"]))
    return next(rows)


def half(results: dict[str, Any]) -> dict[str, Any]:
    rows = (k for k in results["cuda"] if k["op"] == "attention_gradient" and gates.HALF.search(k["name"]))
    return next(rows)


ATTENTION = first("triton", op="attention_forward", dtype="bfloat16", arch="sm_90")
BROKEN = {
    "a spill": (first("triton"), {"spills": 2}, "2 spills"),
    "local memory": (first("triton"), {"stack": 8}, "8 bytes of local memory"),
    "no wide load": (first("triton", op="norm_backward"), {"loads": [0, 9]}, "no 128-bit load"),
    "no wide store": (first("triton", op="norm_backward"), {"stores": [0, 9]}, "no 128-bit store"),
    "no tensor cores": (ATTENTION, {"tensor": 0}, "no tensor-core instruction"),
    "a spill in CUDA": (first("cuda"), {"spills": 4}, "4 bytes spilled"),
    "no wide access in CUDA": (packed, {"wide_accesses": 0}, "no 128-bit access"),
    "no tensor cores in CUDA": (half, {"tensor_products": 0}, "no tensor-core instruction"),
    "twins at odds": (lambda r: r["twins"]["tensor cores"], {"failed": "other bits"}, "tensor cores: other bits"),
    "a planted bug not found": (lambda r: r["planted"]["misaligned"], {"failed": "exit 0"}, "misaligned: exit 0"),
    "a race": (lambda r: r["sanitizers"]["thread"], {"failed": "data race"}, "data race"),
    "a wrong value": (lambda r: r["values"]["fuse_rollout"], {"failed": "error 1"}, "fuse_rollout: error 1"),
    "too many bytes": (first("traffic"), {"over_least": 1.11}, "1.11 times the least bytes"),
    "too many sectors": (first("traffic"), {"over_ideal": 1.16}, "1.16 times the least sectors"),
}


def test_the_page_is_what_the_numbers_say() -> None:
    new, known = gates.failures(RESULTS)
    assert new == []
    assert (ROOT / "docs" / "kernels.md").read_text() == kernels_page.page(RESULTS, known)


def test_every_exception_is_still_needed() -> None:
    _, known = gates.failures(RESULTS)
    assert set(known.values()) == set(gates.ALLOWED.values())


@pytest.mark.parametrize("name", BROKEN)
def test_the_gates_refuse(name: str) -> None:
    results = copy.deepcopy(RESULTS)
    where, values, said = BROKEN[name]
    where(results).update(values)
    new, _ = gates.failures(results)
    assert len(new) == 1
    assert said in new[0]


def test_what_was_not_run_is_not_refused() -> None:
    assert gates.failures({"versions": {}}) == ([], {})


@pytest.mark.parametrize(
    ("arch", "threads", "registers", "shared", "share"),
    [
        ("sm_80", 256, 32, 0, 1.0),  # 8 blocks of 8 warps
        ("sm_80", 256, 128, 0, 0.25),  # two blocks' registers
        ("sm_80", 256, 129, 0, 0.125),  # 136 are given out: one block's
        ("sm_90", 256, 32, 100 * 1024, 0.25),  # two blocks' shared memory
        ("sm_80", 32, 32, 0, 0.5),  # 32 blocks of a warp
        ("sm_80", 256, 32, 200 * 1024, 0.0),  # does not fit
        ("gfx942", 256, 128, 0, 0.5),  # 4 waves on each of 4 units, of 8
    ],
)
def test_occupancy(arch: str, threads: int, registers: int, shared: int, share: float) -> None:
    assert occupancy(arch, threads, registers, shared) == share


def test_the_roofline_is_what_its_numbers_say() -> None:
    results = json.loads((ROOT / "tools" / "kernel_checks" / "roofline.json").read_text())
    assert (ROOT / "docs" / "roofline.md").read_text() == roofline.page(results)


def test_a_product_is_tallied() -> None:
    a, b = torch.randn(6, 5), torch.randn(5, 7)
    with tally.Tally() as found:
        (a.T.T @ b).relu_()
    product, relu = found.calls
    assert (product.bytes, product.products, product.others) == (4 * (30 + 35 + 42), 2 * 6 * 5 * 7, 0)
    assert (relu.bytes, relu.products, relu.others) == (4 * 42, 0, 42)
    assert product.seconds(1e3, 4) == 420 / 1e3
    assert relu.seconds(1e3, 2) == pytest.approx(2 * 42 / tally.BANDWIDTH)


@pytest.mark.parametrize("kind", ["bert", "vit"])
def test_skipped_products_change_no_count(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call, found = inputs(kind, 1), []
    monkeypatch.setattr(score_error, "NEGLIGIBLE", -1.0)  # without products nothing adds up, which costs more calls
    # where patches lie is told by how they move, and without products nothing does
    monkeypatch.setattr(image_layout, "_patches_alone_move", lambda hidden, found: True)
    for skip in (False, False, True):  # the first looks at the model
        with tally.Tally(skip) as counted, tally.as_on_a_gpu():
            explain(tiny(kind), call, target=0, engine="native", quadrature="gausslegendre", n_steps=3)
        found.append(counted.summary())
    assert found[1] == found[2]
