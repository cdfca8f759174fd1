"""The arguments of an explanation, checked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import torch

from ._utils.progress import Progress
from ._utils.warn import renamed
from .engines.layer_paths import Rule
from .inputs.target import KINDS, Output
from .methods import registry
from .methods.base import Method
from .methods.calig import IMAGES
from .methods.fusion import Fusion
from .ops.dispatch import requested_backend

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


class ExplainOptions(TypedDict, total=False):
    """The keyword options of `explain` and `Explainer`, for type checkers; see `explain` for their meaning."""

    target: Any
    baselines: Any
    method: str | Fusion | Method
    output: Output
    layers: int | str | Sequence[int | str] | None
    n_steps: int | None
    quadrature: str
    tolerance: float
    certify: str
    lam: float | None
    dtype: torch.dtype | None
    memory_budget: int | None
    engine: str
    backend: str
    progress: Progress
    return_maps: bool


@dataclass(frozen=True, kw_only=True)
class Options:
    """Every option of `explain` but the model and the inputs; see there for their meaning.

    Raises:
        ValueError: an option outside its choices, or one that this release refuses.
        TypeError: an option of the wrong type.
    """

    target: Any = None
    baselines: Any = None
    method: str | Fusion | Method = "calig"
    output: Output = "logit"
    layers: int | str | Sequence[int | str] | None = None
    n_steps: int | None = None
    quadrature: str = "auto"
    tolerance: float = 2e-2
    certify: str = "layers"
    lam: float | None = None
    dtype: torch.dtype | None = None
    memory_budget: int | None = None
    engine: str = "auto"
    backend: str = "auto"
    progress: Progress = None
    return_maps: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "engine", renamed("engine", self.engine, {"reference": "autograd"}))
        self.rule  # noqa: B018  (checks quadrature, n_steps and tolerance)
        self.resolved  # noqa: B018  (checks method and lam)
        if not callable(self.output) and self.output not in KINDS:
            raise ValueError(f"output: {self.output!r} is not one of {KINDS}, nor a function of the model's output")
        if self.certify not in {"layers", "scores"}:
            raise ValueError(f'certify: expected "layers" or "scores", got {self.certify!r}')
        if self.certify == "scores" and (self.quadrature != "auto" or self.resolved.integral != "layer"):
            raise ValueError(
                f'certify: "scores" decides which layers are refined, which needs quadrature="auto" and a method that '
                f'integrates into the layers; got {self.quadrature!r} and "{self.resolved.name}"'
            )
        if self.engine not in {"auto", "native", "autograd"}:
            raise ValueError(f'engine: expected "auto", "native" or "autograd", got {self.engine!r}')
        if self.dtype is not None and self.dtype not in DTYPES:
            raise ValueError(f"dtype: expected None or one of {DTYPES}, got {self.dtype!r}")
        budget = self.memory_budget
        if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int)):
            raise TypeError(f"memory_budget: expected bytes as an int or None, got {type(budget).__name__}")
        if budget is not None and budget < 2**20:
            raise ValueError(f"memory_budget: expected at least {2**20} bytes, got {budget}")
        if self.return_maps and self.resolved.fusion is None:
            raise ValueError(f'return_maps: method "{self.resolved.name}" has no context maps; use method="calig"')
        requested_backend(self.backend)

    @property
    def rule(self) -> Rule:
        """The quadrature rule of the paths."""
        return Rule(self.quadrature, self.n_steps, self.tolerance)

    @property
    def resolved(self) -> Method:
        """The method, its options applied."""
        return registry.resolve(self.method, self.lam)

    def with_modality_defaults(self, images: bool) -> Options:
        """The same options with CA-LIG's own chosen for the kind of input, where the caller chose none."""
        return replace(self, method=IMAGES) if images and self.method == "calig" else self

    def block_names(self) -> tuple[str, ...] | None:
        """The blocks the caller named, or None where layers holds indices or nothing."""
        named = (self.layers,) if isinstance(self.layers, str) else self.layers
        if isinstance(named, Sequence) and named and all(isinstance(n, str) for n in named):
            return tuple(str(n) for n in named)
        return None

    def chosen(self, depth: int) -> list[int]:
        """Indices of the integrated blocks, of `depth` blocks.

        Raises:
            ValueError: an index out of range, none at all, or names mixed with indices.
        """
        if self.layers is None or self.block_names() is not None:
            found = list(range(depth))
        else:
            given = [self.layers] if isinstance(self.layers, int) else list(self.layers)
            if not given or any(isinstance(i, bool) or not isinstance(i, int) for i in given):
                raise ValueError(
                    f"layers: expected indices, or names of modules, not both nor none; got {self.layers!r}"
                )
            if any(not -depth <= int(i) < depth for i in given):
                raise ValueError(f"layers: {self.layers!r} is outside 0..{depth - 1}, the blocks of the model")
            found = sorted({int(i) % depth for i in given})
        return found[:1] if self.resolved.first_layer and self.layers is None else found
