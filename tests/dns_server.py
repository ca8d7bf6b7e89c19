"""A small DNS server for tests: answers of four types, late ones, truncated ones, failures, silence.

    async with DnsServer() as dns:
        dns.zone["gw.test"] = Host(a=["127.0.0.1"], ttl=60)
        dns.zone["_sip._udp.gw.test"] = Host(srv=[(1, 10, 5060, "a.gw.test")])
        environ["FASTSIP_NAMESERVERS"] = dns.text

What is not in the zone does not exist.  `asked` lists the questions as (name, "A" | "AAAA" | "SRV" | "NAPTR"); c-ares
repeats what is not answered, and asks a failing server twice.  What is truncated is whole over TCP, at the same port.
RFC 1035 sections 3.2 and 4.1, RFC 2782, RFC 3403; no compression is read.
"""

import asyncio
import ipaddress
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

A, CNAME, AAAA, SRV, NAPTR = 1, 5, 28, 33, 35
KINDS = {A: "A", AAAA: "AAAA", SRV: "SRV", NAPTR: "NAPTR"}
NO_ERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
RESPONSE = 0x8180  # with recursion, as a resolver answers
TRUNCATED = 0x0200
WAIT_LIMIT_S = 20

TRIES = 20  # for a port that is free for UDP and TCP


@dataclass
class Host:
    """What the server knows of a name.  `silent`, `failing` and `truncated` name types, such as "A".

    srv: (priority, weight, port, target), where "." is the root.
    naptr: (order, preference, flags, service, replacement).
    """

    a: list[str] = field(default_factory=list)
    aaaa: list[str] = field(default_factory=list)
    srv: list[tuple[int, int, int, str]] = field(default_factory=list)
    naptr: list[tuple[int, int, str, str, str]] = field(default_factory=list)
    ttl: int = 60
    cname: tuple[str, int] | None = None  # the addresses are those of this name; its TTL
    delay_s: dict[str, float] = field(default_factory=dict)  # by type
    silent: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    truncated: tuple[str, ...] = ()

    def contents(self, kind: int) -> list[bytes]:
        """Of its records of that type."""
        if kind == SRV:
            return [struct.pack(">HHH", *numbers) + wire_name(target) for *numbers, target in self.srv]
        if kind == NAPTR:
            return [struct.pack(">HH", order, preference) + wire_text(flags) + wire_text(service) + wire_text("")
                    + wire_name(replacement) for order, preference, flags, service, replacement in self.naptr]
        return [ipaddress.ip_address(text).packed for text in (self.a if kind == A else self.aaaa)]


def wire_text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def wire_name(name: str) -> bytes:
    labels = [label.encode() for label in name.removesuffix(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def record(name: str, kind: int, ttl: int, content: bytes) -> bytes:
    return wire_name(name) + struct.pack(">HHIH", kind, 1, ttl, len(content)) + content


def read_question(query: bytes) -> tuple[str, int, bytes]:
    """Name in lower case, type, and the question section as it stands."""
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    return ".".join(labels).lower(), int.from_bytes(query[at + 1 : at + 3], "big"), query[12 : at + 5]


class DnsServer(asyncio.DatagramProtocol):
    def __init__(self, port: int = 0):
        self.port = port
        self.zone: dict[str, Host] = {}
        self.asked: list[tuple[str, str]] = []
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task] = set()

    @property
    def text(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> "DnsServer":
        loop = asyncio.get_running_loop()
        wanted = self.port
        for left in reversed(range(TRIES)):
            self.transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", wanted))
            self.port = self.transport.get_extra_info("sockname")[1]
            try:
                self.streams = await asyncio.start_server(self._serve_stream, "127.0.0.1", self.port)
                return self
            except OSError:     # somebody has that port of TCP
                self.transport.close()
                if wanted or not left:
                    raise
        raise AssertionError("not reached")

    async def __aexit__(self, *_) -> None:
        self.transport.close()
        self.streams.close()
        for task in self._tasks:
            task.cancel()

    def count(self, name: str, kind: str = "A") -> int:
        return self.asked.count((name, kind))

    async def wait_for(self, found: Callable[[], bool]) -> None:
        """Until the questions so far satisfy `found`."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(found), WAIT_LIMIT_S)

    def datagram_received(self, query: bytes, source) -> None:
        task = asyncio.ensure_future(self._answer(query, source))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One question after the other, each and its answer behind its length (RFC 1035 section 4.2.2)."""
        try:
            while head := await asyncio.wait_for(reader.read(2), WAIT_LIMIT_S):
                query = await reader.readexactly(int.from_bytes(head, "big"))
                answer = await self._answer_to(query, whole=True)
                if answer is not None:
                    writer.write(struct.pack(">H", len(answer)) + answer)
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _answer(self, query: bytes, source) -> None:
        answer = await self._answer_to(query, whole=False)
        if answer is not None and not self.transport.is_closing():
            self.transport.sendto(answer, source)

    async def _answer_to(self, query: bytes, whole: bool) -> bytes | None:
        """None: silence.  whole: nothing is truncated."""
        name, kind, question = read_question(query)
        word = KINDS[kind]
        async with self._changed:
            self.asked.append((name, word))
            self._changed.notify_all()
        host = self.zone.get(name)
        if host and word in host.silent:
            return None
        if host and word in host.delay_s:
            await asyncio.sleep(host.delay_s[word])
        code, records = self._found(name, kind, host)
        if host and word in host.truncated and not whole:
            return query[:2] + struct.pack(">HHHHH", RESPONSE | TRUNCATED | code, 1, 0, 0, 0) + question
        head = query[:2] + struct.pack(">HHHHH", RESPONSE | code, 1, len(records), 0, 0)
        return head + question + b"".join(records)

    def _found(self, name: str, kind: int, host: Host | None) -> tuple[int, list[bytes]]:
        if host is None:
            return NXDOMAIN, []
        if KINDS[kind] in host.failing:
            return SERVFAIL, []
        records = []
        if host.cname:
            alias, ttl = host.cname
            records.append(record(name, CNAME, ttl, wire_name(alias)))
            name = alias
        records += [record(name, kind, host.ttl, content) for content in host.contents(kind)]
        return NO_ERROR, records
