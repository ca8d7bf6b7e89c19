"""The shards' clock, for Python: it runs on while the machine sleeps, and no step of the wall clock moves it.

Called by resolver, name_file and inspection.
"""

import time


def now_ms() -> int:
    """CLOCK_BOOTTIME, of which the store keeps its times."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
