"""What the kernel says of a process and its descendants: CPU, wake-ups, drops, memory.

CPU comes from schedstat, in nanoseconds of the scheduler's own clock; the user and
system times of /proc/PID/stat are sampled by the tick and useless here
(docs/core.md#what-a-call-costs).  Reads only; called by the runners of this directory.
"""

import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

PROC = Path("/proc")


def start_time(pid: int) -> int:
    """When the process started, in ticks since boot; 0 when there is none."""
    try:
        return int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError):
        return 0


def descendants(pid: int) -> list[int]:
    """The process and all below it, parents first."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # the name in parentheses may hold anything, so count from its end
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for each in found:
        found.extend(children.get(each, []))
    return [each for each in found if (PROC / str(each)).exists()]


def _tasks(pids: list[int]):
    for pid in pids:
        try:
            yield from (PROC / str(pid) / "task").iterdir()
        except OSError:
            continue


def read_cpu(pids: list[int]) -> tuple[dict[str, int], int]:
    """CPU in ns of each thread (by its /proc path), and ns all of them waited for a core."""
    used, waited = {}, 0
    for task in _tasks(pids):
        try:
            ran, delay, _ = (task / "schedstat").read_text().split()
        except (OSError, ValueError):
            continue
        used[str(task)] = int(ran)
        waited += int(delay)
    return used, waited


def count_wakeups(pids: list[int]) -> int:
    """Voluntary context switches: each is a sleep that somebody had to end."""
    total = 0
    for task in _tasks(pids):
        try:
            found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.M)
        except OSError:
            continue
        total += int(found[1]) if found else 0
    return total


def count_drops(pids: list[int]) -> int:
    """Datagrams that the kernel threw away before these processes' UDP sockets."""
    inodes = set()
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for name in names:
            try:
                found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{name}"))
            except OSError:
                continue
            if found:
                inodes.add(found[1])
    total = 0
    for table in ("udp", "udp6"):
        for line in (PROC / "net" / table).read_text().splitlines()[1:]:
            columns = line.split()
            if columns[9] in inodes:
                total += int(columns[-1])
    return total


def read_memory(pids: list[int]) -> dict[str, int]:
    """rss and pss in bytes, summed; only pss counts shared pages once."""
    total = {"rss": 0, "pss": 0}
    for pid in pids:
        try:
            text = (PROC / str(pid) / "smaps_rollup").read_text()
        except OSError:
            continue
        for key, value in re.findall(r"^(Rss|Pss):\s+(\d+) kB", text, re.M):
            total[key.lower()] += int(value) * 1024
    return total


def read_disk_bytes(pids: list[int]) -> int:
    """Bytes that these had to have from disks, or gave to be written there."""
    total = 0
    for pid in pids:
        text = (PROC / str(pid) / "io").read_text()
        total += sum(map(int, re.findall(r"^(?:read|write)_bytes: (\d+)", text, re.M)))
    return total


def is_bound(port: int) -> bool:
    """Does any process hold this UDP port?"""
    wanted = f":{port:04X}"
    lines = (PROC / "net" / "udp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(wanted) for line in lines)


@dataclass
class Reading:
    """One moment of a process tree; two of them make a figure."""

    pids: list[int]
    at_ns: int = 0
    cpu: dict[str, int] = field(default_factory=dict)
    waited_ns: int = 0
    wakeups: int = 0
    drops: int = 0

    @classmethod
    def take(cls, *roots: int) -> "Reading":
        pids = [pid for root in roots for pid in descendants(root)]
        cpu, waited = read_cpu(pids)
        return cls(pids, time.monotonic_ns(), cpu, waited, count_wakeups(pids), count_drops(pids))

    def since(self, earlier: "Reading") -> dict[str, int]:
        """Growth of each figure; `vanished` counts threads whose CPU after `earlier` is unknown."""
        return {
            "wall_ns": self.at_ns - earlier.at_ns,
            "cpu_ns": sum(ns - earlier.cpu.get(task, 0) for task, ns in self.cpu.items()),
            "vanished": len(earlier.cpu.keys() - self.cpu.keys()),
            "waited_ns": self.waited_ns - earlier.waited_ns,
            "wakeups": self.wakeups - earlier.wakeups,
            "drops": self.drops - earlier.drops,
        }
