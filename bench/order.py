"""Does the order of messages inside a call survive two shards?

    python -m bench.order [--dialogs 1000] [--shards 2] [--target fastsip]

In each dialog both ends send 50 numbered INFOs back to back, from many source ports;
at the other side CSeq must increase.  A failed call does not show reordering, so this
counts it: an INFO is `reordered` when it arrives first after a later one and was sent
only once, `lost` when its end had to repeat it, `failed` without a 200.
"""

import argparse
import re
import select
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench import targets
from bench.load import write_report
from bench.phone import REPEAT_S, Phone
from bench.processes import RunFailed, scratch, take_ports
from fastsip.ua.message import Dialog, Message, caller_dialog, read_message

PATIENCE_S = 32  # 64 T1
PLACE_BRANCH, PLACE_CSEQ = b"the-branch", b"4242424242"  # stand in a template until the number does
CALL_ID = re.compile(rb"\r\nCall-ID: (\S+)")
CSEQ = re.compile(rb"\r\nCSeq: (\d+) ([A-Z]+)")
COPIED = (b"Via:", b"From:", b"To:", b"Call-ID:", b"CSeq:")


@dataclass
class Counts:
    sent: int = 0
    delivered: int = 0
    reordered: int = 0
    lost: int = 0
    again: int = 0  # arrived more than once
    failed: int = 0
    failed_dialogs: int = 0


@dataclass
class End:
    """One side of one dialog."""

    phone: Phone
    dialog: Dialog | None = None
    highest: int = 0  # CSeq that arrived
    seen: set[int] = field(default_factory=set)
    waiting: dict[int, bytes] = field(default_factory=dict)  # INFOs without final response
    excused: set[int] = field(default_factory=set)  # what the other end sent more than once


@dataclass
class Pair:
    """One call; ends[0] called."""

    ends: tuple[End, End]
    invite: Message


