"""The counter of lies: explanations at many tolerances, and their claims beside the true errors."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.torture.groups import Group, together, turns
from benchmarks.torture.record import Record, record
from calig_fast import Attribution, Explainer
from calig_fast.methods import registry
from calig_fast.methods.base import Method, Signals
from calig_fast.methods.calig_paper import IMAGES

TOLERANCES = (1e-4, 1e-3, 5e-3, 1e-2, 2e-2, 5e-2)
LOW_PRECISION = (1e-2, 2e-2, 5e-2)
OF_SCORES = (1e-3, 2e-2)
SIZE = 4  # inputs of a call
KNOWN = 0.1  # a truth counts whose own error is at most this part of the tolerance
GOAL, MOST = 5e-6, 2500  # of the truth
ROUNDED_GOAL, ROUNDED_MOST = 2e-3, 120  # of the integral as bfloat16 computes it: more nodes only average its rounding
ROUNDED_INPUTS = SIZE  # of a group and baseline, that are also compared with that integral
COSTLY = frozenset({"zeros"})  # baselines that every second call leaves out


@dataclass(frozen=True)
class Setting:
    """One way to call.

    Args:
        certify: "layers" or "scores".
        method: of `explain`.
        dtype: of the engine.
        tolerance: relative error asked for.
    """

    certify: str
    method: str
    dtype: torch.dtype
    tolerance: float

    @property
    def kind(self) -> str:
        """All but the tolerance, for tables."""
        return f"{self.certify}, {self.method}, {str(self.dtype).removeprefix('torch.')}"


def settings(tolerances: Sequence[float]) -> list[Setting]:
    """Every way to call that has a bound; the methods of the layers share their integrals."""
    single, half = torch.float32, torch.bfloat16
    rough, some = ([t for t in tolerances if t in allowed] for allowed in (LOW_PRECISION, OF_SCORES))
    ways = [Setting("layers", "calig", single, t) for t in tolerances]
    ways += [Setting("layers", "calig", half, t) for t in rough]
    ways += [Setting("scores", "calig", single, t) for t in tolerances if t >= min(some)]
    ways += [Setting("scores", "layer_ig", single, t) for t in some]
    return ways + [Setting("scores", "calig", half, t) for t in rough]


@dataclass
class Claim:
    """A claimed error beside the true one.

    Args:
        group: name of the model and its inputs.
        baseline: x'.
        kind: of the setting.
        tolerance: asked for.
        index: of the input.
        layer: of r_l, -1 for the scores.
        claimed: the relative error that the result states.
        marked: the result says that the tolerance is met.
        true: the relative error, from the integral of the model in float64.
        own: the relative error of that integral.
        nodes: gradients of the layer, or of all.
        rounded: the relative error from the integral as the dtype computes it, or None where it was not computed.
    """

    group: str
    baseline: str
    kind: str
    tolerance: float
    index: int
    layer: int
    claimed: float
    marked: bool
    true: float
    own: float
    nodes: int
    rounded: float | None = None

    @property
    def known(self) -> bool:
        """True where the truth is accurate enough to judge the claim."""
        return self.own <= KNOWN * self.tolerance and self.true == self.true

    @property
    def ratio(self) -> float:
        """The true error over the tolerance."""
        return self.true / self.tolerance


@dataclass
class Entry:
    """All that was found of one input and baseline; plain values, for a file.

    Args:
        group: name of the model and its inputs.
        baseline: x'.
        index: of the input.
        images: see `Group`.
        record: the truth of the model in float64, as a dict of `record.Record`.
        rounded: the same as bfloat16 computes it, or None.
        claims: of every setting.
    """

    group: str
    baseline: str
    index: int
    images: bool
    record: dict[str, Any]
    rounded: dict[str, Any] | None
    claims: list[Claim] = field(default_factory=list)


class Counter:
    """Explains, compares and remembers.

    Args:
        tolerances: relative errors asked for.
        explain: False to record the truth alone.
    """

    def __init__(self, tolerances: Sequence[float] = TOLERANCES, explain: bool = True) -> None:
        self._settings = settings(tolerances) if explain else []
        self._explainers: dict[tuple[str, str, Setting], Explainer] = {}
        self.entries: list[Entry] = []

    def take(self, group: Group, baseline: Any, start: int, inputs: tuple[Any, ...]) -> int:
        """Explain a few inputs in every way; return the number of claims that are marked and have a truth."""
        given, name = together(inputs), str(baseline)

        def new(dtype: torch.dtype, **options: Any) -> Explainer:
            return Explainer(group.model, group.processor, baselines=baseline, dtype=dtype, **options)

        exact = record(new(torch.float64), given, goal=GOAL, most=MOST)
        targets = [one.target for one in exact]
        rounded: list[Record] = []
        if start < ROUNDED_INPUTS:
            half = new(torch.bfloat16)
            rounded = record(half, given, goal=ROUNDED_GOAL, most=ROUNDED_MOST, target=targets)
        entries = [
            Entry(group.name, name, start + i, group.images, asdict(one), asdict(rounded[i]) if rounded else None)
            for i, one in enumerate(exact)
        ]
        for setting in self._settings:
            key = (group.name, name, setting)
            if key not in self._explainers:
                self._explainers[key] = new(
                    setting.dtype, method=setting.method, tolerance=setting.tolerance, certify=setting.certify
                )
            a = self._explainers[key](given, target=targets)
            low = setting.dtype is torch.bfloat16
            for i, entry in enumerate(entries):
                entry.claims += _claims(
                    a[i : i + 1], entry, setting, exact=exact[i], half=rounded[i] if rounded and low else None
                )
        self.entries += entries
        return sum(claim.marked and claim.known for entry in entries for claim in entry.claims)


def _claims(a: Attribution, entry: Entry, setting: Setting, *, exact: Record, half: Record | None) -> list[Claim]:
    """The claims of one explanation [1,...]: of its layers, or of its scores."""
    i, here = 0, a.mask[0]
    where = (entry.group, entry.baseline, setting.kind, setting.tolerance, entry.index)
    if setting.certify == "scores":
        scores = a.scores[i, here]
        method = method_of(setting.method, entry.images)
        return [
            Claim(
                *where,
                layer=-1,
                claimed=float(a.score_error[i]),
                marked=bool(a.converged[i]),
                true=relative(scores, scores_of(method, exact)),
                own=max(exact.own),
                nodes=int(a.n_steps[i].sum()),
                rounded=None if half is None else relative(scores, scores_of(method, half)),
            )
        ]
    return [
        Claim(
            *where,
            layer=layer,
            claimed=float(a.error[i, layer]),
            marked=bool(a.layer_converged[i, layer]),
            true=relative(a.layer_scores[i, layer, here], exact.layer_scores[layer]),
            own=exact.own[layer],
            nodes=int(a.n_steps[i, layer]),
            rounded=None if half is None else relative(a.layer_scores[i, layer, here], half.layer_scores[layer]),
        )
        for layer in range(exact.depth)
    ]


def relative(value: Tensor, true: Tensor) -> float:
    """|value - true| / |true|; infinite where the true one is 0 and the value is not."""
    size, off = float(true.norm()), float((value.double() - true).norm())
    return off / size if size else (float("inf") if off else 0.0)


def method_of(name: str, images: bool) -> Method:
    """The method that `explain` uses under a name."""
    return IMAGES[name] if images and name in IMAGES else registry.resolve(name, None)


def scores_of(method: Method, one: Record) -> Tensor:
    """The scores [T] of a method from the true integrals."""
    return method.scores(signals_of(one.layer_scores, one.signals))[0][0]


def signals_of(relevance: Tensor, kept: dict[str, Any]) -> Signals:
    """The signals of one recorded input with a relevance [L,T] of its layers."""
    maps = kept["maps"]
    return Signals(
        relevance=relevance[None],
        maps=None if maps is None else maps[None],
        product=kept["product"][None],
        mask=torch.ones(1, relevance.shape[1], dtype=torch.bool),
        readout=kept["readout"][None],
        backend="auto",
    )


def count(
    names: list[str],
    pairs: int,
    seconds: float,
    save: Callable[[list[Entry]], None],
    tolerances: Sequence[float] = TOLERANCES,
    *,
    explain: bool = True,
    draw: int = 0,
) -> list[Entry]:
    """Explain until there are enough marked claims, or the time is over.

    Args:
        names: of the groups.
        pairs: marked claims with a truth.
        seconds: the most that it may take.
        save: called with what there is, about once a minute and at the end.
        tolerances: relative errors asked for.
        explain: False to record the truth alone; `replay` then makes the claims.
        draw: of the inputs and the random models.
    """
    counter, marked, started = Counter(tolerances, explain), 0, time.monotonic()
    saved = started
    for group, baseline, start, inputs in _affordable(turns(names, SIZE, draw)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # nothing converges at some tolerances, which is counted here
            marked += counter.take(group, baseline, start, inputs)
        now = time.monotonic()
        print(f"{now - started:6.0f} s  {marked:6} marked  {group.name}, {baseline}, from {start}", flush=True)
        if now - saved > 60:
            save(counter.entries)
            saved = now
        if marked >= pairs or now - started > seconds:
            break
    save(counter.entries)
    return counter.entries


def _affordable(given: Iterator[tuple[Group, Any, int, tuple[Any, ...]]]) -> Iterator[Any]:
    """The turns, less those of costly baselines where the inputs' number is no multiple of two calls."""
    return (turn for turn in given if turn[1] not in COSTLY or turn[2] % (2 * SIZE) == 0)
