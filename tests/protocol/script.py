"""A small language for protocol scripts: inject, expect on the wire, advance the clock.

    stage = Stage(run_dir, policy={"on": [500]})
    call = stage.invite()
    first = stage.ring(BOB[0])
    stage.reply(first, 500)
    second = stage.expect_request(BOB[1], "INVITE")
    ...
    stage.finish()

The kernels are the router's own; the clock and the wire are the rig's.  What
was sent waits in `stage.waiting` until a script expects it, so nothing that
goes over the wire is missed: `nothing_sent` and `finish` fail on what is left.
Every injected message and every advance is followed by the store's checker.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from fastsip._core.dispatcher.cells import Cells
from fastsip._core.dispatcher.chooser import Positions
from fastsip._core.harness.rig import START_MS, Rig
from fastsip._core.routing.table import RoutingTable
from fastsip._core.transport.names import split_key
from fastsip.ua.message import (
    Address,
    Message,
    host_text,
    make_ack,
    make_cancel,
    make_request,
    make_response,
    new_branch,
    new_tag,
    read_message,
)
from tests.kernels.audit import complaints, live_slots

EDGE: Address = ("10.0.0.254", 5060)
INSIDE: Address = ("10.0.1.254", 5070)  # the second listener, where there is one
ALICE: Address = ("10.0.0.1", 5060)
BOB: list[Address] = [(f"10.0.1.{n}", 5060) for n in range(1, 19)]
NUMBER = "sip:80123@example.net"

T1, T2, T4 = 500, 4_000, 5_000
WHOLE = 64 * T1  # timers B, D, F, H, J, L, M
TRYING_AFTER = 3_500  # when Timer E reaches T2: a non-INVITE without an answer gets a 100 (RFC 4320)
TICK = 8  # a timer never fires early, and at most so late (ms)
PRIORITY = 8  # algorithm: first usable in order of the file
PARALLEL = 12
SET_LINE = 999  # the id under which a set has a line of the cells
ALL_CLOCKS = 400_000  # longer than any clock of the default table


@dataclass(slots=True)
class Sent(Message):
    """A message on the wire; `at` is in ms of the virtual clock."""

    to: Address = ("", 0)


def read_sent(record) -> Sent:
    message = read_message(record.datagram, EDGE, record.at_ms)
    fields = {name: getattr(message, name) for name in Message.__slots__}
    return Sent(**fields, to=record.to)


def add_listeners(table, addresses, contact, headers_in, headers_out, transport) -> None:
    for number, (host, port) in enumerate(addresses):
        table.add_listener(
            number + 1, 0, host, port, f"{host_text(host)}:{port}", ("public", "inside")[number], contact=contact,
            transport=transport, headers_in=headers_in if number == 0 else None,
            headers_out=headers_out[number] if number < len(headers_out) else None,
        )  # fmt: skip
        table.add_own(host, port)
    if contact:
        table.add_own(contact, 5060)


def add_member(table, cells, set_index, number, way_out, **more) -> None:
    host, port = BOB[number]
    table.add_destination(set_index, number + 1, cells.assign(number + 1), host, port, way_out, f"sip:{host}:{port}",
                          f"{host}:{port}", **more)  # fmt: skip


def add_rules(table, only, rule, dialog_rule) -> None:
    table.add_rule(1, **only | rule)
    if dialog_rule:
        table.add_rule(2, **only | {"conditions": [{"kind": "to_tag"}]})


def limit_of_set(cells, calls) -> dict:
    return {"calls": calls, "cell": cells.assign(SET_LINE)} if calls else {}


def make_table(
    *, policy=None, destinations=3, clocks=(T1, T2, T4, 181_000), probe=None, priorities=(), limit=0,
    algorithm=PRIORITY, cells=None, backup=0, when_all_down=0, record_route=True, ruri=0, retry_ms=30_000,
    trusted=(), listeners=1, in_dialog=None, token_keys=(b"tokens of a test",), conditions=(), hash_key=bytes(16),
    addresses=(EDGE, INSIDE), rule=None, tiers=True, backup_algorithm=PRIORITY, backup_limit=0, dialog_rule=False,
    backup_ruri=None, max_message=65_535, max_head=65_535,
    branch_key=b"0123456789abcdef", other_branch_key=None, loop_key=bytes(16), headers_in=None, headers_out=(),
    set_headers=None, backup_headers=None, pinned=(), node="", contact="", transport=1, call_fall=0,
    call_rise=0, target_ms=4_000, damping_ms=0, calls=(), set_calls=None,
):  # fmt: skip
    """One listener, one set of `destinations`, a second one of `backup` for `then`, one rule for all.

    Destinations are reached from the last listener over IPv4: with listeners=2 from INSIDE.
    `in_dialog` is the policy of a shared set, which both are then but those whose number stands in `pinned`.
    `rule` has more of what add_rule takes; `transport` (a transport_id) is that of each listener.
    `node` is the router's name, `contact` what Record-Route says in place of the address.
    headers_in is of the first listener, headers_out of each, set_headers and backup_headers (out) of the sets.
    `calls` are limits of destinations by their number, `set_calls` that of the first set (add_destination, add_set).
    `dialog_rule` adds a rule for what comes inside of dialogs, to the same set.
    """
    table = RoutingTable(
        1, clocks=clocks, max_message=max_message, max_head=max_head, branch_key=branch_key, token_keys=token_keys,
        other_branch_key=other_branch_key, loop_key=loop_key, node=node, target_ms=target_ms,
    )  # fmt: skip
    add_listeners(table, addresses[:listeners], contact, headers_in, headers_out, transport)
    way_out = max(number for number, (host, _) in enumerate(addresses[:listeners]) if ":" not in host)
    for network in trusted:
        table.add_trusted(network)
    cells = cells or Cells(32)
    sets = [(destinations, algorithm, limit), *([(backup, backup_algorithm, backup_limit)] if backup else [])]
    first = 0
    for set_index, (count, how, most) in enumerate(sets):
        table.add_set(
            set_index + 1, how, limit=most, when_all_down=when_all_down, retry_ms=retry_ms, tiers=tiers,
            ruri=backup_ruri if set_index and backup_ruri is not None else ruri,
            in_dialog=int(in_dialog is not None and set_index not in pinned),
            dialog_policy=0 if in_dialog is None else 2, hash_key=hash_key, call_fall=call_fall, call_rise=call_rise,
            damping_ms=damping_ms, **limit_of_set(cells, None if set_index else set_calls),
            headers_out=(set_headers, backup_headers)[set_index],
        )  # fmt: skip
        for number in range(first, first + count):
            add_member(table, cells, set_index, number, way_out, priority=priorities[number] if priorities else 0,
                       calls=calls[number] if number < len(calls) else None, probe=probe)  # fmt: skip
        first += count
    index = table.add_policy(1, **(policy or {}) | ({"then_set": 1} if backup else {}))
    if in_dialog is not None:
        table.add_policy(2, **in_dialog)
    only = {"action": 0, "conditions": conditions, "policy_index": index, "record_route": record_route}
    add_rules(table, only, rule or {}, dialog_rule)
    return table.seal(), cells


class Stage:
    """A rig with one caller (ALICE) and up to eighteen callees (BOB[n])."""

    def __init__(self, run_dir, *, max_transactions=64, now_ms=START_MS, shards=1, **table):
        self.run_dir = run_dir
        self.table, self.cells = make_table(**table)
        self.rig = Rig(run_dir, self.table, self.cells, max_transactions, count=shards, now_ms=now_ms)
        self.waiting: list[Sent] = []
        self.kept: list[object] = []

    # ------------------------------------------------------------ clock and wire

    @property
    def now(self) -> int:
        return self.rig.now_ms

    def collect(self) -> None:
        self.waiting += [read_sent(record) for record in self.rig.sent()]
        assert not (found := complaints(self.rig)), found

    def advance(self, ms: int) -> None:
        self.rig.advance(ms)
        self.collect()

    def use(self, table: RoutingTable, positions: Positions) -> None:
        """Another table from now on, kept as long as the rig that looks at it."""
        self.kept += [table, positions]
        self.rig.use(table, positions)

    def inject(self, message: Message | bytes, source: Address = ALICE, listener: int = 0) -> None:
        self.rig.receive(message if isinstance(message, bytes) else message.to_bytes(), source, listener)
        self.collect()

    # ------------------------------------------------------------ names

    def questions(self) -> list[str]:
        """Names that the control plane was asked for since the last call."""
        return [split_key(key)[1] for key in self.asked_keys()]

    def asked_keys(self) -> list[str]:
        """The same with what was asked of each: "n:sip:example.net"."""
        return [event.name for event in self.rig.events() if event.kind == "question"]

    def know(self, name: str, *places: Address, ttl_ms: int = 60_000) -> None:
        """The control plane has the targets of that name or key, none: it does not exist; the shard is told.

        Whatever is asked of a bare name, this is the answer.
        """
        if places:
            self.rig.names.put(name, places, ttl_ms, self.now)
        else:
            self.rig.names.deny(name, ttl_ms, self.now)
        self.rig.name_changed(name)
        self.collect()

    # ------------------------------------------------------------ expecting

    def take(self, wanted: Callable[[Sent], bool]) -> list[Sent]:
        """All waiting messages that fit, taken out."""
        found = [message for message in self.waiting if wanted(message)]
        self.waiting = [message for message in self.waiting if not wanted(message)]
        return found

    def expect(self, wanted: Callable[[Sent], bool], what: str) -> Sent:
        """The first waiting message that fits, taken out."""
        for position, message in enumerate(self.waiting):
            if wanted(message):
                return self.waiting.pop(position)
        seen = "\n  ".join(f"{m} to {m.to}" for m in self.waiting) or "nothing"
        raise AssertionError(f"no {what}; waiting:\n  {seen}")

    def expect_request(self, to: Address, method: str) -> Sent:
        return self.expect(lambda m: m.method == method and m.to == to, f"{method} to {to}")

    def expect_response(self, status: int, method: str = "INVITE", to: Address = ALICE) -> Sent:
        return self.expect(
            lambda m: m.status == status and m.cseq_method == method and m.to == to,
            f"{status} to {method} at {to}",
        )

    def take_requests(self, to: Address, method: str) -> list[Sent]:
        return self.take(lambda m: m.method == method and m.to == to)

    def take_responses(self, status: int, method: str = "INVITE", to: Address = ALICE) -> list[Sent]:
        return self.take(lambda m: m.status == status and m.cseq_method == method and m.to == to)

    def nothing_sent(self) -> None:
        assert not self.waiting, [f"{m} to {m.to}" for m in self.waiting]

    def come_back(self, after_ms: int) -> None:
        """The process dies, and so much later the next one takes up what the store holds."""
        self.rig.die(self.table, self.now + after_ms)
        self.rig.recover()
        self.collect()

    def quiet(self, ms: int) -> None:
        """Nothing is sent for so long."""
        self.nothing_sent()
        self.advance(ms)
        self.nothing_sent()

    # ------------------------------------------------------------ the store

    def slots(self, kind: str = "") -> list[dict]:
        return [slot for slot in live_slots(self.rig) if slot["kind"].startswith(kind)]

    def states(self, kind: str) -> list[str]:
        """States of the slots of that kind, by attempt."""
        return [slot["state"] for slot in sorted(self.slots(kind), key=lambda slot: slot["attempt"])]

    def beside(self, call_id: str) -> Iterator[str]:
        """Other Call-IDs of its partition, of other shares."""
        partition, share = self.rig.partition_of(call_id.encode()), self.rig.share_of(call_id.encode())
        return (other for other in (f"beside-{n}@alice" for n in itertools.count())
                if self.rig.partition_of(other.encode()) == partition and self.rig.share_of(other.encode()) != share)

    def counter(self, name: str) -> int:
        return self.rig.counters()[name]

    def health(self, number: int) -> str:
        return ("unknown", "up", "trying", "down")[self.cells.read(number).health]

    def finish(self) -> None:
        """All clocks run out: what was not expected may have been repetitions, but no slot remains."""
        self.advance(ALL_CLOCKS)
        self.waiting.clear()
        assert live_slots(self.rig) == []

    # ------------------------------------------------------------ the caller

    def make(self, method: str, uri: str = NUMBER, *, cseq: int = 1, to_tag: str = "", **parts) -> Message:
        return make_request(
            method,
            uri,
            via=f"SIP/2.0/UDP {ALICE[0]}:{ALICE[1]};branch={parts.pop('branch', None) or new_branch()}",
            sender=f"<sip:alice@example.net>;tag={parts.pop('from_tag', 'alice')}",
            recipient=f"<{uri}>" + (f";tag={to_tag}" if to_tag else ""),
            call_id=parts.pop("call_id", None) or f"{new_tag()}@alice",
            cseq=cseq,
            headers=[("Contact", f"<sip:alice@{ALICE[0]}>"), *parts.pop("headers", [])],
            **parts,
        )

    def send(self, method: str, uri: str = NUMBER, **parts) -> "Request":
        """The caller sends a request; nothing is expected yet."""
        request = Request(self, self.make(method, uri, **parts))
        request.again()
        return request

    def invite(self, **parts) -> "Request":
        """An INVITE and its 100 (17.2.1)."""
        call = self.send("INVITE", **parts)
        self.expect_response(100)
        return call

    # ------------------------------------------------------------ the callees

    def response(self, request: Sent, status: int, *, tag: str = "", **parts) -> Message:
        if status > 100 and not tag:
            tag = f"bob-{request.to[0].rpartition('.')[2]}"
        if status > 100:
            host, port = request.to
            parts["headers"] = [("Contact", f"<sip:bob@{host}:{port}>"), *parts.get("headers", [])]
        return make_response(request, status, to_tag=tag, **parts)

    def reply(self, request: Sent, status: int, **parts) -> Message:
        """A response from where the request was sent; returns it, to be repeated with `inject`."""
        response = self.response(request, status, **parts)
        self.inject(response, request.to)
        return response

    def ring(self, bob: Address, status: int = 180) -> Sent:
        """The INVITE arrives and rings; the 180 goes through."""
        invite = self.expect_request(bob, "INVITE")
        self.reply(invite, status)
        self.expect_response(status)
        return invite

    # ------------------------------------------------------------ several callees at once

    def expect_fork(self, numbers: Iterable[int], method: str = "INVITE") -> list[Sent]:
        """The request at each of these callees (BOB[number]), and nothing else on the wire."""
        arrived = [self.expect_request(BOB[number], method) for number in numbers]
        self.nothing_sent()
        return arrived

    def refuse(self, invite: Sent, status: int, **parts) -> None:
        """A final response and its ACK."""
        self.reply(invite, status, **parts)
        self.expect_request(invite.to, "ACK")

    def ring_back(self, invite: Sent, status: int = 180) -> Sent:
        """A provisional response, as it reaches the caller."""
        self.reply(invite, status)
        return self.expect_response(status)


@dataclass
class Request:
    """A request of the caller, and what belongs to it."""

    stage: Stage
    message: Message

    def again(self) -> None:
        """Byte for byte, as a transaction layer repeats it."""
        self.stage.inject(self.message)

    def cancel(self, **headers) -> Message:
        cancel = make_cancel(self.message)
        cancel.headers += headers.items()
        self.stage.inject(cancel)
        return cancel

    def ack(self, final: Message) -> None:
        """Of a response other than 2xx (17.1.1.3)."""
        self.stage.inject(make_ack(self.message, final))

    def in_dialog(self, method: str, ok: Message, cseq: int, **parts) -> "Request":
        """A request of the dialog that the 2xx made, along its route set (12.2.1.1)."""
        routes = [("Route", value) for value in reversed(ok.values("Record-Route"))]
        contact = ok.get("Contact").strip("<>")
        return self.stage.send(
            method,
            contact,
            cseq=cseq,
            to_tag=ok.to_tag,
            call_id=self.message.call_id,
            headers=routes,
            **parts,
        )


def assert_times(messages: list[Sent], start: int, wanted: list[int]) -> None:
    """Each left at its time after `start`: never early, at most one tick late per firing before it."""
    late = [message.at - start - at for message, at in zip(messages, wanted, strict=True)]
    assert all(0 <= by <= TICK * (n + 1) for n, by in enumerate(late)), late
