"""The monitor: the times of looks, the probes, and the logs."""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import Attribution, Explainer
from .._utils import files
from .._utils.arguments import between, flag, integer
from .._utils.warn import renamed_argument, warn
from ..inputs.prepare import read
from ..model import checks
from ..model.clone import unwrap
from .budget import Budget
from .history import History
from .logs import Record, pages, shows, writers
from .original import Original
from .page import page as drawn
from .probes import Probe, probes
from .schedule import Schedule
from .undisturbed import undisturbed

_OURS = {"target": "a probe has its own: Probe(inputs, target=...)", "progress": "a look shows none"}


class Monitor:
    """Explains a few probes repeatedly while a model trains, and records the changes of the explanations.

        monitor = Monitor(model, ["a text", "another"], processor=tokenizer, log="looks.jsonl", page="looks.html")
        for batch in loader:
            ...                 # forward, backward, optimizer.step()
            monitor.step()
        monitor.close()

    By default a look explains every probe from the endpoints alone: one forward and backward pass of two rows. This is
    not an integral. A look measures the drift since the last look, the concentration of the relevance, its distribution
    over the blocks, the share on special tokens, and the completeness error (`measures.Look`).

    The training stays the same, bit for bit: explanations run on a clone that shares the weights, in evaluation mode,
    and random states are restored. Forward hooks on the model run during a look too.

    Looks take at most `overhead` of the time since the first `step`. The first look comes at once, and every other look
    waits until its cost is earned (`budget.Budget`). A run shorter than the first look's cost / `overhead` spends more;
    `share` is the share that was spent.

    In distributed training only rank 0 looks; the other ranks return at once.

    Args:
        model: as for `explain`; wrapped, in training mode, on any device, which may change while it trains.
        probes: an input, a `Probe` (with target and name), a list of them, or a batch, which becomes one probe for each
            row.
        processor: tokenizer or image processor, for probes that are texts or pictures.
        every: smallest number of steps between two looks, an int.
        looks: number of looks that the run gets in any case, spread evenly over its steps, the first and the last among
            them; None leaves all of them to `overhead`. A short run has as few looks as its budget pays for otherwise.
        steps: number of steps of the run, for `looks`; the callbacks for Trainers know it.
        overhead: largest share of the time for looks, above 0 and at most 1; 1 looks every `every` steps.
        log: the target of the records, one for each look and probe: a path (JSON lines, appended), TensorBoard's
            SummaryWriter, `wandb` or a run of it, `mlflow`, an object with `log_metrics` (Lightning's loggers), a
            callable of a dict, or a list of these. A path that ends in .csv is a table. W&B and MLflow get the page at
            `close`.
        page: file that is written after each look; None writes none. `html` makes it at any time.
        certify: None for the endpoints alone; "scores" or "layers" to integrate until `tolerance` is met.
        tolerance: relative error, see `explain`; only with `certify`.
        strict: raise the error of a look. Otherwise it is reported once, as a warning and a record with the key
            "error"; the training and later looks continue.
        **options: of `explain`: method, baselines, output, layers, dtype, engine, ...

    Raises:
        ValueError, TypeError: an argument that cannot be honoured, or a probe that the model cannot read.
    """

    @renamed_argument("tokenizer", "processor")
    def __init__(
        self,
        model: nn.Module,
        probes: Any,
        processor: Any = None,
        *,
        every: int = 1,
        looks: int | None = None,
        steps: int | None = None,
        overhead: float = 0.02,
        log: Any = None,
        page: str | Path | None = None,
        certify: str | None = None,
        tolerance: float | None = None,
        strict: bool = False,
        **options: Any,
    ) -> None:
        self._every = _spacing(every)
        self.budget = Budget(_share(overhead))
        begun = self.budget.clock()
        self._certified = certify is not None
        checks.model(model)
        self._original = Original(unwrap(model))
        self._explainer = Explainer(self._original.module, _own(processor), **_options(certify, tolerance, options))
        self._probes = _readable(probes, self._explainer)
        self._targets: dict[str, Any] = {str(p.name): p.target for p in self._probes}
        self._writers, self._pages, self._shows = writers(log), pages(log), shows(log)
        self._schedule = None if looks is None else Schedule(looks, steps)
        if looks is None and steps is not None:
            raise ValueError("steps: it says where looks= spreads its looks; pass looks= too")
        self._page = None if page is None else files.named(page, "page")
        self._strict = flag("strict", strict)
        self._told: set[str] = set()
        self._last: int | None = None
        self.steps = 0
        self.histories = {str(p.name): History(str(p.name)) for p in self._probes}
        self.budget.charge(self.budget.clock() - begun, looked=False)

    def __repr__(self) -> str:
        looks = max(len(history.looks) for history in self.histories.values())
        return f"Monitor(probes={len(self.histories)}, steps={self.steps}, looks={looks})"

    @property
    def share(self) -> float:
        """Share of the time since the first step that looks took, set-up included."""
        return self.budget.used

    def step(self, step: int | None = None) -> bool:
        """Count a training step; look if a look is due and the budget covers it.

        Args:
            step: its number, increasing through a training; None to count calls from 1. A repeated number is no new
                step.

        Returns:
            True if it looked.

        Raises:
            ValueError, TypeError: a step that is no int of at least 0; `looks` without the steps of the run.
            Exception: the error of a look, with strict=True.
        """
        begun = self.budget.clock()
        self.steps = self.steps + 1 if step is None else integer("step", step, 0)
        self.budget.start()
        due = self._last is None or self.steps - self._last >= self._every
        promised = self._schedule is not None and self._schedule.due(self.steps)
        looks = _rank() == 0 and (promised or (due and self.budget.allows()))
        if looks:
            self.look()
        else:
            self.budget.charge(self.budget.clock() - begun, looked=False)
        return looks

    def expect(self, steps: int) -> None:
        """Set the number of steps of the run, where `looks` was given without it; the callbacks for Trainers do it.

        Raises:
            ValueError, TypeError: no int of at least 1.
        """
        if self._schedule is not None:
            self._schedule.expect(steps)

    def look(self) -> None:
        """Look now, independent of the budget; the cost delays later looks.

        Before the first step it shows the model as it was.

        Raises:
            Exception: the error, with strict=True.
        """
        if _rank() != 0:
            return
        self.budget.start()
        device = next(self._explainer.model.parameters()).device
        if device.type != "cpu":  # what is queued there is the training's time
            torch.get_device_module(device).synchronize(device)
        begun = self.budget.clock()
        try:
            with undisturbed(device):
                self._look(device)
        except Exception as error:
            self._failed("the model", error)
        finally:
            self._last = self.steps
            self.budget.charge(self.budget.clock() - begun, looked=True)

    def close(self) -> None:
        """Look a last time if the last step had no look and the budget covers one, and write the page."""
        if self.steps != self._last and self.budget.allows():
            self.look()
        elif _rank() == 0:
            self._draw()
        if _rank() == 0:
            self._give_page()

    def html(self, path: str | Path | None = None) -> str:
        """A self-contained page of every probe over the steps; written to `path` when given, and returned.

        Raises:
            TypeError, ValueError: `path` is not the name of a file.
            OSError: the file cannot be written; an existing file is unchanged.
        """
        text = drawn(list(self.histories.values()), self.share, self._certified)
        if path is not None:
            files.write(path, text)
        return text

    def _look(self, device: torch.device) -> None:
        self._original.refresh()
        for probe, outcome in _explained(self._explainer, self._probes, self._targets, device):
            name = str(probe.name)
            if isinstance(outcome, Exception):
                self._failed(f"probe {name!r}", outcome)
                continue
            if self._targets[name] is None and outcome.target is not None:
                chosen = outcome.target[0].tolist()
                self._targets[name] = tuple(chosen) if isinstance(chosen, list) else chosen
            self._tell(self.histories[name].add(self.steps, outcome, self._certified).record())
            self._try(partial(show, self.histories[name]) for show in self._shows)
        self._draw()

    def _draw(self) -> None:
        if self._page is None:
            return
        try:
            self._page.parent.mkdir(parents=True, exist_ok=True)
            self.html(self._page)
        except Exception as error:
            self._failed("its page", error)

    def _give_page(self) -> None:
        def given(give: Callable[[str], object]) -> None:
            give(self.html())

        self._try(partial(given, give) for give in self._pages)

    def _tell(self, record: Record) -> None:
        self._try(partial(write, record) for write in self._writers)

    def _try(self, calls: Iterable[Callable[[], object]]) -> None:
        """Call every log; one that fails costs no other."""
        for call in calls:
            try:
                call()
            except Exception as error:
                self._failed("its log", error)

    def _failed(self, where: str, error: Exception) -> None:
        """Raise the error, or report it once for each place."""
        if self._strict:
            raise error
        if where in self._told:
            return
        self._told.add(where)
        text = f"{type(error).__name__}: {error}"
        warn(f"monitor: a look at step {self.steps} failed at {where}, and the training goes on: {text}")
        self._tell({"step": self.steps, "at": where, "error": text})


