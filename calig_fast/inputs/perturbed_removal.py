"""Removal of tokens and patches from an input, and the model's output for the rest."""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from .._utils.arguments import kind
from ..model import checks, families
from ..model.call import called, has_rows, rows_of
from ..model.clone import share_weights, unwrap
from ..model.encoder import Encoder
from ..model.word_lookup import find_embedding
from ..results.tokens import Grid
from . import source
from .baseline import IMAGE, TEXT, Lookup, is_name, make_baseline, take
from .perturbed_pixels import noisy_linear
from .prepare import Inputs, read

DELETE, NOISY_LINEAR = "delete", "noisy_linear"
_TEXT = (*(name for name in TEXT if name != "zeros"), DELETE)
_IMAGE = (*(name for name in IMAGE if name != "zeros"), NOISY_LINEAR)
Answer = Callable[[Any, Tensor], Tensor]


def opened(
    model: nn.Module, inputs: Any, processor: Any, layers: Sequence[str] | None = None
) -> tuple[nn.Module, Encoder, Inputs]:
    """The module that computes, its encoder, and the inputs as it takes them.

    Raises:
        ValueError, TypeError: a model or inputs that `explain` refuses too; a model of no known family is taken.
    """
    origin = source.opened(model, processor)
    checks.model(origin.model)
    inner = unwrap(origin.model)
    encoder = families.find(inner) or families.named(inner, ())
    if layers is not None:
        names = (layers,) if isinstance(layers, str) else layers
        if not isinstance(names, Sequence) or not names or not all(isinstance(n, str) for n in names):
            raise TypeError(f"layers: expected None or dotted names of blocks, got {kind(layers)}")
        encoder = families.named(inner, names)
    with torch.inference_mode(False):
        batch = read(origin.inputs(inputs), inner, encoder, origin.processor)
        if encoder.modality == "text" and encoder.embedding is None and batch.ids is not None:
            encoder = replace(encoder, embedding=find_embedding(inner, batch.call, batch.ids))
        return inner, encoder, batch


def ready(model: nn.Module, batch: Inputs) -> tuple[nn.Module, Inputs]:
    """A clone in evaluation mode, and the inputs with pixels and embeddings in its dtype."""
    with torch.inference_mode(False):
        running = share_weights(model, checks.compute_dtype(None, model))
    dtype = next(running.parameters()).dtype
    call = {k: v.to(dtype) if _is_wide(v) else v for k, v in batch.call.items()}
    return running, replace(batch, call=call)


def checked(removal: Any, batch: Inputs, text: bool) -> Any:
    """The requested removal; for None "mask" for text and "blur" for images.

    Raises:
        ValueError: an unknown name, one that needs what is not known, pixels of another shape.
        TypeError: something else.
    """
    names = _TEXT if text else _IMAGE
    if removal is None:
        removal = "mask" if text else "blur"
    with _named_removal():
        unknown = isinstance(removal, str) and not is_name(removal, names)
    if unknown:
        kind = "text" if text else "images"
        raise ValueError(f"removal: {removal!r} is no removal for {kind}; expected one of {names}")
    if text and (isinstance(removal, bool) or not isinstance(removal, str | int)):
        raise TypeError(f"removal: expected a name of {names} or an id, got {type(removal).__name__}")
    if not isinstance(removal, Tensor) and removal in (DELETE, NOISY_LINEAR):
        return removal
    first = torch.zeros(1, dtype=torch.int64)
    with _named_removal():
        make_baseline(take(removal, batch, slice(0, 1)), _rows(batch, first))
    return removal


