"""Random valid configurations, their texts at their edges, and messages sent through each.

    python -m tests.fuzz.configurations [--seconds 60] [--seed N]      from seed N on

Every key of the language has a maker here that reaches its longest value: names of 64 letters, hosts of 253, the
longest reasons, URIs and header texts, all listeners, all header edits. What the loader finds right is compiled by
the real compiler and run by the real kernels, on the virtual clock: what it lets through must neither raise nor
write beyond its room (run it with the sanitizer build), and the store must stay consistent. A finding is a file
with the command that plays its seed again.
"""

import json
import os
import random
import sys
from pathlib import Path

from fastsip._core.base.short_ids import LISTENER_BITS, short_id
from fastsip._core.dispatcher.cells import Cells
from fastsip._core.harness.rig import Rig
from fastsip.config import Config, ConfigError, load_text
from fastsip.config.language import HEADER_FIELDS, MAX_ID_BYTES, MAX_TARGET_BYTES, METHODS
from fastsip.resolve.answers import Answer
from fastsip.resolve.asking import Question
from fastsip.resolve.targets import WHOLE, find_targets, plain_place
from fastsip.routing.compile import compile_table
from fastsip.routing.registry import Registry
from fastsip.ua.message import NotSip, make_ack, make_cancel, make_response, read_message
from tests.fuzz.findings import run_seeds
from tests.fuzz.seeds import seeds
from tests.kernels.audit import complaints, live_slots
from tests.kernels.damage import damaged

SECRET = "FASTSIP_FUZZ_SECRET"
LIST = "fuzz.list"
SEEDS = seeds()
MESSAGES = 120      # through each configuration
ALL_CLOCKS_MS = 400_000
LONGEST_SEARCHES = 10   # of them after each other: 16 attempts, each with its own clocks
PIECE_MS = 1_000
TOKEN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~"
NAME = TOKEN[:62] + "_.-"
USER = TOKEN[:62] + "-_.!~*'()&=+$,;?/%#"
PATTERNS = (r"^\d{1,20}$", "^[a-z]+(x|yy?|z{2,5})*$", "0900", r"\w{3,9}", "a|b|c|d|(ef)+", "^" + "8" * 250,
            "[^0-9]{40}")
CODES = (100, 180, 183, 200, 200, 302, 401, 404, 408, 482, 486, 487, 500, 503, 603, 699)


