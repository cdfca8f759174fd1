"""A callback for Lightning's Trainer."""

from __future__ import annotations

from typing import Any

from .monitor import Monitor

try:
    from lightning.pytorch import Callback
except ImportError:
    try:
        from pytorch_lightning import Callback  # type: ignore[assignment, unused-ignore]
    except ImportError as error:
        raise ImportError(
            "calig_fast.monitor.lightning needs lightning: pip install 'calig_fast[lightning]'", name="lightning"
        ) from error


class MonitorCallback(Callback):
    """Steps a monitor with a Lightning Trainer: Trainer(..., callbacks=[MonitorCallback(monitor)]).

    Args:
        monitor: of the classifier inside the LightningModule (often `module.model`), not of the LightningModule.
    """

    def __init__(self, monitor: Monitor) -> None:
        super().__init__()
        self.monitor = monitor

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Tell the monitor the number of steps, over which `looks` are spread; an endless run has none."""
        steps = trainer.estimated_stepping_batches
        if steps != float("inf"):
            self.monitor.expect(int(steps))

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After each batch; with gradient accumulation the step counts once."""
        self.monitor.step(trainer.global_step)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Take a last look if the budget covers it, and write the page."""
        self.monitor.close()
