"""Probes, and what calls say of destinations."""
