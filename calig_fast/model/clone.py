"""A clone of a module tree that shares its weights and nothing else.

Evaluation mode, blocks entered halfway and attention recorded belong to the clone. So the user's model keeps its mode,
gradients, hooks and configuration, also when something raises.
"""

from __future__ import annotations

import copy
import functools
import types
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .quantised import is_quantised, pieces

_HOOKS_KEPT = ("_forward_hooks", "_forward_pre_hooks")
_HOOK_OPTIONS = ("_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks_with_kwargs")
_HOOKS_DROPPED = ("_backward_hooks", "_backward_pre_hooks")
_RECOMPUTES = ("grad_checkpointing", "gradient_checkpointing")  # flags of timm's and Hugging Face's modules
_OWN_OF_TORCH = {"_parameters", "_buffers", "_modules", "forward", *_HOOKS_KEPT, *_HOOK_OPTIONS, *_HOOKS_DROPPED}
_ATTENTION_READABLE = {"eager", "sdpa"}


def transparent(model: nn.Module) -> nn.Module:
    """The module inside torch.compile, DataParallel and DistributedDataParallel, which compute nothing themselves.

    Raises:
        ValueError: the weights are sharded and no single process holds them.
    """
    while True:
        kind = type(model).__name__
        if kind == "FullyShardedDataParallel":
            raise ValueError(
                "model: its weights are sharded (FullyShardedDataParallel), so no process can explain it alone; "
                "gather them first (FSDP.summon_full_params) and pass the inner module"
            )
        if kind == "OptimizedModule":
            model = model._orig_mod  # type: ignore[assignment]
        elif kind in {"DataParallel", "DistributedDataParallel"}:
            model = model.module  # type: ignore[assignment]
        else:
            return model


def unwrap(model: nn.Module) -> nn.Module:
    """The module that computes: out of what is transparent, and out of PEFT wrappers.

    A PEFT wrapper that learned a prompt puts tokens of its own before the text, so it computes and is kept.

    Raises:
        ValueError: see `transparent`.
    """
    while True:
        model = transparent(model)
        if not (hasattr(model, "get_base_model") and hasattr(model, "peft_config")) or _learned_prompt(model):
            return model
        model = model.get_base_model()  # type: ignore[operator]


def _learned_prompt(model: Any) -> bool:
    return bool(getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False))


def user_hooks(model: nn.Module) -> tuple[int, ...]:
    """The forward hooks that a user put on the modules of a model, by their ids; a library's own are left out."""
    return tuple(
        id(hook)
        for module in model.modules()
        for name in _HOOKS_KEPT
        for hook in getattr(module, name).values()
        if not _of_library(hook)
    )


def _of_library(hook: Any) -> bool:
    """Return True for hooks that no user put there.

    By them torch computes weights (weight norm, spectral norm, pruning), and transformers collects hidden states.
    """
    return str(getattr(type(hook), "__module__", "")).startswith("torch.nn.utils") or (
        getattr(hook, "__module__", "") == "transformers.utils.output_capturing"
    )


def share_weights(model: nn.Module, dtype: torch.dtype | None = None, *, hooks: bool = True) -> nn.Module:
    """A twin of `model` in evaluation mode: its own module objects, the same weights, none of them requiring grad.

    Args:
        model: the module tree; not touched.
        dtype: floating dtype of the twin's weights; None keeps each weight as it is (no copy is made).
        hooks: keep the user's forward hooks.

    Returns:
        the twin. Weights changed in place in `model` are changed in the twin.

    Raises:
        ValueError: a module's `forward` was replaced on the instance in a way that cannot be followed.
    """
    modules: dict[int, nn.Module] = {}
    tensors: dict[int, Tensor] = {}
    configs: dict[int, Any] = {}

    def share(value: Tensor | None) -> Tensor | None:
        if value is None:
            return None
        if is_quantised(value) and not value.requires_grad:
            return value  # `detach` would lose the scales that a library keeps beside the numbers
        if id(value) not in tensors:
            shared = value.detach()
            if dtype is not None and shared.is_floating_point() and not is_quantised(shared):
                shared = shared.to(dtype)
            if shared.is_inference():
                shared = shared.clone()  # autograd refuses to save inference tensors
            tensors[id(value)] = shared
        return tensors[id(value)]

    def follow(module: nn.Module) -> nn.Module:
        if id(module) in modules:
            return modules[id(module)]
        kind = _Uncompiled if type(module).__name__ == "OptimizedModule" else module.__class__
        new: nn.Module = kind.__new__(kind)
        modules[id(module)] = new
        state = dict(module.__dict__)
        state["_parameters"] = {k: share(v) for k, v in module._parameters.items()}
        state["_buffers"] = {k: share(v) for k, v in module._buffers.items()}
        state["_modules"] = {k: None if m is None else follow(m) for k, m in module._modules.items()}
        state.update({name: _kept(state[name], hooks) for name in _HOOKS_KEPT if name in state})
        state.update({name: OrderedDict(state[name]) for name in _HOOK_OPTIONS if name in state})
        state.update({name: OrderedDict() for name in _HOOKS_DROPPED if name in state})
        state["training"] = False
        state["_compiled_call_impl"] = None
        state.update({name: False for name in _RECOMPUTES if state.get(name) is True})
        _rebind(state, module, new)
        if isinstance(module, nn.TransformerEncoder):
            state.update(enable_nested_tensor=False, use_nested_tensor=False)  # its layers keep [N,T,D]
        if hasattr(state.get("config"), "_attn_implementation"):
            state["config"] = _readable_config(state["config"], configs)
        new.__dict__.update(state)
        return new

    twin = follow(model)
    for new in modules.values():  # modules that a plain list or dict holds beside their own names
        new.__dict__.update({k: _replaced(v, modules) for k, v in vars(new).items() if k not in _OWN_OF_TORCH})
    return twin


