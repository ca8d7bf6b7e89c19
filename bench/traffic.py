"""Starts what loads: our caller and callee, or SIPp's, and reads what became of the calls.

A load ends in an Outcome, in which every started call is completed, failed or
unfinished; nothing is left out.  Used by the runners.
"""

import csv
import json
import mmap
import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from bench.build import HERE, build
from bench.processes import Process, RunFailed, wait_until
from bench.procfs import is_bound

SCENARIOS = HERE / "scenarios"
_names: dict[str, list[str]] = {}


@dataclass
class Outcome:
    """What became of the calls of one load, from its first to its last."""

    started: int
    completed: int
    failed: int
    unfinished: int
    retransmissions: int
    callee_retransmissions: int = 0
    details: dict = field(default_factory=dict)

    def problems(self) -> list[str]:
        found = []
        if self.failed:
            found.append(f"{self.failed} of {self.started} calls failed")
        if self.unfinished:
            found.append(f"{self.unfinished} of {self.started} calls never ended")
        if self.retransmissions or self.callee_retransmissions:
            found.append(
                f"{self.retransmissions} + {self.callee_retransmissions} retransmissions (caller + callee)"
            )
        if self.started != self.completed + self.failed + self.unfinished:
            found.append("the load's own account does not add up")
        return found


class Counters:
    """The counters that a program keeps in a mapped file; reading costs it nothing."""

    def __init__(self, program: Path, path: Path):
        if program.name not in _names:
            argv = [str(program), "--names"]
            _names[program.name] = subprocess.run(
                argv, capture_output=True, text=True, check=True, timeout=5
            ).stdout.split()
        self.names = _names[program.name]
        with path.open("w+b") as file:
            file.truncate(8 * len(self.names))
            self.room = mmap.mmap(file.fileno(), 8 * len(self.names))
        self.values = memoryview(self.room).cast("Q")

    def __getitem__(self, name: str) -> int:
        return self.values[self.names.index(name)]


class Answerer:
    """Our callee on several ports; a manner per port, see answerer.c."""

    def __init__(
        self,
        ports: list[int],
        scratch: Path,
        core: int | None,
        limit_s: float,
        manners: tuple[str, ...] = (),
        ring_ms: int = 0,
    ):
        program = build("answerer")
        self.counters = Counters(program, scratch / "answerer.counters")
        argv = [
            str(program),
            "--counters",
            str(scratch / "answerer.counters"),
            "--ring-ms",
            str(ring_ms),
            "--limit-seconds",
            str(int(limit_s)),
        ]
        for index, port in enumerate(ports):
            manner = manners[index] if index < len(manners) else ""
            argv += ["--listen", f"{port}:{manner}" if manner else str(port)]
        self.processes = [Process(argv, scratch / "answerer.log", core)]
        wait_until(lambda: all(map(is_bound, ports)), 5, "answerer", self.processes[0])

    def retransmissions(self) -> int:
        return self.counters["retransmits"]

    def stop(self) -> None:
        for process in self.processes:
            process.stop()


class Generator:
    """Our caller: an open-loop load on one target."""

    def __init__(
        self,
        port: int,
        rate: float,
        seconds: float,
        scratch: Path,
        core: int | None,
        name: str = "generator",
        **options: int | float | str,
    ):
        program = build("generator")
        counters = scratch / f"{name}.counters"
        self.counters = Counters(program, counters)
        # an unanswered call may take Timer B (32 s), a refused BYE another one
        waits_ms = sum(float(options.get(name, 0)) for name in ("hold_ms", "cancel_ms", "ring_limit_ms"))
        self.limit_s = seconds + 90 + waits_ms / 1000
        argv = [
            str(program),
            "--target",
            f"127.0.0.1:{port}",
            "--rate",
            str(rate),
            "--seconds",
            str(seconds),
            "--counters",
            str(counters),
            "--limit-seconds",
            str(int(self.limit_s)),
        ]
        options.setdefault("ring_limit_ms", 10000)
        for key, value in options.items():
            argv += [f"--{key.replace('_', '-')}", str(value)]
        self.process = Process(argv, scratch / f"{name}.log", core)
        self.pid = self.process.pid

    def wait_started(self) -> None:
        wait_until(lambda: self.counters["started"] > 0, 5, "generator", self.process)

    def end_calls(self) -> None:
        """Starts nothing more; what rings is cancelled, what talks hangs up."""
        os.kill(self.pid, signal.SIGUSR1)

    def wait(self) -> dict:
        """Its report, when the last call has ended; RunFailed when it died."""
        status = self.process.wait(self.limit_s + 5)
        if status not in (0, 1):
            raise RunFailed(f"generator: status {status}: {self.process.output()[-2000:]}")
        return json.loads(self.process.output().strip().splitlines()[-1])

    def outcome(self, answerer: Answerer | None = None) -> Outcome:
        report = self.wait()
        return Outcome(
            report["started"],
            report["completed"],
            report["failed"],
            report["unfinished"],
            report["retransmits"],
            answerer.retransmissions() if answerer else 0,
            report,
        )

    def stop(self) -> None:
        self.process.stop()


