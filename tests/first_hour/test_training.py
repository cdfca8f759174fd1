"""Training as a new user has it: explanations beside the loss, in the trackers at hand."""

import copy
import json

import pytest
import torch

from calig_fast.monitor import Monitor

TEXTS = ["A fine film.", "Dull."]


def test_a_loop_with_two_promised_looks(model, tokenizer, tmp_path):
    trained = copy.deepcopy(model).train()
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.01)
    log = tmp_path / "looks.jsonl"
    monitor = Monitor(trained, TEXTS, tokenizer, looks=2, steps=5, overhead=1e-9, log=log, page=tmp_path / "looks.html")
    for _ in range(5):
        call = tokenizer(TEXTS, padding=True, return_tensors="pt")
        trained(**call, labels=torch.tensor([1, 0])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        monitor.step()
    monitor.close()
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [(r["step"], r["probe"]) for r in records] == [(step, text) for step in (1, 5) for text in TEXTS]
    assert (tmp_path / "looks.html").is_file()


@pytest.mark.parametrize("package", ["wandb", "mlflow"])
def test_the_trackers_are_log_targets(package, model, tokenizer):
    assert Monitor(model, TEXTS, tokenizer, log=pytest.importorskip(package)).steps == 0


def test_tensorboard(model, tokenizer, tmp_path):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    with tensorboard.SummaryWriter(tmp_path) as writer:
        Monitor(model, TEXTS, tokenizer, log=writer, overhead=1).step()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) > 100
