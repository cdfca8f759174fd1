"""Blocks with rotated, normed and shared heads, bands, RMS norms and norms of branches, against autograd in float64."""

import math

import pytest
import torch

from calig_fast.engines.native import block as blocks
from calig_fast.engines.native import first_token_block as first_row
from calig_fast.engines.native import heads
from calig_fast.engines.native.attention import attention_backward_rows, attention_map
from calig_fast.model.encoder import Affine, Block, Norm, Rotary
from calig_fast.ops.packing import Segments

D, E, F, H = 12, 6, 20, 4
LENGTHS = (5, 1, 9)
SEGMENTS = Segments(torch.tensor([0, 5, 6, 15]), LENGTHS)
ROWS = SEGMENTS.rows
ROTARY = Rotary((1.0, 0.3, 0.05), 1.1)
KINDS = {
    "causal": {"after": 0},
    "near": {"before": 2, "after": 1},
    "rotary": {"rotary": ROTARY},
    "a part of the columns": {"rotary": Rotary((1.0, 0.3))},
    "shared heads": {"key_heads": 2},
    "one head of keys": {"key_heads": 1, "after": 0},
    "no first norm": {"norm1": None},
    "RMS": {"norm1": "rms", "norm2": "rms"},
    "normed heads": {"norm_q": "rms", "norm_k": "layer"},
    "normed branches": {"post1": "rms", "post2": "rms"},
    "parallel": {"parallel": True},
    "scaled": {"post2": "rms", "scale1": True, "scale2": True},
    "all": {
        "rotary": ROTARY,
        "key_heads": 2,
        "before": 3,
        "after": 0,
        "gated": True,
        "parallel": True,
        "norm_q": "rms",
        "norm_k": "rms",
        "norm1": "rms",
        "norm2": "rms",
        "post1": "rms",
        "post2": "layer",
    },
}
WIDTHS = {"norm_q": E, "norm_k": E}


def make(kind):
    parts, g = dict(KINDS[kind]), torch.Generator().manual_seed(0)

    def rand(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64) / shape[-1] ** 0.5

    def norm(form, wide):
        return Norm(1 + rand(wide), None if form == "rms" else rand(wide), 1e-5, rms=form == "rms")

    parts = {"norm1": "layer", "norm2": "layer", **parts}
    for name, form in parts.items():
        if isinstance(form, str):
            parts[name] = norm(form, WIDTHS.get(name, D))
        elif name.startswith("scale"):
            parts[name] = rand(D)
    across = (H + 2 * parts.get("key_heads", H)) * E
    return Block(
        qkv=Affine(rand(across, D), rand(across)),
        out=Affine(rand(D, H * E), rand(D)),
        up=Affine(rand(2 * F if parts.get("gated") else F, D), None),
        down=Affine(rand(D, F), None),
        activation="silu",
        heads=H,
        scale=0.4,
        pre_norm=True,
        **parts,
    )


def norm_of(n, x):
    if n is None:
        return x
    if n.rms:
        return x / (x.square().mean(-1, keepdim=True) + n.eps).sqrt() * n.weight
    return torch.nn.functional.layer_norm(x, x.shape[-1:], n.weight, n.bias, n.eps)


def turned(rotary, x):
    """x [T,H,E], each pair of columns as a complex number."""
    n = len(rotary.frequencies)
    angles = torch.arange(len(x), dtype=torch.float32)[:, None] * torch.tensor(rotary.frequencies)
    turn = torch.polar(torch.full_like(angles, rotary.factor), angles).to(torch.complex128)[:, None]
    pairs = torch.complex(x[..., :n], x[..., n : 2 * n]) * turn
    return torch.cat([pairs.real, pairs.imag, x[..., 2 * n :]], -1)


