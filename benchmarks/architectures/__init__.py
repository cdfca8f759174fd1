"""Architectures of transformers and timm at small size, explained and held to plain hooks."""
