"""What has happened, as the other checks look at it: requests, their branches, and what belongs together.

Made from the wire alone.  A request that came is an Asked; each different Via branch that the
router sent on for it is a Branch (16.6 item 8).  The Book stands first among the checks: it has
noted a message before the others see it, and `asked` and `branch` are those of this message.
"""

import itertools
from types import SimpleNamespace

from tests.simulate.checks import Check
from tests.simulate.message import Address, Msg, parameter, place_of, uri_of, via_place
from tests.simulate.world import DOMAIN, FORWARD_PREFIX, Group


class Branch:
    """One attempt at one next hop: what left with one branch of ours."""

    __slots__ = (
        "acks",
        "asked",
        "cancel_answers",
        "cancels",
        "disturbed",
        "final_order",
        "id",
        "listener",
        "maybe",
        "number",
        "refused",
        "replies",
        "request",
        "sends",
        "timeout",
        "to",
        "unreachable",
    )

    def __init__(self, asked: "Asked", msg: Msg, to: Address, listener: int, now: int):
        self.asked, self.request, self.to, self.listener = asked, msg, to, listener
        self.id = msg.branch
        self.number = len(asked.branches)
        self.sends = [now]
        self.replies: list[tuple[int, Msg, Address]] = []
        self.cancels: list[int] = []
        self.cancel_answers: list[int] = []
        self.acks: list[int] = []
        self.final_order = 0  # which of all messages its first final response was
        self.maybe: list[Msg] = []  # replies that the process had in its hands when it died
        self.disturbed = False  # the process died while it lived
        self.refused = 0  # when its request could not be sent, or ICMP said that nobody is there
        self.unreachable = 0  # how often ICMP said so of the host
        self.timeout = 0  # ms without an answer after which the search may have given it up

    def final(self) -> tuple[int, Msg] | None:
        return next(((at, msg) for at, msg, _ in self.replies if msg.status >= 200), None)


NOBODY = SimpleNamespace(asked=None)

TARGET_MS = 4_000   # of the table: silence of a target of a name, until the next one is tried


class Asked:
    """A request as it came, and all that the router did about it."""

    __slots__ = (
        "acks", "arrivals", "branches", "cancels", "deaths", "finals", "known", "listener", "lost", "made",
        "msg", "passed_on", "plan", "replies", "source",
    )  # fmt: skip

    def __init__(self, msg: Msg, source: Address, listener: int):
        self.msg, self.source, self.listener = msg, source, listener
        self.arrivals: list[int] = []
        self.branches: dict[str, Branch] = {}
        self.made: list[Branch] = []  # all that there ever were, also before its transaction had to give way
        self.replies: list[tuple[int, Msg]] = []
        self.finals: list[tuple[int, Msg]] = []
        self.cancels: list[int] = []
        self.acks = 0  # of its final response
        self.lost = False
        self.deaths = 0  # while it lived
        self.known = False  # who sent it
        self.passed_on = False  # a CANCEL, without state
        self.plan = 0  # version of the plan when it came


def user_of(uri: str) -> str:
    return uri.partition(":")[2].partition("@")[0] if "@" in uri else ""


def key_of(via: str, msg: Msg, method: str) -> tuple:
    return msg.call_id, parameter(via, "branch"), via_place(via), msg.cseq, method, msg.from_tag