@contextlib.contextmanager
def _named_removal() -> Iterator[None]:
    """The errors of a baseline, under the name of the argument here."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise type(error)(str(error).replace("baselines", "removal")) from error


class Remover:
    """A clone of a model that runs inputs with removed parts; the model itself is not changed.

    Args:
        model: the model, in any mode.
        inputs: the user's inputs.
        processor: tokenizer or image processor, or None.
        removal: the replacement of removed parts.

    Raises:
        ValueError, TypeError: see `opened`; a removal that cannot be done.
    """

    def __init__(self, model: nn.Module, inputs: Any, processor: Any, removal: Any) -> None:
        inner, self.encoder, batch = opened(model, inputs, processor)
        self.text = self.encoder.modality == "text"
        self.model, batch = ready(inner, batch)
        self.batch, self.removal = batch, checked(removal, batch, self.text)
        accepted = {*inspect.signature(inner.forward).parameters, *batch.call}
        # a decoder that knows no padding id reads the last token of a row, padding or not
        self._accepts_mask = "attention_mask" in accepted and "" not in batch.call and batch.padding is not None
        self._words: Callable[[Tensor, Lookup], Tensor] | None = None
        self._embedding: Lookup | None = None
        if self.text and self.encoder.embedding is not None:
            embedding = self.model.get_submodule(self.encoder.embedding)
            self._embedding = embedding.forward
            embedding.forward = functools.partial(self._embed, embedding.forward)

    def removable(self, tokens: int, grid: Grid | None) -> Tensor:
        """[B,T] bool on the CPU, the removable tokens: content tokens, or patches.

        Args:
            tokens: T of the scores.
            grid: where the patches lie, None for text.

        Raises:
            ValueError: the inputs have another number of tokens.
        """
        if self.text:
            if self.batch.mask.shape[1] != tokens:
                raise ValueError(
                    f"scores: {tokens} a row, and the inputs have {self.batch.mask.shape[1]} tokens (special tokens "
                    "and padding counted); pass the scores of these inputs"
                )
            return (self.batch.mask & ~self.batch.special).cpu()
        patch_mask = torch.zeros(len(self.batch), tokens, dtype=torch.bool)
        patch_mask[:, grid.patches if grid else slice(None)] = True
        return patch_mask

    def grid(self, tokens: int) -> Grid | None:
        """The grid of the images' patches; None for text.

        Raises:
            ValueError: no grid of patches has that many tokens.
        """
        if self.text:
            return None
        layout = self.batch.grid(self.encoder, tokens)
        if layout is None or layout.columns == tokens > 1:
            raise ValueError(
                f"scores: {tokens} a row fit no grid of patches; pass the Attribution, which knows its grid"
            )
        return layout

    def select(self, rows: Tensor) -> None:
        """Measure these inputs [N] in place of all, in this order; one may come several times."""
        self.batch, self.removal = _rows(self.batch, rows), _each(self.removal, rows)

    def answers(self, removed: Tensor, answer: Answer, grid: Grid | None, batch_size: int) -> Tensor:
        """The output for every input with each set of parts removed.

        Args:
            removed: [B,K,T] bool, the removed tokens; K sets for each input.
            answer: from the model's output and [N] the input each row belongs to, to [N,...].
            grid: where the patches lie, None for text.
            batch_size: rows in one forward pass.

        Returns:
            [B,K,...] float64 on the CPU.

        Raises:
            ValueError: a deletion that leaves nothing.
        """
        owners = torch.arange(removed.shape[0]).repeat_interleave(removed.shape[1])
        outputs = self.answers_of(removed.flatten(0, 1), owners, answer, grid, batch_size)
        return outputs.reshape(*removed.shape[:2], *outputs.shape[1:])

    def answers_of(self, removed: Tensor, owners: Tensor, answer: Answer, grid: Grid | None, batch_size: int) -> Tensor:
        """The output for sets of removed parts of any inputs.

        Args:
            removed: [N,T] bool, the removed tokens of each set.
            owners: [N] int64, the input that each belongs to.
            answer, grid, batch_size: see `answers`.

        Returns:
            [N,...] float64 on the CPU.

        Raises:
            ValueError: a deletion that leaves nothing.
        """
        order, sizes = self._order(removed, owners, batch_size)
        out: list[Tensor] = []
        device = next(self.model.parameters()).device
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
            for rows in torch.split(order, sizes):
                owner = owners[rows].to(device)
                output = self._forward(removed[rows].to(device), owner, grid)
                out.append(answer(output, owner).detach().double().cpu())
        return torch.cat(out)[order.argsort()]

    def _order(self, removed: Tensor, owners: Tensor, batch_size: int) -> tuple[Tensor, list[int]]:
        """Rows in the order of execution, and their number at a time; rows of similar length run together."""
        if not self.text:
            return torch.arange(len(removed)), _sizes(len(removed), batch_size)
        real = self.batch.mask.cpu()[owners]
        if self.removal != DELETE:
            last = real.shape[1] - real.flip(1).int().argmax(1)
            return last.argsort(stable=True), _sizes(len(removed), batch_size)
        length = (real & ~removed).sum(1)
        if int(length.min()) == 0:
            raise ValueError(
                "removal: deletion leaves nothing of an input that has no special tokens; take another removal, such "
                'as "mask", or fractions below 1'
            )
        order = length.argsort(stable=True)
        if self._accepts_mask:
            return order, _sizes(len(removed), batch_size)
        # without a mask padding would be read as text, so only rows of one length run together
        return order, [
            s for _, rows in itertools.groupby(length[order].tolist()) for s in _sizes(len(list(rows)), batch_size)
        ]

    def _forward(self, removed: Tensor, owners: Tensor, grid: Grid | None) -> Any:
        rows = _rows(self.batch, owners)
        if not self.text:
            return run(self.model, self._images(rows, removed, owners, grid))
        if self.removal == DELETE:
            return run(self.model, self._deleted(rows, removed))
        return self._replaced(_trimmed(rows, int(rows.mask.int().flip(1).argmax(1).min())), removed)

    def _images(self, rows: Inputs, removed: Tensor, owners: Tensor, grid: Grid | None) -> dict[str, Tensor]:
        name, pixels = rows.pixels
        if grid is None:
            raise RuntimeError("images are perturbed patch by patch, which takes a grid")
        noisy = not isinstance(self.removal, Tensor) and self.removal == NOISY_LINEAR
        if rows.cut is not None and not noisy:
            return {**rows.call, name: torch.where(removed[..., None], self._made(name, owners), rows.call[name])}
        patches = removed[:, grid.patches].reshape(-1, grid.rows, grid.columns)
        height, width = grid.height or pixels.shape[2] // grid.rows, grid.width or pixels.shape[3] // grid.columns
        down = (torch.arange(pixels.shape[2], device=pixels.device) // height).clamp_max(grid.rows - 1)
        across = (torch.arange(pixels.shape[3], device=pixels.device) // width).clamp_max(grid.columns - 1)
        gone = patches[:, down][:, :, across][:, None]
        if noisy:
            return rows.with_pixels(noisy_linear(pixels, gone))
        return {**rows.call, name: torch.where(gone, self._made(name, owners), pixels)}

    def _made(self, name: str, owners: Tensor) -> Tensor:
        """The replacement of removed parts of each row; rows of one image share its baseline."""
        images, place = torch.unique(owners, return_inverse=True)
        with _named_removal():
            made = make_baseline(_each(self.removal, images), _rows(self.batch, images)).call
        if made is None:
            raise RuntimeError("a removal from images without pixels")
        replacement: Tensor = made[name][place]
        return replacement

    def _deleted(self, rows: Inputs, removed: Tensor) -> dict[str, Tensor]:
        """The text without the removed tokens: the other tokens move to the left."""
        remaining = rows.mask & ~removed
        length = remaining.sum(1)
        order = torch.sort(~remaining, dim=1, stable=True).indices[:, : int(length.max())]
        there = torch.arange(order.shape[1], device=order.device) < length[:, None]
        call = {}
        for name, value in rows.call.items():
            if name == "position_ids":
                call[name] = value[:, : order.shape[1]]  # what is kept takes the first places
            elif _of_tokens(value, rows):
                index = order.reshape(*order.shape, *(1,) * (value.dim() - 2)).expand(*order.shape, *value.shape[2:])
                call[name] = value.gather(1, index)
            else:
                call[name] = value
        if rows.ids is not None and rows.padding is not None:
            name = next(k for k, v in rows.call.items() if v is rows.ids)
            call[name] = torch.where(there, call[name], rows.padding)
        if self._accepts_mask:
            call["attention_mask"] = there.to(rows.call.get("attention_mask", order).dtype)
        return call

    def _replaced(self, rows: Inputs, removed: Tensor) -> Any:
        if self._embedding is None:
            raise ValueError(
                'removal: the model has no word embedding to put something in a token\'s place; use removal="delete"'
            )
        with _named_removal():
            words = make_baseline(self.removal, rows).words
        if words is None:
            raise RuntimeError("a baseline of text without words")
        gone = removed[:, : rows.mask.shape[1], None]

        def replace_words(out: Tensor, lookup: Lookup) -> Tensor:
            return torch.where(gone, words(out, lookup), out)

        if rows.embeds is not None:
            made = replace_words(rows.call[rows.embeds], self._embedding)
            return run(self.model, {**rows.call, rows.embeds: made})
        self._words = replace_words
        try:
            return run(self.model, rows.call)
        finally:
            self._words = None

    def _embed(self, forward: Lookup, ids: Tensor) -> Tensor:
        out = forward(ids)
        return out if self._words is None else self._words(out, forward)


def run(model: nn.Module, call: dict[str, Tensor]) -> Any:
    """Return the output of a model for its arguments; a sole unnamed argument has the name ""."""
    return called(model, call)


def _sizes(count: int, batch_size: int) -> list[int]:
    return [min(batch_size, count - first) for first in range(0, count, batch_size)]


def _is_wide(value: Any) -> bool:
    """Pixels and embeddings, which have the model's dtype."""
    return has_rows(value) and value.is_floating_point() and value.dim() > 2


