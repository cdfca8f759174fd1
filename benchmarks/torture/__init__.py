"""Integrals that are hard to bound: the claimed errors of any library, and the claims of ours that are wrong."""
