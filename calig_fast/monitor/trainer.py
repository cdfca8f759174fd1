"""A callback for transformers' Trainer."""

from __future__ import annotations

from typing import Any

from .monitor import Monitor

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise ImportError(
        "calig_fast.monitor.trainer needs transformers: pip install 'calig_fast[models]'", name="transformers"
    ) from error


class MonitorCallback(TrainerCallback):
    """Steps a monitor with a Trainer: Trainer(..., callbacks=[MonitorCallback(monitor)]).

    Args:
        monitor: of the model that is given to the Trainer.
    """

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Tell the monitor the number of steps, over which `looks` are spread."""
        self.monitor.expect(state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """After each optimizer step; with gradient accumulation that is after several batches."""
        self.monitor.step(state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Take a last look if the budget covers it, and write the page."""
        self.monitor.close()
