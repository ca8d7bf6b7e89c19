"""What callers get: one final answer each, soon a 100, and from nobody else (16.7, 17.2, RFC 4320, RFC 6026).

A refusal that the router makes without state is made anew for each repetition (docs/design.md#bad-input-and-bounds):
while nothing was sent on, one repetition may be answered otherwise than the one before.
"""

from tests.simulate.checks import Check
from tests.simulate.checks.book import Asked
from tests.simulate.message import Address, Msg, via_place

SOON_MS = 200


def place_for_answers(asked: Asked) -> Address:
    """18.2.2 and RFC 3581."""
    via = asked.msg.vias[0]
    if ";rport" in via:
        return asked.source
    return asked.source[0], via_place(via)[1]


class Answers(Check):
    def __init__(self, sim):
        super().__init__(sim)
        self.repeated: tuple[Asked, int] | None = None  # whose repetition came last, and when: answered at once

    def incoming(self, msg: Msg, source: Address, listener: int) -> None:
        self.look_at_repeated()
        asked = self.sim.book.asked
        if msg.method != "INVITE" or asked is None or len(asked.arrivals) < 2 or self.world.spoil:
            return
        if asked.branches and not asked.acks and not any(200 <= final.status < 300 for _, final in asked.finals):
            self.repeated = asked, self.sim.now

    def look_at_repeated(self) -> None:
        """17.2.1: in Proceeding and Completed a repeated INVITE gets the last response again."""
        if self.repeated is None:
            return
        asked, since = self.repeated
        self.repeated = None
        last = asked.replies[-1][0] if asked.replies else 0
        if not asked.lost and last < since and not asked.deaths and not self.sim.book.is_without_state(asked):
            self.fail("17.2.1: a repeated INVITE gets the last response", repr(asked.msg), asked.msg.call_id)

    def outgoing(self, msg: Msg, to: Address, listener: int) -> None:
        if not msg.status:
            return
        asked = self.sim.book.asked
        if asked is None and "x-forged" in msg.names and self.sim.book.was_full():
            return  # of a request that went on without state, whose method nobody knows any more (16.11)
        if asked is None:
            self.fail("8.2.6: a response answers a request that came", repr(msg), msg.call_id)
            return
        if to != place_for_answers(asked):
            self.fail("18.2.2: the response goes back to where the request came from", f"{to}", msg.call_id)
        if listener != asked.listener:
            self.fail("18.2.2: by the socket that the request came to", f"{listener}", msg.call_id)
        if msg.from_line != asked.msg.from_line and msg.from_tag != asked.msg.from_tag:
            self.fail("8.2.6.2: From is the request's", msg.from_line, msg.call_id)
        if msg.cseq_method != "INVITE" and msg.status < 200 and msg.status != 100:
            self.fail("RFC 4320 4.1: only 100 is sent to a non-INVITE", str(msg.status), msg.call_id)
        if msg.cseq_method != "INVITE" and msg.status == 408:
            self.fail("RFC 4320 4.2: no 408 to a non-INVITE", "", msg.call_id)
        if msg.status > 100 and not msg.to_tag and not self.was_tagless(asked, msg):
            self.fail("8.2.6.2: a response beyond 100 has a To tag", repr(msg), msg.call_id)
        if not any(reply.status == msg.status for branch in asked.made for _, reply, _ in branch.replies):
            self.look_at_own(asked, msg)
        if len(asked.replies) == 1:
            self.look_at_first(asked)
        if asked.branches:
            self.look_at_order(asked, msg)

    def look_at_own(self, asked: Asked, msg: Msg) -> None:
        """What the router says of itself."""
        book, came = self.sim.book, asked.msg
        if msg.status in (403, 404, 481, 482) and came.to_tag and book.is_proven(came):
            self.fail(
                "docs/wire.md#requests-of-dialogs: a verified token proves the dialog", repr(msg), msg.call_id
            )
        if msg.status == 482 and not any(
            other is not asked and (other.msg.ruri, other.msg.cseq) == (came.ruri, came.cseq)
            for other in book.of_call[msg.call_id]
        ):
            self.fail("RFC 5393: a loop is the same request once more", repr(msg), msg.call_id)

    def was_tagless(self, asked: Asked, msg: Msg) -> bool:
        """What a callee said without a tag is sent on as it came."""
        return any(
            not reply.to_tag and reply.status == msg.status
            for branch in asked.made
            for _, reply, _ in branch.replies
        )

    def look_at_first(self, asked: Asked) -> None:
        late = self.sim.now - asked.arrivals[-1]
        without_state = self.sim.book.is_without_state(asked) or self.world.spoil
        if asked.msg.method == "INVITE" and late > SOON_MS and not asked.deaths and not without_state:
            self.fail("17.2.1: 100 within 200 ms", f"{late} ms", asked.msg.call_id)

    def look_at_order(self, asked: Asked, msg: Msg) -> None:
        """A 2xx may follow a failure: that of an abandoned branch (docs/wire.md#abandoned-branches)."""
        finals = asked.finals if msg.status < 200 else asked.finals[:-1]
        if not finals or self.sim.book.has_shed(asked) or self.sim.book.is_without_state(asked):
            return
        call_id = msg.call_id
        if msg.status < 200:
            self.fail("17.2: nothing provisional follows a final response", repr(msg), call_id)
        before = [final for _, final in finals]
        if 200 <= msg.status < 300:
            if asked.msg.method != "INVITE" and any(final.raw != msg.raw for final in before):
                self.fail("17.2.2: one final response", f"{before[0].status} and {msg.status}", call_id)
            return
        if any(200 <= final.status < 300 and not self.is_stray(asked, final) for final in before):
            self.fail("16.7 item 5: no failure follows a 2xx", repr(msg), call_id)
        first = next((final for final in before if final.status >= 300), msg)
        if first.raw != msg.raw and not self.world.spoil:  # a refusal for want of room is made without state
            self.fail("17.2.1: at most one final response other than 2xx", f"{first.status}, {msg.status}", call_id)

    def is_stray(self, asked: Asked, final: Msg) -> bool:
        """Of a branch that a transport error has ended: it goes on without a transaction, unknown to the search."""
        return any(
            branch.refused and reply.status == final.status and reply.to_tag == final.to_tag
            for branch in asked.made
            for _, reply, _ in branch.replies
        )

    def finish(self) -> None:
        for asked in self.sim.book.requests.values():
            if asked.lost or asked.finals or asked.passed_on:
                continue
            method = asked.msg.method
            # a late 3xx-6xx of an abandoned branch is ACKed and ignored (docs/wire.md#abandoned-branches)
            answered = [
                reply.status
                for branch in asked.branches.values()
                for at, reply, _ in branch.replies
                if reply.status >= 200
                and reply.status != 408
                and at < branch.sends[0] + branch.timeout
                and reply not in branch.maybe
            ]
            if method == "INVITE":
                self.fail("17.2.1: every INVITE is answered", repr(asked.msg), asked.msg.call_id)
            elif (answered and not self.sim.book.is_without_state(asked)) or not asked.branches:
                self.fail("16.7: a final response is forwarded", f"{method}: {answered}", asked.msg.call_id)

