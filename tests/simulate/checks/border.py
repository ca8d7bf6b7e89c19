"""What a border removes does not come through, on whatever way (docs/wire.md#borders).

Headers of a listener (on the way in) and of a set (on the way out) hold for every request that goes
that way: outside and inside of dialogs, CANCEL and ACK, with state or without.  A rule's own
headers are for the requests that it routes.
"""

from tests.simulate.checks import Check
from tests.simulate.checks.book import Asked
from tests.simulate.message import Address, Msg
from tests.simulate.world import PRIVATE, SECRET, STAMP


class Border(Check):
    def __init__(self, sim):
        super().__init__(sim)
        self.came: dict[tuple, int] = {}  # (Call-ID, CSeq, method) of what came -> its listener

    def removed(self, asked: Asked, to: Address) -> set[str]:
        """Names, in small letters, of which nothing may be left on this way."""
        found = set()
        if self.world.border and asked.listener == 0:
            found.add(SECRET.lower())
        if self.is_kept_from(to):
            found.add(PRIVATE.lower())
        return found

    def may_remove(self, asked: Asked) -> set[str]:
        """Inside of dialogs the set that the token names has a say, wherever its destination is by now."""
        borders = any(group.border for plan in self.sim.plans for group in plan.groups)
        return {PRIVATE.lower()} if borders and (asked.msg.to_tag or asked.known) else set()

    def is_kept_from(self, to: Address) -> bool:
        groups = self.sim.router.plan.groups
        return any(group.border and any(m.address == to for m in group.destinations) for group in groups)

    def incoming(self, msg: Msg, source: Address, listener: int) -> None:
        if not msg.status:
            self.came[msg.call_id, msg.cseq, msg.method] = listener

    def outgoing(self, msg: Msg, to: Address, listener: int) -> None:
        if msg.status or len(msg.vias) < 2:
            return
        names = set(msg.names)
        by = self.came.get((msg.call_id, msg.cseq, msg.method))
        if self.world.border and by == 0 and SECRET.lower() in names:
            self.fail("docs/wire.md#borders: what the listener removes does not come in", repr(msg), msg.call_id)
        book = self.sim.book
        is_repetition = book.branch is not None and not book.is_new
        if PRIVATE.lower() in names and not is_repetition and self.is_kept_from(to):
            self.fail("docs/wire.md#borders: what the set removes does not go out", repr(msg), msg.call_id)
        group = book.group_of(book.asked) if book.is_new and not msg.to_tag else None
        if group is not None and group.headers and (STAMP.lower() not in names or SECRET.lower() in names):
            self.fail("config: a rule's headers are edited in what it routes", repr(msg), msg.call_id)
