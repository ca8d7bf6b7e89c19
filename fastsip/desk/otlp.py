"""INVITE transactions as spans of OpenTelemetry, sent by its SDK as OTLP over HTTP (docs/trace.md#opentelemetry).

The SDK sends in a thread of its own, with a queue that never has more than MOST_WAITING spans: what would be more is
counted as lost here, before it is made, and so is what the collector does not take.  Nothing waits for it but `close`.

Names and attributes: OpenTelemetry's general conventions (server.*, network.*, error.type) and, of what is SIP's, those
of OpenSIPS 4.  W3C Trace Context: `traceparent` of the INVITE is the parent, and its word about sampling counts.
"""

import logging
import os
from collections.abc import Sequence
from threading import Lock, Timer

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from fastsip.base.plain import printable
from fastsip.config.model import Otel
from fastsip.config.webhooks import shown_place
from fastsip.desk.exchange import Session
from fastsip.log import Limited
from fastsip.process.spans import SpanCounts
from fastsip.trace.invites import INVITE, Attempt, Transaction

MOST_WAITING = 4_096    # spans, some 4 MB
BATCH = 512
EVERY_MS = 1_000.0      # what waits is sent then, if it is less than a batch
CLOSE_S = 5.0           # for what still waits when a pipe ends
TIMED_OUT = 408


class Pipe:
    """One for a configuration; `counts` go on over several."""

    def __init__(self, otel: Otel, node: str, release: str, counts: SpanCounts):
        _silence()
        _forget_environment()
        self._exporter = _Counted(otel, counts)
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": otel.service, "service.version": release,
                                      "service.instance.id": node}),
            sampler=ParentBased(ALWAYS_ON),
            shutdown_on_exit=False,
        )  # fmt: skip
        self._provider.add_span_processor(BatchSpanProcessor(
            self._exporter, max_queue_size=MOST_WAITING, max_export_batch_size=BATCH, schedule_delay_millis=EVERY_MS))
        self._tracer = self._provider.get_tracer("fastsip", release)
        self._parents = TraceContextTextMapPropagator()

    def send(self, one: Transaction) -> None:
        """A span of it, with one below it for each attempt; nothing when whoever began the trace does not want it."""
        if not self._exporter.has_room(1 + len(one.attempts)):
            return
        parent = self._parents.extract({"traceparent": one.traceparent}, Context())
        span = self._tracer.start_span(f"{INVITE} request", parent, SpanKind.SERVER, _attributes(one, one, one.ours),
                                       start_time=_ns(one.began))  # fmt: skip
        if not span.is_recording():
            return
        inside = set_span_in_context(span, Context())
        for attempt in one.attempts.values():
            below = self._tracer.start_span(f"{INVITE} branch", inside, SpanKind.CLIENT,
                                            _attributes(one, attempt, attempt.peer), start_time=_ns(attempt.began))
            self._end(below, attempt)
        self._end(span, one)

    def _end(self, span: Span, one: Attempt) -> None:
        if error := error_of(one.status, finished=one.finished):
            span.set_attribute("error.type", error)
            span.set_status(Status(StatusCode.ERROR))
        self._exporter.note_made()
        span.end(_ns(one.ended))

    def close(self) -> None:
        """What waits is sent, or lost when the collector does not take it within CLOSE_S."""
        last = Timer(CLOSE_S, self._exporter.end)
        last.daemon = True
        last.start()
        self._provider.shutdown()
        last.cancel()


class _Counted(SpanExporter):
    """The exporter of the SDK, and what became of all that was made."""

    def __init__(self, otel: Otel, counts: SpanCounts):
        self._counts, self._place = counts, shown_place(otel.endpoint)
        self._session, self._limit_s = Session(), otel.timeout_ms / 1000
        self._exporter = OTLPSpanExporter(endpoint=otel.endpoint, headers=dict(otel.headers), session=self._session,
                                          timeout=self._limit_s, compression=Compression.NoCompression)  # fmt: skip
        self._waiting = 0
        self._lock = Lock()
        self._limited = Limited(1)

    def has_room(self, spans: int) -> bool:
        """No: these are lost."""
        with self._lock:
            if self._waiting + spans <= MOST_WAITING:
                return True
            self._counts.lost += spans
            return False

    def note_made(self) -> None:
        with self._lock:
            self._waiting += 1

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """In the thread of the SDK."""
        result = SpanExportResult.FAILURE
        try:
            with self._session.limited(self._limit_s):
                result = self._exporter.export(spans)
        finally:
            taken = result is SpanExportResult.SUCCESS and not self._session.why   # the SDK takes a redirect for yes
            with self._lock:
                self._waiting -= len(spans)
                self._counts.sent += len(spans) if taken else 0
                self._counts.lost += 0 if taken else len(spans)
                self._counts.why = "" if taken else self._session.why or "they cannot be sent"
        if not taken:
            self._limited.info("spans are lost", {"to": self._place, "spans": len(spans), "why": self._counts.why})
        return result

    def end(self) -> None:
        """All that is not sent yet is lost, also what is being sent."""
        self._session.end()
        self._exporter.shutdown()

    def shutdown(self) -> None:
        self._exporter.shutdown()


def error_of(status: int, *, finished: bool) -> str:
    """"" for what ended well, or as the called one wanted; else the status, or `timeout` where no final one came."""
    if not finished:
        return "timeout"
    return str(status) if status >= 500 or status == TIMED_OUT else ""


def _attributes(one: Transaction, at: Attempt, server: tuple[str, int]) -> dict[str, str | int]:
    """Of a transaction, or of one of its attempts.  What a stranger wrote is printable: protobuf takes no text that is
    no UTF-8.
    """
    found: dict[str, str | int] = {
        "server.address": server[0], "server.port": server[1],
        "network.protocol.name": "sip", "network.transport": at.transport,
        "network.peer.address": at.peer[0], "network.peer.port": at.peer[1],
        "network.local.address": at.ours[0], "network.local.port": at.ours[1],
        "sip.request.method": INVITE, "sip.call_id": printable(one.call_id), "sip.cseq": f"{one.cseq} {INVITE}",
    }  # fmt: skip
    if at.status:
        found["sip.response.status_code"] = at.status
    return found


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _silence() -> None:
    """What the SDK logs may name the endpoint; what matters of it is counted and said here."""
    logger = logging.getLogger("opentelemetry")
    logger.handlers[:] = [logging.NullHandler()]
    logger.propagate = False


def _forget_environment() -> None:
    """Variables of OpenTelemetry would add headers, certificates and limits to what the configuration says, or turn all
    off.  This process is ours, and nothing else in it reads them.
    """
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        del os.environ[name]
