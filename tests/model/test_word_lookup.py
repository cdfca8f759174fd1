"""The tables that ids really reach, however they are looked up, and the baselines put in their place."""

import pytest
import torch
from torch import nn

from calig_fast import explain

IDS = torch.tensor([[1, 40, 17, 33, 58, 21, 2], [1, 5, 9, 31, 44, 12, 2]])
WORDS, WIDTH = 60, 8


class Own(nn.Module):
    """Words by `look`, two blocks, a head; position and segment tables are declared first."""

    def __init__(self, look):
        super().__init__()
        self.position, self.segment = nn.Embedding(WORDS, WIDTH), nn.Embedding(WORDS, WIDTH)
        self.table = nn.Parameter(torch.randn(WORDS, WIDTH))
        self.scaled = Scaled(self.table)
        self.word = nn.Embedding(WORDS, WIDTH)
        self.shared = nn.Embedding(WORDS, WIDTH)
        self.shared.weight = self.word.weight
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()) for _ in range(2))
        self.head, self.look = nn.Linear(WIDTH, 3), look

    def forward(self, input_ids):
        h = self.look(self, input_ids)
        h = h + self.position(torch.arange(h.shape[1])) + self.segment(torch.zeros_like(input_ids[:, : h.shape[1]]))
        for block in self.blocks:
            h = block(h)
        return self.head(torch.tanh(h).mean(1))


class Scaled(nn.Module):
    """A word embedding of a class of its own."""

    def __init__(self, table):
        super().__init__()
        self.table = table

    def forward(self, ids):
        return self.table[ids] * 3.0


def padded(model, ids):
    return model.word(torch.cat([ids, torch.zeros_like(ids[:, :3])], 1))[:, : ids.shape[1]]


LOOKS = {
    "module": lambda m, ids: m.word(ids),
    "tied copy": lambda m, ids: m.shared(ids),
    "functional": lambda m, ids: nn.functional.embedding(ids, m.table),
    "indexing": lambda m, ids: m.table[ids],
    "own class": lambda m, ids: m.scaled(ids),
    "clone": lambda m, ids: m.word(ids.clone()),
    "int32": lambda m, ids: m.word(ids.to(torch.int32)),
    "transposed": lambda m, ids: m.word(ids.T.contiguous()).transpose(0, 1),
    "flat": lambda m, ids: m.word(ids.reshape(-1)).view(*ids.shape, WIDTH),
    "padded": padded,
    "two tables": lambda m, ids: m.word(ids) + torch.tanh(nn.functional.embedding(ids, m.table)),
}


def made(look):
    torch.manual_seed(3)
    return Own(LOOKS[look]).eval()


def change(model, ids, baseline):
    with torch.no_grad():
        z, w = model(ids), model(baseline)
    best = z.argmax(1, keepdim=True)
    return (z.gather(1, best) - w.gather(1, best))[:, 0]


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("rows", [1, 2])
def test_the_baseline_stands_where_the_ids_are_looked_up(look, rows):
    model, ids = made(look), IDS[:rows]
    a = explain(model, ids, layers="blocks", method="layer_ig", baselines=7)
    baseline = torch.where((ids == 1) | (ids == 2), ids, 7)
    for layer in range(2):
        torch.testing.assert_close(a.gap[:, layer], change(model, ids, baseline), rtol=1e-4, atol=1e-5)
    assert a.converged.all()
    assert float(a.bypass.abs().max()) == 0


@pytest.mark.parametrize("start", [0, 5])
def test_positions_equal_to_the_ids_are_left_alone(start):
    model, ids = made("module"), torch.arange(start, start + 7)[None]
    a = explain(model, ids, layers="blocks", method="layer_ig", baselines=30)
    baseline = torch.full_like(ids, 30)
    baseline[0, [0, -1]] = ids[0, [0, -1]]
    torch.testing.assert_close(a.gap[:, 0], change(model, ids, baseline), rtol=1e-4, atol=1e-5)


def test_ids_that_reach_no_table_are_replaced_themselves():
    model = made("module")
    model.look = lambda m, ids: torch.stack([ids.float()] * WIDTH, -1) / 30
    a = explain(model, IDS, layers="blocks", method="layer_ig", baselines=7)
    baseline = torch.where((IDS == 1) | (IDS == 2), IDS, 7)
    torch.testing.assert_close(a.gap[:, 1], change(model, IDS, baseline), rtol=1e-4, atol=1e-5)
    assert a.converged.all()


def test_ids_that_are_not_read_are_refused():
    model = made("module")
    model.look = lambda m, ids: m.word(torch.zeros_like(ids))
    with pytest.raises(ValueError, match="reach no table of word embeddings"):
        explain(model, IDS, layers="blocks", method="layer_ig", baselines=7)
