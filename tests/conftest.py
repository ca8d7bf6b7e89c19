"""What all tests share: asynchronous tests, free ports, the real router, SIPp.

The `router` fixture runs `python -m fastsip run CONFIG` as an operator would and
holds it to its promises: it says when it is ready, stops on SIGTERM, leaves
no traceback and does not die in between.
"""

import asyncio
import csv
import inspect
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

from bench.procfs import is_bound

TESTS = Path(__file__).parent
ROOT = TESTS.parent

# The same examples each time, so that a red run is about the change; FASTSIP_EXPLORE=1 looks for new ones.
# How long examples take says something of the machine only: the first text of a new one costs more than a second.
UNHURRIED = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("same", derandomize=True, **UNHURRIED)
hypothesis.settings.register_profile("explore", print_blob=True, **UNHURRIED)
hypothesis.settings.load_profile("explore" if os.environ.get("FASTSIP_EXPLORE") else "same")

TEST_LIMIT_S = 90  # no asynchronous test runs longer
READY_LIMIT_S = 20
STOP_LIMIT_S = 10
READY_LINE = "fastsip: ready"
SCENARIOS = TESTS / "system" / "scenarios"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Runs `async def` tests, each on a loop of its own and within TEST_LIMIT_S."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    wanted = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in wanted}
    asyncio.run(asyncio.wait_for(test(**arguments), TEST_LIMIT_S))
    return True


# ---------------------------------------------------------------- places

# Below the range from which the kernel gives ports to those who ask for any.
PORTS = itertools.cycle(range(20_000, 32_000))
for _ in range(random.randrange(12_000)):  # test runs side by side start apart
    next(PORTS)


def wait_until(found: Callable[[], bool], limit_s: float = 20) -> None:
    """Polls what nobody tells us; fails when it does not come."""
    nap = threading.Event()
    for _ in range(int(limit_s / 0.02)):
        if found():
            return
        nap.wait(0.02)
    raise AssertionError(f"not within {limit_s} s")


def is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


@pytest.fixture(autouse=True)
def no_test_changes_what_signals_do():
    """Else a later one ends all of them without a word: whoever writes to a peer that has gone gets a SIGPIPE."""
    yield
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN


@pytest.fixture
def free_port() -> Callable[..., int]:
    """A function that returns a UDP port nobody uses, another one at each call."""

    def take(host: str = "127.0.0.1") -> int:
        return next(port for port in itertools.islice(PORTS, 12_000) if is_free(host, port))

    return take


@pytest.fixture
def scratch() -> Iterator[Path]:
    """An empty directory in memory, gone after the test."""
    memory = Path("/dev/shm")
    parent = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="fastsip-test-", dir=parent) as path:
        yield Path(path)


@pytest.fixture
def event_fd() -> Iterator[int]:
    fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    yield fd
    os.close(fd)


# ---------------------------------------------------------------- the router


