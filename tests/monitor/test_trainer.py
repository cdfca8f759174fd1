"""The callback of the Trainer of transformers."""

import copy

import pytest
import torch
from helpers.tiny_models import ids, tiny
from helpers.watched_training import X

from calig_fast.monitor import Monitor


def trained(watch, tmp_path, looks=None, **options):
    """Losses, weights and monitor of a run of transformers' Trainer."""
    from transformers import Trainer, TrainingArguments

    from calig_fast.monitor.trainer import MonitorCallback

    model = copy.deepcopy(tiny("bert"))
    rows = [{**{k: v[i % 8] for k, v in X.items()}, "labels": torch.tensor(i % 4)} for i in range(16)]
    options_of_monitor = {"overhead": 1} if looks is None else {"overhead": 1e-9, "looks": looks}
    page = tmp_path / "page.html"
    monitor = Monitor(model, ids(9, 6), strict=True, page=page, **options_of_monitor) if watch else None
    arguments = TrainingArguments(
        str(tmp_path),
        max_steps=4,
        per_device_train_batch_size=2,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        logging_steps=1,
        seed=1,
        disable_tqdm=True,
        **options,
    )
    callbacks = [MonitorCallback(monitor)] if monitor else []
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, callbacks=callbacks)
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry], model.state_dict(), monitor


@pytest.mark.parametrize(
    "options", [{}, {"gradient_accumulation_steps": 2}, {"bf16": True}], ids=lambda o: next(iter(o), "plain")
)
def test_transformers_trainer(options, tmp_path, capsys):
    pytest.importorskip("accelerate")
    losses, weights, _ = trained(False, tmp_path, **options)
    watched, same_weights, monitor = trained(True, tmp_path, **options)
    assert [look.step for look in monitor.histories["probe 0"].looks] == [1, 2, 3, 4]
    assert watched == losses
    assert all(torch.equal(weights[key], same_weights[key]) for key in weights)
    assert "4 looks" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_promised_looks_of_a_short_run(tmp_path, capsys):
    pytest.importorskip("accelerate")
    _, _, monitor = trained(True, tmp_path, looks=3)
    assert [look.step for look in monitor.histories["probe 0"].looks] == [1, 3, 4]
