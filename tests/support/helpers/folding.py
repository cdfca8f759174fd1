"""Attention maps the long way: every softmax of a plain call is kept, and its entries are placed one by one."""

import contextlib

import torch
from torch import nn


@contextlib.contextmanager
def softmaxes(monkeypatch):
    """Yields the list of every map that a softmax makes, each with its gradient kept."""
    found = []

    def keeping(function):
        def kept(*args, **kwargs):
            out = function(*args, **kwargs)
            if out.requires_grad and out.dim() > 2 and not (found and found[-1] is out):
                out.retain_grad()
                found.append(out)
            return out

        return kept

    with monkeypatch.context() as patch:
        for owner in (nn.functional, torch, torch.Tensor):
            patch.setattr(owner, "softmax", keeping(owner.softmax))
        patch.setattr(nn.functional, "scaled_dot_product_attention", unfused)
        yield found


def unfused(q, k, v, *others, **named):
    """Fused attention by its definition, whose softmax is seen."""
    attn_mask, _, is_causal = (*others, *(None, None, None)[len(others) :])
    attn_mask, scale = named.get("attn_mask", attn_mask), named.get("scale")
    assert not named.get("is_causal", is_causal)
    logits = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if attn_mask is not None:
        logits = logits.masked_fill(~attn_mask, -torch.inf) if attn_mask.dtype == torch.bool else logits + attn_mask
    return nn.functional.softmax(logits, -1) @ v


def reduced(entries, kind):
    """[H,...] products or probabilities reduced as the kind of map says."""
    return (entries.clamp_min(0) if kind == "positive_gradient" else entries).mean(0)


def entries(made, kind):
    """A of a kept map, or A (.) dF/dA."""
    return made.detach() if kind == "attention" else made.detach() * made.grad


def windows(height, width, window, shift, roll_first):
    """The tokens of every window in the order of their places, -1 for padding: Swin's layout written out."""
    grid = torch.arange(height * width).view(height, width)
    steps = [lambda g: torch.roll(g, (-shift, -shift), (0, 1)), lambda g: padded(g, window)]
    for step in steps if roll_first else steps[::-1]:
        grid = step(grid)
    return [
        grid[top : top + window, left : left + window].flatten().tolist()
        for top in range(0, grid.shape[0], window)
        for left in range(0, grid.shape[1], window)
    ]


def padded(grid, window):
    height, width = grid.shape
    return nn.functional.pad(grid, (0, -width % window, 0, -height % window), value=-1)


def placed(made, layout, tokens, row, kind):
    """One input's [T,T] of a map [N*W,H,t,t] over the windows of a layout."""
    mine = entries(made, kind)[row * len(layout) : (row + 1) * len(layout)]
    out = torch.zeros(tokens, tokens, dtype=mine.dtype)
    for window, places in zip(mine, layout, strict=True):
        of_window = reduced(window, kind)
        for i, query in enumerate(places):
            for j, key in enumerate(places):
                if query >= 0 and key >= 0:
                    out[query, key] += of_window[i, j]
    return out
