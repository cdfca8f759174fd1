"""The blocks of a model that no family knows: its longest list of like modules that the tokens pass through."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from .block_state import state_given, state_in
from .call import Call, called, row_count
from .clone import share_weights
from .dataflow import bypassed_layers
from .encoder import Encoder, name_of
from .instrumented import InstrumentedModel
from .own_answer import output_tensors

TRIED = 8  # lists that are watched in a pass of their own


@dataclass
class _List:
    """A list of modules of one class, and the hidden states they were given, in order.

    Args:
        name: dotted name of the module that holds it.
        children: dotted names of the modules.
        holder: it is a list of modules by its class.
        calls: (number of the call among all, child, shape of its hidden state).
    """

    name: str
    children: tuple[str, ...]
    holder: bool
    calls: list[tuple[int, str, torch.Size]] = field(default_factory=list)

    def longest_run(self) -> list[tuple[int, str, torch.Size]]:
        """The longest stretch of calls with one shape of hidden state."""
        runs: list[list[tuple[int, str, torch.Size]]] = []
        for call in self.calls:
            if runs and runs[-1][-1][2] == call[2]:
                runs[-1].append(call)
            else:
                runs.append([call])
        return max(runs, key=len, default=[])

    @property
    def blocks(self) -> tuple[str, ...]:
        """Dotted names of the modules that the longest stretch runs, in order."""
        return tuple(dict.fromkeys(child for _, child, _ in self.longest_run()))


def find_blocks(model: nn.Module, call: Call, tokens: int | None) -> tuple[str, ...]:
    """Dotted names of the blocks, in order of execution, told by one call of the model.

    Of an encoder-decoder the encoder's are meant.

    Args:
        model: any model; not touched.
        call: its arguments.
        tokens: T of a text, or None for images.

    Raises:
        ValueError: no list of like modules passes a hidden state on, naming the model's lists.
    """
    twin = share_weights(model, hooks=False)
    lists = _lists(twin, _encoder_of(twin))
    _watch(twin, lists, call, tokens)
    lists = [one for one in lists if len(one.longest_run()) > (0 if len(one.children) == 1 else 1)]
    # like modules that are attributes, not a list, are seldom blocks: the four projections of an attention, say
    lists = [one for one in lists if one.holder] or lists
    lists.sort(key=lambda one: (-len(one.longest_run()), one.name.count("."), one.longest_run()[0][0]))
    if not lists:
        raise ValueError(
            f"model: no family knows {type(model).__name__}, and no list of like modules in it passes the tokens on; "
            f"its lists of modules: {list_names(model)}; name its blocks, as in "
            'layers=["encoder.layers"] or layers=["blocks.0", "blocks.1"]'
        )
    # a list that does not carry the whole decision is one part of the blocks: their norms, attentions or projections;
    # one of single layers may be a stem
    long = [one for one in lists if 3 * len(one.longest_run()) >= len(lists[0].longest_run())][:TRIED]
    long.sort(key=lambda one: not any(True for _ in twin.get_submodule(one.blocks[0]).children()))
    best = lists[0] if len(long) == 1 else next((one for one in long if _carries(model, one, call)), lists[0])
    return best.blocks


def _carries(model: nn.Module, one: _List, call: Call) -> bool:
    """Return True where the output depends on earlier hidden states through the later ones alone."""
    watched = InstrumentedModel(model, Encoder("unknown", "image", one.blocks), hooks=False)
    try:
        record = watched.record(call, False)
    except ValueError:
        return False
    answers = [v for v in output_tensors(record.output) if v.requires_grad]
    return bool(answers) and not bypassed_layers(answers[0], record.hidden[:-1])


def list_names(model: nn.Module) -> list[str]:
    """Dotted names of a model's lists of modules."""
    return [n for n, m in model.named_modules() if isinstance(m, nn.ModuleList | nn.Sequential) and len(m) > 1]


def _encoder_of(model: nn.Module) -> str:
    """Dotted name of the encoder of an encoder-decoder, "" for another model."""
    if not getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        return ""
    getter: Any = getattr(model, "get_encoder", None)
    try:
        return (name_of(model, getter()) if callable(getter) else "") or ""
    except (AttributeError, NotImplementedError):
        return ""


def _lists(model: nn.Module, below: str) -> list[_List]:
    found = []
    for name, module in model.named_modules():
        children = [(n, m) for n, m in module.named_children() if m is not None]
        holder = isinstance(module, nn.ModuleList | nn.Sequential | nn.ModuleDict)
        inside = f"{name}.".startswith(f"{below}." if below else "")
        if not inside or not children or (len(children) == 1 and not holder):
            continue
        for kind, count in Counter(type(m) for _, m in children).items():
            if count > 1 or holder:
                like = tuple(f"{name}.{n}" if name else n for n, m in children if type(m) is kind)
                found.append(_List(name, like, holder))
    return found


def _watch(model: nn.Module, lists: list[_List], call: Call, tokens: int | None) -> None:
    """Run the model once and note what the modules of the lists are given."""
    of_child: dict[int, list[tuple[_List, str]]] = {}
    for one in lists:
        for child in one.children:
            of_child.setdefault(id(model.get_submodule(child)), []).append((one, child))
    rows, count = row_count(call), 0

    def note(key: int, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        number, out = count, forward(*args, **kwargs)
        try:
            state = state_given(forward, args, kwargs)
        except ValueError:
            return out
        if _fits(state.shape, rows, tokens) and state_in(out, state.shape) is not None:
            for one, child in of_child[key]:
                one.calls.append((number, child, state.shape))
        return out

    for module in model.modules():  # not by hooks: some models call the forward of a block themselves
        if id(module) in of_child:
            module.forward = functools.partial(note, id(module), module.forward)
    with torch.no_grad():
        called(model, call)


def _fits(shape: torch.Size, rows: int, tokens: int | None) -> bool:
    """Return True where a hidden state can hold a row for every token of every input."""
    if len(shape) == 2:
        return tokens is not None and tokens > 1 and shape[0] == rows * tokens
    if len(shape) == 4:
        return shape[0] == rows
    if len(shape) != 3 or rows not in shape[:2]:
        return False
    return tokens is None or tokens in shape or (shape[0] == rows and shape[1] > tokens)
