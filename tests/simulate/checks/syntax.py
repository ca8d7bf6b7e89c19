"""Whatever leaves is a SIP message that a reader who knows the grammar only can read (25.1, 8.1.1)."""

from tests.oracle import sip_oracle
from tests.simulate.checks import Check
from tests.simulate.message import Address, Msg

SAMPLE = 8  # the slow reader has every so many of the messages; the quick look is for all


class Syntax(Check):
    def __init__(self, sim):
        super().__init__(sim)
        self.seen = 0

    def outgoing(self, msg: Msg, to: Address, listener: int) -> None:
        self.seen += 1
        if not (msg.vias and msg.call_id and msg.from_tag and msg.cseq_method and msg.to_line):
            self.fail("8.1.1: every message has Via, From with tag, To, Call-ID, CSeq", msg.start, msg.call_id)
        if msg.method and msg.cseq_method != msg.method:
            self.fail("8.1.1.5: CSeq names the method", f"{msg.start} with {msg.cseq_method}", msg.call_id)
        if len(msg.names) - len(set(msg.names)):
            self.look_for_twins(msg)
        if "x-forged" in msg.names and not self.sim.book.was_full():
            self.fail("17.1.3: a response belongs to the branch and the method of its request", repr(msg), msg.call_id)
        length = msg.values("content-length")
        if length != [str(len(msg.body))]:
            self.fail("20.14: Content-Length", f"{length} for {len(msg.body)} bytes", msg.call_id)
        if self.seen % SAMPLE == 0:
            self.read_slowly(msg)

    def look_for_twins(self, msg: Msg) -> None:
        for name in ("from", "to", "call-id", "cseq", "max-forwards", "content-length", "max-breadth"):
            if msg.names.count(name) > 1:
                self.fail("7.3.1: a header that stands once", f"{name} stands twice in {msg.start}", msg.call_id)

    def read_slowly(self, msg: Msg) -> None:
        found = sip_oracle.parse(msg.raw)
        result = sip_oracle.routing(found)
        if found["code"] or result["routing_code"]:
            self.fail("25.1: grammar", f"{found['code']}/{result['routing_code']} in {msg.raw!r}", msg.call_id)
