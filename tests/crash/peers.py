"""User agents that repeat what is not answered, and a router that may die between any two stores.

The agents live in the test's process, on the same virtual clock as the router;
the router is a forked child with a Rig.  When it dies, another child opens the
same store, recovers and goes on; the agents notice nothing but silence.
What a child put on the wire before it died is known from a pipe that it wrote
to while sending.
"""

import contextlib
import heapq
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe

from fastsip._core.harness.rig import START_MS, Rig, read_wire
from fastsip._core.store.slots import die_at_store
from fastsip._core.transport.names import split_key
from fastsip.ua.message import (
    Message,
    make_ack,
    make_cancel,
    make_request,
    make_response,
    new_branch,
    new_tag,
    uri_of,
)
from tests.kernels.audit import complaints, live_slots
from tests.protocol.script import ALICE, BOB, NUMBER, T1, T2, WHOLE, Sent, make_table, read_sent

DIED = 77  # exit status of a process at its crash point
STEP_MS = 40
DOWN_MS = 200  # between a death and the recovery
MAX_TRANSACTIONS = 64
REASON = 'SIP;cause=487;text="changed my mind"'


class Router:
    """The forked rig: `call` runs one of its methods there."""

    def __init__(self, run_dir, table, cells, now_ms: int, die_at: int):
        self.conn, theirs = Pipe()
        self.wire, wire_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            with contextlib.suppress(BaseException):
                self.conn.close()
                serve(
                    theirs,
                    wire_end,
                    Rig(run_dir, table, cells, MAX_TRANSACTIONS, now_ms=now_ms),
                    die_at,
                )
            os._exit(1)
        theirs.close()
        os.close(wire_end)
        os.set_blocking(self.wire, False)
        self.status: int | None = None
        self._rest = b""

    def call(self, name: str, *arguments):
        """The method's result; None when the process died in it, or before: what it was given is lost."""
        if self.status is not None:
            return None
        try:
            self.conn.send((name, arguments))
            return self.conn.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self.end()
            return None

    def sent(self) -> list[Sent]:
        """What has left since the last call, also when the process is dead."""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.wire, 1 << 16):
                self._rest += chunk
        records, self._rest = read_wire(self._rest), b""
        return [read_sent(record) for record in records]

    def end(self) -> None:
        if self.status is None:
            self.conn.close()
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def stop(self) -> None:
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.end()
        os.close(self.wire)


def serve(conn: Connection, wire: int, rig: Rig, die_at: int) -> None:
    """The child: recovers, then obeys until it dies or nobody asks any more."""
    rig.copy_to(wire)

    def advance(ms: int) -> int:
        """At most so far; stops when something was sent.  The new time."""
        end, before = rig.now_ms + ms, rig.sent_count
        while rig.now_ms < end and rig.sent_count == before:
            rig.advance(min(STEP_MS, end - rig.now_ms))
        rig.sent()
        return rig.now_ms

    def receive(datagram: bytes, source) -> list[str]:
        rig.receive(datagram, source)
        rig.sent()
        return complaints(rig)

    def questions() -> list[str]:
        return [split_key(event.name)[1] for event in rig.events() if event.kind == "question"]

    def know(name: str, places) -> list[str]:
        rig.names.put(name, places, 3_600_000, rig.now_ms)
        rig.name_changed(name)
        rig.sent()
        return complaints(rig)

    def take_up() -> list[str]:
        """What was owed is sent by the recovery itself, not only when a timer comes up."""
        owing = sum(len(slot["owes"]) for slot in live_slots(rig))
        rig.recover()
        found = complaints(rig)
        found += [f"still owes: {slot}" for slot in live_slots(rig) if slot["owes"]]
        if len(rig.sent()) < owing:
            found.append(f"{owing} messages were owed, fewer were sent")
        return found

    doors = {
        "advance": advance,
        "receive": receive,
        "check": lambda: complaints(rig),
        "live": lambda: live_slots(rig),
        "recover": take_up,
        "questions": questions,
        "know": know,
    }
    die_at_store(die_at)
    while True:
        name, arguments = conn.recv()
        conn.send(doors[name](*arguments))


