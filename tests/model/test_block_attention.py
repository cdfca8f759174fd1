"""Maps of windows, bands and sinks, folded to maps of token by token, beside plain hooks and autograd."""

import pytest
import torch
from helpers.folding import entries, placed, reduced, softmaxes, windows
from torch import nn

from calig_fast import explain
from calig_fast.model.encoder import Encoder
from calig_fast.model.instrumented import InstrumentedModel

KINDS = ("gradient", "positive_gradient", "attention")


def read(model, blocks, call, value):
    """Our maps of each kind, by block: [N][T,T]."""
    tap = InstrumentedModel(model, Encoder("test", "image", tuple(blocks)))
    record = tap.record(call, True)
    watched = [t for a in record.attention for t in a.watched]
    slopes = iter(torch.autograd.grad(value(record.output), watched))
    found = []
    for attention in record.attention:
        mine = [next(slopes) for _ in attention.watched]
        found.append(
            {
                kind: [attention.map(row, None if kind == "attention" else mine, kind) for row in range(record.rows)]
                for kind in KINDS
            }
        )
    return found


def plain(model, call, value, monkeypatch):
    """The softmaxes of a plain call after a backward pass."""
    with softmaxes(monkeypatch) as made:
        value(model(call[""]) if "" in call else model(**call)).backward()
    return made


def value(out):
    logits = out if isinstance(out, torch.Tensor) else out.logits
    return logits[:, 1].sum()


def agree(found, truth):
    close = 1e-9 if found.dtype == torch.float64 else 1e-5
    torch.testing.assert_close(found, truth.to(found), rtol=1e3 * close, atol=close * float(truth.abs().max()))


def swin(kind, side):
    """A model of two blocks in its first stage, the second shifted; windows of 4, patches of 2."""
    torch.manual_seed(0)
    sizes = {"depths": [2, 1], "num_heads": [2, 2], "window_size": 4}
    if kind.startswith("timm"):
        timm = pytest.importorskip("timm")
        model = timm.create_model(kind[5:], img_size=side, patch_size=2, embed_dim=16, num_classes=3, **sizes)
        stage = "stages" if "_cr_" in kind else "layers"
        blocks = [f"{stage}.0.blocks.{i}" for i in range(2)]
    elif kind == "torchvision":
        vision = pytest.importorskip("torchvision.models.swin_transformer")
        model = vision.SwinTransformer([2, 2], 16, [2, 1], [2, 2], [4, 4], num_classes=3)
        blocks = ["features.1.0", "features.1.1"]
    else:
        hub = pytest.importorskip("transformers")
        config = getattr(hub, f"{kind}Config")(image_size=side, patch_size=2, embed_dim=16, num_labels=3, **sizes)
        model = getattr(hub, f"{kind}ForImageClassification")(config)
        blocks = [f"{kind.lower().replace('donutswin', 'donut')}.encoder.layers.0.blocks.{i}" for i in range(2)]
    for name, weight in model.named_parameters():  # some scales are zero at first
        if "norm" in name or "bias" in name:
            nn.init.normal_(weight, 0.5, 0.3)
    return model.double().eval(), blocks


SWINS = {
    "Swin": False,
    "Swinv2": False,
    "DonutSwin": False,
    "timm/swin_tiny_patch4_window7_224": True,
    "timm/swinv2_tiny_window8_256": True,
    "timm/swinv2_cr_tiny_224": True,
    "torchvision": False,
}


