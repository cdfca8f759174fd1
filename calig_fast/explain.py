"""The whole flow on one page: from a model and its inputs to an `Attribution`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from . import checks, families, ops
from .attribution import Attribution, concatenate
from .checks import compute_dtype
from .encoder import Encoder
from .engine.integrate import Relevance, input_paths, layer_paths
from .engine.points import Ends
from .engine.reference import Oracle
from .inputs import Inputs, read
from .method.fusion import Fusion, context_map
from .method.presets import Signals, score_error
from .output import Output, Scalar, per_input, scalar
from .progress import Progress, ticker
from .references import Reference, reference, take
from .settings import Settings
from .shadow import unwrap


def explain(
    model: nn.Module,
    inputs: Any,
    *,
    target: Any = None,
    baselines: Any = None,
    method: str | Fusion = "calig",
    output: Output = "logit",
    layers: int | str | Sequence[int | str] | None = None,
    n_steps: int | None = None,
    quadrature: str = "auto",
    tolerance: float = 2e-2,
    certify: str = "layers",
    lam: float | None = None,
    dtype: torch.dtype | None = None,
    memory_budget: int | None = None,
    engine: str = "auto",
    backend: str = "auto",
    tokenizer: Any = None,
    progress: Progress = None,
    return_maps: bool = False,
) -> Attribution:
    """Signed relevance of every token or patch for what `model` decided about `inputs`, layer by layer.

    r_l[t] = sum_d (h_l - h'_l)[t,d] * integral over a of dF_l/dh_l[t,d] at h'_l + a (h_l - h'_l), fused with the
    attention gradients G_l = mean_h A (.) dF/dA into M_l = lam r^_l + (1 - lam) G^_l, and rolled out over the layers.
    A documented reconstruction of CA-LIG (Mersha and Kalita, arXiv 2602.16608).

    The model is explained in evaluation mode, in whatever mode it is, and is not touched.

    Args:
        model: a Hugging Face or timm classifier, or any model with `layers=` naming its blocks.
        inputs: a tokenizer's output, a dict of tensors, ids [T] or [B,T], pixels [C,H,W] or [B,C,H,W]; with a
            tokenizer or processor also text, a list of texts, a pair (a tuple), a list of pairs, PIL images.
        tokenizer: tokenizer or image processor; names tokens and words, finds special tokens, takes text and pictures.
        target: class to explain: None (the predicted one), an int, or B of them; pairs for output="contrast".
        baselines: the reference. Text: "pad" (default), "mask", "unk", "zero_embedding", an id or embeddings, in the
            place of content; ids in the place of everything; "zeros", a zero hidden state at each layer. Images: "blur"
            (default), "mean", "black", "zeros", pixels.
        method: "calig", "ig", "layer_ig", "conductance", "rollout", "chefer", "attcat", "attention_gradient",
            "gradient_x_input", or a `Fusion` of options for CA-LIG.
        output: the scalar F: "logit", "log_prob", "prob", "contrast", or a function of the model's output (and, if it
            takes two arguments, of the [N] int64 input each row belongs to) that returns one scalar a row.
        layers: indices of the blocks used, or dotted names of the blocks (or of their list) of an unknown model.
        n_steps: steps of a fixed rule (default 50); with quadrature="auto" the most intervals a path may use (default
            128), 1 meaning the end points alone.
        quadrature: "auto" (to `tolerance`), "corrected_trapezoid", "gausslegendre", "riemann_left", "riemann_right",
            "riemann_middle", "riemann_trapezoid".
        tolerance: relative error of r_l (norm over tokens) that counts as converged.
        certify: "layers": every r_l meets the tolerance.
        lam: weight of the relevance in the fusion, 0 to 1.
        dtype: dtype to compute in; None for the model's own (float32 for a float16 model on the CPU).
        memory_budget: bytes a wave of path points may hold; None for 512 MiB.
        engine: "auto" or "reference".
        backend: backend of the fused operations: "auto", "reference", "cpu".
        progress: True for a progress bar, or a function of (done, total).
        return_maps: keep the context maps M_l [B,L,T,U].

    Returns:
        the attribution.

    Raises:
        ValueError, TypeError: an argument that cannot be honoured, naming it, what was expected, and the way out.
    """
    return Explainer(
        model,
        tokenizer,
        target=target,
        baselines=baselines,
        method=method,
        output=output,
        layers=layers,
        n_steps=n_steps,
        quadrature=quadrature,
        tolerance=tolerance,
        certify=certify,
        lam=lam,
        dtype=dtype,
        memory_budget=memory_budget,
        engine=engine,
        backend=backend,
        progress=progress,
        return_maps=return_maps,
    )(inputs)


class Explainer:
    """A model with its tokenizer or processor and the options of `explain`, ready for many inputs.

    Args:
        model: see `explain`.
        processor: tokenizer or image processor, or None.
        **options: the options of `explain`.

    Raises:
        ValueError, TypeError: see `explain`.
    """

    def __init__(self, model: nn.Module, processor: Any = None, **options: Any) -> None:
        checks.model(model)
        self.model = model
        self.processor = processor
        self.settings = _settings(Settings(), options)
        self._inner = unwrap(model)
        names = self.settings.block_names()
        found = families.named(self._inner, names) if names else families.find(self._inner)
        if found is None:
            raise ValueError(
                f"model: no family knows {type(self._inner).__name__} (known: {', '.join(families.names())}); name its "
                'blocks, as in layers=["encoder.layers"] or layers=["blocks.0", "blocks.1"]'
            )
        self.encoder = found

    def __call__(self, inputs: Any, **options: Any) -> Attribution:
        """Explain `inputs`; options given here hold for this call only.

        Returns:
            the attribution.

        Raises:
            ValueError, TypeError: see `explain`.
        """
        if "layers" in options and Settings(layers=options["layers"]).block_names() is not None:
            raise ValueError("layers: names of blocks belong to the Explainer's constructor; a call takes indices")
        settings = _settings(self.settings, options)
        with _calm(self._inner):
            batch = read(inputs, self._inner, self.encoder, self.processor)
            return _in_groups(self._inner, self.encoder, batch, settings)


def _settings(base: Settings, options: dict[str, Any]) -> Settings:
    known = {f.name for f in fields(Settings)}
    unknown = sorted(set(options) - known)
    if unknown:
        raise TypeError(f"unknown option {unknown}; expected some of {sorted(known)}")
    return replace(base, **options)


@contextlib.contextmanager
def _calm(model: nn.Module) -> Iterator[None]:
    """Gradients on, inference mode and autocast off, whatever the caller is in the middle of."""
    device = next(model.parameters()).device.type
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device, enabled=False):
        yield


def _in_groups(model: nn.Module, encoder: Encoder, batch: Inputs, settings: Settings) -> Attribution:
    """Explain a few inputs at a time, as many as the graph of their end points leaves in the memory budget."""
    oracle = Oracle(model, encoder, compute_dtype(settings.dtype, model), settings.memory_budget, settings.backend)
    parts: list[Attribution] = []
    first, size = 0, 1
    with ticker(settings.progress, len(batch)) as tick:
        while first < len(batch):
            rows = slice(first, first + size)
            mine = replace(
                settings,
                target=per_input(settings.output, settings.target, len(batch), rows),
                baselines=take(settings.baselines, batch, rows),
            )
            parts.append(_explain(oracle, model, encoder, batch.take(rows), mine, first))
            for _ in range(len(parts[-1])):
                tick()
            first += size
            size = max(1, min(32, oracle.budget // (2 * oracle.row_bytes)))
    return concatenate(parts)


def _explain(
    oracle: Oracle, model: nn.Module, encoder: Encoder, batch: Inputs, settings: Settings, first: int
) -> Attribution:
    method = settings.resolved
    call = oracle.tap.cast(batch.call)
    compared = None if method.integral == "none" else reference(settings.baselines, replace(batch, call=call))
    ends, f = _ends(oracle, call, compared, batch, settings, first)
    layers = settings.chosen(ends.layers)
    mask, special = _tokens(batch, encoder, ends)
    relevance = _integrate(oracle, call, f, ends, layers, settings)
    signals = Signals(
        relevance=torch.zeros(len(batch), len(layers), mask.shape[1], dtype=torch.float64)
        if relevance is None
        else relevance.r * mask[:, None],
        maps=None if ends.maps is None else torch.stack([ends.maps[i].cpu() for i in layers], 1),
        product=torch.stack([(ends.hidden[i].double() * ends.slopes[i].double()).sum(-1).cpu() for i in layers], 1)
        * mask[:, None],
        mask=mask,
        readout=_readout(encoder, ends, mask),
        backend=settings.backend,
    )
    scores, layer_scores = method.read(signals)
    unknown = torch.full((len(batch), len(layers)), torch.nan)
    error = unknown if relevance is None else relevance.column("error", torch.float64)
    return Attribution(
        scores=scores.float(),
        layer_scores=layer_scores.float(),
        gap=unknown if relevance is None else relevance.gap.float(),
        convergence_delta=unknown if relevance is None else relevance.column("delta", torch.float32),
        error=error.float(),
        score_error=score_error(method, signals, error).float(),
        n_steps=torch.ones(error.shape, dtype=torch.int64)
        if relevance is None
        else relevance.column("nodes", torch.int64),
        layer_converged=torch.ones(error.shape, dtype=torch.bool)
        if relevance is None
        else relevance.column("converged", torch.bool),
        target=None if f.target is None else f.target.cpu(),
        logits=torch.zeros(len(batch), 0)
        if ends.logits is None or ends.logits.dim() != 2
        else ends.logits.float().cpu(),
        mask=mask,
        special=special,
        texts=batch.texts,
        grid=batch.grid(encoder, mask.shape[1]),
        images=batch.shown,
        labels=_labels(model, ends),
        method=method.name,
        settings=_described(settings, layers, compared, encoder, oracle),
        engine=oracle.name,
        backend=ops.resolve(settings.backend, ends.hidden[0].float()),
        maps=_context_maps(signals, method.fusion) if settings.return_maps and method.fusion else None,
    )


def _ends(
    oracle: Oracle, call: dict[str, Tensor], compared: Reference | None, batch: Inputs, settings: Settings, first: int
) -> tuple[Ends, Scalar]:
    several = getattr(getattr(oracle.tap.model, "config", None), "problem_type", None) == "multi_label_classification"
    other = None if compared is None else compared.call
    words = None
    if compared is not None and other is not None and compared.words is not None:
        make, rows = compared.words, len(batch)
        if batch.embeds is not None:
            other = {**other, batch.embeds: make(call[batch.embeds], oracle.tap.lookup)}
        else:

            def words(out: Tensor) -> Tensor:
                batch.check_tokens(out.shape[1])
                return torch.cat([out[:rows], make(out[:rows], oracle.tap.lookup)])

    return oracle.ends(
        call,
        other,
        words,
        lambda found: scalar(settings.output, settings.target, found, several, first),
        settings.resolved.maps,
    )


def _integrate(
    oracle: Oracle, call: dict[str, Tensor], f: Scalar, ends: Ends, layers: list[int], settings: Settings
) -> Relevance | None:
    integral = settings.resolved.integral
    if integral == "none":
        return None
    paths = layer_paths if integral == "layer" else input_paths
    return paths(oracle, call, f, ends, layers, settings.rule)


def _tokens(batch: Inputs, encoder: Encoder, ends: Ends) -> tuple[Tensor, Tensor]:
    """Mask and special tokens [B,T] of the tokens that the blocks really saw."""
    tokens = ends.hidden[0].shape[1]
    if batch.texts is None:
        grid = batch.grid(encoder, tokens)
        special = torch.zeros(len(batch), tokens, dtype=torch.bool)
        special[:, : grid.prefix if grid else 0] = True
        return torch.ones_like(special), special
    batch.check_tokens(tokens)
    return batch.mask.cpu(), batch.special.cpu()


def _readout(encoder: Encoder, ends: Ends, mask: Tensor) -> Tensor:
    """Weights [B,T] of the rows of the last hidden state that the head reads, summing to 1."""
    if encoder.readout is not None:
        return encoder.readout(mask)
    rows = ends.readout.cpu() & mask
    rows = torch.where(rows.any(1, keepdim=True), rows, mask).double()
    return rows / rows.sum(1, keepdim=True)


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


def _labels(model: nn.Module, ends: Ends) -> tuple[str, ...] | None:
    names = getattr(getattr(model, "config", None), "id2label", None)
    if not names or ends.logits is None or len(names) != ends.logits.shape[-1]:
        return None
    return tuple(str(names[i]) for i in sorted(names))


def _described(
    settings: Settings, layers: list[int], compared: Reference | None, encoder: Encoder, oracle: Oracle
) -> dict[str, Any]:
    fusion = settings.resolved.fusion
    return {
        "family": encoder.family,
        "baselines": None if compared is None else compared.name,
        "output": getattr(settings.output, "__name__", str(settings.output)),
        "layers": layers,
        "quadrature": settings.quadrature,
        "n_steps": settings.n_steps,
        "tolerance": settings.tolerance,
        "certify": settings.certify,
        "fusion": None if fusion is None else asdict(fusion),
        "dtype": str(oracle.tap.dtype).removeprefix("torch."),
    }
