"""The exports of an attribution beyond its file: tables, JSON, shap, other units, the strongest of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import Self

from .._utils import files
from . import json_text
from .grouping import Grouped, Ranked, group
from .tables import Tables
from .units import By

if TYPE_CHECKING:
    from .attribution import Attribution


class Exports(Tables):
    """The exports of an `Attribution`, which inherits from this class."""

    def by(self, by: By, how: str = "sum") -> Grouped:
        """The scores of words, sentences, patches or spans in place of those of tokens.

        Args:
            by: "token", "word", "sentence" (by punctuation), "patch", or spans (start, end) of characters of the text:
                a list of them for one input, a list for each of several. Spans do not overlap. A word that a span
                cuts counts as a whole, with a warning.
            how: "sum", which keeps completeness; "mean"; "max", the largest; "absmax", the largest in magnitude with
                its sign.

        Returns:
            the scores, with the units; views and exports take it as they take an attribution.

        Raises:
            ValueError: an unknown unit or `how`, a unit that these inputs do not have, or spans that cannot be.
            TypeError: `by` is no name and no spans.
        """
        return group(cast("Attribution", self), by, how)

    def top(self, k: int = 5) -> tuple[tuple[Ranked, ...], ...]:
        """The k words (of texts) or patches (of images) of every row with the largest magnitude, strongest first.

        Special tokens are left out. `a.by("token").top(k)` ranks tokens.

        Args:
            k: how many, at least 1; a row with fewer gives all. Scores that are nan are left out.

        Raises:
            TypeError: no int.
            ValueError: below 1.
        """
        return group(cast("Attribution", self), None).top(k)

    def to_json(self, path: str | Path | None = None) -> str:
        """The whole attribution as JSON; written to `path` when given, and returned.

        NaN and infinities are the strings "NaN", "Infinity" and "-Infinity". `json_schema` describes the form.

        Raises:
            TypeError, ValueError: `path` is not the name of a file, or a field has a wrong dtype, shape or type.
            OSError: the file cannot be written; an existing file is unchanged.
        """
        if path is not None:
            files.named(path)
        text = json_text.written(vars(self))
        if path is not None:
            files.write(path, text)
        return text

    @classmethod
    def from_json(cls, source: str | bytes | Path) -> Self:
        """Read the JSON of `to_json`.

        Args:
            source: JSON text, which begins with {, or the name of a file.

        Raises:
            TypeError: neither.
            ValueError: no JSON, no attribution, or of another release.
            OSError: the file is missing or not readable.
        """
        return cls(**json_text.read(source))

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """The JSON Schema (2020-12) of `to_json`; it is `calig_fast/results/attribution.schema.json`."""
        return json_text.json_schema()

    def _grouped(self) -> Grouped:
        return group(cast("Attribution", self), "token")
