"""The native engine in a forward function of the caller: its blocks are replaced by ours while gradients are computed.

The code before, after and around the blocks stays the caller's own. Blocks without a requested gradient do not run
again: blocks before the layer return their outputs of the ordinary pass. Every call is verified. The outputs of the
blocks and of the forward function are first compared with an ordinary pass. Values that are not computed are NaN, so
that a function that reads them (hidden states of every block, say) is detected.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ..engines.native.autograd_function import BlockStack
from .arguments import Tensors
from .masks import key_mask
from .watch import NotNativeError, Run, Watch

# The largest relative difference of two ways to compute the same; a model that rounds more than its dtype does (to
# float32 in its softmax, say) is left to autograd.
_LIMITS = {torch.float32: 1.2e-5, torch.float64: 2e-12}
_HEEDED = {"allow_unused", "materialize_grads", "retain_graph"}


Output = Callable[[Tensors, int], Tensor]
Pick = Callable[[Tensor, int], Tensor]


def moving_alone(x: Tensors) -> None:
    """Raise where the path's points are of another dtype than the inputs: integers, between which they lie.

    Raises:
        NotNativeError: saying so.
    """
    if not all(one.is_floating_point() for one in x):
        raise NotNativeError("the inputs are integers, and the points of their path are not")


class Shortcut:
    """Blocks of the caller's model replaced by ours: recorded, verified, then used as a context manager."""

    def __init__(self) -> None:
        self._watch = Watch((), False)
        self._stack: BlockStack | None = None
        self._start = 0
        self._bounds: list[int] = []
        self._plain_until = 0
        self._whole = False
        self._done = 0
        self._held: Tensor | None = None

    @contextmanager
    def watch(self, layers: Sequence[nn.Module], at_input: bool = False) -> Iterator[None]:
        """Record the ordinary pass of the inputs that runs inside the context.

        Args:
            layers: where gradients are taken; none for the inputs themselves.
            at_input: at the layers' inputs, not at their outputs.
        """
        self._watch = Watch(layers, at_input)
        with self._watch.running():
            yield

    def extra(self, run: Callable[[], Tensor], x: Tensors, layers: Sequence[nn.Module], at_input: bool) -> Tensor:
        """An ordinary pass for recording alone; random state and model stay unchanged.

        Args:
            run: makes it.
            x: its inputs.
            layers: see `watch`; the blocks below them are run too as the inputs move, without their gradients.
            at_input: see `watch`.

        Returns:
            the result of the pass.

        Raises:
            NotNativeError: it would leave a trace, or draws random numbers.
        """
        self._watch, self._whole = Watch(layers, at_input, spare_statistics=True), True
        with torch.no_grad(), _no_random_numbers(x), self._watch.running():
            return run()

    def heeds(self, options: dict[str, Any] | None) -> None:
        """Raise where options of torch.autograd.grad ask for more than the blocks' backward pass does.

        Raises:
            NotNativeError: naming them.
        """
        others = sorted(set(options or {}) - _HEEDED)
        if others:
            raise NotNativeError(f"grad_kwargs {others} are autograd's own affair")

    def prove(self, own: Tensor, run: Output, ends: tuple[Tensors, Tensors], pick: Pick, at_once: int) -> None:
        """Compare the shortcut with the ordinary pass, and test if the last block's first row is enough.

        Args:
            own: the output of the forward function for the inputs.
            run: returns the forward function's output at points of a number of batches.
            ends: the points at the inputs, and those at the baselines.
            pick: selects the explained numbers of the output for a number of batches.
            at_once: batches that may be run at once; with 1 its rows may depend on each other, as nothing joins them.

        Raises:
            NotNativeError: saying why the native engine is none here.
        """
        wanted, runs, stack = pick(own, 1), self._watch.runs, self._blocks()
        self._place(len(stack))
        first = runs[0].hidden
        limit = _LIMITS[first.dtype]
        mask = key_mask(runs[0].args[1:], runs[0].kwargs, first)
        try:
            stack.verify([first, *(r.made for r in runs)], mask, limit)
        except ValueError as error:
            raise NotNativeError(str(error)) from error
        high, low = ends
        batches = min(at_once, 2)
        points = high if batches == 1 else tuple(torch.cat(pair) for pair in zip(high, low, strict=True))
        # conductance at what follows the last block reads all its rows itself, and NaN would alarm anomaly detection
        whole = self._plain_until == len(runs) or torch.is_anomaly_enabled() or not stack.takes_first_rows
        for first_only in (False,) if whole else (True, False):
            self._stack = stack.of_first_rows() if first_only else stack
            with torch.no_grad(), _no_random_numbers(points), self:
                outputs = run(points, batches)
            if len(outputs) == batches * len(own) and _same(own, wanted, pick(outputs, batches), limit):
                return
        raise NotNativeError(
            "forward_func reads more of the blocks than the last one's output at real tokens, or its rows depend on "
            "each other"
        )

    def steps(self, at_once: int, rows: int, least: int = 1) -> int:
        """Nodes that go through the blocks at once: the requested number, limited by the memory budget."""
        stack, hidden = self._proven(), self._watch.runs[0].hidden
        tokens, width = int(hidden.shape[1]), int(hidden.shape[2])
        passed = range(max(self._start, self._plain_until), len(self._watch.runs))
        around = 4 * width * hidden.element_size()  # what the layers around them hold
        return min(at_once, max(least, stack.rows_at_once(passed, hidden.device, around) // (tokens * rows)))

    def __enter__(self) -> None:
        self._done, self._held = 0, None
        for block in {id(r.block): r.block for r in self._watch.runs}.values():
            block.forward = functools.partial(self._run, block)

    def __exit__(self, *_: object) -> None:
        for block in {id(r.block): r.block for r in self._watch.runs}.values():
            del block.forward

    def _proven(self) -> BlockStack:
        if self._stack is None:
            raise RuntimeError("a shortcut was used that was not proven")
        return self._stack

    def _blocks(self) -> BlockStack:
        """Our blocks, in the order of execution."""
        watch = self._watch
        if watch.root is None or watch.encoder is None or watch.encoder.read is None:
            raise NotNativeError(watch.refusal or "forward_func runs no encoder that a family knows")
        if not watch.runs:
            raise NotNativeError("the blocks of the encoder were not run")
        if any(module.training for r in watch.runs for module in r.block.modules()):
            raise NotNativeError("the blocks are in training mode")
        _check_tensors(watch.runs)
        for before, after in zip(watch.runs, watch.runs[1:], strict=False):
            if before.made is not after.hidden:
                raise NotNativeError("the blocks do not run one after another")
        modules = {id(r.block): r.block for r in watch.runs}
        try:
            with torch.no_grad():
                weights = {key: watch.encoder.read(_plain(block)) for key, block in modules.items()}
        except ValueError as error:
            raise NotNativeError(str(error)) from error
        blocks = [weights[id(r.block)] for r in watch.runs]
        if any(w.qkv.weight.dtype != watch.runs[0].hidden.dtype for w in blocks):
            raise NotNativeError("the hidden states are of another dtype than the weights")
        return BlockStack(blocks)

    def _place(self, depth: int) -> None:
        """The position of the layers between the blocks."""
        watch = self._watch
        inner = {id(m) for r in watch.runs for m in r.block.modules() if m is not r.block}
        for layer, places in zip(watch.layers, watch.places, strict=True):
            if id(layer) in inner:
                raise NotNativeError("the layer is inside a block")
            if len(places) != 1:
                raise NotNativeError(f"the layer runs {len(places)} times")
        cuts = sorted({places[0] for places in watch.places})
        self._start = 0 if self._whole or not cuts else cuts[0]
        self._plain_until = cuts[0] if self._whole and cuts else 0
        self._bounds = sorted({self._start, *cuts, depth})

    def _run(self, block: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """Replace a block's forward."""
        runs = self._watch.runs
        number = self._done
        self._done = (number + 1) % len(runs)
        if runs[number].block is not block or not args:
            raise NotNativeError("the blocks do not always run in the same order")
        out = self._output(number, args[0], args, kwargs)
        ordinary = runs[number].output
        return (out, *ordinary[1:]) if isinstance(ordinary, tuple) else out

    def _output(self, number: int, hidden: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """Return the output of block `number`: the last block of a run returns the output of all, earlier ones NaN."""
        if number < self._start:
            if number < self._start - 1:
                return _nothing(hidden)
            ordinary = self._watch.runs[number].made
            return ordinary.repeat(len(hidden) // len(ordinary), 1, 1)
        following = bisect_right(self._bounds, number)
        first, stop = self._bounds[following - 1], self._bounds[following]
        if number == first:
            mask = key_mask(args[1:], kwargs, hidden)
            with torch.no_grad() if stop <= self._plain_until else nullcontext():
                self._held = self._proven()(hidden, mask, range(first, stop))
        if number < stop - 1 or self._held is None:
            return _nothing(hidden)
        out, self._held = self._held, None
        return out


def _check_tensors(runs: Sequence[Run]) -> None:
    for r in runs:
        hidden = r.args[0] if r.args else None
        if not isinstance(hidden, Tensor) or hidden.dim() != 3 or hidden.dtype not in _LIMITS:
            raise NotNativeError("the blocks receive no hidden state [N,T,D] in float32 or float64")
        if isinstance(r.output, tuple) and any(o is not None for o in r.output[1:]):
            raise NotNativeError("the blocks return more than a hidden state")
        if torch.is_autocast_enabled(hidden.device.type):
            raise NotNativeError("autocast is on")


def _plain(block: nn.Module) -> nn.Module:
    """Return the block if only its own code determines its output and its gradients."""
    for module in block.modules():
        if module._backward_hooks or module._backward_pre_hooks:
            raise NotNativeError(f"a {type(module).__name__} has backward hooks, which may change its gradients")
        if "forward" in vars(module):
            raise NotNativeError(f"the forward of a {type(module).__name__} was replaced on the instance")
    return block


@contextmanager
def _no_random_numbers(tensors: Tensors) -> Iterator[None]:
    """Restore the random state and detect code that draws random numbers, which would differ between batches."""
    devices = sorted({t.device.index for t in tensors if t.device.type == "cuda"})

    def states() -> list[Tensor]:
        return [torch.get_rng_state(), *map(torch.cuda.get_rng_state, devices)]

    with torch.random.fork_rng(devices):
        before = states()
        yield
        if not all(map(torch.equal, before, states())):
            raise NotNativeError("forward_func draws random numbers")


def _nothing(hidden: Tensor) -> Tensor:
    """NaN in the shape of a hidden state."""
    return hidden.new_full((1, 1, 1), torch.nan).expand(hidden.shape)


def _same(output: Tensor, own: Tensor, explained: Tensor, limit: float) -> bool:
    """Return True if the explained outputs are equal, up to the rounding of the blocks."""
    size = output[output.isfinite()].abs()
    difference = (own - explained[: len(own)]).abs().max()
    return size.numel() > 0 and bool(difference <= limit * size.max())
