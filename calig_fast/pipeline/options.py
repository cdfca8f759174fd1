"""The arguments of an explanation, checked once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from .._utils.arguments import choice, flag, integer, is_meta, kind, positive, rare_kind, scalar, shown, takes
from .._utils.progress import Progress
from .._utils.warn import renamed
from ..engines.layer_paths import Rule
from ..inputs import language
from ..inputs.baseline import several
from ..inputs.target import KINDS, Output
from ..inputs.windows import LONG_TEXTS, Long
from ..methods import registry
from ..methods.base import Method
from ..methods.calig_paper import IMAGES
from ..methods.fusion import Fusion
from ..model import backward_rules
from ..model.backward_rules import Rules
from ..ops.dispatch import check_backend
from ..quadrature.rules import FIXED
from .calibrated import Calibrated, calibrated

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
ENGINES = ("auto", "native", "autograd")
CERTIFY = ("layers", "scores", "top-k")
MOST_RANKED = 1_000_000
MOST_STEPS = 10_000
MOST_GAUSS = 2_000  # eigenvalues of a matrix of n x n are taken: 2 s and 32 MB at 2,000 (one thread of a Zen 5)
MOST_BYTES = 2**60
MOST_LAYERS = 100_000
MOST_STRIDE = 2**31


class ExplainOptions(TypedDict, total=False):
    """The keyword options of `explain` and `Explainer`, for type checkers; see `explain` for their meaning."""

    target: Any
    baselines: Any
    method: str | Fusion | Method
    rules: str | Rules
    map_rules: str | Rules | None
    calibration: Calibrated | str | os.PathLike[str] | None
    output: Output
    layers: int | str | Sequence[int | str] | None
    n_steps: int | None
    quadrature: str
    tolerance: float
    certify: str
    guarantee: str
    k: int | None
    lam: float | None
    dtype: torch.dtype | None
    memory_budget: int | None
    engine: str
    backend: str
    progress: Progress
    return_maps: bool
    long_texts: str
    stride: int | None


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
    rules: str | Rules = "plain"
    map_rules: str | Rules | None = None
    calibration: Calibrated | str | os.PathLike[str] | None = None
    output: Output = "logit"
    layers: int | str | Sequence[int | str] | None = None
    n_steps: int | None = None
    quadrature: str = "auto"
    tolerance: float = 2e-2
    certify: str = "layers"
    guarantee: str | None = None
    k: int | None = None
    lam: float | None = None
    dtype: torch.dtype | None = None
    memory_budget: int | None = None
    engine: str = "auto"
    backend: str = "auto"
    progress: Progress = None
    return_maps: bool = False
    long_texts: str = "cut"
    stride: int | None = None

    def __post_init__(self) -> None:
        set_ = partial(object.__setattr__, self)
        set_("engine", choice("engine", renamed("engine", self.engine, {"reference": "autograd"}), ENGINES))
        set_("quadrature", choice("quadrature", self.quadrature, ("auto", *FIXED)))
        set_("n_steps", _steps(self.n_steps, self.quadrature))
        set_("baselines", several(self.baselines))
        set_("tolerance", positive("tolerance", self.tolerance))
        named = "certify" if self.guarantee is None else "guarantee"
        set_("certify", _guarantee(self.certify, self.guarantee))
        set_("guarantee", None)
        set_("k", _ranked(self.k, self.certify))
        set_("layers", _layers(self.layers))
        set_("return_maps", flag("return_maps", self.return_maps))
        set_("long_texts", choice("long_texts", self.long_texts, LONG_TEXTS))
        set_("stride", _stride(self.stride))
        set_("memory_budget", _budget(self.memory_budget))
        _check_output(self.output)
        _check_progress(self.progress)
        check_backend(self.backend)
        if self.dtype is not None and not (isinstance(self.dtype, torch.dtype) and self.dtype in DTYPES):
            names = ", ".join(str(d) for d in DTYPES)
            kind_of = ValueError if isinstance(self.dtype, torch.dtype) else TypeError
            raise kind_of(f"dtype: expected None or one of {names}, got {shown(self.dtype)}")
        set_("calibration", calibrated(self.calibration))
        if self.calibration is not None:
            self._check_calibration()
        if self.map_rules is not None:
            backward_rules.resolve(self.map_rules, "map_rules")
        method = self.resolved
        if not self.backward.plain and method.integral == "input":
            raise ValueError(
                f'rules: method "{method.name}" differentiates the hidden states along its path too, which other '
                'gradients would move; take rules="plain"'
            )
        if self.certify != "layers" and (self.quadrature != "auto" or method.integral != "layer"):
            raise ValueError(
                f'{named}: "{self.certify}" decides which layers are refined, which needs quadrature="auto" and a '
                f'method that integrates into the layers; got {self.quadrature!r} and "{method.name}"'
            )
        if self.return_maps and method.fusion is None:
            raise ValueError(f'return_maps: method "{method.name}" has no context maps; use method="calig"')

    def changed(self, **options: Any) -> Options:
        """The same with some options changed, checked anew; itself where each of them is what it was."""
        return self if all(getattr(self, name) is one for name, one in options.items()) else replace(self, **options)

    @property
    def choice(self) -> Calibrated | None:
        """The calibration that chose the method and the backward rules, or None."""
        calibration = self.calibration
        return calibration if isinstance(calibration, Calibrated) else None

    @property
    def rule(self) -> Rule:
        """The quadrature rule of the paths."""
        return Rule(self.quadrature, self.n_steps, self.tolerance)

    @property
    def backward(self) -> Rules:
        """The backward rules."""
        if self.choice is not None:
            return self.choice.backward
        return backward_rules.resolve(self.rules)

    @property
    def map_backward(self) -> Rules:
        """The backward rules of the attention maps, where the method reads gradients of any."""
        if self.map_rules is None or self.resolved.maps in {None, "attention"}:
            return self.backward
        return backward_rules.resolve(self.map_rules, "map_rules")

    @property
    def rules_beside(self) -> dict[str, Rules]:
        """The backward rules of the runs beside the explanation's own: those of its "maps", of its "embedding"."""
        rules = {} if self.map_backward == self.backward else {"maps": self.map_backward}
        fusion = self.resolved.fusion
        if fusion is not None and fusion.embedding_rules is not None:
            rules["embedding"] = backward_rules.resolve(fusion.embedding_rules)
        return rules

    @property
    def long(self) -> Long:
        """The treatment of texts longer than the model reads."""
        return Long(self.long_texts, self.stride)

    @property
    def resolved(self) -> Method:
        """The method, its options applied."""
        if self.choice is not None:
            return self.choice.method
        return registry.resolve(self.method, self.lam)

    def with_modality_defaults(self, images: bool) -> Options:
        """The same options with CA-LIG's own chosen for the kind of input, where the caller chose none."""
        if not images or self.choice is not None or not isinstance(self.method, str):
            return self
        return self.changed(method=IMAGES.get(self.method, self.method))

    def block_names(self) -> tuple[str, ...] | None:
        """The blocks the caller named, or None where layers holds indices or nothing."""
        named = (self.layers,) if isinstance(self.layers, str) else self.layers
        if isinstance(named, tuple) and named and all(isinstance(n, str) for n in named):
            return tuple(str(n) for n in named)
        return None

    def _check_calibration(self) -> None:
        given = {
            "method": self.method != "calig",
            "rules": self.rules != "plain",
            "map_rules": self.map_rules is not None,
            "lam": self.lam is not None,
        }
        if any(given.values()):
            name = next(name for name, there in given.items() if there)
            raise ValueError(f"calibration: it chooses the method and the rules; leave out {name}, or calibration")
        if self.layers is not None and self.block_names() is None:
            raise ValueError("calibration: it was made on all layers; leave out layers, or calibration")

    def chosen(self, depth: int) -> list[int]:
        """Indices of the integrated blocks, of `depth` blocks.

        Raises:
            ValueError: an index out of range; a calibration of a model of another depth.
        """
        if self.choice is not None and self.choice.depth != depth:
            raise ValueError(
                f"calibration: it is of a model with {self.choice.depth} layers, and this one has {depth}; calibrate "
                "this model"
            )
        if self.layers is None or self.block_names() is not None:
            indices = list(range(depth))
        else:
            given = [self.layers] if isinstance(self.layers, int) else [int(i) for i in self.layers]
            outside = [i for i in given if not -depth <= i < depth]
            if outside:
                raise ValueError(f"layers: {shown(outside[0])} is outside 0..{depth - 1}, the blocks of the model")
            indices = sorted({i % depth for i in given})
        return indices[:1] if self.resolved.first_layer and self.layers is None else indices


