"""One call, from the model's arguments to an `Attribution`: engine, signals, scores and errors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._utils.host_copies import followed, scoped
from .._utils.progress import ticker
from ..engines.autograd import AutogradEngine
from ..engines.base import Engine, Problem, Run
from ..engines.budget import BudgetError
from ..engines.mean_run import start
from ..engines.native.engine import Known, NativeEngine
from ..engines.native.lease import EngineLease
from ..engines.native.ruled import refusal
from ..engines.native.verify import NotTheModelError
from ..engines.native.workspace import Workspace
from ..engines.tokens import changed_tokens, reads_ids_twice
from ..inputs.baseline import Baseline, at_place, make_baselines, take
from ..inputs.prepare import Inputs
from ..inputs.target import Target, is_multi_label, per_input, scalars
from ..model import quantised
from ..model.backward_rules import Rules
from ..model.call import Call, ModelFailsError
from ..model.checks import compute_dtype, on_several_devices
from ..model.encoder import Encoder
from ..model.own_answer import OwnAnswers
from ..model.word_reach import WordReach
from ..quadrature.estimate import Floats
from ..quadrature.warm_start import Calibration
from ..results.attribution import Attribution
from ..results.joining import concatenate
from . import rounding
from .attributions import Asked, attributions
from .integrate import Integration
from .options import Options

MOST_INPUTS = 32  # of one run
SEVERAL = 16  # targets in one pass: the attention maps of each are held until its scores are made


@dataclass
class Memory:
    """The state that an Explainer keeps from call to call.

    Args:
        calibration: the best start of each layer's paths.
        known: kinds of calls that were compared with the model's own forward pass.
        engines: the engine that the previous call left.
        beside: the same of the engines beside it, by the part that they make under rules of its own.
        own: calls of the caller's own object.
        reach: kinds of calls whose ids reach the output past their lookups.
        rounding: times it was measured, and that of the integrands in 16 bits [L], by engine, dtype and layers.
    """

    calibration: Calibration = field(default_factory=Calibration)
    known: dict[Hashable, Known] = field(default_factory=dict)
    own: OwnAnswers = field(default_factory=OwnAnswers)
    reach: WordReach = field(default_factory=WordReach)
    engines: EngineLease = field(default_factory=EngineLease, repr=False)
    beside: dict[str, EngineLease] = field(default_factory=lambda: defaultdict(EngineLease), repr=False)
    rounding: dict[Hashable, tuple[int, Floats]] = field(default_factory=dict)


class Pipeline:
    """One call's model, options and engine.

    Args:
        model: the module that computes.
        encoder: where its blocks are.
        settings: the options.
        memory: what earlier calls learned; this one adds to it.
        hooks: run the forward hooks that the user put on the model, because they change its answer.

    Raises:
        ValueError: the engine asked for cannot run this.
    """

    def __init__(
        self,
        model: nn.Module,
        encoder: Encoder,
        settings: Options,
        memory: Memory,
        *,
        hooks: bool = True,
    ) -> None:
        self.model, self.encoder, self.settings, self.memory = model, encoder, settings, memory
        self._hooks = hooks
        self._beside: dict[str, Engine] = {}
        self.engine, self.not_native = self._choose()
        self._integration = Integration(memory.calibration)
        self._targets, self._row_bytes = 1, 0

    def explain(self, batch: Inputs) -> Attribution:
        """Explain a few inputs at a time, as many as their endpoints leave room for in the memory budget."""
        parts: list[Attribution] = []
        first = 0
        for engine in (self.engine, *self._beside.values()):
            engine.budget.begin(next(engine.tap.model.parameters()).device)
        with ticker(self.settings.progress, len(batch)) as tick:
            while first < len(batch):
                size = self._fitting(batch)
                part = self._group(batch, slice(first, first + size))
                if part is None:
                    continue
                parts.append(part)
                for _ in range(min(size, len(batch) - first)):
                    tick()
                first += size
        self._integration.learn()
        self.memory.engines.give(self.engine, self._key(self.engine.name, self.settings.backward))
        for name, rules in self.settings.rules_beside.items():
            self.memory.beside[name].give(self._beside[name], self._key(self._beside[name].name, rules))
        # a head that reads padding is found at the first padded group; the record tells of the engine from there on
        return replace(concatenate(parts), engine=parts[-1].engine, settings=parts[-1].settings)

    def _fitting(self, batch: Inputs) -> int:
        """The inputs whose endpoints the budget has room for; one, until a run has told their bytes."""
        given = self.settings.baselines
        baselines = len(given) if isinstance(given, tuple) else 1
        held = self._row_bytes or baselines * self.engine.row_bytes(batch.mask.shape[1])
        return min(MOST_INPUTS, self.engine.budget.inputs((1 + len(self._beside)) * held)) if held else 1

    def _choose(self) -> tuple[Engine, str]:
        """The engine asked for; with "auto" the native one where it can be, else the autograd engine, and why."""
        settings = self.settings
        if settings.engine == "autograd":
            return self._engines("autograd"), ""
        why = 'method "conductance" runs on the autograd engine' if settings.resolved.integral == "input" else ""
        for rules in (settings.backward, *settings.rules_beside.values()):
            why = why or refusal(rules)
        if not why:
            try:
                return self._engines("native"), ""
            except ValueError as error:
                why = str(error)
        if settings.engine == "native":
            raise ValueError(f'engine: "native" cannot run this: {why}; use engine="autograd"')
        return self._engines("autograd"), why

    def _engines(self, name: str) -> Engine:
        """The engine of that name; those beside it are made with it."""
        settings, leases = self.settings, self.memory.beside
        self._beside = {part: self._engine(name, rules, leases[part]) for part, rules in settings.rules_beside.items()}
        engine = self._engine(name, settings.backward, self.memory.engines)
        every = [engine, *self._beside.values()]
        copies = sum(one.budget.copies for one in every)
        for one in every:
            one.budget.copies = copies
        return engine

    def _engine(self, name: str, rules: Rules, lease: EngineLease) -> Engine:
        """The engine that the previous call left, if it serves this one too, or else a new one."""
        engine, workspace = lease.take(self._key(name, rules))
        if engine is not None:
            return engine
        dtype = compute_dtype(self.settings.dtype, self.model)
        return self._new_engine(name, dtype, workspace, rules)

    def _new_engine(self, name: str, dtype: torch.dtype | None, workspace: Workspace | None, rules: Rules) -> Engine:
        budget, backend = self.settings.memory_budget, self.settings.backend
        if name == "autograd":
            return AutogradEngine(
                self.model,
                self.encoder,
                dtype=dtype,
                memory_budget=budget,
                backend=backend,
                hooks=self._hooks,
                rules=rules,
            )
        if why := quantised.refusal(self.model) or on_several_devices(self.model):
            raise ValueError(why)
        return NativeEngine(
            self.model,
            self.encoder,
            dtype=dtype,
            memory_budget=budget,
            backend=backend,
            known=self.memory.known,
            workspace=workspace,
            hooks=self._hooks,
            rules=rules,
        )

    def _key(self, name: str, rules: Rules) -> tuple[Any, ...]:
        """All that an engine is made of beside the model."""
        settings = self.settings
        return (
            name,
            self.encoder,
            settings.dtype,
            settings.memory_budget,
            settings.backend,
            rules,
            self._hooks,
        )

    def _group(self, batch: Inputs, rows: slice) -> Attribution | None:
        """Explain some rows; None where another engine has to, which takes as many as it has room for."""
        settings = self.settings.changed(
            target=per_input(self.settings.output, self.settings.target, len(batch), rows),
            baselines=take(self.settings.baselines, batch, rows),
        )
        try:
            with scoped():
                with followed(lasting=True):
                    group = batch.take(rows)
                return self._explain(group, settings, rows.start)
        except (NotTheModelError, ModelFailsError) as error:
            if settings.engine == "native" or isinstance(self.engine, AutogradEngine):
                raise
            self.engine, self.not_native, self._row_bytes = self._engines("autograd"), str(error), 0
            return None

    def _explain(self, batch: Inputs, settings: Options, first: int) -> Attribution:
        engine = self.engine
        call = engine.tap.cast(batch.call)
        integrates = settings.resolved.integral != "none"
        with followed(lasting=True):
            baselines = make_baselines(settings.baselines, replace(batch, call=call)) if integrates else ()
        parts: list[Attribution] = []
        while not parts or len(parts) < self._targets:
            problems = self._problems(call, baselines, batch, settings, first=first, done=len(parts))
            run = self._started(problems)
            self._row_bytes = run.row_bytes
            request = self._asked(settings, baselines, self._rounding(run, problems) if integrates else None)
            if "embedding" in self._beside:
                beside = [replace(problem, maps=None) for problem in problems]
                request = replace(request, embedding=start(self._beside["embedding"], beside))
            parts += attributions(run, batch, request, self._integration)
        if len(parts) == 1:
            return parts[0]
        # the targets of one input side by side
        n = len(batch)
        order = [k * n + b for b in range(n) for k in range(len(parts))]
        source = torch.arange(first, first + n).repeat_interleave(len(parts))
        return replace(concatenate(parts)[order], source=source)

    def _started(self, problems: Sequence[Problem]) -> Run:
        """The run of problems, its attention maps by another run of the inputs alone where other rules make them."""
        if "maps" not in self._beside:
            return start(self.engine, problems)
        run = start(self.engine, [replace(problem, maps=None) for problem in problems])
        alone = replace(problems[0], baseline=None, words=None, word_ids=None, changed=None)
        for k, slopes in enumerate(self._beside["maps"].start(alone).endpoints.slopes):
            run.endpoints.slopes[k] = replace(run.endpoints.slopes[k], maps=slopes.maps)
        return run

    def _asked(self, settings: Options, baselines: Sequence[Baseline], rounding: Floats | None) -> Asked:
        """The settings and names that the results of a run record."""
        return Asked(
            settings=settings,
            engine=self.engine,
            encoder=self.encoder,
            model=self.model,
            baselines=baselines,
            not_native=self.not_native,
            rounding=rounding,
        )

    def _rounding(self, run: Run, problems: Sequence[Problem]) -> Floats:
        """The rounding of every layer's integrand [L]; in 16 bits the largest that the first calls show."""
        dtype, layers = run.endpoints.first.dtype, run.endpoints.layers
        if dtype not in rounding.NARROW:
            return rounding.of_dtype(dtype, layers)
        key = self.engine.name, dtype, layers
        count, known = self.memory.rounding.get(key, (0, rounding.of_dtype(dtype, layers)))
        if count < rounding.MEASURED:
            try:
                wide = self._new_engine(self.engine.name, torch.float32, None, self.settings.backward)
                self.engine.budget.share(wide.budget, run.held)
                scalars_of = run.endpoints.scalars
                again = [
                    replace(
                        problem,
                        call=wide.tap.cast(problem.call),
                        baseline=None if problem.baseline is None else wide.tap.cast(problem.baseline),
                        resolve=lambda z: scalars_of,
                        maps=None,
                    )
                    for problem in problems
                ]
                roundings = rounding.measured(run, start(wide, again))
            except BudgetError:
                raise
            except (ValueError, RuntimeError):  # a model that runs in 16 bits alone, or no memory for the wide weights
                roundings = rounding.unknown(dtype, layers)
            known = np.maximum(known, roundings)
            self.memory.rounding[key] = count + 1, known
        return known

    def _problems(
        self,
        call: dict[str, Tensor],
        baselines: Sequence[Baseline],
        batch: Inputs,
        settings: Options,
        *,
        first: int,
        done: int,
    ) -> list[Problem]:
        """The problem of each baseline; of none, that of the inputs alone."""
        made = []
        for place, baseline in enumerate(baselines or [None]):
            with at_place(place, len(baselines)):
                made.append(self._problem(call, baseline, batch, settings, first=first, done=done))
        return made

    def _problem(
        self,
        call: dict[str, Tensor],
        baseline: Baseline | None,
        batch: Inputs,
        settings: Options,
        *,
        first: int,
        done: int,
    ) -> Problem:
        """The problem of the scalars after the first `done`, as many as one pass takes."""
        engine = self.engine
        several = is_multi_label(engine.tap.model)
        other = None if baseline is None else baseline.call
        words, changed = None, None
        if baseline is not None and other is not None and baseline.words is not None:
            changed = changed_tokens(batch, baseline)
            if batch.embeds is not None:
                made = baseline.words(call[batch.embeds], lambda ids: engine.tap.lookup(ids))
                other = {**other, batch.embeds: made}
            elif reads_ids_twice(self.model) or self._past_lookups(call, batch):
                # what else reads the ids (a decoder, a wide part) gets those of the baseline too: a bypass
                if baseline.ids is None:
                    raise ValueError(
                        f"baselines: {baseline.name} is no baseline of ids, and the model reads its ids by another way "
                        'than one table of words (a decoder, a wide part, hashes); pass "pad", "mask", an id or ids'
                    )
                other = {**other, batch.ids_name: baseline.ids}
            else:
                words = baseline.words

        def resolve(z: Tensor | None) -> list[Target]:
            targets = scalars(settings.output, settings.target, z, several, first)
            self._targets = len(targets)
            return targets[done : done + SEVERAL]

        return Problem(
            call=call,
            baseline=other,
            ids="" if batch.ids is None else batch.ids_name,
            words=words,
            word_ids=None if words is None or baseline is None else baseline.ids,
            changed=changed,
            resolve=resolve,
            maps=settings.resolved.maps,
            mask=batch.mask if batch.texts is not None else None,
            scalar=settings.output if isinstance(settings.output, str) else None,
        )

    def _past_lookups(self, call: Call, batch: Inputs) -> bool:
        keep = (batch.special | ~batch.mask).to(call[batch.ids_name].device)
        return self.memory.reach.past_lookups(self.engine.tap, call, batch.ids_name, keep)
