"""Spans as a collector gets them, and what is counted when it does not."""

import asyncio
import contextlib
import socket
import threading

import pytest

from fastsip._core.state.mirror import place_in_sample
from fastsip.config.model import Otel
from fastsip.desk import otlp, spans
from fastsip.desk.exchange import TOO_LONG
from fastsip.desk.otlp import Pipe, error_of
from fastsip.process.spans import SpanCounts, read_span_counts, write_span_counts
from fastsip.process.webhooks import Webhooks
from fastsip.trace.invites import Transaction
from tests.collector import Collector
from tests.unit.trace.talk import ALICE, BEGAN, BOB, CAROL, EDGE, Talk
from tests.unit.trace.test_invites import PARENT, failed_over, taken


def otel(url: str, timeout_ms: int = 10_000, **more) -> Otel:
    return Otel(**{"endpoint": url, "sample": 1.0, "service": "edge", "timeout_ms": timeout_ms, "headers": (), **more})


def failover(traceparent: str = "") -> Transaction:
    (one,) = taken(failed_over(f"traceparent: {traceparent}\r\n" if traceparent else "")).give(BEGAN + 10)
    return one


async def sent(config: Otel, *calls: Transaction) -> SpanCounts:
    """What is counted when all that was made is sent or lost."""
    counts = SpanCounts()
    pipe = Pipe(config, "edge1", "0.1", counts)
    for one in calls:
        pipe.send(one)
    await asyncio.to_thread(pipe.close)
    return counts


async def test_a_failover_is_a_span_with_one_below_it_for_each_attempt():
    async with Collector() as collector:
        counts = await sent(otel(collector.url, headers=(("X-Key", "k"),)), failover())
        whole, first, second = await collector.of("one@alice", 3)
        assert collector.headers[0]["X-Key"] == "k"
    assert (counts.sent, counts.lost, counts.why) == (3, 0, "")
    assert [span.name for span in (whole, first, second)] == ["INVITE request", "INVITE branch", "INVITE branch"]
    assert (whole.kind, first.kind) == ("server", "client") and whole.parent == ""
    assert first.parent == second.parent == whole.id and first.trace == second.trace == whole.trace
    assert whole.facts == {
        "network.protocol.name": "sip", "network.transport": "udp", "network.peer.address": ALICE[0],
        "network.peer.port": ALICE[1], "network.local.address": EDGE[0], "network.local.port": EDGE[1],
        "server.address": EDGE[0], "server.port": EDGE[1], "sip.request.method": "INVITE", "sip.call_id": "one@alice",
        "sip.cseq": "1 INVITE", "sip.response.status_code": 200}  # fmt: skip
    assert (first.facts["server.address"], first.facts["server.port"], first.facts["error.type"]) == (*BOB, "503")
    assert (second.facts["network.peer.address"], second.facts["network.peer.port"]) == CAROL
    assert [span.failed for span in (whole, first, second)] == [False, True, False]
    assert abs(whole.began - BEGAN - 0.1) < 1e-3 and abs(whole.ended - BEGAN - 0.8) < 1e-3
    assert whole.began < first.began < first.ended < second.began < second.ended < whole.ended
    assert whole.resource.items() >= {"service.name": "edge", "service.instance.id": "edge1"}.items()


async def test_the_callers_trace_goes_on_unless_he_does_not_want_it():
    async with Collector() as collector:
        counts = await sent(otel(collector.url), failover(PARENT), failover(PARENT[:-2] + "00"))
        whole, *_ = await collector.of("one@alice", 3)
        assert whole.trace == PARENT[3:35] and whole.parent == PARENT[36:52]
        assert counts.sent == len(collector.spans) == 3


@pytest.mark.parametrize("parent", ["nonsense", "ff-" + PARENT[3:], "00-" + "0" * 32 + PARENT[35:], "\udcff" * 9])
async def test_a_parent_that_is_none_is_passed_over(parent):
    async with Collector() as collector:
        await sent(otel(collector.url), failover(parent))
        whole, *_ = await collector.of("one@alice", 3)
        assert whole.parent == "" and whole.trace not in ("", "0" * 32)


async def test_what_a_stranger_writes_spoils_no_batch():
    call = failover()
    call.call_id = "\udcff\x00\x1b"
    async with Collector() as collector:
        counts = await sent(otel(collector.url), call, failover())
        assert counts.sent == 6 and len(await collector.of("\\udcff\\u0000\\u001b", 3)) == 3


@pytest.mark.parametrize("status", [503, 400, 302])
async def test_what_a_collector_does_not_take_is_counted(status):
    async with Collector() as collector:
        collector.status = status
        counts = await sent(otel(collector.url), failover())
        assert (counts.sent, counts.lost, counts.why) == (0, 3, f"it answers {status}")


async def test_one_that_is_away_is_no_different(free_port):
    """Whoever is stalled here for so long may have no time left to find that out."""
    counts = await sent(otel(f"http://u:s3cret@127.0.0.1:{free_port()}/s3cret", 700), failover())
    assert (counts.sent, counts.lost) == (0, 3) and counts.why in ("ConnectionError", TOO_LONG)


class Slow(threading.Thread):
    """A collector that begins with `head`, and says `more` again and again, as long as anybody listens.

    said: bytes of `more` that it got rid of.
    """

    def __init__(self, head: bytes, more: bytes):
        super().__init__(daemon=True)
        self.said = 0
        self._head, self._more, self._over = head, more, threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1/traces"

    def run(self) -> None:
        with self._listener:
            connection, _ = self._listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(1 << 16)
            connection.sendall(self._head)
            while not self._over.wait(0 if len(self._more) > 1 else 0.01):
                connection.sendall(self._more)
                self.said += len(self._more)

    def gone(self) -> None:
        """Its client has left it."""
        self.join(timeout=30)
        assert not self.is_alive()

    def end(self) -> None:
        self._over.set()


