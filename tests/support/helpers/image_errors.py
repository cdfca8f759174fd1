"""Errors of pictures, for the table of errors: the type of each, and a call that raises it."""

from io import BytesIO

import numpy as np
import torch
from torch import nn

from calig_fast import explain
from helpers.tiny_models import PICTURE, pixels, tiny

P = pixels(1)


def picture(size=(16, 16)):
    from PIL import Image

    return Image.new("RGB", size)


def frames():
    from PIL import Image

    file = BytesIO()
    picture().save(file, "GIF", save_all=True, append_images=[Image.new("RGB", (16, 16), "white")])
    return Image.open(file)


def processor(given):
    return torch.from_numpy(np.array(given.resize((16, 16)), dtype=np.float32)).permute(2, 0, 1) / 255


class Masking:
    """A processor that makes a mask beside the pixels."""

    model_input_names = ("pixel_values",)

    def __call__(self, images, return_tensors):
        return {"pixel_values": torch.stack([processor(p) for p in images]), "pixel_mask": torch.zeros(len(images), 4)}


class PixelsAlone(nn.Module):
    """A model that takes no mask."""

    def __init__(self):
        super().__init__()
        self.vit = tiny("vit")

    def forward(self, pixel_values):
        return self.vit(pixel_values)


def four_channels():
    from transformers import ViTConfig, ViTForImageClassification

    return ViTForImageClassification(ViTConfig(**PICTURE, num_channels=4))


class Cut(nn.Module):
    """A model of patches that are cut already."""

    def __init__(self):
        super().__init__()
        self.patches, self.head = nn.Linear(12, 8), nn.Linear(8, 2)
        self.blocks = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])

    def forward(self, pixel_values, spatial_shapes, pixel_attention_mask=None):
        hidden = self.patches(pixel_values)
        for block in self.blocks:
            hidden = block(hidden)
        return self.head(hidden.mean(1))


def cut(change=lambda patches: patches, shapes=((2, 3), (2, 3)), mask=None):
    given = {"pixel_values": change(torch.zeros(2, 6, 12)), "spatial_shapes": torch.tensor(shapes)}
    given |= {} if mask is None else {"pixel_attention_mask": mask}
    return call(given, None, Cut, layers="blocks")


def call(inputs, process=processor, make=lambda: tiny("vit"), **options):
    return lambda: explain(make(), inputs() if callable(inputs) else inputs, process, **options)


IMAGE_CASES = [
    (TypeError, call([picture, None])),
    (TypeError, call(picture, "a name")),
    (TypeError, call(torch.zeros(1, 3, 16, 16, dtype=torch.uint8), None)),
    (ValueError, call("a text")),
    (ValueError, call(__file__)),
    (ValueError, call(lambda: picture((0, 4)))),
    (ValueError, call(frames)),
    (ValueError, call(np.full((4, 4), 4000, np.uint16))),
    (ValueError, call(np.full((4, 4), np.nan))),
    (ValueError, call(np.zeros((3, 4, 3), np.uint8))),
    (ValueError, call(np.zeros((5, 4, 2), np.uint8))),
    (ValueError, call(lambda: [picture(), P[0]])),
    (ValueError, call([P[0], P[0, :, :8]])),
    (ValueError, call(P.permute(0, 2, 3, 1)[:, :, :8])),
    (ValueError, call(torch.zeros(1, 2, 3, 16, 16))),
    (ValueError, call(picture, lambda p: p)),
    (ValueError, call(picture, lambda p: processor(p).to(torch.uint8))),
    (ValueError, call(picture, lambda p: torch.stack([processor(p)] * 5))),
    (ValueError, call(picture, Masking(), PixelsAlone)),
    (ValueError, call(picture, processor, four_channels)),
    (ValueError, call(picture, processor, baselines="mean")),
    (TypeError, cut(lambda patches: patches.long())),
    (ValueError, cut(shapes=((2, 3), (3, 2)))),
    (ValueError, cut(shapes=((3, 3), (3, 3)))),
    (ValueError, cut(mask=torch.zeros(2, 6))),
    (ValueError, cut(lambda patches: patches / 0)),
]
