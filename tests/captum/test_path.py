"""Every kind of argument against Captum, on models that no family knows."""

import captum.attr as captums
import pytest
import torch
from helpers.toys import ROWS, Toy, Words, alike, draw, made, same
from torch import nn

from calig_fast import captum as ours

pytestmark = pytest.mark.filterwarnings("ignore:layer. several", "ignore:Multiple layers")

METHODS = ("gausslegendre", "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid")
X, Y = draw(ROWS, 5), draw(ROWS, 4, seed=1)
BASELINES = {
    "none": None,
    "numbers": (0.25, -1),
    "tensors": (draw(ROWS, 5, seed=2), draw(ROWS, 4, seed=3)),
    "one row": (draw(1, 5, seed=2), draw(1, 4, seed=3)),
    "mixed": (draw(ROWS, 5, seed=2), 0.5),
}
TARGETS = {
    "int": 2,
    "tensor": torch.tensor(1),
    "tensor of one": torch.tensor([3]),
    "list": [0, 3, 2],
    "tensor of each": torch.tensor([0, 3, 2]),
    "tuple": (1,),
    "list of tuples": [(0,), (3,), (1,)],
}


def both(name, model, *layer, **init):
    return [getattr(kind, name)(model, *layer, **init) for kind in (ours, captums)]


def everything(model):
    """The three classes over a model, and the layers of interest."""
    return [
        both("IntegratedGradients", model),
        *(both("LayerIntegratedGradients", model, layer) for layer in (model.first, model.act, model.pair)),
        *(both("LayerConductance", model, layer) for layer in (model.first, model.pair)),
    ]


def compare(pairs, inputs=(X, Y), **options):
    for mine, theirs in pairs:
        found = mine.attribute(inputs, **options)
        (alike if options.get("return_convergence_delta") else same)(found, theirs.attribute(inputs, **options))
        assert mine.engine == "autograd"
        assert mine.not_native == "forward_func runs no encoder that a family knows"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rules(method, dtype):
    inputs = (X.to(dtype), Y.to(dtype))
    pairs = everything(made(Toy, dtype))
    compare(pairs, inputs, target=1, n_steps=6, method=method, return_convergence_delta=True)


@pytest.mark.parametrize("baselines", BASELINES.values(), ids=BASELINES)
def test_baselines(baselines):
    compare(everything(made(Toy)), baselines=baselines, target=1, n_steps=5, return_convergence_delta=True)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_targets(target):
    compare(everything(made(Toy)), target=target, n_steps=5, return_convergence_delta=True)


@pytest.mark.parametrize("target", [(1, 0), [(0, 1), (1, 1), (1, 0)]])
def test_targets_of_an_output_with_more_axes(target):
    model = made(Toy)
    square = nn.Sequential()
    square.forward = lambda x, y: model(x, y).view(-1, 2, 2)
    compare([both("IntegratedGradients", square)], target=target, n_steps=5, return_convergence_delta=True)


def test_an_output_of_one_number_a_row_needs_no_target():
    model = made(Toy)
    for pick in (lambda z: z[:, 0], lambda z: z[:, :1]):
        compare(
            [both("IntegratedGradients", lambda x, y, pick=pick: pick(model(x, y)))],
            n_steps=5,
            return_convergence_delta=True,
        )


@pytest.mark.parametrize("rows", [1, 4, 7, 100])
@pytest.mark.filterwarnings("ignore")
def test_internal_batches(rows):
    compare(
        everything(made(Toy)),
        target=[0, 3, 2],
        additional_forward_args=(draw(ROWS, seed=4), 2),
        n_steps=6,
        internal_batch_size=rows,
        return_convergence_delta=True,
    )


def test_a_batch_that_is_too_small_is_said():
    with pytest.warns(UserWarning, match="internal_batch_size 1 is less than the 3 rows"):
        ours.IntegratedGradients(made(Toy)).attribute((X, Y), target=0, n_steps=2, internal_batch_size=1)


