"""One call, from the model's arguments to an `Attribution`: engine, signals, scores and errors."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace

import torch
from torch import Tensor, nn

from . import ops
from ._options import Options
from ._tokens import changed_tokens, readout, reads_ids_twice, tokens_seen, with_added_tokens
from ._utils.progress import ticker
from .engines.autograd import AutogradEngine
from .engines.base import Endpoints, Engine, Problem
from .engines.layer_paths import Relevance, ScoreErrors, input_paths, layer_paths
from .engines.native.engine import NativeEngine
from .engines.native.verify import NotTheModelError
from .engines.native.workspace import Workspace
from .inputs.baseline import Reference, reference, take
from .inputs.prepare import Inputs
from .inputs.target import Target, is_multi_label, per_input, returns, scalars
from .methods.base import Signals
from .methods.fusion import Fusion, context_map
from .methods.score_error import LayerErrors, allowed, combined, score_errors
from .model.call import Call
from .model.checks import compute_dtype
from .model.encoder import Encoder
from .model.instrumented import Layout
from .model.own_answer import OwnAnswers
from .model.word_reach import WordReach
from .quadrature.adaptive import AdaptiveIntegral
from .quadrature.warm_start import Calibration, Trace
from .results.attribution import Attribution, concatenate
from .results.provenance import Provenance
from .results.statement import incomplete

SEVERAL = 16  # targets in one pass: the attention maps of each are held until its scores are made


@dataclass
class Memory:
    """The state that an Explainer keeps from call to call.

    Args:
        calibration: the best start of each layer's paths.
        known: kinds of calls that were compared with the model's own forward pass.
        workspaces: the workspace that the previous call left, at most one.
        own: calls of the caller's own object.
        reach: kinds of calls whose ids reach the output past their lookups.
    """

    calibration: Calibration = field(default_factory=Calibration)
    known: dict[Hashable, Layout] = field(default_factory=dict)
    own: OwnAnswers = field(default_factory=OwnAnswers)
    reach: WordReach = field(default_factory=WordReach)
    workspaces: deque[Workspace] = field(default_factory=lambda: deque(maxlen=1), repr=False)

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """The workspace of the previous call. Concurrent calls get their own; an error drops it."""
        try:
            leased = self.workspaces.pop()
        except IndexError:
            leased = Workspace()
        yield leased
        self.workspaces.append(leased)


class Pipeline:
    """One call's model, options and engine.

    Args:
        model: the module that computes.
        encoder: where its blocks are.
        settings: the options.
        memory: what earlier calls learned; this one adds to it.
        workspace: what the engine of an earlier call left; this one fills it anew.
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
        workspace: Workspace,
        *,
        hooks: bool = True,
    ) -> None:
        self.model, self.encoder, self.settings, self.memory = model, encoder, settings, memory
        self._hooks = hooks
        self._workspace = workspace
        self.engine, self.not_native = self._choose()
        self._traces: list[Trace] = []
        self._kind = ""
        self._targets = 1
        # every product rounds, so an answer is no better than the dtype; what is left of the tolerance is the rule's
        self._rounding = torch.finfo(self.engine.dtype).eps
        self._rule = replace(settings.rule, tolerance=max(settings.tolerance - self._rounding, self._rounding))

    def explain(self, batch: Inputs) -> Attribution:
        """Explain a few inputs at a time, as many as their endpoints leave room for in the memory budget."""
        parts: list[Attribution] = []
        first, size = 0, 1
        with ticker(self.settings.progress, len(batch)) as tick:
            while first < len(batch):
                parts.append(self._group(batch, slice(first, first + size)))
                for _ in range(min(size, len(batch) - first)):
                    tick()
                first += size
                size = max(1, min(32, self.engine.budget // (2 * self.engine.row_bytes)))
        self.memory.calibration.learn(self._kind, self._traces)
        # a head that reads padding is found at the first padded group; the record tells of the engine from there on
        return replace(concatenate(parts), engine=parts[-1].engine, settings=parts[-1].settings)

    def _choose(self) -> tuple[Engine, str]:
        """The engine asked for; with "auto" the native one where it can be, else the autograd engine, and why."""
        settings = self.settings
        if settings.engine == "autograd":
            return self._autograd_engine(), ""
        why = 'method "conductance" runs on the autograd engine' if settings.resolved.integral == "input" else ""
        if not why:
            try:
                return NativeEngine(
                    self.model,
                    self.encoder,
                    dtype=compute_dtype(settings.dtype, self.model),
                    memory_budget=settings.memory_budget,
                    backend=settings.backend,
                    known=self.memory.known,
                    workspace=self._workspace,
                    hooks=self._hooks,
                ), ""
            except ValueError as error:
                why = str(error)
        if settings.engine == "native":
            raise ValueError(f'engine: "native" cannot run this: {why}; use engine="autograd"')
        return self._autograd_engine(), why

    def _autograd_engine(self) -> AutogradEngine:
        settings = self.settings
        return AutogradEngine(
            self.model,
            self.encoder,
            dtype=compute_dtype(settings.dtype, self.model),
            memory_budget=settings.memory_budget,
            backend=settings.backend,
            hooks=self._hooks,
        )

    def _group(self, batch: Inputs, rows: slice) -> Attribution:
        settings = replace(
            self.settings,
            target=per_input(self.settings.output, self.settings.target, len(batch), rows),
            baselines=take(self.settings.baselines, batch, rows),
        )
        try:
            return self._explain(batch.take(rows), settings, rows.start)
        except NotTheModelError as error:
            if settings.engine == "native":
                raise
            self.engine, self.not_native = self._autograd_engine(), str(error)
            return self._explain(batch.take(rows), settings, rows.start)

    def _explain(self, batch: Inputs, settings: Options, first: int) -> Attribution:
        engine = self.engine
        call = engine.tap.cast(batch.call)
        compared = (
            None if settings.resolved.integral == "none" else reference(settings.baselines, replace(batch, call=call))
        )
        parts: list[Attribution] = []
        while not parts or len(parts) < self._targets:
            ends = self._ends(call, compared, batch, settings, first=first, done=len(parts))
            parts += self._attributions(call, compared, batch, settings, ends)
        if len(parts) == 1:
            return parts[0]
        # the targets of one input side by side
        n = len(batch)
        order = [k * n + b for b in range(n) for k in range(len(parts))]
        source = torch.arange(first, first + n).repeat_interleave(len(parts))
        return replace(concatenate(parts)[order], source=source)

    def _attributions(
        self, call: dict[str, Tensor], compared: Reference | None, batch: Inputs, settings: Options, ends: Endpoints
    ) -> list[Attribution]:
        """One of the batch for each scalar."""
        method, engine, encoder = settings.resolved, self.engine, self.encoder
        layers = settings.chosen(ends.layers)
        batch = with_added_tokens(batch, compared, ends)
        mask, special = tokens_seen(batch, encoder, ends)
        described = _described(settings, layers, compared, encoder, engine)
        signals = [
            Signals(
                relevance=torch.zeros(len(batch), len(layers), mask.shape[1], dtype=torch.float64),
                maps=None if slopes.maps is None else torch.stack([slopes.maps[i].cpu() for i in layers], 1),
                product=slopes.product[layers].transpose(0, 1).cpu() * mask[:, None],
                mask=mask,
                readout=readout(encoder, slopes, mask),
                backend=settings.backend,
            )
            for slopes in ends.slopes
        ]
        kind = "|".join(str(getattr(described, name)) for name in ("baselines", "output", "tolerance", "dtype"))
        found = self._integrate(call, ends, layers, signals, settings=settings, kind=kind)
        out = []
        for scalar, one, integrated in zip(ends.scalars, signals, found, strict=True):
            relevance, bypass, score_error = None, None, torch.full((len(batch),), torch.nan)
            if integrated is not None:
                relevance, harms = integrated
                bypass = relevance.bypass + relevance.share(~mask)
                one = replace(one, relevance=relevance.r * mask[:, None])
                score_error = (combined(harms) + self._rounding).float()
            scores, layer_scores = method.scores(one)
            unknown = torch.full((len(batch), len(layers)), torch.nan)
            error = unknown if relevance is None else relevance.column("error", torch.float64) + self._rounding
            attribution = Attribution(
                scores=scores.float(),
                layer_scores=layer_scores.float(),
                gap=unknown if relevance is None else relevance.gap.float(),
                convergence_delta=unknown if relevance is None else relevance.column("delta", torch.float32),
                error=error.float(),
                score_error=score_error,
                n_steps=torch.ones(error.shape, dtype=torch.int64)
                if relevance is None
                else relevance.column("nodes", torch.int64),
                layer_converged=torch.ones(error.shape, dtype=torch.bool)
                if relevance is None or bypass is None
                else (error <= settings.tolerance) & ~incomplete(bypass, settings.tolerance),
                bypass=unknown if bypass is None else bypass.float(),
                target=None if scalar.target is None else scalar.target.cpu(),
                logits=torch.zeros(len(batch), 0)
                if ends.logits is None or ends.logits.dim() != 2
                else ends.logits.float().cpu(),
                mask=mask,
                special=special,
                texts=batch.texts,
                grid=batch.grid(encoder, mask.shape[1]),
                images=batch.shown,
                labels=_labels(self.model, ends),
                method=method.name,
                settings=replace(
                    described,
                    not_native=self.not_native,
                    multi_label=is_multi_label(engine.tap.model),
                    returns=returns(engine.tap.model, ends.logits),
                ),
                engine=engine.name,
                backend=ops.resolve(settings.backend, ends.hidden[0].flatten(0, 1).float()),
                maps=_context_maps(one, method.fusion) if settings.return_maps and method.fusion else None,
            )
            out.append(attribution)
        return out

    def _ends(
        self,
        call: dict[str, Tensor],
        compared: Reference | None,
        batch: Inputs,
        settings: Options,
        *,
        first: int,
        done: int,
    ) -> Endpoints:
        """The ends of all paths, for the scalars after the first `done`, as many as one pass takes."""
        engine = self.engine
        several = is_multi_label(engine.tap.model)
        other = None if compared is None else compared.call
        words, changed = None, None
        if compared is not None and other is not None and compared.words is not None:
            changed = changed_tokens(batch, compared)
            if batch.embeds is not None:
                made = compared.words(call[batch.embeds], lambda ids: engine.tap.lookup(ids))
                other = {**other, batch.embeds: made}
            elif reads_ids_twice(self.model) or self._past_lookups(call, batch):
                # what else reads the ids (a decoder, a wide part) gets those of the baseline too: a bypass
                if compared.ids is None:
                    raise ValueError(
                        f"baselines: {compared.name} is no baseline of ids, and the model reads its ids by another way "
                        'than one table of words (a decoder, a wide part, hashes); pass "pad", "mask", an id or ids'
                    )
                other = {**other, batch.ids_name: compared.ids}
            else:
                words = compared.words

        def resolve(z: Tensor | None) -> list[Target]:
            found = scalars(settings.output, settings.target, z, several, first)
            self._targets = len(found)
            return found[done : done + SEVERAL]

        return engine.ends(
            Problem(
                call=call,
                baseline=other,
                ids="" if batch.ids is None else batch.ids_name,
                words=words,
                word_ids=None if words is None or compared is None else compared.ids,
                changed=changed,
                resolve=resolve,
                maps=settings.resolved.maps,
                mask=batch.mask if batch.texts is not None else None,
            )
        )

    def _past_lookups(self, call: Call, batch: Inputs) -> bool:
        keep = (batch.special | ~batch.mask).to(call[batch.ids_name].device)
        return self.memory.reach.past_lookups(self.engine.tap, call, batch.ids_name, keep)

    def _integrate(
        self,
        call: dict[str, Tensor],
        ends: Endpoints,
        layers: list[int],
        signals: list[Signals],
        *,
        settings: Options,
        kind: str,
    ) -> list[tuple[Relevance, Tensor] | None]:
        """For each scalar the relevance and the score errors by layer; None where there is none."""
        integral, engine, rule = settings.resolved.integral, self.engine, self._rule
        if integral == "none":
            return [None] * len(signals)
        harms: dict[int, Tensor] = {}

        def harm(k: int, found: Relevance) -> Tensor:
            now = replace(signals[k], relevance=found.r * signals[k].mask[:, None])
            harms[k] = score_errors(settings.resolved, now, LayerErrors.of(found))
            return harms[k]

        def weigh(k: int, found: Relevance) -> ScoreErrors:
            return ScoreErrors(harm(k, found), lambda row: combined(row) > rule.tolerance)

        if isinstance(engine, AutogradEngine) and integral == "input":
            relevance = input_paths(engine, call, ends, layers, rule)
            return [(found, harm(k, found)) for k, found in enumerate(relevance)]
        kind = f"{kind}|{settings.certify}"
        starts = [self.memory.calibration.start(kind, layer) for layer in layers]
        scores = settings.certify == "scores"
        relevance, paths = layer_paths(engine, call, ends, layers, rule, starts=starts, weigh=weigh if scores else None)
        tolerances = torch.full((len(relevance), *relevance[0].gap.shape), rule.tolerance, dtype=torch.float64)
        costs = torch.tensor([ends.layers - layer - 0.5 for layer in layers], dtype=torch.float64)
        for k, found in enumerate(relevance):
            if scores:  # the last that was weighed
                tolerances[k] = allowed(harms[k], found.column("error", torch.float64), rule.tolerance, costs)
            else:
                harm(k, found)
        self._kind = kind
        self._traces += [
            Trace(layer, *path.trace, path.gap, path.noise, float(tolerances[k, b, layers.index(layer)]))
            for (k, b, layer), path in paths.items()
            if isinstance(path, AdaptiveIntegral) and not path.stalled
        ]
        return [(found, harms[k]) for k, found in enumerate(relevance)]


def _context_maps(signals: Signals, fusion: Fusion) -> Tensor:
    """M_l [B,L,T,U], zeros at padding."""
    maps = signals.maps
    if maps is None:
        raise RuntimeError("context maps were asked of a method without attention maps")
    out = torch.zeros(maps.shape)
    for b, mask in enumerate(signals.mask):
        real = mask.nonzero().flatten()
        for layer in range(maps.shape[1]):
            found = context_map(signals.relevance[b, layer, real], maps[b, layer][real][:, real].double(), fusion)
            out[b, layer, real[:, None], real] = found.float()
    return out


def _labels(model: nn.Module, ends: Endpoints) -> tuple[str, ...] | None:
    names = getattr(getattr(model, "config", None), "id2label", None)
    if not isinstance(names, Mapping) or ends.logits is None or len(names) != ends.logits.shape[-1]:
        return None
    return tuple(str(names[i]) for i in sorted(names))


def _described(
    settings: Options, layers: list[int], compared: Reference | None, encoder: Encoder, engine: Engine
) -> Provenance:
    fusion = settings.resolved.fusion
    return Provenance(
        family=encoder.family,
        blocks=[encoder.blocks[engine.tap.order[i]] for i in layers],
        baselines=None if compared is None else compared.name,
        output=getattr(settings.output, "__name__", str(settings.output)),
        layers=layers,
        quadrature=settings.quadrature,
        n_steps=settings.n_steps,
        tolerance=settings.tolerance,
        certify=settings.certify,
        fusion=None if fusion is None else asdict(fusion),
        dtype=str(engine.dtype).removeprefix("torch."),
    )
