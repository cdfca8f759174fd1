"""The metrics on a GPU say what they say on the CPU."""

import copy

import pytest
import torch
from helpers.tiny_models import ids, pixels, tiny

from calig_fast import explain
from calig_fast.metrics import erasure, infidelity, max_sensitivity, model_randomisation, perturbation_auc

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def close(a, b, tolerance=1e-3):
    torch.testing.assert_close(a.values, b.values, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("removal", ["pad", "delete"])
def test_text(removal):
    model, call = tiny("bert"), ids(12, 7)
    there, moved = copy.deepcopy(model).cuda(), {name: value.cuda() for name, value in call.items()}
    a = explain(model, call)
    close(erasure(there, moved, a, removal=removal).difference, erasure(model, call, a, removal=removal).difference)
    options = {"removal": removal, "samples": 5}
    close(infidelity(there, moved, a.to("cuda"), **options), infidelity(model, call, a, **options))


def test_images():
    model, x = tiny("vit"), pixels(3)
    there = copy.deepcopy(model).cuda()
    a = explain(model, x)
    close(perturbation_auc(there, x.cuda(), a, output="prob"), perturbation_auc(model, x, a, output="prob"))
    close(max_sensitivity(there, x.cuda(), samples=2), max_sensitivity(model, x, samples=2), 2e-2)
    close(model_randomisation(there, x.cuda()), model_randomisation(model, x), 0.1)
