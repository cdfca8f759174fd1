"""The same constructors, methods, arguments and defaults as Captum's classes."""

import inspect

import captum.attr as captums
import pytest

from calig_fast import captum as ours

NAMES = ("IntegratedGradients", "LayerIntegratedGradients", "LayerConductance")


def signature(function):
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in parameters]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["__init__", "attribute", "compute_convergence_delta", "has_convergence_delta"])
def test_arguments_and_defaults(name, method):
    assert signature(getattr(getattr(ours, name), method)) == signature(getattr(getattr(captums, name), method))


@pytest.mark.parametrize("name", NAMES)
def test_everything_public_is_there(name):
    def public(kind, *args):
        made = kind(lambda x: x, *args)
        return {n for n in dir(made) if not n.startswith("_")}

    import torch

    args = () if name == "IntegratedGradients" else (torch.nn.Identity(),)
    missing = public(getattr(captums, name), *args) - public(getattr(ours, name), *args)
    # ig is how Captum's class is made; gradient_func of the layers' classes is not read by them
    assert missing <= ({"ig", "gradient_func"} if args else set())


@pytest.mark.parametrize("name", NAMES)
def test_names_and_constants(name):
    import torch

    args = () if name == "IntegratedGradients" else (torch.nn.Identity(),)
    mine, theirs = (getattr(kind, name)(lambda x: x, *args) for kind in (ours, captums))
    assert mine.get_name() == theirs.get_name()
    assert mine.has_convergence_delta() is theirs.has_convergence_delta()
    assert mine.multiplies_by_inputs is theirs.multiplies_by_inputs


def test_interpolate():
    import torch

    x = torch.rand(1, 2, 4, 4)
    for options in ((8,), ((6, 8), "bilinear")):
        mine, theirs = (kind.LayerConductance.interpolate(x, *options) for kind in (ours, captums))
        assert torch.equal(mine, theirs)
