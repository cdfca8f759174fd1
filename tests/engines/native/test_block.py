"""The block's hand-derived vector-Jacobian product against autograd in float64, to 1e-10, for every kind of block."""

import pytest
import torch

from calig_fast.engines.native import block as blocks
from calig_fast.engines.native import first_token_block as first_row
from calig_fast.engines.native.attention import attend, attention_backward_rows, attention_map
from calig_fast.model.encoder import Affine, Block, Norm
from calig_fast.model.position_terms import PairWeights, RelativeTerms
from calig_fast.ops.packing import Run, Segments

D, E, F, H = 12, 8, 20, 2
LENGTHS = (5, 5, 1, 3, 3, 3)
RUNS = (Run(0, 2, 5), Run(10, 1, 1), Run(11, 3, 3))
SEGMENTS = Segments(torch.tensor([0, 5, 10, 11, 14, 17, 20]), LENGTHS)
FIRST = SEGMENTS.firsts
ROWS = SEGMENTS.rows


def make(kind, seed=0):
    pre_norm, activation, biases, gated, scaled, terms = (*kind, None)[:6]
    g = torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64) / shape[-1] ** 0.5

    def affine(out, wide):
        return Affine(rand(out, wide), rand(out) if biases else None)

    def norm():
        return Norm(1 + rand(D), rand(D), 1e-5)

    return Block(
        qkv=affine(3 * E, D),
        out=affine(D, E),
        norm1=norm(),
        norm2=norm(),
        up=affine(2 * F if gated else F, D),
        down=affine(D, F),
        activation=activation,
        heads=H,
        scale=0.4,
        pre_norm=pre_norm,
        gated=gated,
        scale1=rand(D) if scaled else None,
        scale2=rand(D) if scaled else None,
        positions=positions(terms, rand),
    )