@pytest.mark.parametrize("more", [draw(ROWS, seed=4), (draw(ROWS, seed=4),), (None, 3), (draw(ROWS, seed=4), 2)])
def test_additional_arguments(more):
    options = {"target": 1, "n_steps": 5, "return_convergence_delta": True}
    compare(everything(made(Toy)), additional_forward_args=more, **options)


def test_a_scalar_tensor_among_the_arguments_is_not_repeated():
    model = made(Toy)
    pairs = [both("IntegratedGradients", lambda x, y, c: model(x, y) * c)]
    compare(pairs, additional_forward_args=torch.tensor(2.0), target=1, n_steps=5)


def test_not_multiplied_by_the_inputs():
    model = made(Toy)
    for pair in (
        both("IntegratedGradients", model, multiply_by_inputs=False),
        both("LayerIntegratedGradients", model, model.pair, multiply_by_inputs=False),
    ):
        assert not pair[0].multiplies_by_inputs
        compare([pair], target=1, n_steps=5)


@pytest.mark.parametrize("name", ["act", "pair", "head"])
def test_at_the_input_of_a_layer(name):
    model = made(Toy)
    layer = getattr(model, name)
    pairs = [both(kind, model, layer) for kind in ("LayerIntegratedGradients", "LayerConductance")]
    compare(pairs, target=1, n_steps=5, attribute_to_layer_input=True, return_convergence_delta=True)


@pytest.mark.parametrize("at_input", [False, True])
def test_several_layers_at_once(at_input):
    model = made(Toy)
    for layers in ([model.first, model.second], [model.first], [model.pair]):
        compare(
            [both("LayerIntegratedGradients", model, layers)],
            target=1,
            n_steps=5,
            attribute_to_layer_input=at_input,
            return_convergence_delta=True,
        )


def test_several_layers_are_warned_of():
    model = made(Toy)
    with pytest.warns(UserWarning, match="moved together"):
        ours.LayerIntegratedGradients(model, [model.first, model.second])


def test_ids_through_embeddings():
    model = made(Words)
    ids, others = torch.tensor([[3, 4, 5], [6, 7, 8]]), torch.tensor([[1, 2, 3], [9, 9, 0]])
    for layer in (model.one, [model.one, model.two]):
        for baselines in (
            None,
            (0, 1),
            (torch.zeros_like(ids), torch.ones_like(others)),
            (torch.zeros(1, 3).long(), 2),
        ):
            compare(
                [both("LayerIntegratedGradients", model, layer)],
                (ids, others),
                baselines=baselines,
                target=[0, 2],
                n_steps=5,
                return_convergence_delta=True,
            )


def test_a_layer_that_does_not_matter_gives_zeros_where_they_are_asked_for():
    model = made(Toy)
    layers = [model.first, model.pair]  # replacing the second makes the first useless
    pair = both("LayerIntegratedGradients", model, layers)
    compare([pair], target=0, n_steps=4, grad_kwargs={"materialize_grads": True})
    with pytest.raises(ValueError, match="does not depend on tensor"):
        pair[0].attribute((X, Y), target=0, n_steps=4)


def test_gradients_of_layer_attributions_can_be_had():
    model = made(Toy)
    found = []
    for layer_ig in both("LayerIntegratedGradients", model, model.first):
        total = layer_ig.attribute((X, Y), target=0, n_steps=4, grad_kwargs={"create_graph": True}).sum()
        found.append(torch.autograd.grad(total, model.head.weight)[0])
    same(*found)


def test_the_graph_to_the_inputs_is_kept_as_captum_keeps_it():
    x = X.clone().requires_grad_()
    found = [kind.attribute((x, Y), target=0, n_steps=4)[0] for kind in both("IntegratedGradients", made(Toy))]
    slopes = [torch.autograd.grad(f.sum(), x)[0] for f in found]
    same(*slopes)


