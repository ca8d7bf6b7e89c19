"""Whatever comes in whatever order: the store stays sound, and each caller gets one answer at most.

Random scripts over the same stage: requests, repetitions, CANCELs, responses of
any branch at any time, names that become known, refusing addresses, restarts on the same store.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kernels.audit import live_slots
from tests.protocol.script import ALICE, BOB, PARALLEL, WHOLE, Request, Stage

NAME = "gw.example.net"
STATUSES = (100, 180, 183, 200, 302, 401, 404, 408, 482, 486, 487, 500, 503, 603)
DELAYS = (0, 9, 500, 1_000, 2_020, 5_000, 33_000)

POLICIES = st.fixed_dictionaries(
    {
        "on": st.lists(
            st.sampled_from(["timeout", "progress", "ring", "transport", "4xx", "5xx", 302]), unique=True
        ),
        "mark": st.sampled_from(["none", "suspect", "down"]),
    },
    optional={
        "timeout_ms": st.just(2_000),
        "progress_ms": st.just(1_000),
        "ring_ms": st.just(4_000),
        "budget_ms": st.just(5_000),
        "after_progress": st.booleans(),
        "exhausted": st.just((480, "Nobody")),
    },
)
TABLES = st.sampled_from(
    [
        {},
        {"algorithm": PARALLEL},
        {"algorithm": PARALLEL, "priorities": (1, 1, 0)},
        {"algorithm": PARALLEL, "destinations": 2, "backup": 1, "ruri": 1},
        {"destinations": 1, "backup": 2, "backup_algorithm": PARALLEL},
    ]
)
ACTIONS = st.one_of(
    st.tuples(st.sampled_from(["invite", "message", "invite_by_name", "message_by_name", "restart"])),
    st.tuples(st.sampled_from(["again", "cancel", "ack", "repeat"]), st.integers(0, 5)),
    st.tuples(st.just("reply"), st.integers(0, 5), st.sampled_from(STATUSES)),
    st.tuples(st.just("advance"), st.sampled_from(DELAYS)),
    st.tuples(st.just("refuse"), st.integers(0, 2), st.sampled_from(["refused", "too_big", "lost", "sent"])),
    st.tuples(st.just("know"), st.integers(0, 3)),
)


class Walk:
    """A stage, what its agents have seen, and what may be done next."""

    def __init__(self, run_dir: Path, policy: dict, table: dict):
        self.parts = {"policy": policy, "trusted": ["10.0.0.0/24"], **table}
        self.run_dir = run_dir
        self.stage = Stage(run_dir, **self.parts)
        self.calls: list[Request] = []
        self.started: list[int] = []
        self.seen: list = []  # all that was ever sent
        self.replies: list = []  # (response, its source)

    def collect(self) -> None:
        self.seen += self.stage.waiting
        self.stage.waiting.clear()

    def do(self, name: str, *arguments) -> None:
        getattr(self, name)(*arguments)
        self.collect()

    def send(self, method: str, **parts) -> None:
        self.started.append(self.stage.now)
        self.calls.append(self.stage.send(method, **parts))

    def invite(self) -> None:
        self.send("INVITE")

    def message(self) -> None:
        self.send("MESSAGE")

    def invite_by_name(self) -> None:
        self.send("INVITE", headers=[("Route", f"<sip:{NAME};lr>")])

    def message_by_name(self) -> None:
        self.send("MESSAGE", headers=[("Route", f"<sip:{NAME};lr>")])

    def know(self, number: int) -> None:
        """The name has so many addresses, 0 = it does not exist."""
        self.stage.know(NAME, *BOB[:number], ttl_ms=1_000)

    def restart(self) -> None:
        """A planned one: all that was begun is finished; the wire has forgotten its rules."""
        self.stage = Stage(self.run_dir, now_ms=self.stage.now, **self.parts)
        self.stage.rig.recover()
        self.stage.collect()
        for call in self.calls:
            call.stage = self.stage

    def again(self, number: int) -> None:
        """Not later than Timer B or F lets a user agent do it: then it would be a new request.

        Nor after a refusal for its name's sake, which needs no state: what is known of names changes.
        """
        for call in self.calls[number : number + 1]:
            refused = call.message.lines("Route") and max(self.upstream(call), default=0) >= 300
            if self.stage.now < self.started[number] + WHOLE and not refused:
                call.again()

    def cancel(self, number: int) -> None:
        for call in self.calls[number : number + 1]:
            if call.message.method == "INVITE":
                call.cancel()

    def ack(self, number: int) -> None:
        finals = [m for m in self.seen if m.status >= 300 and m.cseq_method == "INVITE"]
        for final in finals[number : number + 1]:
            for call in self.calls:
                if call.message.call_id == final.call_id:
                    call.ack(final)

    def reply(self, number: int, status: int) -> None:
        asked = [m for m in self.seen if m.method in ("INVITE", "MESSAGE", "CANCEL")]
        for request in asked[::-1][number : number + 1]:
            self.replies.append((self.stage.response(request, status), request.to))
            self.repeat(0)

    def repeat(self, number: int) -> None:
        for response, source in self.replies[::-1][number : number + 1]:
            self.stage.inject(response, source)

    def advance(self, ms: int) -> None:
        self.stage.advance(ms)

    def refuse(self, number: int, how: str) -> None:
        self.stage.rig.refuse(BOB[number], how)

    # ------------------------------------------------------------ what always holds

    def upstream(self, call: Request) -> list[int]:
        message = call.message
        return [
            m.status
            for m in self.seen
            if m.to == ALICE and m.call_id == message.call_id and m.cseq_method == message.method
        ]

    def check_branches(self) -> None:
        """Nobody is asked twice, and nobody new once the caller has its answer."""
        for call in self.calls:
            method, branches, closed = call.message.method, {}, False
            for m in self.seen:
                if m.call_id != call.message.call_id:
                    continue
                closed |= m.to == ALICE and m.status >= 200 and m.cseq_method == method
                if m.method == method and m.branch not in branches:
                    assert not closed
                    branches[m.branch] = m.to
            assert len(set(branches.values())) == len(branches), branches

    def check_answers(self) -> None:
        for call in self.calls:
            statuses = self.upstream(call)
            failures = [status for status in statuses if status >= 300]
            assert len(set(failures)) <= 1, statuses
            if failures:
                behind = statuses[statuses.index(failures[0]) :]
                assert all(status >= 200 for status in behind), statuses
            if call.message.method != "INVITE":
                assert 408 not in statuses
                assert len({status for status in statuses if status >= 200}) <= 1, statuses

    def end(self) -> None:
        self.stage.advance(400_000)
        self.collect()
        assert live_slots(self.stage.rig) == []
        self.check_answers()
        self.check_branches()
        for call in self.calls:
            if call.message.method == "INVITE":
                assert any(status >= 200 for status in self.upstream(call)), self.upstream(call)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(policy=POLICIES, table=TABLES, actions=st.lists(ACTIONS, max_size=25))
def test_any_order(policy, table, actions):
    memory = Path("/dev/shm")
    with TemporaryDirectory(prefix="fastsip-test-", dir=memory if memory.is_dir() else None) as home:
        walk = Walk(Path(home), policy, table)
        walk.do("invite")
        for name, *arguments in actions:
            walk.do(name, *arguments)
            walk.check_answers()
        walk.end()
