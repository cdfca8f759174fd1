"""Padding is found under any name and in either sense: a padded batch is explained as each input alone."""

import pytest
import torch
from helpers.real_models import seeded
from helpers.tiny_models import SIZES, ids, tiny
from torch import nn

from calig_fast import explain
from calig_fast.inputs import mask as masks

NODES = {"quadrature": "corrected_trapezoid", "n_steps": 4, "baselines": 0}
LAYERS = {"layers": "blocks", "method": "layer_ig", **NODES}
X = ids(8, 5)
MASK = X["attention_mask"]
INVERTED = 1 - MASK
ADDITIVE = INVERTED * torch.finfo(torch.float32).min


class Wrapped(nn.Module):
    """A BERT under a head of one's own, reached by the arguments of a subclass."""

    def __init__(self):
        super().__init__()
        from transformers import BertConfig, BertModel

        self.bert, self.head = BertModel(BertConfig(**SIZES)), nn.Linear(24, 3)

    def read(self, ids, real):
        return self.head(self.bert(input_ids=ids, attention_mask=real).last_hidden_state[:, 0])


class Mask(Wrapped):
    def forward(self, ids, mask):
        return self.read(ids, mask)


class Swapped(Wrapped):
    def forward(self, mask, tokens):
        return self.read(tokens, mask)


class Padding(Wrapped):
    def forward(self, ids, key_padding_mask):
        return self.read(ids, (key_padding_mask == 0).long())


class Misnamed(Wrapped):
    def forward(self, input_ids, attention_mask):
        return self.read(input_ids, (attention_mask == 0).long())


class Bias(Wrapped):
    def forward(self, ids, bias):
        return self.read(ids, (bias == 0).long())


class Keys(Wrapped):
    def forward(self, ids, mask):
        return self.read(ids, mask[:, 0].long())


class Square(Wrapped):
    def forward(self, ids, mask):
        return self.read(ids, mask[:, :, 0].amax(1).long() if mask.dim() > 3 else mask.amax(1).long())


class Column(Wrapped):
    def forward(self, ids, mask):
        return self.read(ids, mask[..., 0].long())


class Nameless(Wrapped):
    def forward(self, ids, where):
        return self.read(ids, where)


class Inside(Wrapped):
    """Tells padding by its id."""

    def forward(self, ids):
        return self.read(ids, (ids != 0).long())


class Segments(Wrapped):
    """Has an argument of zeros and ones that is no mask."""

    def forward(self, ids, mask, titles):
        words = self.bert.get_input_embeddings()(ids) + titles[..., None] / 2
        return self.head(self.bert(inputs_embeds=words, attention_mask=mask).last_hidden_state[:, 0])


class Pooled(nn.Module):
    """Averages over the tokens of the mask, attends to all."""

    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(60, 8), nn.Linear(8, 3)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(2)])

    def forward(self, tokens, keep=None):
        h = self.words(tokens)
        for block in self.blocks:
            h = block(h)
        keep = torch.ones_like(tokens) if keep is None else keep
        return self.head((h * keep[..., None]).sum(1) / keep.sum(1, keepdim=True))


class Encoder(nn.Module):
    """PyTorch's own layers, whose mask says where padding is."""

    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(60, 24), nn.Linear(24, 3)
        layer = nn.TransformerEncoderLayer(24, 3, 40, batch_first=True, dropout=0.0)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, src, src_key_padding_mask):
        return self.head(self.blocks(self.words(src), src_key_padding_mask=src_key_padding_mask)[:, 0])


SQUARE = MASK[:, None] * MASK[:, :, None]
CASES = {
    "mask": (Mask, {"ids": X["input_ids"], "mask": MASK}),
    "bool": (Mask, {"ids": X["input_ids"], "mask": MASK.bool()}),
    "mask first": (Swapped, {"mask": MASK, "tokens": X["input_ids"]}),
    "True is padding": (Padding, {"ids": X["input_ids"], "key_padding_mask": INVERTED.bool()}),
    "1 is padding": (Padding, {"ids": X["input_ids"], "key_padding_mask": INVERTED}),
    "attention_mask, inverted": (Misnamed, {"input_ids": X["input_ids"], "attention_mask": INVERTED}),
    "additive": (Bias, {"ids": X["input_ids"], "bias": ADDITIVE}),
    "[B,1,T]": (Keys, {"ids": X["input_ids"], "mask": MASK[:, None]}),
    "[B,T,T]": (Square, {"ids": X["input_ids"], "mask": SQUARE}),
    "[B,1,T,T]": (Square, {"ids": X["input_ids"], "mask": SQUARE[:, None]}),
    "[B,T,1]": (Column, {"ids": X["input_ids"], "mask": MASK[..., None]}),
    "a name that says nothing": (Nameless, {"ids": X["input_ids"], "where": MASK}),
    "by the id": (Inside, {"ids": X["input_ids"]}),
    "beside another of two values": (
        Segments,
        {"ids": X["input_ids"], "titles": torch.arange(8).expand(2, 8) % 2, "mask": MASK},
    ),
}


def alone(call, row):
    """The arguments of one input, without its padding."""
    n = int(MASK[row].sum())
    out = {}
    for name, value in call.items():
        value = value[row : row + 1]
        for axis in range(1, value.dim()):
            value = value.narrow(axis, 0, n) if value.shape[axis] == 8 else value
        out[name] = value
    return out