def shares_all(model: nn.Module, twin: nn.Module) -> bool:
    """Return True if every weight and buffer of a twin lies where the model's own does."""
    pairs = ((model.parameters(), twin.parameters()), (model.buffers(), twin.buffers()))
    placed = ((a, b) for own, theirs in pairs for x, y in zip(own, theirs, strict=True) for a, b in _both(x, y))
    return all(a.data_ptr() == b.data_ptr() for a, b in placed)


def _both(one: Tensor, other: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(pieces(one), pieces(other), strict=True)


def storages(model: nn.Module) -> dict[int, int]:
    """The storages of all tensors in the modules, not of parameters and buffers alone; the bytes of each."""
    held = (
        value
        for module in model.modules()
        for values in (module._parameters, module._buffers, module.__dict__)
        for value in values.values()
        if isinstance(value, Tensor)
    )
    places = (piece.untyped_storage() for t in held for piece in pieces(t))
    return {place.data_ptr(): place.nbytes() for place in places}


def _replaced(value: Any, modules: Mapping[int, nn.Module]) -> Any:
    """A plain container with the twins of the modules in it; the value itself where it holds none."""
    if isinstance(value, nn.Module):
        return modules.get(id(value), value)
    if type(value) in {list, tuple, set}:
        members = [_replaced(v, modules) for v in value]
        return value if all(a is b for a, b in zip(members, value, strict=True)) else type(value)(members)
    if type(value) in {dict, OrderedDict}:
        made = {k: _replaced(v, modules) for k, v in value.items()}
        return value if all(made[k] is v for k, v in value.items()) else type(value)(made)
    if isinstance(value, types.MethodType) and id(value.__self__) in modules:
        return types.MethodType(value.__func__, modules[id(value.__self__)])
    return value


class _Uncompiled(nn.Module):
    """A module that torch.compile wrapped among others: it runs as it was written, under the same names."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._orig_mod(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        modules = self.__dict__["_modules"]
        return modules[name] if name in modules else getattr(modules["_orig_mod"], name)


def _rebind(state: dict[str, Any], module: nn.Module, new: nn.Module) -> None:
    """Bind a `forward` on the instance to the twin."""
    forward = state.pop("forward", None)
    if forward is None or isinstance(new, _Uncompiled):
        return
    forward = getattr(forward, "_torchdynamo_orig_callable", forward)  # what torch.compile was given
    if isinstance(forward, types.MethodType) and forward.__self__ is module:
        state["forward"] = types.MethodType(forward.__func__, new)
    elif _takes_module(forward, module):
        given = [new if value is module else value for value in forward.args]
        state["forward"] = functools.update_wrapper(
            functools.partial(forward.func, *given, **forward.keywords), forward
        )
    else:
        raise ValueError(
            f"model: {type(module).__name__}.forward was replaced on the instance by {forward!r}, which runs the "
            "original module whatever it is asked; remove the wrapper first (for accelerate: "
            "remove_hook_from_module(model, recurse=True))"
        )


def _takes_module(forward: Any, module: nn.Module) -> bool:
    """Return True for a function that gets its module as an argument, as accelerate's for models on several devices."""
    if not isinstance(forward, functools.partial) or forward.args[:1] != (module,):
        return False
    return isinstance(forward.func, types.FunctionType) and forward.func.__closure__ is None


def _kept(hooks: Mapping[int, Any], users: bool) -> OrderedDict[int, Any]:
    return OrderedDict((key, hook) for key, hook in hooks.items() if users or _of_library(hook))


def _readable_config(config: Any, done: dict[int, Any]) -> Any:
    """The config, its attention an implementation whose probabilities can be had: flash and flex become sdpa.

    A decoder without a padding id refuses several rows at once; told of an id that no text holds, it reads the last
    token of each, as it does of one.
    """
    if id(config) not in done:
        new = copy.copy(config)
        if new._attn_implementation not in _ATTENTION_READABLE and new._attn_implementation is not None:
            new._attn_implementation = "sdpa"
        if getattr(new, "pad_token_id", 0) is None:
            new.pad_token_id = -1
        done[id(config)] = new
    return done[id(config)]
