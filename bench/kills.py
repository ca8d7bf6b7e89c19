"""The router is killed again and again under SIPp's calls, which must not notice.

    python -m bench.kills [--kills 12] [--every 5] [--rate 500]
    python -m bench.kills --kills 1000 --every 1.1 --jitter 0.2 --rate 200

A third of the calls talk, a third are cancelled when they have rung for two seconds, of the rest half
begin at a destination that answers 500 and half at one that says nothing, for which the
next one is asked after two seconds.  A router that lives for less than a second three times in a row is
restarted after a pause only, so kill less often than that.  Exit status 1 when a call failed, a CANCEL was without
effect, or a callee did not end its part.
"""

import argparse
import os
import random
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from bench.load import write_report
from bench.processes import RunFailed, scratch, take_ports
from bench.targets import Site, start_target
from bench.traffic import Outcome, SippCallees, SippCaller, read_sipp
from fastsip.observe import counters

WARM_S, REST_S = 2.0, 2.0
RING_MS = 2000
MOST_ERRORS = 20_000  # characters of what each SIPp complained about
TAKEOVER_LIMIT_S, LOOK_S = 30.0, 0.001
FAILURE = 'on = [500, "timeout"]\ntimeout = "2s"\nmark = "none"'  # so that each call finds out by itself
SET = """
[set.{name}]
algorithm = "priority"
probe = false
destinations = [{destinations}]

[[route]]
when = {{ user = ["{name}"] }}
to = "{name}"
failure = "next-media"
"""


def router_of(run_dir: Path, before: int) -> int:
    """The process that routes, when it is another than before."""
    end = time.monotonic() + TAKEOVER_LIMIT_S
    while (pid := counters.read_rows(run_dir)[0]["pid"]) == before:
        if time.monotonic() > end:
            raise RunFailed(f"no router followed {before} within {TAKEOVER_LIMIT_S:.0f} s")
        time.sleep(LOOK_S)
    return pid


def kill_often(run_dir: Path, args: argparse.Namespace) -> None:
    """Kills whoever routes."""
    pid = 0
    for _ in range(args.kills):
        time.sleep(args.every + random.uniform(0, args.jitter))
        pid = router_of(run_dir, pid)
        os.kill(pid, signal.SIGKILL)


def rules_of(parts: dict[str, tuple[int, ...]]) -> str:
    return "".join(
        SET.format(name=name, destinations=", ".join(f'"sip:127.0.0.1:{port}"' for port in ports))
        for name, ports in parts.items()
    )


def measure(args: argparse.Namespace) -> dict:
    seconds = WARM_S + args.kills * (args.every + args.jitter / 2) + REST_S
    limit_s = 2 * seconds + 120
    with scratch() as files, ExitStack() as stack:
        port, talk, other, ring, refuse, silent, *own = take_ports(10)

        def callees(ports: list[int], scenario: str, pause_ms: int = 0) -> SippCallees:
            found = SippCallees(ports, files, None, limit_s, scenario, pause_ms)
            stack.callback(found.stop)
            return found

        called = {
            "talk": callees([talk, other], "uas.xml"),
            "cancel": callees([ring], "uas_cancelled.xml"),
            "refuse": callees([refuse], "uas_500.xml"),
            "silent": callees([silent], "uas_silent.xml", 40_000),
        }
        rules = rules_of({"cancel": (ring,), "refuse": (refuse, talk), "silent": (silent, talk)})
        site = Site(port, (talk, other), files, None, 2, limit_s, failure=FAILURE, rules=rules)
        target = start_target("fastsip", site)
        stack.callback(target.stop)
        callers = {}
        shares = {"talk": 1 / 3, "cancel": 1 / 3, "refuse": 1 / 6, "silent": 1 / 6}
        for own_port, (name, share) in zip(own, shares.items(), strict=True):
            scenario = "uac_cancel.xml" if name == "cancel" else "uac.xml"
            rate = max(1, round(args.rate * share))
            callers[name] = SippCaller(port, own_port, rate, round(rate * seconds), files, None, f"uac-{name}",
                                       scenario, name, RING_MS)
            stack.callback(callers[name].stop)
        time.sleep(WARM_S)
        kill_often(site.run_dir, args)
        outcomes = {name: caller.outcome() for name, caller in callers.items()}
        ends = {f"{name} {i}": read_sipp(file) for name, some in called.items() for i, file in enumerate(some.files)}
        said = target.output()
        errors = {file.name: file.read_text(errors="replace")[:MOST_ERRORS] for file in files.glob("*.errors")}
    deaths = said.count('"the router died"')
    return {
        "deaths": deaths,
        "callers": {name: vars(outcome) for name, outcome in outcomes.items()},
        "callees": {name: {"calls": int(end["TotalCallCreated"]), "failed": int(end["FailedCall(C)"])}
                    for name, end in ends.items()},
        "errors": {name: text for name, text in errors.items() if text},
        "problems": problems_of(outcomes, ends, deaths, args.kills),
    }


def problems_of(outcomes: dict[str, Outcome], ends: dict[str, dict], deaths: int, kills: int) -> list[str]:
    found = []
    for name, outcome in outcomes.items():
        if outcome.failed or outcome.unfinished or not outcome.completed:
            lost = f"{outcome.failed} of {outcome.started} calls failed, {outcome.unfinished} never ended"
            found.append(f"{name}: {lost}")
    for name, end in ends.items():
        if int(end["FailedCall(C)"]):
            found.append(f"callee {name}: {end['FailedCall(C)']} of {end['TotalCallCreated']} calls failed")
    if deaths != kills:
        found.append(f"{deaths} routers died of {kills} kills")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.kills", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--every", type=float, default=5, help="seconds")
    parser.add_argument("--jitter", type=float, default=0, help="seconds, of which some part is added each time")
    parser.add_argument("--rate", type=float, default=500, help="calls per second")
    parser.add_argument("--json", type=Path, help="result file; default: a new one in bench/results/")
    args = parser.parse_args()
    try:
        found = measure(args)
    except RunFailed as problem:
        print(f"bench.kills: {problem}", file=sys.stderr)
        return 2
    print(f"{found['deaths']} routers killed")
    print(f"{'calls that':<12}{'started':>9}{'completed':>11}{'failed':>8}{'repeated by caller':>20}")
    for name, outcome in found["callers"].items():
        print(f"{name:<12}{outcome['started']:>9}{outcome['completed']:>11}{outcome['failed']:>8}"
              f"{outcome['retransmissions']:>20}")
    for problem in found["problems"]:
        print(f"! {problem}")
    report = {"plan": {key: value for key, value in vars(args).items() if key != "json"}, **found}
    print(f"written to {write_report(report, 'kills', args.json)}")
    return int(bool(found["problems"]))


if __name__ == "__main__":
    sys.exit(main())
