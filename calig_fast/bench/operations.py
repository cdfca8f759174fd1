"""The fused operations at BERT-base sizes: arguments, definitions, and the check before a time is reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .. import ops

WIDTH, POINTS, HEADS = 768, 8, 12
LAYOUTS = {"8x128": [128] * 8, "ragged": [23, 61, 128, 97, 200, 5, 77, 140], "1x512": [512]}
OPERATIONS = (
    "interpolate_path",
    "accumulate_gradients",
    "accumulate_gradients_lig",
    "norm_backward",
    "linear",
    "linear_back",
    "activation_backward",
    "activation_backward_gated",
    "attention_forward",
    "attention_backward",
    "attention_gradient",
    "fuse_rollout",
)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PROBLEMS = [
    (op, name)
    for op in OPERATIONS
    for name in DTYPES
    if name == "float32" or op not in ("fuse_rollout", "linear", "linear_back")
]


def problem(op: str, lengths: list[int], dtype: torch.dtype) -> tuple[Any, ...]:
    """Random arguments of one operation."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    offsets = torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()])
    inputs = torch.arange(len(lengths)).repeat_interleave(POINTS)
    tokens, rows = sum(lengths), POINTS * sum(lengths)
    if op == "interpolate_path":
        return draw(tokens, WIDTH), draw(tokens, WIDTH), offsets, inputs, torch.rand(len(inputs), generator=generator)
    if op == "accumulate_gradients":
        weights = torch.rand(len(inputs), generator=generator)
        pairs = [draw(rows, WIDTH), draw(rows, 3 * WIDTH)], [draw(tokens, WIDTH), draw(tokens, 3 * WIDTH)]
        return (*pairs, offsets, inputs, weights)
    if op == "accumulate_gradients_lig":
        weights = torch.rand(len(inputs), generator=generator)
        return [draw(rows, WIDTH)], [draw(tokens, WIDTH)], offsets, inputs, weights, True
    if op == "norm_backward":
        x, weight = draw(rows, WIDTH), draw(WIDTH)
        _, mean, deviation = torch.ops.aten.native_layer_norm(x, (WIDTH,), weight, None, 1e-5)
        return draw(rows, WIDTH), x, mean, deviation, weight, draw(rows, WIDTH)
    if op.startswith("linear"):
        back = op == "linear_back"
        weight = draw(4 * WIDTH, WIDTH)
        return draw(tokens, 4 * WIDTH if back else WIDTH), weight, None if back else draw(4 * WIDTH), None, back
    if op == "activation_backward":
        return draw(tokens, 4 * WIDTH), draw(tokens, 4 * WIDTH), "gelu"
    if op == "activation_backward_gated":
        return draw(tokens, 4 * WIDTH), draw(tokens, 8 * WIDTH), "silu", True
    if op.startswith("attention"):
        qkv, longest, scale = draw(tokens, 3, HEADS, WIDTH // HEADS), max(lengths), (WIDTH // HEADS) ** -0.5
        if op == "attention_forward":
            return qkv, offsets, longest, scale
        out, lse = ops.attention_forward(qkv, offsets, longest, scale, backend="torch")
        kept = (lse,) if op == "attention_gradient" else (out, lse)
        return draw(tokens, HEADS, WIDTH // HEADS), qkv, *kept, offsets, longest, scale
    return draw(tokens), draw(sum(n * n for n in lengths)), offsets, draw(tokens), draw(tokens), 0.5


def operation(op: str) -> Callable[..., Any]:
    """The operation that one of `OPERATIONS` times."""
    found: Callable[..., Any] = getattr(ops, op.removesuffix("_lig").removesuffix("_gated").removesuffix("_back"))
    return found


def products(op: str, lengths: list[int]) -> int:
    """Floating-point operations of the operation's matrix products."""
    if op.startswith("linear"):
        return 2 * sum(lengths) * WIDTH * 4 * WIDTH
    each = {"attention_forward": 2, "attention_backward": 5, "attention_gradient": 2}.get(op, 0)
    return each * 2 * WIDTH * sum(n * n for n in lengths)


def double(value: Any) -> Any:
    """The same arguments in float64."""
    if isinstance(value, torch.Tensor):
        return value.double() if value.is_floating_point() else value
    return [double(v) for v in value] if isinstance(value, list) else value


def agree(run: Callable[..., Any], args: tuple[Any, ...], backend: str, dtype: torch.dtype) -> bool:
    """Return True if the backend's answer equals the float64 definition to the accuracy of the dtype."""
    got, wanted = run(*args, backend=backend), run(*map(double, args), backend="torch")
    pairs = [(got, wanted)] if isinstance(got, torch.Tensor) else list(zip(got, wanted, strict=True))
    eps = torch.finfo(dtype).eps
    return all(
        torch.allclose(g.double(), w, rtol=0, atol=32 * eps * float(w.abs().max())) for g, w in pairs if w.numel()
    )
