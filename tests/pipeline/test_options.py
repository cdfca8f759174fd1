"""Options of `explain`: what is refused names the option, and numbers of every library are taken."""

import numpy as np
import pytest
import torch
from helpers.tiny_models import ids, tiny

from calig_fast import Explainer, Fusion, explain
from calig_fast.pipeline.options import MOST_GAUSS, MOST_STEPS, Options

X = ids(7)


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ({"tolerance": np.float32(0.5)}, {"tolerance": 0.5}),
        ({"tolerance": np.array(0.5)}, {"tolerance": 0.5}),
        ({"tolerance": torch.tensor(0.5)}, {"tolerance": 0.5}),
        ({"tolerance": 1}, {"tolerance": 1.0}),
        ({"n_steps": np.int64(4)}, {"n_steps": 4}),
        ({"n_steps": torch.tensor(4)}, {"n_steps": 4}),
        ({"lam": np.float64(0.25)}, {"lam": 0.25}),
        ({"lam": 1}, {"lam": 1.0}),
        ({"layers": np.array([0, 1])}, {"layers": [0, 1]}),
        ({"layers": torch.tensor([2, 0])}, {"layers": [0, 2]}),
        ({"layers": range(2)}, {"layers": [0, 1]}),
        ({"layers": (np.int64(1),)}, {"layers": [1]}),
        ({"layers": np.int64(1)}, {"layers": 1}),
        ({"layers": torch.tensor(-1)}, {"layers": 2}),
        ({"layers": [1, 1, -2]}, {"layers": [1]}),
        ({"memory_budget": np.int64(2**20)}, {"memory_budget": 2**20}),
        ({"long_texts": "windows", "stride": np.int64(3)}, {"long_texts": "windows", "stride": 3}),
        ({"return_maps": np.bool_(True)}, {"return_maps": True}),
        ({"method": np.str_("ig")}, {"method": "ig"}),
        ({"baselines": np.int64(3)}, {"baselines": 3}),
        ({"baselines": np.zeros(24, dtype=np.float32)}, {"baselines": torch.zeros(24)}),
        ({"baselines": torch.full((7,), 3, dtype=torch.uint8)}, {"baselines": torch.full((7,), 3)}),
    ],
    ids=str,
)
def test_numbers_of_any_library_are_as_good(given, plain):
    a, b = (explain(tiny("bert"), X, **{"baselines": 0, **options}) for options in (given, plain))
    assert torch.equal(a.scores, b.scores)
    assert a.settings.tolerance == b.settings.tolerance
    assert a.settings.layers == b.settings.layers
    assert type(a.settings.tolerance) is float


WRONG = {
    "certify": [[], None, True, "tokens", ("scores",)],
    "engine": [{}, None, ["native"], "eager"],
    "lam": ["x", [0.5], "0.5", True, 1.2, float("nan"), 10**400],
    "tolerance": [None, "x", 10**400, 0, -1, float("inf"), float("nan"), True, [0.1], 1j, np.array([0.1]), b"1"],
    "layers": [1.0, slice(0, 2), [], [7], -4, [0, "a"], [True], [[0]], {0}, (i for i in (0, 1)), "", b"a", np.zeros(1)],
    "n_steps": ["5", 2.0, 0, -1, True, 10**9, 2**63, [3]],
    "memory_budget": ["2GB?", 1e9, True, 100, 2**80],
    "quadrature": [[], None, "simpson"],
    "dtype": ["float32", torch.int8, torch.complex64, float, []],
    "backend": [[], {}, None, "opencl"],
    "progress": [1, "yes", lambda: None, lambda done: None],
    "return_maps": ["yes", 1, None, []],
    "long_texts": ["slide", None, True, ["windows"], 3],
    "stride": [-1, 2.0, "3", True, 2**80, [3], 3],
    "method": [[], None, 3, "lime", Fusion, {"lam": 0.5}],
    "output": [[], None, 3, "margin", lambda: 0, lambda a, b, c: a],
    "baselines": [torch.tensor(True), [0, 0], 0.5, 1j, {}, b"pad", "nothing", 10**30, -1, np.array(["a"])],
}


def named(value):
    """A name that is the same in every process: that of an object without one of its own would hold its address."""
    return type(value).__name__ if " at 0x" in str(value) else str(value)


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in WRONG.items() for v in values], ids=named)
def test_what_is_refused_names_the_option(name, value):
    with pytest.raises((ValueError, TypeError)) as caught:
        explain(tiny("bert"), X, **{"baselines": 0, name: value})
    assert str(caught.value).startswith(f"{name}: ")
    assert len(str(caught.value)) > 30


def test_steps_have_an_upper_bound_by_rule():
    assert Options(n_steps=MOST_STEPS).n_steps == MOST_STEPS
    assert Options(n_steps=MOST_GAUSS, quadrature="gausslegendre").n_steps == MOST_GAUSS
    for steps, rule in ((MOST_STEPS + 1, "auto"), (MOST_GAUSS + 1, "gausslegendre")):
        with pytest.raises(ValueError, match=r"n_steps: .*at most"):
            Options(n_steps=steps, quadrature=rule)


def test_an_unknown_option_says_which_was_meant():
    with pytest.raises(TypeError, match="tolerence: unknown option of explain; did you mean tolerance"):
        Explainer(tiny("bert"), tolerence=0.1)
    with pytest.raises(TypeError, match="xyz: unknown option of explain; expected some of"):
        Explainer(tiny("bert"))(X, xyz=1)


def test_errors_of_the_callers_own_functions_come_through():
    class OwnError(Exception):
        pass

    def fails(*args):
        raise OwnError

    for options in ({"output": fails}, {"progress": fails}):
        with pytest.raises(OwnError):
            explain(tiny("bert"), X, baselines=0, n_steps=1, **options)
