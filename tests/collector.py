"""A collector of spans: a real HTTP server that takes OTLP in protobuf, as it is told, and keeps what it took."""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web
from multidict import CIMultiDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

KINDS = {Span.SPAN_KIND_SERVER: "server", Span.SPAN_KIND_CLIENT: "client"}


def facts(pairs: list[KeyValue]) -> dict[str, str | int]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


class Taken:
    """One span.  id, parent, trace: hexadecimal digits, "" for none."""

    def __init__(self, span: Span, resource: dict[str, str | int]):
        self.name, self.kind = span.name, KINDS[span.kind]
        self.id, self.parent, self.trace = span.span_id.hex(), span.parent_span_id.hex(), span.trace_id.hex()
        self.began, self.ended = span.start_time_unix_nano / 1e9, span.end_time_unix_nano / 1e9
        self.failed = span.status.code == 2
        self.facts, self.resource = facts(span.attributes), resource


class Collector:
    """`spans`: those that were taken, in order.  status: what it answers; None: nothing, as long as anybody waits.

    Whom it refuses it tells to come back in an hour, so that nobody tries again within his limit.
    """

    def __init__(self) -> None:
        self.spans: list[Taken] = []
        self.headers: list[CIMultiDict[str]] = []
        self.status: int | None = 200
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> "Collector":
        application = web.Application(client_max_size=1 << 24)
        application.router.add_post("/{rest:.*}", self._take)
        self._runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/traces"

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.headers.append(request.headers.copy())
        if self.status is None:
            await asyncio.Event().wait()
        if self.status == 200:
            for part in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.spans += [Taken(span, facts(part.resource.attributes))
                               for scope in part.scope_spans for span in scope.spans]
        async with self._changed:
            self._changed.notify_all()
        wait = {} if self.status == 200 else {"Retry-After": "3600"}
        return web.Response(status=self.status or 500, headers=wait, content_type="application/x-protobuf")

    async def until(self, found: Callable[["Collector"], Any]) -> None:
        """The test's own limit ends it."""
        async with self._changed:
            await self._changed.wait_for(lambda: found(self))

    async def of(self, call_id: str, count: int) -> list[Taken]:
        """So many spans of that call, in the order of their beginning."""
        def mine() -> list[Taken]:
            return [span for span in self.spans if span.facts["sip.call_id"] == call_id]

        await self.until(lambda _: len(mine()) >= count)
        return sorted(mine(), key=lambda span: (span.began, span.kind == "client"))
