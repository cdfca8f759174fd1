"""The record of an explanation: engine, settings and versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

# there when they say something
OPTIONAL = ("model", "not_native", "multi_label", "returns", "windows", "k", "rules", "map_rules", "calibration")


@dataclass(frozen=True, kw_only=True, eq=False)
class Provenance(Mapping[str, Any]):
    """Every option that an answer depends on, as plain values; also a mapping of them by name.

    Args:
        model: name of the checkpoint, of timm's architecture, or of the model's class; "" in a file of an earlier
            release.
        family: name of the model's family.
        blocks: dotted names of the blocks whose inputs were integrated at, in order.
        baselines: name of the baseline, or those of several; None where the method integrates nothing.
        output: the explained scalar: its name, or the name of the caller's function.
        layers: indices of the integrated blocks, None for all.
        quadrature: the rule.
        n_steps: its steps, or the most intervals of a path; None for the default.
        tolerance: relative error that counts as converged, None where nothing is integrated.
        certify: "layers", "scores" or "top-k", the `guarantee` that was asked for.
        k: scores that "top-k" ranks, None otherwise.
        fusion: options of CA-LIG, None for other methods.
        rules: options of the backward rules, None where every gradient is the model's own. Under other rules the layer
            scores need not sum to the gap, and `convergence_delta` is nan.
        map_rules: options of the backward rules of the attention maps, None where they are those of `rules`.
        calibration: the calibration that chose the method and the rules, with the SHA-256 of each input that it was
            made on; None where none did.
        dtype: of the computation.
        not_native: the reason why the native engine did not run, "" where it did or was not asked for.
        multi_label: classes are independent of each other.
        returns: "probabilities" or "values" (of a regression) where the model returns these, "" for logits.
        windows: "tokens" of a window and "stride", the tokens that it shares with the one before it, where texts were
            explained in windows; None where they were not.
        others: fields of another release that this one does not have.
    """

    model: str = ""
    family: str | None = None
    blocks: list[str] | None = None
    baselines: str | list[str] | None = None
    output: str | None = None
    layers: list[int] | None = None
    quadrature: str | None = None
    n_steps: int | None = None
    tolerance: float | None = None
    certify: str | None = None
    k: int | None = None
    fusion: dict[str, Any] | None = None
    rules: dict[str, Any] | None = None
    map_rules: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None
    dtype: str | None = None
    not_native: str = ""
    multi_label: bool = False
    returns: str = ""
    windows: dict[str, int] | None = None
    others: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Provenance:
        """The record of a mapping, such as a file holds; unknown names go to `others`."""
        if isinstance(values, Provenance):
            return values
        known = {f.name for f in fields(cls)} - {"others"}
        others = {name: value for name, value in values.items() if name not in known}
        return cls(**{name: value for name, value in values.items() if name in known}, others=others)

    def __getitem__(self, name: str) -> Any:
        if name in self.others:
            return self.others[name]
        if name not in set(self):
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        for f in fields(self):
            if f.name != "others" and (f.name not in OPTIONAL or getattr(self, f.name)):
                yield f.name
        yield from self.others

    def __len__(self) -> int:
        return sum(1 for _ in self)
