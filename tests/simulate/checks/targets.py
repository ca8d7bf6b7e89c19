"""Nothing goes to somebody who was not asked (16.5, 16.6; docs/wire.md#requests-of-dialogs, docs/wire.md#stand-ins).

A request outside of dialogs goes to a destination of the set that its number leads to, or of the
one behind it; one with a route set goes where that leads, or to who shares the dialog.
"""

from tests.simulate.checks import Check
from tests.simulate.checks.book import Asked, user_of
from tests.simulate.message import Address, Msg
from tests.simulate.world import REFUSED_PREFIX, Group


class Targets(Check):
    def outgoing(self, msg: Msg, to: Address, listener: int) -> None:
        if msg.status or len(msg.vias) < 2:
            return
        if to in self.sim.book.places:
            self.fail("16.3, 16.5: nothing is sent to ourselves", repr(msg), msg.call_id)
        if not self.sim.book.is_new:
            return
        asked = self.sim.book.asked
        allowed = self.allowed(asked)
        if to not in allowed:
            self.fail("16.5: the target set", f"{to} for {asked.msg!r}, not {sorted(allowed)}", msg.call_id)

    def allowed(self, asked: Asked) -> set[Address]:
        book = self.sim.book
        place = book.place_of_route(asked)
        if place is not None and not asked.known and not book.is_proven(asked.msg):
            # Nobody relays through us by inventing a To tag or a Route (docs/wire.md#requests-of-dialogs).
            return self.with_members(place, asked.msg) if self.was_destination(place, asked.plan) else set()
        if place is not None:
            return self.with_members(place, asked.msg)
        user = user_of(asked.msg.ruri)
        return set() if user.startswith(REFUSED_PREFIX) else self.members_for(user, asked)

    def was_destination(self, place: Address, since: int) -> bool:
        """When the request came, or later: its search may go on after a reload."""
        plans = [plan for plan in self.sim.plans if plan.version >= since]
        return any(m.address == place for plan in plans for group in plan.groups for m in group.destinations)

    def with_members(self, place: Address, came: Msg) -> set[Address]:
        """That place, the addresses of that name; for a shared set its members."""
        found = {place}
        if not place[0][0].isdigit():
            found = set(self.sim.told.get(place[0], ()))
        for plan in self.sim.plans:
            for group in plan.groups:
                if group.shared and came.to_tag and any(m.address in found for m in group.destinations):
                    found |= {m.address for m in group.destinations}
        return found

    def members_for(self, user: str, asked: Asked) -> set[Address]:
        found: set[Address] = set()
        for plan in self.sim.plans:
            if plan.version < asked.plan:
                continue
            group = plan.group_for(user)
            groups: list[Group | None] = [group, plan.group(group.then) if group else None]
            found |= {m.address for g in groups if g for m in g.destinations}
        return found
