"""Values that the host remembers, on a GPU that is feigned by the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.feigned_gpu import Feigned, feigned_gpu, there
from torch import Tensor

from calig_fast._utils.host_copies import (
    Constants,
    fetched,
    followed,
    host_copies,
    note,
    prefetch,
    scoped,
    sent,
    uploaded,
)

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")
IDS = torch.tensor([[3, 1, 2, 0], [5, 5, 0, 0]])
READS: dict[str, Callable[[Tensor], Any]] = {
    "all": lambda x: bool((x != 0).all()),
    "lengths": lambda x: (x != 0).sum(1).tolist(),
    "range": lambda x: (int(x.min()), int(x.max())),
    "row": lambda x: x[1].tolist(),
    "mask": lambda x: x[x != 0].tolist(),
    "places": lambda x: (x == 5).nonzero().flatten().tolist(),
    "copies": lambda x: x.to("cpu").tolist() + x.cpu().tolist(),
    "equal": lambda x: torch.equal(torch.cat([x, x])[:2], x),
    "between": lambda x: (x.cummax(1).values * x.flip(1)).tolist(),
    "picked": lambda x: x[torch.tensor([1, 0, 1])].tolist(),
}


@pytest.mark.parametrize("name", READS)
def test_values_that_follow_from_known_ones_are_read_without_waiting(name: str) -> None:
    read = READS[name]
    with feigned_gpu() as counts, host_copies(GPU):
        ids = there(IDS)
        fetched(ids)
        counts.waits.clear()
        with followed():
            assert read(ids) == read(IDS)
        assert not counts.waits
        read(ids)
        assert counts.waits, "nothing is followed outside of the context"


def test_one_wait_is_for_all() -> None:
    with feigned_gpu() as counts, host_copies(GPU):
        a, b, c = (there(torch.full((2,), float(i))) for i in range(3))
        prefetch(c)
        assert [t.tolist() for t in fetched(a, b)] == [[0.0, 0.0], [1.0, 1.0]]
        assert fetched(c, a)[0].tolist() == [2.0, 2.0]
        assert counts.waits.total() == 1


def test_values_of_a_tensor_that_was_written_into_are_read_anew() -> None:
    with feigned_gpu(), host_copies(GPU), followed():
        ids = there(IDS.clone())
        fetched(ids)
        view = ids[0]
        ids[0, 0] = 7
        assert (int(ids[0, 0]), int(view[0]), fetched(ids)[0][0, 0].item()) == (7, 7, 7)
        prefetch(ids)
        ids += 1
        assert fetched(ids)[0][0, 0].item() == 8


def test_a_copy_is_the_readers_own() -> None:
    with feigned_gpu(), host_copies(GPU), followed():
        ids = there(IDS)
        fetched(ids)
        ids.cpu().fill_(9)
        assert int(ids[0, 0]) == 3


def test_sums_of_real_numbers_are_the_devices_own() -> None:
    with feigned_gpu() as counts, host_copies(GPU), followed():
        x = there(torch.randn(3, 4))
        fetched(x)
        counts.waits.clear()
        assert bool(torch.isfinite(x).all())
        assert not counts.waits
        float(x.sum())
        assert counts.waits.total() == 1


def test_the_choice_among_equal_values_is_the_one_that_was_read() -> None:
    with feigned_gpu(), host_copies(GPU), followed():
        z = there(torch.zeros(2, 3))
        note(z, torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]))  # the place of another device's choice
        chosen = z.argmax(1)
        assert isinstance(chosen, Feigned)
        assert chosen.held.tolist() == chosen.tolist() == [2, 1]


def test_gradients_pass_through_known_values() -> None:
    with feigned_gpu(), host_copies(GPU), followed():
        x = there(torch.arange(4.0)).requires_grad_()
        note(x, torch.arange(4.0))
        x[x > 1].sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [0.0, 0.0, 1.0, 1.0]


def test_a_context_forgets() -> None:
    with feigned_gpu() as counts, host_copies(GPU):
        with scoped():
            ids = sent(IDS, GPU)
            with followed():
                mask = ids != 0
            with followed(lasting=True):
                lasting = ids != 0
            fetched(ids, lasting)
            assert not counts.waits
            fetched(mask)
            assert counts.waits.total() == 1
        fetched(ids)
        assert counts.waits.total() == 2


def test_without_a_context_nothing_is_remembered() -> None:
    with feigned_gpu() as counts:
        ids = uploaded(IDS, GPU)
        assert [fetched(ids)[0].tolist() for _ in range(2)] == [IDS.tolist()] * 2
        assert counts.waits.total() == 2


def test_constants_are_copied_once_and_when_they_change() -> None:
    with feigned_gpu() as counts:
        places = there(torch.arange(4))
        constants = Constants([places, there(torch.ones(2))])
        for change, waits in ((False, 1), (False, 1), (True, 2), (False, 2)):
            if change:
                places += 1
            with host_copies(GPU):
                constants.remember()
                assert fetched(places)[0].tolist() == places.held.tolist()
            assert counts.waits.total() == waits


def test_on_the_cpu_nothing_is_followed() -> None:
    with host_copies(CPU):
        assert sent(IDS, CPU) is IDS
        with followed():
            assert torch._C._len_torch_function_stack() == 0
        prefetch(IDS)
        assert fetched(IDS)[0].tolist() == IDS.tolist()