class Book(Check):
    def __init__(self, sim):
        super().__init__(sim)
        self.requests: dict[tuple, Asked] = {}
        self.of_call: dict[str, list[Asked]] = {}
        self.branches: dict[str, Branch] = {}
        self.probes: dict[str, list] = {}  # branch -> [destination, times, answered]
        self.places = {self.world.listener_address(n) for n in range(self.world.listeners)}
        self.asked: Asked | None = None
        self.branch: Branch | None = None
        self.tokens: set[tuple[str, str]] = set()  # (Call-ID, user part) of our Record-Routes
        self.last_recovery = 0
        self.is_new = False
        self.recovering = False  # what leaves now was owed, or decided, before a death

    # ------------------------------------------------------------ what comes

    def incoming(self, msg: Msg, source: Address, listener: int) -> None:
        self.asked = self.branch = None
        if not msg.vias:
            return
        if msg.status:
            self.note_reply(msg, source)
        else:
            self.note_request(msg, source, listener)

    def note_request(self, msg: Msg, source: Address, listener: int) -> None:
        now = self.sim.now
        if msg.method == "ACK":
            self.asked = self.requests.get(key_of(msg.vias[0], msg, "INVITE"))
            if self.asked is not None:
                self.asked.acks += 1
            return
        if msg.method == "CANCEL":
            for method in ("INVITE",):
                known = self.requests.get(key_of(msg.vias[0], msg, method))
                if known is not None:
                    known.cancels.append(now)
        key = key_of(msg.vias[0], msg, msg.method)
        asked = self.requests.get(key)
        if asked is None:
            asked = self.requests[key] = Asked(msg, source, listener)
            self.of_call.setdefault(msg.call_id, []).append(asked)
        if not asked.branches:  # else its search has begun
            asked.plan, asked.known = self.sim.router.plan.version, self.is_known(source)
        asked.arrivals.append(now)
        asked.lost = False
        self.asked = asked

    def note_obeyed(self, cancel: Asked) -> None:
        """One that came before its INVITE waited for the name of its next hop until the INVITE was there."""
        invite = self.requests.get(key_of(cancel.msg.vias[0], cancel.msg, "INVITE"))
        if invite is not None and not invite.cancels:
            invite.cancels.append(self.sim.now)

    def note_reply(self, msg: Msg, source: Address) -> None:
        probe = self.probes.get(msg.branch)
        if probe is not None and probe[0] == source and msg.status >= 200:
            probe[2] = True
        branch = self.branches.get(msg.branch)
        if branch is None:
            return
        if msg.cseq_method == "CANCEL":
            if msg.status >= 200 and branch.cancels:
                branch.cancel_answers.append(self.sim.now)
        elif msg.cseq_method == branch.request.method:
            if msg.status >= 200 and branch.final() is None:
                branch.final_order = self.sim.messages
            branch.replies.append((self.sim.now, msg, source))
            self.branch, self.asked = branch, branch.asked

    # ------------------------------------------------------------ what leaves

    def outgoing(self, msg: Msg, to: Address, listener: int) -> None:
        self.asked = self.branch = None
        self.is_new = False
        now = self.sim.now
        if msg.status:
            asked = self.asked = self.requests.get(key_of(msg.vias[0], msg, msg.cseq_method))
            if asked is not None:
                asked.replies.append((now, msg))
                if msg.status >= 200:
                    asked.finals.append((now, msg))
                if msg.cseq_method == "CANCEL" and msg.status == 200:
                    self.note_obeyed(asked)
            return
        if via_place(msg.vias[0]) not in self.places:
            self.fail("16.6 item 8: our Via is the topmost", msg.vias[0], msg.call_id)
        if len(msg.vias) == 1:
            self.note_own(msg, to, now)
            return
        asked = self.asked = self.requests.get(key_of(msg.vias[1], msg, msg.method))
        for value in msg.record_routes[:2]:
            if user_of(uri_of(value)):
                self.tokens.add((msg.call_id, user_of(uri_of(value))))
        if msg.method in ("ACK", "CANCEL"):
            if asked is not None:
                asked.passed_on = True
            return
        if asked is None:
            self.fail("16.6: what is sent on was received", repr(msg), msg.call_id)
            return
        branch = asked.branches.get(msg.branch)
        if branch is not None and (branch.to != to or branch.request.raw != msg.raw):
            over = now >= asked.arrivals[0] + self.world.whole  # for its caller, too (Timer F)
            if not over and not self.has_shed(asked) and not self.is_without_state(asked):
                rule = "17.2.2: a repeated request is absorbed, not sent on anew"
                final = branch.final()
                said = f"{final[1].status} had come" if final is not None else "nothing had come"
                self.fail(rule, f"{said}; {branch.to}, {to}", msg.call_id)
            asked.finals.clear()
            asked.branches.clear()
            asked.plan = self.sim.router.plan.version
            asked.known = self.is_known(asked.source)
            branch = None
        elif branch is None and self.branches.get(msg.branch, NOBODY).asked not in (None, asked):
            self.fail("16.6 item 8: the branch of a Via is unique", msg.branch, msg.call_id)
        if branch is not None:
            branch.sends.append(now)
        else:
            if not asked.branches:
                asked.finals.clear()  # refused without state, taken when repeated: docs/design.md#bad-input-and-bounds
            branch = asked.branches[msg.branch] = self.branches[msg.branch] = Branch(asked, msg, to, listener, now)
            asked.made.append(branch)
            branch.timeout = self.timeout_of(asked, to)
            branch.disturbed = self.recovering
            self.is_new = True
        self.branch = branch
        if self.sim.outcome == "refused" and not branch.replies:
            branch.refused = branch.refused or now

    def note_icmp(self, raw: bytes, port: bool) -> None:
        """A refused port counts at once, a host that cannot be reached the second time (docs/core.md#icmp)."""
        msg = Msg(raw)
        branch = self.branches.get(msg.branch)
        waits = branch is not None and not branch.replies and self.sim.now < branch.sends[0] + branch.timeout
        if waits and msg.method not in ("ACK", "CANCEL", ""):
            branch.unreachable += 1
            if port or branch.unreachable > 1:
                branch.refused = branch.refused or self.sim.now

    # ------------------------------------------------------------ which way, by which policy

    def is_ours(self, uri: str) -> bool:
        host, port = place_of(uri)
        return (host, port) in self.places or host == DOMAIN

    def is_destination(self, address: Address) -> bool:
        return any(m.address == address for g in self.sim.router.plan.groups for m in g.destinations)

    def is_known(self, address: Address) -> bool:
        return (self.world.trusted and address[0].startswith("10.0.0.")) or self.is_destination(address)

    def undo_strict(self, came: Msg) -> tuple[str, list[str]]:
        """Request-URI and Routes; a strict router has put our value into the one and the target behind the others."""
        user = user_of(came.ruri)
        ours = self.is_ours(came.ruri) and (not user or (came.call_id, user) in self.tokens)
        if came.to_tag and came.routes and ";lr" in came.ruri and ours:
            return uri_of(came.routes[-1]), came.routes[:-1]
        return came.ruri, came.routes

    def is_proven(self, came: Msg) -> bool:
        """Does it bring a Record-Route value that we gave to this call?"""
        leading = itertools.takewhile(self.is_ours, map(uri_of, came.routes))
        uris = [came.ruri, *leading] if self.is_ours(came.ruri) else leading
        return any((came.call_id, user_of(uri)) in self.tokens for uri in uris)

    def place_of_route(self, asked: Asked) -> Address | None:
        """Where the request itself says that it goes (16.5); None: the rules decide."""
        came = asked.msg
        ruri, routes = self.undo_strict(came)
        routes = [route for route in routes if not self.is_ours(uri_of(route))]
        if routes and (came.to_tag or asked.known):
            return place_of(uri_of(routes[0]))
        if not self.is_ours(ruri) and (came.to_tag or user_of(ruri).startswith(FORWARD_PREFIX)):
            return place_of(ruri)
        return None

    def group_of(self, asked: Asked) -> Group | None:
        """The set of the rule that took it when it came."""
        if self.place_of_route(asked) is not None:
            return None
        plan = next(plan for plan in self.sim.plans if plan.version == asked.plan)
        return plan.group_for(user_of(asked.msg.ruri))

    def timeout_of(self, asked: Asked, to: Address) -> int:
        """Ms without any answer after which a branch of this request is given up (docs/wire.md#clocks-of-a-search)."""
        group = self.group_of(asked)
        if group is not None:
            return group.policy.get("timeout_ms", self.world.whole)
        if not asked.msg.to_tag or asked.msg.method == "PRACK":
            return self.world.whole
        plan = next(plan for plan in self.sim.plans if plan.version == asked.plan)
        shared = [g for g in plan.groups if g.shared and any(m.address == to for m in g.destinations)]
        return min([g.dialog_policy.get("timeout_ms", self.world.whole) for g in shared], default=self.world.whole)

    def is_by_name(self, asked: Asked) -> bool:
        """Of a name that has another target a silent one is given up after TARGET_MS, and nobody here knows which."""
        place = self.place_of_route(asked)
        return place is not None and not place[0][0].isdigit()

    def has_shed(self, asked: Asked) -> bool:
        """The oldest lingering non-INVITE go first (docs/core.md#a-full-store): a repetition is new then."""
        return asked.msg.method != "INVITE" and self.sim.router.shed_before + self.sim.router.shed() > 0

    def is_without_state(self, asked: Asked) -> bool:
        """What belongs to a dialog goes on without state when the store is full (docs/core.md#a-full-store)."""
        return bool(asked.msg.to_tag) and self.was_full()

    def was_full(self) -> bool:
        return self.sim.router.full_before + self.sim.router.full() > 0

    def note_own(self, msg: Msg, to: Address, now: int) -> None:
        """CANCEL, ACK and probes are made here."""
        if msg.method not in ("CANCEL", "ACK"):
            self.probes.setdefault(msg.branch, [to, [], False])[1].append(now)
            return
        branch = self.branch = self.branches.get(msg.branch)
        if branch is None:
            self.fail(f"9.1, 17.1.1.3: a {msg.method} has the branch of its INVITE", msg.branch, msg.call_id)
        else:
            self.asked = branch.asked
            (branch.cancels if msg.method == "CANCEL" else branch.acks).append(now)

    # ------------------------------------------------------------ deaths

    def lost(self, msg: Msg) -> None:
        if msg.status and self.branch is not None:
            self.branch.maybe.append(msg)
        elif self.asked is not None and not msg.status:
            self.asked.lost = True

    def recovered(self) -> None:
        self.last_recovery = self.sim.now
        self.recovering = False

    def died(self) -> None:
        self.recovering = True
        for branch in self.branches.values():
            branch.disturbed = True
        for asked in self.requests.values():
            asked.deaths += 1
