"""The warm start of an Explainer saves gradients and keeps the tolerance."""

import copy
import math

import numpy as np
import torch
from helpers.tiny_models import ids, tiny

from calig_fast import Explainer, explain
from calig_fast.quadrature.adaptive import FIRST, AdaptiveIntegrals, Paths, Start, Table
from calig_fast.quadrature.warm_start import MEMORY, MENU, STRENGTHS, Calibration, needs, spline, trials


def needed(f, gap, tolerance=2e-2, nodes=33):
    """Intervals that one path needs, [1,strengths]."""
    a = torch.linspace(0, 1, nodes, dtype=torch.float64)
    table = Table(paths=np.array([0]), nodes=tuple(a.tolist()), rows=torch.stack([f(x) for x in a])[None])
    return needs(table, trials(table).numpy(), np.array([gap]), np.array([1e-12]), np.array([tolerance]))


def path_of(f, gap, tolerance, budget, start):
    ends = torch.stack([f(torch.tensor(0.0).double()), f(torch.tensor(1.0).double())])[:, None]
    known = Paths(ends=ends, gap=np.array([gap]), noise=np.array([1e-12]))
    return AdaptiveIntegrals(known, [start], tolerance=tolerance, budget=budget)


def evaluated(path, f):
    path.add(torch.stack([f(torch.tensor(a).double()) for a in path.pending().node]))


def steep(width):
    """Two tokens, one of which changes within `width` of the middle."""
    return lambda a: torch.stack([(1 - torch.tanh((a - 0.5) / width) ** 2) / (2 * width), torch.ones_like(a)])


def whole(width):
    return float(torch.tanh(torch.tensor(0.5 / width))) + 1.0


def test_needs_are_what_the_adaptive_rule_takes():
    for width in (0.08, 0.15, 0.4):
        f, gap = steep(width), whole(width)
        found = needed(f, gap, nodes=97)[0]
        for strength, wanted in zip(STRENGTHS, found, strict=True):
            taken = []
            for m in MENU[1:]:
                path = path_of(f, gap, 2e-2, m, Start(m, strength))
                evaluated(path, f)
                taken += [m] if path.converged.all() else []
            assert wanted in {min(taken), 2}


def test_a_path_without_a_smooth_rule_needs_more_than_any():
    spike = lambda a: torch.stack([torch.exp(-((a - 0.03) ** 2) / 1e-4)])  # noqa: E731
    assert needed(spike, 1.0).min() == math.inf


def test_a_layer_starts_where_its_paths_would_have_cost_least():
    calibration = Calibration()
    assert calibration.start("kind", 0) == Start(FIRST, 0.0)
    both = np.concatenate([needed(steep(0.08), whole(0.08)), needed(steep(0.4), whole(0.4))])
    calibration.learn("kind", np.array([0, 1]), both)
    hard, easy = calibration.start("kind", 0), calibration.start("kind", 1)
    assert hard.intervals > easy.intervals
    assert hard.strength > 0
    assert easy == Start(int(both[1].min()), 0.0)
    assert calibration.start("other kind", 0) == Start()


def test_rare_hard_paths_do_not_make_all_of_them_dear():
    calibration = Calibration()
    calibration.learn("kind", np.zeros(1, dtype=int), np.repeat(needed(steep(0.05), whole(0.05)), 1, 0))
    hard = calibration.start("kind", 0).intervals
    calibration.learn("kind", np.zeros(19, dtype=int), np.repeat(needed(steep(0.4), whole(0.4)), 19, 0))
    assert calibration.start("kind", 0).intervals < hard


def test_old_calls_are_forgotten():
    calibration = Calibration()
    calibration.learn("kind", np.zeros(MEMORY, dtype=int), np.repeat(needed(steep(0.05), whole(0.05)), MEMORY, 0))
    before = calibration.start("kind", 0).intervals
    calibration.learn("kind", np.zeros(MEMORY, dtype=int), np.repeat(needed(steep(0.4), whole(0.4)), MEMORY, 0))
    assert calibration.start("kind", 0).intervals < before


def test_the_spline_goes_through_its_table_and_follows_a_cubic_inside():
    nodes = tuple(sorted(torch.rand(9, generator=torch.Generator().manual_seed(0), dtype=torch.float64).tolist()))
    at_nodes = spline(nodes, torch.tensor(nodes, dtype=torch.float64))
    torch.testing.assert_close(at_nodes, torch.eye(9, dtype=torch.float64), rtol=0, atol=1e-12)
    x = torch.tensor(nodes, dtype=torch.float64)
    places = torch.linspace(float(x[0]), float(x[-1]), 50, dtype=torch.float64)
    torch.testing.assert_close(spline(nodes, places) @ (2 * x - 3), 2 * places - 3)


def test_the_bend_integrates_the_same_thing():
    def f(a):
        return torch.tensor([torch.sigmoid(torch.tensor(12 * (a - 0.5))).item(), a**3, 1.0], dtype=torch.float64)

    truth = torch.tensor([0.5, 0.25, 1.0], dtype=torch.float64)
    for strength in (0.0, 0.3, -0.2):
        path = path_of(f, float(truth.sum()), 1e-8, 512, Start(6, strength))
        while wanted := path.pending():
            assert ((wanted.node > 0) & (wanted.node < 1)).all()
            evaluated(path, f)
        torch.testing.assert_close(path.estimates.r[0], truth, rtol=1e-7, atol=1e-7)


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
