"""Outputs of a model for inputs with parts removed, with noise, or with random weights; the model is not changed."""

from __future__ import annotations

from ..inputs.digest import digests
from ..inputs.rows import windows_apart
from ..inputs.target import Output
from . import rankings
from .noise import continuous, noise
from .removal import Remover, opened
from .runner import PerturbationRunner, explained_classes, perturbation_runner
from .weights import model_parts, random_weights, with_weights

__all__ = [
    "Output",
    "PerturbationRunner",
    "Remover",
    "continuous",
    "digests",
    "explained_classes",
    "model_parts",
    "noise",
    "opened",
    "perturbation_runner",
    "random_weights",
    "rankings",
    "windows_apart",
    "with_weights",
]
