"""The fused operations, each with one specification and one implementation per backend; every folder is loaded."""

import importlib
import pkgutil

from .accumulate_gradients import accumulate_gradients
from .activation_backward import activation_backward
from .add_norm import add_norm
from .attention_backward import attention_backward
from .attention_forward import attention_forward
from .attention_gradient import attention_gradient
from .backend.extension import extension
from .dispatch import backends, operations, resolve
from .fuse_rollout import fuse_layers, fuse_rollout
from .interpolate_path import interpolate_path
from .linear import linear
from .norm_backward import norm_backward

for _folder in pkgutil.iter_modules(__path__):
    if _folder.ispkg and _folder.name not in ("backend",):
        _package = importlib.import_module(f"{__name__}.{_folder.name}")
        globals()[_folder.name] = getattr(_package, _folder.name)  # also of a folder that no line here names

from .attention_backward.of_any_model import attention_gradient_map  # noqa: E402  (after the operations that it calls)

extension()

__all__ = [
    "accumulate_gradients",
    "activation_backward",
    "add_norm",
    "attention_backward",
    "attention_forward",
    "attention_gradient",
    "attention_gradient_map",
    "backends",
    "extension",
    "fuse_layers",
    "fuse_rollout",
    "interpolate_path",
    "linear",
    "norm_backward",
    "operations",
    "resolve",
]
