"""A call for each error of backward rules and of calibrations."""

import tempfile
from pathlib import Path

import torch

from calig_fast import Calibrated, Explainer, Fusion, Rules, explain
from calig_fast.model.altered_backward import altered, operations
from helpers.tiny_models import Linear, ids, tiny

X = ids(7, 6, 5, 9)
CHOICE = Calibrated(
    candidate="ig",
    rules="plain",
    depth=3,
    default=("calig, lam 0.8", "plain"),
    inputs=("0" * 64,),
    removals=("pad",),
    fractions=(0.1,),
    tried={"ig | plain": 0.5, "calig, lam 0.8 | plain": 0.4},
    gain=0.1,
    low=0.0,
    high=0.2,
    stability=0.9,
    seconds=1.0,
    passes=10,
)


def chosen(**options):
    return lambda: explain(tiny("bert"), X, **options)


def calibrated(inputs=X, calibration=None, **options):
    return lambda: Explainer(tiny("bert"), **options).calibrate(inputs, **(calibration or {"removals": ["pad"]}))


def in_place():
    x = torch.ones(2, 3, requires_grad=True) * 2
    with operations(altered(Rules(halve_products=True))):
        x.mul_(x.sum(1, keepdim=True))


def other_file():
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "other.json"
        file.write_text("{}")
        Calibrated.load(file)


RULE_CASES = [
    (ValueError, chosen(rules="lrp")),
    (TypeError, chosen(rules=2)),
    (ValueError, chosen(map_rules="lrp")),
    (ValueError, lambda: Fusion(embedding_rules="gim")),
    (ValueError, chosen(rules="gim", method="conductance")),
    (ValueError, chosen(rules=Rules(gate="frozen"), engine="native")),
    (ValueError, lambda: Rules(norm="thawed")),
    (ValueError, lambda: Rules(gate="shut")),
    (ValueError, lambda: Rules(softmax_temperature=0)),
    (TypeError, lambda: Rules(halve_products=2)),
    (ValueError, lambda: explain(Linear(), X["input_ids"], layers="blocks", method="ig", baselines=0, rules="gim")),
    (ValueError, in_place),
    (TypeError, chosen(calibration=3)),
    (ValueError, other_file),
    (ValueError, chosen(calibration=CHOICE, method="ig")),
    (ValueError, chosen(calibration=CHOICE, layers=[0])),
    (ValueError, lambda: explain(tiny("albert"), X, calibration=CHOICE)),
    (ValueError, lambda: Calibrated(**{**vars(CHOICE), "candidate": "guess"})),
    (ValueError, calibrated(ids(7, 6))),
    (ValueError, calibrated(target=[[0, 1]] * 4)),
    (ValueError, calibrated(output="contrast", target=(0, 1))),
    (ValueError, calibrated(calibration={"removals": []})),
]
