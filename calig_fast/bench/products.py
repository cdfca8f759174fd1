"""Matrix products inside the fused attention of PyTorch on the CPU, which its own counter does not count."""

from __future__ import annotations

import torch

_aten = torch.ops.aten
# matrix products a head (the backward pass computes the map again), and which argument is q
ATTENTION = {
    _aten._scaled_dot_product_flash_attention_for_cpu: (2, 0),
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: (5, 1),
}
