"""The objects of the measure: a small model with seeded weights, an input and a baseline."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

TOKENS, SIDE, CLASSES = 8, 32, 3
PAD, BOS, EOS, VOCABULARY = 0, 1, 2, 64
DEVIATION = 0.2
KEPT = ("A_log", "dt_bias", "logit_scale")  # their first values are a scale, not noise

Call = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """One architecture.

    Args:
        name: its name, with "text/", "image/" or "timm/" before it.
        make: makes the model.
        side: pixels of a picture's side.
        call: makes the arguments at the input, and at the baseline; None for the usual ones of its kind.
        blocks: the names of its blocks, or of their list; () where `blocks.longest` finds them.
        not_tried: why it is not tried here, or "".
    """

    name: str
    make: Callable[[], nn.Module]
    side: int = SIDE
    call: Callable[[nn.Module], tuple[Call, Call]] | None = None
    blocks: tuple[str, ...] = ()
    not_tried: str = ""

    @property
    def text(self) -> bool:
        """It reads ids."""
        return self.name.startswith("text/")

    def model(self) -> nn.Module:
        """The model in evaluation mode, float32, seeded."""
        torch.manual_seed(0)
        model = seeded(self.make()).eval()
        return model if self.text else settled(model, self.calls(model)[0])

    def calls(self, model: nn.Module) -> tuple[Call, Call]:
        """The arguments of `model` at the input, and at the baseline; a sole unnamed one stands under ""."""
        if self.call is not None:
            return self.call(model)
        if self.text:
            return text_call(model)
        name = "pixel_values" if self.name.startswith("image/") else ""
        return {name: picture(self.side, 1)}, {name: picture(self.side, 2)}


def text_call(model: nn.Module) -> tuple[Call, Call]:
    """Ids [1,8] and a mask, and the same with other words; the first and the last token stay."""
    generator = torch.Generator().manual_seed(1)
    ids, low = torch.randint(5, VOCABULARY - 4, (2, 1, TOKENS), generator=generator)
    for one in (ids, low):
        one[:, 0], one[:, -1] = BOS, EOS
    more = {"attention_mask": torch.ones_like(ids)}
    if "attention_mask" not in inspect.signature(model.forward).parameters:
        more = {}
    return {"input_ids": ids, **more}, {"input_ids": low, **more}


def picture(side: int, seed: int) -> Tensor:
    """Pixels [1,3,side,side], noise."""
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def seeded(model: nn.Module) -> nn.Module:
    """Every weight drawn anew, of a size at which the function is far from flat."""
    generator = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        if name.endswith(KEPT) or not weight.is_floating_point():
            continue
        noise = torch.randn(weight.shape, generator=generator)
        if weight.dim() < 2:
            ones = weight.numel() > 0 and bool((weight == weight.flatten()[0]).all()) and float(weight.mean()) > 0
            weight.copy_(DEVIATION * noise + (1.0 if ones else 0.0))
        else:
            inputs = weight[0].numel() if weight.dim() != 3 else weight.shape[-2]
            weight.copy_(noise * min(DEVIATION, inputs**-0.5))
    return model


def output(model: nn.Module, call: Call) -> Any:
    """The output of a model for a call; a sole unnamed input stands under ""."""
    return model(call[""]) if "" in call else model(**call)


@torch.no_grad()
def settled(model: nn.Module, call: Call) -> nn.Module:
    """The running statistics of its batch norms are those of noise, so no stage fades."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    if norms:
        few = {k: torch.cat([v, *torch.randn(7, *v.shape)]) if v.dim() == 4 else v for k, v in call.items()}
        output(model, few)
    return model.eval()


def shrink(config: Any, small: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `small` that a config knows, and those of the configs inside it."""
    inner = {
        name: shrink(getattr(config, name), small)
        for name in getattr(config, "sub_configs", {})
        if getattr(config, name, None) is not None
    }
    return {**{k: v for k, v in small.items() if hasattr(config, k)}, **inner}
