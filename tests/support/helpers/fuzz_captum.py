"""Captum's signatures, with good values of their arguments and values that nearly are."""

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from calig_fast import captum
from helpers.fuzz_calls import Pools, Surface, image_model, text_model
from helpers.fuzz_values import Values, fails, plain

BOOLS = plain(True, False)


class Net(nn.Module):
    """Two inputs, of which one may be left out, and layers of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.unused, self.head = nn.Linear(3, 5), nn.Linear(3, 3), nn.Linear(5, 4)
        self.act, self.ranks, self.table = nn.Tanh(), nn.Identity(), nn.Identity()

    def forward(self, x: Tensor, y: Any = None, factor: Any = 1.0) -> Tensor:
        self.ranks(x.argsort(1))
        self.table({"x": x})
        h = self.first(x) if y is None else self.first(x) * y
        return self.head(self.act(h)) * factor


@functools.cache
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


def vector(x: Tensor) -> Tensor:
    return net()(x).pow(2).sum(1)


X: Values = {"x": lambda: torch.linspace(-1, 1, 6).reshape(2, 3), "tuple": lambda: (torch.ones(2, 3),)}
ATTRIBUTE: Pools = {
    "inputs": X,
    "baselines": {**plain(None, 0, 0.5, (0,)), "tensor": lambda: torch.zeros(2, 3), "row": lambda: torch.zeros(1, 3)},
    "target": {
        **plain(0, 3, [1, 2], (1,), [(0,), (3,)]),
        "tensor": lambda: torch.tensor([1, 2]),
        "one": lambda: torch.tensor([1]),
    },
    "additional_forward_args": {**plain(None), "two": lambda: (None, 2.0), "tensor": lambda: torch.ones(2, 5)},
    "n_steps": plain(2, 5),
    "method": plain("gausslegendre", "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid"),
    "internal_batch_size": plain(None, 1, 4, 100),
    "return_convergence_delta": BOOLS,
}
NEAR_ATTRIBUTE: Pools = {
    "inputs": {
        **plain([1.0], (), None),
        "list": lambda: [torch.ones(2, 3)],
        "no rows": lambda: torch.ones(0, 3),
        "ints": lambda: torch.ones(2, 3, dtype=torch.int64),
        "wide": lambda: torch.ones(2, 4),
        "two": lambda: (torch.ones(2, 3), torch.ones(2, 5)),
        "grad": lambda: torch.ones(2, 3, requires_grad=True),
        "double": lambda: torch.ones(2, 3, dtype=torch.float64),
    },
    "baselines": {
        **plain("zeros", (0, 0), [0], True),
        "wide": lambda: torch.zeros(2, 4),
        "rows": lambda: torch.zeros(4, 3),
        "0-dim": lambda: torch.tensor(0.0),
        "int tensor": lambda: torch.zeros(2, 3, dtype=torch.int64),
        "double": lambda: torch.zeros(2, 3, dtype=torch.float64),
    },
    "target": {
        **plain(None, 4, -1, [0], [0, 1, 2], "0", 1.0, (0, 0), [0, (1,)], [[0], [1]], True, [True, False]),
        "floats": lambda: torch.tensor([0.0, 1.0]),
        "matrix": lambda: torch.zeros(2, 2, dtype=torch.int64),
        "np": lambda: np.int64(1),
        "array": lambda: np.array([0, 1]),
        "0-dim": lambda: torch.tensor(1),
        "list of tensors": lambda: [torch.tensor(0), torch.tensor(1)],
    },
    "additional_forward_args": {
        **plain(3.0, "x", (1, 2, 3, 4), [], (None,)),
        "list": lambda: [torch.ones(2, 5)],
        "rows": lambda: torch.ones(3, 5),
    },
    "n_steps": plain(0, 1, -1, 5.0, "5", True, 10**9, None),
    "method": plain("simpson", None, [], "GAUSSLEGENDRE", "riemann"),
    "internal_batch_size": plain(0, -1, 2.0, "4", True, 10**30),
    "return_convergence_delta": plain("yes", None, 2),
    "attribute_to_layer_input": plain("yes", None, 2),
    "grad_kwargs": plain(
        {}, {"x": 1}, 3, [], {"materialize_grads": True}, {"allow_unused": False}, {"retain_graph": True}
    ),
    "layer": {
        **plain("first", None, [], 3),
        "unused": lambda: net().unused,
        "ranks": lambda: net().ranks,
        "table": lambda: net().table,
        "list": lambda: [net().first],
        "two": lambda: [net().first, net().act],
    },
    "forward_func": {
        **plain("model", None, 3),
        "vector": lambda: vector,
        "tuple": lambda: lambda x: (net()(x),),
        "number": lambda: lambda x: 1.0,
        "fails": lambda: fails,
        "no argument": lambda: lambda: torch.zeros(2),
        "sum": lambda: lambda x: net()(x).sum(),
        "cut": lambda: lambda x: net()(x).detach(),
    },
    "multiply_by_inputs": plain("yes", None, 2),
    "device_ids": plain([0], "x", 3),
}
FORWARD: Values = {"net": net, "function": lambda: lambda x: net()(x)}
LAYERS: Values = {"first": lambda: net().first, "act": lambda: net().act, "head": lambda: net().head}
LAYERED: Pools = {**ATTRIBUTE, "attribute_to_layer_input": BOOLS, "grad_kwargs": plain(None), "device_ids": plain(None)}
CONSTRUCTOR = ("forward_func", "layer", "multiply_by_inputs", "device_ids")


def attributed(kind: Any, **arguments: Any) -> Any:
    """The attribution by a class, of arguments of its constructor and of `attribute`."""
    made = kind(**{k: v for k, v in arguments.items() if k in CONSTRUCTOR})
    return made.attribute(**{k: v for k, v in arguments.items() if k not in CONSTRUCTOR})


CLASSES = {
    "IntegratedGradients": {"forward_func": FORWARD, "multiply_by_inputs": BOOLS, **ATTRIBUTE},
    "LayerIntegratedGradients": {"forward_func": FORWARD, "layer": LAYERS, "multiply_by_inputs": BOOLS, **LAYERED},
    "LayerConductance": {"forward_func": FORWARD, "layer": LAYERS, **LAYERED},
}
CAPTUM = [
    Surface(
        name,
        functools.partial(attributed, getattr(captum, name)),
        pools,
        NEAR_ATTRIBUTE,
        tuple(k for k in ("forward_func", "layer", "inputs", "target", "n_steps") if k in pools),
        10,
    )
    for name, pools in CLASSES.items()
]
WATCHED = {"text": text_model, "image": image_model, "net": net}
