"""The CUDA kernels without a GPU: right under the emulator, which finds what is planted; compiled without spills."""

from __future__ import annotations

import ctypes
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.large_problems import LONG_FLOOR, called, in_float64, longest
from helpers.real_models import seeded
from helpers.tiny_models import PICTURE, inputs, tiny

from calig_fast import explain, ops

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tools.kernel_checks import backend, build, compile, emulate, problems, traffic

pytestmark = pytest.mark.skipif(sys.platform != "linux" or build.compiler() is None, reason="needs Linux and g++")
needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("emulation")


@pytest.fixture(scope="module")
def library(folder: Path) -> ctypes.CDLL:
    return emulate.load(folder)


@pytest.mark.parametrize("op", problems.OPERATIONS)
def test_the_kernels_are_right_in_every_schedule(op: str, library: ctypes.CDLL) -> None:
    assert emulate.values(library, op) > 100


@pytest.mark.parametrize("op", problems.OPERATIONS)
def test_an_input_of_4096_tokens_is_right(op: str, library: ctypes.CDLL) -> None:
    args = longest(op)
    library.emulated_schedule(0, 0)
    found, exact = problems.problem(op, args).run(library), in_float64(op, args)
    plain = getattr(ops, op)(*args, backend="torch")
    floor = LONG_FLOOR if problems.floor(op) > problems.FLOOR else problems.FLOOR
    for g, w, p in zip(found, exact, plain if isinstance(plain, tuple) else (plain,), strict=True):
        mine, theirs = (float((x.double() - w).abs().max()) for x in (g, p))
        assert mine <= 2 * theirs + floor * torch.finfo(g.dtype).eps * float(w.abs().max())


@pytest.mark.parametrize("name", emulate.PLANTED)
def test_what_is_planted_is_found(name: str, folder: Path) -> None:
    emulate.planted(folder, name)


def test_tensor_cores_give_what_fma_gives(folder: Path) -> None:
    emulate.twins(folder)


def test_a_wrong_value_is_refused(library: ctypes.CDLL) -> None:
    _, args = next(problems.cases("norm_backward"))
    (out,) = problems.problem("norm_backward", args).run(library)
    assert problems.refusal("norm_backward", args, [out]) is None
    assert problems.refusal("norm_backward", args, [out * (1 + 1e-5)]) is not None


def test_little_more_than_the_least_is_moved(library: ctypes.CDLL) -> None:
    for found in traffic.measure(library):
        # a map too large to be held is read twice, since its denominator must be known first; small, its tables count
        most = 2.5 if "too large" in found.shape else 1.15
        if found.op == "attention_gradient":  # bound by arithmetic: each of the two tiles across reads its rows again
            most = 2
        assert found.over_ideal < most, found


def model(kind: str) -> Any:
    """A tiny model; "gated" has gated MLPs and scaled branches."""
    if kind != "gated":
        return tiny(kind)
    from transformers import Dinov2Config, Dinov2ForImageClassification

    config = Dinov2Config(**{**PICTURE, "mlp_ratio": 2}, use_swiglu_ffn=True)
    return seeded(Dinov2ForImageClassification(config), seed=3)


@pytest.mark.parametrize("kind", ["bert", "albert", "vit", "gated"])
def test_explain_gives_what_the_reference_gives(kind: str, library: ctypes.CDLL) -> None:
    one, call = model(kind), inputs(kind)
    wanted = explain(one, call, engine="native", backend="torch")
    with backend.emulated_cuda(library) as calls:
        found = explain(one, call, engine="native", backend="cuda")
    # PyTorch adds a branch that is scaled
    assert set(calls) == called("cuda") - ({"add_norm"} if kind == "gated" else set())
    assert (found.backend.split("+")[0], wanted.backend) == ("cuda", "torch")
    for name in ("scores", "layer_scores"):
        f, w = getattr(found, name), getattr(wanted, name)
        torch.testing.assert_close(f, w, rtol=1e-5, atol=1e-5 * float(w.abs().nan_to_num().max()), equal_nan=True)


def test_the_maps_by_themselves_take_the_positive_part_too(library: ctypes.CDLL) -> None:
    one, call = model("bert"), inputs("bert")
    wanted = explain(one, call, engine="native", method="chefer", backend="torch").scores
    with backend.emulated_cuda(library) as calls:
        found = explain(one, call, engine="native", method="chefer", backend="cuda").scores
    assert "attention_gradient" in calls
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6, equal_nan=True)


def test_outside_the_manager_nothing_is_patched(library: ctypes.CDLL) -> None:
    with backend.emulated_cuda(library):
        assert ops.resolve("cuda", torch.zeros(1)).startswith("cuda")
    with pytest.raises(RuntimeError, match="'cuda' cannot run"):
        ops.resolve("cuda", torch.zeros(1))


@needs_nvcc
@pytest.mark.parametrize("source", build.KERNELS, ids=lambda p: p.parent.name)
def test_nothing_spills(source: Path) -> None:
    found = compile.kernels(source, "sm_80")
    assert found
    assert [k for k in found if k.spills or k.stack] == []


@needs_nvcc
@pytest.mark.skipif(compile.cuobjdump() is None, reason="needs cuobjdump")
@pytest.mark.parametrize("architecture", compile.ARCHITECTURES)
def test_half_precision_is_multiplied_by_tensor_cores(architecture: str) -> None:
    (source,) = (s for s in build.KERNELS if s.parent.name == "attention_gradient")
    found = compile.kernels(source, architecture)
    assert [k for k in found if k.spills or k.stack] == []
    half = [k for k in found if "__half" in k.name or "bfloat16" in k.name]
    assert len(half) == 14
    assert all(k.tensor_products for k in half)
    # of the others, float32 whose user asked for TF32
    assert sum(bool(k.tensor_products) for k in found if k not in half) == 7
