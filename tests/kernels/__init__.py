"""Kernels for tests: doors to single functions, the audit of a store, damage for fuzzers, whole calls."""
