"""What is sent on is what came, but for what 16.6 and 16.7 change: Via, Max-Forwards, Record-Route, Route,
Request-URI, and the headers that a rule edits.  Everything else stays byte for byte.
"""

from tests.simulate.checks import Check
from tests.simulate.checks.book import Asked, user_of
from tests.simulate.message import Address, Msg, parameter, place_of, uri_of, via_place
from tests.simulate.world import DOMAIN, SECRET, STAMP, Destination, Group

DIALOG_MAKERS = {"INVITE", "SUBSCRIBE", "REFER"}


class Forwarding(Check):
    def __init__(self, sim):
        super().__init__(sim)
        self.own = {f"{host}:{port}" for host, port in map(self.world.listener_address, range(self.world.listeners))}

    def outgoing(self, msg: Msg, to: Address, listener: int) -> None:
        book = self.sim.book
        if msg.status:
            if book.asked is not None:
                self.look_at_response(msg, book.asked)
        elif book.is_new and book.asked is not None:
            self.look_at_request(msg, book.asked, listener)

    # ------------------------------------------------------------ requests

    def look_at_request(self, msg: Msg, asked: Asked, listener: int) -> None:
        came = asked.msg
        call_id = msg.call_id
        if msg.method != came.method or msg.body != came.body:
            self.fail("16.6: method and body stay", repr(msg), call_id)
        self.look_at_vias(msg, asked, listener)
        hops = 70 if came.hops < 0 else came.hops - 1
        if msg.hops != hops:
            self.fail("16.6 item 3: Max-Forwards is one less, or 70", f"{came.hops} -> {msg.hops}", call_id)
        self.look_at_routes(msg, asked)
        self.look_at_ruri(msg, asked)
        self.look_at_record_routes(msg, asked, listener)
        self.look_at_rest(msg, came)

    def look_at_vias(self, msg: Msg, asked: Asked, listener: int) -> None:
        call_id = msg.call_id
        host, port = self.world.listener_address(listener)
        if not msg.vias[0].startswith(f"SIP/2.0/UDP {host}:{port};branch=z9hG4bK"):
            self.fail("18.1.1: sent-by is the listener that it leaves by", msg.vias[0], call_id)
        if len(msg.vias) != len(asked.msg.vias) + 1 or msg.vias[2:] != asked.msg.vias[1:]:
            self.fail("16.6 item 8: one Via is added, the others stay", f"{msg.vias}", call_id)
        self.look_at_stamp(msg.vias[1], asked, call_id)

    def look_at_stamp(self, via: str, asked: Asked, call_id: str) -> None:
        """18.2.1 and RFC 3581."""
        came = asked.msg.vias[0]
        host, port = asked.source
        if ";rport" in came:
            if parameter(via, "rport") != str(port) or parameter(via, "received") != host:
                self.fail("RFC 3581 4: rport and received are filled in", via, call_id)
        elif via_place(came)[0] != host and parameter(via, "received") != host:
            self.fail("18.2.1: received is added", via, call_id)
        elif via_place(came)[0] == host and via != came:
            self.fail("18.2.1: this Via needs nothing", via, call_id)

    def is_ours(self, route: str) -> bool:
        host, port = place_of(uri_of(route))
        return f"{host}:{port}" in self.own or host == DOMAIN

    def look_at_routes(self, msg: Msg, asked: Asked) -> None:
        """16.4, 16.6 item 6.  A stranger's Routes beyond our own are removed (docs/wire.md#routes-of-strangers)."""
        came = asked.msg
        left = self.onward(came)
        if left and ";lr" not in left[0]:  # 16.6 item 6: the next hop is a strict router
            left = [*left[1:], f"<{self.sim.book.undo_strict(came)[0]}>"]
        if not came.to_tag and not asked.known and msg.routes:
            self.fail("docs/wire.md#routes-of-strangers: a stranger's Routes are removed", f"{msg.routes}", msg.call_id)
        if msg.routes == left or (not msg.routes and not came.to_tag):
            return
        if self.places_of(msg.routes) == self.places_of(left) and len(msg.routes) == len(left):
            return  # a stand-in's host and port (docs/wire.md#renamed-routes)
        self.fail("16.4, 16.6 item 6: Route", f"{came.routes} -> {msg.routes}", msg.call_id)

    def onward(self, came: Msg) -> list[str]:
        """The Routes behind our own (16.4)."""
        left = list(self.sim.book.undo_strict(came)[1])
        while left and self.is_ours(left[0]):
            left.pop(0)
        return left

    def look_at_ruri(self, msg: Msg, asked: Asked) -> None:
        """16.6 items 2 and 6; `ruri` of the set (docs/names.md#request-uri-of-a-destination)."""
        book = self.sim.book
        wanted = {book.undo_strict(asked.msg)[0]}
        left = self.onward(asked.msg)
        if left and ";lr" not in left[0] and book.place_of_route(asked) is not None:
            wanted = {uri_of(left[0])}
        to = book.branch.to
        if book.place_of_route(asked) is None:
            for plan in self.sim.plans[asked.plan - 1 :]:
                for group in plan.groups:
                    wanted |= {self.aimed(asked.msg.ruri, group, m) for m in group.destinations if m.address == to}
        if msg.ruri not in wanted and "@" not in msg.ruri and book.branch.number:
            self.fail("16.6 item 2: the next branch has the number, too", msg.ruri, msg.call_id)
        elif msg.ruri not in wanted:
            self.fail("16.6 item 2: the Request-URI", f"{msg.ruri}, not {sorted(wanted)}", msg.call_id)

    def aimed(self, ruri: str, group: Group, member: Destination) -> str:
        if group.ruri == 0:
            return ruri
        return member.uri if group.ruri == 2 else f"sip:{user_of(ruri)}@{member.host}:{member.port}"

    def places_of(self, routes: list[str]) -> list[tuple[str, str]]:
        """User and parameters, without host and port."""
        return [(user_of(uri_of(route)), uri_of(route).partition(";")[2]) for route in routes]

    def look_at_record_routes(self, msg: Msg, asked: Asked, listener: int) -> None:
        came = asked.msg
        added = msg.record_routes[: len(msg.record_routes) - len(came.record_routes)]
        if msg.record_routes[len(added) :] != came.record_routes:
            self.fail("16.6 item 4: Record-Routes of others stay", f"{msg.record_routes}", msg.call_id)
        for value in added:
            if not self.is_ours(value) or ";lr" not in value:
                self.fail("16.6 item 4: our Record-Route names us and has lr", value, msg.call_id)
        if added and len(added) != 1 + (listener != asked.listener):
            self.fail("RFC 5658: one Record-Route for each side", f"{added}", msg.call_id)
        if added and msg.method not in (*DIALOG_MAKERS, "NOTIFY"):
            self.fail("docs/wire.md#who-is-record-routed: who is record-routed", msg.method, msg.call_id)

    def look_at_rest(self, msg: Msg, came: Msg) -> None:
        """Line by line, in order; what may differ is looked at above.

        Lines that the set of the branch before took stand behind the others in the next one: 7.3.1, where the order
        of different names means nothing.
        """
        skipped = {"via", "max-forwards", "route", "record-route", "max-breadth"}
        edited = any(name == STAMP.lower() for name in msg.names)
        if edited:
            skipped |= {STAMP.lower(), SECRET.lower()}
        asked = self.sim.book.asked
        skipped |= self.sim.border.removed(asked, self.sim.book.branch.to) | self.sim.border.may_remove(asked)
        before, after = (
            [(name, line) for line, name in zip(each.lines, each.names, strict=True) if name not in skipped]
            for each in (came, msg)
        )
        if len(self.sim.book.asked.made) > 1:
            before, after = (sorted(lines, key=lambda pair: pair[0]) for lines in (before, after))
        if before != after:
            odd = next((pair for pair in zip(before, after, strict=False) if pair[0] != pair[1]), (before, after))
            self.fail("16.6: all other headers stay as they are", f"{odd[0]!r} -> {odd[1]!r}", msg.call_id)
        if edited and msg.values(STAMP.lower()) != [f"edge {msg.call_id}"]:
            self.fail("config: headers.set", f"{msg.values(STAMP.lower())}", msg.call_id)

    # ------------------------------------------------------------ responses

    def look_at_response(self, msg: Msg, asked: Asked) -> None:
        """Of a callee, then as it came but for our Via; or made here."""
        came = asked.msg
        if msg.vias[1:] != came.vias[1:] or len(msg.vias) != len(came.vias):
            self.fail("16.7 item 3: our Via goes, the others stay", f"{msg.vias}", msg.call_id)
        self.look_at_stamp(msg.vias[0], asked, msg.call_id)
        for branch in reversed(asked.made):
            for _, reply, _ in reversed(branch.replies):
                if self.is_passed(msg, reply):
                    return
        if msg.to_tag and self.came_by_others(msg, asked):
            return
        self.look_at_own(msg, came)

    def came_by_others(self, msg: Msg, asked: Asked) -> bool:
        """To a CANCEL that was sent on without state (16.11)."""
        return msg.cseq_method == "CANCEL"

    def is_passed(self, msg: Msg, reply: Msg) -> bool:
        status = 500 if reply.status == 503 and msg.status == 500 else reply.status
        if status != msg.status or reply.body != msg.body:
            return False
        before = [line for line, name in zip(reply.lines, reply.names, strict=True) if name != "via"]
        after = [line for line, name in zip(msg.lines, msg.names, strict=True) if name != "via"]
        if before == after:
            return True
        if msg.status not in (401, 407):
            return False
        challenges = ("www-authenticate", "proxy-authenticate")
        return [line for line in after if not line.lower().startswith(challenges)] == [
            line for line in before if not line.lower().startswith(challenges)
        ]

    def look_at_own(self, msg: Msg, came: Msg) -> None:
        """8.2.6: nothing but what the request brought."""
        lines = [
            line
            for line, name in zip(msg.lines, msg.names, strict=True)
            if name not in ("via", "content-length", "retry-after", "unsupported", "warning")
        ]
        about_us = ("accept", "accept-encoding", "accept-language", "supported", "allow")
        if came.method == "OPTIONS":
            lines = [line for line in lines if line.partition(":")[0].lower() not in about_us]
        wanted = [came.from_line, came.to_line, *self.lines_of(came, "call-id"), *self.lines_of(came, "cseq")]
        if msg.to_tag and not came.to_tag:
            wanted[1] += f";tag={msg.to_tag}"
        if msg.status == 100:
            wanted += self.lines_of(came, "timestamp")
        if sorted(lines) != sorted(wanted) or msg.body:
            self.fail("8.2.6, 16.7: neither a callee's response nor one of ours", f"{msg.lines}", msg.call_id)

    def lines_of(self, msg: Msg, name: str) -> list[str]:
        return [line for line, known in zip(msg.lines, msg.names, strict=True) if known == name]