def maps_of(block, qkv):
    """Attention [H,T,T] of one segment's projection, and its values."""
    q, k, v = qkv.view(len(qkv), -1, E).split([H, block.groups, block.groups], 1)
    q, k = norm_of(block.norm_q, q), norm_of(block.norm_k, k)
    if block.rotary is not None:
        q, k = turned(block.rotary, q), turned(block.rotary, k)
    k, v = (t.repeat_interleave(H // block.groups, 1) for t in (k, v))
    z = block.scale * torch.einsum("the,uhe->htu", q, k)
    step = torch.arange(len(qkv)) - torch.arange(len(qkv))[:, None]
    least, most = (math.inf if rows < 0 else rows for rows in (block.before, block.after))
    return z.masked_fill((step < -least) | (step > most), -math.inf).softmax(-1), v


def plain(block, x):
    """The definition, in operations that autograd differentiates."""
    linear = torch.nn.functional.linear

    def attention(x):
        out = []
        for rows in linear(x, block.qkv.weight, block.qkv.bias).split(LENGTHS):
            p, v = maps_of(block, rows)
            out.append(torch.einsum("htu,uhe->the", p, v).flatten(1))
        return linear(torch.cat(out), block.out.weight, block.out.bias)

    def mlp(x):
        return linear(blocks.activate(block, linear(x, block.up.weight)), block.down.weight)

    one = torch.ones(())
    y = x + norm_of(block.post1, attention(norm_of(block.norm1, x))) * (one if block.scale1 is None else block.scale1)
    branch = norm_of(block.post2, mlp(norm_of(block.norm2, x if block.parallel else y)))
    return y + branch * (one if block.scale2 is None else block.scale2)


@pytest.mark.parametrize("backend", ["auto", "torch"])
@pytest.mark.parametrize("kind", KINDS)
def test_forward_and_vjp(kind, backend):
    block, g = make(kind), torch.Generator().manual_seed(1)
    x = torch.randn(ROWS, D, generator=g, dtype=torch.float64, requires_grad=True)
    want = plain(block, x)
    upstream = torch.randn(want.shape, generator=g, dtype=torch.float64)
    slope = torch.autograd.grad(want, x, upstream)[0]
    rows = x.detach()
    qkv, normed = blocks.project(block, rows, backend)
    kept = rows.clone(), qkv.clone(), upstream.clone()
    out, saved = blocks.forward(block, rows, qkv, normed, SEGMENTS, backend=backend)
    torch.testing.assert_close(out, want.detach(), rtol=1e-7, atol=1e-7)  # angles are of float32
    residual, dmixed = blocks.vjp(block, upstream, saved, backend)
    dqkv, maps = attention_backward_rows(dmixed, saved.attended, backend, maps=3)
    found = blocks.input_grad(block, residual, dqkv, saved, backend)
    torch.testing.assert_close(found, slope, rtol=1e-7, atol=1e-7)
    assert all(map(torch.equal, (rows, qkv, upstream), kept))
    for segment, (first, tokens) in enumerate(zip((0, 5, 6), LENGTHS, strict=True)):
        wanted, v = maps_of(block, qkv[first : first + tokens])
        mean = attention_map(saved.attended, segment)
        torch.testing.assert_close(mean, wanted.mean(0), rtol=1e-6, atol=1e-7)
        dp = torch.einsum("the,uhe->htu", dmixed[first : first + tokens].view(tokens, H, E), v)
        torch.testing.assert_close(maps[segment, :tokens, :tokens], (wanted * dp).mean(0), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_row_alone_takes_plain_attention(kind):
    plain_attention = not {"rotary", "key_heads", "norm_q", "before", "after"} & KINDS[kind].keys()
    assert first_row.takes(make(kind)) == plain_attention


def test_tables_of_angles_are_one_for_all_layers_and_no_inference_tensors():
    with torch.inference_mode():
        one = heads._tables(ROTARY, 16, torch.device("cpu"))
    assert heads._tables(ROTARY, 16, torch.device("cpu")) is one
    assert not one[0].is_inference()
    torch.testing.assert_close(one[0][3], 1.1 * torch.cos(3 * torch.tensor(ROTARY.frequencies)))