class Maker:
    """One configuration: `text`, and `calls` that its rules may want."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.families: list[int] = []
        self.answers: dict[Question, Answer] = {}   # what DNS says of names among the destinations
        self.tags: list[str] = []
        self.sets: list[str] = []
        self.policies: list[str] = []
        self.users: list[str] = []
        self.headers: list[str] = []
        self.methods: list[str] = list(METHODS)
        self.text = "\n".join(
            [self.router(), self.listeners(), self.timers(), self.set_tables(), self.failures(), self.routes(),
             self.source(), self.webhook(), self.otel()]
        )
        self.rows = "".join(self.row() for _ in range(self.size(40)))

    # ------------------------------------------------------------ texts

    def size(self, most: int) -> int:
        return self.rng.choice((1, 2, 8, most - 1, most, most, self.rng.randint(1, most)))

    def letters(self, alphabet: str, most: int) -> str:
        return "".join(self.rng.choices(alphabet, k=self.size(most)))

    def name(self) -> str:
        return f"n{self.rng.randrange(10**9)}".ljust(self.size(64), "x")[:64]

    def token(self) -> str:
        """Long enough to be no name that the router lives by, and of no compact form."""
        return f"X{self.rng.randrange(10**9):09}" + self.letters(TOKEN, 245)

    def line(self, most: int) -> str:
        return "".join(self.rng.choices(TOKEN + ' ";,:<>=@/[]', k=self.size(most))).strip() or "x"

    def host(self) -> str:
        length = self.size(253)
        labels = "a" * (length - 1 - (length - 1) // 61) if length < 61 else ".".join(["b" * 60] * (length // 61))
        return (labels + "z")[:253].strip(".") or "z"

    def user(self) -> str:
        word = self.letters(USER, 255).replace("%", "%41")[:255]
        return word[:-2] + "xy" if "%" in word[-2:] else word

    def maybe(self, share: float = 0.5) -> bool:
        return self.rng.random() < share

    def some(self, make, most: int) -> list:
        return [make() for _ in range(self.rng.choice((1, 1, 2, most)))]

    @staticmethod
    def value(raw: object) -> str:
        """As TOML has it; JSON's strings, numbers and lists are the same there."""
        if isinstance(raw, dict):
            return "{ " + ", ".join(f"{json.dumps(key)} = {Maker.value(each)}" for key, each in raw.items()) + " }"
        if isinstance(raw, list):
            return "[" + ", ".join(map(Maker.value, raw)) + "]"
        return json.dumps(raw, ensure_ascii=False)

    def table(self, head: str, keys: dict, share: float = 0.5) -> str:
        """A table with some of these keys, those of a plain value always."""
        lines = [head]
        for key, raw in keys.items():
            if not callable(raw):
                lines.append(f"{key} = {self.value(raw)}")
            elif self.maybe(share):
                lines.append(f"{key} = {self.value(raw())}")
        return "\n".join(lines) + "\n"

    # ------------------------------------------------------------ tables

    def place(self, family: int) -> str:
        number = self.rng.randrange(1, 65536)
        if family == 4:
            return f"10.1.{number >> 8}.{number & 255 or 1}"
        return f"[2001:db8:ffff:ffff:ffff:ffff:ffff:{number:x}]"

    def host_port(self) -> str:
        return self.rng.choice((self.host(), self.place(4), self.place(6))) + self.rng.choice(("", ":1", ":65535"))

    def router(self) -> str:
        return self.table("[router]", {
            "secret": f"env:{SECRET}", "name": self.name, "domains": lambda: self.some(self.host_port, 40),
            "trusted": lambda: ["10.1.0.0/17", "2001:db8::/32"], "shards": lambda: self.rng.choice((1, 64, "auto")),
            "stop_mode": lambda: self.rng.choice(("leave", "drain")), "hang": lambda: "2s",
            "hang_loop": lambda: "60s",
        })  # fmt: skip

    def tag(self) -> str:
        """Of no short id that another one has: tokens could not tell the two apart."""
        taken = {short_id(tag, LISTENER_BITS) for tag in self.tags}
        return next(tag for tag in iter(self.name, "") if short_id(tag, LISTENER_BITS) not in taken)

    def listeners(self) -> str:
        tables = []
        for number in range(self.rng.choice((1, 1, 2, 3, 16))):
            family = self.rng.choice((4, 4, 6))
            host = f"10.0.0.{number + 1}" if family == 4 else f"[2001:db8::{number + 1}]"
            tag = self.tag()
            tables.append(self.table("[[listen]]", {
                "uri": f"udp:{host}:{self.rng.choice((1, 5060, 65535))}", "tag": tag, "advertise": self.host_port,
                "contact": self.host_port, "rcvbuf": lambda: "4KiB",
                "headers": lambda: {"in": self.header_edits(), "out": self.header_edits()},
            }))  # fmt: skip
            self.families.append(family)
            self.tags.append(tag)
        return "\n".join(tables)

    def timers(self) -> str:
        limits = {"max_message": lambda: self.rng.choice((1300, 4096, 65535)), "max_transactions": lambda: 64,
                  "max_head": lambda: self.rng.choice((1300, 8192, 65535)),
                  "max_names": lambda: self.rng.choice((2_048, 4_096, 262_144)),
                  "names_per_source": lambda: self.rng.choice((1, 1_000_000)), "names_burst": lambda: 1}
        clocks = {"t1": lambda: self.rng.choice(("10ms", "500ms")), "t2": lambda: "500ms", "t4": lambda: "10ms",
                  "c": lambda: "181s"}
        resolve = {"target_timeout": lambda: self.rng.choice(("100ms", "60s")),
                   "stale": lambda: self.rng.choice(("0s", "168h"))}
        return (self.table("[limits]", limits) + self.table("[timers]", clocks) + self.table("[resolve]", resolve)
                + self.names())

    def names(self) -> str:
        wanted = {self.host(): [f"{self.place(self.rng.choice(self.families))}:1"] * self.size(8) for _ in range(20)}
        return self.table("[names]", {json.dumps(name): places for name, places in wanted.items()})

    def reason(self) -> str | int:
        return self.rng.choice((404, f"4{self.rng.randrange(100):02} {self.line(120)}", "503 x", 699))

    def uri(self, family: int) -> str:
        start = f"sip:{self.letters('abc019', 90)}@" if self.maybe(0.3) else "sip:"
        uri = start + self.place(family) + self.rng.choice(("", ":1", ":65535"))
        return uri + (";x=" + "y" * (self.size(255 - len(uri) - 3) or 1) if self.maybe(0.3) else "")

    def named_uri(self) -> str:
        """A name, of which DNS may know nothing, one address or more targets than a name may have."""
        host, port = f"n{self.rng.randrange(10**9)}.{self.host()[:200].strip('.')}", self.rng.choice((0, 0, 1, 65535))
        question = Question(host, port, self.rng.choice(("", "udp")))
        places = [plain_place(f"h{number}", port or 65535) for number in range(self.size(40))]
        addresses = {place.host: [self.place(self.rng.choice((4, 6))).strip("[]")] for place in places}
        targets, cut = find_targets(places, addresses)
        if self.maybe(0.9):
            tiers = [one._replace(tier=self.rng.choice((0, 0, 1, 31)), weight=self.rng.choice((1, 7, WHOLE)))
                     for one in targets]
            self.answers[question] = Answer(targets=tuple(tiers), at=0.0, cut=cut)
        return f"sip:{host}" + (f":{port}" if port else "") + (";transport=udp" if question.transport else "")

    def probe(self) -> dict | bool:
        if self.maybe(0.3):
            return False
        sender = f"sip:{'p' * self.size(100)}@{'h' * self.size(100)}"
        probe = {"method": self.rng.choice(("OPTIONS", self.token())), "interval": self.rng.choice(("2s", "60s")),
                 "from": sender, "rise": self.rng.choice((1, 255)), "accept": ["2xx", 480], "timeout": "50ms",
                 "headers": {"Contact": f"<sip:{'c' * self.size(200)}@example.net>", self.token(): self.line(255)},
                 "fall": 255, "mode": self.rng.choice(("all", "only-failed", "marked", "none"))}
        return {key: probe[key] for key in probe if self.maybe(0.7)} or {"interval": "5s"}

    def destination(self) -> str | dict:
        listener = self.rng.randrange(len(self.families))
        named = self.maybe(0.3)
        uri = self.named_uri() if named else self.uri(self.families[listener])
        if self.maybe():
            return uri
        longest = MAX_ID_BYTES - (MAX_TARGET_BYTES if named else 0) - 64
        keys = {"uri": uri, "id": self.rng.choice((self.name(), self.name() + self.line(longest))),
                "weight": self.rng.choice((0, 1, 100)), "probe": self.probe(),
                "priority": self.rng.choice((-1, 0, 7)), "attrs": {"site": self.line(255)}}
        if self.maybe():
            keys |= {"listen": self.tags[listener], "starts_down": self.maybe(),
                     "admin": self.rng.choice(("enabled", "draining", "disabled")),
                     "calls_per_second": 10, "calls_at_once": self.size(100)}
        return keys

    def set_tables(self) -> str:
        self.sets = [self.name() for _ in range(self.rng.choice((1, 2, 3)))]
        self.policies = [self.name() for _ in range(self.rng.choice((1, 2)))]
        tables = []
        for name in self.sets:
            algorithm = self.rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15))
            keys = {"algorithm": algorithm, "destinations": self.some(self.destination, 16), "probe": self.probe}
            keys |= {"limit": lambda: self.size(16), "ruri": lambda: self.rng.choice(("keep", "host", "uri")),
                     "tiers": lambda: self.maybe(), "when_all_down": lambda: self.rng.choice(("fail", "try")),
                     "retry": lambda: "1s", "retry_after_max": lambda: "1s",
                     "call_fall": lambda: self.rng.choice((1, 255)), "call_rise": lambda: 255,
                     "damping": lambda: self.rng.choice(("0s", "10m")),
                     "headers": lambda: {"out": self.header_edits()}}
            if self.maybe():
                keys |= {"calls_per_second": 100, "calls_at_once": self.size(1_000), "each_calls_at_once": 10,
                         "each_calls_per_second": self.rng.choice((1, 1_000_000))}
            if len(self.sets) == 1:
                keys["setid"] = self.rng.choice((0, 2**31 - 1))
            if len(set(self.families)) == 1:
                keys["listen"] = self.rng.choice(self.tags)
            if algorithm == 7:
                self.headers.append(self.token())
                keys["key"] = self.headers[-1]
            if self.maybe(0.4):
                keys["in_dialog"] = "shared"
                keys["in_dialog_failure"] = self.rng.choice(self.policies)
            tables.append(self.table(f"[set.{json.dumps(name)}]", keys))
        return "\n".join(tables)

    def failures(self) -> str:
        clock = lambda: self.rng.choice(("10ms", "2s", "59s"))  # noqa: E731
        return "\n".join(self.table(f"[failure.{json.dumps(name)}]", {
            "on": ["timeout", "transport", "progress", "ring", 500, "4xx", *range(300, 309)], "progress": "2s",
            "after_progress": self.maybe, "mark_last": self.maybe, "timeout": clock, "ring": clock,
            "mark": lambda: self.rng.choice(("none", "suspect", "down", {"timeout": "down", "500": "none"})),
            "budget": clock,
            "exhausted": self.reason, "unavailable": self.reason, "then": lambda: self.rng.choice(self.sets),
        }) for name in self.policies)  # fmt: skip

    def when(self) -> dict:
        def user() -> str:
            self.users.append(self.user())
            return self.users[-1]

        def method() -> str:
            self.methods.append(self.token())
            return self.methods[-1]

        def header() -> dict:
            self.headers.append(self.token())
            return {self.headers[-1]: self.rng.choice((True, self.line(255), [self.line(9), self.line(255)]))}

        makers = {
            "user": lambda: self.some(user, 40), "user_prefix": lambda: self.some(user, 40), "header": header,
            "method": lambda: [*self.some(method, 20), "INVITE"], "domain": lambda: self.some(self.host, 30),
            "source": lambda: ["0.0.0.0/0", "2001:db8::/32"], "source_set": lambda: [self.rng.choice(self.sets)],
            "user_match": lambda: self.rng.sample(PATTERNS, 2), "listen": lambda: [self.rng.choice(self.tags)],
            "to_tag": lambda: self.maybe(),
        }  # fmt: skip
        return {key: makers[key]() for key in self.rng.sample(sorted(makers), self.rng.choice((1, 1, 2, 4)))}

    def header_edits(self) -> dict:
        """Up to 32 names and 2,048 bytes."""
        room, edits = 2_000, {}
        for _ in range(self.rng.choice((1, 3, 16))):
            name = self.token()
            fields = self.rng.sample(sorted(HEADER_FIELDS), self.rng.randrange(4))
            value = "".join(f"{{{field}}} " for field in fields) + self.line(150).replace("{", "(").replace("}", ")")
            room -= len(name) + len(value) + 4 + sum(HEADER_FIELDS[field] for field in fields)
            if room > 0:
                edits[name] = value
        removed = self.some(lambda: self.token()[:200] + self.rng.choice(("", "*")), 15)
        self.headers += [*edits, removed[0].rstrip("*")]
        return {"set": edits, "remove": removed} if edits else {"remove": removed}

    def webhook(self) -> str:
        keys = {
            "url": "https://[2001:db8::1]/" + "x" * 2_000, "name": self.name, "timeout": lambda: "60s",
            "events": lambda: ["destination.*", "*"], "secret": lambda: f"env:{SECRET}",
        }  # fmt: skip
        return self.table("[[webhook]]", keys) if self.maybe() else ""

    def otel(self) -> str:
        keys = {
            "endpoint": "https://[2001:db8::1]/" + "x" * 2_000, "sample": lambda: self.rng.choice((0, 1, 0.01)),
            "service": self.name, "timeout": lambda: "60s", "headers": lambda: {"X-A": "y" * 2_048},
        }  # fmt: skip
        return self.table("[otel]", keys) if self.maybe() else ""

    def source(self) -> str:
        """A list beside the file; its rows are `rows`."""
        keys = {"kind": "list", "path": LIST, "name": self.name()}
        return self.table("[[source]]", keys) if self.maybe() else ""

    def row(self) -> str:
        """One of the sets that are there, or of one that the list makes; now and then what nobody could read."""
        if self.maybe(0.1):
            return self.letters(TOKEN + " \t#;=", 4_200) + "\n"
        attrs = [f"duid={self.name()}", "site=" + self.letters(TOKEN, 250), f"weight={self.rng.choice((0, 1, 100))}",
                 "rweight=1000000", f"sockname={self.rng.choice(self.tags or ['x'])}", "ping_from=sip:a@example.net"]
        number, flags = self.rng.choice((0, 7, 2**31 - 1)), self.rng.choice((0, 1, 2, 4, 8, 9, 16, 32, 63))
        priority = self.rng.choice((-(2**31), 0, 5, 2**31 - 1))
        uri = self.named_uri() if self.maybe(0.2) else self.uri(self.rng.choice(self.families))
        return f"{number} {uri} {flags} {priority} {self.attrs_text(attrs)}\n"

    def attrs_text(self, attrs: list[str]) -> str:
        return ";".join(one for one in attrs if self.maybe(0.3)) or "x"

    def routes(self) -> str:
        tables = []
        for number in range(self.rng.choice((1, 3, 12))):
            keys = {"name": f"r{number}".ljust(self.size(64), "y")[:64]}
            if number or self.maybe():
                keys["when"] = self.when() | ({"not": self.when()} if self.maybe(0.3) else {})
            action = self.rng.choice(("to", "to", "to", "reply", "forward"))
            keys[action] = {"to": self.rng.choice(self.sets), "reply": self.reason(),
                            "forward": self.rng.choice(("request-uri", f"header:{self.token()}"))}[action]
            if action != "reply" and self.maybe(0.6):
                keys["headers"] = self.header_edits()
            if action == "to":
                keys |= {"ruri": lambda: self.rng.choice(("keep", "host", "uri")), "record_route": self.maybe}
            if action != "reply" and self.maybe():
                keys["failure"] = self.rng.choice(self.policies)
            tables.append(self.table("[[route]]", keys))
        tables.append(self.table("[[route]]", {"to": self.rng.choice(self.sets), "headers": self.header_edits}))
        return "\n".join(tables)