class Router:
    """A running router process; `lines` is what it wrote to stderr so far."""

    program = ("-m", "fastsip", "run")
    cwd: Path = ROOT
    passed: tuple[int, ...] = ()  # descriptors that it inherits

    def __init__(self, config: Path):
        self.config = config
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        # A session of its own: if it will not stop, its children are killed with it.
        self.process = subprocess.Popen(
            [sys.executable, *self.program, str(config)],
            cwd=self.cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=self.passed,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def text(self) -> str:
        return "\n".join(self.lines) or "(nothing on stderr)"

    def wait_ready(self) -> None:
        """Waits for READY_LINE; a router that ends first or stays silent fails the test."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or READY_LINE in self.lines, READY_LIMIT_S)
            ready = READY_LINE in self.lines
        if not ready:
            self.kill()
            pytest.fail(f"the router did not become ready:\n{self.text}", pytrace=False)

    def kill(self) -> None:
        """SIGKILL to the process and its children."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_LIMIT_S)

    def stop(self) -> str:
        """SIGTERM; returns what was wrong with the router's life, "" for nothing."""
        early = self.process.poll()
        if early is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return f"the router did not stop within {STOP_LIMIT_S} s of SIGTERM:\n{self.text}"
        self._reader.join(STOP_LIMIT_S)
        if early is not None:
            return f"the router died with exit code {early}:\n{self.text}"
        if code not in (0, -signal.SIGTERM):
            return f"the router ended with exit code {code} on SIGTERM:\n{self.text}"
        if any(line.startswith("Traceback ") for line in self.lines):
            return f"the router printed a traceback:\n{self.text}"
        return ""


@pytest.fixture
def router(scratch) -> Iterator[Callable[[str], Router]]:
    """A function that starts a router on a config text and returns it when it is ready.

    `@RUN_DIR@` and `@STATE_DIR@` in the text become scratch directories of that router.
    """
    running: list[Router] = []

    def start(config_text: str) -> Router:
        home = scratch / f"router{len(running)}"
        for name in ("run", "state"):
            (home / name).mkdir(parents=True)
        text = config_text.replace("@RUN_DIR@", str(home / "run"))
        config = home / "config.toml"
        config.write_text(text.replace("@STATE_DIR@", str(home / "state")))
        running.append(Router(config))
        running[-1].wait_ready()
        return running[-1]

    yield start
    complaints = [complaint for complaint in map(Router.stop, running) if complaint]
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


# ---------------------------------------------------------------- SIPp

SIPP_FATAL = (253, 254, 255)  # no real-time port, no port to listen on, any other end before the calls


@dataclass(frozen=True)
class SippStats:
    """The counters of one SIPp at its end."""

    created: int
    successful: int
    failed: int
    retransmissions: int
    errors: str  # SIPp's own error log


class SippRun:
    """One SIPp process on one scenario."""

    def __init__(self, command: list[str], home: Path, limit_s: int):
        self._home, self._limit_s = home, limit_s
        self.process = subprocess.Popen(
            command, cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    def finish(self) -> SippStats:
        """Waits for its end and reads its counters; a SIPp that hangs fails the test."""
        try:
            _, stderr = self.process.communicate(timeout=self._limit_s + 5)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"SIPp did not end within {self._limit_s} s")
        errors = self._home / "errors.log"
        complaint = stderr.decode(errors="replace")
        if errors.exists():
            complaint += errors.read_text(errors="replace")
        counters = self._home / "stats.csv"
        rows = list(csv.DictReader(counters.open(), delimiter=";")) if counters.exists() else []
        if not rows:
            code = self.process.returncode
            pytest.fail(f"SIPp ended with {code} and left no counters:\n{complaint[:2000]}")
        if self.process.returncode in SIPP_FATAL:  # it leaves counters of no calls all the same
            pytest.fail(f"SIPp ended with {self.process.returncode}:\n{complaint[:2000]}")
        last = rows[-1]
        return SippStats(
            created=int(last["TotalCallCreated"]),
            successful=int(last["SuccessfulCall(C)"]),
            failed=int(last["FailedCall(C)"]),
            retransmissions=int(last["Retransmissions(C)"]),
            errors=complaint,
        )

    def stop(self) -> SippStats:
        """Asks it to finish the calls it has and to end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR1)
        return self.finish()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)


@pytest.fixture
def sipp(scratch, free_port) -> Iterator[Callable[..., SippRun]]:
    """A function that starts SIPp on a scenario of tests/system/scenarios.

    A callee (no `target`) listens on `port` when the function returns.
    """
    binary = shutil.which("sipp")
    if not binary:
        pytest.fail("SIPp is missing: install Debian's sip-tester", pytrace=False)
    running: list[SippRun] = []

    def start(scenario, target=None, *, port=0, calls=None, rate=100, limit_s=60, extra=()) -> SippRun:
        home = scratch / f"sipp{len(running)}"
        home.mkdir()
        port = port or free_port()
        media_port, *_ = (free_port() for _ in range(4))  # SIPp takes the next even one, too
        command = [binary, "-sf", str(SCENARIOS / f"{scenario}.xml"), "-i", "127.0.0.1", "-p", str(port)]
        command += ["-mp", str(media_port), "-nostdin", "-timeout", f"{limit_s}s", "-timeout_error"]
        command += ["-trace_stat", "-stf", "stats.csv", "-fd", "1", "-trace_err", "-error_file", "errors.log"]
        command += ["-r", str(rate), *(["-m", str(calls)] if calls else []), *extra]
        if target:
            command.append(f"{target[0]}:{target[1]}")
        run = SippRun(command, home, limit_s)
        running.append(run)
        if not target:  # looked up, not tried: a port that the test holds for a moment is one SIPp cannot bind
            wait_until(lambda: is_bound(port) or run.process.poll() is not None)
        return run

    yield start
    for run in running:
        run.kill()