def _steps(given: Any, quadrature: str) -> int | None:
    if given is None:
        return None
    most = MOST_GAUSS if quadrature == "gausslegendre" else MOST_STEPS
    return integer("n_steps", given, 1, most, what="None or an int", mend="leave it at None for the default")


def _guarantee(certify: Any, given: Any) -> str:
    """The target of the tolerance; `guarantee` is the newer name of `certify`."""
    return choice("certify", certify, CERTIFY) if given is None else choice("guarantee", given, CERTIFY)


def _ranked(given: Any, certify: str) -> int | None:
    """The number of scores that are ranked, None where the ranking is not asked for."""
    if certify != "top-k":
        if given is not None:
            raise ValueError(
                f'k: it counts what guarantee="top-k" ranks, and the guarantee is "{certify}"; leave it out'
            )
        return None
    return integer("k", 5 if given is None else given, 1, MOST_RANKED, what="an int", mend="leave it out for 5")


def _budget(given: Any) -> int | None:
    if given is None:
        return None
    mend = "give bytes, as in memory_budget=2**29"
    return integer("memory_budget", given, 2**20, MOST_BYTES, what="None or bytes as an int", mend=mend)


def _stride(given: Any) -> int | None:
    if given is None:
        return None
    return integer("stride", given, 0, MOST_STRIDE, what="None or tokens as an int", mend="0 shares no token")