def test_a_layer_that_runs_twice():
    model = made(Toy)
    twice = nn.Sequential(nn.Linear(5, 5), nn.Tanh()).to(torch.float64)
    act = twice[1]
    forward = lambda x, y: model(act(twice[0](act(x))), y)  # noqa: E731
    compare([both("LayerIntegratedGradients", forward, act)], target=0, n_steps=4)
    compare([both("LayerConductance", forward, act)], target=0, n_steps=4)


def test_a_function_without_arguments():
    model = made(Toy)
    for mine, theirs in [both("LayerIntegratedGradients", lambda: model(X, Y), model.first)]:
        options = {"baselines": (X * 0, Y * 0), "target": 0, "n_steps": 1}
        same(mine.attribute((X, Y), **options), theirs.attribute((X, Y), **options))


def test_the_caller_may_take_the_gradients():
    model, calls = made(Toy), []

    def halved(forward_fn, inputs, target_ind=None, additional_forward_args=None):
        calls.append(len(inputs[0]))
        out = forward_fn(*inputs, *(additional_forward_args or ()))[:, target_ind]
        return tuple(g / 2 for g in torch.autograd.grad(out.sum(), inputs))

    pair = both("IntegratedGradients", model)
    for ig in pair:
        ig.gradient_func = halved
    same(*(ig.attribute((X, Y), target=1, n_steps=4) for ig in pair))
    assert calls == [12, 12]


def test_under_no_grad_and_with_frozen_weights():
    model = made(Toy).requires_grad_(False)
    with torch.no_grad():
        compare(everything(model), target=1, n_steps=5, return_convergence_delta=True)


def test_the_model_and_the_inputs_are_left_as_they_were():
    model = made(Toy)
    x, y = X.clone(), Y.clone()
    for mine, _ in everything(model):
        mine.attribute((x, y), target=0, n_steps=3)
    assert not x.requires_grad
    assert torch.equal(x, X)
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


class Unsteady(Toy):
    """Draws random numbers, and has statistics that every pass in training mode counts into."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x, y):
        h = self.norm(self.first(x) * self.second(y))
        return self.head(nn.functional.dropout(h, 0.5))


@pytest.mark.parametrize("name", ["IntegratedGradients", "LayerIntegratedGradients", "LayerConductance"])
@pytest.mark.parametrize("training", [False, True])
def test_random_numbers_and_statistics_are_captums(name, training):
    found, statistics = [], []
    for kind in (ours, captums):
        model = made(Unsteady).train(training)
        layer = () if name == "IntegratedGradients" else (model.first,)
        torch.manual_seed(3)
        found.append(getattr(kind, name)(model, *layer).attribute((X, Y), target=1, n_steps=4))
        statistics.append((model.norm.running_mean, model.norm.num_batches_tracked.double(), torch.rand(2)))
    same(*found)
    same(*statistics)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_comes_back_in_the_dtype_that_captum_gives(dtype):
    inputs, model = (X.to(dtype), Y.to(dtype)), made(Toy, dtype)
    for mine, theirs in everything(model):
        found, wanted = (kind.attribute(inputs, target=1, n_steps=4) for kind in (mine, theirs))
        same(found, wanted, relative=4 * torch.finfo(dtype).eps)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"inputs": torch.eye(3).to_sparse()}, "inputs: expected dense tensors, got a sparse tensor"),
        ({"inputs": torch.ones(2, 3).to(torch.uint16)}, "inputs: expected floats"),
        ({"baselines": torch.eye(3).to_sparse()}, "baselines: expected .* got a sparse tensor"),
        ({"additional_forward_args": torch.nested.nested_tensor([torch.ones(3)])}, "additional_forward_args: expected"),
        ({"additional_forward_args": torch.eye(3).to_sparse_csr()}, "additional_forward_args: expected"),
        ({"target": torch.ones(2, 2).to_sparse_csr()}, "target: expected ints in a dense tensor"),
    ],
)
def test_tensors_of_rare_kinds_are_named(arguments, words):
    with pytest.raises(TypeError, match=words):
        ours.IntegratedGradients(nn.Linear(3, 4)).attribute(**{"inputs": torch.ones(2, 3), "target": 0, **arguments})
