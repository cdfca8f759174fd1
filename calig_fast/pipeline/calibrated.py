"""The choice of a calibration: the scores of a model, the inputs they were chosen on, and how sure the choice is."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from .._utils import files
from .._utils.arguments import kind
from ..methods.base import Method
from ..methods.candidates import candidates
from ..model import backward_rules
from ..model.backward_rules import Rules

FORMAT = "calig_fast.calibrated/1"
AUTO = "auto"  # on the inputs of each call, where there are enough


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """Scores chosen for a model on inputs without labels, by comprehensiveness minus sufficiency; see `calibrate`.

    Args:
        candidate: name of the scores.
        rules: name of the backward rules of their gradients.
        depth: L, the layers of the model.
        default: the scores that the choice is compared with, as (candidate, rules).
        inputs: SHA-256 of each input that it was made on.
        removals: the replacements of removed parts.
        fractions: the shares that were removed.
        tried: mean over inputs and removals of every candidate, by "candidate | rules".
        gain: mean over the inputs of the choice that the other inputs make, less the default, in the same measure.
        low, high: 95 % bootstrap interval of `gain`.
        stability: share of 1,000 resamples of the inputs that make the same choice.
        seconds: that it took.
        passes: forward passes of single rows.
    """

    candidate: str
    rules: str
    depth: int
    default: tuple[str, str]
    inputs: tuple[str, ...]
    removals: tuple[str, ...]
    fractions: tuple[float, ...]
    tried: Mapping[str, float]
    gain: float
    low: float
    high: float
    stability: float
    seconds: float
    passes: int

    def __post_init__(self) -> None:
        known = candidates(self.depth)
        if self.candidate not in known:
            raise ValueError(
                f"calibration: its candidate {self.candidate!r} is not one of {sorted(known)}; calibrate with this "
                "release"
            )
        backward_rules.resolve(self.rules)

    @property
    def method(self) -> Method:
        """The chosen scores."""
        return candidates(self.depth)[self.candidate]

    @property
    def backward(self) -> Rules:
        """The chosen backward rules."""
        return backward_rules.resolve(self.rules)

    def record(self) -> dict[str, Any]:
        """The choice as a result names it: all but the table of what was tried, and the cost."""
        return {name: value for name, value in self._plain().items() if name not in {"tried", "seconds", "passes"}}

    def statement(self) -> str:
        """The choice and how sure it is, in plain sentences."""
        chosen, default = (self.candidate, self.rules), tuple(self.default)
        score, theirs = (self.tried[" | ".join(pair)] for pair in (chosen, default))
        compared = (
            "which is the default"
            if chosen == default
            else f"{score:.3f}, where the default ({default[0]}, {default[1]} rules) has {theirs:.3f}"
        )
        return (
            f"Chosen: {self.candidate}, {self.rules} rules, of {len(self.tried)} candidates on {len(self.inputs)} "
            f"inputs, by comprehensiveness minus sufficiency ({', '.join(self.removals)}): {compared}. Chosen on the "
            f"other inputs, the gain over the default is {self.gain:+.3f} [{self.low:+.3f}, {self.high:+.3f}]; "
            f"{100 * self.stability:.0f} % of resamples make the same choice. {self.seconds:.1f} s, {self.passes} "
            "forward passes."
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the choice to a file of JSON.

        Raises:
            TypeError, ValueError, OSError: the file cannot be written; see `Attribution.save`.
        """
        return files.write(path, json.dumps({"format": FORMAT, **self._plain()}, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Calibrated:
        """Read a choice from a file of `save`.

        Raises:
            ValueError: another file.
            OSError: the file is missing or not readable.
        """
        file = files.named(path, "calibration")
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
                raise ValueError(f"its format is not {FORMAT}")
            if set(content) != {f.name for f in fields(cls)}:
                raise ValueError("its fields are not those of a calibration")
            lists = {name: tuple(content[name]) for name in ("default", "inputs", "removals", "fractions")}
            return cls(**{**content, **lists})
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"calibration: {file} holds no calibration of this release: {error}") from error

    def _plain(self) -> dict[str, Any]:
        lists = {name: list(getattr(self, name)) for name in ("default", "inputs", "removals", "fractions")}
        return {**asdict(self), "tried": dict(self.tried), **lists}


def calibrated(given: Any) -> Calibrated | str | None:
    """The calibration that an option gives: None, "auto", a `Calibrated`, or the name of its file.

    Raises:
        TypeError: something else.
        ValueError, OSError: see `Calibrated.load`.
    """
    if given is None or isinstance(given, Calibrated) or (isinstance(given, str) and given == AUTO):
        return given
    if isinstance(given, str | os.PathLike):
        return Calibrated.load(given)
    raise TypeError(f'calibration: expected None, a Calibrated or the name of its file, or "{AUTO}", got {kind(given)}')