class Round:
    """One seed: a configuration, and messages through it."""

    def __init__(self, seed: int, run_dir: str) -> None:
        self.rng = random.Random(seed)
        self.maker = Maker(self.rng)
        self.run_dir = Path(run_dir)
        self.inbox: list[tuple[bytes, tuple[str, int]]] = []

    def load(self) -> Config:
        os.environ[SECRET] = "0123456789abcdef" * 4
        (self.run_dir / LIST).write_text(self.maker.rows)
        return load_text(self.maker.text, str(self.run_dir / "fuzz.toml"), make_secret=False,
                         answers=self.maker.answers)

    def request(self) -> bytes:
        """Of the longest texts that a sender may choose, aimed at what the rules look at."""
        rng, maker = self.rng, self.maker
        method = rng.choice(maker.methods)
        user = rng.choice([*maker.users, "80123", "+49-30-901820", "%30900", ""])
        host = rng.choice([maker.host(), "10.0.0.1", "[2001:db8::1]"])
        number = rng.randrange(10**9)
        token = str(number) + "t" * rng.choice((0, 500, 503 - len(str(number))))
        uri = f"sip:{user}{'@' if user else ''}{host}"
        lines = [
            f"{method} {uri} SIP/2.0", f"Via: SIP/2.0/UDP 10.2.0.1;branch=z9hG4bK{token[:505]};rport;received=x",
            f"From: <sip:a@b.example>;tag={token}", f"To: <{uri}>" + rng.choice(("", f";tag={token}")),
            f"Call-ID: {token}", f"CSeq: {rng.choice((1, 2**32 - 1))} {method}", "Contact: <sip:a@10.2.0.1>",
        ]  # fmt: skip
        lines += [f"{name}: 1" for name in maker.headers if len(name) < 4000 and rng.random() < 0.7][:60]
        lines += rng.choice(([], ["Max-Forwards: 255"], ["Route: <sip:10.0.0.1;lr>"], ["Max-Breadth: 255"], ["s: x"]))
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    def send(self, rig: Rig, listeners: int) -> None:
        choice = self.rng.random()
        source: tuple[str, int] = self.rng.choice((("10.2.0.1", 5060), ("2001:db8::99", 65535), ("10.1.0.9", 1)))
        if choice < 0.5:
            raw = self.request()
        elif choice < 0.8 and self.inbox:
            raw, source = self.rng.choice(self.inbox)
            raw = self.reply(raw)
        else:
            raw = self.rng.choice(SEEDS)
        if self.rng.random() < 0.15:
            raw = damaged(raw, self.rng.choice(SEEDS), self.rng.getrandbits(63))
        if raw:
            rig.receive(raw, source, self.rng.randrange(listeners))

    def wait(self, rig: Rig, ms: int) -> None:
        """In pieces, as the wire of the rig holds so many probes only."""
        while True:
            rig.advance(min(ms, PIECE_MS))
            self.inbox = [*self.inbox, *((sent.datagram, sent.to) for sent in rig.sent())][-50:]
            ms -= PIECE_MS
            if ms <= 0:
                return

    def reply(self, raw: bytes) -> bytes:
        """What a callee, or the caller, makes of a message that reached it."""
        try:
            seen = read_message(raw)
        except NotSip:
            return raw
        if seen.status or not seen.method or seen.method == "ACK":
            return raw
        if seen.method == "INVITE" and self.rng.random() < 0.2:
            refused = make_response(seen, 486, to_tag="x")
            return (make_cancel(seen) if self.rng.random() < 0.5 else make_ack(seen, refused)).to_bytes()
        return make_response(seen, self.rng.choice(CODES), to_tag="b").to_bytes()

    def run(self, messages: int) -> list[str]:
        config = self.load()
        with Registry(self.run_dir) as registry:
            cells = Cells(4_096)
            table = compile_table(config, registry, cells, 1)
        rig = Rig(self.run_dir / "rig", table, cells, 64)
        for _ in range(messages):
            self.send(rig, len(config.listeners))
            self.wait(rig, self.rng.choice((0, 0, 0, 10, 500, 3_000, 40_000)))
        wrongs = list(complaints(rig))
        for _ in range(LONGEST_SEARCHES):
            self.wait(rig, ALL_CLOCKS_MS)
            left = live_slots(rig)
            if not left:
                break
        return wrongs + list(complaints(rig)) + ([f"{len(left)} slots live on: {left[:3]}"] if left else [])


def run(seed: int, run_dir: str, messages: int) -> list[str]:
    try:
        return Round(seed, run_dir).run(messages)
    except ConfigError as error:
        return ["the maker's own fault, the loader refuses:", str(error)]
    except Exception as error:  # whatever a valid configuration raises
        return [repr(error)]


if __name__ == "__main__":
    sys.exit(run_seeds("configurations", "messages", MESSAGES, run))
