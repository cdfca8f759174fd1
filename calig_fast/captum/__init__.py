"""Captum's classes of the Integrated Gradients kind: same constructors, arguments, defaults and results.

Where the forward function runs an encoder that a family knows, the native engine computes the blocks; else, and for
everything else, autograd through the caller's own modules does. After a call `engine` says which ("native" or
"autograd"), and `not_native` why not the native one. Captum itself is not needed.
"""

from __future__ import annotations

from .integrated_gradients import IntegratedGradients
from .layer_conductance import LayerConductance
from .layer_integrated_gradients import LayerIntegratedGradients

__all__ = ["IntegratedGradients", "LayerConductance", "LayerIntegratedGradients"]
