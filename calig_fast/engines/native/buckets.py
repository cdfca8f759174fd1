"""Batches of few shapes: points and rows are added, so that one recording serves texts of other lengths.

In a padded batch each point has as many rows, the last of them padding, and a block may have idle points, whose results
nobody reads. No row of the others depends on either: attention and the first row's softmax leave padding out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..base import PathPoints
from .path_batch import BatchKey, Ints, PathEndpoints

STEP = 16  # rows; lengths are rounded up to multiples
# A padded batch may take twice the work of its points, and as many rows times blocks more as a GPU does in about the
# time in which the host starts the kernels of one batch: 1.5 ms for 256 kernels, of a BERT base in float32 (reckoned
# for an H100, not measured).
IDLE_ROWS = 4096
MISSES = 16  # batches without a recording that are remembered


@dataclass(frozen=True)
class Need:
    """The points that a batch asks for.

    Args:
        counts: of each block, [L].
        longest: rows of the longest.
        work: rows times blocks that they pass.
    """

    counts: tuple[int, ...]
    longest: int
    work: int

    @classmethod
    def of(cls, points: PathPoints, lengths: Ints, depth: int) -> Need:
        """The need of some points, of so many rows each, in a stack of `depth` blocks."""
        counts = np.bincount(points.layer, minlength=depth)
        return cls(tuple(counts.tolist()), int(lengths.max()), int((lengths * (depth - points.layer)).sum()))

    def with_others(self, *others: Need) -> BatchKey:
        """The padded shape that serves all."""
        counts = [_rounded(max(column)) for column in zip(self.counts, *(o.counts for o in others), strict=True)]
        layers = tuple(layer for layer, count in enumerate(counts) for _ in range(count))
        rows = -(-max(self.longest, *(o.longest for o in others)) // STEP) * STEP
        return BatchKey(layers, (rows,) * len(layers), padded=True)

    @classmethod
    def of_shape(cls, shape: BatchKey, depth: int) -> Need:
        """The largest need that a padded shape has room for."""
        counts = np.bincount(shape.layers, minlength=depth)
        return cls(tuple(counts.tolist()), shape.lengths[0], work_of(shape, depth))

    def fits(self, shape: BatchKey) -> bool:
        """Return True if a padded shape has room for the points, and does not take too much work for them."""
        counts = np.bincount(shape.layers, minlength=len(self.counts))
        room = shape.lengths[0] >= self.longest and bool((counts >= self.counts).all())
        return room and work_of(shape, len(self.counts)) <= 2 * self.work + IDLE_ROWS


class Buckets:
    """The choice of padded shapes.

    A shape is recorded where it serves two batches that no recording served. Where it can, it serves those of another
    recording too, and takes its place. So recordings grow, and few serve all texts of a kind.
    """

    def __init__(self) -> None:
        self._misses: deque[Need] = deque(maxlen=MISSES)

    def shape(
        self, need: Need, recorded: Sequence[BatchKey], has_room: bool
    ) -> tuple[BatchKey | None, BatchKey | None]:
        """The padded shape of a batch, None where it runs as it is, and the shape of the recording that it replaces.

        Args:
            need: its points.
            recorded: shapes of which there is a recording.
            has_room: another one can be recorded.
        """
        depth = len(need.counts)
        serving = [shape for shape in recorded if need.fits(shape)]
        if serving:
            return min(serving, key=lambda shape: work_of(shape, depth)), None
        for other in self._misses:
            options: list[tuple[BatchKey, BatchKey | None]] = [
                (need.with_others(other, Need.of_shape(shape, depth)), shape) for shape in recorded
            ]
            options += [(need.with_others(other), None)] if has_room else []
            options = [(shape, old) for shape, old in options if need.fits(shape) and other.fits(shape)]
            if options:
                self._misses.remove(other)
                return min(options, key=lambda option: work_of(option[0], depth) - _work(option[1], depth))
        self._misses.append(need)
        return None, None


@dataclass(frozen=True)
class Slots:
    """The points of a padded batch.

    Args:
        points: all of them, in order of their layers.
        own: [n] the places of the points that were asked for.
        real: the rows of each that are no padding.
    """

    points: PathPoints
    own: Ints
    real: Ints

    @classmethod
    def of(cls, points: PathPoints, lengths: Ints, shape: BatchKey) -> Slots:
        """The points of a shape with room for those that are asked for; idle ones are baselines of the first input.

        Args:
            points: in order of their layers.
            lengths: [n], rows of each.
            shape: padded.
        """
        layers = np.array(shape.layers)
        first = np.searchsorted(layers, points.layer)
        own = first + np.arange(len(points)) - np.searchsorted(points.layer, points.layer)
        rows, nodes = np.zeros(len(layers), dtype=np.int64), np.zeros(len(layers))
        real = np.full(len(layers), lengths[0], dtype=np.int64)
        rows[own], nodes[own], real[own] = points.row, points.node, lengths
        rows[np.setdiff1d(np.arange(len(layers)), own)] = points.row[0]
        return cls(PathPoints(layer=layers, row=rows, node=nodes), own, real)


@dataclass(frozen=True)
class Wave:
    """A batch on its way through the blocks.

    Args:
        shape: of the batch.
        table: from `to_device`.
        lines: the endpoints of the paths.
        index: [n] int64, the input of each point that was asked for.
        where: [R] int64, the places of their rows in [n,T].
        rows: [R] int64, those rows among all rows of the batch, None where there are no others.
        outputs: their rows among those that the last block gives, None likewise.
    """

    shape: BatchKey
    table: Tensor
    lines: PathEndpoints
    index: Tensor
    where: Tensor
    rows: Tensor | None = None
    outputs: Tensor | None = None

    def own(self, values: Tensor, rows: Tensor | None) -> Tensor:
        """The rows of the points that were asked for."""
        return values if rows is None else values[rows]

    def among_all(self, g: Tensor, out: Tensor) -> Tensor:
        """The gradient of the last block's rows, zeros at those that nobody reads."""
        return g if self.outputs is None else g.new_zeros(out.shape).index_copy_(0, self.outputs, g)


def ranges(firsts: Ints, lengths: Ints) -> Ints:
    """Ranges of so many numbers, each from its first number on, one after another."""
    numbers: Ints = np.arange(lengths.sum()) + np.repeat(firsts - (np.cumsum(lengths) - lengths), lengths)
    return numbers


def work_of(shape: BatchKey, depth: int) -> int:
    """Rows times blocks that a padded batch passes."""
    return int(shape.lengths[0] * (depth - np.array(shape.layers)).sum())


def _work(shape: BatchKey | None, depth: int) -> int:
    return 0 if shape is None else work_of(shape, depth)


def _rounded(count: int) -> int:
    """The next of 0, 1, 2, 3, 4, 6, 8, 12, 16, 24, ..."""
    size = 1
    while size < count:
        if size >= 2 and count <= size * 3 // 2:
            return size * 3 // 2
        size *= 2
    return size if count else 0
