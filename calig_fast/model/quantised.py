"""Weights in few bits: libraries that pass gradients to the inputs of their layers, and others."""

from __future__ import annotations

from torch import Tensor, nn

DIFFERENTIATED = ("bitsandbytes", "torchao", "optimum.quanto", "quanto")
OTHERS = ("auto_gptq", "gptqmodel", "awq", "hqq", "torch.ao.nn.quantized")


def name_of(model: nn.Module, libraries: tuple[str, ...] = DIFFERENTIATED + OTHERS) -> str:
    """A layer or weight of a model that is quantised by one of the libraries; "" where there is none."""
    for module in model.modules():
        if type(module).__module__.startswith(libraries):
            return type(module).__name__
        for weight in module._parameters.values():
            if type(weight).__module__.startswith(libraries):
                return type(weight).__name__
    return ""


def is_quantised(weight: Tensor) -> bool:
    """Return True for a tensor of a library: its values are not those of its memory alone."""
    return type(weight).__module__.startswith(DIFFERENTIATED + OTHERS)


def refusal(model: nn.Module) -> str:
    """The reason why the native engine cannot read the weights; "" where it can."""
    name = name_of(model)
    return f"its weights are quantised ({name}), and it reads floating-point ones" if name else ""


def packs_for_inference(model: nn.Module) -> bool:
    """Return True if the first pass without gradients packs 4-bit weights, through which no gradient comes back.

    bitsandbytes does so on a CPU with products of bfloat16.
    """
    return any(
        getattr(module, "support_avx512bf16_for_cpu", False)
        and any(w.device.type == "cpu" for w in module.parameters())
        for module in model.modules()
    )


def integers(model: nn.Module) -> list[Tensor]:
    """Parameters of integers that no layer of `DIFFERENTIATED` holds."""
    return [
        weight
        for module in model.modules()
        if not type(module).__module__.startswith(DIFFERENTIATED)
        for weight in module._parameters.values()
        if weight is not None
        and not weight.is_floating_point()
        and not weight.is_complex()
        and not is_quantised(weight)
    ]


def pieces(tensor: Tensor) -> list[Tensor]:
    """The tensors that have the memory of one: of a class that wraps others those, else itself."""
    if type(tensor) is Tensor or not hasattr(tensor, "__tensor_flatten__"):
        return [tensor]
    names, _ = tensor.__tensor_flatten__()
    return [piece for name in names for piece in pieces(getattr(tensor, name))]