def _layers(given: Any) -> int | str | tuple[int | str, ...] | None:
    """Indices as ints and names as texts, one or several of one kind."""
    wanted = "layers: expected indices, or names of modules, not both nor none"
    if given is None or (isinstance(given, str) and given):
        return given
    one = scalar(given)
    if isinstance(one, Integral) and not isinstance(one, bool | np.bool_):
        return int(one)
    if isinstance(given, np.ndarray) or (isinstance(given, Tensor) and not (is_meta(given) or rare_kind(given))):
        given = given.tolist() if given.ndim == 1 else given
    if isinstance(given, str | bytes | bytearray | memoryview) or not isinstance(given, Sequence):
        hint = "; write the indices out, as in layers=range(0, 2)" if isinstance(given, slice) else ""
        raise TypeError(f"{wanted}; got {kind(given)}{hint}")
    if not 0 < len(given) <= MOST_LAYERS:
        raise ValueError(f"{wanted}; got {kind(given)}")
    entries = [scalar(i) for i in given]
    if all(isinstance(i, str) and i for i in entries):
        return tuple(entries)
    if any(isinstance(i, bool | np.bool_) or not isinstance(i, Integral) for i in entries):
        strange = next(i for i in entries if isinstance(i, bool | np.bool_) or not isinstance(i, Integral))
        raise (ValueError if isinstance(strange, str) else TypeError)(f"{wanted}; got {kind(given)}")
    return tuple(int(i) for i in entries)


def _check_output(given: Any) -> None:
    if not callable(given):
        known = (*KINDS, *language.KINDS)
        if not isinstance(given, str) or given not in known:
            raise ValueError(f"output: {shown(given)} is not one of {known}, nor a function of the model's output")
    elif not takes(given, 1) and not takes(given, 2):
        raise TypeError(
            "output: expected a function of the model's output and, if it takes two arguments, of the input each row "
            f"belongs to; got {kind(given)}"
        )


def _check_progress(given: Any) -> None:
    if callable(given):
        if not takes(given, 2):
            raise TypeError(f"progress: expected a function of two arguments, done and total, got {kind(given)}")
    elif given is not None:
        try:
            flag("progress", given)
        except TypeError:
            raise TypeError(
                f"progress: expected True, False, None or a function of (done, total), got {kind(given)}"
            ) from None
