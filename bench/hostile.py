"""The worst datagrams that a stranger can build, one by one: what each costs the kernels.

    python -m bench.hostile [--only routes,vias] [--rounds 5]

Each is given to a rig (the router's kernels without sockets) as a short datagram, as one of
64 KB, and as one of 64 KB whose head has just the length that is still read; by turns with an
ordinary INVITE.  Times are of the thread's CPU, less what the way into the rig costs.
A datagram may cost at most 10 times the INVITE of its own run when it is
shorter than 2 KB, and 40 us whatever its length: what costs more is a way to stop a shard from
outside.  Exit status 1 when one does, with a `!` line each.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.load import write_report
from bench.processes import scratch
from fastsip._core.dispatcher.cells import Cells
from fastsip._core.harness.rig import Rig
from fastsip._core.routing.table import RoutingTable
from fastsip.config.patterns import compile_patterns
from tests.kernels.audit import live_slots

SHORT, LONG = 1_900, 64_000     # bytes
HEAD = "head"   # in place of a size: a head of HEAD_BYTES and a body up to LONG
HEAD_BYTES = 8_000
SHORT_BAR, LONG_BAR_US = 10, 40     # times an INVITE; microseconds
Address = tuple[str, int]
STRANGER, PEER = ("198.51.100.66", 5060), ("10.0.1.1", 5060)
OURS = b"10.0.0.254:5060"
RULES = 10_000
BATCH = {SHORT: 50, LONG: 20, HEAD: 20}
FILL_LIMIT = 1_000      # hundreds of datagrams
SETTLE_STEPS, STEP_MS = 120, 1_000
KEEP_ALIVE = b"\r\n\r\n"


# ---------------------------------------------------------------- messages


def request(n: int, method: bytes = b"INVITE", uri: bytes = b"sip:8001@example.net", *, call_id: bytes = b"",
            to_tag: bytes = b"", via: bytes = b"", sender: bytes = b"<sip:a@example.net>",
            headers: Sequence[bytes] = (), cseq: bytes = b"1", max_forwards: bytes = b"70", body: bytes = b"") -> bytes:
    """Whole but for what is put into it; n makes branch, tag and Call-ID its own."""
    lines = [
        b"%s %s SIP/2.0" % (method, uri),
        b"Via: SIP/2.0/UDP 198.51.100.66:5060;branch=z9hG4bK%d%s" % (n, via),
        b"Max-Forwards: " + max_forwards,
        b"From: %s;tag=t%d" % (sender, n),
        b"To: <sip:b@example.net>" + (b";tag=" + to_tag if to_tag else b""),
        b"Call-ID: %d-%s" % (n, call_id),
        b"CSeq: %s %s" % (cseq, method),
        *headers,
        b"Content-Length: %d" % len(body),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def response(n: int, *, branch: bytes, second: bytes, tag: bytes = b"", call_id: bytes = b"",
             headers: Sequence[bytes] = ()) -> bytes:
    lines = [
        b"SIP/2.0 200 OK",
        b"Via: SIP/2.0/UDP %s;branch=%s" % (OURS, branch),
        b"Via: SIP/2.0/UDP 198.51.100.66:5060;branch=z9hG4bK%d%s" % (n, second),
        b"From: <sip:a@example.net>;tag=t%d%s" % (n, tag),
        b"To: <sip:b@example.net>;tag=u" + tag,
        b"Call-ID: %d-%s" % (n, call_id),
        b"CSeq: 1 INVITE",
        *headers,
        b"Content-Length: 0",
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def with_body(message: bytes) -> bytes:
    """As long as LONG, if it says that it has no body."""
    head, empty, rest = message.partition(b"Content-Length: 0\r\n\r\n")
    body = b"a=rtpmap:0 PCMU/8000\r\n" * ((LONG - len(head)) // 22)
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body if empty and not rest else message


def filled(piece: bytes, room: int, between: bytes = b"") -> bytes:
    """As many of them as the room has place for, one at least."""
    return between.join([piece] * max(1, room // (len(piece) + len(between))))


def room_of(size: int) -> int:
    """What a datagram of this size has beside the lines that all have."""
    return size - 340


def spread(size: int, count: int) -> int:
    """The room of each of `count` lines."""
    return max(1, room_of(size) // count - 24)


# ---------------------------------------------------------------- the cases


@dataclass(frozen=True)
class Case:
    """`make` gives the n-th datagram of about `size` bytes; `before` what the rig receives first, untimed."""

    name: str
    make: Callable[[int, int], bytes]
    rig: str = "plain"
    source: Address = STRANGER
    before: Callable[[int], bytes] | None = None

    def datagram(self, n: int, size: int | str) -> bytes:
        return with_body(self.make(n, HEAD_BYTES)) if isinstance(size, str) else self.make(n, size)


def routes(n: int, size: int) -> bytes:
    """Values that look like tokens of ours, and a Call-ID that each of them is checked with."""
    half = room_of(size) // 2
    route = filled(b"<sip:%s@%s;lr>" % (b"a" * 30, OURS), half, b",")
    return request(n, b"BYE", b"sip:x@198.51.100.9", call_id=b"c" * half, to_tag=b"u", headers=[b"Route: " + route])


def route_lines(n: int, size: int) -> bytes:
    line = b"Route: " + filled(b"<sip:%s@%s;lr>" % (b"a" * 30, OURS), spread(size, 100), b",")
    return request(n, b"BYE", b"sip:x@198.51.100.9", to_tag=b"u", headers=[line] * min(100, room_of(size) // 70))


def vias(n: int, size: int) -> bytes:
    count = min(60, room_of(size) // 60)
    line = b"Via: SIP/2.0/UDP h%d.example;branch=z9hG4bK%s"
    return request(n, headers=[line % (i, b"b" * spread(size, count)) for i in range(count)])


def own_vias(n: int, size: int) -> bytes:
    """Each of them might say that the request was here before."""
    count = min(60, room_of(size) // 80)
    line = b"Via: SIP/2.0/UDP %s;branch=z9hG4bKaaaaaaaaaaaaa.aaaaaa;fs=aaaaaaaaaaaaaaaaaaaaaa" % OURS
    return request(n, call_id=b"c" * max(1, room_of(size) - count * 90), headers=[line] * count)


def stray(n: int, size: int) -> bytes:
    part = room_of(size) // 3
    return response(n, branch=b"z9hG4bKaaaaaaaaaaaaa.aaaaaa", second=b"b" * part, tag=b"t" * (part // 2),
                    call_id=b"c" * part)


def header_names(n: int, size: int) -> bytes:
    count = min(100, room_of(size) // 40)
    return request(n, headers=[b"X-%d-%s: 1" % (i, b"n" * spread(size, count)) for i in range(count)])


def odd_headers(n: int, size: int) -> bytes:
    """Of the length that the rules ask for, and none of their names."""
    count = min(110, room_of(size) // 12)
    return request(n, headers=[b"X-%05d: %s" % (90_000 + i, b"v" * spread(size, count)) for i in range(count)])


def one_line(line: bytes, piece: bytes, between: bytes = b"", end: bytes = b"", **parts) -> Callable[[int, int], bytes]:
    """A header with as many pieces as there is room for."""
    return lambda n, size: request(n, headers=[line + filled(piece, room_of(size), between) + end], **parts)


def cancel(n: int, size: int) -> bytes:
    count = min(100, room_of(size) // 60)
    line = b'Reason: SIP;cause=200;text="%s"' % (b"r" * spread(size, count))
    return request(n, b"CANCEL", headers=[line] * count)


def no_cseq(n: int, size: int) -> bytes:
    """Answered with 400, which takes along what it finds."""
    return vias(n, size).replace(b"CSeq: ", b"C-Seq: ")


def replaces(n: int, size: int) -> bytes:
    """What the choice hashes is inside of them."""
    count = min(50, room_of(size) // 60)
    line = b"Replaces: %s;to-tag=1;from-tag=2" % (b"c" * spread(size, count))
    return request(n, headers=[line] * count)


def garbage(piece: bytes) -> Callable[[int, int], bytes]:
    return lambda n, size: filled(piece, size)


def named(n: int, size: int) -> bytes:
    host = b".".join([b"n%d" % n, *[b"a" * 60] * min(3, room_of(size) // 60)])
    return request(n, headers=[b"Route: <sip:%s;lr>" % host, b"X-Rest: " + b"x" * max(1, room_of(size) - 210)])


CASES = (
    Case("routes", routes),
    Case("route-lines", route_lines),
    Case("vias", vias),
    Case("own-vias", own_vias),
    Case("stray-response", stray),
    Case("to-tag", lambda n, size: request(n, b"BYE", to_tag=b"u" * room_of(size)), source=PEER),
    Case("call-id", lambda n, size: request(n, call_id=b"c" * room_of(size))),
    Case("folding", one_line(b"X-Long: a", b"\r\n b")),
    Case("folded-from", lambda n, size: request(n, sender=b'"a' + filled(b"\r\n b", room_of(size)) + b'" <sip:a@x>')),
    Case("header-names", header_names),
    Case("rules", odd_headers, "rules"),
    Case("rules-of-user", lambda n, size: request(n, uri=b"sip:%s@x" % (b"8" * room_of(size))), "rules"),
    Case("header-rules", odd_headers, "headers"),
    Case("user-match", lambda n, size: request(n, uri=b"sip:%s@x" % filled(b"%38", room_of(size))), "match"),
    Case("user-match-plain", lambda n, size: request(n, uri=b"sip:%s@x" % (b"8" * room_of(size))), "match"),
    Case("comma-list", one_line(b"Route: ", b"<sip:a@b;lr>", b",")),
    Case("empty-list", one_line(b"Route: ", b",", end=b"<sip:a@b;lr>")),
    Case("record-routes", one_line(b"Record-Route: ", b"<sip:a@b;lr>", b",")),
    Case("proxy-require", one_line(b"Proxy-Require: ", b"a1", b",")),
    Case("quoted", lambda n, size: request(n, sender=b'"%s" <sip:a@x>' % filled(b'\\"', room_of(size)))),
    Case("open-quote", lambda n, size: request(n, sender=b'"%s <sip:a@x>' % filled(b"<;,", room_of(size)))),
    Case("body", lambda n, size: request(n, body=filled(b"a=rtpmap:0 PCMU/8000\r\n", room_of(size)))),
    Case("from-parameters", lambda n, size: request(n, sender=b"<sip:a@x>" + filled(b";a", room_of(size)))),
    Case("via-parameters", lambda n, size: request(n, via=filled(b";a", room_of(size)))),
    Case("uri-parameters", lambda n, size: request(n, uri=b"sip:a@x" + filled(b";a", room_of(size)))),
    Case("uri-headers", lambda n, size: request(n, uri=b"sip:a@x?" + filled(b"a=1", room_of(size), b"&"))),
    Case("route-parameters", one_line(b"Route: <sip:a@%s" % OURS, b";a", end=b";lr>")),
    Case("long-host", lambda n, size: request(n, uri=b"sip:a@" + filled(b"a", room_of(size), b"."))),
    Case("replaces", replaces),
    Case("max-breadth", one_line(b"Max-Breadth: ", b"0", end=b"1")),
    Case("max-forwards", lambda n, size: request(n, max_forwards=b"0" * room_of(size) + b"7")),
    Case("cseq", lambda n, size: request(n, cseq=b"0" * room_of(size) + b"1")),
    Case("content-length", lambda n, size: request(n).replace(b"Length: 0", b"Length: " + b"0" * room_of(size))),
    Case("cancel", cancel, before=lambda n: request(n)),
    Case("stray-cancel", cancel),
    Case("no-cseq", no_cseq),
    Case("two-from", one_line(b"From: <sip:z@x>;tag=", b"z")),
    Case("options", one_line(b"X: ", b"x", method=b"OPTIONS", uri=b"sip:" + OURS)),
    Case("ack", one_line(b"X: ", b"x", method=b"ACK")),
    Case("full-store", one_line(b"X: ", b"x"), "full"),
    Case("full-partition", lambda n, size: request(n).replace(b"Call-ID: %d-" % n, b"Call-ID: one")
         + b" " * max(0, room_of(size)), "full"),
    Case("names", named, "names", PEER),
    Case("names-waiting", named, "waiting", PEER),
    Case("not-sip", garbage(b"\x00\xff")),
    Case("spaces", garbage(b" ")),
    Case("line-ends", garbage(b"\r\n")),
    Case("colons", garbage(b"INVITE a:b SIP/2.0\r\n:\r\n")),
)


# ---------------------------------------------------------------- rigs

# What is full before the first datagram is measured: the counter that says so, and what fills it.
FILLED = {
    "full": ("store_full", lambda n, _size: request(n), lambda _hundred: STRANGER),
    # An address of its own for each hundred: one alone may not ask for so many names.
    "waiting": ("parked_dropped", named, lambda hundred: (f"10.2.{hundred // 250}.{1 + hundred % 250}", 5060)),
}
SLOTS = {"full": 20_000, "waiting": 20_000}


def table_of(kind: str, cells: Cells):
    """One listener, three destinations, two token keys; and what the kind asks for."""
    table = RoutingTable(1, branch_key=b"0123456789abcdef", token_keys=(b"tokens of bench1", b"tokens of bench2"))
    table.add_listener(1, 0, "10.0.0.254", 5060, "10.0.0.254:5060")
    table.add_own("10.0.0.254", 5060)
    if kind in ("names", "waiting"):
        table.add_trusted("10.0.0.0/8")
    table.add_set(1, 0)
    for number in range(1, 4):
        host = f"10.0.1.{number}"
        table.add_destination(0, number, cells.assign(number), host, 5060, 0, f"sip:{host}:5060", f"{host}:5060")
    if kind == "rules":
        for number in range(RULES):
            table.add_rule(number + 1, 0, [{"kind": "user", "items": [b"%d" % (1_000_000 + number)]}])
    if kind == "headers":
        for number in range(RULES):
            table.add_rule(number + 1, 0, [{"kind": "header", "items": [b"X-%05d" % number, b"never"]}])
    if kind == "match":
        patterns = compile_patterns(["^(8|88)*9$", "^[0-7]+x", "8.8.8$"])
        table.add_rule(1, 0, [{"kind": "user_match", "items": [patterns]}])
    table.add_rule(RULES + 1, 0)
    return table.seal()


@dataclass
class Bench:
    """Rigs by kind, each with the datagrams that it has been given so far."""

    place: Path
    rigs: dict[str, Rig] = field(default_factory=dict)
    numbers: int = 0

    def rig(self, kind: str) -> Rig:
        if kind not in self.rigs:
            cells = Cells(8)
            self.rigs[kind] = Rig(self.place / kind, table_of(kind, cells), cells, SLOTS.get(kind, 4_000))
            if kind in FILLED:
                self.fill(self.rigs[kind], *FILLED[kind])
        return self.rigs[kind]

    def fill(self, rig: Rig, counter: str, make: Callable[[int, int], bytes], source: Callable[[int], Address]) -> None:
        """Until all of a hundred are refused, whatever their partition."""
        for hundred in range(FILL_LIMIT):
            before = rig.counters()[counter]
            for _ in range(100):
                self.numbers += 1
                rig.receive(make(self.numbers, 400), source(hundred))
            rig.sent()
            if rig.counters()[counter] >= before + 100:
                return
        raise RuntimeError(f"{counter} did not count a hundred of a hundred")

    def cost_us(self, case: Case, size: int | str) -> float:
        """Of one datagram, the way into the rig included."""
        rig, count = self.rig(case.rig), BATCH[size]
        numbers = range(self.numbers + 1, self.numbers + 1 + count)
        self.numbers += count
        if case.before:
            for n in numbers:
                rig.receive(case.before(n), case.source)
        datagrams = [case.datagram(n, size) for n in numbers]
        rig.sent()
        start = time.thread_time_ns()
        for datagram in datagrams:
            rig.receive(datagram, case.source)
        spent = time.thread_time_ns() - start
        rig.sent()
        if case.rig not in FILLED:
            settle(rig)
        return spent / count / 1000


def settle(rig: Rig) -> None:
    """Whatever was begun ends."""
    for _ in range(SETTLE_STEPS):
        if not live_slots(rig):
            return
        rig.advance(STEP_MS)
        rig.sent()


PLAIN = Case("invite", lambda n, _size: request(n, headers=[b"Contact: <sip:a@198.51.100.66>", b"Supported: timer"],
                                                body=b"v=0\r\n" + b"a=sendrecv\r\n" * 60))
DOOR = Case("door", lambda _n, _size: KEEP_ALIVE)


def measure(cases: Sequence[Case], rounds: int, place: Path) -> dict:
    """Medians over the rounds, in microseconds and in INVITEs of the same turn."""
    bench = Bench(place)
    found: dict[str, dict] = {}
    for case in cases:
        for size in (SHORT, LONG, HEAD):
            costs, ratios = [], []
            for _ in range(rounds + 1):
                door = bench.cost_us(DOOR, SHORT)
                plain = bench.cost_us(PLAIN, SHORT) - door
                costs.append(bench.cost_us(case, size) - door)
                ratios.append(costs[-1] / plain)
            length = len(case.datagram(1, size))
            name = f"{case.name}, {size}" if size == HEAD else case.name
            # The first turn warms caches and pages.
            found[f"{case.name}/{size}"] = {
                "case": name, "bytes": length, "us": statistics.median(costs[1:]),
                "x_invite": statistics.median(ratios[1:]),
            }
    return found


def misses(found: dict) -> list[str]:
    said = []
    for one in found.values():
        if one["bytes"] < 2048 and one["x_invite"] > SHORT_BAR:
            said.append(f"{one['case']}: {one['bytes']} bytes cost {one['x_invite']:.0f} INVITEs")
        elif one["bytes"] >= 2048 and one["us"] > LONG_BAR_US:
            said.append(f"{one['case']}: {one['bytes']} bytes cost {one['us']:.0f} us")
    return said


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.hostile", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", help="names of cases, comma-separated")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="result file; default: a new one in bench/results/")
    args = parser.parse_args()
    wanted = set(args.only.split(",")) if args.only else {case.name for case in CASES}
    cases = [case for case in CASES if case.name in wanted]
    if unknown := wanted - {case.name for case in cases}:
        print(f"bench.hostile: no case {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    with scratch() as place:
        found = measure(cases, args.rounds, place)
    print(f"{'datagram':<20}{'bytes':>8}{'us':>10}{'x INVITE':>10}")
    for one in found.values():
        print(f"{one['case']:<20}{one['bytes']:>8}{one['us']:>10.1f}{one['x_invite']:>10.1f}")
    problems = misses(found)
    for problem in problems:
        print(f"! {problem}")
    report = {"plan": {"rounds": args.rounds}, "found": list(found.values()), "problems": problems}
    print(f"written to {write_report(report, 'hostile', args.json)}")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
