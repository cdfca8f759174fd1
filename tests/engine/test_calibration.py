"""What an Explainer learns from call to call saves gradients and changes no promise."""

import copy

import torch
from tiny_models import ids, tiny

from calig_fast import Explainer, explain
from calig_fast.engine.calibration import BEND, Calibration, Need, Start
from calig_fast.engine.quadrature import FIRST, Path


def test_a_layer_starts_where_most_of_its_paths_were_done():
    calibration = Calibration()
    assert calibration.start("kind", 0) == Start(FIRST, 0.0)
    calibration.learn("kind", [Need(0, 0.0, n) for n in (5, 7, 7, 8, 30)] + [Need(1, 0.0, None)])
    assert calibration.start("kind", 0) == Start(8, 0.0)
    assert calibration.start("kind", 1) == Start()
    assert calibration.start("other kind", 0) == Start()


def test_steep_layers_are_tried_under_the_bend_and_keep_it_where_it_helps():
    calibration = Calibration()
    calibration.learn("kind", [Need(0, 0.0, 15)])
    assert calibration.start("kind", 0) == Start(12, BEND)
    calibration.learn("kind", [Need(0, BEND, 9)])
    assert calibration.start("kind", 0) == Start(10, BEND)
    calibration.learn("kind", [Need(0, BEND, 24)] * 9)
    assert calibration.start("kind", 0) == Start(16, 0.0)


def test_old_calls_are_forgotten():
    calibration = Calibration()
    calibration.learn("kind", [Need(0, 0.0, 30)] * 64)
    calibration.learn("kind", [Need(0, 0.0, 4)] * 64)
    assert calibration.start("kind", 0).intervals == 4


def test_the_bend_integrates_the_same_thing():
    def f(a):
        return torch.tensor([torch.sigmoid(torch.tensor(12 * (a - 0.5))).item(), a**3, 1.0], dtype=torch.float64)

    truth = torch.tensor([0.5, 0.25, 1.0], dtype=torch.float64)
    for bend in (0.0, 0.3, -0.2):
        path = Path(1e-8, 512, float(truth.sum()), 1e-12, first=6, bend=bend)
        path.add([0.0, 1.0], torch.stack([f(0.0), f(1.0)]))
        while path.pending():
            nodes = path.pending()
            assert all(0 < a < 1 for a in nodes)
            path.add(nodes, torch.stack([f(a) for a in nodes]))
        torch.testing.assert_close(path.estimate.r, truth, rtol=1e-7, atol=1e-7)


def test_an_explainer_learns_and_its_answers_stay_within_the_tolerance():
    model = copy.deepcopy(tiny("bert"))
    explainer = Explainer(model)
    calls = [ids(9, 7, seed=s) for s in range(6)]
    truths = [explain(model, c, tolerance=1e-5, n_steps=512) for c in calls]
    for call, truth in zip(calls, truths, strict=True):
        a = explainer(call, target=truth.target)
        error = (a.layer_scores - truth.layer_scores).norm(dim=2) / truth.layer_scores.norm(dim=2)
        assert (error[a.layer_converged] <= 2e-2).all()


def test_what_an_input_gets_does_not_depend_on_its_batch():
    model = copy.deepcopy(tiny("bert"))
    one, two = Explainer(model), Explainer(model)
    for explainer in (one, two):
        explainer(ids(8, seed=9))
    call = ids(9, 6)
    together = one(call)
    alone = two({k: v[:1] for k, v in call.items()})
    torch.testing.assert_close(together.layer_scores[:1], alone.layer_scores, rtol=1e-5, atol=1e-6)
    assert together.n_steps[0].tolist() == alone.n_steps[0].tolist()
