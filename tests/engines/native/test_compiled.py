"""The passes in C++ give the bits of the passes in Python, for every kind of block, dtype and layout."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import fields, is_dataclass, replace
from itertools import accumulate
from typing import Any

import pytest
import torch
from helpers.native_passes import (
    DEPTH,
    DTYPES,
    KINDS,
    in_python,
    packed_of,
    passes,
    points_of,
    runner,
    whole_of,
)
from helpers.tiny_models import inputs, tiny
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from calig_fast import explain
from calig_fast.engines.native import attention, compiled
from calig_fast.engines.native import linear as products
from calig_fast.engines.native.path_batch import BatchKey, BlockRunner, to_device
from calig_fast.ops import backend as backends
from calig_fast.ops import dispatch, extension
from calig_fast.ops.backend.base import Backend
from calig_fast.ops.packing import Packed

pytestmark = pytest.mark.skipif(extension().module is None, reason="needs the compiled module")


def same(found: Any, wanted: Any) -> None:
    assert type(found) is type(wanted) or isinstance(found, (list, tuple)), (found, wanted)
    if isinstance(found, Tensor):
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
        assert torch.equal(found, wanted), (found - wanted).abs().max()
    elif isinstance(found, (list, tuple)):
        assert len(found) == len(wanted)
        for f, w in zip(found, wanted, strict=True):
            same(f, w)


def compare(one: BlockRunner, layout: str, maps: Any) -> None:
    packed = packed_of(layout)
    found = passes(one, packed, maps)
    assert one._stack is not None, "the passes ran in Python"
    same(found, passes(in_python(one), packed, maps))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("first_only", "layout", "maps"),
    [
        (False, "whole", "gradient"),
        (False, "ragged", "positive_gradient"),
        (False, "ragged", "attention"),
        (False, "one token", None),
        (True, "whole", "positive_gradient"),
        (True, "ragged", "gradient"),
        (True, "one token", None),
    ],
)
def test_the_bits_of_the_passes_in_python(
    kind: str, dtype: torch.dtype, first_only: bool, layout: str, maps: str | None
) -> None:
    compare(runner(kind, dtype, first_only), layout, maps)


@pytest.mark.parametrize("kind", ["post-norm", "pre-norm, relu, scaled"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_other_choices(kind: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(runner(kind, dtype, False, linear=False), "ragged", "gradient")
    compare(runner(kind, dtype, True, backend="cpu"), "ragged", "gradient")
    monkeypatch.setattr(products, "_mkl_is_narrow", lambda: False)
    compare(runner(kind, dtype, False), "ragged", "gradient")
    monkeypatch.setattr(products, "_mkl_is_narrow", lambda: True)
    compare(runner(kind, dtype, False), "ragged", "gradient")


def test_maps_with_a_kernel_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_maps_apart", lambda *args: True)
    resolve, one = dispatch.Operation.resolve, runner("post-norm", torch.float32, False)

    def apart(self: dispatch.Operation, backend: str, tensors: Any) -> str:
        return "another" if self is compiled.MAPS else resolve(self, backend, tensors)

    with monkeypatch.context() as patch:
        patch.setattr(dispatch.Operation, "resolve", apart)
        assert one._stack is not None
    for kind in ("gradient", "positive_gradient"):
        compare(one, "ragged", kind)


def peak(run: Any) -> int:
    """The most bytes of tensors that exist at a time during a call."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    changes = [event.nbytes() for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    return max(accumulate(changes))


@pytest.mark.parametrize("kind", ["post-norm", "pre-norm, gated, scaled"])
def test_no_more_memory_is_taken_than_in_python(kind: str) -> None:
    one, packed = runner(kind, torch.float32, True), Packed.of(torch.ones(4, 50, dtype=torch.bool))
    points = points_of(4)
    shape = BatchKey.of(points, packed)
    table = to_device(points, shape, packed.offsets)

    @torch.no_grad()
    def wave(by: BlockRunner) -> None:
        out, state = by.up(shape, table, ends)
        by.down(torch.ones_like(out), state, free=True)

    @torch.no_grad()
    def ends_of(by: BlockRunner) -> Any:
        whole = whole_of(by, packed)
        hidden, projections, saved, out = whole.up(torch.ones(8, 50, 12))
        ends = whole.ends(hidden, projections)
        whole.derivatives(saved, torch.ones_like(out), ends, maps="gradient", free=True)
        return ends

    ends, few = ends_of(one), 2048  # bytes: gradients of one number a point, and tables
    for run in (wave, ends_of):
        run(one)
        assert peak(lambda run=run: run(one)) <= peak(lambda run=run: run(in_python(one))) + few


