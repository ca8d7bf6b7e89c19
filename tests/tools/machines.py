"""python -m tests.tools.machines [--write]: the four transaction machines as Markdown, from their tables.

With --write they take the place of what stands in ARCHITECTURE.md; without, they are printed.  A test compares.
"""

import sys
from collections.abc import Iterator
from typing import NamedTuple

from fastsip._core.transaction import inspect, machines
from tests.conftest import ROOT

PAGE = ROOT / "ARCHITECTURE.md"
BEGIN, END = "<!-- machines: begin -->\n", "<!-- machines: end -->\n"
NOTHING = "–"  # noqa: RUF001

INTRODUCTION = """\
`make machines ARGS=--write` wrote this out of `_core/transaction/machines`, and a test compares. What is not in a table
changes nothing. "Passed up" says that the response context hears of it (16.7), or with an ACK that the ACK goes on. A
clock in the second column is the one that ran out. A client transaction that has ended is free at once; a server
transaction waits for its branches.
"""


class Machine(NamedTuple):
    title: str
    table: dict[int, dict[int, tuple[int, int]]]
    states: dict[int, str]
    events: dict[int, str]
    clocks: dict[str, dict[str, str]]  # event -> state -> which clock that is
    sent: dict[str, str]  # action -> what goes out
    timers: dict[str, str | dict[str, str]]  # action -> which clocks follow, perhaps by the next state


CLIENT_SENT = {"send ack": "ACK", "send cancel": "CANCEL"}
SERVER_SENT = {
    "send response": "the response", "resend": "the response again", "resend last": "the last response again",
    "send trying": "100",
}  # fmt: skip
ABANDONED = "64 T1 from the start are over"
GIVEN_UP = "until 64 T1 from the start"
ABSORBED = "repetitions are absorbed"

MACHINES = (
    Machine(
        "INVITE client transaction (RFC 3261 17.1.1, RFC 6026)",
        machines.INVITE_CLIENT, inspect.CLIENT_STATES, inspect.CLIENT_EVENTS,
        {
            "retransmit": {"calling": "A", "cancel pending": "A", "cancelling": "E of the CANCEL"},
            "expire": {
                "calling": "B, or `timeout`", "proceeding": "C, or `progress`, `ring`",
                "cancel pending": "B, or `timeout`", "abandoned": ABANDONED, "completed": "D", "accepted": "M",
                "cancelling": "64 T1 from the CANCEL (9.1), or 1 s for a failover",
            },
        },
        CLIENT_SENT,
        {
            "stop": "A or E stops", "send cancel": "E of the CANCEL, 64 T1", "give up clock": GIVEN_UP,
            "phase clocks": "C, `progress`, `ring`", "end clock": {"completed": "D", "accepted": "M"},
        },
    ),
    Machine(
        "Non-INVITE client transaction (RFC 3261 17.1.2, RFC 4320)",
        machines.OTHER_CLIENT, inspect.CLIENT_STATES, inspect.CLIENT_EVENTS,
        {
            "retransmit": {"calling": "E", "proceeding": "E"},
            "expire": {"calling": "F, or `timeout`", "proceeding": "F", "abandoned": ABANDONED},
        },
        CLIENT_SENT,
        {"stop": "E stops", "slow": "E every T2", "timer f": "F", "give up clock": GIVEN_UP},
    ),
    Machine(
        "INVITE server transaction (RFC 3261 17.2.1, RFC 6026)",
        machines.INVITE_SERVER, inspect.SERVER_STATES, inspect.SERVER_EVENTS,
        {
            "retransmit": {"completed": "G"},
            "expire": {"completed": "H", "confirmed": "I", "accepted": "L", "ended": ABSORBED},
        },
        SERVER_SENT,
        {"stop": "G stops", "completed clocks": "G, H", "linger": {"confirmed": "I", "accepted": "L"}},
    ),
    Machine(
        "Non-INVITE server transaction (RFC 3261 17.2.2, RFC 4320)",
        machines.OTHER_SERVER, inspect.SERVER_STATES, inspect.SERVER_EVENTS,
        {
            "retransmit": {"trying": "the caller's E has reached T2"},
            "expire": {"completed": "J", "ended": ABSORBED},
        },
        SERVER_SENT,
        {"stop": "the clock of the 100 stops", "completed clocks": "J"},
    ),
)  # fmt: skip


def name_of(machine: Machine, state: int) -> str:
    """A client transaction that has ended has no state: its slot is free."""
    return machine.states.get(state, "ended")


def what_is_sent(machine: Machine, state: str, did: list[str]) -> list[str]:
    again = "the CANCEL again" if state == "cancelling" else "the request again"
    words = {"resend": again} | machine.sent
    return [words[action] for action in did if action in words]


def which_timers(machine: Machine, following: str, did: list[str]) -> list[str]:
    did = sorted(did, key=lambda action: action != "stop")  # what stops comes first
    found = [machine.timers[action] for action in did if action in machine.timers]
    return [each if isinstance(each, str) else each[following] for each in found]


def rows(machine: Machine) -> Iterator[tuple[str, ...]]:
    """(state, event, next state, sent, timers, passed up) of each arrow, in the order of the table."""
    for state, arrows in machine.table.items():
        for event, (following, actions) in arrows.items():
            did = [word for bit, word in inspect.ACTIONS.items() if actions & bit]
            here, there, what = name_of(machine, state), name_of(machine, following), machine.events[event]
            clock = machine.clocks[what][here] if what in machine.clocks else ""
            stays = "free" if "end" in did else NOTHING
            yield (
                here, f"{what}: {clock}" if clock else what, stays if there == here else there,
                ", ".join(what_is_sent(machine, here, did)) or NOTHING,
                ", ".join(which_timers(machine, there, did)) or NOTHING, "yes" if "pass up" in did else NOTHING,
            )  # fmt: skip


def page() -> str:
    """Markdown, between the two marks of ARCHITECTURE.md."""
    lines = [INTRODUCTION]
    for machine in MACHINES:
        lines.append(f"### {machine.title}\n")
        lines.append("| state | event | next state | sent | timers | passed up |\n|---|---|---|---|---|---|")
        before = ""
        for here, *others in rows(machine):
            lines.append("| " + " | ".join([here if here != before else "", *others]) + " |")
            before = here
        lines.append("")
    return "\n".join([*lines, ""])


def parts(text: str) -> tuple[str, str, str]:
    """What stands before, between and behind the marks."""
    before, _, rest = text.partition(BEGIN)
    between, _, behind = rest.partition(END)
    return before, between, behind


def main(words: list[str]) -> int:
    if words not in ([], ["--write"]):
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    if not words:
        print(page(), end="")
        return 0
    before, _, behind = parts(PAGE.read_text())
    PAGE.write_text(before + BEGIN + page() + END + behind)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
