"""User agents in Python: answering machines, the callers of the demo, messages as texts."""
