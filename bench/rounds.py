"""Does the router return to where it was?  Rounds of load and rest, then the store must be empty.

    python -m bench.rounds [--rate 1500] [--seconds 100] [--idle 40] [--rounds 3]

After each rest no slot and no block is in use, and after the last the process takes
the memory that it took after the first, within 5 %.  At the end of each load a few
calls are made whose exact datagrams are kept: INVITE and BYE come again 20 s later,
while their transactions linger, and no callee may see them (RFC 3261 section 17.2).
"""

import argparse
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from bench.load import write_report
from bench.phone import Phone, whole_call
from bench.processes import RunFailed
from bench.procfs import descendants, read_memory
from bench.stage import Stage, stage
from bench.targets import BLOCK_BYTES, SLOTS_USED

SWING = 0.05  # of the memory after the first round
LINGER_S = 32  # 64 T1: how long the last call's transactions stay
GAUGES_OLD_S = 1.5  # fastsip writes its gauges once a second
KEPT_CALLS = 5
CALL_S = 10  # patience for one of them
SEEN = ("invites", "repeats", "byes", "acks", "received")  # of the callee


def make_calls(there: Stage, phone: Phone, number: int) -> list:
    router = ("127.0.0.1", there.site.port)
    try:
        return [whole_call(phone, router, f"kept-{number}-{i}@127.0.0.1", CALL_S) for i in range(KEPT_CALLS)]
    except TimeoutError as failure:
        raise RunFailed(f"a call of the runner's own was not served: {failure}") from None


def repeat_calls(there: Stage, phone: Phone, calls: list) -> dict[str, int]:
    """What the callee saw of INVITE and BYE that came again, and what their caller got."""
    phone.receive()
    before = {name: there.answerer.counters[name] for name in SEEN}
    absorbed = there.stats()["retransmitted_requests"]
    for call in calls:
        call.repeat()
    time.sleep(GAUGES_OLD_S)
    seen = {f"callee_{name}": there.answerer.counters[name] - before[name] for name in SEEN}
    answers = [datagram for datagram, _ in phone.receive()]
    return {
        **seen,
        "repeated": 2 * len(calls),
        "met_their_transaction": there.stats()["retransmitted_requests"] - absorbed,
        "answers": len(answers),
        "answers_not_200": sum(not each.startswith(b"SIP/2.0 200 ") for each in answers),
    }


def run_round(there: Stage, number: int, args: argparse.Namespace) -> dict:
    with ExitStack() as stack:
        phone = Phone()
        stack.callback(phone.close)
        generator = there.generate(args.rate, args.seconds, f"round{number}", clump_ms=10)
        stack.callback(generator.stop)
        outcome = generator.outcome(there.answerer)
        busy = read_memory(descendants(there.target.pid))
        stats = there.stats()
        calls = make_calls(there, phone, number)
        resting = time.monotonic()
        time.sleep(args.repeat_after)
        repeats = repeat_calls(there, phone, calls)
        time.sleep(max(0.0, resting + args.idle - time.monotonic()))
    rest = there.stats()
    return {
        "round": number,
        "calls": outcome.completed,
        "busy": {**busy, SLOTS_USED: stats[SLOTS_USED], BLOCK_BYTES: stats[BLOCK_BYTES]},
        "rest": {
            **read_memory(descendants(there.target.pid)),
            SLOTS_USED: rest[SLOTS_USED],
            BLOCK_BYTES: rest[BLOCK_BYTES],
        },
        "repeats": repeats,
        "problems": [*outcome.problems(), *problems_of(rest, repeats)],
    }


def problems_of(rest: dict[str, int], repeats: dict[str, int]) -> list[str]:
    found = []
    if rest[SLOTS_USED] or rest[BLOCK_BYTES]:
        found.append(f"at rest {rest[SLOTS_USED]} slots and {rest[BLOCK_BYTES]} bytes of blocks are in use")
    again, byes = repeats["repeated"], repeats["repeated"] // 2
    if repeats["callee_received"]:
        found.append(f"{repeats['callee_received']} of {again} repeated requests reached the callee")
    if repeats["answers"] < byes:
        found.append(f"only {repeats['answers']} of {byes} repeated BYEs got their 200 again")
    if repeats["answers_not_200"]:
        found.append(f"{repeats['answers_not_200']} repeated requests got another answer than 200")
    return found


def compare(rounds: list[dict]) -> list[str]:
    """Memory at rest after the last round beside that after the first."""
    found = []
    for kind in ("rss", "pss"):
        first, last = rounds[0]["rest"][kind], rounds[-1]["rest"][kind]
        if abs(last - first) > SWING * first:
            found.append(f"{kind.upper()} at rest went from {first / 1e6:.1f} to {last / 1e6:.1f} MB")
    return found


def print_result(rounds: list[dict]) -> None:
    print(
        f"{'round':>6}{'calls':>9}{'busy PSS MB':>13}{'slots':>9}{'rest PSS MB':>13}{'RSS MB':>9}{'slots':>7}"
        f"{'blocks':>8}{'repeated':>10}{'callee saw':>12}"
    )
    for each in rounds:
        busy, rest, repeats = each["busy"], each["rest"], each["repeats"]
        print(
            f"{each['round']:>6}{each['calls']:>9}{busy['pss'] / 1e6:>13.1f}{busy[SLOTS_USED]:>9}"
            f"{rest['pss'] / 1e6:>13.1f}{rest['rss'] / 1e6:>9.1f}{rest[SLOTS_USED]:>7}{rest[BLOCK_BYTES]:>8}"
            f"{repeats['repeated']:>10}{repeats['callee_received']:>12}"
        )
        for problem in each["problems"]:
            print(f"! round {each['round']}: {problem}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.rounds", description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=float, default=1500)
    parser.add_argument("--seconds", type=float, default=100, help="load of each round")
    parser.add_argument("--idle", type=float, default=40, help="rest after it")
    parser.add_argument("--repeat-after", type=float, default=20, help="rest before requests come again")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.idle < LINGER_S + GAUGES_OLD_S:
        parser.error(f"--idle: transactions linger for {LINGER_S} s, so at least {LINGER_S + GAUGES_OLD_S} s")
    if not 0 <= args.repeat_after <= LINGER_S - 2 * GAUGES_OLD_S:
        parser.error("--repeat-after: while the transactions linger")
    rounds: list[dict] = []
    limit_s = args.rounds * (args.seconds + args.idle + 120) + 60
    try:
        with stage("fastsip", pin=False, limit_s=limit_s, shards=args.shards) as there:
            for number in range(1, args.rounds + 1):
                rounds.append(run_round(there, number, args))
    except RunFailed as failure:
        print(f"bench.rounds: {failure}", file=sys.stderr)
        return 2
    print_result(rounds)
    grown = compare(rounds)
    for each in grown:
        print(f"! {each}")
    report = {
        "plan": {**vars(args), "json": str(args.json)},
        "rounds": rounds,
        "problems": grown,
    }
    print(f"written to {write_report(report, 'rounds', args.json)}")
    return int(bool(grown) or any(each["problems"] for each in rounds))


if __name__ == "__main__":
    sys.exit(main())
