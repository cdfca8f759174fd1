"""Small models that no family knows, for the general implementation, and how results are compared."""

import torch
from torch import Tensor, nn

ROWS = 3


class Pair(nn.Module):
    """Two tensors in, two out."""

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return torch.tanh(a + b), torch.sigmoid(a - 0.5 * b)


class Toy(nn.Module):
    """Two inputs, an offset a row, and a power; layers with one and with two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 6), nn.Linear(4, 6)
        self.pair, self.act, self.head = Pair(), nn.Softplus(), nn.Linear(6, 4)

    def forward(self, x: Tensor, y: Tensor, offset: Tensor | None = None, power: int = 1) -> Tensor:
        a, b = self.pair(self.first(x), self.second(y))
        h = self.act(a * b + a)
        h = h if offset is None else h + offset[:, None]
        return self.head(h**power)


class Words(nn.Module):
    """Two embeddings of ids, averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Embedding(20, 6), nn.Embedding(20, 6), nn.Linear(6, 3)

    def forward(self, ids: Tensor, others: Tensor) -> Tensor:
        return self.head(torch.tanh(self.one(ids) + self.two(others)).mean(1))


def made(kind: type[nn.Module], dtype: torch.dtype = torch.float64) -> nn.Module:
    """A seeded model."""
    torch.manual_seed(5)
    return kind().to(dtype).eval()


def draw(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    """Seeded normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def flat(value: object) -> list[Tensor]:
    """All tensors in nested tuples and lists."""
    return [value] if isinstance(value, Tensor) else [t for part in value for t in flat(part)]


def same(mine: object, theirs: object, relative: float | None = None, floor: float = 0.0) -> None:
    """Raise where two results differ in form, dtype or value.

    Args:
        mine: ours.
        theirs: Captum's.
        relative: the largest relative difference, None for 1e-5 (1e-10 in float64).
        floor: the size below which differences are not relative to the value's own size.
    """
    assert shape_of(mine) == shape_of(theirs)
    for a, b in zip(flat(mine), flat(theirs), strict=True):
        limit = relative or (1e-10 if b.dtype == torch.float64 else 1e-5)
        a, b = a.detach().double(), b.detach().double()
        assert float((a - b).norm()) <= limit * max(float(b.norm()), floor)


def alike(mine: object, theirs: object) -> None:
    """Raise where attributions or their deltas differ; a delta is what is left of numbers of size 1."""
    same(mine[0], theirs[0])
    same(mine[1], theirs[1], floor=1.0)


def shape_of(value: object) -> object:
    """The form of a result."""
    if isinstance(value, Tensor):
        return tuple(value.shape), value.dtype
    return type(value), [shape_of(part) for part in value]
