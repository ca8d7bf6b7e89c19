"""Random and damaged datagrams for the running kernels, on the virtual clock.

    python -m tests.fuzz.shard [--seconds 60] [--seed N]      from seed N on

Calls come in, some of their messages damaged; callees answer what reaches them,
sometimes damaged, too; odd messages come from anywhere; names become known; the clock moves on.  The store must
stay consistent, and empty again when all clocks have run out.  A finding is a file with the command that plays
its seed again; after a crash, too (see run.py).
Run it with the sanitizer build to see reads and writes out of bounds.
"""

import random
import sys

from fastsip._core.harness.rig import Rig
from fastsip._core.transport.names import PREFIXES
from fastsip.ua.message import NotSip, make_ack, make_cancel, make_request, make_response, read_message
from tests.fuzz.findings import run_seeds
from tests.fuzz.seeds import seeds
from tests.kernels.audit import complaints, live_slots
from tests.kernels.damage import damaged
from tests.protocol.script import ALICE, BOB, NUMBER, PARALLEL, PRIORITY, make_table

POLICY = {"on": [500, "4xx", "timeout", "ring", "transport"], "timeout_ms": 1500, "ring_ms": 4000, "budget_ms": 20_000}
METHODS = ("INVITE", "INVITE", "INVITE", "MESSAGE", "OPTIONS", "REGISTER", "PUBLISH", "FOO")
NAMES = ("gw.example.net", "pbx.example.org")
ROUTES = ([], [], *([("Route", f"<sip:{name};lr>")] for name in (*NAMES, f"{NAMES[0]}.", "10.0.1.3:5070", "a..b")))
CODES = (100, 180, 183, 200, 200, 302, 401, 404, 408, 482, 486, 487, 500, 503, 603, 699)
SEEDS = seeds()
ALGORITHMS = (PRIORITY, PARALLEL, 0, 1, 2, 3, 5)  # the numbers: Call-ID, From, To, Request-URI, user
DAMAGED = 0.3           # of all messages
ALL_CLOCKS_MS = 300_000


class Round:
    """One seed: a router of its own, `steps` things that happen to it."""

    def __init__(self, seed: int, run_dir: str):
        self.rng = random.Random(seed)
        table, cells = make_table(
            policy=POLICY, backup=2, algorithm=ALGORITHMS[seed % len(ALGORITHMS)], ruri=seed // 5 % 3,
            dialog_rule=seed // 7 % 2 == 1, trusted=[ALICE[0]] if seed // 11 % 3 else (),
        )  # fmt: skip
        self.rig = Rig(run_dir, table, cells, 64)
        self.sent: list[bytes] = []         # by the caller
        self.seen: list[tuple[bytes, tuple]] = []   # by the callees

    def put(self, raw: bytes, source: tuple) -> None:
        if self.rng.random() < DAMAGED:
            other = self.rng.choice(self.sent or [raw])
            raw = damaged(raw, other, self.rng.getrandbits(63))
        if raw:
            self.rig.receive(raw, source=source)
        self.collect()

    def collect(self) -> None:
        for sent in self.rig.sent():
            if sent[1][0].startswith("10.0.1."):
                self.seen.append((sent[0], sent[1]))

    def call(self) -> None:
        uri = self.rng.choice((NUMBER, "sip:x@10.0.0.254", "tel:+123", "sip:10.0.1.2", "sips:a@b", "sip:[2001:db8::1]"))
        number = self.rng.randrange(1 << 30)
        request = make_request(
            self.rng.choice(METHODS), uri, via=f"SIP/2.0/UDP {ALICE[0]}:{ALICE[1]};branch=z9hG4bK{number};rport",
            sender=f"<sip:alice@example.net>;tag={number}", recipient=f"<{uri}>", call_id=f"{number}@alice", cseq=1,
            headers=[("Contact", f"<sip:alice@{ALICE[0]}:{ALICE[1]}>"), *self.rng.choice(ROUTES)],
            body=self.rng.randbytes(40),
        )  # fmt: skip
        self.sent.append(request.to_bytes())
        self.put(self.sent[-1], ALICE)

    def follow_up(self) -> None:
        """The caller repeats, cancels or acknowledges something it sent."""
        if not self.sent:
            return
        raw = self.rng.choice(self.sent)
        request = read_message(raw)
        choice = self.rng.randrange(3)
        if choice == 1 and request.method == "INVITE":
            raw = make_cancel(request).to_bytes()
        elif choice == 2 and request.method == "INVITE":
            raw = make_ack(request, make_response(request, 486, to_tag="x")).to_bytes()
        self.put(raw, ALICE)

    def answer(self) -> None:
        if not self.seen:
            return
        raw, bob = self.rng.choice(self.seen)
        try:
            request = read_message(raw)
        except NotSip:      # too damaged for a callee to make a response of
            return
        if request.method and request.method != "ACK":
            status = self.rng.choice(CODES)
            self.put(make_response(request, status, to_tag="b" if status > 100 else "").to_bytes(), bob)

    def resolve(self) -> None:
        """DNS says something of a name, or only seems to."""
        name, now = self.rng.choice(PREFIXES) + self.rng.choice(NAMES), self.rig.now_ms
        if self.rng.random() < 0.3:
            self.rig.names.deny(name, self.rng.choice((0, 5_000)), now)
        elif self.rng.random() < 0.8:
            targets = [(*place, self.rng.randrange(3), self.rng.choice((1, 65_535)))
                       for place in self.rng.sample(BOB, 3)]
            self.rig.names.put(name, targets, self.rng.choice((0, 5_000)), now)
        self.rig.name_changed(self.rng.choice((name, "")))
        self.collect()

    def step(self) -> None:
        choice = self.rng.random()
        if choice < 0.3:
            self.call()
        elif choice < 0.5:
            self.follow_up()
        elif choice < 0.8:
            self.answer()
        elif choice < 0.85:
            self.resolve()
        elif choice < 0.9:
            self.put(self.rng.choice(SEEDS), self.rng.choice((ALICE, BOB[0])))
        elif choice < 0.91:
            self.put(self.rng.randbytes(self.rng.randrange(200)), BOB[0])
        else:
            self.rig.advance(self.rng.choice((10, 100, 500, 2_000, 40_000)))
            self.collect()

    def run(self, steps: int) -> list[str]:
        """What is wrong in the end."""
        for _ in range(steps):
            self.step()
        wrongs = list(complaints(self.rig))
        self.rig.advance(ALL_CLOCKS_MS)
        self.rig.sent()
        left = live_slots(self.rig)
        if left:
            wrongs.append(f"{len(left)} slots live on: {left[:3]}")
        return wrongs + list(complaints(self.rig))


def run(seed: int, run_dir: str, steps: int) -> list[str]:
    return Round(seed, run_dir).run(steps)


if __name__ == "__main__":
    sys.exit(run_seeds("shard", "steps", 300, run))
