"""The native engine: path points of all layers in batches, forward and backward through the blocks, without padding.

Points of layer l join the batch at block l of the forward pass, and leave it there in the backward pass (`path_batch`).
The engine holds the model's blocks; a `NativeRun` holds one problem.

The blocks run in the requested dtype. Products of float32 are cuBLAS's on a GPU, and exact unless the caller allows
TF32, which keeps 10 bits of each factor (torch.backends.cuda.matmul.allow_tf32, or
torch.set_float32_matmul_precision). The attention's kernels stay exact. Products of bfloat16 and float16 run on the
tensor cores. Paths and the sums over them are always float32 at least, phi and F float64.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..._utils.host_copies import Constants, fetched, followed, sent
from ...inputs.target import gradients, logits_of
from ...model.backward_rules import Rules
from ...model.call import row_count
from ...model.clone import shares_all, storages, user_hooks
from ...model.dataflow import has_kinks
from ...model.encoder import Encoder
from ...model.instrumented import InstrumentedModel, Layout, Seen
from ...ops.dispatch import requested_backend
from ...ops.packing import Packed
from ..base import Endpoints, Problem
from ..budget import Budget
from . import block as blocks
from . import first_token_block as first_row
from . import recomputed, verify
from .cuda_graphs import recorder_for
from .head import Head, first_logits, reader
from .head_replay import HeadReplay
from .path_batch import BlockRunner
from .ruled import check_rules, ruled
from .run import NativeRun
from .whole_pass import WholePass
from .workspace import Workspace

# Bytes a wave takes on a CPU. A ViT-S/14 of 65 tokens takes 10 % more time at 32 MiB than at 64, as each wave reads all
# weights again, and 3 % less at 96 (Zen 5, 1 thread).
DEFAULT_BUDGET = 56 * 2**20


@dataclass(frozen=True)
class Known:
    """The knowledge of calls of one kind.

    Args:
        layout: how the model runs its blocks.
        first_only: whether the head reads the first row alone, by scalar and number of tokens.
    """

    layout: Layout
    first_only: dict[Hashable, bool] = field(default_factory=dict)


class NativeEngine:
    """The native engine over one model.

    Args:
        model: the user's model; not touched.
        encoder: where its blocks are, and how their weights are read.
        dtype: dtype of the blocks, None for the model's own; embeddings and head keep the model's where that is wider.
        memory_budget: bytes of a call; None for waves of 56 MiB, on a GPU of a part of its memory.
        backend: backend of the fused operations.
        known: kinds of calls that were compared with the model's own forward pass; this one adds to it.
        workspace: of an earlier call; not used where the blocks run in a wider dtype than the model's, a copy of all.
        prune: compute the last block for the first row alone where the head reads no other.
        linear: interpolate the first projection of a path where it is linear.
        hooks: run the forward hooks that the user put on the model.
        rules: the gradients of the model's operations, None for their own.

    Raises:
        ValueError: the family cannot read the blocks' weights, or the rules are not for them; the message says why.
    """

    name = "native"

    def __init__(
        self,
        model: nn.Module,
        encoder: Encoder,
        *,
        dtype: torch.dtype | None,
        memory_budget: int | None,
        backend: str,
        known: dict[Hashable, Known] | None = None,
        workspace: Workspace | None = None,
        prune: bool = True,
        linear: bool = True,
        hooks: bool = True,
        rules: Rules | None = None,
    ) -> None:
        self._rules = Rules() if rules is None else rules
        own = next(model.parameters()).dtype
        self.dtype = own if dtype is None else dtype
        wider = torch.promote_types(own, self.dtype)
        self.tap = InstrumentedModel(model, encoder, None if wider == own else wider, hooks=hooks, rules=rules)
        self.shares_weights = shares_all(model, self.tap.model)
        self.workspace = Workspace() if workspace is None or wider != own else workspace
        self.backend, self._encoder, self._asked = backend, encoder, memory_budget
        self._known = {} if known is None else known
        self._prune, self._linear, self._hooks = prune, linear, hooks and bool(user_hooks(model))
        self._replays: dict[Hashable, HeadReplay] = {}
        self._runners: dict[tuple[tuple[int, ...], bool, bool], BlockRunner] = {}
        self._theirs = storages(model)
        twin = storages(self.tap.model)
        self._more = {place: size for place, size in twin.items() if place not in self._theirs}
        self._constants = Constants(self.tap.model.buffers())
        self._distinct = self.workspace.blocks(map(encoder.block, self.tap.blocks), self.dtype, self._theirs)
        check_rules(self._distinct, self._rules)
        self._begin()

    def row_bytes(self, tokens: int) -> int:
        """See `Engine.row_bytes`; blocks that run several times count as often as the configuration says."""
        config = getattr(self.tap.model, "config", None)
        depth = max(len(self._distinct), getattr(config, "num_hidden_layers", 0) or 0)
        return tokens * blocks.row_bytes(self._distinct[0], self.dtype) * depth

    def read(self) -> None:
        """Read the blocks' weights, at the beginning of a later call.

        Raises:
            ValueError: the family cannot read them; the message says why.
        """
        if not self.workspace.weights.again():
            read = map(self._encoder.block, self.tap.blocks)
            self._runners, self._distinct = {}, self.workspace.blocks(read, self.dtype, self._theirs)
        self._begin()

    def _begin(self) -> None:
        one = self._distinct[0]
        device = one.qkv.weight.device
        self.budget = Budget.of(self._asked, device, DEFAULT_BUDGET, self.dtype)
        self.budget.copies += self.workspace.weights.nbytes(self._more)
        # what a recording reads must stay where it is, and terms of positions are laid out anew in every pass
        terms = any(block.positions is not None for block in self._distinct)
        recorder = None if terms else recorder_for(device, self.dtype, self.backend, one.head_size)
        self.workspace.begin((requested_backend(self.backend), self._prune, self._linear, self._rules), recorder)

    def _runner(self, order: tuple[int, ...], first_only: bool, rows: int) -> BlockRunner:
        """The runner of the blocks in an order; it is kept with them, as they may be prepared for C++.

        Args:
            order: of the distinct blocks.
            first_only: the head reads first rows alone.
            rows: of the inputs and their baselines.
        """
        size = rows * len(order) * blocks.row_bytes(self._distinct[0], self.dtype)
        key = order, first_only, recomputed.too_much(size, self.budget)
        if key not in self._runners:
            stack = ruled(tuple(self._distinct[i] for i in order), self._rules)
            linear = self._linear and not (key[2] and self.budget.stated)  # both ends of projections are most of them
            self._runners[key] = BlockRunner(stack, first_only, linear, self.backend, self.dtype, again=key[2])
        return self._runners[key]

    def _replay(self, kind: Hashable) -> HeadReplay | None:
        """The repetition of the head for calls of a kind; None for other gradients, or hooks that may do more."""
        if self._hooks or not self._rules.plain:
            return None
        if kind not in self._replays:
            self._replays[kind] = HeadReplay(self.tap.model)
        return self._replays[kind]

    @torch.no_grad()
    def start(self, problem: Problem) -> NativeRun:
        """See `Engine.start`.

        The model's own forward is run where a call is the first of its kind, for the inputs and their baselines, and
        the blocks and the head are held against it.

        Raises:
            ValueError: what `InstrumentedModel.record` and `resolve` raise.
            NotTheModelError: the model computes something else than its family says, or what the blocks do not carry.
        """
        call, maps, batch = problem.call, problem.maps, row_count(problem.call)
        self._constants.remember()
        with followed(lasting=True):
            kind = verify.kind(call, problem.mask, self._distinct)
            both, replacement = problem.both()
        record, known = None, self._known.get(kind)
        with self.tap.held(), followed():
            if known is None:
                record = self.tap.record(both, False, replacement, problem.changed)
                if not self.tap.plain:
                    raise verify.NotTheModelError(
                        "model: its blocks keep their hidden states otherwise than as [N,T,D]"
                    )
                known = Known(self.tap.layout)
            first = self.tap.embed(both, known.layout, replacement)
            seen = self.tap.seen
        if problem.mask is None:
            mask = sent(torch.ones(batch, first.shape[1], dtype=torch.bool), first.device)
        else:
            mask = problem.mask.to(first.device)
        verify.same_tokens(first, mask)
        verify.same_places(self._distinct, call, mask)
        packed = Packed.of(mask)
        everything = packed if problem.baseline is None else packed.twice()
        prune = self._prune and maps != "attention" and first_row.takes(self._distinct[known.layout.order[-1]])
        first_only = prune and self._reads_first(problem, known, seen, first, packed)
        runner = self._runner(known.layout.order, first_only, everything.segments.rows)
        if runner.again:
            needed = recomputed.row_bytes(runner.stack[0], self.dtype, len(runner.stack)) * everything.segments.rows
            self.budget.check(needed, max(packed.lengths))
            recomputed.give_back(first.device)  # what the model's own pass left
        whole = WholePass(runner=runner, packed=packed, everything=everything)
        check = None if record is None else verify.Outputs(record, everything)
        hidden, qkvs, saved, out = whole.up(first.to(self.dtype), check)
        index = torch.arange(batch)
        rows = sent(index if problem.baseline is None else torch.cat([index, index]), first.device)
        head = Head(
            tap=self.tap,
            seen=seen,
            call=call,
            first_only=first_only,
            packed=packed,
            dtype=self.dtype,
            replay=self._replay(kind) if first_only and isinstance(problem.scalar, str) else None,
        )
        output, leaf = head(out, rows, everything.positions)
        z = first_logits(output, batch, len(rows))
        if z is not None and z.dim() == 2:  # those of every token are large, and nothing reads them
            fetched(z)
        with followed(lasting=True):
            scalars = problem.resolve(z)
        if len(packed.positions) < mask.numel():
            _check_padding(out, whole, mask, reads=reader(self.tap, seen, call, scalars), dtype=self.tap.dtype)
        if record is not None:
            verify.same_logits(logits_of(record.output, len(rows)), logits_of(output, len(rows)), mask, self.dtype)
        lease = self.workspace.lease(whole.ends(hidden, qkvs))
        slopes, kinked = [], False
        for k, scalar in enumerate(scalars):
            last = k == len(scalars) - 1
            with torch.enable_grad():
                value = scalar(output, rows)
                kinked = kinked or has_kinks(value)
                g = head.rows_of(gradients(value, [leaf], keep_graph=not last)[0], everything.positions)
            slopes.append(whole.down(saved, value.detach().double(), g, lease.lines, maps=maps, free=last))
        self._known[kind] = known
        fetched(*(t for s in slopes for t in (s.value, s.baseline_value, s.readout) if t is not None))
        tokens = whole.tokens
        endpoints = Endpoints(
            first=packed.unpack(hidden[0][:tokens]),
            baseline_first=None if problem.baseline is None else packed.unpack(hidden[0][tokens:]),
            logits=z,
            scalars=scalars,
            slopes=slopes,
            order=known.layout.order,
            kinked=kinked or any(block.activation.startswith("relu") for block in runner.stack),
            complete=self._rules.plain,
        )
        return NativeRun(
            self,
            head,
            runner,
            order=known.layout.order,
            lease=lease,
            endpoints=endpoints,
            recorded=problem.alone,
        )

    def _reads_first(self, problem: Problem, known: Known, seen: Seen, first: Tensor, packed: Packed) -> bool:
        """Return True if the head reads the first row alone; asked once for calls of a kind, where F is ours."""
        longest = max(packed.lengths, default=0)
        key = None if problem.scalar is None else (problem.scalar, min(longest, 2))
        if key is not None and key in known.first_only:
            return known.first_only[key]
        # it can be told from any hidden state, so before anything is run
        batch = packed.shape[0]
        with self.tap.held(seen):
            guess = self.tap.head(problem.call, first[:batch])
        reads = reader(self.tap, seen, problem.call, problem.resolve(first_logits(guess, batch, batch)))
        answer = bool(longest) and verify.reads_first_alone(reads, first, packed.lengths.index(longest))
        if key is not None:
            known.first_only[key] = answer
        return answer


def _check_padding(out: Tensor, whole: WholePass, mask: Tensor, *, reads: verify.Reader, dtype: torch.dtype) -> None:
    """Hold the head of a padded call against itself with other numbers at the padding."""
    if not whole.runner.first_only:
        verify.heeds_padding(reads, whole.packed.unpack(out[: whole.tokens]).to(dtype), mask)
    elif not bool(fetched(mask)[0][:, 0].all()):
        raise verify.reads_padding()
