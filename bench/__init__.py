"""Measures fastsip beside the floor and its peers: one command per question, see README.md.

Nothing here is imported by the product, and nothing here may be needed to run it.
"""