@pytest.mark.parametrize("side", [16, 20])  # a grid of 8 by 8, or of 10 by 10, which windows of 4 do not fill
@pytest.mark.parametrize("kind", SWINS)
def test_shifted_windows(kind, side, monkeypatch):
    model, blocks = swin(kind, side)
    pixels = torch.randn(2, 3, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    call = {"": pixels} if kind.startswith(("timm", "torch")) else {"pixel_values": pixels}
    made = plain(model, call, value, monkeypatch)
    grid = side // 2
    found = read(model, blocks, call, value)
    assert len(found) == 2
    for index, shift in enumerate((0, 2)):
        layout = windows(grid, grid, 4, shift, SWINS[kind])
        for kind_of_map in KINDS:
            for row in range(2):
                truth = placed(made[index], layout, grid * grid, row, kind_of_map)
                assert truth.abs().max() > 0
                agree(found[index][kind_of_map][row], truth)


class Block(nn.Module):
    """A norm, then an attention of one's own, then a residual."""

    def __init__(self, attention, width=8):
        super().__init__()
        self.norm, self.attention, self.mlp = nn.LayerNorm(width), attention, nn.Linear(width, width)

    def forward(self, hidden):
        hidden = hidden + self.attention(self.norm(hidden))
        return hidden + self.mlp(hidden).tanh()


class Net(nn.Module):
    """Features [B,T,8] through two blocks."""

    def __init__(self, make):
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(Block(make()) for _ in range(2))
        self.head = nn.Linear(8, 3)
        for name, weight in self.named_parameters():  # biases are keys of the padding
            if "bias" in name:
                nn.init.normal_(weight)

    def forward(self, features):
        for block in self.blocks:
            features = block(features)
        return self.head(features.mean(1))


class Windows(nn.Module):
    """Windows of a grid of 5 by 5: the last row and column have windows of their own, one of a single token.

    Args:
        multi_head: through nn.MultiheadAttention.
        windows_first: the windows of all inputs stand beside each other, [W*B,t,D].
    """

    SIDE, WINDOW = 5, 4

    def __init__(self, multi_head=False, windows_first=False):
        super().__init__()
        self.multi_head, self.windows_first = multi_head, windows_first
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, hidden):
        rows, side, w = len(hidden), self.SIDE, self.WINDOW
        n = -(-side // w)
        grid = nn.functional.pad(hidden.view(rows, side, side, 8), (0, 0, 0, n * w - side, 0, n * w - side))
        cut = grid.view(rows, n, w, n, w, 8).permute((1, 3, 0, 2, 4, 5) if self.windows_first else (0, 1, 3, 2, 4, 5))
        cut = cut.reshape(-1, w * w, 8)
        if self.multi_head:
            cut = self.attention(cut, cut, cut, need_weights=False)[0]
        else:
            q, k, v = self.qkv(cut).view(len(cut), w * w, 3, 2, 4).permute(2, 0, 3, 1, 4)
            cut = self.out((q @ k.transpose(-1, -2)).softmax(-1).matmul(v).transpose(1, 2).reshape(len(cut), -1, 8))
        if self.windows_first:
            grid = cut.view(n, n, rows, w, w, 8).permute(2, 0, 3, 1, 4, 5)
        else:
            grid = cut.view(rows, n, n, w, w, 8).permute(0, 1, 3, 2, 4, 5)
        return grid.reshape(rows, n * w, n * w, 8)[:, :side, :side].reshape(rows, side * side, 8)


def features(tokens):
    return torch.randn(3, tokens, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def two_blocks(make):
    return Net(make).double().eval(), ["blocks.0", "blocks.1"]


@pytest.mark.parametrize("multi_head", [False, True])
def test_windows_of_one_token_beside_padding(multi_head, monkeypatch):
    model, blocks = two_blocks(lambda: Windows(multi_head))
    call = {"": features(25)}
    made = plain(model, call, value, monkeypatch)
    layout = windows(5, 5, 4, 0, False)
    for index, found in enumerate(read(model, blocks, call, value)):
        mine = made[index]
        if multi_head:  # [N*W*H,t,t]
            grad = mine.grad
            mine = mine.detach().view(-1, 2, 16, 16)
            mine.grad = grad.view(-1, 2, 16, 16)
        for kind in KINDS:
            for row in range(3):
                agree(found[kind][row], placed(mine, layout, 25, row, kind))


def test_windows_before_inputs():
    """The order of windows and inputs says nothing: an input's maps are those it has alone."""
    model, blocks = two_blocks(lambda: Windows(windows_first=True))
    together = read(model, blocks, {"": features(25)}, value)
    for row in range(3):
        alone = read(model, blocks, {"": features(25)[row : row + 1]}, value)
        for one, found in zip(alone, together, strict=True):
            for kind in KINDS:
                agree(found[kind][row], one[kind][0])


class Bare(nn.Module):
    """A map made and used in some way, over all tokens.

    Args:
        use: of q, k, v [B,H,T,d] to the output [B,H,T,d].
    """

    def __init__(self, use, heads=2):
        super().__init__()
        self.use, self.heads = use, heads
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.extra = nn.Parameter(torch.randn(heads, 6, 6))

    def forward(self, hidden):
        rows, tokens, width = hidden.shape
        q, k, v = self.qkv(hidden).view(rows, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return self.out(self.use(q, k, v, self.extra).transpose(1, 2).reshape(rows, tokens, width))


def sink_last(q, k, v, extra):
    logits = torch.cat([q @ k.transpose(-1, -2), extra[:, :1, :1].expand(len(q), -1, q.shape[2], 1)], -1)
    return (logits - logits.amax(-1, keepdim=True)).softmax(-1)[..., :-1] @ v


def sinks_first(q, k, v, extra):
    logits = torch.cat([extra[:, :1, :2].expand(len(q), -1, q.shape[2], 2), q @ k.transpose(-1, -2)], -1)
    return logits.softmax(-1)[..., 2:] @ v


def sink_of_zeros(q, k, v, extra):
    nothing = torch.zeros_like(v[..., :1, :])
    return nn.functional.scaled_dot_product_attention(q, torch.cat([k, nothing], 2), torch.cat([v, nothing], 2))


SINKS = {sink_last: slice(0, 6), sinks_first: slice(2, 8), sink_of_zeros: slice(0, 6)}


@pytest.mark.parametrize("use", SINKS)
def test_sinks_are_left_out(use, monkeypatch):
    model, blocks = two_blocks(lambda: Bare(use))
    call = {"": features(6)}
    made = plain(model, call, value, monkeypatch)
    for index, found in enumerate(read(model, blocks, call, value)):
        for kind in KINDS:
            truth = entries(made[index], kind)[..., SINKS[use]]
            for row in range(3):
                agree(found[kind][row], reduced(truth[row], kind))
        assert (found["attention"][0].sum(-1) < 1).all()


def learned_key(q, k, v, extra):
    more = extra[:, :1, :4].expand(len(q), -1, -1, -1)
    return nn.functional.scaled_dot_product_attention(q, torch.cat([k, more], 2), torch.cat([v, more], 2))


def pooled_keys(q, k, v, extra):
    k, v = (torch.stack([x[..., :3, :].mean(2), x[..., 3:, :].mean(2)], 2) for x in (k, v))
    return nn.functional.scaled_dot_product_attention(q, k, v)


def twice(q, k, v, extra):
    halves = [x.unflatten(2, (2, 3)) for x in (q, k, v)]
    once = nn.functional.scaled_dot_product_attention(*halves).flatten(2, 3)
    return nn.functional.scaled_dot_product_attention(halves[0], halves[1], once.unflatten(2, (2, 3))).flatten(2, 3)


def windows_and_a_mean(q, k, v, extra):
    halves = [x.unflatten(2, (2, 3)) for x in (q, k, v)]
    return nn.functional.scaled_dot_product_attention(*halves).flatten(2, 3) + v.mean(2, keepdim=True)


def of_channels(q, k, v, extra):
    return v @ (q.transpose(-1, -2) @ k).softmax(-1)


def of_places(q, k, v, extra):
    return extra.softmax(-1)[:, : v.shape[2], : v.shape[2]] @ v + v.cumsum(2)


@pytest.mark.parametrize(
    "use", [learned_key, pooled_keys, twice, windows_and_a_mean, of_channels, of_places], ids=lambda use: use.__name__
)
def test_other_ways_between_tokens_name_a_method_without_maps(use):
    model, _ = two_blocks(lambda: Bare(use))
    call = features(6)
    with pytest.raises(ValueError, match=r'maps of token by token can be read in 2 blocks.*method="layer_ig"'):
        explain(model, call, layers="blocks", baselines="zeros")
    assert explain(model, call, layers="blocks", baselines="zeros", method="layer_ig").scores.shape == (3, 6)


def test_a_map_of_places_beside_the_attention():
    """As many heads as inputs and baselines: the softmax of a bias [H,T,T] is none of the inputs' maps."""

    def biased(q, k, v, extra):
        weights = (q @ k.transpose(-1, -2)).softmax(-1)
        return weights @ v + 0 * extra.softmax(-1).sum()

    model, blocks = two_blocks(lambda: Bare(biased, heads=4))
    found = read(model, blocks, {"": features(6)[:2].repeat(2, 1, 1)}, value)
    assert len(found) == 2
    assert explain(model, features(6)[:2], layers="blocks", baselines="zeros").scores.shape == (2, 6)


def text(kind, monkeypatch, tokens=8, **sizes):
    """A tiny classifier of transformers, and what a plain call of two inputs makes."""
    hub = pytest.importorskip("transformers")
    torch.manual_seed(0)
    common = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_labels": 3}
    config = getattr(hub, f"{kind}Config")(**common, intermediate_size=16, pad_token_id=0, **sizes)
    config._attn_implementation = "eager"
    model = getattr(hub, f"{kind}ForSequenceClassification")(config).eval()
    call = {"input_ids": torch.randint(3, 32, (2, tokens), generator=torch.Generator().manual_seed(1))}
    call["input_ids"][1, -2:] = 0
    call["attention_mask"] = (call["input_ids"] > 0).long()
    return model, call, plain(model, call, value, monkeypatch)


def test_learned_sinks(monkeypatch):
    sizes = {"num_key_value_heads": 1, "head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1}
    model, call, made = text("GptOss", monkeypatch, **sizes)
    maps = [m for m in made if m.dim() == 4 and m.shape[-1] == 9]
    found = read(model, [f"model.layers.{i}" for i in range(2)], call, value)
    assert len(maps) == len(found) == 2
    for one, ours in zip(maps, found, strict=True):
        for kind in KINDS:
            for row in range(2):
                agree(ours[kind][row], reduced(entries(one, kind)[row, ..., :-1], kind))


def test_a_band_and_a_global_token(monkeypatch):
    """Longformer: query i sees keys i - 2 to i + 2 and the first token, which has weights of its own for all tokens."""
    model, call, made = text("Longformer", monkeypatch, attention_window=4, max_position_embeddings=32)
    found = read(model, [f"longformer.encoder.layer.{i}" for i in range(2)], call, value)
    for index, ours in enumerate(found):
        band, first = made[2 * index : 2 * index + 2]  # [N,T,H,1+5], [N*H,1,T]
        real = call["attention_mask"].bool()
        for kind in KINDS:
            for row in range(2):
                truth = torch.zeros(8, 8)
                for i in range(8):
                    seen = entries(band, kind)[row, i]
                    truth[i, 0] += reduced(seen[:, 0], kind)
                    for j in range(max(i - 2, 0), min(i + 3, 8)):
                        truth[i, j] += reduced(seen[:, 1 + j - i + 2], kind)
                truth[0] = reduced(entries(first, kind).view(2, 2, 8)[row], kind)
                truth[~real[row]] = 0  # their attention is set to zero after the softmax
                agree(ours[kind][row], truth)


def test_windows_that_a_grid_does_not_fill_in_one_block_and_all_tokens_in_the_next():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "neck_chans": 8}
    model = timm.create_model(
        "samvit_base_patch16_224", num_classes=3, window_size=3, global_attn_indexes=(1,), **sizes
    )
    call = {"": torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))}
    first, second = read(model.eval(), ["blocks.0", "blocks.1"], call, value)
    assert (second["attention"][0] > 0).all()
    for query, keys in ((0, {0, 1, 2, 4, 5, 6, 8, 9, 10}), (3, {3, 7, 11}), (15, {15})):
        assert set(first["attention"][1][query].nonzero().flatten().tolist()) == keys
    assert (first["attention"][1][15].sum() < 1).all()  # the rest is paid to padding


def test_partitions_of_maxvit_are_blocks_of_their_own():
    timm = pytest.importorskip("timm")
    from timm.models.maxxvit import PartitionAttentionCl

    torch.manual_seed(0)
    sizes = {"depths": (2,), "embed_dim": (16,), "stem_width": 8, "transformer_dim_head": 8}
    parts = {"transformer_window_size": (2, 2), "transformer_grid_size": (2, 2)}
    model = timm.create_model("maxvit_nano_rw_256", img_size=16, num_classes=3, **sizes, **parts).double().eval()
    blocks = [name for name, m in model.named_modules() if isinstance(m, PartitionAttentionCl)]
    call = {"": torch.randn(2, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))}
    found = read(model, blocks, call, value)
    windows_of, grid_of = found[0]["attention"][0], found[1]["attention"][0]
    for maps in (windows_of, grid_of):
        torch.testing.assert_close(maps.sum(-1), torch.ones(16, dtype=torch.float64))
    assert set(windows_of[0].nonzero().flatten().tolist()) == {0, 1, 4, 5}
    assert set(grid_of[0].nonzero().flatten().tolist()) == {0, 2, 8, 10}


def test_blocks_of_keys_of_which_one_stands_twice(monkeypatch):
    """BigBird: outside training the random block is the first, which every query sees already."""
    sizes = {"block_size": 4, "num_random_blocks": 1, "attention_type": "block_sparse", "max_position_embeddings": 64}
    model, call, _ = text("BigBird", monkeypatch, tokens=48, **sizes)
    found = read(model, [f"bert.encoder.layer.{i}" for i in range(2)], call, value)
    with torch.no_grad():
        told = model(**call, output_attentions=True).attentions
    for ours, theirs in zip(found, told, strict=True):
        for row in range(2):
            truth = theirs[row].mean(0)
            truth[4:-4, :4] *= 2  # the model reports one of the two
            truth[call["attention_mask"][row] == 0] = 0  # what padding attends to is left out of the output
            agree(ours["attention"][row], truth)
