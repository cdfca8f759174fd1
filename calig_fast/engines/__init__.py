"""Endpoints and integrands of a model's paths."""
