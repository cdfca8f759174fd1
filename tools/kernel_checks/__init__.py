"""Checks of the CUDA kernels on a machine without a GPU: they run under an emulator, and they are compiled."""
