"""The results of a run: signals, scores and errors of each scalar, as attributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import ops
from .._utils.ends import ENDS
from .._utils.host_copies import fetched, followed, sent, uploaded
from ..engines.base import Endpoints, Engine, Run
from ..engines.layer_paths import Relevance
from ..engines.tokens import readout, tokens_seen, with_added_tokens
from ..inputs.baseline import Baseline
from ..inputs.prepare import Inputs
from ..inputs.target import is_multi_label, returns
from ..methods.base import Signals
from ..methods.fusion import Fusion, context_map
from ..methods.score_error import combined
from ..model.encoder import Encoder
from ..model.names import name_of, tokens_before
from ..quadrature.estimate import Floats, Ints
from ..results.attribution import Attribution
from ..results.provenance import Provenance
from ..results.statement import incomplete
from ..results.tokens import Grid
from .integrate import Integrated, Integration
from .options import Options


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The question that a run answers, and who answers it.

    Args:
        settings: the options.
        engine: the engine.
        encoder: where the model's blocks are.
        model: the module that computes.
        baselines: x', one or several; none where the method integrates nothing.
        not_native: the reason why the native engine did not run, or "".
        rounding: of every layer's integrand [L], None where the method integrates nothing.
        embedding: the run of IG at the embeddings under rules of its own, or None.
    """

    settings: Options
    engine: Engine
    encoder: Encoder
    model: nn.Module
    baselines: Sequence[Baseline]
    not_native: str
    rounding: Floats | None
    embedding: Run | None = None


def attributions(run: Run, batch: Inputs, asked: Asked, integration: Integration) -> list[Attribution]:
    """One of the batch for each scalar."""
    settings, encoder, ends = asked.settings, asked.encoder, run.endpoints
    layers = settings.chosen(ends.layers)
    with followed(lasting=True):
        batch = with_added_tokens(batch, asked.baselines[0] if asked.baselines else None, ends)
        mask, special = tokens_seen(batch, encoder, ends)
        described = _described(asked, layers, ends)
    device = ends.first.device
    there, content, where = (sent(t, device) for t in (mask, mask & ~special, torch.tensor(layers)))
    signals = [
        Signals(
            relevance=torch.zeros(len(batch), len(layers), mask.shape[1], dtype=torch.float64, device=device),
            maps=None if slopes.maps is None else torch.stack([slopes.maps[i].detach() for i in layers], 1),
            product=slopes.product[where].transpose(0, 1) * there[:, None],
            mask=there,
            readout=uploaded(readout(encoder, slopes, mask), device),
            backend=settings.backend,
            integrand=slopes.high[where].transpose(0, 1) * there[:, None],
            content=content,
        )
        for slopes in ends.slopes
    ]
    kind = "|".join(str(getattr(described, name)) for name in ("baselines", "output", "tolerance", "dtype", "rules"))
    rounding = np.zeros(len(layers)) if asked.rounding is None else asked.rounding[layers]
    embeddings: list[Relevance | None] = [None] * len(signals)
    if asked.embedding is not None and asked.rounding is not None:
        beside = f"{kind}|{settings.rules_beside['embedding']}"
        embeddings = [
            *integration.embedding(asked.embedding, layers[0], settings, kind=beside, rounding=asked.rounding)
        ]
        signals = [
            one if integrals is None else replace(one, embedding=integrals.r[:, 0] * there)
            for one, integrals in zip(signals, embeddings, strict=True)
        ]
    integrals = integration.run(run, layers, signals, settings=settings, kind=kind, rounding=rounding, content=content)
    common: dict[str, Any] = {
        "logits": torch.zeros(len(batch), 0)
        if ends.logits is None or ends.logits.dim() != 2
        else fetched(ends.logits)[0].float(),
        "mask": mask,
        "special": special,
        "texts": batch.texts,
        "grid": _named(batch.grid(encoder, mask.shape[1]), asked.model),
        "images": batch.shown,
        "labels": _labels(asked.model, ends),
        "method": settings.resolved.name,
        "settings": described,
        "engine": asked.engine.name,
        "backend": ops.resolve(settings.backend, ends.first.flatten(0, 1).float()),
    }
    return [
        Attribution(
            **_scores(
                one,
                integrated,
                settings,
                rounding=rounding,
                complete=ends.complete,
                embedding=embedding,
                baselines=len(asked.baselines),
            ),
            target=None if scalar.target is None else fetched(scalar.target)[0],
            **common,
        )
        for scalar, one, integrated, embedding in zip(ends.scalars, signals, integrals, embeddings, strict=True)
    ]


