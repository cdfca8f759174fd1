"""A call for each error that `calig_fast.captum` raises of its own."""

import torch
from torch import nn

from calig_fast.captum import IntegratedGradients, LayerConductance, LayerIntegratedGradients

X = torch.ones(2, 3)


class Net(nn.Module):
    """Has a layer of every kind that cannot be attributed to."""

    def __init__(self):
        super().__init__()
        self.used, self.unused, self.head = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 4)
        self.table, self.both, self.ranks = nn.Identity(), nn.Identity(), Ranks()

    def forward(self, x):
        self.table({"hidden": x})
        self.both(x.to("meta"))
        self.ranks(self.both(x))
        return self.head(torch.relu(self.used(x)))


class Ranks(nn.Module):
    def forward(self, x):
        return x.argsort(1)


NET = Net()


def ig(inputs=X, function=NET, **options):
    return lambda: IntegratedGradients(function).attribute(inputs, **{"target": 0, "n_steps": 2, **options})


def layer(name, kind=LayerIntegratedGradients, **options):
    return lambda: kind(NET, getattr(NET, name)).attribute(X, **{"target": 0, "n_steps": 2, **options})


def delta(attributions, target=0):
    return lambda: IntegratedGradients(NET).compute_convergence_delta(attributions, 0, X, target)


CAPTUM_CASES = [
    (TypeError, lambda: IntegratedGradients("model")),
    (TypeError, lambda: LayerIntegratedGradients(NET, "used")),
    (TypeError, lambda: LayerIntegratedGradients(NET, [])),
    (TypeError, lambda: LayerConductance(NET, [NET.used, NET.head])),
    (TypeError, ig([1.0, 2.0])),
    (TypeError, ig(())),
    (ValueError, ig(X[:0])),
    (ValueError, ig(torch.tensor(1.0))),
    (TypeError, ig(baselines="zeros")),
    (ValueError, ig(baselines=(0, 0))),
    (ValueError, ig(baselines=torch.zeros(4, 3))),
    (TypeError, ig(function=lambda x: (NET(x),))),
    (ValueError, ig(target=None)),
    (ValueError, ig(function=lambda x: NET(x).sum())),
    (ValueError, ig(target=[0, 1, 2])),
    (ValueError, delta(X, [0, 1, 2])),
    (ValueError, ig(target=torch.tensor([0.0, 1.0]))),
    (ValueError, ig(target=(0, 0))),
    (TypeError, ig(target="sport")),
    (ValueError, ig(target=[0, 1], function=lambda x: NET(x).view(2, 2, -1))),
    (ValueError, ig(target=4)),
    (ValueError, ig(target=[0, 4])),
    (TypeError, ig(target=[0, (1,)])),
    (ValueError, ig(method="simpson")),
    (TypeError, ig(n_steps=5.0)),
    (ValueError, ig(n_steps=0)),
    (ValueError, ig(n_steps=1, method="riemann_left")),
    (ValueError, ig(n_steps=10**9)),
    (TypeError, ig(internal_batch_size="2")),
    (TypeError, ig(return_convergence_delta=torch.ones(2))),
    (TypeError, ig(additional_forward_args=(1, 2))),
    (ValueError, ig(torch.ones(2, 5))),
    (TypeError, ig(X > 0)),
    (ValueError, ig(baselines=10**400)),
    (ValueError, ig(function=lambda x: NET(x).detach())),
    (TypeError, layer("used", grad_kwargs={"x": 1})),
    (ValueError, delta(X[:1])),
    (ValueError, ig((X, X), function=lambda x, y: NET(x))),
    (TypeError, layer("table")),
    (ValueError, layer("unused")),
    (ValueError, layer("both")),
    (TypeError, layer("ranks", kind=LayerConductance)),
    (NotImplementedError, lambda: IntegratedGradients(NET).attribute_future()),
]