def _explained(
    explainer: Explainer, watched: Sequence[Probe], targets: dict[str, Any], device: torch.device
) -> list[tuple[Probe, Attribution | Exception]]:
    """Every probe's attribution, or its error; texts share a call (six sentences on one thread of a Zen 4:
    0.22 s, and 0.33 s one by one)."""
    groups: dict[Hashable, list[Probe]] = {}
    for i, probe in enumerate(watched):
        alike = (type(probe.inputs), targets[str(probe.name)] is None) if probe.is_text else i
        groups.setdefault(alike, []).append(probe)
    out = [pair for group in groups.values() for pair in _together(explainer, group, targets, device)]
    return sorted(out, key=lambda pair: watched.index(pair[0]))


def _together(
    explainer: Explainer, group: list[Probe], targets: dict[str, Any], device: torch.device
) -> list[tuple[Probe, Attribution | Exception]]:
    """One call for all probes; if it fails, one call for each, so that one bad probe does not hide the others."""
    wanted = [targets[str(p.name)] for p in group]
    inputs = [p.inputs for p in group] if group[0].is_text else group[0].on(device)
    try:
        attribution = explainer(inputs, target=None if wanted[0] is None else [_listed(t) for t in wanted])
        if len(attribution) != len(group):
            raise ValueError(
                f"target: {wanted[0]} asks for several explanations of a probe; name one class, or pass "
                'output="contrast" for a pair'
            )
        return list(zip(group, attribution, strict=True))
    except Exception as error:
        if len(group) == 1:
            return [(group[0], error)]
    return [pair for p in group for pair in _together(explainer, [p], targets, device)]


