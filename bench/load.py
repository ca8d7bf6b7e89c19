"""CPU per call of the floor, Kamailio and fastsip, alternating in one run.

    python -m bench.load [--rate 1500] [--seconds 20] [--rounds 3] [--targets floor,kamailio,fastsip]

Machines drift by a factor of two within hours, so only ratios between targets of
the same round mean anything; they are what the table ends in.  A run with failed
calls, retransmissions or drops says so beside its figures, and so does a run whose
generator was itself the limit.  Exit status 1 when any run has such a remark.
"""

import argparse
import json
import os
import platform
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench import procfs, targets
from bench.build import FLAGS, HERE
from bench.processes import RunFailed, scratch, take_ports
from bench.procfs import Reading
from bench.traffic import Answerer, Generator, Outcome, SippCallees, SippCaller

GENERATOR_LIMIT = 0.9  # of its core: beyond, the load was not what was asked for
DISTURBED = 0.25  # of the window spent waiting for a core that somebody else had
LATE_MS = 50  # a start later than this is no open loop any more
LOOK_S = 0.03  # by which the two looks at the counters of a window may differ
TAIL_S = 0.5  # load that goes on behind the window


@dataclass
class Plan:
    """What one run does; a runner changes fields, not code."""

    rate: float = 1500
    seconds: float = 20
    warm_s: float = 3
    shards: int = 1
    generator: str = "own"
    ports: int = 1
    clump_ms: int = 10
    pin: bool = True
    options: dict[str, str] = field(default_factory=dict)  # more of the own generator's

    @property
    def target_core(self) -> int | None:
        return 0 if self.pin else None

    @property
    def load_core(self) -> int | None:
        return 1 if self.pin else None

    @property
    def limit_s(self) -> float:
        return 2 * (self.warm_s + self.seconds) + 120


@dataclass
class Window:
    """Two moments of the target and of everything that loads it, and the calls between them."""

    target: dict[str, int]
    load: list[dict[str, int]]
    calls: int
    memory: dict[str, int]
    stats: dict[str, int]
    outcome: Outcome


def run_own(
    plan: Plan, target_pid: int, port: int, answerer: Answerer, files: Path, run_dir: Path | None
) -> Window:
    """Our generator: the window lies inside the load, calls are counted at its two ends."""
    generator = Generator(
        port,
        plan.rate,
        plan.warm_s + plan.seconds + TAIL_S,
        files,
        plan.load_core,
        ports=plan.ports,
        clump_ms=plan.clump_ms,
        **plan.options,
    )
    try:
        generator.wait_started()
        time.sleep(plan.warm_s)
        loaders = [generator.pid, *(process.pid for process in answerer.processes)]
        first, before = Reading.take(target_pid), [Reading.take(pid) for pid in loaders]
        stats = read_stats(run_dir)
        completed = generator.counters["completed"]
        time.sleep(plan.seconds)
        last, after = Reading.take(target_pid), [Reading.take(pid) for pid in loaders]
        calls = generator.counters["completed"] - completed
        growth = grow(stats, read_stats(run_dir))
        memory = procfs.read_memory(last.pids)
        outcome = generator.outcome(answerer)
    finally:
        generator.stop()
    load = [late.since(early) for late, early in zip(after, before, strict=True)]
    return Window(last.since(first), load, calls, memory, growth, outcome)


