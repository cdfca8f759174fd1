"""What can be wrong with a model before anything runs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_QUANTISED = ("bitsandbytes", "torchao", "quanto", "auto_gptq", "gptqmodel", "awq", "hqq", "torch.ao.nn.quantized")


def model(value: Any) -> None:
    """Raise where a model cannot be explained whatever the input.

    Raises:
        TypeError: no torch module.
        ValueError: no weights, weights on the meta device, on several devices, or quantised.
    """
    if not isinstance(value, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(value).__name__}")
    quantised = next((m for m in value.modules() if type(m).__module__.startswith(_QUANTISED)), None)
    weights = list(value.parameters())
    integers = [w.dtype for w in weights if not w.is_floating_point()]
    strange = next((type(w).__module__ for w in weights if type(w.data).__module__.startswith(_QUANTISED)), None)
    if quantised is not None or integers or strange is not None:
        what = type(quantised).__name__ if quantised is not None else strange or str(integers[0])
        raise ValueError(
            f"model: its weights are quantised ({what}), and integrated gradients need floating-point ones; load the "
            "checkpoint without quantisation (dtype=torch.bfloat16 is small too)"
        )
    if not weights:
        raise ValueError("model: it has no parameters, so it is no trained classifier")
    if any(w.is_meta for w in weights):
        raise ValueError(
            "model: its weights are on the meta device, so they hold no values; load them (from_pretrained without "
            "init_empty_weights, or model.to_empty and load_state_dict)"
        )
    devices = sorted({str(w.device) for w in weights})
    if len(devices) > 1:
        raise ValueError(
            f"model: its weights are on several devices ({', '.join(devices)}); move it to one: model.to(...)"
        )


def compute_dtype(asked: torch.dtype | None, value: nn.Module) -> torch.dtype | None:
    """The dtype to run in, None where that is the model's own.

    float16 on the CPU is run in float32: its matrix products there are slow, and its range is small for path sums.
    """
    weight = next(value.parameters())
    if asked is None and weight.dtype == torch.float16 and weight.device.type == "cpu":
        return torch.float32
    return None if asked == weight.dtype else asked
