"""The tables that ids really reach, however they are looked up, and the baselines put in their place."""

import pytest
import torch
from torch import nn

from calig_fast import explain
from calig_fast.model.encoder import Encoder
from calig_fast.model.instrumented import InstrumentedModel
from calig_fast.model.word_lookup import Replacement

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
    "offset": lambda m, ids: m.word((ids + 3) % WORDS),
    "hashed": lambda m, ids: m.word(ids) + m.shared((ids * 31 + ids.roll(1, 1)) % 16),
    "backwards": lambda m, ids: m.word(ids) + torch.tanh(m.word(ids.flip(1))),
    "picked": lambda m, ids: m.table.index_select(0, ids.flatten()).view(*ids.shape, WIDTH),
    "one-hot": lambda m, ids: nn.functional.one_hot(ids, WORDS).to(m.table) @ m.table,
    "number": lambda m, ids: torch.stack([ids.float()] * WIDTH, -1) / 30,
    "written": lambda m, ids: m.word(torch.zeros_like(ids).copy_(ids)),
    "unseen": lambda m, ids: m.word((torch.from_numpy(ids.numpy().copy()) * 31) % WORDS),
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


class Wide(nn.Module):
    """A model of words beside a linear one, whose words `wide` counts."""

    def __init__(self, deep, wide):
        super().__init__()
        self.deep, self.bag, self.wide = deep, nn.EmbeddingBag(WORDS, 3, mode="sum"), wide

    def forward(self, input_ids):
        return self.deep(input_ids) + self.wide(self.bag, input_ids)


WIDE = {
    "bag": lambda bag, ids: bag(ids),
    "counts": lambda bag, ids: torch.zeros(len(ids), WORDS).scatter_add_(1, ids, torch.ones(ids.shape)) @ bag.weight,
    "one-hot": lambda bag, ids: nn.functional.one_hot(ids, WORDS).float().sum(1) @ bag.weight,
}


@pytest.mark.parametrize("wide", WIDE)
def test_words_that_pass_the_blocks_by_are_in_the_change_and_said(wide):
    model = Wide(made("module"), WIDE[wide]).eval()
    a = explain(model, IDS, layers="deep.blocks", method="layer_ig", baselines=7)
    baseline = torch.where((IDS == 1) | (IDS == 2), IDS, 7)
    torch.testing.assert_close(a.gap[:, 0], change(model, IDS, baseline), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(a.bypass, 1 - a.layer_scores.sum(2) / a.gap, rtol=3e-2, atol=3e-2)
    assert not a.converged.any()
    with pytest.raises(ValueError, match="where no embedding can stand"):
        explain(model, IDS, layers="deep.blocks", method="layer_ig", baselines="zero_embedding")


class Segments(Own):
    """Words and segments, each of its own table."""

    def __init__(self):
        super().__init__(LOOKS["module"])

    def forward(self, input_ids, token_type_ids):
        h = torch.tanh(self.segment(token_type_ids)) + self.word(input_ids)
        for block in self.blocks:
            h = block(h)
        return self.head(torch.tanh(h).mean(1))


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_another_argument_with_the_values_of_the_ids_keeps_them(same, first):
    torch.manual_seed(3)
    model, kinds = Segments().eval(), IDS if same else IDS.clone()
    call = {"token_type_ids": kinds, "input_ids": IDS} if first else {"input_ids": IDS, "token_type_ids": kinds}
    a = explain(model, call, layers="blocks", method="layer_ig", baselines=7)
    baseline = torch.where((IDS == 1) | (IDS == 2), IDS, 7)
    with torch.no_grad():
        z, w = model(IDS, IDS), model(baseline, IDS)
    torch.testing.assert_close(a.gap[:, 0], (z - w).gather(1, a.target[:, None])[:, 0], rtol=1e-4, atol=1e-5)


def test_masks_and_positions_made_of_the_ids_stay_those_of_the_input():
    model = made("module")
    model.look = lambda m, ids: m.word(ids) * (ids != 7)[..., None] + m.position((ids != 7).long().cumsum(1))
    a = explain(model, IDS, layers="blocks", method="layer_ig", baselines=7)
    model.look = lambda m, ids: m.word(ids) + m.position((IDS[: len(ids)] != 7).long().cumsum(1))
    baseline = torch.where((IDS == 1) | (IDS == 2), IDS, 7)
    torch.testing.assert_close(a.gap[:, 0], change(model, IDS, baseline), rtol=1e-4, atol=1e-5)


def halves(ids, baseline):
    both = torch.cat([ids, ids])
    return both, Replacement(both, lambda out, lookup: lookup(baseline), torch.cat([ids, baseline]))


@pytest.mark.parametrize("look", [name for name in LOOKS if name != "unseen"])
def test_a_pass_that_ends_at_the_blocks_is_watched_where_modules_alone_do_not_read_the_ids(look):
    tap = InstrumentedModel(made(look), Encoder("own", "text", ("blocks.0", "blocks.1"), embedding="word"))
    both, replacement = halves(IDS, IDS.flip(0))
    record = tap.record({"input_ids": both}, False, replacement, torch.ones_like(IDS, dtype=torch.bool))
    layout = tap.layout
    assert layout.lookups == (1 if look in {"module", "tied copy"} else None)
    for _ in range(2):
        assert torch.equal(tap.embed({"input_ids": both}, layout, replacement), record.hidden[0])


def test_a_pass_that_reads_the_ids_otherwise_than_the_first_is_watched():
    model = made("module")
    tap = InstrumentedModel(model, Encoder("own", "text", ("blocks.0", "blocks.1"), embedding="word"))
    both, replacement = halves(IDS, IDS.flip(0))
    record = tap.record({"input_ids": both}, False, replacement, torch.ones_like(IDS, dtype=torch.bool))
    layout, tap.model.look = tap.layout, LOOKS["clone"]
    assert torch.equal(tap.embed({"input_ids": both}, layout, replacement), record.hidden[0])