def _scores(
    signals: Signals,
    integrated: Integrated | None,
    settings: Options,
    *,
    rounding: Floats,
    complete: bool,
    embedding: Relevance | None,
    baselines: int,
) -> dict[str, Any]:
    """The fields of an attribution that come from the signals of one scalar."""
    method, shape = settings.resolved, signals.product.shape[:2]
    if integrated is not None:
        signals = replace(signals, relevance=integrated.relevance.r * signals.mask[:, None])
    scores, layer_scores = fetched(*(method.scores(signals) if integrated is None else integrated.scores))
    unknown = np.full(shape, np.nan)
    error, bypass = unknown, unknown
    columns: dict[str, Floats] = dict.fromkeys(("gap", "convergence_delta"), unknown)
    nodes: Ints = np.ones(shape, dtype=np.int64)
    score_error = np.full(shape[0], np.nan)
    converged, ends = np.ones(shape, dtype=bool), np.zeros(shape, dtype=np.int64)
    if integrated is not None:
        relevance = integrated.relevance
        error = relevance.errors.error + rounding
        bypass, columns = relevance.bypass, {"gap": relevance.gap, "convergence_delta": unknown}
        if complete:
            elsewhere = fetched(integrated.elsewhere)[0].numpy()
            bypass, columns["convergence_delta"] = bypass + relevance.share(elsewhere), relevance.errors.delta
        effects, nodes = integrated.effects, relevance.nodes
        if embedding is not None and method.fusion is not None:
            effects = np.hstack([effects, _effect(embedding, scores, method.fusion.embedding_share)])
            error[:, 0] = np.maximum(error[:, 0], embedding.errors.error[:, 0] + rounding[0])
            nodes = nodes + np.eye(1, shape[1], dtype=np.int64) * embedding.nodes
        nodes = nodes * baselines  # each has a path
        score_error = combined(effects) + rounding.max(initial=0.0)
        within = ~incomplete(torch.from_numpy(bypass), settings.tolerance).numpy()
        converged = (error <= settings.tolerance) & within
        # the integral met what rounding leaves of the tolerance, or rounding leaves nothing
        ends = np.where((relevance.ends == 0) & (error > settings.tolerance), ENDS.index("rounding"), relevance.ends)
        ends = np.where(error <= settings.tolerance, 0, ends)
    maps = _context_maps(signals, method.fusion) if settings.return_maps and method.fusion else None
    return {
        "scores": scores.float(),
        "layer_scores": layer_scores.float(),
        **{name: _tensor(column) for name, column in columns.items()},
        "error": _tensor(error),
        "bypass": _tensor(bypass),
        "score_error": _tensor(score_error),
        "n_steps": torch.from_numpy(nodes.copy()),
        "layer_converged": torch.from_numpy(converged),
        "ends": torch.from_numpy(ends),
        "maps": maps,
    }


def _effect(embedding: Relevance, scores: Tensor, share: float) -> Floats:
    """Relative error of the scores [B,1] at most, that the error of IG under rules of its own makes.

    It moves the share itself, and by the scale the rest.
    """
    part = share * embedding.r[:, 0]
    sizes = [value.norm(dim=1).cpu().numpy() for value in (part, scores - part, scores)]
    relative: Floats = (sizes[0] + sizes[1]) / np.where(sizes[2] > 0, sizes[2], 1.0)
    return embedding.errors.error * relative[:, None]


def _tensor(column: Floats) -> Tensor:
    return torch.from_numpy(column.astype(np.float32))


def _context_maps(signals: Signals, fusion: Fusion) -> Tensor:
    """M_l [B,L,T,U], zeros at padding."""
    maps = signals.maps
    if maps is None:
        raise RuntimeError("context maps were asked of a method without attention maps")
    out = torch.zeros(maps.shape)
    for b, mask in enumerate(signals.mask):
        real = mask.nonzero().flatten()
        for layer in range(maps.shape[1]):
            context = context_map(signals.relevance[b, layer, real], maps[b, layer][real][:, real].double(), fusion)
            out[b, layer, real.cpu()[:, None], real.cpu()] = context.float().cpu()
    return out


def _named(grid: Grid | None, model: nn.Module) -> Grid | None:
    return grid if grid is None else replace(grid, names=tokens_before(model, grid.prefix))


def _labels(model: nn.Module, ends: Endpoints) -> tuple[str, ...] | None:
    names = getattr(getattr(model, "config", None), "id2label", None)
    if not isinstance(names, Mapping) or ends.logits is None or len(names) != ends.logits.shape[-1]:
        return None
    return tuple(str(names[i]) for i in sorted(names))


def _described(asked: Asked, layers: list[int], ends: Endpoints) -> Provenance:
    settings, tap = asked.settings, asked.engine.tap
    fusion, names = settings.resolved.fusion, [baseline.name for baseline in asked.baselines]
    return Provenance(
        model=name_of(asked.model),
        family=asked.encoder.family,
        blocks=[asked.encoder.blocks[ends.order[i]] for i in layers],
        baselines=names[0] if len(names) == 1 else names or None,
        output=getattr(settings.output, "__name__", str(settings.output)),
        layers=layers,
        quadrature=settings.quadrature,
        n_steps=settings.n_steps,
        tolerance=settings.tolerance,
        certify=settings.certify,
        k=settings.k,
        fusion=None if fusion is None else asdict(fusion),
        rules=settings.backward.record(),
        map_rules=None if settings.map_backward == settings.backward else asdict(settings.map_backward),
        calibration=None if settings.choice is None else settings.choice.record(),
        dtype=str(asked.engine.dtype).removeprefix("torch."),
        not_native=asked.not_native,
        multi_label=is_multi_label(tap.model),
        returns=returns(tap.model, ends.logits),
    )
