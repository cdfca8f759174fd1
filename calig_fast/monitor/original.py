"""The model with the `forward` of its class, without the wrapper of a training library."""

from __future__ import annotations

import types

from torch import nn

_KEPT_BY_ACCELERATE = "_original_forward"


class Original:
    """A module that shares everything with `model` but the `forward` that accelerate put on the instance.

    For mixed precision accelerate (and with it transformers' Trainer) replaces `forward` by one that enters autocast,
    at any time before or in the training. What is explained are the weights, in their own dtype.

    Args:
        model: the module that computes, out of its wrappers; not touched.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self.module: nn.Module = type(model).__new__(type(model))
        self.refresh()

    def refresh(self) -> None:
        """Take over the changes of the model.

        Raises:
            ValueError: its weights were sharded since, so that one process alone would wait for the others for ever.
        """
        _check_whole(self._model)
        state = dict(self._model.__dict__)
        if _KEPT_BY_ACCELERATE in state:
            state.pop("forward", None)
            before = state.pop(_KEPT_BY_ACCELERATE)
            if getattr(before, "__func__", None) is not type(self._model).forward:
                state["forward"] = before
        forward = state.get("forward")
        if isinstance(forward, types.MethodType) and forward.__self__ is self._model:
            state["forward"] = types.MethodType(forward.__func__, self.module)
        self.module.__dict__.clear()
        self.module.__dict__.update(state)


def _check_whole(model: nn.Module) -> None:
    sharded = [m for m in model.modules() if type(m).__name__ == "FullyShardedDataParallel"]
    parts = [w for w in model.parameters() if type(w.data).__name__ == "DTensor" or hasattr(w, "ds_id")]
    if sharded or parts:
        raise ValueError(
            "model: its weights are sharded over processes (FSDP, tensor parallelism, ZeRO-3), and rank 0 looks alone; "
            "gather a copy of them on rank 0 now and then, and explain that with an Explainer"
        )
