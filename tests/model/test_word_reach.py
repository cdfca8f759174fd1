"""Ids that reach the output by another way than a lookup of their embeddings are replaced with the baseline's too."""

import pytest
import torch
from torch import nn

from calig_fast import explain

IDS = torch.tensor([[1, 40, 17, 33, 58, 21, 2], [1, 5, 9, 9, 9, 12, 2]])
BASELINE = torch.where((IDS == 1) | (IDS == 2), IDS, 7)
WAYS = {
    "bag": lambda m, ids: m.bag(ids),
    "one-hot": lambda m, ids: m.bag.weight[:60].T.matmul(nn.functional.one_hot(ids, 60).double().sum(1).T).T,
    "hashes": lambda m, ids: m.table(ids * 7 % 600).mean(1),
    "bigrams": lambda m, ids: m.table((ids[:, 1:] * 3 + ids[:, :-1]) % 600).mean(1),
    "reversed": lambda m, ids: m.table(ids.flip(1)).mean(1) * 2,
    "selected": lambda m, ids: m.table.weight.index_select(0, ids.flatten()).view(*ids.shape, 3).sum(1),
}


class Wide(nn.Module):
    """A deep part of words and blocks, and a wide part that reads the ids."""

    def __init__(self, way):
        super().__init__()
        self.word, self.bag, self.table = nn.Embedding(60, 8), nn.EmbeddingBag(600, 3), nn.Embedding(600, 3)
        self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8), nn.Tanh()) for _ in range(3))
        self.head, self.way = nn.Linear(8, 3), way

    def forward(self, input_ids):
        h = self.word(input_ids)
        for block in self.blocks:
            h = block(h)
        z = self.head(h.mean(1))
        return z if self.way is None else z + self.way(self, input_ids)


def made(way):
    torch.manual_seed(1)
    return Wide(WAYS.get(way)).eval().double()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("certify", ["layers", "scores"])
def test_the_wide_part_is_a_bypass(way, certify):
    model = made(way)
    a = explain(model, IDS, baselines=7, method="layer_ig", certify=certify)
    with torch.no_grad():
        z, w = model(IDS), model(BASELINE)
        deep = made(None)(IDS) - made(None)(BASELINE)
    target = a.target[:, None]
    change, own = ((v.gather(1, target)[:, 0]) for v in (z - w, deep))
    for layer in range(3):
        torch.testing.assert_close(a.gap[:, layer].double(), change, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(a.bypass[:, layer].double(), 1 - own / change, rtol=1e-3, atol=1e-4)
    assert not a.converged.any()
    assert set(a.reasons[0]) == {"incomplete"}


def test_embeddings_as_a_baseline_are_refused_where_the_ids_are_read_elsewhere():
    with pytest.raises(ValueError, match="take a baseline of ids"):
        explain(made("bag"), IDS, baselines="zero_embedding", method="layer_ig")


def test_the_model_is_asked_once_for_each_kind_of_call():
    from calig_fast import Explainer

    model, calls = made(None), []
    model.register_forward_pre_hook(lambda module, args: calls.append(1))
    explainer = Explainer(model, baselines=7, method="layer_ig")
    assert float(explainer(IDS).bypass.abs().max()) == 0
    known = dict(explainer._memory.reach.known)
    explainer(IDS[:, :5])
    assert explainer._memory.reach.known == known
    assert list(known.values()) == [False]


def test_a_table_for_each_half_of_the_vocabulary():
    class Halves(Wide):
        """The words of either half are picked by a mask, which stays the input's own where the words are others."""

        def forward(self, input_ids):
            low, out = input_ids < 30, torch.zeros(*input_ids.shape, 8, dtype=torch.double)
            out[low], out[~low] = self.word(input_ids[low]), self.word.weight[input_ids[~low] - 30] + 1
            for block in self.blocks:
                out = block(out)
            return self.head(out.mean(1))

    torch.manual_seed(1)
    model = Halves(None).eval().double()
    a = explain(model, IDS, layers="blocks", method="layer_ig", baselines=7)
    with torch.no_grad():
        change = (model(IDS) - model(BASELINE)).gather(1, a.target[:, None])
    torch.testing.assert_close(a.gap.double(), change.expand(2, 3), rtol=1e-5, atol=1e-7)
    assert a.converged.all()
