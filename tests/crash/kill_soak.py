"""Routers that are killed, upgraded and reshaped at random under calls that must not notice.

    python -m tests.crash.kill_soak [--seconds 60] [--rate 50] [--seed N]

Callers and answering machines repeat what gets lost, as phones do; every call must be
answered and must end.  Whenever the whole family was killed, a copy of what it left is taken
up on a virtual clock and audited: every block owned once, every branch of a living search,
derived state as recounted.  Exit status 1 when a call failed or an audit found something.
"""

import argparse
import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import msgspec

from fastsip._core.base.clock import now_ms
from fastsip._core.dispatcher.cells import Cells
from fastsip._core.harness.rig import Rig
from fastsip.config import load
from fastsip.routing.compile import compile_table
from fastsip.routing.registry import Registry
from fastsip.ua.answering import AnsweringMachines
from fastsip.ua.demo import Caller
from tests.conftest import is_free
from tests.kernels.audit import complaints
from tests.system.lives import Home, Life, command

MAX_TRANSACTIONS = 20_000
LONGEST_CALL_S = 60  # from the last INVITE until nobody repeats anything any more
MACHINES = 3
CONFIG = """
[router]
run_dir = "@RUN_DIR@"
state_dir = "@STATE_DIR@"
shards = {shards}

[[listen]]
uri = "udp:127.0.0.1:{port}"

[limits]
max_transactions = {max_transactions}

[set.machines]
algorithm = "round-robin"
probe = false
destinations = [{destinations}]

[failure.next]
on = [500, "timeout", "transport"]
timeout = "10s"

[[route]]
to = "machines"
failure = "next"
"""


class Soak:
    """One family of routers on one set of directories, and what happens to it."""

    def __init__(self, place: Path, seed: int, machines: AnsweringMachines):
        self.rng = random.Random(seed)
        self.home = Home(place / "home")
        self.copies = place / "copies"
        self.port = next(p for p in range(20_000 + seed % 5_000, 32_000) if is_free("127.0.0.1", p))
        self.destinations = ", ".join(f'"sip:{host}:{port}"' for host, port in machines.addresses)
        self.done: Counter[str] = Counter()
        self.complaints: list[str] = []
        self.life: Life = self.start(2)

    def text(self, shards: int) -> str:
        return CONFIG.format(
            shards=shards, port=self.port, max_transactions=MAX_TRANSACTIONS, destinations=self.destinations
        )

    def start(self, shards: int) -> Life:
        return self.home.start(self.text(shards)).ready()

    def disturb(self) -> None:
        """One of the things that operators and machines do; ends when a router routes again."""
        kinds = (self.kill_router, self.kill_router, self.kill_all, self.upgrade, self.reshape, self.restart)
        kind = self.rng.choice(kinds)
        kind()
        self.done[kind.__name__] += 1

    def kill_router(self) -> None:
        takeovers = len(self.life.records("router took over"))
        self.life.kill_router(self.rng.choice((signal.SIGKILL, signal.SIGABRT)))
        self.life.wait_for(lambda _: len(self.life.records("router took over")) > takeovers)

    def kill_all(self) -> None:
        self.life.end(signal.SIGKILL)
        self.audit()
        self.life = self.start(self.rng.choice((1, 2, 3)))

    def restart(self) -> None:
        self.life.end(signal.SIGTERM)
        self.audit()
        self.life = self.start(self.rng.choice((1, 2, 3)))

    def upgrade(self) -> None:
        self.expect(command("upgrade", self.home.config))

    def reshape(self) -> None:
        self.home.write(self.text(self.rng.choice((1, 2, 3, 4))))
        self.expect(command("reload", self.home.config))

    def expect(self, done) -> None:
        if done.returncode:
            self.complaints.append(done.stderr)

    def audit(self) -> None:
        """Of a copy, so that the next life finds what the last one left."""
        copy = self.copies / str(sum(self.done.values()))
        shutil.copytree(self.home.place / "run", copy, ignore=shutil.ignore_patterns("control.sock"))
        config = load(self.home.config)
        config = msgspec.structs.replace(config, router=msgspec.structs.replace(config.router, run_dir=str(copy)))
        with Registry(copy) as registry:
            cells = Cells(str(copy / "cells"), 1)
            rig = Rig(copy, compile_table(config, registry, cells, 1), cells, MAX_TRANSACTIONS,
                      now_ms=now_ms())
            rig.recover()
            self.complaints += complaints(rig)
        shutil.rmtree(copy)


async def place_calls(caller: Caller, rate: float) -> None:
    while True:
        caller.place()
        await asyncio.sleep(1 / rate)


async def last_calls(caller: Caller) -> None:
    """Until all have ended, or nobody repeats anything any more."""
    end = time.monotonic() + LONGEST_CALL_S
    while caller.calls and time.monotonic() < end:
        await asyncio.sleep(0.1)


async def soak(place: Path, seconds: float, rate: float, seed: int) -> bool:
    machines = AnsweringMachines([("127.0.0.1", 0)] * MACHINES, ring_ms=300)
    await machines.start()
    family = await asyncio.to_thread(Soak, place, seed, machines)
    caller = Caller(("127.0.0.1", family.port))
    await caller.open()
    calling = asyncio.create_task(place_calls(caller, rate))
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            await asyncio.sleep(family.rng.uniform(0.1, 2.5))
            await asyncio.to_thread(family.disturb)
        calling.cancel()
        await last_calls(caller)
        await asyncio.to_thread(family.life.end, signal.SIGTERM)
        return is_well(family, caller)
    finally:
        calling.cancel()
        caller.close()
        for life in family.home.lives:
            life.kill()
        await machines.close()


def is_well(family: Soak, caller: Caller) -> bool:
    """Says what came of it."""
    tally, unfinished = caller.tally, len(caller.calls)
    print(f"calls: {tally.started}, answered {tally.answered}, unfinished {unfinished}, "
          f"failed {dict(tally.failed) or 0}; {dict(family.done)}")
    said = [life.text for life in family.home.lives if "Traceback " in life.text]
    for complaint in (*family.complaints, *said):
        print(f"! {complaint}")
    return not (tally.failed or unfinished or family.complaints or said)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=50, help="calls per second")
    parser.add_argument("--seed", type=int, default=None)
    args = parser.parse_args()
    seed = random.randrange(1 << 30) if args.seed is None else args.seed
    print(f"seed {seed}", flush=True)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="fastsip-soak-", dir=memory) as place:
        return 0 if asyncio.run(soak(Path(place), args.seconds, args.rate, seed)) else 1


if __name__ == "__main__":
    sys.exit(main())
