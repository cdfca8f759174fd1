"""On a GPU that is feigned by the CPU: the answer, waits of the host, and kernel launches of a wave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.feigned_gpu import feigned_gpu, there
from helpers.native_passes import block, points_of, whole_of
from helpers.real_models import seeded
from helpers.tiny_models import SIZES, ids, inputs, tiny
from torch import Tensor

from calig_fast import Explainer, explain
from calig_fast.engines.base import PathPoints
from calig_fast.engines.native import engine
from calig_fast.engines.native.path_batch import BatchKey, BlockRunner, to_device
from calig_fast.engines.native.run import NativeRun
from calig_fast.ops import extension
from calig_fast.ops.packing import Packed
from calig_fast.pipeline import integrate

pytestmark = pytest.mark.skipif(extension().module is None, reason="needs the compiled module")
FIXED: dict[str, Any] = {"engine": "native", "n_steps": 8, "quadrature": "gausslegendre", "target": 0}
MOST_WAITS, MOST_LAUNCHES, MOST_OF_A_BLOCK = 8, 260, 20
MODES: dict[str, dict[str, Any]] = {
    "default": {},
    "ig": {"method": "ig"},
    "scores": {"guarantee": "scores"},
    "one pass": {"method": "gradient_x_input"},
}
BACKENDS = ("auto", "cuda", "triton", "torch")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["bert", "vit", "dinov2-gated"])
def test_explain_runs_on_one_device_and_gives_the_cpus_answer(kind: str, backend: str) -> None:
    wanted = explain(tiny(kind), inputs(kind), **FIXED)
    with feigned_gpu():
        found = explain(there(tiny(kind)), there(inputs(kind)), backend=backend, **FIXED)
    assert found.backend.split("+")[0] == ("cuda" if backend == "auto" else backend)
    for name in ("scores", "layer_scores"):
        torch.testing.assert_close(
            getattr(found, name), getattr(wanted, name), rtol=1e-4, atol=1e-6, equal_nan=True
        )  # fmt: skip


def test_a_tensor_elsewhere_is_refused() -> None:
    with feigned_gpu(), pytest.raises(RuntimeError, match="expected all tensors on cuda:0"):
        there(torch.ones(2)) + torch.ones(2)


def of_explain(model: Any, call: Any, **options: Any) -> tuple[int, int]:
    """Waits and launches of an explanation by an `Explainer` that has seen the input."""
    with feigned_gpu() as counts:
        explainer = Explainer(there(model), **{**FIXED, **options})
        explainer(there(call))
        counts.waits.clear()
        counts.launches.clear()
        explainer(there(call))
        return counts.waits.total(), counts.launches.total()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("call", [ids(15), ids(9, 6, 15)], ids=["one", "padded"])
def test_an_explanation_waits_four_times_and_once_a_round(
    mode: str, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = []

    def counted(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def call(*args: Any) -> Any:
            rounds.append(name)
            return real(*args)

        monkeypatch.setattr(owner, name, call)

    counted(NativeRun, "integrand")
    if mode == "scores":  # the effect of a round on the scores is read too
        counted(integrate, "score_errors")
    with feigned_gpu() as counts:
        explainer, rows = Explainer(there(tiny("bert")), engine="native", **MODES[mode]), there(call)
        for _ in range(3):
            rounds.clear()
            counts.waits.clear()
            explainer(rows)
    assert counts.waits.total() <= 4 + len(rounds), counts.waits
    assert len(call["input_ids"]) > 1 or counts.waits.total() <= MOST_WAITS


class Stale:
    """Records nothing: what it replays stays as it was."""

    def record(self, run: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        return run(), lambda: None


def test_padded_batches_wait_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    waits, real, recorder = [], NativeRun._wave, Stale()
    with feigned_gpu() as counts:

        def wave(self: NativeRun, points: PathPoints) -> Tensor:
            before = counts.waits.total()
            found = real(self, points)
            waits.append(counts.waits.total() - before)
            return found

        monkeypatch.setattr(NativeRun, "_wave", wave)
        monkeypatch.setattr(engine, "recorder_for", lambda *args: recorder)
        explainer = Explainer(there(tiny("bert")), **FIXED)
        for n in (15, 12, 14, 13):
            explainer(there(ids(n)))
    ((taken, _),) = explainer._memory.engines._kept
    assert isinstance(taken, engine.NativeEngine)
    assert len(taken.workspace.padded_graphs.forward.keys) == 1
    assert waits[-2:] == [0, 0], "the head is noted in the first passes alone"


def test_waits_depend_on_neither_tokens_nor_layers() -> None:
    from transformers import BertConfig, BertForSequenceClassification

    deep = seeded(BertForSequenceClassification(BertConfig(**{**SIZES, "num_hidden_layers": 6})), seed=3)
    of_15 = of_explain(tiny("bert"), ids(15))[0]
    assert of_15 == of_explain(tiny("bert"), ids(30))[0] == of_explain(deep, ids(15))[0]
    assert of_15 <= MOST_WAITS


def deep(depth: int, first_only: bool, kind: str, dtype: torch.dtype) -> BlockRunner:
    stack = tuple(block(kind, dtype, seed=seed) for seed in range(depth))
    return BlockRunner(stack, first_only, linear=True, backend="auto", dtype=dtype)


def of_wave(one: BlockRunner, batch: int, nodes: tuple[float, ...]) -> tuple[int, int]:
    """Waits and launches of a wave with points at every block, its transfer included."""
    packed = Packed.of(torch.ones(batch, 7, dtype=torch.bool))
    points = points_of(batch, dict.fromkeys(range(len(one.stack)), nodes))
    with torch.no_grad():
        whole = whole_of(one, packed)
        hidden, projections, _, _ = whole.up(torch.randn(2 * batch, 7, 12, dtype=one.dtype))
        ends, shape = whole.ends(hidden, projections), BatchKey.of(points, packed)
    with feigned_gpu() as counts, torch.no_grad():
        on_gpu, ends = there(one), there(ends)
        table = to_device(points, shape, ends.offsets)
        out, state = on_gpu.up(shape, table, ends)
        assert on_gpu._stack is not None, "the passes ran in Python"
        on_gpu.down(torch.ones_like(out), state, free=True)
        del counts.launches["ones_like"]  # the head's
        return counts.waits.total(), counts.launches.total()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["post-norm", "pre-norm"])
def test_a_wave_waits_for_nothing_and_launches_few_kernels(kind: str, dtype: torch.dtype) -> None:
    few = of_wave(deep(12, True, kind, dtype), 1, (0.5,))
    several = of_wave(deep(12, True, kind, dtype), 3, (0.25, 0.5, 0.75))
    assert few == several, "launches do not depend on the points"
    assert few[0] == 0
    assert few[1] <= MOST_LAUNCHES
    five, four = (of_wave(deep(depth, False, kind, dtype), 1, (0.5,))[1] for depth in (5, 4))
    assert five - four <= MOST_OF_A_BLOCK
