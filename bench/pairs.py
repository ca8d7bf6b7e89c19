"""Two routers, both alive, loaded by turns: their CPU per call, one through the other.

A machine shared with others becomes faster and slower within seconds, so turns are short: a
pair is a turn of each, and what one spends while the other is loaded (timers, looking around)
is counted in the pair, too.  Used by versus, persistence, collecting and disk.
"""

import argparse
import os
import sys
from pathlib import Path
from statistics import median

from bench.load import write_report
from bench.processes import RunFailed
from bench.procfs import Reading
from bench.stage import Stage, stage
from bench.traffic import Outcome

WARM_S = 40.0  # a transaction stays for 32 s: then the store has as many as it will have
CLUMP_MS = 10  # calls come in heaps, as they do from a busy peer


def add_pair_arguments(parser: argparse.ArgumentParser, bar: float) -> None:
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=3, help="of each turn")
    parser.add_argument("--rate", type=float, default=1500, help="calls per second")
    parser.add_argument("--bar", type=float, default=bar, help="the first costs at most so many times the second")
    parser.add_argument("--json", type=Path, help="result file; default: a new one in bench/results/")


def limit_s(plan: argparse.Namespace) -> float:
    """After which the processes of such a run may be ended."""
    return 4 * plan.pairs * (plan.seconds + 1) + 4 * WARM_S + 120


def turn(there: Stage, rate: float, seconds: float, name: str) -> Outcome:
    """One load to its last call, with the repetitions of the callee in this turn."""
    repeated = there.answerer.retransmissions()
    generator = there.generate(rate, seconds, name, clump_ms=CLUMP_MS)
    try:
        outcome = generator.outcome(there.answerer)
    finally:
        generator.stop()
    outcome.callee_retransmissions -= repeated
    return outcome


def measure(stages: dict[str, Stage], plan: argparse.Namespace) -> list[dict]:
    """Of each pair: calls and CPU by name, and remarks."""
    for there in stages.values():
        turn(there, plan.rate, WARM_S / 2, "warm")
    pairs = []
    for number in range(1, 1 + plan.pairs):
        before = {name: Reading.take(there.target.pid) for name, there in stages.items()}
        calls, problems = {}, []
        # Who goes first changes: what a turn leaves behind falls on both.
        for name in sorted(stages, reverse=bool(number % 2)):
            outcome = turn(stages[name], plan.rate, plan.seconds, f"turn-{number}")
            calls[name] = outcome.completed
            problems += [f"pair {number}, {name}: {remark}" for remark in outcome.problems()]
        grown = {name: Reading.take(there.target.pid).since(before[name]) for name, there in stages.items()}
        for name, growth in grown.items():
            if growth["drops"] or growth["vanished"]:
                problems.append(f"pair {number}, {name}: {growth['drops']} drops, {growth['vanished']} threads ended")
        cpu_ns = {name: growth["cpu_ns"] for name, growth in grown.items()}
        pairs.append({"calls": calls, "cpu_ns": cpu_ns, "problems": problems})
    return pairs


def us_per_call(pairs: list[dict], name: str) -> float:
    return sum(pair["cpu_ns"][name] for pair in pairs) / sum(pair["calls"][name] for pair in pairs) / 1e3


def compare(kind: str, first: str, second: str, plan: argparse.Namespace, **facts: object) -> int:
    """Measures two targets, prints and writes the report; the command's exit status."""
    os.sched_setaffinity(0, {1})  # the runner must not sit on the targets' core
    try:
        with stage(first, limit_s=limit_s(plan)) as one, stage(second, limit_s=limit_s(plan)) as other:
            pairs = measure({first: one, second: other}, plan)
    except RunFailed as problem:
        print(f"bench.{kind}: {problem}", file=sys.stderr)
        return 2

    def ratio_of(some: list[dict]) -> float:
        return us_per_call(some, first) / us_per_call(some, second)

    ratio, singles = ratio_of(pairs), sorted(ratio_of([pair]) for pair in pairs)
    problems = [problem for pair in pairs for problem in pair["problems"]]
    print(f"{first} {us_per_call(pairs, first):.1f} us/call, {second} {us_per_call(pairs, second):.1f} us/call: "
          f"ratio {ratio:.3f}, bar {plan.bar}")
    print(f"of {len(pairs)} pairs: median {median(singles):.3f}, from {singles[0]:.3f} to {singles[-1]:.3f}")
    for problem in problems:
        print(f"! {problem}")
    report = {
        **facts,
        "pairs": pairs,
        "ratio": ratio,
        "bar": plan.bar,
    }
    print(f"written to {write_report(report, kind, plan.json)}")
    return int(ratio > plan.bar or bool(problems))
