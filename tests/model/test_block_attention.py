"""Maps of windows, bands and sinks, folded to maps of token by token: each is compared with plain hooks and autograd."""

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
        found.append({
            kind: [attention.map(row, None if kind == "attention" else mine, kind) for row in range(record.rows)]
            for kind in KINDS
        })
    return found


def plain(model, call, value, monkeypatch):
    """The softmaxes of a plain call after a backward pass."""
    with softmaxes(monkeypatch) as made:
        value(model(call[""]) if "" in call else model(**call)).backward()
    return made


def value(out):
    logits = out if isinstance(out, torch.Tensor) else out.logits
    return logits[:, 1].sum()


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
                torch.testing.assert_close(found[index][kind_of_map][row], truth, rtol=1e-6, atol=1e-9 * float(truth.abs().max()))