def run_sipp(
    plan: Plan, target_pid: int, port: int, callees: SippCallees, files: Path, run_dir: Path | None
) -> Window:
    """SIPp: one caller warms up, a second is measured from its first call to its last."""

    def caller(name: str, seconds: float) -> SippCaller:
        return SippCaller(
            port, take_ports(1)[0], plan.rate, max(1, int(plan.rate * seconds)), files, plan.load_core, name
        )

    warm = caller("warm", plan.warm_s)
    try:
        warmed = warm.outcome(callees)
    finally:
        warm.stop()
    loaders = [process.pid for process in callees.processes]
    first, before = Reading.take(target_pid), [Reading.take(pid) for pid in loaders]
    stats = read_stats(run_dir)
    measured = caller("measured", plan.seconds)
    own = Reading([])
    try:
        end = time.monotonic() + measured.limit_s
        while measured.process.alive() and time.monotonic() < end:
            seen = Reading.take(measured.pid)
            if sum(seen.cpu.values()) > sum(own.cpu.values()):
                own = seen  # the last look finds a process without its threads
            time.sleep(0.05)
        last, after = Reading.take(target_pid), [Reading.take(pid) for pid in loaders]
        outcome = measured.outcome(callees)
    finally:
        measured.stop()
    load = [late.since(early) for late, early in zip(after, before, strict=True)]
    load.append({**own.since(Reading([])), "wall_ns": last.since(first)["wall_ns"], "drops": own.drops})
    outcome.failed += warmed.failed
    outcome.started += warmed.started
    calls, outcome.completed = outcome.completed, outcome.completed + warmed.completed
    outcome.unfinished += warmed.unfinished
    outcome.retransmissions += warmed.retransmissions
    memory = procfs.read_memory(last.pids)
    return Window(last.since(first), load, calls, memory, grow(stats, read_stats(run_dir)), outcome)


def read_stats(run_dir: Path | None) -> dict[str, int]:
    """fastsip's counters; empty for the others, and for a fastsip that has none."""
    if run_dir is None:
        return {}
    try:
        return targets.read_fastsip_stats(run_dir)
    except ImportError:
        return {}


