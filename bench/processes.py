"""Starts the processes of a run and ends every one of them, whatever happens.

Each has a hard time limit that does not depend on the runner: the own programs
set an alarm, others run below `timeout`; and all get SIGTERM when the runner
dies.  Processes are ended by pid, never by name.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench import procfs

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class RunFailed(Exception):
    """A process of the run did not start, did not answer, or ended too early."""


class Process:
    """A child on its core, with its output in a file and a hard end after `limit_s`."""

    def __init__(
        self,
        argv: list[str],
        log: Path,
        core: int | None,
        limit_s: float | None = None,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
    ):
        if limit_s is not None:
            argv = ["timeout", "--kill-after=5", f"{limit_s:.0f}", *argv]
        self.argv, self.log = argv, log
        self.tree: dict[int, int] = {}

        def settle() -> None:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if core is not None:
                os.sched_setaffinity(0, {core})

        with log.open("wb") as out:
            self.popen = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=env,
                preexec_fn=settle,
                pass_fds=pass_fds,
            )
        self.pid = self.popen.pid

    def alive(self) -> bool:
        return self.popen.poll() is None

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait(self, seconds: float) -> int:
        """Its exit status; RunFailed when it outlives the time."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise RunFailed(f"{self.argv[0]} did not end within {seconds:.0f} s") from None

    def remember(self) -> None:
        """Notes the tree below it, so that its members can be ended even as orphans."""
        self.tree.update((pid, procfs.start_time(pid)) for pid in procfs.descendants(self.pid))

    def stop(self, grace_s: float = 5) -> None:
        """SIGTERM to the child, then SIGKILL to whatever is left of its tree."""
        if self.alive():
            self.remember()
            self.popen.terminate()
            try:
                self.popen.wait(grace_s)
            except subprocess.TimeoutExpired:
                self.remember()
        for pid, started in self.tree.items():
            # a pid may be somebody else's by now; its start time tells
            if started and procfs.start_time(pid) == started:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self.alive():
            self.popen.wait(5)


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory on tmpfs, gone afterwards."""
    base = "/dev/shm" if os.path.isdir("/dev/shm") else None
    path = Path(tempfile.mkdtemp(prefix="fastsip-bench-", dir=base))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def take_ports(count: int) -> list[int]:
    """UDP ports of the loopback that nobody holds; all are bound at once, so none comes twice."""
    held = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


def wait_until(ready: Callable[[], bool], seconds: float, what: str, process: Process | None = None) -> None:
    """Polls every 10 ms; RunFailed when the time is over or the process has ended."""
    end = time.monotonic() + seconds
    while not ready():
        if process is not None and not process.alive():
            raise RunFailed(
                f"{what}: ended with status {process.popen.returncode}: {process.output()[-2000:]}"
            )
        if time.monotonic() > end:
            tail = process.output()[-2000:] if process is not None else ""
            raise RunFailed(f"{what}: not within {seconds:.0f} s {tail}")
        time.sleep(0.01)


def answers_options(port: int) -> bool:
    """One OPTIONS to the port, 200 ms of patience: did any response come?"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.2)
        own = sock.getsockname()[1]
        request = (
            f"OPTIONS sip:127.0.0.1:{port} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bKready{own};rport\r\n"
            "Max-Forwards: 70\r\n"
            f"From: <sip:bench@127.0.0.1:{own}>;tag=ready\r\n"
            f"To: <sip:127.0.0.1:{port}>\r\n"
            f"Call-ID: ready-{own}-{time.monotonic_ns()}@127.0.0.1\r\n"
            "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )
        sock.sendto(request.encode(), ("127.0.0.1", port))
        try:
            return sock.recv(65535).startswith(b"SIP/2.0 ")
        except TimeoutError:
            return False