class Operators(TorchDispatchMode):
    """Counts the calls of operators by name."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen[func.__name__] += 1
        return func(*args, **(kwargs or {}))


def test_a_pass_is_one_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    one, packed = runner("post-norm", torch.float32, True), Packed.of(torch.ones(2, 5, dtype=torch.bool))
    with torch.no_grad():
        whole, x = whole_of(one, packed), torch.randn(4, 5, 12)
        hidden, projections, _, _ = whole.up(x)
        ends, points = whole.ends(hidden, projections), points_of(2)
        shape = BatchKey.of(points, packed)
        table = to_device(points, shape, packed.offsets)
        rows = whole.everything.pack(x)
        monkeypatch.setattr(Packed, "pack", lambda self, values: rows)
        with Operators() as operators:
            out, state = one.up(shape, table, ends)
            one.down(out, state, free=True)
            _, _, saved, out = whole.up(x)
            whole.derivatives(saved, out, ends, maps="gradient", free=True)
    names = [f"{kind}_{way}.default" for kind in ("wave", "whole") for way in ("up", "down")]
    assert operators.seen == Counter(names)


@pytest.mark.parametrize("first_only", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_no_value_is_read_on_a_device(kind: str, first_only: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On PyTorch's device without values, to read one raises; the operations' shapes come from their `fake`."""
    one, packed = runner(kind, torch.float32, first_only), packed_of("ragged")
    wanted = passes(in_python(one), packed, "gradient")
    monkeypatch.setattr(compiled, "_is_compiled", lambda rows, backend: True)
    there = replace(one, stack=on_meta(one.stack))
    assert shapes(passes(there, on_meta(packed), "gradient")) == shapes(wanted)
    assert there._stack is not None


def on_meta(x: Any) -> Any:
    """The same without values."""
    if isinstance(x, Tensor):
        return x.to("meta")
    if is_dataclass(x) and not isinstance(x, type):
        return replace(x, **{f.name: on_meta(getattr(x, f.name)) for f in fields(x)})
    return tuple(map(on_meta, x)) if isinstance(x, tuple) else x


def shapes(x: Any) -> Any:
    """Shapes and dtypes of all tensors."""
    return (x.shape, x.dtype) if isinstance(x, Tensor) else list(map(shapes, x)) if isinstance(x, (list, tuple)) else x


def test_rows_without_a_compiled_kernel_pass_in_python() -> None:
    assert runner("post-norm", torch.float16, False)._stack is None
    assert runner("post-norm", torch.float16, False, backend="cpu")._stack is None
    assert runner("post-norm", torch.float32, False, backend="torch")._stack is None
    one, packed = runner("post-norm", torch.float16, False), packed_of("ragged")
    same(passes(one, packed, "gradient"), passes(in_python(one), packed, "gradient"))


