"""Of calls drawn at random, those that Captum answers are answered alike."""

import functools
import warnings

import pytest
import torch
from helpers.fuzz_captum import CAPTUM, attributed
from helpers.fuzz_run import Hang, alarm, draw

from calig_fast import captum as ours

theirs = pytest.importorskip("captum.attr")
ONCE = {"generator", "iterator", "map"}  # used up by the first call
HUGE = {"2**31", "2**63", "10**400", "1000000000", "range(10**8)"}  # Captum runs out of memory, or of time


def found(module, drawn):
    """The answer of a class of the module, or its error."""
    torch.manual_seed(0)
    try:
        with alarm(20), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return attributed(getattr(module, drawn.surface.name), **drawn.arguments)
    except (Exception, Hang) as error:
        return error


def flat(value):
    if isinstance(value, tuple | list):
        return [one for part in value for one in flat(part)]
    return [value]


@functools.cache
def calls(count, seed):
    drawn = (draw(seed, number, CAPTUM) for number in range(count))
    kept = [n for n, d in enumerate(drawn) if not (ONCE | HUGE) & set(d.values.values())]
    return [(n, found(theirs, draw(seed, n, CAPTUM)), found(ours, draw(seed, n, CAPTUM))) for n in kept]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_calls_that_captum_answers(seed):
    answered = [(n, them, us) for n, them, us in calls(700, seed) if not isinstance(them, BaseException)]
    assert len(answered) > 150
    refused = [(str(draw(seed, n, CAPTUM)), us) for n, _, us in answered if isinstance(us, BaseException)]
    assert refused == []
    for number, them, us in answered:
        assert type(them) is type(us), draw(seed, number, CAPTUM)
        for a, b in zip(flat(them), flat(us), strict=True):
            said = f"{draw(seed, number, CAPTUM)}"
            torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-5, equal_nan=True, msg=lambda m, s=said: f"{s}: {m}")
