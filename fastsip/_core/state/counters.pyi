"""Types of what names the counters; see counters.pyx."""

COUNTER_NAMES: tuple[str, ...]
