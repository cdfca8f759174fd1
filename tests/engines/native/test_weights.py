"""Copies of a model's weights follow the model; what cannot be copied again is read again."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from calig_fast.engines.native.weights import Weights
from calig_fast.model.clone import storages
from calig_fast.model.encoder import Affine, Block, Norm
from calig_fast.model.families._weights import affine, fused

D = 4


def layers() -> nn.ModuleDict:
    torch.manual_seed(0)
    named = {name: nn.Linear(D, D, bias=name != "k") for name in ("q", "k", "v", "out", "up", "down")}
    return nn.ModuleDict({**named, "norm": nn.LayerNorm(D)})


def block_of(model: nn.ModuleDict) -> Block:
    norm = Norm(model["norm"].weight, model["norm"].bias, 1e-5)
    return Block(
        qkv=fused([affine(model[name]) for name in "qkv"]),
        **{name: affine(model[name]) for name in ("out", "up", "down")},
        norm1=norm,
        norm2=norm,
        activation="gelu",
        heads=2,
        scale=1.0,
    )


def tensors(block: Block) -> list[Tensor]:
    every = block.qkv, block.out, block.up, block.down, block.norm1
    return [t for layer in every for t in (layer.weight, layer.bias) if t is not None]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_copies_follow_the_model_where_they_are(dtype: torch.dtype) -> None:
    model, weights = layers(), Weights()
    (block,) = weights.read([block_of(model)], dtype, storages(model))
    places = [t.data_ptr() for t in tensors(block)]
    for p in model.parameters():
        p.data.mul_(1.5)
    assert weights.again()
    assert places == [t.data_ptr() for t in tensors(weights.blocks[0])]
    for ours, now in zip(tensors(weights.blocks[0]), tensors(block_of(model)), strict=True):
        assert torch.equal(ours, now.to(dtype))


def test_weights_of_the_dtype_are_the_models_own() -> None:
    model, weights = layers(), Weights()
    (block,) = weights.read([block_of(model)], torch.float32, storages(model))
    assert block.out.weight.data_ptr() == model["out"].weight.data_ptr()
    assert block.qkv.weight.data_ptr() not in {p.data_ptr() for p in model.parameters()}


def test_computed_weights_are_read_again() -> None:
    model, weights = layers(), Weights()
    assert not weights.again()
    for change in (
        lambda block: replace(block, out=Affine(block.out.weight * 1.0, block.out.bias)),
        lambda block: replace(block, qkv=fused([block.out, Affine(block.up.weight + 1.0, None), block.down])),
        lambda block: replace(block, scale1=torch.ones(D) * 2),
    ):
        weights.read([change(block_of(model))], torch.float32, storages(model))
        assert not weights.again()
