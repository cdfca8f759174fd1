"""Explain what a transformer classifier decided: signed scores, layer by layer, with an error bound."""
