"""A wrong argument is named, with what was expected and what came."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from calig_fast import ops

OFFSETS, INPUTS = torch.tensor([0, 2, 5]), torch.tensor([1, 0])
PATH: dict[str, Any] = {
    "start": torch.zeros(5, 4),
    "end": torch.zeros(5, 4),
    "offsets": OFFSETS,
    "inputs": INPUTS,
    "nodes": torch.zeros(2),
}
GRADIENTS: dict[str, Any] = {
    "gradients": [torch.zeros(5, 4)],
    "directions": [torch.zeros(5, 4)],
    "offsets": OFFSETS,
    "inputs": INPUTS,
    "weights": torch.zeros(2),
}
ROLLOUT: dict[str, Any] = {
    "relevance": torch.zeros(5),
    "attention": torch.zeros(13),
    "offsets": OFFSETS,
    "row": torch.zeros(5),
    "identity": torch.zeros(5),
    "lam": 0.5,
}
LINEAR: dict[str, Any] = {
    "x": torch.zeros(5, 4),
    "weight": torch.zeros(3, 4),
    "bias": torch.zeros(3),
    "residual": torch.zeros(5, 3),
}
NORM: dict[str, Any] = {
    "gradient": torch.zeros(5, 4),
    "x": torch.zeros(5, 4),
    "mean": torch.zeros(5, 1),
    "deviation": torch.ones(5, 1),
    "weight": torch.ones(4),
    "residual": torch.zeros(5, 4),
}
SUM: dict[str, Any] = {
    "x": torch.zeros(5, 4),
    "residual": torch.zeros(5, 4),
    "weight": torch.ones(4),
    "bias": torch.zeros(4),
}
ACTIVATION: dict[str, Any] = {"gradient": torch.zeros(5, 4), "inner": torch.zeros(5, 4), "kind": "gelu"}
ATTENTION: dict[str, Any] = {"qkv": torch.zeros(5, 3, 2, 4), "offsets": OFFSETS, "longest": 3, "scale": 0.5}
BACK: dict[str, Any] = {
    "gradient": torch.zeros(5, 2, 4),
    **ATTENTION,
    "out": torch.zeros(5, 2, 4),
    "lse": torch.zeros(2, 5),
    "maps": 2,
}
MAPS: dict[str, Any] = {"gradient": torch.zeros(5, 2, 4), **ATTENTION, "lse": torch.zeros(2, 5)}
LONG = torch.zeros(5, 4, dtype=torch.int64)


@pytest.mark.parametrize(
    ("op", "base", "change", "kind", "message"),
    [
        (ops.interpolate_path, PATH, {"start": [1.0]}, TypeError, r"start: expected a tensor \[tokens, D\], got list"),
        (ops.interpolate_path, PATH, {"start": LONG}, TypeError, "start: expected float32 or float64 or float16 or"),
        (ops.interpolate_path, PATH, {"end": torch.zeros(5, 3)}, ValueError, r"end: expected shape \[5, 4\], got"),
        (ops.interpolate_path, PATH, {"end": torch.zeros(5, 4).double()}, TypeError, "end: expected float32, got"),
        (ops.interpolate_path, PATH, {"offsets": OFFSETS.int()}, TypeError, "offsets: expected int64, got"),
        (ops.interpolate_path, PATH, {"offsets": OFFSETS - 1}, ValueError, "offsets: expected 0, then never falling"),
        (ops.interpolate_path, PATH, {"offsets": torch.tensor([0, 6, 5])}, ValueError, "offsets: .* never falling"),
        (ops.interpolate_path, PATH, {"offsets": OFFSETS[:0]}, ValueError, "offsets: expected at least one entry"),
        (ops.interpolate_path, PATH, {"inputs": INPUTS + 1}, ValueError, "inputs: expected .* 0 to 1, got 2"),
        (ops.interpolate_path, PATH, {"inputs": INPUTS - 1}, ValueError, "inputs: expected .* got -1"),
        (
            ops.interpolate_path,
            PATH,
            {"rows": 4},
            ValueError,
            r"rows: expected \d+ rows, the tokens of all segments, got 4",
        ),
        (
            ops.interpolate_path,
            PATH,
            {"before": torch.zeros(2, 3)},
            ValueError,
            r"before: expected shape \[Q, 4\], got \[2, 3\]",
        ),
        (
            ops.interpolate_path,
            PATH,
            {"before": torch.zeros(2, 4).double()},
            TypeError,
            r"before: expected float32 or float16 or bfloat16, got torch\.float64",
        ),
        (ops.interpolate_path, PATH, {"nodes": torch.zeros(3)}, ValueError, r"nodes: expected shape \[2\], got \[3\]"),
        (ops.interpolate_path, PATH, {"nodes": torch.zeros(2, device="meta")}, ValueError, "nodes: expected it on cpu"),
        (ops.accumulate_gradients, GRADIENTS, {"gradients": torch.zeros(5, 4)}, TypeError, "gradients: expected a li"),
        (ops.accumulate_gradients, GRADIENTS, {"gradients": []}, ValueError, "expected one or two of each, got 0 and"),
        (ops.accumulate_gradients, GRADIENTS, {"gradients": [torch.zeros(4, 4)]}, ValueError, "gradients: expected 5"),
        (
            ops.accumulate_gradients,
            GRADIENTS,
            {"directions": [torch.zeros(5, 3)]},
            ValueError,
            r"directions\[0\]: expected shape \[5, 4\]",
        ),
        (
            ops.accumulate_gradients,
            GRADIENTS,
            {"gradients": [torch.zeros(5, 4)] * 2, "directions": [torch.zeros(5, 4)] * 2, "with_lig": True},
            ValueError,
            "with_lig: takes one pair",
        ),
        (ops.accumulate_gradients, GRADIENTS, {"starts": torch.zeros(5, 4)}, TypeError, "starts: expected a list of"),
        (ops.accumulate_gradients, GRADIENTS, {"starts": [torch.zeros(5, 4)] * 2}, ValueError, "starts: expected None"),
        (
            ops.accumulate_gradients,
            GRADIENTS,
            {"starts": [torch.zeros(4, 4)]},
            ValueError,
            r"starts\[0\]: expected shape \[5, 4\], got \[4, 4\]",
        ),
        (ops.accumulate_gradients, GRADIENTS, {"weights": torch.zeros(2, 1)}, ValueError, "weights: expected shape"),
        (ops.fuse_rollout, ROLLOUT, {"relevance": torch.zeros(5).bfloat16()}, TypeError, "relevance: expected float32"),
        (ops.fuse_rollout, ROLLOUT, {"attention": torch.zeros(25)}, ValueError, r"attention: expected shape \[13\]"),
        (ops.fuse_rollout, ROLLOUT, {"row": torch.zeros(4)}, ValueError, r"row: expected shape \[5\], got \[4\]"),
        (ops.fuse_rollout, ROLLOUT, {"lam": 1.5}, ValueError, "lam: expected a number from 0"),
        (ops.fuse_rollout, ROLLOUT, {"lam": float("nan")}, ValueError, "lam: expected a number from 0"),
        (ops.fuse_rollout, ROLLOUT, {"residual": float("inf")}, ValueError, "residual: expected a finite number"),
        (ops.fuse_rollout, ROLLOUT, {"relevance_scale": "l2"}, ValueError, "relevance_scale: expected one of max_t"),
        (ops.fuse_rollout, ROLLOUT, {"attention_scale": "max_t"}, ValueError, "attention_scale: expected one of sum"),
        (ops.add_norm, SUM, {"x": torch.zeros(5)}, ValueError, r"x: expected shape \[R, D\], got \[5\]"),
        (ops.add_norm, SUM, {"x": LONG}, TypeError, "x: expected float32 or"),
        (ops.add_norm, SUM, {"residual": torch.zeros(4, 4)}, ValueError, r"residual: expected shape \[5, 4\], got"),
        (ops.add_norm, SUM, {"residual": torch.zeros(5, 4).double()}, TypeError, "residual: expected float32, got"),
        (ops.add_norm, SUM, {"weight": torch.ones(5)}, ValueError, r"weight: expected shape \[4\], got \[5\]"),
        (ops.add_norm, SUM, {"bias": 0.0}, TypeError, r"bias: expected a tensor \[4\], got float"),
        (ops.add_norm, SUM, {"bias": torch.zeros(4, device="meta")}, ValueError, "bias: expected it on cpu as x"),
        (ops.norm_backward, NORM, {"gradient": torch.zeros(5)}, ValueError, r"gradient: expected shape \[R, D\]"),
        (ops.norm_backward, NORM, {"gradient": LONG}, TypeError, "gradient: expected float32 or"),
        (ops.norm_backward, NORM, {"x": torch.zeros(5, 3)}, ValueError, r"x: expected shape \[5, 4\], got \[5, 3\]"),
        (ops.norm_backward, NORM, {"mean": torch.zeros(5)}, ValueError, r"mean: expected shape \[5, 1\], got \[5\]"),
        (ops.norm_backward, NORM, {"deviation": torch.ones(5, 1).double()}, TypeError, "deviation: expected float32"),
        (ops.norm_backward, NORM, {"weight": torch.ones(5)}, ValueError, r"weight: expected shape \[4\], got \[5\]"),
        (ops.norm_backward, NORM, {"weight": torch.ones(4).bfloat16()}, TypeError, "weight: expected float32, got"),
        (ops.norm_backward, NORM, {"residual": 0.0}, TypeError, r"residual: expected a tensor \[5, 4\], got float"),
        (
            ops.norm_backward,
            NORM,
            {"residual": torch.zeros(5, 4, device="meta")},
            ValueError,
            "residual: expected it on",
        ),
        (ops.linear, LINEAR, {"x": torch.zeros(4)}, ValueError, r"x: expected shape \[R, K\], got \[4\]"),
        (ops.linear, LINEAR, {"x": torch.zeros(5, 4).bfloat16()}, TypeError, "x: expected float32 or float64, got"),
        (
            ops.linear,
            LINEAR,
            {"weight": torch.zeros(4, 3)},
            ValueError,
            r"weight: expected shape \[N, 4\], got \[4, 3\]",
        ),
        (ops.linear, LINEAR, {"backward": True}, ValueError, r"weight: expected shape \[4, N\], got \[3, 4\]"),
        (ops.linear, LINEAR, {"weight": torch.zeros(3, 4).double()}, TypeError, "weight: expected float32, got"),
        (ops.linear, LINEAR, {"bias": torch.zeros(4)}, ValueError, r"bias: expected shape \[3\], got \[4\]"),
        (ops.linear, LINEAR, {"residual": torch.zeros(5, 4)}, ValueError, r"residual: expected shape \[5, 3\], got"),
        (
            ops.activation_backward,
            ACTIVATION,
            {"kind": "tanh"},
            ValueError,
            "kind: expected one of gelu, gelu_tanh, re",
        ),
        (
            ops.attention_forward,
            ATTENTION,
            {"qkv": torch.zeros(5, 2, 4)},
            ValueError,
            r"qkv: expected shape \[rows, 3,",
        ),
        (ops.attention_forward, ATTENTION, {"longest": 2}, ValueError, "longest: expected at least 3, .* got 2"),
        (ops.attention_backward, BACK, {"out": torch.zeros(5, 8)}, ValueError, r"out: expected shape \[5, 2, 4\], got"),
        (ops.attention_backward, BACK, {"lse": torch.zeros(5, 2)}, ValueError, r"lse: expected shape \[2, 5\], got"),
        (ops.attention_backward, BACK, {"maps": 3}, ValueError, "maps: expected a number of segments, 0 to 2, got 3"),
        (ops.attention_gradient, MAPS, {"gradient": torch.zeros(5, 8)}, ValueError, r"gradient: expected shape \[5,"),
        (ops.attention_gradient, MAPS, {"lse": torch.zeros(2, 5).double()}, TypeError, "lse: expected float32, got"),
        (ops.attention_gradient, MAPS, {"longest": 2}, ValueError, "longest: expected at least 3, .* got 2"),
        *(
            (op, base, {"relative": relative}, kind, message)
            for op, base in (
                (ops.attention_forward, ATTENTION),
                (ops.attention_backward, BACK),
                (ops.attention_gradient, MAPS),
            )
            for relative, kind, message in (
                (torch.zeros(2, 2, 5, 4).double(), TypeError, "relative: expected float32, got"),
                (torch.zeros(2, 2, 5, 3), ValueError, r"relative: expected shape \[2, 2, 2N-1, 4\], got"),
                (
                    torch.zeros(2, 2, 3, 4),
                    ValueError,
                    r"relative: expected \[2, H, 2N-1, E\] with N at least 3",
                ),
                (
                    torch.zeros(2, 2, 6, 4),
                    ValueError,
                    r"relative: expected \[2, H, 2N-1, E\] with N at least 3",
                ),
            )
        ),
        *(
            (op, base, {name: -2}, ValueError, f"{name}: expected a number of rows, or -1 for all, got -2")
            for op, base in (
                (ops.attention_forward, ATTENTION),
                (ops.attention_backward, BACK),
                (ops.attention_gradient, MAPS),
            )
            for name in ("before", "after")
        ),
        *(
            (op, base, {"bias": bias}, kind, message)
            for op, base in (
                (ops.attention_forward, ATTENTION),
                (ops.attention_backward, BACK),
                (ops.attention_gradient, MAPS),
            )
            for bias, kind, message in (
                (0.5, TypeError, r"bias: expected a tensor \[2, N, N\], got float"),
                (torch.zeros(2, 3, 3).double(), TypeError, r"bias: expected float32, got torch.float64; convert"),
                (torch.zeros(3, 3), ValueError, r"bias: expected shape \[2, N, N\], got \[3, 3\]"),
                (
                    torch.zeros(2, 2, 2),
                    ValueError,
                    r"bias: expected \[H, N, N\] with N at least 3, which .* got \[2, 2, 2\]",
                ),
                (
                    torch.zeros(2, 3, 4),
                    ValueError,
                    r"bias: expected \[H, N, N\] with N at least 3, which .* got \[2, 3, 4\]",
                ),
                (torch.zeros(1, 3, 3), ValueError, r"bias: expected shape \[2, N, N\], got \[1, 3, 3\]"),
                (torch.zeros(2, 3, 3, device="meta"), ValueError, "bias: expected it on cpu as qkv, got meta"),
            )
        ),
        (ops.activation_backward, ACTIVATION, {"gated": True}, ValueError, r"inner: expected shape \[5, 8\], got"),
        (ops.activation_backward, ACTIVATION, {"inner": LONG}, TypeError, "inner: expected float32, got torch.int64"),
        (ops.activation_backward, ACTIVATION, {"gradient": LONG}, TypeError, "gradient: expected float32 or float64"),
        (
            ops.activation_backward,
            ACTIVATION,
            {"inner": torch.zeros(5, 4, device="meta")},
            ValueError,
            "inner: expected",
        ),
    ],
)
def test_a_wrong_argument_is_named(
    op: Any, base: dict[str, Any], change: dict[str, Any], kind: type[Exception], message: str
) -> None:
    op(**base)
    with pytest.raises(kind, match=message):
        op(**{**base, **change})
