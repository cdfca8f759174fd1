"""Models whose blocks are on several devices, as accelerate spreads them: a feigned GPU beside the CPU."""

import copy
import functools

import pytest
import torch
from helpers.feigned_gpu import Feigned, feigned_gpu, there
from helpers.tiny_models import inputs, tiny
from torch.utils._pytree import tree_map_only

from calig_fast import Explainer, explain


class Up(torch.autograd.Function):
    """A copy from the CPU to the feigned GPU."""

    @staticmethod
    def forward(ctx, x):
        return Feigned(x.clone())

    @staticmethod
    def backward(ctx, gradient):
        return gradient.held if isinstance(gradient, Feigned) else gradient


def run_there(module, *args, **kwargs):
    """The function that accelerate puts in the place of a `forward`: the arguments go where the module is."""

    def up(tensor):
        return tensor if isinstance(tensor, Feigned) else Up.apply(tensor)

    args, kwargs = tree_map_only(torch.Tensor, up, (args, kwargs))
    return module._old_forward(*args, **kwargs)


def run_home(module, *args, **kwargs):
    """The outermost one: the results go where the arguments came from."""
    output = module._old_forward(*args, **kwargs)
    return type(output)({name: value.to("cpu") for name, value in output.items() if isinstance(value, torch.Tensor)})


def hooked(module, run):
    module._old_forward = module.forward
    module.forward = functools.update_wrapper(functools.partial(run, module), module._old_forward)
    return module


def spread(home=True):
    """A BERT whose first block is on the CPU, and what comes after on the feigned GPU."""
    model = copy.deepcopy(tiny("bert"))
    layers = model.bert.encoder.layer
    for at in range(1, len(layers)):
        layers[at] = hooked(there(layers[at]), run_there)
    model.bert.pooler = hooked(there(model.bert.pooler), run_there)
    model.classifier = hooked(there(model.classifier), run_there)
    return hooked(model, run_home) if home else model


@pytest.mark.parametrize("home", [True, False], ids=["logits return", "logits stay"])
@pytest.mark.parametrize("options", [{}, {"target": 1}, {"method": "attcat"}, {"baselines": "zeros"}], ids=str)
def test_a_model_on_two_devices_is_explained_as_on_one(options, home):
    one = explain(tiny("bert"), inputs("bert"), engine="autograd", **options)
    with feigned_gpu():
        two = explain(spread(home), inputs("bert"), **options)
    assert two.engine == "autograd"
    assert "several devices (cpu, cuda:0)" in two.settings.not_native
    for name in ("scores", "layer_scores", "logits", "convergence_delta"):
        mine, theirs = getattr(two, name), getattr(one, name)
        assert type(mine) is torch.Tensor
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6, equal_nan=True)
    assert two.n_steps.equal(one.n_steps)


def test_the_native_engine_says_that_it_runs_on_one_device():
    with feigned_gpu(), pytest.raises(ValueError, match="several devices"):
        explain(spread(), inputs("bert"), engine="native")


def test_the_hooks_of_accelerate_are_followed():
    accelerate = pytest.importorskip("accelerate")
    model = copy.deepcopy(tiny("bert"))
    plain = explain(model, inputs("bert"), target=1)
    for engine in ("native", "autograd"):
        one = copy.deepcopy(model)
        accelerate.dispatch_model(one, {"": "cpu"}, main_device="cpu", force_hooks=True)
        hooked_model = explain(one, inputs("bert"), target=1, engine=engine)
        torch.testing.assert_close(hooked_model.scores, plain.scores, rtol=1e-3, atol=1e-5)


def test_weights_that_accelerate_loads_at_each_call_are_refused():
    accelerate = pytest.importorskip("accelerate")
    model = accelerate.cpu_offload(copy.deepcopy(tiny("bert")), execution_device="cpu")
    with pytest.raises(ValueError, match=r"accelerate loads the weights of .* at each call"):
        Explainer(model)(inputs("bert"))