def _of_tokens(value: Any, batch: Inputs) -> bool:
    return has_rows(value) and value.dim() >= 2 and value.shape[1] == batch.mask.shape[1]


def _each(removal: Any, rows: Tensor) -> Any:
    """The removal for some of the inputs; one for all inputs stays unchanged."""
    one_each = isinstance(removal, Tensor) and removal.dim() == 4 and len(removal) > 1
    return removal[rows.to(removal.device)] if one_each else removal


def _rows(batch: Inputs, rows: Tensor) -> Inputs:
    """Some of the inputs, in any order, without the data for views."""
    rows = rows.to(batch.mask.device)
    call = rows_of(batch.call, rows)
    return replace(
        batch,
        call=call,
        ids=None if batch.ids is None else next(call[k] for k, v in batch.call.items() if v is batch.ids),
        mask=batch.mask[rows],
        special=batch.special[rows],
        texts=None,
        shown=None,
    )


def _trimmed(batch: Inputs, padding: int) -> Inputs:
    """The inputs without the last columns, which are padding in all of them."""
    if not padding:
        return batch
    keep = batch.mask.shape[1] - padding
    call = {k: v[:, :keep] if _of_tokens(v, batch) else v for k, v in batch.call.items()}
    return replace(
        batch,
        call=call,
        ids=None if batch.ids is None else next(call[k] for k, v in batch.call.items() if v is batch.ids),
        mask=batch.mask[:, :keep],
        special=batch.special[:, :keep],
    )
