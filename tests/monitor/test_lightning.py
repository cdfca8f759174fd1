"""The callback of Lightning's Trainer."""

import copy

import pytest
import torch
from helpers.tiny_models import ids, tiny
from helpers.watched_training import DATA
from torch.nn import functional
from torch.utils.data import DataLoader

from calig_fast.monitor import Monitor


def lightning_run(name, watch, tmp_path):
    """Weights and monitor of a run of Lightning's Trainer."""
    lightning = pytest.importorskip(name)
    from calig_fast.monitor.lightning import MonitorCallback

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = copy.deepcopy(tiny("bert")).train()

        def training_step(self, batch, index):
            tokens, mask, labels = batch
            return functional.cross_entropy(self.model(tokens, attention_mask=mask).logits, labels)

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), lr=1e-3)

    module = Module()
    lightning.seed_everything(1, verbose=False)  # after the first use of tiny(), which draws
    monitor = Monitor(module.model, ids(9, 6), overhead=1, strict=True, page=tmp_path / "page.html") if watch else None
    trainer = lightning.Trainer(
        max_steps=4,
        accumulate_grad_batches=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        callbacks=[MonitorCallback(monitor)] if monitor else [],
    )
    trainer.fit(module, DataLoader(DATA, 2, shuffle=True))
    return module.state_dict(), monitor


@pytest.mark.parametrize("name", ["lightning.pytorch", "pytorch_lightning"])
def test_lightning(name, tmp_path):
    weights, _ = lightning_run(name, False, tmp_path)
    same_weights, monitor = lightning_run(name, True, tmp_path)
    steps = [look.step for look in monitor.histories["probe 0"].looks]
    assert steps == [0, 1, 2, 3, 4]  # 0 is the first batch of an accumulation
    assert all(torch.equal(weights[key], same_weights[key]) for key in weights)
    assert "5 looks" in (tmp_path / "page.html").read_text(encoding="utf-8")