class Order:
    """All phones and dialogs of a run."""

    def __init__(self, router: tuple[str, int], callers: list[Phone], callees: list[Phone]):
        self.router, self.callers, self.callees = router, callers, callees
        self.counts = Counts()
        self.pairs: dict[bytes, Pair] = {}
        self.sides = {phone.sock.fileno(): 0 for phone in callers} | {p.sock.fileno(): 1 for p in callees}
        self.phones = {phone.sock.fileno(): phone for phone in [*callers, *callees]}
        self.poll = select.epoll()
        for number in self.phones:
            self.poll.register(number, select.EPOLLIN)

    # ------------------------------------------------------------ what arrives

    def read(self, seconds: float) -> None:
        for number, _ in self.poll.poll(seconds):
            phone, side = self.phones[number], self.sides[number]
            for datagram, source in phone.receive():
                self.take(phone, side, datagram, source)

    def take(self, phone: Phone, side: int, datagram: bytes, source: tuple[str, int]) -> None:
        call_id, cseq = CALL_ID.search(datagram), CSEQ.search(datagram)
        pair = self.pairs.get(call_id[1]) if call_id else None
        if pair is None or cseq is None:
            return
        number, method = int(cseq[1]), cseq[2]
        if datagram.startswith(b"SIP/2.0 "):
            self.take_response(pair, side, datagram, number, method)
        elif method == b"INFO":
            self.take_info(pair.ends[side], number)
            phone.sock.sendto(ok_to(datagram), source)
        elif method == b"BYE":
            phone.sock.sendto(ok_to(datagram), source)
        elif method == b"INVITE" and pair.ends[1].dialog is None:
            pair.ends[1].phone = phone
            ok, pair.ends[1].dialog = phone.answer(read_message(datagram, source))
            phone.sock.sendto(ok, source)

    def take_info(self, end: End, number: int) -> None:
        if number in end.seen:
            self.counts.again += 1
            return
        end.seen.add(number)
        self.counts.delivered += 1
        if number > end.highest:
            end.highest = number
        elif number not in end.excused:
            self.counts.reordered += 1

    def take_response(self, pair: Pair, side: int, datagram: bytes, number: int, method: bytes) -> None:
        status, end = int(datagram[8:11]), pair.ends[side]
        if status < 200:
            return
        if method == b"INVITE" and status == 200:
            if end.dialog is None:
                end.dialog = caller_dialog(pair.invite, read_message(datagram))
            ack = end.dialog.request("ACK", end.phone.address, cseq=1)
            end.phone.sock.sendto(ack.to_bytes(), end.dialog.next_hop)
        elif end.waiting.pop(number, None) is not None and status != 200:
            self.counts.failed += 1

    # ------------------------------------------------------------ the three phases

    def settle(self, pairs: list[Pair]) -> None:
        """Until nothing waits for a response; repeats what waits every 500 ms, for 64 T1."""
        ways = [way for pair in pairs for way in (pair.ends, pair.ends[::-1])]
        begun = time.monotonic()
        repeat_at = begun + REPEAT_S
        while any(near.waiting for near, _ in ways) and time.monotonic() < begun + PATIENCE_S:
            self.read(0.02)
            if time.monotonic() < repeat_at:
                continue
            repeat_at = time.monotonic() + REPEAT_S
            for near, far in ways:
                far.excused.update(near.waiting)
                self.counts.lost += len(near.waiting)
                for request in near.waiting.values():
                    near.phone.sock.sendto(request, self.router)
        for near, _ in ways:
            self.counts.failed += len(near.waiting)
            near.waiting = {}

    def connect(self, first: int, count: int) -> list[Pair]:
        """Calls first..first+count-1, all at once; those that stand."""
        pairs = []
        for number in range(first, first + count):
            caller = self.callers[number % len(self.callers)]
            invite = caller.make_invite(f"order-{number}-{time.monotonic_ns():x}@127.0.0.1", self.router)
            pair = Pair((End(caller), End(caller)), invite)
            self.pairs[invite.call_id.encode()] = pair
            pairs.append(pair)
        end, send_at = time.monotonic() + PATIENCE_S, 0.0
        while time.monotonic() < end and not all(stands(pair) for pair in pairs):
            if time.monotonic() >= send_at:
                send_at = time.monotonic() + REPEAT_S
                for pair in pairs:
                    if pair.ends[0].dialog is None:
                        pair.ends[0].phone.sock.sendto(pair.invite.to_bytes(), self.router)
            self.read(0.02)
        good = [pair for pair in pairs if stands(pair)]
        self.counts.failed_dialogs += len(pairs) - len(good)
        return good

    def burst(self, pairs: list[Pair], requests: int) -> None:
        """Each end of each pair sends its INFOs back to back; all of it is prepared before."""
        ends = [end for pair in pairs for end in pair.ends]
        for end in ends:
            end.waiting = make_requests(end, "INFO", requests)
        for end in ends:
            to, send = end.dialog.next_hop, end.phone.sock.sendto
            for request in end.waiting.values():
                send(request, to)
            self.counts.sent += len(end.waiting)
        self.settle(pairs)

    def hang_up(self, pairs: list[Pair]) -> None:
        ends = [pair.ends[0] for pair in pairs]
        for end in ends:
            end.waiting = make_requests(end, "BYE", 1)
            for request in end.waiting.values():
                end.phone.sock.sendto(request, end.dialog.next_hop)
        self.settle(pairs)
        for pair in pairs:
            del self.pairs[pair.invite.call_id.encode()]


def stands(pair: Pair) -> bool:
    return pair.ends[0].dialog is not None and pair.ends[1].dialog is not None


def make_requests(end: End, method: str, count: int) -> dict[int, bytes]:
    """The next `count` requests of the dialog by CSeq."""
    request = end.dialog.request(method, end.phone.address)
    first = end.dialog.cseq
    end.dialog.cseq += count - 1
    branch = request.branch
    request.set("Via", request.via.replace(branch, f"{branch}.{PLACE_BRANCH.decode()}"))
    request.set("CSeq", f"{PLACE_CSEQ.decode()} {method}")
    text, found = request.to_bytes(), {}
    for number in range(first, first + count):
        digits = b"%d" % number
        found[number] = text.replace(PLACE_BRANCH, digits).replace(PLACE_CSEQ, digits)
    return found


def ok_to(request: bytes) -> bytes:
    """200 to a request inside a dialog; the router's own lines are spelled as ours are."""
    head = request.partition(b"\r\n\r\n")[0].split(b"\r\n")
    lines = [line for line in head if line.startswith(COPIED)]
    return b"\r\n".join([b"SIP/2.0 200 OK", *lines, b"Content-Length: 0", b"", b""])


