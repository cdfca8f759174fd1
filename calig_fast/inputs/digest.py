"""Digests of inputs, by which an input is known again."""

from __future__ import annotations

import hashlib

from torch import Tensor

from .prepare import Inputs


def digests(batch: Inputs) -> tuple[str, ...]:
    """The SHA-256 of each input, in hexadecimal: of a text its ids without padding, of others what the model reads.

    Args:
        batch: the inputs.
    """
    return tuple(_digest(batch, row) for row in range(len(batch)))


def _digest(batch: Inputs, row: int) -> str:
    digest = hashlib.sha256()
    if batch.ids is not None:
        _add(digest, batch.ids[row][batch.mask[row]])
    elif batch.embeds is not None:
        _add(digest, batch.call[batch.embeds][row][batch.mask[row]])
    else:
        _add(digest, batch.pixels[1][row])
    return digest.hexdigest()


def _add(digest: hashlib._Hash, value: Tensor) -> None:
    plain = value.detach().cpu().contiguous()
    plain = plain.double() if plain.is_floating_point() else plain.long()
    digest.update(f"{list(plain.shape)}".encode() + plain.numpy().tobytes())
