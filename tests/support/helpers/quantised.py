"""Layers with weights in 8 bits, as bitsandbytes keeps them."""

import copy

import torch
from torch import nn


class Packed(nn.Parameter):
    """Numbers in 8 bits with their scale as an attribute, which a detached tensor lacks; so bitsandbytes has it."""

    scale: torch.Tensor


class PackedLinear(nn.Module):
    """A layer over `Packed` weights."""

    def __init__(self, layer):
        super().__init__()
        scale = layer.weight.detach().abs().amax() / 127
        self.weight = Packed((layer.weight.detach() / scale).round().to(torch.int8), requires_grad=False)
        self.weight.scale, self.bias = scale, nn.Parameter(layer.bias.detach().clone())

    def forward(self, x):
        return nn.functional.linear(x, self.weight.to(x.dtype) * self.weight.scale, self.bias)


Packed.__module__ = PackedLinear.__module__ = "bitsandbytes.nn.modules"


def in_each_block(model, change):
    """A copy of the model in which the layers of the blocks are changed."""
    made = copy.deepcopy(model)
    for module in made.bert.encoder.modules():
        for name, layer in list(module.named_children()):
            if isinstance(layer, nn.Linear):
                setattr(module, name, change(layer))
    return made.eval()