def check(model, call, **options):
    together = explain(model, call, **options)
    assert together.mask.tolist() == MASK.bool().tolist()
    for row in range(2):
        one, n = explain(model, alone(call, row), **options), int(MASK[row].sum())
        assert one.mask.all()
        torch.testing.assert_close(together.scores[row, :n], one.scores[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together.layer_scores[row, :, :n], one.layer_scores[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together.gap[row], one.gap[0], rtol=1e-4, atol=1e-5)
        assert not together.scores[row, n:].any()


@pytest.mark.parametrize("kind", CASES)
def test_a_padded_batch_is_explained_as_each_input_alone(kind):
    make, call = CASES[kind]
    check(seeded(make(), seed=3), call, **NODES)


@pytest.mark.parametrize("engine", ["auto", "autograd"])
def test_on_either_engine(engine):
    check(seeded(Mask(), seed=3), {"ids": X["input_ids"], "mask": MASK}, engine=engine, **NODES)


def test_pooling_that_heeds_the_mask():
    check(seeded(Pooled(), seed=3), {"tokens": X["input_ids"], "keep": MASK}, **LAYERS)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32])
def test_the_mask_of_pytorchs_own_layers(dtype):
    mask = INVERTED.bool() if dtype == torch.bool else ADDITIVE
    call = {"src": X["input_ids"], "src_key_padding_mask": mask}
    check(seeded(Encoder(), seed=3), call, **{**LAYERS, "layers": "blocks.layers"})


def test_features_in_place_of_ids():
    class Features(Mask):
        def forward(self, frames, mask):
            return self.head(self.bert(inputs_embeds=frames, attention_mask=mask).last_hidden_state[:, 0])

    frames = torch.randn(2, 8, 24, generator=torch.Generator().manual_seed(1))
    options = {**NODES, "baselines": "zero_embedding"}
    check(seeded(Features(), seed=3), {"mask": MASK, "frames": frames}, **options)


def test_an_inverted_attention_mask_without_padding():
    model, one = seeded(Misnamed(), seed=3), X["input_ids"][:1]
    a = explain(model, {"input_ids": one, "attention_mask": torch.zeros_like(one)}, **NODES)
    assert a.mask.all()


def test_a_mask_that_the_answer_does_not_show_is_told_by_its_pattern():
    class Reads(Pooled):
        """Averages over padding too."""

        def forward(self, tokens, keep_mask):
            return super().forward(tokens)

    a = explain(seeded(Reads(), seed=3), {"tokens": X["input_ids"], "keep_mask": MASK}, **LAYERS)
    assert a.mask.tolist() == MASK.bool().tolist()


def test_tokens_that_the_answer_does_not_reach_are_no_padding():
    class Near(Pooled):
        """Reads the first three tokens alone, and a flag of each."""

        def forward(self, tokens, flags):
            return super().forward(tokens[:, :3] + 0 * flags[:, :3])

    flags = torch.tensor([[1, 1, 1, 0, 0, 1, 0, 0]])
    options = {**LAYERS, "method": "layer_ig", "baselines": "zeros"}
    with pytest.raises(ValueError, match="tokens"):  # the blocks see fewer, which is another matter
        explain(seeded(Near(), seed=3), {"tokens": X["input_ids"][:1], "flags": flags}, **options)

    class First(Pooled):
        """Reads the first token alone."""

        def forward(self, tokens, flags):
            keep = torch.zeros_like(tokens)
            keep[:, 0] = 1
            return super().forward(tokens, keep) + 0 * flags[:, :1]

    a = explain(seeded(First(), seed=3), {"tokens": X["input_ids"][:1], "flags": flags}, **LAYERS)
    assert a.mask.all()


def test_what_was_found_out_is_kept(monkeypatch):
    model, call = seeded(Mask(), seed=3), {"ids": X["input_ids"], "mask": MASK}
    asked, answers = [], masks.Effect._answers
    monkeypatch.setattr(masks.Effect, "_answers", lambda self, call: asked.append(1) or answers(self, call))
    for _ in range(2):
        explain(model, call, **NODES)
    assert len(asked) == 1
    explain(tiny("bert"), X, **NODES)
    assert len(asked) == 1, "a name that tells is not tried"


def test_the_model_is_not_touched_by_the_trial():
    model = seeded(Mask(), seed=3).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    explain(model, {"ids": X["input_ids"], "mask": MASK}, **NODES)
    assert model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


def test_padding_that_a_model_reads_is_told():
    with pytest.warns(UserWarning, match="reads padding as text"):
        a = explain(tiny("bert"), X["input_ids"], **NODES)
    assert a.mask.all()
    left = {"input_ids": X["input_ids"].flip(1), "attention_mask": MASK.flip(1)}
    with pytest.warns(UserWarning, match="input 1 padded on the left"):
        explain(tiny("bert"), left, **NODES)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (torch.ones(2, 5), r"expected attention_mask \[2, 8\]"),
        (torch.zeros(2, 8), "all padding"),
        (ADDITIVE, "1 at real tokens and 0 at padding"),
        (torch.full((2, 8), torch.nan), "1 at real tokens and 0 at padding"),
    ],
)
def test_wrong_masks_are_named(mask, words):
    with pytest.raises(ValueError, match=words):
        explain(tiny("bert"), {**X, "attention_mask": mask}, **NODES)
