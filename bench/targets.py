"""Starts what is measured: the floor, Kamailio, fastsip, each on a free port of the loopback.

All do the same work: two destinations hashed by Call-ID, Record-Route, failover
on 500 and on 2 s of silence, everything in memory.  Used by the runners.
"""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.build import HERE, build
from bench.processes import Process, RunFailed, answers_options, wait_until
from bench.procfs import is_bound
from bench.systemd import HAND_BACK

KAMAILIO = "/usr/sbin/kamailio"
ROOT = HERE.parent

# Names in fastsip's own counters that the runners use (fastsip.observe.counters.read).
RECEIVE_CALLS = "receive_calls"  # recvmmsg
DATAGRAMS_IN = "received"
HANDED_OVER = "handed_over"  # to another shard's ring
SLOTS_USED = "slots"
SLOT_BYTES = "slot_bytes"  # of all slots in use
BLOCK_BYTES = "block_bytes"  # of all blocks in use
STARTED, ENDED = "transactions", "transactions_ended"


@dataclass
class Site:
    """Where a target runs: its port, those of its destinations, its files, its core."""

    port: int
    destinations: tuple[int, ...]  # two; fastsip takes any number
    scratch: Path
    core: int | None
    shards: int = 1
    limit_s: float = 300
    ring_limit_s: int = 180
    prefix: tuple[str, ...] = ()  # valgrind and its options, for instance
    start_s: float = 20  # patience until it answers
    env: dict[str, str] = field(default_factory=dict)  # more of the target's environment
    root: Path = ROOT  # the tree that fastsip is run from
    program: tuple[str, ...] = ()  # instead of fastsip's router process
    kept: tuple[int, ...] | None = None  # the listeners' sockets, when systemd kept them for fastsip
    state_dir: Path | None = None  # fastsip's, when it is not to be in the scratch directory
    rules: str = ""  # more of fastsip's configuration, before the rule for everybody
    failure: str = 'on = [500, "timeout"]\ntimeout = "2s"'  # fastsip's failure policy

    @property
    def run_dir(self) -> Path:
        return self.scratch / "run"


def read_fastsip_stats(run_dir: Path) -> dict[str, int]:
    """fastsip's own counters, from the files in its run_dir; ImportError when it has no such door."""
    return importlib.import_module("fastsip.observe.counters").read(run_dir)


def start_floor(site: Site) -> Process:
    first, second = site.destinations
    argv = [
        *site.prefix,
        str(build("floor")),
        f"127.0.0.1:{site.port}",
        f"127.0.0.1:{first}",
        f"127.0.0.1:{second}",
        str(int(site.limit_s)),
    ]
    process = Process(argv, site.scratch / "floor.log", site.core)
    wait_until(lambda: is_bound(site.port), site.start_s, "floor", process)
    return process


def start_kamailio(site: Site) -> Process:
    """Debian's Kamailio with peers/kamailio.cfg, one worker per shard, files in the scratch directory."""
    if not Path(KAMAILIO).exists():
        raise RunFailed("kamailio is missing: apt-get install kamailio")
    first, second = site.destinations
    listing = site.scratch / "dispatcher.list"
    template = (HERE / "peers" / "dispatcher.list").read_text()
    lines = [line for line in template.splitlines() if not line.startswith("#")]
    listing.write_text("\n".join(lines).format(first=first, second=second) + "\n")
    milliseconds = site.ring_limit_s * 1000
    argv = [
        *site.prefix,
        KAMAILIO,
        "-DD",
        "-E",
        "-f",
        str(HERE / "peers" / "kamailio.cfg"),
        "-l",
        f"udp:127.0.0.1:{site.port}",
        "-n",
        str(site.shards),
        "-A",
        f'DESTINATIONS="{listing}"',
        "-A",
        "FR_MS=2000",
        "-A",
        f"INV_MS={milliseconds}",
        "-m",
        "4096",
        "-M",
        "32",
        "-Y",
        str(site.scratch),
        "-w",
        str(site.scratch),
        "-P",
        str(site.scratch / "kamailio.pid"),
    ]
    process = Process(argv, site.scratch / "kamailio.log", site.core, site.limit_s, cwd=site.scratch)
    wait_until(lambda: answers_options(site.port), site.start_s, "kamailio", process)
    return process


def write_fastsip_config(site: Site) -> Path:
    destinations = ", ".join(f'"sip:127.0.0.1:{port}"' for port in site.destinations)
    state_dir = site.state_dir or site.scratch / "state"
    for directory in (site.run_dir, state_dir):
        directory.mkdir(exist_ok=True)
    path = site.scratch / "fastsip.toml"
    path.write_text(f"""\
[router]
name = "bench"
shards = {site.shards}
run_dir = "{site.run_dir}"
state_dir = "{state_dir}"

[[listen]]
uri = "udp:127.0.0.1:{site.port}"

[limits]
max_transactions = 150000

[set.media]
algorithm = "call-id"
probe = false
destinations = [{destinations}]

[failure.next-media]
{site.failure}

{site.rules}

[[route]]
to = "media"
failure = "next-media"
""")
    return path


def start_fastsip(site: Site) -> Process:
    path = write_fastsip_config(site)
    argv = [*site.prefix, sys.executable, "-m", "fastsip", "run", str(path)]
    program = site.program
    if site.prefix and any((site.root / "fastsip").glob("supervisor*")):
        program = (*site.prefix, sys.executable, "-m", "fastsip.router")
    if program:
        argv = [sys.executable, "-m", "bench.supervise", str(path), *program]
    elif site.kept is not None:
        argv = [sys.executable, "-c", HAND_BACK, str(path)]
    env = {
        **os.environ,
        **site.env,
        "KEPT": ",".join(map(str, site.kept or ())),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(site.root), os.environ.get("PYTHONPATH")])),
    }
    process = Process(argv, site.scratch / "fastsip.log", site.core, site.limit_s, cwd=site.scratch, env=env,
                      pass_fds=site.kept or ())
    wait_until(lambda: answers_options(site.port), site.start_s, "fastsip", process)
    return process


TARGETS: dict[str, Callable[[Site], Process]] = {
    "floor": start_floor,
    "kamailio": start_kamailio,
    "fastsip": start_fastsip,
}


def present() -> list[str]:
    """The targets that this machine can run."""
    return [name for name in TARGETS if name != "kamailio" or Path(KAMAILIO).exists()]


def start_target(name: str, site: Site) -> Process:
    """The started target, ready for calls; RunFailed, with its own words, when it is not."""
    process = TARGETS[name](site)
    process.remember()
    return process


def version(name: str) -> str:
    """What was measured, in one line."""
    if name == "kamailio":
        done = subprocess.run([KAMAILIO, "-v"], capture_output=True, text=True, timeout=10)
        return done.stdout.splitlines()[0]
    if name == "fastsip":
        return f"commit {commit()}, build {os.environ.get('FASTSIP_BUILD', 'release')}"
    return "gcc -O2"


def commit() -> str:
    """The commit of the tree, with `+` when files differ from it."""

    def ask(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=10)
        return done.stdout.strip()

    return (ask("rev-parse", "--short=12", "HEAD") or "none") + (
        "+" if ask("status", "--porcelain", "-uno") else ""
    )
