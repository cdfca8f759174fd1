"""The public entry: `explain`, and `Explainer` for many inputs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from difflib import get_close_matches
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from .._utils.host_copies import followed, host_copies
from .._utils.progress import Progress
from .._utils.warn import renamed_argument
from ..inputs import language, rows, source
from ..inputs.classes import numbered
from ..inputs.modality import modality_of
from ..inputs.prepare import placed, read
from ..inputs.target import check_output, logits_of
from ..model import checks, families
from ..model.block_search import find_blocks
from ..model.clone import unwrap
from ..model.encoder import Encoder
from ..model.fingerprint import Fingerprint
from ..model.kept import kept_random_state
from ..model.names import name_of
from ..model.own_answer import check_logits, check_rows
from ..model.traits import traits_of
from ..model.word_lookup import find_embedding
from ..quadrature.warm_start import Calibration
from ..results.attribution import Attribution
from ..results.windows import merged
from . import habits
from .calibrate import AUTO_LEAST, FRACTIONS, CalibrationOptions, choose
from .calibrated import AUTO, Calibrated
from .one_call import Memory, Pipeline
from .options import ExplainOptions, Options
from .windows import settings_of_windows


@renamed_argument("tokenizer", "processor")
def explain(
    model: Any,
    inputs: Any = None,
    processor: Any = None,
    *,
    encoder: Encoder | None = None,
    **options: Unpack[ExplainOptions],
) -> Attribution:
    """Signed relevance of every token or patch for the decision of `model` on `inputs`, layer by layer.

    r_l[t] = sum_d (h_l - h'_l)[t,d] * integral over a of dF_l/dh_l[t,d] at h'_l + a (h_l - h'_l), fused with the
    attention gradients G_l = mean_h A (.) dF/dA into M_l = lam r^_l + (1 - lam) G^_l, and rolled out over the layers.
    A documented reconstruction of CA-LIG (Mersha and Kalita, arXiv 2602.16608).

    The model is explained in evaluation mode, whatever its mode, and is not changed.

    Args:
        model: a Hugging Face or timm classifier, a transformers pipeline or a cross-encoder that holds one, or any
            model with `layers=` naming its blocks.
        inputs: a tokenizer's output, a dict of tensors and plain values, a list of these, ids [T] or [B,T], features
            [T,F] or [B,T,F], pixels [C,H,W] or [B,C,H,W]; with a tokenizer or processor also text, a pair (a tuple), a
            list, column or iterator of these, pictures (PIL images, paths, NumPy arrays, uint8 tensors) or a list of
            them.
        processor: tokenizer or image processor; names tokens and words, finds special tokens, takes text and pictures.
        encoder: the blocks of a model that no family knows; `layers` may name them instead.
        **options: the arguments that follow, by name.
        target: class to explain: None (the predicted one), an int or a name of `config.id2label`, or B of them; pairs
            for output="contrast". Several of each input, [[0, 3], [1, 2]], or "all" for every class, share one forward
            pass and give one row each, rows of one input side by side; `source[b]` is the input that row b explains.
        baselines: the baseline x'. Text: "pad" (default), "mask", "unk", "zero_embedding", an id or embeddings, in the
            place of content; ids in the place of everything; "zeros", a zero hidden state at each layer. Images: "blur"
            (default), "blur:4" of a standard deviation of 4 pixels, "mean", "black", "zeros", pixels. A list or tuple
            of R of these: r_l is the mean over them, 1/R sum_j r_l^j, that of expected gradients (Erion et al. 2021)
            for given baselines. It is fused with the attention gradients and rolled out once. The mean integrand is
            integrated as one, so the errors, `gap` and the guarantee are those of the mean.
        method: "calig", "calig-paper", "ig", "layer_ig", "conductance", "rollout", "chefer", "attcat",
            "attention_gradient", "gradient_x_input", a registered name, a `Fusion` of options for CA-LIG, or a
            `Method` of your own.
        rules: the gradients that the backward pass takes: "plain", the model's own; "gim", those of GIM (Edin et al.,
            arXiv 2505.17630); or `Rules(...)`. Under other rules than the model's own the layer scores need not add up
            to F(x) - F(x').
        map_rules: the same for the gradients of the attention maps, A (.) dF/dA; None for those of `rules`. Other ones
            take a pass of the input more.
        calibration: the choice that `Explainer.calibrate` made, or the name of its file: it takes the place of method,
            rules and lam. "auto" makes one on the inputs of each call that has at least 8, for this call alone; a
            measurement must take other inputs. None for none.
        output: the scalar F: "logit", "log_prob", "prob", "contrast", or a function of the model's output (and, if it
            takes two arguments, of the [N] int64 input each row belongs to) that returns one scalar a row. Of a
            language model "next_token", the log-probability of the token after an input (`target` is its id, None the
            most likely), or "answer", that of an input's last tokens together (`target` is their number).
        layers: indices of the blocks used, or dotted names of the blocks (or of their list) of an unknown model.
        n_steps: steps of a fixed rule (default 50); with quadrature="auto" the largest number of intervals of a path
            (default 128), 1 meaning the endpoints alone.
        quadrature: "auto" (to `tolerance`), "corrected_trapezoid", "gausslegendre", "riemann_left", "riemann_right",
            "riemann_middle", "riemann_trapezoid".
        tolerance: relative error of r_l (norm over tokens) that counts as converged.
        guarantee: the target of the tolerance: "layers", every r_l; "scores", the final scores, for which the layers
            with the largest effect are refined first; or "top-k", the same until the k scores of the largest magnitude
            and their signs are decided, if that comes before the tolerance (`undecided` names the pairs that are not).
            The layers' own errors are reported in each case. `certify` is an older name.
        k: scores that "top-k" ranks, None for 5.
        lam: weight of the relevance in the fusion, 0 to 1; None for 0.8 with text and 0.97 with images.
        dtype: dtype to compute in; None for the model's own (float32 for half precision that the processor lacks).
        memory_budget: bytes that a call may take at its peak, beside the model, the inputs and the results; it may pass
            them by 16 MiB, and a budget without room for one input is refused. None for batches of path points of 56
            MiB (512 MiB by autograd), on a GPU of a 64th of its memory where that is more.
        engine: "auto" (native where the family supports it, else autograd), "native", or "autograd" (through the
            model's own modules).
        backend: backend of the fused operations: "auto", "torch", "cpu", "triton", "cuda"; an operation that it has
            no kernel of takes another, and the result's `backend` names both.
        progress: True for a progress bar, or a function of (done, total).
        return_maps: keep the context maps M_l [B,L,T,U].
        long_texts: a text longer than the model reads is "cut" (the default, with a warning), or explained in sliding
            "windows". The scalar of a text of W windows is their mean, F = 1/W sum_w F_w. So its r_l is the mean of
            theirs, each token at its place in the text, and so are its logits. None as target is the class with the
            largest mean logit. Windows that the tokenizer made (`return_overflowing_tokens=True`) are one text too.
        stride: tokens that a window shares with the one before it; None for a quarter of what it takes of the text.

    Returns:
        the attribution.

    Raises:
        ValueError, TypeError: a wrong argument; the message has its name, the expected value and the remedy.
    """
    return Explainer(model, processor, encoder=encoder, **options)(inputs)


class Explainer:
    """A model with its tokenizer or processor and the options of `explain`, ready for many inputs.

    It learns the best initial number of nodes for each layer's paths; the tolerance stays the same. The model may be
    trained between calls: each call reads its weights.

    It keeps memory between calls. If the model has separate projections of queries, keys and values, it keeps them
    joined (85 MB for a BERT base in float32). With a `dtype` narrower than the model's, it keeps all weights of the
    blocks in it. On a GPU it keeps up to 8 recorded batches, each of about `memory_budget` bytes, and both endpoints
    of the last paths. Weights that are replaced, not changed in place, are held until the next call.

    Args:
        model: see `explain`.
        processor: tokenizer or image processor, or None.
        encoder: see `explain`.
        **options: the options of `explain`.

    Raises:
        ValueError, TypeError: see `explain`.
    """

    @renamed_argument("tokenizer", "processor")
    def __init__(
        self,
        model: Any,
        processor: Any = None,
        *,
        encoder: Encoder | None = None,
        **options: Unpack[ExplainOptions],
    ) -> None:
        self._source = source.opened(model, processor)
        checks.model(self._source.model)
        self.model: nn.Module = self._source.model
        self.processor = self._source.processor
        self.settings = self._given = _settings(Options(), options)
        self._inner = unwrap(self.model)
        names = self.settings.block_names()
        if encoder is not None:
            chosen_encoder: Encoder | None = families.given(self._inner, encoder)
        else:
            chosen_encoder = families.named(self._inner, names) if names else families.find(self._inner)
        self.encoder = families.unnamed(self._inner) if chosen_encoder is None else chosen_encoder
        self._memory, self._traits, self._seen = Memory(), traits_of(self._inner), Fingerprint(self._inner)

    def __repr__(self) -> str:
        return f"Explainer({name_of(self.model)}, method={self.settings.resolved.name!r})"

    def forget(self) -> None:
        """Forget what earlier calls taught, a calibration too: the next call gives the numbers of a first call."""
        self.settings = self._given
        self._memory.calibration = Calibration()
        self._memory.rounding = {}
        self._memory.engines.forget()

    def calibrate(
        self,
        inputs: Any,
        *,
        removals: Sequence[Any] | None = None,
        fractions: Sequence[float] = FRACTIONS,
        batch_size: int = 64,
        progress: Progress = None,
    ) -> Calibrated:
        """Choose the scores that later calls give, on inputs without labels; 6 to 8 of the kind to be explained do.

        The candidates are a rollout, IG at the embeddings, a blend of both, two layers and the mean of all. With text,
        IG and a mixture by GIM's rules join them, and the blend's IG is by these rules. Each has a mean over inputs and
        fractions f of comprehensiveness minus sufficiency, F(top_f alone) - F(x without top_f), F being the probability
        of the explained class. The removals take turns, an input having one. The candidate with the largest mean is
        chosen, if the choices that the other inputs make are better than the blend on the input left out; else the
        blend. It takes one or two explanations to a tolerance of 0.1 and at most 48 forward passes an input, with three
        fractions. A measurement later must not hold these inputs: see `Calibrated.inputs`.

        Args:
            inputs: see `explain`; at least 4, each an input of its own.
            removals: replacements of removed parts, see `metrics.erasure`; None for two that the model takes, of text
                "mask", "pad", "delete", "zero_embedding", of images "blur", "mean".
            fractions: [K] shares of the removable tokens or patches, 0 to 1.
            batch_size: perturbed inputs in one forward pass.
            progress: True for a progress bar, or a function of (done, total).

        Returns:
            the choice, which can be saved, and given to `explain` and `Explainer` as `calibration=`.

        Raises:
            ValueError, TypeError: see `explain`; fewer than 4 inputs, or several targets of one.
        """
        inputs = rows.gathered(self._source.inputs(inputs))
        calibration_options = CalibrationOptions(
            model=self.model,
            processor=self.processor,
            removals=removals,
            fractions=fractions,
            batch_size=batch_size,
            progress=progress,
        )
        choice = choose(self, inputs, calibration_options)
        self.settings = _settings(self.settings, {"calibration": choice})
        return choice

    def __call__(self, inputs: Any, **options: Unpack[ExplainOptions]) -> Attribution:
        """Explain `inputs`; options given here hold for this call only.

        Returns:
            the attribution.

        Raises:
            ValueError, TypeError: see `explain`.
        """
        if "layers" in options and Options(layers=options["layers"]).block_names() is not None:
            raise ValueError("layers: names of blocks belong to the Explainer's constructor; a call takes indices")
        settings = _settings(self.settings, options)
        check_output(settings.output, self._inner)
        memory = self._remembered()
        with _undisturbed(self._seen), memory.own.unless_it_fails():
            inputs = rows.gathered(self._source.inputs(inputs))
            self.encoder = families.of_modality(self.encoder, self._inner, modality_of(inputs, self._seen.convolves))
            with followed(lasting=True):
                batch = read(inputs, self._inner, self.encoder, self.processor, settings.long)
            if settings.calibration == AUTO:
                enough = len(batch) >= AUTO_LEAST
                settings = replace(settings, calibration=self._chosen_on(inputs, options) if enough else None)
            if settings.output in language.KINDS:
                batch, scalar = language.explained(str(settings.output), settings.target, batch, self._inner)
                settings = settings.changed(output=scalar, target=None)
            hooks, own = memory.own.of(self.model, self._inner, batch.call, self._seen.hooks)
            check_rows(own)
            if batch.ids is not None and self.encoder.embedding is None:
                self.encoder = replace(self.encoder, embedding=find_embedding(self._inner, batch.call, batch.ids))
            if not self.encoder.blocks:
                tokens = None if batch.texts is None else batch.mask.shape[1]
                self.encoder = replace(
                    self.encoder, blocks=find_blocks(self._inner, batch.call, tokens, self.encoder.embedding)
                )
                batch = placed(batch, self._inner, self.encoder)
            chosen = settings.changed(target=numbered(settings.target, self._inner))
            chosen = chosen.with_modality_defaults(images=batch.texts is None)
            chosen = settings_of_windows(chosen, batch, self._inner)
            pipeline = Pipeline(self._inner, self.encoder, chosen, memory, hooks=hooks)
            attribution = pipeline.explain(batch)
            if own is not None:
                wanted = logits_of(own, len(batch))
                if wanted is not None and attribution.source is not None:
                    wanted = wanted[attribution.source.to(wanted.device)]
                check_logits(wanted, attribution.logits, (next(self._inner.parameters()).dtype, pipeline.engine.dtype))
            return attribution if batch.windows is None else merged(attribution, batch.windows, settings.tolerance)

    def _chosen_on(self, inputs: Any, options: ExplainOptions) -> Calibrated:
        """The calibration on the inputs of a call with these options."""
        calibration_options = CalibrationOptions(model=self.model, processor=self.processor)
        alike: dict[str, Any] = {**options, "calibration": None}
        return choose(partial(self, **alike), inputs, calibration_options)

    def _remembered(self) -> Memory:
        """The memory of earlier calls, as far as the model is still theirs."""
        if not self._seen.fits(self._inner):
            self._seen, traits = Fingerprint(self._inner), traits_of(self._inner)
            self._memory.engines.outdate()
            for lease in self._memory.beside.values():
                lease.outdate()
            if traits != self._traits:  # what was learned is of another computation
                self._memory, self._traits = Memory(), traits
        return self._memory


def _settings(base: Options, options: Mapping[str, Any]) -> Options:
    if not options:
        return base
    known = {f.name for f in fields(Options)}
    unknown = sorted(set(options) - known)
    if any(isinstance(options[name], Tensor) for name in unknown):
        raise TypeError(
            f"inputs: {unknown} are no options; pass the mapping itself, explain(model, batch), not "
            "explain(model, **batch)"
        )
    for name in unknown:
        if advice := habits.hint(name):
            raise TypeError(f"{name}: unknown option of explain; {advice}")
        close = get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"expected some of {sorted(known)}"
        raise TypeError(f"{name}: unknown option of explain; {hint}")
    if "calibration" in options:  # it chooses what is not chosen beside it
        options = {"method": "calig", "rules": "plain", "map_rules": None, "lam": None, **options}
    elif {"method", "rules", "map_rules", "lam"} & set(options):
        options = {"calibration": None, **options}
    if {"certify", "guarantee"} & set(options):  # the number that is ranked belongs to the guarantee
        options = {"k": None, **options}
    settings = replace(base, **options)
    habits.say_cap(options, settings.quadrature, settings.n_steps)
    return settings


@contextlib.contextmanager
def _undisturbed(seen: Fingerprint) -> Iterator[None]:
    """Gradients on, inference mode and autocast off, whatever the caller is in the middle of; all is given back."""
    device = next(seen.modules[0].parameters()).device
    devices = [device.index or 0] if device.type == "cuda" else []
    plain = torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False)
    with contextlib.ExitStack() as stack:
        for context in (*plain, host_copies(device), seen.writable.kept(), kept_random_state(devices)):
            stack.enter_context(context)
        yield
