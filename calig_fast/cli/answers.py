"""The answers of `calig serve`: what a question asks, checked; its explanation, and the probabilities without parts."""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
import math
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .options import METHODS

if TYPE_CHECKING:
    from .. import Attribution

MOST_CHARACTERS = 20_000
MOST_PIXELS = 25_000_000
MOST_PARTS = 10_000
QUICK = "gradient_x_input"  # one pass, for the logits alone
NAMES = ("text", "picture", "target", "method", "removed")


@dataclass(frozen=True)
class Question:
    """A question, checked.

    Args:
        text: a text, or None.
        picture: bytes of a picture's file, or None.
        target: class number, or None for the predicted one.
        method: name of the method.
        removed: parts that are left out: characters (start, end) of a text, or (row, column) of patches.
    """

    text: str | None
    picture: bytes | None
    target: int | None
    method: str
    removed: tuple[tuple[int, int], ...]


class Answers:
    """The explanations of one model, one at a time.

    Args:
        model: the classifier.
        processor: its tokenizer, image processor or transform.
        name: of the model, as the page shows it.
    """

    def __init__(self, model: Any, processor: Any, name: str) -> None:
        from .. import Explainer

        self._explainer, self._name = Explainer(model, processor), name
        self._reads = self._explainer.encoder.modality
        self._lock = threading.Lock()

    def about(self) -> dict[str, Any]:
        """The name of the model, what it reads, its classes by number, and the methods."""
        names = getattr(getattr(self._explainer.model, "config", None), "id2label", None) or {}
        labels = {int(number): str(label) for number, label in names.items()}
        return {"model": self._name, "reads": self._reads, "labels": labels, "methods": METHODS}

    def explain(self, asked: Any) -> dict[str, Any]:
        """The scores of words or patches, of each layer too, with their errors.

        Raises:
            ValueError, TypeError: a question that cannot be answered; the message says why.
        """
        question = checked(asked)
        begun = time.perf_counter()
        a = self._explained(question)
        grouped = a.by("word" if a.grid is None else "patch")
        scores, layers = grouped.scores[0].tolist(), grouped.layer_scores[0].T.tolist()
        parts = [
            {
                "text": unit.text,
                "start": unit.start,
                "end": unit.end,
                "place": unit.place,
                "score": score,
                "layers": of_layers,
            }
            for unit, score, of_layers in zip(grouped.units[0], scores, layers, strict=False)
            if not unit.special
        ]
        return {
            "label": a.label(),
            "statement": a.statement(),
            "converged": bool(a.converged[0]),
            "error": float(a.score_error[0]),
            "layer_errors": a.error[0].tolist(),
            "probabilities": a.probabilities[0].tolist(),
            "parts": parts,
            "cut": 0 if a.texts is None else a.texts[0].truncated,
            "picture": _shown(a),
            "patch": _patch(a),
            "seconds": time.perf_counter() - begun,
        }

    def without(self, asked: Any) -> dict[str, Any]:
        """The probabilities without the parts that were removed: text is cut out, a patch gets its mean colour.

        Raises:
            ValueError, TypeError: a question that cannot be answered; the message says why.
        """
        question = checked(asked)
        with self._alone():
            given = self._text_without(question) if question.text is not None else self._pixels_without(question)
            a = self._explainer(given, method=QUICK)
        return {"probabilities": a.probabilities[0].tolist()}

    def page(self, asked: Any) -> str:
        """The explanation as a self-contained page.

        Raises:
            ValueError, TypeError: a question that cannot be answered; the message says why.
        """
        return self._explained(checked(asked)).to_html()

    def _explained(self, question: Question) -> Attribution:
        given = [question.text] if question.text is not None else [_opened(question.picture or b"")]
        with self._alone():
            return self._explainer(given, method=question.method, target=question.target)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One explanation at a time, and no warning: what was cut is in the answer."""
        with self._lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield

    def _text_without(self, question: Question) -> list[str]:
        text = question.text or ""
        remaining = [True] * len(text)
        for start, end in question.removed:
            remaining[start:end] = [False] * len(remaining[start:end])
        return [" ".join("".join(c for c, keep in zip(text, remaining, strict=True) if keep).split())]

    def _pixels_without(self, question: Question) -> Any:
        from ..inputs.prepare import read

        explainer = self._explainer
        picture = _opened(question.picture or b"")
        batch = read([picture], explainer.model, explainer.encoder, explainer.processor)
        grid = explainer([picture], method=QUICK).grid
        if grid is None or grid.height is None or grid.width is None:
            raise ValueError("removed: the pixels of a patch are not known in this model")
        name, pixels = batch.pixels
        changed = pixels.clone()
        for row, column in question.removed:
            rows = slice(row * grid.height, (row + 1) * grid.height)
            columns = slice(column * grid.width, (column + 1) * grid.width)
            patch = changed[:, :, rows, columns]
            changed[:, :, rows, columns] = patch.mean((2, 3), keepdim=True)
        call = batch.with_pixels(changed)
        return call if name else changed


def checked(asked: Any) -> Question:
    """A question of the page.

    Args:
        asked: JSON with `text` or `picture` (a data URI), and maybe `target`, `method` and `removed`.

    Raises:
        ValueError, TypeError: naming what is wrong.
    """
    if not isinstance(asked, Mapping):
        raise TypeError("question: expected an object of JSON")
    if strange := sorted(set(asked) - set(NAMES)):
        raise ValueError(f"question: expected {', '.join(NAMES)}, got {strange[0][:80]!r}")
    text, picture = asked.get("text"), asked.get("picture")
    if (text is None) == (picture is None):
        raise ValueError("question: expected a text or a picture")
    if text is not None and (not isinstance(text, str) or len(text) > MOST_CHARACTERS):
        raise ValueError(f"text: expected a text of at most {MOST_CHARACTERS} characters")
    target, method = asked.get("target"), asked.get("method", METHODS[0])
    if target is not None and (not isinstance(target, int) or isinstance(target, bool) or abs(target) > 2**31):
        raise TypeError("target: expected the number of a class")
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}")
    return Question(text, None if picture is None else _bytes(picture), target, method, _removed(asked.get("removed")))


def _removed(value: Any) -> tuple[tuple[int, int], ...]:
    parts = [] if value is None else value
    if not isinstance(parts, list) or len(parts) > MOST_PARTS:
        raise TypeError(f"removed: expected a list of at most {MOST_PARTS} pairs of numbers")
    for part in parts:
        pair = isinstance(part, list) and len(part) == 2
        if not pair or not all(type(n) is int and 0 <= n <= MOST_PIXELS for n in part):
            raise TypeError("removed: expected pairs of numbers from 0")
    return tuple((first, second) for first, second in parts)


def _bytes(value: Any) -> bytes:
    head, comma, content = value.partition(",") if isinstance(value, str) else ("", "", "")
    if not comma or not head.endswith(";base64"):
        raise TypeError("picture: expected a data URI of base64")
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("picture: its base64 is damaged") from error


def _opened(content: bytes) -> Any:
    from PIL import Image

    try:
        picture = Image.open(io.BytesIO(content))
        if math.prod(picture.size) > MOST_PIXELS:  # known before it is decoded
            raise ValueError(f"it has more than {MOST_PIXELS} pixels")
        picture.load()
    except Exception as error:  # the decoders of many formats raise as many kinds
        raise ValueError(f"picture: it holds none that can be read ({error})") from error
    return picture.convert("RGB")


def _shown(a: Attribution) -> str | None:
    """The picture as the model sees it, a data URI of PNG."""
    if a.images is None:
        return None
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(a.images[0].cpu().numpy()).save(content, format="png")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def _patch(a: Attribution) -> list[float] | None:
    """Height and width of a patch as shares of the picture's."""
    if a.images is None or a.grid is None or a.grid.height is None or a.grid.width is None:
        return None
    return [a.grid.height / a.images.shape[1], a.grid.width / a.images.shape[2]]