class World:
    """The clock, the agents' plans, the router and its deaths."""

    def __init__(self, run_dir, die_at: int = -1, die_again_at: int = -1, **table):
        self.now = START_MS
        self.plans: list[tuple[int, int, Callable[[], None]]] = []
        self.made = 0
        self.run_dir = run_dir
        self.parts = make_table(**table)
        self.router = Router(run_dir, *self.parts, self.now, die_at)
        self.die_again_at = die_again_at
        self.deaths = 0
        self.complaints: list[str] = []
        self.agents: dict = {}
        self.names: dict[str, tuple[int, tuple]] = {}  # name -> (ms until it is known, its addresses)

    # ------------------------------------------------------------ agents

    def plan(self, after_ms: int, act: Callable[[], None]) -> None:
        self.made += 1
        heapq.heappush(self.plans, (self.now + after_ms, self.made, act))

    def send(self, message: Message, source) -> None:
        self.note(self.router.call("receive", message.to_bytes(), source))
        self.deliver()

    def deliver(self) -> None:
        """What the router sent reaches its agents; then, if the router is dead, another one takes over."""
        for message in self.router.sent():
            self.agents[message.to].receive(message)
        for name in self.router.call("questions") or [] if self.names else []:
            self.plan(self.names[name][0], lambda name=name: self.answer(name))
        if self.router.status is not None:
            self.take_over()

    def answer(self, name: str) -> None:
        self.note(self.router.call("know", name, self.names[name][1]))
        self.deliver()

    # ------------------------------------------------------------ the router

    def note(self, complaints: list[str] | None) -> None:
        self.complaints += [f"{self.now - START_MS} ms: {text}" for text in complaints or []]

    def take_over(self) -> None:
        assert self.router.status == DIED, f"the router ended with {self.router.status}"
        self.deaths += 1
        self.now += DOWN_MS
        os.close(self.router.wire)
        die_at, self.die_again_at = self.die_again_at, -1
        self.router = Router(self.run_dir, *self.parts, self.now, die_at)
        self.note(self.router.call("recover"))
        self.deliver()

    def run(self, ms: int) -> None:
        """Plans and clocks take their course for so long."""
        end = self.now + ms
        while self.now < end:
            until = min(end, self.plans[0][0]) if self.plans else end
            if until > self.now:
                now = self.router.call("advance", until - self.now)
                self.now = self.now if now is None else now
                self.deliver()
            while self.plans and self.plans[0][0] <= self.now:
                heapq.heappop(self.plans)[2]()

    def finish(self) -> list[str]:
        """What is wrong at the end: complaints of the checker, slots that remain, agents left hanging."""
        self.run(2 * WHOLE + 10_000)
        for _ in range(400_000 // 1_000):
            if not self.router.call("live"):
                break
            self.run(1_000)
        found = [*self.complaints, *(self.router.call("check") or [])]
        found += [f"slot remains: {slot}" for slot in self.router.call("live") or []]
        for agent in self.agents.values():
            found += agent.wrongs()
        return found

    def close(self) -> None:
        self.router.stop()


class Agent:
    def __init__(self, world: World, address):
        self.world, self.address = world, address
        world.agents[address] = self

    def send(self, message: Message) -> None:
        self.world.send(message, self.address)

    def repeat(
        self, message: Message, wanted: Callable[[], bool], interval: int = T1, until: int = 0
    ) -> None:
        """Sends now, and again at doubled intervals up to T2 for 64 T1 as long as it is wanted."""
        until = until or self.world.now + WHOLE
        if self.world.now < until and wanted():
            self.world.plan(interval, lambda: self.repeat(message, wanted, min(2 * interval, T2), until))
            self.send(message)

    def receive(self, message: Sent) -> None:
        raise AssertionError(f"{self.address} expects nothing and got {message}")

    def wrongs(self) -> list[str]:
        return []


class Caller(Agent):
    """Sends one request and what follows from its answer; repeats like any user agent."""

    def __init__(
        self, world: World, method: str = "INVITE", cancel_after: int = 0, bye_after: int = 0, route: str = ""
    ):
        super().__init__(world, ALICE)
        self.cancel_after, self.bye_after = cancel_after, bye_after
        self.cancels_unheard = False  # after the 100, which says that the INVITE is in the store
        self.answered: set[str] = set()  # methods that something has answered
        self.finals: dict[str, list[Sent]] = {}
        self.final_at = 0  # of its first request
        self.request = self.make(method, NUMBER, 1, NUMBER, [("Route", f"<sip:{route};lr>")] if route else [])

    def make(self, method: str, uri: str, cseq: int, to: str, headers=()) -> Message:
        return make_request(
            method, uri, via=f"SIP/2.0/UDP {ALICE[0]}:{ALICE[1]};branch={new_branch()}",
            sender="<sip:alice@example.net>;tag=alice", recipient=to if "<" in to else f"<{to}>",
            call_id=getattr(self, "call_id", None) or f"{new_tag()}@alice", cseq=cseq,
            headers=[("Contact", f"<sip:alice@{ALICE[0]}>"), *headers],
        )  # fmt: skip

    def start(self) -> None:
        self.call_id = self.request.call_id
        self.ask(self.request)

    def ask(self, request: Message) -> None:
        method = request.method
        stops = self.answered if method == "INVITE" else self.finals
        self.repeat(request, lambda: method not in stops)

    def receive(self, message: Sent) -> None:
        method = message.cseq_method
        first = method not in self.answered
        self.answered.add(method)
        if message.status >= 200:
            self.finals.setdefault(method, []).append(message)
            self.final_at = self.final_at or self.world.now
        if method != "INVITE":
            return
        if (message.status > 100 and first) or message.status == 180 or self.cancels_unheard:
            self.plan_cancel()
        if 200 <= message.status < 300:
            self.acknowledge(message)
        elif message.status >= 300:
            self.send(make_ack(self.request, message))

    def plan_cancel(self) -> None:
        if self.cancel_after:
            after, self.cancel_after = self.cancel_after, 0
            cancel = make_cancel(self.request).set("Reason", REASON)
            self.world.plan(after, lambda: self.ask(cancel))

    def in_dialog(self, method: str, ok: Sent, cseq: int) -> Message:
        routes = [("Route", value) for value in reversed(ok.values("Record-Route"))]
        return self.make(method, uri_of(ok.get("Contact")), cseq, ok.get("To"), routes)

    def acknowledge(self, ok: Sent) -> None:
        self.send(self.in_dialog("ACK", ok, 1))
        if self.bye_after:
            after, self.bye_after = self.bye_after, 0
            bye = self.in_dialog("BYE", ok, 2)
            self.world.plan(after, lambda: self.ask(bye))

    def outcome(self, method: str = "INVITE") -> set[tuple[int, str]]:
        """(status, To tag of a 2xx) of the final responses."""
        return {(m.status, m.to_tag if m.status < 300 else "") for m in self.finals.get(method, [])}


class Callee(Agent):
    """Answers each new request by its plan: (after ms, status) in turn; an empty plan stays silent."""

    def __init__(self, world: World, number: int, *plan: tuple[int, int]):
        super().__init__(world, BOB[number])
        self.tag, self.script = f"bob-{number + 1}", plan
        self.asked: dict[tuple[str, str], Sent] = {}  # (branch, method) -> the request
        self.last: dict[str, Message] = {}  # branch -> its last response
        self.final_at: dict[str, int] = {}
        self.acked: set[str] = set()
        self.accepted: set[str] = set()
        self.reasons: set[str] = set()  # of the CANCELs

    def receive(self, message: Sent) -> None:
        key = message.branch, message.method
        if message.method == "ACK":
            self.acked.add(message.branch)
            self.acked |= {branch for branch, _ in self.asked if branch in self.accepted}
        elif message.method == "CANCEL":
            self.reasons.add(message.get("Reason"))
            self.send(make_response(message, 200))
            invite = self.asked.get((message.branch, "INVITE"))
            if invite and self.is_open(message.branch):
                self.answer(invite, 487)
        elif key in self.asked:
            again = self.last.get(message.branch)
            if again and message.branch not in self.accepted:
                self.send(again)
        else:
            self.asked[key] = message
            for after, status in self.script if message.method != "BYE" else ((0, 200),):
                self.world.plan(after, lambda status=status: self.answer(message, status))

    def is_open(self, branch: str) -> bool:
        return branch not in self.last or self.last[branch].status < 200

    def answer(self, request: Sent, status: int) -> None:
        branch = request.branch
        if not self.is_open(branch):
            return
        headers = [("Contact", f"<sip:bob@{self.address[0]}:{self.address[1]}>")]
        if status in (401, 407):
            headers.append(("WWW-Authenticate" if status == 401 else "Proxy-Authenticate", self.tag))
        response = make_response(request, status, to_tag=self.tag, headers=headers)
        self.last[branch] = response
        if status >= 200:
            self.final_at[branch] = self.world.now
        if request.method == "INVITE" and status >= 200:
            if status < 300:
                self.accepted.add(branch)
            self.repeat(response, lambda: branch not in self.acked)
        else:
            self.send(response)

    def branches(self, method: str = "INVITE") -> set[str]:
        return {branch for branch, asked in self.asked if asked == method}

    def wrongs(self) -> list[str]:
        found = []
        for branch in self.branches():
            if self.script and self.is_open(branch):
                found.append(f"{self.tag} rings for ever")
            elif not self.is_open(branch) and branch not in self.acked:
                found.append(f"{self.tag}: its {self.last[branch].status} was never acknowledged")
        if max(len(self.branches()), len(self.branches("MESSAGE"))) > 1:
            found.append(f"{self.tag} was tried twice by one search")
        return found
