"""The cases that Captum's own unit tests of the three classes go through, on models of ours with answers known exactly.

Each test names the functions of Captum's that it stands for; theirs run too where a checkout is at hand
(`test_captum_own`).
"""

from itertools import pairwise

import pytest
import torch
from captum.attr import IntegratedGradients as CaptumsIntegratedGradients
from captum.attr import LayerActivation, NoiseTunnel
from helpers.toys import draw, flat, same
from torch import Tensor, nn

from calig_fast.captum import IntegratedGradients, LayerConductance, LayerIntegratedGradients

NOISE = ("smoothgrad", "smoothgrad_sq", "vargrad")
METHODS = ("gausslegendre", "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid")
pytestmark = pytest.mark.filterwarnings("ignore:layer. several")


class Net(nn.Module):
    """ReLU network with numbers that can be computed by hand; the middle layer may return two tensors."""

    def __init__(self, pair: bool = False) -> None:
        super().__init__()
        self.into, self.spread, self.out = nn.Linear(3, 3), nn.Linear(3, 4), nn.Linear(4, 2)
        self.relu, self.pair = nn.ReLU(), Both() if pair else None
        for layer, weight in (
            (self.into, torch.eye(3)),
            (self.spread, torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])),
            (self.out, torch.tensor([[1.0, 2, 3, 4], [-1, 0, 1, 0]])),
        ):
            layer.weight.data, layer.bias.data = weight, torch.zeros(len(weight))

    def forward(self, x: Tensor, plus: Tensor | None = None, times: int = 1) -> Tensor:
        x = x if plus is None else x + plus
        h = self.spread(self.into(times * x))
        return self.out(self.relu(h) if self.pair is None else sum(self.pair(h)))


class Both(nn.Module):
    """Half of what is positive, twice."""

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        return torch.relu(h) / 2, torch.relu(h) / 2


class Sum(nn.Module):
    """A network over each of several inputs, added up."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.many = Net(), Many()

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        return self.one(x) + self.many(*others)


class Many(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = Net()

    def forward(self, *xs: Tensor) -> Tensor:
        return sum(self.net(x) * (i + 1) for i, x in enumerate(xs))


class Image(nn.Module):
    """Convolutions, pooling and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv1, self.pool1, self.conv2 = nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.Conv2d(2, 4, 3)
        self.relu, self.pool2, self.flat, self.head = nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.pool1(torch.relu(self.conv1(x)))
        return torch.softmax(self.head(self.flat(self.pool2(self.relu(self.conv2(h))))), -1)


