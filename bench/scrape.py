"""What a scrape costs: CPU of reading the files of run_dir and of writing the text, in both formats.

    python -m bench.scrape [--series 5000] [--rounds 9]

One set with as many destinations as make that many series; CPU time of this process, in ms, the median of the rounds.
Who scrapes again and again keeps a writer, which lays out names and labels once; a command does that each time.
Shards are not in the way: they count into the same files, and nobody asks them.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from bench.processes import scratch
from fastsip._core.dispatcher.cells import Cells
from fastsip._core.dispatcher.measures import Measures
from fastsip.observe.counters import StatsFile
from fastsip.observe.metrics import Known, Writer, look, text
from fastsip.routing.registry import Registry

BAR_MS = 5      # of 5,000 series that a writer has written before; reading their files may cost as much again
SHARDS = 4
STATUS = {"version": "0", "router": 1, "routes_since_s": 1, "spare": 2, "configuration": 1, "draining": False,
          "shards": SHARDS}  # fmt: skip
SETID = {"name": "media", "setid": 1, "algorithm": "call-id"}


def destination(number: int) -> dict[str, Any]:
    uri = f"sip:192.0.2.{number % 250}:{5060 + number // 250}"
    return {"id": f"media/{uri}", "uri": uri, "probe": "all", "admin": "enabled"}


def lines(found: str) -> int:
    return sum(not line.startswith("#") for line in found.splitlines())


def destinations_for(series: int) -> int:
    """How many destinations make about that many series."""
    def with_members(count: int) -> int:
        with scratch() as files:
            return lines(text(prepare(files, count)()))

    none, some = with_members(0), with_members(100)
    return max(1, (series - none) * 100 // (some - none))


def prepare(files: Path, count: int) -> Callable[[], Known]:
    """Files of a router with that many destinations; what reads them."""
    StatsFile(str(files), SHARDS)
    cells = Cells(files / "cells", count + 1)
    measures = Measures(files / "measures", count + 1, SHARDS)
    members = [destination(number) for number in range(count)]
    with Registry(str(files)) as registry:
        for one in members:
            cells.assign(registry.id("destination", one["id"]))
    measures.follow(cells.assigned)
    return lambda: look(files, STATUS, [{"set": SETID, "destinations": members}])


def cpu_ms(once: Callable[[], object], rounds: int) -> float:
    found = []
    for _ in range(rounds):
        began = time.process_time()
        once()
        found.append(1e3 * (time.process_time() - began))
    return median(found)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.scrape", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--series", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    count = destinations_for(args.series)
    with scratch() as files:
        read = prepare(files, count)
        known = read()
        reading = cpu_ms(read, args.rounds)
        writers = [Writer(openmetrics=form) for form in (False, True)]
        first = cpu_ms(lambda: text(known), args.rounds)
        plain, openmetrics = (cpu_ms(lambda writer=writer: writer.text(known), args.rounds) for writer in writers)
        found = text(known)
    print(f"{lines(found):,} series of {count:,} destinations, {len(found) / 1e6:.2f} MB: "
          f"files read in {reading:.1f} ms, written the first time in {first:.1f} ms, again in {plain:.1f} ms, "
          f"as OpenMetrics in {openmetrics:.1f} ms")
    return int(max(plain, openmetrics) * 5_000 / lines(found) > BAR_MS)


if __name__ == "__main__":
    sys.exit(main())
