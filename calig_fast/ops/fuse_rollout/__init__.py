"""One layer of the rollout: the running row through the normalised context map."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from ..dispatch import Operation
from . import spec

Options = tuple[float, float, str, str, bool]
OPERATION = Operation(__name__, spec.SCHEMA, spec.fake, spec.DTYPES)


def fuse_rollout(
    relevance: Tensor,
    attention: Tensor,
    offsets: Tensor,
    row: Tensor,
    identity: Tensor,
    lam: float,
    residual: float = 1.0,
    relevance_scale: str = "max_t",
    attention_scale: str = "sum",
    normalise: bool = True,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Multiply the running readout row by one layer's context map, input by input.

    M[t,u] = lam r^[u] + (1 - lam) G^[t,u], A = residual I + M, Z[t] = sum_u |A[t,u]| (1 without `normalise`; a row of
    zeros stays zero), row'[u] = sum_t row[t] / Z[t] A[t,u], identity'[t] = identity[t] residual / Z[t].

    Args:
        relevance: [tokens] float32 or float64, r of this layer; not read where lam is 0.
        attention: [sum_b T_b^2], dtype of `relevance`, G of this layer, row-major T_b x T_b an input; not read where
            lam is 1.
        offsets: [B+1] int64; input b has the tokens offsets[b] .. offsets[b+1].
        row: [tokens], dtype of `relevance`, the running row from the top block down.
        identity: [tokens], dtype of `relevance`, the running product of the identity parts.
        lam: in [0, 1], the share of the relevance.
        residual: weight of the identity.
        relevance_scale: r^ = 'max_t': r / (T max|r|), 'max': r / max|r|, 'sum': r / sum|r|, 'none': r. A zero
            denominator gives zeros.
        attention_scale: G^ = 'sum': G / sum|G| over the input's whole map, 'max': G / max|G|, 'none': G; as above.
        normalise: divide every row of A by its sum of magnitudes.
        backend: 'auto', 'torch', 'cpu', 'triton' or 'cuda'; 'auto' also reads CALIG_FAST_BACKEND.

    Returns:
        row' [tokens], identity' [tokens], dtype of `relevance`.

    Raises:
        TypeError: an argument of another dtype.
        ValueError: an argument of another shape, value or device; an unknown scale or backend.
        RuntimeError: the backend asked for cannot run.
    """
    options = (lam, residual, relevance_scale, attention_scale, normalise)
    rows, identities = fuse_layers(relevance[None], [attention], offsets, (row, identity), options, backend=backend)
    return rows[0], identities[0]


def fuse_layers(
    relevance: Tensor,
    attention: Iterable[Tensor],
    offsets: Tensor,
    start: tuple[Tensor, Tensor],
    options: Options,
    *,
    backend: str,
) -> tuple[list[Tensor], list[Tensor]]:
    """`fuse_rollout` of layer after layer, from the top one down; the arguments are checked once.

    Args:
        relevance: [L,tokens].
        attention: of each layer.
        offsets: [B+1] int64.
        start: the row and the identity parts above the top layer.
        options: lam, residual, relevance_scale, attention_scale, normalise.
        backend: see `fuse_rollout`.

    Returns:
        the row and the identity parts below each layer.
    """
    (row, identity), rows, identities, chosen = start, list[Tensor](), list[Tensor](), ""
    for layer, maps in zip(relevance.unbind(), attention, strict=True):
        arguments = (layer, maps, offsets, row, identity)
        if not chosen:
            spec.check(*arguments, *options)
            chosen = OPERATION.resolve(backend, arguments)
        row, identity = OPERATION(chosen, *arguments, *options)
        rows.append(row)
        identities.append(identity)
    return rows, identities
