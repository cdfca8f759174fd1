"""A model and its options on their way to other processes, which share the memory of its weights."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from .. import Explainer
from .explaining import Maker, Tables
from .work import Work


@dataclass(frozen=True)
class Recipe:
    """All that a `Maker` is made of.

    Args:
        model: the caller's own object.
        processor: tokenizer, image processor, transform, or None.
        encoder: the blocks of a model that no family knows, or None.
        options: of `explain`.
        work: the work.
        tables: the rows that are kept.
        numbered: ids are numbers.
    """

    model: Any
    processor: Any
    encoder: Any
    options: Mapping[str, Any]
    work: Work
    tables: Tables
    numbered: bool

    def maker(self) -> Maker:
        """A maker with an Explainer of its own."""
        explainer = Explainer(self.model, self.processor, encoder=self.encoder, **self.options)
        return Maker(explainer, self.work, self.tables, self.numbered)


class Shipment:
    """A recipe in a nameless file in memory, which other processes map: the weights lie in memory once.

    Args:
        recipe: to be sent; neither it nor its model is changed.

    Raises:
        ValueError: the model or an option cannot be pickled.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._handle = os.memfd_create("calig_fast") if hasattr(os, "memfd_create") else -1
        self._content = b""
        stream = io.BytesIO() if self._handle < 0 else os.fdopen(self._handle, "wb", closefd=False)
        try:
            with stream:
                torch.save(vars(recipe), stream)
                self._content = stream.getvalue() if isinstance(stream, io.BytesIO) else b""
        except Exception as error:  # of the objects' own classes
            self.close()
            raise ValueError(
                f"model: it cannot be sent to other processes ({type(error).__name__}: {error}); pass workers=0 to "
                "explain in this process"
            ) from error

    def address(self) -> tuple[str, bytes]:
        """Place and content for `received`: one of the two."""
        return (f"/proc/{os.getpid()}/fd/{self._handle}", b"") if self._handle >= 0 else ("", self._content)

    def close(self) -> None:
        """Give the memory back once no process maps it."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def received(address: tuple[str, bytes]) -> Recipe:
    """The recipe of a shipment, in another process of this machine."""
    place, content = address
    if place:
        return Recipe(**torch.load(place, mmap=True, weights_only=False))
    return Recipe(**torch.load(io.BytesIO(content), weights_only=False))
