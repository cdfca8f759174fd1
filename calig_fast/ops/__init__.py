"""The fused operations, each with one specification and one implementation per backend."""

from .accumulate_gradients import accumulate_gradients
from .dispatch import backends, resolve
from .extension import extension
from .fuse_rollout import fuse_rollout
from .interpolate_path import interpolate_path

extension()

__all__ = ["accumulate_gradients", "backends", "extension", "fuse_rollout", "interpolate_path", "resolve"]
