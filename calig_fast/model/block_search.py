"""The blocks of a model that no family knows: its longest list of like modules that the tokens pass through."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .block_state import state_given, state_in
from .call import Call, called, copied, row_count
from .clone import share_weights
from .dataflow import bypassed_layers, depends_on
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


def find_blocks(model: nn.Module, call: Call, tokens: int | None, embedding: str | None = None) -> tuple[str, ...]:
    """Dotted names of the blocks, in order of execution, told by one call of the model.

    Of an encoder-decoder the encoder's are meant.

    Args:
        model: any model; not touched.
        call: its arguments.
        tokens: T of a text, or None for images.
        embedding: dotted name of the module that embeds words, or None.

    Raises:
        ValueError: no list of like modules passes a hidden state on, naming the model's lists.
    """
    twin = share_weights(model, hooks=False)
    lists = _lists(twin, _encoder_of(twin))
    _watch(twin, lists, call, tokens)
    lists = [one for one in lists if len(one.longest_run()) > (0 if len(one.children) == 1 else 1)]
    lists.sort(key=lambda one: (-len(one.longest_run()), one.name.count("."), one.longest_run()[0][0]))
    # like modules that are attributes, not a list, are seldom blocks: the four projections of an attention, say
    holders = [one for one in lists if one.holder]
    if not holders and (blocks := _best(model, lists[:TRIED], call, embedding)):
        return blocks
    lists = holders
    if not lists:
        raise ValueError(
            f"model: no family knows {type(model).__name__}, and no list of like modules in it passes the tokens on; "
            f"its lists of modules: {list_names(model)}; name its blocks, as in "
            'layers=["encoder.layers"] or layers=["blocks.0", "blocks.1"]'
        )
    # a list that does not carry the whole decision is one part of the blocks: their norms, attentions or projections;
    # one of single layers may be a stem
    long = [one for one in lists if 3 * len(one.longest_run()) >= len(lists[0].longest_run())]
    long.sort(key=lambda one: not _composed(twin, one.blocks))
    return (len(long) > 1 and _best(model, long[:TRIED], call, embedding)) or lists[0].blocks


def _best(model: nn.Module, lists: Sequence[_List], call: Call, embedding: str | None) -> tuple[str, ...]:
    """The first list that carries the whole decision, else the first that hands on all it is given, else none."""
    chain: tuple[str, ...] = ()
    for one in lists:
        whole, handed_on = _carries(model, one, call, embedding)
        if whole:
            return one.blocks
        if handed_on and not chain and one.holder:
            chain = one.blocks
    return chain


def _composed(model: nn.Module, blocks: Sequence[str]) -> bool:
    """Return True where every block has modules of its own; a single layer has none."""
    return all(any(True for _ in model.get_submodule(name).children()) for name in blocks)


def _carries(model: nn.Module, one: _List, call: Call, embedding: str | None) -> tuple[bool, bool]:
    """Return True where the output depends on the input through the blocks alone, and on each through the later ones.

    Args:
        model: any model.
        one: the list.
        call: the model's arguments.
        embedding: dotted name of the module that embeds words; None for images, and where none was seen.
    """
    watched = InstrumentedModel(model, Encoder("unknown", "image", one.blocks), hooks=False)
    roots: list[Tensor] = []

    def root(value: Tensor) -> Tensor:
        roots.append(value.detach().requires_grad_())
        return roots[-1].clone()

    if embedding is not None:
        words = watched.model.get_submodule(embedding)
        words.forward = functools.partial(_rooted, root, words.forward)
    call = {
        k: root(v) if isinstance(v, Tensor) and v.is_floating_point() and v.dim() > 2 else v for k, v in call.items()
    }
    try:
        record = watched.record(copied(call), False)
    except ValueError:
        return False, False
    answers = [v for v in output_tensors(record.output) if v.requires_grad]
    if not answers:
        return False, False
    handed_on = not bypassed_layers(answers[0], record.hidden[:-1])
    whole = not depends_on(answers[0], roots) if roots else _composed(model, one.blocks)
    return handed_on and whole, handed_on


def _rooted(root: Callable[[Tensor], Tensor], forward: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    return root(forward(*args, **kwargs))


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
    lists = []
    for name, module in model.named_modules():
        children = [(n, m) for n, m in module.named_children() if m is not None]
        holder = isinstance(module, nn.ModuleList | nn.Sequential | nn.ModuleDict)
        inside = f"{name}.".startswith(f"{below}." if below else "")
        if not inside or not children or (len(children) == 1 and not holder):
            continue
        kinds = Counter(type(m) for _, m in children)
        groups = [[n for n, m in children if type(m) is kind] for kind, count in kinds.items() if count > 1 or holder]
        if holder and len(kinds) > 1 and _composed(module, [n for n, _ in children]):
            groups.append([n for n, _ in children])  # layers of two kinds in turn
        lists += [_List(name, tuple(f"{name}.{n}" if name else n for n in names), holder) for names in groups]
    return lists


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
        called(model, copied(call))


def _fits(shape: torch.Size, rows: int, tokens: int | None) -> bool:
    """Return True where a hidden state can hold a row for every token of every input."""
    if len(shape) == 2:
        return tokens is not None and tokens > 1 and shape[0] == rows * tokens
    if len(shape) == 4:
        return shape[0] == rows
    if len(shape) != 3 or rows not in shape[:2]:
        return False
    return tokens is None or tokens in shape or (shape[0] == rows and shape[1] > tokens)
