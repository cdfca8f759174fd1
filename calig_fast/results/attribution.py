"""The frozen result of an explanation: scores, layers, error, and their inputs and targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._utils import files
from .._utils.arguments import as_device, position, scalar
from . import selection, storage
from .exports import Exports
from .probabilities import probabilities
from .provenance import Provenance
from .rendering import as_title, render
from .statement import incomplete, reasons, statement
from .tokens import Grid, Text, Word
from .undecided import undecided
from .units import By

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Attribution(Exports):
    """Signed relevance of every token (or image patch) for a decision, layer by layer, with its error.

    `scores` [B,T] is the answer of the method; `layer_scores` [B,L,T] is r_l, the relevance of the input of block l.
    Where the baseline was propagated through the model, by its own gradients, completeness holds for every layer:
    `layer_scores[b,l].sum() = gap[b,l] + convergence_delta[b,l]`.

    Args:
        scores: [B,T] float32, natural scale; padding is 0.
        layer_scores: [B,L,T] float32, unit: the explained scalar's (a logit by default).
        gap: [B,L] float32, F(x) - F(x') by two whole calls, what the layer's scores should add up to; nan without a
            baseline. F(x') is the mean over several baselines.
        convergence_delta: [B,L] float32, sum_t r_l[t] - gap, signed; nan where the method integrates nothing
            and under backward rules, whose scores need not add up.
        error: [B,L] float32, estimated relative error of r_l (norm over tokens); nan where nothing was integrated.
        score_error: [B] float32, estimated relative error of `scores`; nan where nothing was integrated.
        n_steps: [B,L] int64, gradient evaluations the path really used (the two end points included); of several
            baselines those of all paths.
        layer_converged: [B,L] bool, `error` and `bypass` within the tolerance.
        target: [B] int64 class explained, [B,2] for a contrast, or None with the caller's own output function.
        logits: [B,C] float32 of the model at the input; [B,0] where the model returned none.
        mask: [B,T] bool, True at real tokens.
        special: [B,T] bool, True at special tokens (class token, separators): scored, left out of rankings.
        texts: one `Text` per input, or None for images.
        grid: the patch grid, or None for text.
        images: [B,H,W,3] uint8 for display, or None.
        labels: class names in order, or None.
        method: name of the method.
        settings: every option the answer depends on; a mapping given here becomes a `Provenance`.
        engine: engine that computed it.
        backend: backend of the fused operations.
        maps: [B,L,T,U] float32 context maps M_l where `return_maps=True`, else None.
        source: [B] int64, which of the inputs each row explains where several targets of one input were asked for;
            None where row b explains input b.
        bypass: [B,L] float32, share of `gap` that reaches the output past the hidden state of block l (another tower,
            a head that reads earlier layers, a decoder); 0 for a plain encoder, nan where nothing was integrated.
        ends: [B,L] int64, why the integral of a layer did not meet the tolerance, see `reasons`; None in a file of an
            earlier release.
        single: True for one input taken out of several by its index, which has no length and no index itself.
    """

    scores: Tensor
    layer_scores: Tensor
    gap: Tensor
    convergence_delta: Tensor
    error: Tensor
    score_error: Tensor
    n_steps: Tensor
    layer_converged: Tensor
    target: Tensor | None
    logits: Tensor
    mask: Tensor
    special: Tensor
    texts: tuple[Text, ...] | None = None
    grid: Grid | None = None
    images: Tensor | None = None
    labels: tuple[str, ...] | None = None
    method: str = "calig"
    settings: Provenance = field(default_factory=Provenance)
    engine: str = "autograd"
    backend: str = "torch"
    maps: Tensor | None = None
    source: Tensor | None = None
    bypass: Tensor | None = None
    ends: Tensor | None = None
    single: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", Provenance.of(self.settings))

    @property
    def converged(self) -> Tensor:
        """[B] bool: every layer of the input met the tolerance.

        With guarantee="scores" its scores did; with "top-k" they did, or their ranking is decided.

        In either case nothing of the decision may pass the layers by (`bypass`).
        """
        tolerance = self.settings.tolerance
        if self.settings.certify in {"scores", "top-k"} and tolerance is not None:
            within = self.score_error <= tolerance
            if self.settings.certify == "top-k":
                within = within | torch.tensor([not pairs for pairs in self.undecided], dtype=torch.bool)
            return within & ~incomplete(self.bypass_or_zero, tolerance).any(dim=1)
        return self.layer_converged.all(dim=1)

    @property
    def probabilities(self) -> Tensor:
        """[B,C] float64: softmax over the classes; sigmoid of a single logit, or of each of a multi-label model.

        What the model returned where that is probabilities; nan for a regression.
        """
        return probabilities(self.logits, self.settings.multi_label, self.settings.returns)

    @property
    def tokens(self) -> tuple[tuple[str, ...], ...] | None:
        """The token strings of every text input, padding left out; None for images."""
        return None if self.texts is None else tuple(t.tokens for t in self.texts)

    @property
    def words(self) -> tuple[tuple[Word, ...], ...] | None:
        """The words of every text input; None for images."""
        return None if self.texts is None else tuple(t.words for t in self.texts)

    def word_scores(self, index: int = 0, layer: int | None = None) -> list[tuple[str, float]]:
        """Relevance of each word of one input: the sum over its word pieces.

        Args:
            index: which input.
            layer: None for `scores`, else the block of the requested `layer_scores`.

        Returns:
            (word, score) in reading order.

        Raises:
            ValueError: the attribution is of images.
            IndexError: no such input or layer.
            TypeError: an index that is no int.
        """
        index, layer = self._place(index, layer)
        if self.texts is None:
            raise ValueError("word_scores: this attribution is of images; use scores with grid instead")
        row = (self.scores[index] if layer is None else self.layer_scores[index, layer]).tolist()
        return [(w.text, sum(row[t] for t in w.tokens)) for w in self.texts[index].words]

    def patch_scores(self, index: int = 0, layer: int | None = None) -> Tensor:
        """Relevance of the patches of one image as a picture [rows, columns].

        Args:
            index: which input.
            layer: None for `scores`, else the block of the requested `layer_scores`.

        Raises:
            ValueError: the attribution is of texts.
            IndexError: no such input or layer.
            TypeError: an index that is no int.
        """
        index, layer = self._place(index, layer)
        if self.grid is None:
            raise ValueError("patch_scores: this attribution is of texts; use word_scores instead")
        row = self.scores[index] if layer is None else self.layer_scores[index, layer]
        return row[self.grid.patches].reshape(self.grid.rows, self.grid.columns)

    def block(self, layer: int) -> int:
        """The model's block that row `layer` of `layer_scores` belongs to: another where `layers=` chose some.

        Raises:
            IndexError: no such row.
            TypeError: no int.
        """
        layer = position("layer", layer, self.layer_scores.shape[1], "layers")
        chosen = self.settings.layers
        return layer if chosen is None else chosen[layer]

    def label(self, index: int = 0) -> str:
        """Name of the explained target of one input: a class name, `a - b` for a contrast, or `output`.

        Raises:
            IndexError: no such input.
            TypeError: no int.
        """
        index = position("index", index, self.batch)
        if self.target is None:
            return "output"
        classes = self.target[index].reshape(-1).tolist()
        return " - ".join(self.labels[c] if self.labels and c < len(self.labels) else str(c) for c in classes)

    def statement(self, index: int = 0) -> str:
        """The error of one input in plain words, and what the layers miss of the decision.

        Raises:
            IndexError: no such input.
            TypeError: no int.
        """
        return statement(self, position("index", index, self.batch))

    @property
    def reasons(self) -> tuple[tuple[str, ...], ...]:
        """[B][L] why a layer did not converge, "" where it did.

        "incomplete": something passes the layer by (`bypass`); "limit": the nodes allowed were used up; "spike": so
        they were, on a path too rough for equal steps; "rounding": the dtype rounds by more than is asked for;
        "memory": it was short; "nonfinite": infinite or not a number.
        """
        return reasons(self)

    @property
    def undecided(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """[B] pairs of tokens by position, one of the k largest and one not, that `score_error` may exchange.

        (t, t) is a token of the k largest with an undecided sign. k is that of guarantee="top-k", else 5.
        """
        return tuple(undecided(self, b, self.settings.k or 5) for b in range(self.batch))

    @property
    def bypass_or_zero(self) -> Tensor:
        """[B,L] `bypass`; zeros where a file of an earlier release holds none."""
        return torch.zeros_like(self.gap) if self.bypass is None else self.bypass

    @property
    def batch(self) -> int:
        """B, the number of rows."""
        return int(self.scores.shape[0])

    def __len__(self) -> int:
        self._several("length")
        return self.batch

    def __iter__(self) -> Iterator[Attribution]:
        return (self[i] for i in range(len(self)))

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("an Attribution is no array; use a.scores.numpy(), or a.numpy() for every tensor by name")

    def _place(self, index: int, layer: int | None) -> tuple[int, int | None]:
        """An input and a layer that are there."""
        rows = self.layer_scores.shape[1]
        return position("index", index, self.batch), None if layer is None else position("layer", layer, rows, "layers")

    def _several(self, wanted: str) -> None:
        if self.single:
            raise TypeError(
                f"{wanted}: this Attribution is one input, taken by its index, and has none; index the Attribution of "
                "all inputs, or use its tensors, as in a.scores[0]"
            )

    def __getitem__(self, index: int | slice | Sequence[int] | Sequence[bool] | Tensor) -> Attribution:
        """The attribution of some of the inputs; the batch axis stays.

        Args:
            index: an int, a slice, several ints, or B bools as in `a[~a.converged]`.

        Raises:
            IndexError: an index outside the batch, bools that are not B, or something else.
            TypeError: this is one input already.
        """
        self._several("index")
        n = self.batch
        rows = selection.rows(index, n)
        pick: dict[str, Any] = {name: value[rows] for name, value in self._tensors().items()}
        if self.texts is not None:
            pick["texts"] = tuple(self.texts[i] for i in rows)
        return replace(self, **pick, single=isinstance(scalar(index), Integral))

    def _tensors(self) -> dict[str, Tensor]:
        return {f.name: v for f in fields(self) if isinstance(v := getattr(self, f.name), Tensor)}

    def to(self, device: torch.device | str) -> Attribution:
        """The same attribution with its tensors on `device`.

        Raises:
            ValueError: no device of that name, or none that can be used here.
            TypeError: neither a name nor a device.
        """
        place = as_device("device", device)
        moved: dict[str, Any] = {name: value.to(place) for name, value in self._tensors().items()}
        return replace(self, **moved)

    def numpy(self) -> dict[str, np.ndarray[Any, Any]]:
        """Every tensor as a NumPy array, by field name, `converged` included."""
        return {n: v.detach().cpu().numpy() for n, v in {**self._tensors(), "converged": self.converged}.items()}

    def save(self, path: str | Path) -> Path:
        """Write one file, `<path>.safetensors`, with the tensors and a record of the other fields.

        A kill or a full disk leaves the old file or the new file.

        Args:
            path: name of the file, with the suffix or without.

        Returns:
            the file.

        Raises:
            TypeError: `path` is no path.
            ValueError: `path` has no name of a file, or a field has a wrong dtype, shape or type.
            OSError: the folder is missing, the permission is missing, or the disk is full; it names the file.
        """
        return storage.write(path, {f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: str | Path) -> Attribution:
        """Read a file that `save` wrote, or the `.safetensors` and `.json` of an earlier release.

        A digest shows that the file is complete. A pair of files has no digest, and gives a warning.

        Args:
            path: name of the file, with the suffix or without.

        Raises:
            TypeError: `path` is no path.
            ValueError: the file is damaged, no attribution, or of a later release; it names the file.
            OSError: the file is missing or not readable; it names the file.
        """
        return cls(**storage.read(path))

    def to_html(self, path: str | Path | None = None, by: By | None = None, title: str | None = None) -> str:
        """A self-contained HTML page of every input; written to `path` when given, and returned.

        With `return_maps=True` in `explain`, a click on a word or patch shows its attention. Several explanations
        side by side: `calig_fast.compare`.

        Args:
            path: the file, or None.
            by: the units that are shown, see `by`; None for words of texts and patches of images.
            title: of the page, None for the usual one; model, data, release and day stand below it.

        Raises:
            TypeError, ValueError: `path` is not the name of a file, `title` no text, or there are no such units.
            OSError: the file cannot be written; an existing file is unchanged.
        """
        text: str = render("page", self if by is None else self.by(by), as_title(title))
        if path is not None:
            files.write(path, text)
        return text

    def __repr__(self) -> str:
        text: str = render("table", self)
        return text

    def _repr_html_(self) -> str:
        text: str = render("fragment", self)
        return text

    def plot(self, index: int = 0, percentile: float = 99.0, opacity: float = 0.8, *, ax: Axes | None = None) -> Figure:
        """A matplotlib figure of one input: its words as signed bars, or its patches over the image.

        A notebook shows it. In a script, `fig, ax = plt.subplots(); a.plot(ax=ax); plt.show()` opens a window.

        Args:
            index: which input.
            percentile: of the scores' magnitudes that is drawn at full colour, above 0 and at most 100.
            opacity: of the strongest score over an image, 0 to 1.
            ax: your axes, for the bars of the words or the patches alone; None for a figure of its own.

        Raises:
            ImportError: matplotlib is not installed.
            IndexError: no such input.
            TypeError: `ax` is no axes.
            ValueError: percentile or opacity out of range, or axes without a figure.
        """
        figure: Figure = render("plot", self, index, percentile, opacity, ax)
        return figure

    def plot_layers(self, index: int = 0, percentile: float = 99.0) -> Figure:
        """A matplotlib figure of how relevance moves through the layers of one input.

        Args:
            index: which input.
            percentile: of the scores' magnitudes that is drawn at full colour, above 0 and at most 100.

        Raises:
            ImportError: matplotlib is not installed.
            IndexError: no such input.
            ValueError: the attribution holds no layer scores, or percentile is out of range.
        """
        figure: Figure = render("plot_layers", self, index, percentile)
        return figure