def grow(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {key: value - before.get(key, 0) for key, value in after.items()}


def figures_of(window: Window, plan: Plan) -> dict:
    """The figures of one run and what is wrong with it."""
    grown, calls, outcome = window.target, window.calls, window.outcome
    wall = grown["wall_ns"]
    shares = [each["cpu_ns"] / each["wall_ns"] for each in window.load]
    # pinned, all of the load shares one core; else each process may have its own
    load_share = sum(shares) if plan.pin else max(shares)
    figures: dict[str, Any] = {
        "calls": calls,
        "calls_per_s": calls / wall * 1e9,
        "cpu_us_per_call": grown["cpu_ns"] / calls / 1000 if calls else None,
        "core_share": grown["cpu_ns"] / wall,
        "waited_share": grown["waited_ns"] / wall,
        "wakeups_per_call": grown["wakeups"] / calls if calls else None,
        "drops": grown["drops"],
        "load_drops": sum(each["drops"] for each in window.load),
        "load_core_share": load_share,
        "rss_bytes": window.memory["rss"],
        "pss_bytes": window.memory["pss"],
        "started": outcome.started,
        "completed": outcome.completed,
        "failed": outcome.failed,
        "unfinished": outcome.unfinished,
        "retransmissions": outcome.retransmissions,
        "callee_retransmissions": outcome.callee_retransmissions,
        "details": outcome.details,
        "stats": window.stats,
    }
    received, batches = window.stats.get(targets.DATAGRAMS_IN, 0), window.stats.get(targets.RECEIVE_CALLS, 0)
    if received and batches:
        figures["datagrams_per_recvmmsg"] = received / batches
        figures["handed_over_share"] = window.stats.get(targets.HANDED_OVER, 0) / received
    figures["problems"] = problems_of(figures, grown, outcome, plan)
    return figures


def problems_of(figures: dict, grown: dict, outcome: Outcome, plan: Plan) -> list[str]:
    found, wall_s = outcome.problems(), grown["wall_ns"] / 1e9
    if figures["drops"]:
        found.append(f"the kernel dropped {figures['drops']} datagrams before the target")
    if figures["load_drops"]:
        found.append(f"the kernel dropped {figures['load_drops']} datagrams before the generator")
    if figures["load_core_share"] > GENERATOR_LIMIT:
        found.append(f"the generator was the limit: {figures['load_core_share']:.0%} of its core")
    # SIPp's window holds its start and its last calls, too; the two looks at the counters are not quite alike
    share = 0.98 if plan.generator == "own" else 0.9
    if figures["calls"] < plan.rate * (share * wall_s - LOOK_S):
        found.append(f"{figures['calls_per_s']:.0f} calls/s instead of {plan.rate:.0f}")
    late_ms = outcome.details.get("late_us", 0) / 1000
    if plan.generator == "own" and late_ms > LATE_MS:
        found.append(f"a call started {late_ms:.0f} ms late")
    if figures["waited_share"] > DISTURBED:
        found.append(f"the target waited for its core during {figures['waited_share']:.0%} of the window")
    if grown["vanished"]:
        found.append(f"{grown['vanished']} threads of the target ended: their CPU is missing")
    return found


def run_once(name: str, plan: Plan) -> dict:
    """Starts callees, target and caller, measures, ends them all; RunFailed when one does not play."""
    with scratch() as files, ExitStack() as stack:
        port, *callee_ports = take_ports(3)
        run_dir = files / "run" if name == "fastsip" else None
        destinations = (callee_ports[0], callee_ports[1])
        callees: Answerer | SippCallees
        if plan.generator == "own":
            callees = Answerer(callee_ports, files, plan.load_core, plan.limit_s)
        else:
            callees = SippCallees(callee_ports, files, plan.load_core, plan.limit_s)
        stack.callback(callees.stop)
        site = targets.Site(port, destinations, files, plan.target_core, plan.shards, plan.limit_s)
        target = targets.start_target(name, site)
        stack.callback(target.stop)
        if isinstance(callees, Answerer):
            window = run_own(plan, target.pid, port, callees, files, run_dir)
        else:
            window = run_sipp(plan, target.pid, port, callees, files, run_dir)
        if not target.alive():
            raise RunFailed(f"{name} ended during the run: {target.output()[-2000:]}")
    figures = figures_of(window, plan)
    if name == "fastsip" and not window.stats:
        figures["problems"].append("fastsip gave no counters of its own")
    return figures


def ratios_of(rounds: list[dict]) -> dict[str, dict[str, float | None]]:
    """Per target the median over rounds of its CPU per call to that of floor and of Kamailio."""
    result: dict[str, dict[str, float | None]] = {}
    for name in rounds[0]:
        result[name] = {}
        for base in ("floor", "kamailio"):
            pairs = [
                (each[name].get("cpu_us_per_call"), each[base].get("cpu_us_per_call"))
                for each in rounds
                if base in each
            ]
            values = [own / other for own, other in pairs if own and other]
            result[name][f"to_{base}"] = median(values) if values else None
    return result


def medians_of(rounds: list[dict]) -> dict[str, dict[str, float]]:
    result: dict[str, dict[str, float]] = {}
    for name in rounds[0]:
        keys = {key for each in rounds for key, value in each[name].items() if isinstance(value, int | float)}
        result[name] = {
            key: median(each[name][key] for each in rounds if isinstance(each[name].get(key), int | float))
            for key in sorted(keys)
        }
    return result


def describe_machine() -> dict:
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "gcc_flags": " ".join(FLAGS),
        "load_average": os.getloadavg(),
    }


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def report_of(rounds: list[dict], names: list[str], plan: Plan) -> dict:
    return {
        "targets": {name: targets.version(name) for name in names},
        "plan": vars(plan),
        "rounds": rounds,
        "medians": medians_of(rounds),
        "ratios": ratios_of(rounds),
    }


def result_path(kind: str, when: str, commit: str) -> Path:
    """A name of its own in bench/results/."""
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    return results / f"{kind}-{when[:19].replace(':', '')}-{commit}.json"


def write_report(report: dict, kind: str, path: Path | None) -> Path:
    """Writes JSON into the file, or into bench/results/ under a name of its own: what ran where, and the report."""
    report = {
        "when": now(),
        "commit": targets.commit(),
        "command": " ".join(sys.orig_argv),
        "machine": describe_machine(),
        **report,
    }
    if path is None:
        path = result_path(kind, report["when"], report["commit"])
    path.write_text(json.dumps(report, indent=2, default=str) + "\n")
    return path


def shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def print_table(report: dict) -> None:
    columns = (
        ("target", 10),
        ("us/call", 9),
        ("x floor", 9),
        ("x kamailio", 11),
        ("calls/s", 9),
        ("wake/call", 10),
        ("failed", 8),
        ("rexmit", 8),
        ("drops", 7),
        ("load core", 10),
        ("PSS MB", 8),
    )
    print("".join(f"{title:>{width}}" for title, width in columns))
    for name, values in report["medians"].items():
        ratios = report["ratios"][name]
        runs = [each[name] for each in report["rounds"]]
        cells = (
            name,
            shown(values.get("cpu_us_per_call"), ".1f"),
            shown(ratios["to_floor"], ".2f"),
            shown(ratios["to_kamailio"], ".2f"),
            shown(values.get("calls_per_s"), ".0f"),
            shown(values.get("wakeups_per_call"), ".2f"),
            str(sum(run.get("failed", 0) + run.get("unfinished", 0) for run in runs)),
            str(sum(run.get("retransmissions", 0) + run.get("callee_retransmissions", 0) for run in runs)),
            str(sum(run.get("drops", 0) for run in runs)),
            shown(values.get("load_core_share"), ".0%"),
            shown(values.get("pss_bytes", 0) / 1e6, ".1f"),
        )
        print("".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, columns, strict=True)))
    for number, each in enumerate(report["rounds"], 1):
        for name, run in each.items():
            for problem in run["problems"]:
                print(f"! round {number}, {name}: {problem}")


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rate", type=float, default=1500, help="calls per second")
    parser.add_argument("--seconds", type=float, default=20, help="length of the measured window")
    parser.add_argument("--warm", type=float, default=3, help="seconds of load before it")
    parser.add_argument(
        "--shards", type=int, default=1, help="shards, or Kamailio's workers; more than 1: unpinned"
    )
    parser.add_argument("--generator", choices=("own", "sipp"), default="own")
    parser.add_argument("--ports", type=int, default=1, help="source ports of the own generator")
    parser.add_argument(
        "--clump-ms",
        type=int,
        default=Plan.clump_ms,
        help="the own generator starts its calls in clumps this far apart; 0: evenly spaced",
    )
    parser.add_argument("--no-pin", action="store_true", help="leave the cores to the scheduler")
    parser.add_argument("--json", type=Path, help="result file; default: a new one in bench/results/")


def plan_of(args: argparse.Namespace) -> Plan:
    pin = not args.no_pin and args.shards == 1 and (os.cpu_count() or 1) > 1
    return Plan(
        args.rate, args.seconds, args.warm, args.shards, args.generator, args.ports, args.clump_ms, pin
    )


def read_targets(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    unknown = [name for name in names if name not in targets.TARGETS]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"{text!r}: some of {', '.join(targets.TARGETS)} are wanted")
    return names


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.load", description=(__doc__ or "").partition("\n")[0]
    )
    add_plan_arguments(parser)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--targets", type=read_targets, default=targets.present())
    args = parser.parse_args()
    plan = plan_of(args)
    if plan.pin:
        os.sched_setaffinity(0, {1})  # the runner must not sit on the target's core
    rounds: list[dict] = []
    try:
        for _ in range(args.rounds):
            rounds.append({name: run_once(name, plan) for name in args.targets})
    except RunFailed as problem:
        print(f"bench.load: {problem}", file=sys.stderr)
        return 2
    report = report_of(rounds, args.targets, plan)
    print_table(report)
    for absent in targets.TARGETS.keys() - set(targets.present()):
        print(f"  {absent} is not installed and was left out")
    print(f"written to {write_report(report, 'load', args.json)}")
    return int(any(run["problems"] for each in rounds for run in each.values()))


if __name__ == "__main__":
    sys.exit(main())