@pytest.mark.parametrize(
    ("attention_by", "others_by", "wanted"),
    [("triton", "cuda", True), ("triton", "triton", False), ("torch", "cuda", False), ("cuda", "cuda", True)],
)
def test_on_a_gpu_the_attention_may_be_tritons(
    attention_by: str, others_by: str, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, registered = (compiled.ATTENTION_FORWARD, compiled.ATTENTION_BACKWARD), list[Any]()
    monkeypatch.setattr(
        dispatch.Operation, "resolve", lambda self, backend, tensors: attention_by if self in both else others_by
    )
    monkeypatch.setattr(compiled, "_register", registered.append)
    with FakeTensorMode():
        assert compiled._is_compiled(torch.empty(0, 3, 1, 8, device="cuda"), "cuda") == wanted
    assert registered == (list(both) if (attention_by, wanted) == ("triton", True) else [])


def test_a_backends_kernel_is_registered_with_pytorch() -> None:
    code = """
import torch
from calig_fast.ops.attention_forward import OPERATION
OPERATION.register("torch", "SparseCPU")
assert torch._C._dispatch_has_kernel_for_dispatch_key("calig_fast::attention_forward", "SparseCPU")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_environment_chooses_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALIG_FAST_BACKEND", "torch")
    assert runner("post-norm", torch.float32, False)._stack is None


def test_a_backend_from_elsewhere_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    norm = "calig_fast.ops.norm_backward"
    theirs = Backend("theirs", 99, lambda: None, lambda package: f"{norm}.pytorch" if package == norm else None)
    monkeypatch.setattr(backends, "_registered", {"theirs": theirs})
    backends.known.cache_clear()
    try:
        assert runner("post-norm", torch.float32, False)._stack is None
    finally:
        monkeypatch.undo()
        backends.known.cache_clear()
    assert runner("post-norm", torch.float32, False)._stack is not None


def test_where_gradients_are_recorded_the_passes_run_in_python() -> None:
    x = torch.zeros(2, 12)
    assert not compiled.takes(x)
    with torch.no_grad():
        assert compiled.takes(x)
        assert not compiled.takes(torch.nn.Parameter(x))


def test_weights_of_a_subclass_keep_their_own_operations() -> None:
    class Scaled(Tensor):
        pass

    one = runner("post-norm", torch.float32, False)
    first = one.stack[0]
    theirs = replace(first, up=replace(first.up, weight=first.up.weight.as_subclass(Scaled)))
    assert replace(one, stack=(theirs, *one.stack[1:]))._stack is None
    mine = replace(first, up=replace(first.up, weight=torch.nn.Parameter(first.up.weight)))
    assert replace(one, stack=(mine, *one.stack[1:]))._stack is not None


def test_freed_tensors_are_not_read_again() -> None:
    one, packed = runner("pre-norm", torch.float32, False), Packed.of(torch.ones(2, 5, dtype=torch.bool))
    with torch.no_grad():
        whole = whole_of(one, packed)
        hidden, projections, saved, out = whole.up(torch.randn(4, 5, 12))
        ends, points = whole.ends(hidden, projections), points_of(2)
        shape = BatchKey.of(points, packed)
        rows, state = one.up(shape, to_device(points, shape, packed.offsets), ends)
        one.down(rows, state, free=True)
        whole.derivatives(saved, out, ends, maps=None, free=True)
        with pytest.raises(RuntimeError, match="state: its saved tensors were freed"):
            one.down(rows, state, free=True)
        with pytest.raises(RuntimeError, match="state: its saved tensors were freed"):
            whole.derivatives(saved, out, ends, maps=None, free=True)


def test_arguments_that_do_not_fit_are_refused() -> None:
    one, packed = runner("post-norm", torch.float32, False), Packed.of(torch.ones(1, 5, dtype=torch.bool))
    with torch.no_grad():
        whole = whole_of(one, packed)
        hidden, projections, _, _ = whole.up(torch.randn(2, 5, 12))
        ends = whole.ends(hidden, projections)
        for layers, lengths, match in (
            ((0, DEPTH), (5, 5), "layers and lengths"),
            ((2, 0), (5, 5), "layers and lengths"),
            ((0,), (5, 5), "layers and lengths"),
            ((0, 1), (5, 4), "offsets"),
            ((0, 0), (5, 5), "table: expected .20. int64"),
        ):
            with pytest.raises(RuntimeError, match=match):
                one.up(BatchKey(layers, lengths), torch.zeros(8 * 2 + 2 + 2 * 2, dtype=torch.int64), ends)
        with pytest.raises(RuntimeError, match="low and high"):
            one.up(BatchKey((0,), (5,)), torch.zeros(12, dtype=torch.int64), replace(ends, low=()))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_runner_is_copied_without_its_state(copied: Any) -> None:
    one = runner("post-norm", torch.float32, False)
    assert one._stack is not None
    assert copied(one)._stack is not None


@pytest.mark.parametrize("kind", ["bert", "vit", "dinov2-gated", "albert", "clip"])
def test_explain_gives_the_same_bits(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = explain(tiny(kind), inputs(kind), engine="native")
    monkeypatch.setattr(compiled, "takes", lambda rows: False)
    wanted = explain(tiny(kind), inputs(kind), engine="native")
    for name in ("scores", "layer_scores"):
        torch.testing.assert_close(getattr(found, name), getattr(wanted, name), rtol=0, atol=0, equal_nan=True)
