"""The grid of patches, counted from the convolution that makes them."""

import pytest
import torch
from helpers.real_models import seeded
from helpers.tiny_models import PICTURE, tiny
from torch import nn

from calig_fast import Grid
from calig_fast.inputs.image_patches import PatchConvolution, grid, patch_convolution
from calig_fast.model import families
from calig_fast.model.encoder import Encoder

UNKNOWN = Encoder("layers", "image", ("blocks.0",))


def places(found):
    return found.rows, found.columns, found.prefix, found.height, found.width


def conv(kernel=4, stride=4, padding=0):
    return PatchConvolution(3, (kernel, kernel), (stride, stride), (padding, padding))


@pytest.mark.parametrize(
    ("size", "tokens", "convolution", "wanted"),
    [
        ((16, 16), 16, conv(), (4, 4, 0, 4, 4)),
        ((16, 16), 17, conv(), (4, 4, 1, 4, 4)),
        ((16, 16), 21, conv(), (4, 4, 5, 4, 4)),
        ((18, 23), 21, conv(), (4, 5, 1, 4, 4)),  # what fills no patch is dropped
        ((18, 23), 30, conv(), (5, 6, 0, 4, 4)),  # the model fills the last patches up
        ((18, 23), 31, conv(), (5, 6, 1, 4, 4)),
        ((8, 8), 9, conv(), (2, 2, 5, 4, 4)),  # not 3 by 3
        ((32, 32), 64, conv(7, 4, 3), (8, 8, 0, 4, 4)),
        ((32, 32), 16, conv(), (4, 4, 0, 8, 8)),  # a later stage, of patches merged two by two
        ((30, 34), 20, conv(), (4, 5, 0, 8, 8)),
        ((30, 34), 12, conv(), (3, 4, 0, 8, 8)),  # likewise, what is left dropped
        ((16, 16), 60, conv(), (1, 60, 0, None, None)),
        ((16, 16), 11, conv(), (1, 11, 0, None, None)),
        ((16, 16), 17, None, (4, 4, 1, 4, 4)),
        ((16, 16), 12, None, (1, 12, 0, None, None)),
    ],
)
def test_grids_of_models_that_no_family_knows(size, tokens, convolution, wanted):
    assert places(grid(torch.zeros(1, 3, *size), UNKNOWN, tokens, convolution)) == wanted


@pytest.mark.parametrize(
    ("tokens", "wanted"), [(17, (4, 4, 1, 4, 4)), (26, (5, 5, 1, 4, 4)), (20, (4, 4, 4, 4, 4)), (5, (2, 2, 1, 9, 9))]
)
def test_grids_of_a_family_that_tells_its_patch_and_its_first_tokens(tokens, wanted):
    encoder = Encoder("vit", "image", ("blocks.0",), prefix=1, patch=(4, 4))
    assert places(grid(torch.zeros(1, 3, 18, 18), encoder, tokens, None)) == wanted


def test_the_convolution_of_the_tower_that_holds_the_blocks():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.small, self.large = nn.Conv2d(1, 8, 2, 2), nn.Module()
            self.large.deep = nn.Conv2d(64, 8, 2, 2)
            self.large.patches = nn.Conv2d(3, 8, (4, 8), (4, 8))
            self.large.blocks = nn.ModuleList([nn.Linear(8, 8)])

    found = patch_convolution(Two(), Encoder("layers", "image", ("large.blocks.0",)))
    assert found == PatchConvolution(3, (4, 8), (4, 8), (0, 0))
    assert patch_convolution(nn.Linear(2, 2), UNKNOWN) is None


@pytest.mark.parametrize("kind", ["vit", "deit", "dinov2", "dinov2_with_registers", "timm-token", "timm-registers"])
def test_the_convolution_of_each_family(kind):
    model = tiny(kind)
    assert patch_convolution(model, families.find(model)) == conv()


def test_the_first_convolution_of_a_model_of_convolutions():
    from transformers import ConvNextConfig, ConvNextForImageClassification

    model = seeded(ConvNextForImageClassification(ConvNextConfig(num_labels=3, hidden_sizes=[8] * 4, depths=[1] * 4)))
    found = patch_convolution(model, Encoder("layers", "image", ("convnext.encoder.stages.1.layers.0",)))
    assert found == conv()


def test_grids_are_equal_whatever_is_known_of_their_pixels():
    assert Grid(2, 3, 1) == Grid(2, 3, 1, 4, 4)
    assert hash(Grid(2, 3, 1)) == hash(Grid(2, 3, 1, 4, 4))
    assert PICTURE["patch_size"] == 4
