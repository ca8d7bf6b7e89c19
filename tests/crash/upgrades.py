"""A live `fastsip upgrade` through several commits of this repository, with calls up at each step.

    python -m tests.crash.upgrades COMMIT [COMMIT ...] [--rate 100] [--seconds 8]

The first commit starts; the tree that the routers run from is then exchanged for the next commit's and they are
upgraded, and so on.  `.` is this tree.  Each commit is built below build/versus/, once.  Callers and answering
machines stay the same throughout; calls last long enough to be up over two steps.  Exit status 1 when a call
failed or is still there at the end, or an upgrade was refused.
"""

import argparse
import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.versus import built
from fastsip.ua.answering import AnsweringMachines
from fastsip.ua.demo import Caller
from tests.conftest import ROOT, is_free
from tests.crash.kill_soak import CONFIG, MACHINES, MAX_TRANSACTIONS, last_calls, place_calls
from tests.system.lives import Home, Life

ORDER_LIMIT_S = 60


class Live:
    """What the routers run from: a link that leads to the tree of today."""

    def __init__(self, place: Path):
        self.link = place / "live"
        os.environ["PYTHONPATH"] = str(self.link)  # of all that is started from here on

    def use(self, tree: Path) -> None:
        fresh = self.link.with_name("next")
        fresh.symlink_to(tree)
        os.replace(fresh, self.link)

    def order(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "fastsip", *words]
        return subprocess.run(argv, cwd=self.link.parent, capture_output=True, text=True, timeout=ORDER_LIMIT_S)


class LinkedLife(Life):
    """From another directory, or Python would find this tree first."""

    cwd = Path("/")

    def kernels(self) -> str:
        """The directory that the kernels of the process that routes are from."""
        maps = Path(f"/proc/{self.router_pid()}/maps").read_text()
        return next(iter(re.findall(r"(/\S+)/fastsip/_core/\S+\.so", maps)))


async def step_through(
    life: LinkedLife, live: Live, home: Home, trees: list[Path], seconds: float, caller: Caller
) -> list[str]:
    """What was refused, in words."""
    refused = []
    for number, tree in enumerate(trees):
        if number:
            live.use(tree)
            done = await asyncio.to_thread(live.order, "upgrade", str(home.config))
            if done.returncode:
                refused.append(f"{tree.name}: {done.stderr.strip()}")
        if life.kernels() != str(tree):
            refused.append(f"{tree.name}: kernels of {life.kernels()}")
        print(f"{tree.name}: {len(caller.calls)} calls up, {caller.tally.started} placed", flush=True)
        await asyncio.sleep(seconds)
    return refused


async def upgrade(place: Path, trees: list[Path], rate: float, seconds: float) -> bool:
    machines = AnsweringMachines([("127.0.0.1", 0)] * MACHINES, ring_ms=300)
    await machines.start()
    port = next(port for port in range(21_000, 32_000) if is_free("127.0.0.1", port))
    live, home = Live(place), Home(place / "home")
    live.use(trees[0])
    destinations = ", ".join(f'"sip:{host}:{port}"' for host, port in machines.addresses)
    home.write(CONFIG.format(shards=2, port=port, max_transactions=MAX_TRANSACTIONS, destinations=destinations))
    life = await asyncio.to_thread(lambda: LinkedLife(home.config).ready())
    caller = Caller(("127.0.0.1", port))
    await caller.open()
    calling = asyncio.create_task(place_calls(caller, rate))
    try:
        refused = await step_through(life, live, home, trees, seconds, caller)
        calling.cancel()
        await last_calls(caller)
        await asyncio.to_thread(life.end, signal.SIGTERM)
    finally:
        calling.cancel()
        life.kill()
        caller.close()
        await machines.close()
    tally = caller.tally
    print(f"calls: {tally.started}, answered {tally.answered}, failed {dict(tally.failed) or 0}, "
          f"unfinished {len(caller.calls)}; {len(trees) - 1} upgrades")  # fmt: skip
    for complaint in refused + ([life.text] if "Traceback " in life.text else []):
        print(f"! {complaint}")
    return not (tally.failed or caller.calls or refused or "Traceback " in life.text)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("commits", nargs="+", help="in the order in which they shall route; . is this tree")
    parser.add_argument("--rate", type=float, default=100, help="calls per second")
    parser.add_argument("--seconds", type=float, default=8, help="of each step")
    args = parser.parse_args()
    trees = [ROOT if commit == "." else built(commit) for commit in args.commits]
    with tempfile.TemporaryDirectory(prefix="fastsip-upgrades-") as place:
        return 0 if asyncio.run(upgrade(Path(place), trees, args.rate, args.seconds)) else 1


if __name__ == "__main__":
    sys.exit(main())