class SippCallees:
    """SIPp as callee, one process per port."""

    def __init__(
        self,
        ports: list[int],
        scratch: Path,
        core: int | None,
        limit_s: float,
        scenario: str = "uas.xml",
        pause_ms: int = 0,
    ):
        self.files = [scratch / f"uas-{port}.csv" for port in ports]
        self.processes = [
            Process(
                [
                    "sipp",
                    "-sf",
                    str(SCENARIOS / scenario),
                    "-i",
                    "127.0.0.1",
                    "-p",
                    str(port),
                    "-nostdin",
                    "-d",
                    str(pause_ms),
                    "-trace_err",
                    "-error_file",
                    str(scratch / f"uas-{port}.errors"),
                    "-trace_stat",
                    "-stf",
                    str(file),
                    "-fd",
                    "1",
                    "-buff_size",
                    "4194304",
                    "-timeout",
                    f"{limit_s:.0f}s",
                ],
                scratch / f"uas-{port}.log",
                core,
                limit_s + 10,
                cwd=scratch,
            )
            for port, file in zip(ports, self.files, strict=True)
        ]
        wait_until(lambda: all(map(is_bound, ports)), 5, "sipp callee", self.processes[0])

    def retransmissions(self) -> int:
        """As of its last line, which is at most one second old."""
        return sum(int(read_sipp(file)["Retransmissions(C)"]) for file in self.files if file.exists())

    def stop(self) -> None:
        for process in self.processes:
            process.stop()


def read_sipp(path: Path) -> dict[str, str]:
    """The last line of SIPp's statistics by column name."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    if not rows:
        raise RunFailed(f"SIPp wrote no statistics into {path.name}")
    return rows[-1]


class SippCaller:
    """SIPp as caller: a fixed number of calls at a rate."""

    def __init__(
        self,
        port: int,
        own_port: int,
        rate: float,
        calls: int,
        scratch: Path,
        core: int | None,
        name: str = "uac",
        scenario: str = "uac.xml",
        user: str = "8001",
        pause_ms: int = 0,
    ):
        self.file, self.limit_s = scratch / f"{name}.csv", calls / rate + 60
        argv = [
            "sipp",
            "-sf",
            str(SCENARIOS / scenario),
            "-i",
            "127.0.0.1",
            "-p",
            str(own_port),
            "-nostdin",
            "-s",
            user,
            "-d",
            str(pause_ms),
            "-r",
            f"{rate:.0f}",
            "-m",
            str(calls),
            "-l",
            str(max(1000, int(rate * 40))),
            "-trace_err",
            "-error_file",
            str(scratch / f"{name}.errors"),
            "-trace_stat",
            "-stf",
            str(self.file),
            "-fd",
            "1",
            "-buff_size",
            "4194304",
            "-timeout",
            f"{self.limit_s:.0f}s",
            f"127.0.0.1:{port}",
        ]
        self.process = Process(argv, scratch / f"{name}.log", core, self.limit_s + 10, cwd=scratch)
        self.pid = self.process.pid

    def outcome(self, callees: SippCallees | None = None) -> Outcome:
        self.process.wait(self.limit_s + 15)
        last = read_sipp(self.file)
        started, failed = int(last["TotalCallCreated"]), int(last["FailedCall(C)"])
        completed = int(last["SuccessfulCall(C)"])
        kept = {key: last[key] for key in last if key.endswith("(C)") and last[key] not in ("0", "")}
        return Outcome(
            started,
            completed,
            failed,
            started - completed - failed,
            int(last["Retransmissions(C)"]),
            callees.retransmissions() if callees else 0,
            kept,
        )

    def stop(self) -> None:
        self.process.stop()
