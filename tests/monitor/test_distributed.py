"""Two processes over gloo: rank 0 alone looks, no rank waits for the other, and sharded weights are refused."""

import pytest
import torch
from helpers.distributed import run

pytestmark = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this PyTorch has no gloo")


TASKS = ("data_parallel", "sharded", "tensor_parallel", "sharded_later")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The answers of two ranks to each task, and the folder of their files."""
    folder = tmp_path_factory.mktemp("ranks")
    return run(TASKS, folder), folder


def test_rank_0_alone_looks(told):
    first, second = told[0]["data_parallel"]
    assert first == {"looks": [1, 2, 3], "warnings": []}
    assert second == {"looks": [], "warnings": []}
    assert "3 looks" in (told[1] / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("task", ["sharded", "tensor_parallel"])
def test_sharded_weights_are_refused_in_one_sentence(task, told):
    for rank in told[0][task]:
        assert rank["refusal"].startswith("model: its weights are sharded over processes (DTensor")


def test_weights_that_are_sharded_later(told):
    first, second = told[0]["sharded_later"]
    assert first["looks"] == second["looks"] == []
    (warning,) = first["warnings"]
    assert "its weights are sharded" in warning
    assert second["warnings"] == []
