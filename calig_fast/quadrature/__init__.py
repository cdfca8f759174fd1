"""Integrals over one path, to a tolerance; knows no model."""
