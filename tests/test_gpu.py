"""On a GPU: an explanation equals the CPU's, for every family, method and dtype, by every backend that runs there.

CALIG_FAST_TEST_DEVICE=cpu runs them all on a CPU instead, to see whether the tests themselves are right.
"""

from __future__ import annotations

import copy
import os
from typing import Any

import pytest
import torch
from helpers.tiny_models import IMAGE, TEXT, ids, inputs, tiny
from torch import Tensor
from torch.utils._pytree import tree_map_only

from calig_fast import Explainer, explain, ops
from calig_fast.methods.registry import methods

DEVICE = os.environ.get("CALIG_FAST_TEST_DEVICE", "cuda")
BACKENDS = [name for name in ("torch", "triton", "cuda") if ops.backends()[name] is None]
FIXED: dict[str, Any] = {"engine": "native", "n_steps": 8, "quadrature": "gausslegendre", "target": 0}

pytestmark = pytest.mark.skipif(
    DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a GPU that torch can use"
)


def there(x: Any) -> Any:
    """Tensors on the device."""
    return tree_map_only(Tensor, lambda t: t.to(DEVICE), x)


def on_device(kind: str) -> tuple[Any, Any]:
    """A family's tiny model and its inputs."""
    return copy.deepcopy(tiny(kind)).to(DEVICE), there(inputs(kind))


def far(found: Tensor, wanted: Tensor) -> float:
    """The largest error, in parts of the largest value."""
    difference = (found.cpu().double() - wanted.double()).abs().nan_to_num().max()
    return float(difference / wanted.abs().nan_to_num().max())


def close(found: Any, wanted: Any, most: float = 1e-4) -> None:
    for name in ("scores", "layer_scores"):
        assert torch.equal(getattr(found, name).cpu().isnan(), getattr(wanted, name).isnan())
        assert far(getattr(found, name), getattr(wanted, name)) < most, name


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", [*TEXT, *IMAGE])
def test_explain_on_a_gpu_is_that_on_the_cpu(kind: str, backend: str) -> None:
    model, call = on_device(kind)
    wanted = explain(tiny(kind), inputs(kind), backend="torch", **FIXED)
    close(explain(model, call, backend=backend, **FIXED), wanted)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("method", methods())
@pytest.mark.parametrize("kind", ["bert", "vit"])
def test_every_method(kind: str, method: str, backend: str) -> None:
    options = {**FIXED, "engine": "auto", "method": method}
    model, call = on_device(kind)
    wanted = explain(tiny(kind), inputs(kind), backend="torch", **options)
    close(explain(model, call, backend=backend, **options), wanted)


@pytest.mark.parametrize("kind", ["bert", "vit"])
def test_the_oracle_too(kind: str) -> None:
    options = {**FIXED, "engine": "autograd"}
    model, call = on_device(kind)
    close(explain(model, call, **options), explain(tiny(kind), inputs(kind), **options))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("baselines", ["pad", "zeros"])
def test_default_settings_over_ragged_texts(baselines: str, backend: str) -> None:
    call, model = ids(9, 6, 3, 8), copy.deepcopy(tiny("bert")).to(DEVICE)
    wanted = explain(tiny("bert"), call, target="all", baselines=baselines, tolerance=1e-3)
    found = explain(model, there(call), target="all", baselines=baselines, tolerance=1e-3, backend=backend)
    assert found.source.tolist() == wanted.source.tolist()
    # a path may be refined once more or less
    close(found, wanted, 1e-2)


@pytest.mark.parametrize("kind", ["bert", "vit"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_another_dtype_is_no_further_off_than_on_the_cpu(kind: str, dtype: torch.dtype) -> None:
    model, call = on_device(kind)
    exact = explain(tiny(kind), inputs(kind), **{**FIXED, "dtype": torch.float64}).layer_scores
    plain = explain(tiny(kind), inputs(kind), dtype=dtype, **FIXED).layer_scores
    found = explain(model, call, dtype=dtype, **FIXED).layer_scores
    # layer_scores are float32
    assert far(found, exact) <= 2 * far(plain, exact) + 4 * max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_explainer_sees_what_training_changes(backend: str) -> None:
    model, call = on_device("bert")
    explainer = Explainer(model, backend=backend, **FIXED)
    for _ in range(3):  # so that recordings are replayed, where there are such
        explainer(call)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.02)
    close(explainer(call), explain(copy.deepcopy(model).cpu(), inputs("bert"), backend="torch", **FIXED))
    for p in model.parameters():
        p.data = p.data * 0.99
    close(explainer(call), explain(copy.deepcopy(model).cpu(), inputs("bert"), backend="torch", **FIXED))