def _listed(target: Any) -> Any:
    return list(target) if isinstance(target, tuple) else target


def _own(processor: Any) -> Any:
    """A copy: a fast tokenizer keeps the padding and truncation of its last call, and the training may use it too."""
    with contextlib.suppress(Exception):  # a few cannot be copied, and hold no such state
        return copy.deepcopy(processor)
    return processor


def _rank() -> int:
    """The rank of this process: from torch.distributed, else from torchrun, else 0."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank()
    return int(os.environ.get("RANK", "0"))


def _readable(given: Any, explainer: Explainer) -> tuple[Probe, ...]:
    """Check the probes, so that an unreadable input raises here, not during the training."""
    watched, inner = probes(given), unwrap(explainer.model)
    device = next(inner.parameters()).device
    for probe in watched:
        read(probe.on(device), inner, explainer.encoder, explainer.processor)
    return watched


def _options(certify: str | None, tolerance: float | None, options: dict[str, Any]) -> dict[str, Any]:
    for name, why in _OURS.items():
        if name in options:
            raise TypeError(f"{name}: no option of a Monitor: {why}")
    if certify is None and tolerance is not None:
        raise ValueError('tolerance: means nothing without certify; pass certify="scores" or "layers" with it')
    if certify is None:
        return {"n_steps": 1, **options}
    return {"certify": certify, **({} if tolerance is None else {"tolerance": tolerance}), **options}


def _spacing(every: Any) -> int:
    return integer("every", every, 1, what="steps as an int")


def _share(overhead: Any) -> float:
    return between("overhead", overhead, "a share of the time, above 0 and at most 1", 0, 1, open_low=True)
