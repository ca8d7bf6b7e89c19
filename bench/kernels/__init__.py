"""Kernels for measurements: loops over single functions."""
