"""Types of what names the counters; see counters.pyx."""

COUNTERS: tuple[tuple[int, str, str], ...]
COUNTER_NAMES: tuple[str, ...]
COUNTER_HELP: dict[str, str]
STATUSES: tuple[int, ...]
STATUS_WORDS: tuple[str, ...]
FAILOVERS: tuple[str, ...]
ANSWERED: tuple[str, ...]
BUCKETS: tuple[str, ...]
