"""Checks of a model before it runs."""

from __future__ import annotations

from os import PathLike
from typing import Any

import torch
from torch import nn

from . import quantised


def model(value: Any) -> None:
    """Raise where a model cannot be explained whatever the input.

    Raises:
        TypeError: no torch module.
        ValueError: compiled by TorchScript; no weights, or weights that are complex, on the meta device, on several
            devices, or quantised by a library that passes no gradient.
    """
    if not isinstance(value, nn.Module):
        hint = "; calig_fast.from_pretrained loads a saved or cached one" if isinstance(value, str | PathLike) else ""
        raise TypeError(f"model: expected a torch.nn.Module, got {type(value).__name__}{hint}")
    scripted = next((type(m).__name__ for m in value.modules() if isinstance(m, torch.jit.ScriptModule)), None)
    if scripted is not None:
        raise ValueError(
            f"model: it is compiled by TorchScript ({scripted}), which hides the modules that it was made from; pass "
            "the nn.Module itself"
        )
    if any(type(w.data).__name__ == "DTensor" for w in value.parameters()):
        raise ValueError(
            "model: its weights are sharded over processes (DTensor: FSDP2, tensor parallelism), so no process can "
            "explain it alone; gather them into a plain copy of the model first (get_model_state_dict with "
            "full_state_dict=True)"
        )
    weights = list(value.parameters())
    complexes = next((w.dtype for w in weights if w.is_complex()), None)
    if complexes is not None:
        raise ValueError(f"model: its weights are {complexes}; expected floating-point ones, as in model.float()")
    integers = quantised.integers(value)
    name = quantised.name_of(value, quantised.OTHERS) or (str(integers[0].dtype) if integers else "")
    if name:
        raise ValueError(
            f"model: its weights are quantised ({name}), and no gradient passes them; load the checkpoint without "
            "quantisation (dtype=torch.bfloat16 is small too), or with bitsandbytes, torchao or optimum-quanto"
        )
    if quantised.packs_for_inference(value):
        raise ValueError(
            "model: bitsandbytes packs 4-bit weights for inference on this CPU, and no gradient passes them then; move "
            "the model to a GPU, or quantise it with torchao or optimum-quanto"
        )
    if not weights:
        raise ValueError("model: it has no parameters, so it is no trained classifier")
    offloaded = next((m for m in value.modules() if getattr(getattr(m, "_hf_hook", None), "offload", False)), None)
    if offloaded is not None:
        raise ValueError(
            f"model: accelerate loads the weights of {type(offloaded).__name__} at each call (offload to memory or "
            "disk), so no part of the model can be run again; load it with a device_map of devices alone, or call "
            "remove_hook_from_module(model, recurse=True) from accelerate.hooks"
        )
    if any(w.is_meta for w in weights):
        raise ValueError(
            "model: its weights are on the meta device, so they hold no values; load them (from_pretrained without "
            "init_empty_weights, or model.to_empty and load_state_dict)"
        )


def on_several_devices(model: nn.Module) -> str:
    """The reason why the native engine cannot run a model that is spread over devices; "" where it is on one."""
    devices = sorted({str(w.device) for w in model.parameters()})
    return f"its weights are on several devices ({', '.join(devices)})" if len(devices) > 1 else ""


def compute_dtype(asked: torch.dtype | None, value: nn.Module) -> torch.dtype | None:
    """The dtype to run in, None where that is the model's own.

    Unless asked otherwise, half precision on the CPU is run in float32 where the processor has no instructions for it:
    float16 counts as lacking, and an explanation in bfloat16 on AVX2 took 30 times as long as in float32 (AMD EPYC, 1
    thread).
    """
    weight = next(value.parameters())
    if name := quantised.name_of(value):
        if asked not in (None, weight.dtype):
            raise ValueError(
                f"dtype: expected None for a model with quantised weights ({name}), which computes in its own "
                f"{weight.dtype}; got {asked}"
            )
        return None
    if asked is None and weight.device.type == "cpu":
        slow = weight.dtype == torch.float16 or (weight.dtype == torch.bfloat16 and not _has_bfloat16())
        return torch.float32 if slow else None
    return None if asked == weight.dtype else asked


def _has_bfloat16() -> bool:
    """Return True if the processor multiplies bfloat16 matrices in hardware."""
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name)()) for name in names if hasattr(torch.cpu, name))
