"""The immutable routing table: built by Python, matched by kernels."""
