"""A model asked about inputs with parts removed, noise added or weights drawn at random; the model is not touched."""

from __future__ import annotations

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
    "explained_classes",
    "model_parts",
    "noise",
    "opened",
    "perturbation_runner",
    "random_weights",
    "rankings",
    "with_weights",
]
