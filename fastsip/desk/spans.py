"""Spans of a sample of calls, in a thread of the desk's: what shards saw, put together, given to the SDK that sends.

It looks at its share of calls as `fastsip trace` does, renews that while it lives, and goes on over deaths of routers.
Calls that are in progress when it ends have no spans: how many is said.
"""

import threading
import time
from contextlib import closing

import msgspec

from fastsip._core.state.mirror import place_in_sample
from fastsip.api.socket import NotRunning, Refused
from fastsip.base.plain import reason
from fastsip.base.sip import call_id_in
from fastsip.config.model import Otel
from fastsip.desk.otlp import Pipe
from fastsip.log import Limited, log
from fastsip.observe.mirror import Damaged, Seen
from fastsip.process.spans import SpanCounts, read_span_counts, write_span_counts
from fastsip.process.webhooks import Webhooks
from fastsip.trace.invites import Invites
from fastsip.trace.watch import Watch

LOOK_S = 0.1        # between two looks at rings that were empty
COUNT_S = 1.0       # between two writings of what was counted
PAUSE_S = 5.0       # after a look that was refused, or nobody was there
LAST_S = 2.0        # for what still waits to be sent at the end of the desk


class SpanTeller:
    """The spans of this process, as the last order says."""

    def __init__(self) -> None:
        self._counts: SpanCounts | None = None
        self._told: tuple[Otel | None, str] | None = None
        self._maker: _Maker | None = None

    def take(self, order: Webhooks) -> None:
        """What is as it was goes on undisturbed."""
        told = (order.otel, order.node)
        if told == self._told:
            return
        self._told = told
        if self._maker:
            self._maker.stop.set()
            self._maker = None
        self._counts = self._counts or read_span_counts(order.run_dir)
        if order.otel and order.otel.sample > 0:
            self._maker = _Maker(order.otel, order, self._counts)
            self._maker.start()

    def finish(self) -> None:
        """At the end of the process; it waits for what can be sent at once, in the thread of who asks."""
        if self._maker:
            self._maker.stop.set()
            self._maker.join(timeout=LAST_S)


class _Maker(threading.Thread):
    """Makes spans until `stop` is set; then what waits is sent, and the thread ends."""

    def __init__(self, otel: Otel, order: Webhooks, counts: SpanCounts):
        super().__init__(name="spans", daemon=True)
        self.stop = threading.Event()
        self._otel, self._order, self._counts = otel, order, counts
        self._invites = Invites()
        self._limited = Limited(1)
        self._written = SpanCounts()
        self._written_at = 0.0
        self._before = (counts.passed_over, counts.unseen)

    def run(self) -> None:
        """Whatever happens: nobody else would begin again."""
        try:
            pipe = Pipe(self._otel, self._order.node, self._order.release, self._counts)
        except Exception as error:  # its text may have the endpoint
            self._fail(f"{type(error).__name__}, a fault of fastsip or of the SDK")
            return
        while not self.stop.is_set():
            try:
                self._follow(pipe)
            except (NotRunning, Refused, Damaged, OSError) as error:
                self._fail(reason(error))
            except Exception as error:  # its text may have the endpoint
                log.error("spans fail by a fault of fastsip", extra={"fields": {"why": type(error).__name__}})
            self._before = (self._counts.passed_over, self._counts.unseen)
            self._invites.passed_over = 0
            self.stop.wait(PAUSE_S)
        if self._invites.open:
            log.info("calls in progress have no spans", extra={"fields": {"calls": len(self._invites.open)}})
        pipe.close()
        self._write()

    def _fail(self, why: str) -> None:
        self._counts.why = why
        self._limited.info("calls cannot be looked at, and have no spans", {"why": why})
        self._write()

    def _follow(self, pipe: Pipe) -> None:
        with closing(Watch(self._order.run_dir, share=self._otel.sample)) as watch:
            while not self.stop.is_set():
                found = watch.read()
                watch.take_notes()
                for seen in found:
                    if self._is_mine(seen):
                        self._invites.take(seen)
                for one in self._invites.give(time.time()):
                    pipe.send(one)
                self._count(watch.lost)
                if not found:
                    self.stop.wait(LOOK_S)

    def _is_mine(self, seen: Seen) -> bool:
        """Others may look at more calls meanwhile, which are shown to all."""
        return self._otel.sample >= 1 or place_in_sample(call_id_in(seen.message)) < self._otel.sample

    def _count(self, lost: int) -> None:
        """Once in a while, when anything has changed."""
        passed_over, unseen = self._before
        self._counts.passed_over = passed_over + self._invites.passed_over
        self._counts.unseen = unseen + lost
        now = time.monotonic()
        if self._counts != self._written and now >= self._written_at + COUNT_S:
            self._written_at = now
            self._write()

    def _write(self) -> None:
        self._written = msgspec.structs.replace(self._counts)
        try:
            write_span_counts(self._order.run_dir, self._written)
        except OSError as error:    # a full disk, above all
            self._limited.info("what is counted of spans is not written down", {"why": reason(error)})
