"""What has happened, as the other checks look at it: requests, their branches, and what belongs together.

Made from the wire alone.  A request that came is an Asked; each different Via branch that the
router sent on for it is a Branch (16.6 item 8).  The Book stands first among the checks: it has
noted a message before the others see it, and `asked` and `branch` are those of this message.
"""

from tests.simulate.checks import Check
from tests.simulate.message import Address, Msg, parameter, via_place


class Branch:
    """One attempt at one next hop: what left with one branch of ours."""

    __slots__ = (
        "acks",
        "asked",
        "cancel_answers",
        "cancels",
        "disturbed",

        "id",
        "listener",
        "number",
        "refused",
        "replies",
        "request",
        "sends",
        "timeout",
        "to",
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
        self.disturbed = False  # the process died while it lived
        self.timeout = 0  # ms without an answer after which the search may have given it up

    def final(self) -> tuple[int, Msg] | None:
        return next(((at, msg) for at, msg, _ in self.replies if msg.status >= 200), None)


class Asked:
    """A request as it came, and all that the router did about it."""

    __slots__ = ("arrivals", "branches", "cancels", "deaths", "finals", "listener", "lost", "msg", "replies", "source")

    def __init__(self, msg: Msg, source: Address, listener: int):
        self.msg, self.source, self.listener = msg, source, listener
        self.arrivals: list[int] = []
        self.branches: dict[str, Branch] = {}
        self.replies: list[tuple[int, Msg]] = []
        self.finals: list[tuple[int, Msg]] = []
        self.cancels: list[int] = []
        self.lost = False
        self.deaths = 0  # while it lived


def key_of(via: str, msg: Msg, method: str) -> tuple:
    return msg.call_id, parameter(via, "branch"), via_place(via), msg.cseq, method, msg.from_tag


class Book(Check):
    def __init__(self, sim):
        super().__init__(sim)
        self.requests: dict[tuple, Asked] = {}
        self.branches: dict[str, Branch] = {}
        self.probes: dict[str, list] = {}  # branch -> [destination, times, answered]
        self.forwarded: dict[str, Msg] = {}  # without state: ACKs and CANCELs
        self.places = {self.world.listener_address(n) for n in range(self.world.listeners)}
        self.asked: Asked | None = None
        self.branch: Branch | None = None
        self.is_new = False
        self.plan = None
        self.timeout = self.world.whole
        self.ever_unwell: set[Address] = set()
        self.unwell: set[Address] = set()  # what is sent there is refused, or lost in the sender

    def changed(self, address: Address, mode: str) -> None:
        if mode in ("refused", "lost"):
            self.ever_unwell.add(address)
        (self.unwell.add if mode in ("refused", "lost") else self.unwell.discard)(address)

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
        asked.arrivals.append(now)
        asked.lost = False
        self.asked = asked

    def note_reply(self, msg: Msg, source: Address) -> None:
        probe = self.probes.get(msg.branch)
        if probe is not None and probe[0] == source and msg.status >= 200:
            probe[2] = True
        branch = self.branches.get(msg.branch)
        if branch is None:
            return
        if msg.cseq_method == "CANCEL":
            if msg.status >= 200:
                branch.cancel_answers.append(self.sim.now)
        elif msg.cseq_method == branch.request.method:
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
            return
        if via_place(msg.vias[0]) not in self.places:
            self.fail("16.6 item 8: our Via is the topmost", msg.vias[0], msg.call_id)
        if len(msg.vias) == 1:
            self.note_own(msg, to, now)
            return
        asked = self.asked = self.requests.get(key_of(msg.vias[1], msg, msg.method))
        if msg.method in ("ACK", "CANCEL"):
            self.forwarded[msg.branch] = msg
            return
        if asked is None:
            self.fail("16.6: what is sent on was received", repr(msg), msg.call_id)
            return
        branch = asked.branches.get(msg.branch)
        if branch is not None and (branch.to != to or branch.request.raw != msg.raw):
            self.fail("17.2.2: a repeated request is absorbed, not sent on anew", f"{branch.to}, {to}", msg.call_id)
            branch = None
        elif branch is None and msg.branch in self.branches:
            self.fail("16.6 item 8: the branch of a Via is unique", msg.branch, msg.call_id)
        if branch is not None:
            branch.sends.append(now)
        else:
            if not asked.branches:
                asked.finals.clear()  # what was refused without state may be taken when it is repeated (design section 8)
            branch = asked.branches[msg.branch] = self.branches[msg.branch] = Branch(asked, msg, to, listener, now)
            branch.timeout = self.shortest_timeout()
            self.is_new = True
        self.branch = branch

    def shortest_timeout(self) -> int:
        """Of all policies that there ever were: before that no branch is given up (wire section 3, `timeout`)."""
        for group in self.sim.router.plan.groups if self.sim.router.plan is not self.plan else ():
            for policy in (group.policy, group.dialog_policy):
                self.timeout = min(self.timeout, policy.get("timeout_ms", self.timeout))
        self.plan = self.sim.router.plan
        return self.timeout

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
        if self.asked is not None and not msg.status:
            self.asked.lost = True

    def died(self) -> None:
        for branch in self.branches.values():
            branch.disturbed = True
        for asked in self.requests.values():
            asked.deaths += 1