@pytest.fixture
def slow():
    begun: list[Slow] = []

    def begin(head: bytes, more: bytes) -> Slow:
        begun.append(Slow(head, more))
        begun[-1].start()
        return begun[-1]

    yield begin
    for one in begun:
        one.end()


async def test_the_body_of_an_answer_holds_nobody(slow):
    """It is taken as soon as it is said to be; whoever drips letters is left alone."""
    there = slow(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x")
    counts = await sent(otel(there.url), failover())
    assert (counts.sent, counts.lost, counts.why) == (3, 0, "")
    await asyncio.to_thread(there.gone)


async def test_a_body_without_an_end_is_not_read(slow):
    there = slow(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * (1 << 16))
    counts = await sent(otel(there.url), failover())
    await asyncio.to_thread(there.gone)
    assert (counts.sent, counts.lost) == (3, 0) and there.said < 64 << 20   # what a kernel keeps for both


async def test_a_head_that_drips_ends_by_the_timeout(slow):
    there = slow(b"HTTP/1.1 200 OK\r\nX: ", b"x")
    counts = await sent(otel(there.url, 100), failover())
    assert (counts.sent, counts.lost, counts.why) == (0, 3, TOO_LONG)
    await asyncio.to_thread(there.gone)


async def test_so_many_wait_and_no_more_and_a_pipe_that_is_replaced_ends(monkeypatch):
    """While the collector hangs, for longer than a pipe has at its end; nothing is counted twice."""
    monkeypatch.setattr(otlp, "MOST_WAITING", 6)
    monkeypatch.setattr(otlp, "BATCH", 2)
    monkeypatch.setattr(otlp, "CLOSE_S", 0.1)
    counts = SpanCounts()
    async with Collector() as collector:
        collector.status = None
        pipe = Pipe(otel(collector.url, 600_000), "edge1", "0.1", counts)
        for _ in range(2):
            pipe.send(failover())
        assert counts.lost == 0
        pipe.send(failover())
        assert counts.lost == 3
        await asyncio.to_thread(pipe.close)
        assert (counts.sent, counts.lost, len(collector.headers)) == (0, 9, 1)
    ours = {thread.name for thread in threading.enumerate()}
    assert "OtelBatchSpanRecordProcessor" not in ours


async def test_the_environment_changes_nothing(monkeypatch):
    for name, value in (("SDK_DISABLED", "true"), ("EXPORTER_OTLP_HEADERS", "x-key=theirs,x-more=theirs"),
                        ("EXPORTER_OTLP_CERTIFICATE", "/nowhere"), ("EXPORTER_OTLP_COMPRESSION", "gzip"),
                        ("EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1/"), ("BSP_EXPORT_TIMEOUT", "x"),
                        ("EXPORTER_OTLP_TRACES_TIMEOUT", "0.001"), ("SERVICE_NAME", "theirs"),
                        ("RESOURCE_ATTRIBUTES", "more=theirs"), ("SPAN_ATTRIBUTE_COUNT_LIMIT", "1")):  # fmt: skip
        monkeypatch.setenv(f"OTEL_{name}", value)
    async with Collector() as collector:
        counts = await sent(otel(collector.url, headers=(("X-Key", "ours"),)), failover())
        whole, *_ = await collector.of("one@alice", 3)
        (headers,) = collector.headers
    assert counts.sent == 3 and len(whole.facts) == 12
    assert headers["X-Key"] == "ours" and "theirs" not in [*headers.values(), *whole.resource.values()]
    assert "Content-Encoding" not in headers


@pytest.mark.parametrize("sample", [0.25, 1.0])
def test_what_others_look_at_has_no_spans(scratch, sample):
    """A trace of every call meanwhile makes nobody's sample larger."""
    config = otel("http://127.0.0.1/x", sample=sample)
    order = Webhooks(run_dir=str(scratch), state_dir="", node="", release="", since={}, webhooks=(), otel=config)
    maker = spans._Maker(config, order, SpanCounts())
    calls = [f"{number}@alice" for number in range(400)]
    mine = [call_id for call_id in calls if maker._is_mine(Talk(call_id).begin().seen[0])]
    assert mine == [call_id for call_id in calls if place_in_sample(call_id.encode()) < sample]
    assert len(mine) == 400 if sample == 1 else 50 < len(mine) < 150


@pytest.mark.parametrize("status, finished, error", [
    (200, True, ""), (404, True, ""), (486, True, ""), (487, True, ""), (407, True, ""), (408, True, "408"),
    (499, True, ""), (500, True, "500"), (503, True, "503"), (603, True, "603"), (0, False, "timeout"),
    (180, False, "timeout"),
])  # fmt: skip
def test_an_error_is_a_failure_of_a_server_or_silence(status, finished, error):
    assert error_of(status, finished=finished) == error


def test_counts_are_kept_and_go_on(scratch):
    assert read_span_counts(scratch) == SpanCounts()
    counts = SpanCounts(sent=1, lost=2, passed_over=3, unseen=4, why="x")
    write_span_counts(scratch, counts)
    assert read_span_counts(scratch) == counts
    (scratch / "spans").write_text("{")
    assert read_span_counts(scratch) == SpanCounts()