def positions(terms, rand):
    """Terms of positions, with fewer rows than there are distances."""
    if terms == "pairs":
        return PairWeights(rand(H, 7), lambda n: (torch.arange(n)[:, None] - torch.arange(n)).clamp(-3, 3) + 3)
    if terms == "relative":
        return RelativeTerms(rand(2, H, 5, E // H), lambda n: torch.arange(1 - n, n).clamp(-2, 2) + 2)
    return None


def logits(block, q, k):
    """scale q k^T and the terms of positions, from queries and keys [n,H,T,E/H]."""
    found, terms, tokens = block.scale * q @ k.transpose(-1, -2), block.positions, q.shape[2]
    if isinstance(terms, PairWeights):
        return found + terms.weights[:, terms.places(tokens)]
    if isinstance(terms, RelativeTerms):
        places = torch.arange(tokens)
        keys, queries = terms.tables[:, :, terms.places(tokens)[places[:, None] - places + tokens - 1]]
        more = torch.einsum("nhte,htue->nhtu", q, keys) + torch.einsum("nhue,htue->nhtu", k, queries)
        return found + block.scale * more
    return found


def plain(block, x):
    """The definition, in operations that autograd differentiates."""

    def linear(affine, x):
        return torch.nn.functional.linear(x, affine.weight, affine.bias)

    def norm(n, x):
        return torch.nn.functional.layer_norm(x, (D,), n.weight, n.bias, n.eps)

    def attention(x):
        out = []
        for run in RUNS:
            rows = linear(block.qkv, x[run.start : run.stop]).view(run.count, run.tokens, 3, H, E // H)
            q, k, v = rows.permute(2, 0, 3, 1, 4)
            p = torch.softmax(logits(block, q, k), -1)
            out.append((p @ v).transpose(1, 2).reshape(-1, E))
        return linear(block.out, torch.cat(out))

    def mlp(x):
        return linear(block.down, blocks.activate(block, linear(block.up, x)))

    if not block.pre_norm:
        h = norm(block.norm1, x + attention(x))
        return norm(block.norm2, h + mlp(h))
    one = torch.ones(())
    y = x + attention(norm(block.norm1, x)) * (one if block.scale1 is None else block.scale1)
    return y + mlp(norm(block.norm2, y)) * (one if block.scale2 is None else block.scale2)


KINDS = [
    (False, "gelu", True, False, False),
    (False, "gelu_tanh", True, False, False),
    (False, "relu", False, False, False),
    (True, "gelu", True, False, False),
    (True, "gelu", False, False, True),
    (True, "silu", True, True, True),
    (True, "gelu_tanh", True, True, False),
    (True, "quick_gelu", True, False, False),
    (False, "quick_gelu", True, True, False),
    (False, "gelu", True, False, False, "pairs"),
    (True, "gelu", False, False, True, "pairs"),
    (False, "gelu", True, False, False, "relative"),
    (True, "silu", False, True, True, "relative"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_forward_and_vjp(kind):
    block, x, want, upstream, slope = case(kind, None)
    qkv, normed = blocks.project(block, x)
    out, saved = blocks.forward(block, x, qkv, normed, SEGMENTS)
    torch.testing.assert_close(out, want, rtol=1e-10, atol=1e-10)
    residual, dmixed = blocks.vjp(block, upstream.clone(), saved)
    found = blocks.input_grad(block, residual, attention_backward_rows(dmixed, saved.attended)[0], saved)
    torch.testing.assert_close(found, slope, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_rows_alone(kind):
    block, x, want, upstream, slope = case(kind, FIRST)
    out, saved = first_row.forward(block, x, SEGMENTS)
    torch.testing.assert_close(out, want, rtol=1e-10, atol=1e-10)
    found, dmixed = first_row.vjp(block, upstream.clone(), saved)
    torch.testing.assert_close(found, slope, rtol=1e-10, atol=1e-10)
    qkv, normed = blocks.project(block, x)
    _, whole = blocks.forward(block, x, qkv, normed, SEGMENTS)
    spread = torch.zeros(ROWS, E, dtype=torch.float64).index_copy(0, FIRST, dmixed)
    for name in ("gradient", "positive_gradient"):
        _, wanted = attention_backward_rows(spread, whole.attended, maps=len(FIRST), kind=name)
        for segment, tokens in enumerate(LENGTHS):
            torch.testing.assert_close(
                first_row.attention_map(block, saved, segment, dmixed, name),
                wanted[segment, :tokens, :tokens],
                rtol=1e-10,
                atol=1e-12,
            )


def test_segments_of_one_length_side_by_side_are_one_run():
    assert SEGMENTS.runs == RUNS
    assert SEGMENTS.until(3).runs == RUNS[:2]
    assert (SEGMENTS.until(3).rows, SEGMENTS.until(3).longest) == (11, 5)
    assert SEGMENTS.until(0).runs == ()


@pytest.mark.parametrize("backend", ["auto", "torch"])
@pytest.mark.parametrize("terms", [None, "pairs", "relative"])
def test_maps_of_attention_are_its_softmax(backend, terms):
    block = make((*KINDS[0], terms))
    x = torch.randn(ROWS, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    qkv, _ = blocks.project(block, x)
    _, attended = attend(block, qkv, SEGMENTS, backend)
    for segment, (first, tokens) in enumerate(zip(FIRST.tolist(), LENGTHS, strict=True)):
        q, k, _ = qkv[first : first + tokens].view(tokens, 3, H, -1).permute(1, 2, 0, 3)
        wanted = torch.softmax(logits(block, q[None], k[None])[0], -1).mean(0)
        torch.testing.assert_close(attention_map(attended, segment), wanted, rtol=1e-10, atol=1e-12)


def case(kind, readout):
    """A block, rows, its output at some rows (None for all), a gradient of that, and autograd's of the rows."""
    block = make(kind)
    g = torch.Generator().manual_seed(1)
    x = torch.randn(ROWS, D, generator=g, dtype=torch.float64, requires_grad=True)
    want = plain(block, x)
    want = want if readout is None else want[readout]
    upstream = torch.randn(want.shape, generator=g, dtype=torch.float64)
    slope = torch.autograd.grad(want, x, upstream)[0]
    return block, x.detach(), want.detach(), upstream, slope


@pytest.mark.parametrize("kind", KINDS)
def test_the_way_back_leaves_its_arguments_alone(kind):
    block = make(kind)
    x = torch.randn(ROWS, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    qkv, normed = blocks.project(block, x)
    before = x.clone(), qkv.clone()
    out, saved = blocks.forward(block, x, qkv, normed, SEGMENTS)
    upstream = torch.ones_like(out)
    found = []
    for _ in range(2):
        residual, dmixed = blocks.vjp(block, upstream, saved)
        found.append(blocks.input_grad(block, residual, attention_backward_rows(dmixed, saved.attended)[0], saved))
    once, again = found
    assert torch.equal(once, again)
    assert torch.equal(x, before[0])
    assert torch.equal(qkv, before[1])
    assert (upstream == 1).all()