def run(args: argparse.Namespace) -> tuple[Counts, dict[str, int], float]:
    """Counts, fastsip's counters at the end, seconds."""
    with scratch() as files, ExitStack() as stack:
        port = take_ports(1)[0]
        callees = [Phone() for _ in range(args.callees if args.target == "fastsip" else 2)]
        callers = [Phone() for _ in range(args.callers)]
        for phone in [*callees, *callers]:
            stack.callback(phone.close)
        ports = tuple(phone.address[1] for phone in callees)
        site = targets.Site(port, ports, files, None, args.shards, 600)
        target = targets.start_target(args.target, site)
        stack.callback(target.stop)
        order = Order(("127.0.0.1", port), callers, callees)
        stack.callback(order.poll.close)
        begun = time.monotonic()
        for first in range(0, args.dialogs, args.at_once):
            pairs = order.connect(first, min(args.at_once, args.dialogs - first))
            order.burst(pairs, args.requests)
            order.hang_up(pairs)
            if args.rate:
                time.sleep(max(0, begun + (first + args.at_once) / args.rate - time.monotonic()))
        seconds = time.monotonic() - begun
        if not target.alive():
            raise RunFailed(f"{args.target} ended during the run: {target.output()[-2000:]}")
        stats = targets.read_fastsip_stats(site.run_dir) if args.target == "fastsip" else {}
        return order.counts, stats, seconds


def problems_of(counts: Counts, stats: dict[str, int], args: argparse.Namespace) -> list[str]:
    found = []
    if counts.reordered:
        found.append(f"{counts.reordered} INFOs came after a later one")
        if stats.get("retransmissions_sent"):
            repeated = stats["retransmissions_sent"]
            found.append(f"but the router repeated {repeated} messages, and what was lost comes late, too")
    if counts.lost:
        found.append(f"{counts.lost} INFOs or BYEs had to be repeated")
    if counts.failed or counts.failed_dialogs:
        found.append(f"{counts.failed} requests and {counts.failed_dialogs} dialogs failed")
    missing = counts.sent - counts.delivered - counts.failed
    if missing > 0:
        found.append(f"{missing} INFOs were answered but never arrived")
    if stats and args.shards > 1 and not stats[targets.HANDED_OVER]:
        found.append("nothing was handed over: the run says nothing")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.order", description=__doc__.partition("\n")[0])
    parser.add_argument("--dialogs", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=50, help="INFOs from each end of each dialog")
    parser.add_argument("--shards", type=int, default=2, help="shards, or Kamailio's workers")
    parser.add_argument("--at-once", type=int, default=16, help="dialogs whose INFOs are under way together")
    parser.add_argument("--callers", type=int, default=64, help="source ports of callers")
    parser.add_argument("--callees", type=int, default=8, help="destinations (Kamailio: 2)")
    parser.add_argument("--rate", type=float, default=0, help="dialogs per second at most; 0: no limit")
    parser.add_argument("--target", choices=("fastsip", "kamailio"), default="fastsip")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    try:
        counts, stats, seconds = run(args)
    except RunFailed as failure:
        print(f"bench.order: {failure}", file=sys.stderr)
        return 2
    problems = problems_of(counts, stats, args)
    what = f"{args.dialogs} dialogs, {counts.sent} INFOs"
    print(f"{args.target} with {args.shards} shards: {what} in {seconds:.1f} s")
    print(f"{'reordered':>12}{'lost':>8}{'failed':>8}{'delivered':>11}{'handed over':>13}")
    share = stats[targets.HANDED_OVER] / stats[targets.DATAGRAMS_IN] if stats else 0
    print(
        f"{counts.reordered:>12}{counts.lost:>8}{counts.failed + counts.failed_dialogs:>8}"
        f"{counts.delivered:>11}{share:>13.1%}"
    )
    for problem in problems:
        print(f"! {problem}")
    report = {
        "plan": {**vars(args), "json": str(args.json)},
        "seconds": seconds,
        "counts": vars(counts),
        "stats": stats,
        "problems": problems,
    }
    print(f"written to {write_report(report, 'order', args.json)}")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
