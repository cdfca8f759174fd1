"""A pytest plugin: whoever imports the three classes from Captum from here on gets ours."""

import importlib

from calig_fast import captum as ours

importlib.import_module("captum.attr")  # all of Captum's own modules, which keep what they have
WHERE = {
    "IntegratedGradients": "integrated_gradients",
    "LayerIntegratedGradients": "layer.layer_integrated_gradients",
    "LayerConductance": "layer.layer_conductance",
}
for name, module in WHERE.items():
    for place in ("captum.attr", f"captum.attr._core.{module}"):
        setattr(importlib.import_module(place), name, getattr(ours, name))
