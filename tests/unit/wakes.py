"""What tests of rings and lanes share: what is left in an eventfd, and what this process has in memory."""

import os


def written(event_fd: int) -> int:
    """Wake-ups that nobody has read yet."""
    try:
        return os.eventfd_read(event_fd)
    except BlockingIOError:
        return 0


def resident_kib() -> int:
    with open("/proc/self/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Rss:"))