class Embedded(nn.Module):
    """Words, and words of another table one level down."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.words, self.inner, self.head = (
            nn.Embedding(12, 5),
            nn.ModuleDict({"more": nn.Embedding(12, 5)}),
            nn.Linear(5, 1),
        )

    def forward(self, ids: Tensor, more: Tensor) -> Tensor:
        return self.over(self.words(ids), self.inner["more"](more))

    def over(self, a: Tensor, b: Tensor) -> Tensor:
        return self.head(torch.tanh(a * b + a).sum(1))


def product(a: Tensor, b: Tensor, c: Tensor, power: int = 1) -> Tensor:
    return (a * b**2 + c).sum(-1) ** power


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("multiply", [True, False])
def test_two_numbers(method, multiply):
    """test_multivariable_vanilla (and ..._wo_mutliplying_by_inputs), test_multi_argument_, test_univariable_vanilla."""
    x, y = torch.tensor([3.0, 0.0]), torch.tensor([1.0, 2.0])
    ig = IntegratedGradients(lambda x, y: torch.relu(torch.relu(x) - 1 - torch.relu(y)), multiply)
    found, delta = ig.attribute(
        (x, y), (0.0, torch.zeros(2)), method=method, n_steps=900, return_convergence_delta=True
    )
    # along (3a, a) the function is 2a - 1 from a = 1/2 on, where its gradient is (1, -1)
    half = torch.tensor([0.5, 0.0])
    for mine, slope, size in zip(found, (half, -half), (x, y), strict=True):
        torch.testing.assert_close(mine, slope * size if multiply else slope, atol=5e-3, rtol=0)
    again = ig.compute_convergence_delta(found, (0.0, torch.zeros(2)), (x, y))
    assert torch.equal(delta, again)
    assert not multiply or float(delta.abs().max()) < 5e-3
    same(ig.attribute((x, y), method=method, n_steps=900), found)


@pytest.mark.parametrize("kind", NOISE)
@pytest.mark.parametrize("at_once", [None, 1, 2, 3])
@pytest.mark.parametrize("method", METHODS[:2])
def test_noise_around_it(kind, at_once, method):
    """All of ..._smoothgrad, ..._smoothgrad_sq and ..._vargrad, with and without batches of samples."""
    cases = [
        (product, (draw(2, 3), draw(2, 3, seed=1)), {"additional_forward_args": (draw(2, 3, seed=2), 2)}),
        (Net().double(), (draw(3, 3), draw(3, 3, seed=1)), {"target": 0}),
        (Net().double(), draw(3, 3), {"target": [0, 1, 1], "baselines": draw(1, 3, seed=5)}),
        (lambda x: torch.sigmoid(x.sum(1)), draw(1, 20), {"baselines": 0.00001}),
    ]
    for function, inputs, options in cases:
        for multiply in (True, False):
            found = []
            for ig in (IntegratedGradients, CaptumsIntegratedGradients):
                torch.manual_seed(11)
                tunnel = NoiseTunnel(ig(function, multiply))
                assert tunnel.multiplies_by_inputs is multiply
                found.append(
                    tunnel.attribute(
                        inputs,
                        nt_type=kind,
                        nt_samples=5,
                        nt_samples_batch_size=at_once,
                        stdevs=0.1,
                        n_steps=9,
                        method=method,
                        return_convergence_delta=True,
                        **options,
                    )
                )
            same(found[0][0], found[1][0])
            same(found[0][1], found[1][1], floor=1.0)


@pytest.mark.parametrize("method", METHODS)
def test_batches_equal_single_inputs(method):
    """test_batched_input_vanilla, test_batched_multi_input_vanilla, test_multi_tensor_input_vanilla."""
    inputs = (draw(3, 3), draw(3, 3, seed=1))
    ig = IntegratedGradients(Net().double())
    for at_once in (None, 10, 20):
        options = {"target": 0, "method": method, "n_steps": 40, "internal_batch_size": at_once}
        found, delta = ig.attribute(inputs, return_convergence_delta=True, **options)
        for i in range(3):
            one, its = ig.attribute(tuple(x[i : i + 1] for x in inputs), return_convergence_delta=True, **options)
            same(tuple(f[i : i + 1] for f in found), one)
            same(delta[i : i + 1], its, floor=1.0)


@pytest.mark.parametrize("classes", [1, 6])
@pytest.mark.parametrize("rows", [1, 3])
def test_classifiers_are_complete(classes, rows):
    """test_sigmoid_classification_vanilla, test_softmax_classification_vanilla and ..._batch."""
    torch.manual_seed(0)
    last = nn.Sigmoid() if classes == 1 else nn.Softmax(-1)
    model = nn.Sequential(nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, classes), last)
    x, target = draw(rows, 20, dtype=torch.float32), torch.arange(rows) % classes
    target = target if rows > 1 else torch.tensor(0)
    for baselines in (None, torch.zeros(1, 20)):
        ig = IntegratedGradients(model.forward)
        found, delta = ig.attribute(x, baselines, target, n_steps=200, return_convergence_delta=True)
        assert (found.shape, delta.shape) == (x.shape, (rows,))
        assert float(delta.abs().max()) < 5e-3
        same(delta, ig.compute_convergence_delta(found, baselines, x, target))


def test_no_futures():
    """test_futures_not_implemented."""
    with pytest.raises(NotImplementedError):
        IntegratedGradients(Net()).attribute_future()


@pytest.mark.parametrize("multiply", [True, False])
@pytest.mark.parametrize("rows", [1, 2])
def test_layer_ig_of_an_embedding_is_ig_of_its_vectors(multiply, rows):
    """test_compare_with_emb_patching, ..._wo_mult_by_inputs, ..._batch, test_multiple_layers_single_inputs."""
    model = Embedded()
    ids, more = torch.tensor([[2, 5, 0, 1], [3, 1, 1, 0]])[:rows], torch.tensor([[0, 2, 4, 1], [2, 3, 5, 7]])[:rows]
    zero = torch.zeros(1, 4, dtype=torch.int64)
    a, b, a0 = model.words(ids), model.inner["more"](more), model.words(zero)
    options = {"n_steps": 20, "return_convergence_delta": True}
    lig = LayerIntegratedGradients(model, model.words, multiply_by_inputs=multiply)
    found, delta = lig.attribute(ids, zero, additional_forward_args=more, **options)
    wanted, its = IntegratedGradients(model.over, multiply).attribute(a, a0, additional_forward_args=b, **options)
    same(found.detach(), wanted.detach())
    if multiply:
        same(delta, its, floor=1.0)

    both = LayerIntegratedGradients(model, [model.words, model.inner["more"]], multiply_by_inputs=multiply)
    found, delta = both.attribute((ids, more), (zero, zero), **options)
    wanted, its = IntegratedGradients(model.over, multiply).attribute(
        (a, b), (a0, model.inner["more"](zero)), **options
    )
    assert isinstance(found, list)
    same(tuple(found), tuple(w.detach() for w in wanted))
    if multiply:
        same(delta, its, floor=1.0)


@pytest.mark.parametrize("at_input", [True, False])
def test_layer_ig_and_conductance_meet_where_the_path_is_straight(at_input):
    """test_compare_with_layer_conductance_attr_to_outputs and ..._attr_to_inputs."""
    model, x = Net(), torch.tensor([[50.0, 50.0, 50.0]], requires_grad=True)
    options = {"target": 0, "n_steps": 300, "return_convergence_delta": True, "attribute_to_layer_input": at_input}
    one = LayerConductance(model, model.out).attribute(x, **options)
    other = LayerIntegratedGradients(model, model.out).attribute(x, **options)
    torch.testing.assert_close(one[0], other[0], rtol=5e-3, atol=1e-3)
    assert float(other[1].abs().max()) < 1e-2


@pytest.mark.parametrize("kind", [LayerIntegratedGradients, LayerConductance])
def test_a_layer_of_two_tensors(kind):
    """test_multiple_tensors_compare_with_expected, test_simple_input_multi_conductance."""
    model = Net(pair=True)
    found = kind(model, model.pair).attribute(torch.tensor([[0.0, 100.0, 0.0]]), target=0, n_steps=500)
    half = torch.tensor([[0.0, 100.0, 0.0, 200.0]])
    assert isinstance(found, tuple)
    for mine in found:
        torch.testing.assert_close(mine, half, atol=1.0, rtol=0)


def test_two_tensors_without_their_size():
    """test_multiple_tensors_compare_with_exp_wo_mult_by_inputs."""
    model, x, zero = Net(pair=True), torch.tensor([[1.0, 100.0, 2.0]]), torch.zeros(1, 3)
    full = LayerIntegratedGradients(model, model.pair).attribute(x, target=0)
    slopes = LayerIntegratedGradients(model, model.pair, multiply_by_inputs=False).attribute(x, target=0)
    active = LayerActivation(model, model.pair)
    moved = [h - h0 for h, h0 in zip(active.attribute(x), active.attribute(zero), strict=True)]
    same(tuple(s * m for s, m in zip(slopes, moved, strict=True)), full)


@pytest.mark.parametrize("shared", [True, False])
def test_layers_that_share_an_input(shared):
    """test_multiple_layers_multiple_inputs_shared_input, test_multiple_layers_multiple_input_outputs."""
    model = Sum().double()
    xs = tuple(draw(5, 3, seed=i) for i in range(3))
    forward = (lambda a, b, c: model(a, b, c, a)) if shared else model
    xs = xs if shared else (*xs, draw(5, 3, seed=3))
    lig = LayerIntegratedGradients(forward, [model.one, model.many])
    found = lig.attribute(xs, target=0, attribute_to_layer_input=True)
    assert [type(f) for f in found] == [Tensor, tuple]
    wanted = IntegratedGradients(forward).attribute(xs, target=0)
    mine = (found[0] + found[1][-1], *found[1][:-1]) if shared else (found[0], *found[1])
    same(mine, wanted)
    outputs = lig.attribute(xs, target=0)
    for mine, part in zip(outputs, (model.one(xs[0]), model.many(*xs[1:], *(xs[:1] if shared else ()))), strict=True):
        same(mine[:, 0], part[:, 0].detach(), relative=1e-6)  # Captum's weights are rounded to float32
        assert not mine[:, 1].any()


@pytest.mark.parametrize("kind", [LayerIntegratedGradients, LayerConductance])
def test_zeros_for_a_layer_that_is_not_used(kind):
    """test_simple_multi_gradient_activation_with_unused_layer, test_layer_conductance_with_unused_layer."""
    model, x = Net(), torch.tensor([[3.0, 4.0, 0.0]], requires_grad=True)
    layer = [model.spread, model.relu] if kind is LayerIntegratedGradients else model.relu
    found = kind(model, layer).attribute(x, target=0, grad_kwargs={"materialize_grads": True})
    assert [f.shape for f in flat(found)] == [(1, 4)] * len(flat(found))


@pytest.mark.parametrize("at_once", [None, 4, 20])
@pytest.mark.parametrize("baselines", [None, 0.0])
@pytest.mark.parametrize(
    ("layer", "wanted"),
    [
        ("into", [[0.0, 600.0, 0.0]]),
        ("spread", [[0.0, 200.0, 0.0, 400.0]]),
        ("relu", [[0.0, 200.0, 0.0, 400.0]]),
        ("out", [[600.0, 0.0]]),
    ],
)
def test_conductance_worked_out_by_hand(layer, wanted, baselines, at_once):
    """test_simple_input_ (and ..._with_scalar_baseline_), _linear_, _relu_ and _output_conductance."""
    model, x = Net(), torch.tensor([[0.0, 100.0, 0.0]], requires_grad=layer == "out")
    cond = LayerConductance(model, getattr(model, layer))
    assert cond.multiplies_by_inputs
    found, delta = cond.attribute(
        x, baselines, target=0, n_steps=500, internal_batch_size=at_once, return_convergence_delta=True
    )
    # the two end intervals of Gauss-Legendre nodes are left out
    torch.testing.assert_close(found, torch.tensor(wanted), atol=0.1, rtol=1e-4)
    assert float(delta.abs().max()) < 0.1


@pytest.mark.parametrize("at_once", [None, 4, 20])
def test_conductance_with_several_inputs_and_arguments(at_once):
    """test_simple_multi_input_linear2_conductance, ..._relu_conductance, ..._relu_conductance_batch."""
    model = Net()
    xs = (torch.tensor([[0.0, 10.0, 1.0], [0.0, 0.0, 10.0]]), torch.tensor([[0.0, 4.0, 5.0], [0.0, 0.0, 10.0]]))
    for layer in (model.relu, model.out):
        cond = LayerConductance(lambda a, b, times: model(a, b, times), layer)
        options = {"target": 0, "additional_forward_args": (4,), "n_steps": 500, "internal_batch_size": at_once}
        found, delta = cond.attribute(xs, return_convergence_delta=True, **options)
        h = model.relu(model.spread(4 * (xs[0] + xs[1])))
        wanted = h * model.out.weight[0] if layer is model.relu else torch.stack([model.out(h)[:, 0], 0 * h[:, 0]], 1)
        torch.testing.assert_close(found, wanted.detach(), atol=0.1, rtol=1e-4)
        assert float(delta.abs().max()) < 0.1


@pytest.mark.parametrize("layer", ["conv1", "pool1", "conv2", "relu", "pool2", "head"])
@pytest.mark.parametrize("rows", [1, 3])
def test_conductance_equals_its_definition(layer, rows):
    """test_matching_conv1_, _pool1_, _conv2_, _pool2_, _conv_multi_input_ and _conv_with_baseline_conductance."""
    model, x, low = Image().double(), 3 * draw(rows, 1, 10, 10), draw(rows, 1, 10, 10, seed=1)
    module, n = getattr(model, layer), 60
    for baselines in (low, None) if rows > 1 else (None,):
        cond = LayerConductance(model, module)
        found = cond.attribute(x, baselines, target=1, n_steps=n)
        start = low if baselines is not None else torch.zeros_like(x)
        assert (
            float(cond.attribute(x, baselines, target=1, n_steps=n, return_convergence_delta=True)[1].abs().max())
            < 0.05
        )
        for i in range(rows):
            same(found[i : i + 1], by_definition(model, module, start[i : i + 1], x[i : i + 1], n))


def by_definition(model: Image, module: nn.Module, low: Tensor, high: Tensor, n: int) -> Tensor:
    """dF/dh times the change of h, node by node."""
    from numpy.polynomial.legendre import leggauss

    kept = []
    handle = module.register_forward_hook(lambda m, i, o: kept.append(o))
    values = []
    for a in (leggauss(n + 1)[0] + 1) / 2:
        kept.clear()
        out = model((low + a * (high - low)).requires_grad_())
        values.append((kept[0].detach(), torch.autograd.grad(out[0, 1], kept[0])[0]))
    handle.remove()
    return sum((h1 - h0) * g for (h0, g), (h1, _) in pairwise(values))
