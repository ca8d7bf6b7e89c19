"""A small DNS server for tests: A, AAAA, SRV and NAPTR answers, late ones, failures, silence.

    async with DnsServer() as dns:
        dns.zone["gw.test"] = Host(a=["127.0.0.1"], ttl=60)
        dns.zone["_sip._udp.example.test"] = Host(srv=[(10, 60, 5060, "gw.test")])
        dns.zone["example.test"] = Host(naptr=[(50, 50, "s", "SIP+D2U", "", "_sip._udp.example.test")])
        environ["FASTSIP_NAMESERVERS"] = dns.text

What is not in the zone does not exist.  `asked` lists the questions as (name, "A" | "AAAA" | "SRV" | "NAPTR"); c-ares
repeats what is not answered, and asks a failing server twice.  RFC 1035 sections 3.2 and 4.1, RFC 2782, RFC 3403; no
compression is read.
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


@dataclass
class Host:
    """What the server knows of a name.  `silent` and `failing` name types, such as "A"."""

    a: list[str] = field(default_factory=list)
    aaaa: list[str] = field(default_factory=list)
    ttl: int = 60
    srv: list[tuple[int, int, int, str]] = field(default_factory=list)  # priority, weight, port, host
    naptr: list[tuple[int, int, str, str, str, str]] = field(default_factory=list)
    cname: tuple[str, int] | None = None  # the records are those of this name; its TTL
    delay_s: dict[str, float] = field(default_factory=dict)  # by type
    silent: tuple[str, ...] = ()
    truncated: tuple[str, ...] = ()  # types whose answer is whole by TCP alone
    failing: tuple[str, ...] = ()

    def contents(self, kind: int) -> list[bytes]:
        """Of the records of this type, as they stand in a message."""
        if kind == SRV:
            return [struct.pack(">HHH", *one[:3]) + wire_name(one[3]) for one in self.srv]
        if kind == NAPTR:
            return [struct.pack(">HH", *one[:2]) + b"".join(map(wire_text, one[2:5])) + wire_name(one[5])
                    for one in self.naptr]
        return [ipaddress.ip_address(text).packed for text in (self.a if kind == A else self.aaaa)]


def wire_name(name: str) -> bytes:
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def wire_text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


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
        self._stream = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._stream.sockets[0].getsockname()[1]
        self.transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", self.port)
        )
        return self

    async def __aexit__(self, *_) -> None:
        self.transport.close()
        self._stream.close()
        for task in self._tasks:
            task.cancel()

    def count(self, name: str, kind: str = "A") -> int:
        return self.asked.count((name, kind))

    async def wait_for(self, found: Callable[[], bool]) -> None:
        """Until the questions so far satisfy `found`."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(found), WAIT_LIMIT_S)

    def datagram_received(self, query: bytes, source) -> None:
        task = asyncio.ensure_future(self._send(query, source))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, query: bytes, source) -> None:
        answer = await self._answer(query, False)
        if answer and not self.transport.is_closing():
            self.transport.sendto(answer, source)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """TCP: two bytes of length before each message (RFC 1035 section 4.2.2)."""
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(2), "big")
                if answer := await self._answer(await reader.readexactly(size), True):
                    writer.write(len(answer).to_bytes(2, "big") + answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self, query: bytes, whole: bool) -> bytes:
        """Empty: none is given."""
        name, kind, question = read_question(query)
        word = KINDS[kind]
        async with self._changed:
            self.asked.append((name, word))
            self._changed.notify_all()
        host = self.zone.get(name)
        if host and word in host.silent:
            return b""
        if host and word in host.delay_s:
            await asyncio.sleep(host.delay_s[word])
        code, records = self._found(name, kind, host)
        cut = TRUNCATED if host and word in host.truncated and not whole else 0
        if cut:
            records = []
        head = query[:2] + struct.pack(">HHHHH", RESPONSE | code | cut, 1, len(records), 0, 0)
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
