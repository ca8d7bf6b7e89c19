"""Health moves by evidence only (docs/wire.md#health-by-calls).

A destination goes down or is doubted after failures of its own, and
comes up when it has answered.

Evidence against: a request that nobody answered for the shortest timeout there is, a refusal by the
network, a failure that a policy can name.  Evidence for: a response of its own since it went down.
"""

from tests.simulate.checks import Check
from tests.simulate.message import Address, Msg
from tests.simulate.world import Group

WORSE, UP = ("down", "trying"), "up"
DOWN = 3  # in a cell


class Health(Check):
    def __init__(self, sim):
        super().__init__(sim)
        self.failed: dict[Address, int] = {}  # last sign against
        self.answered: dict[Address, int] = {}  # last sign of life
        self.waiting: dict[Address, dict[str, int]] = {}  # what it was asked and has not answered: branch -> since
        self.popped: tuple[Address, str, int] | None = None  # what was answered last, and since when it had waited
        self.went_down: dict[Address, int] = {}
        self.marked: dict[int, int] = {}  # by the id of an Asked

    def address_of(self, id: int) -> Address | None:
        for plan in reversed(self.sim.plans):
            for group in plan.groups:
                for member in group.destinations:
                    if member.id == id:
                        return member.address
        return None

    def incoming(self, msg: Msg, source: Address, listener: int) -> None:
        if not msg.status:
            return
        if msg.status >= 200:
            self.answered[source] = self.sim.now
            # Who has several addresses answers from any: the branch says whose answer it is.  After a transaction gave
            # way its request has the same branch again, maybe elsewhere, and what is still on its way finds that one.
            if (branch := self.sim.book.branches.get(msg.branch)) is not None:
                self.answered[branch.to] = self.sim.now
            if msg.cseq_method != "CANCEL":
                self.popped = source, msg.branch, self.waiting.get(source, {}).pop(msg.branch, self.sim.now)
        if msg.status >= 300:
            self.failed[source] = self.sim.now

    def lost(self, msg: Msg) -> None:
        if msg.status >= 200 and self.popped is not None and self.popped[1] == msg.branch:
            source, branch, since = self.popped
            self.waiting.setdefault(source, {})[branch] = since

    def outgoing(self, msg: Msg, to: Address, listener: int) -> None:
        if not msg.status and msg.method not in ("ACK", "CANCEL"):
            self.waiting.setdefault(to, {}).setdefault(msg.branch, self.sim.now)
        if self.sim.outcome != "sent":
            self.failed[to] = self.sim.now

    def changed(self, address: Address, mode: str) -> None:
        if mode in ("refused", "lost", "gone"):
            self.failed[address] = self.sim.now

    def event(self, event) -> None:
        if event.kind != "health":
            return
        address = self.address_of(event.destination_id)
        if address is None:
            self.fail("docs/wire.md#health-by-calls: health is a destination's", f"{event}")
            return
        if event.reason in WORSE:
            self.look_at_fall(address, event)
        elif event.reason == UP:
            self.look_at_rise(address)

    def look_at_fall(self, address: Address, event) -> None:
        now = self.sim.now
        unheard = [branch for branch, since in self.waiting.get(address, {}).items() if self.is_late(branch, since)]
        if self.failed.get(address, -1) < now and not unheard and not self.sim.book.recovering:
            self.fail("docs/wire.md#health-by-calls: it goes down by failures of its own", f"{address}: {event}")
        if event.reason == "down":
            self.went_down[address] = now
            self.look_at_call(address)

    def is_late(self, branch: str, since: int) -> bool:
        """Has it waited as long as the shortest clock for such a request?  `ring` never marks."""
        known = self.sim.book.branches.get(branch)
        if known is not None:
            end = min([since + known.timeout, *known.cancels[:1]])
            kept = [(at, reply) for at, reply, _ in known.replies if reply not in known.maybe]
            rang = [at for at, reply in kept if 100 < reply.status < 200 and at < end]
            if rang:
                return self.sim.now >= rang[-1] + self.world.c  # Timer C is a 408 (16.8)
        probes = [group.probe for plan in self.sim.plans for group in plan.groups if group.probe]
        shortest = self.world.t1
        if branch in self.sim.book.probes:
            shortest = min(probe["timeout_ms"] for probe in probes)
        return self.sim.now - since >= shortest

    def look_at_call(self, address: Address) -> None:
        """Of responses; which call a timer belonged to cannot be seen."""
        msg = self.sim.cause
        if msg is None or not msg.status or msg.branch in self.sim.book.probes:
            return
        branch = self.sim.book.branches.get(msg.branch)
        key = id(branch.asked) if branch is not None else 0
        self.marked[key] = self.marked.get(key, 0) + 1
        anew = branch is not None and self.sim.book.has_shed(branch.asked)  # the same request is another call
        if self.marked[key] > 1 and not anew:
            self.fail("docs/wire.md#marks: one call marks at most one destination down", f"{address}", msg.call_id)
        for group in self.sim.router.plan.groups:
            if any(member.address == address for member in group.destinations):
                self.look_at_last(group, msg)

    def look_at_last(self, group: Group, msg: Msg) -> None:
        cells = self.sim.router.cells
        known = cells.assigned
        healths = [cells.read(known[member.id]).health for member in group.destinations]
        careless = any(g.policy["mark_last"] for plan in self.sim.plans for g in plan.groups)
        if all(health == DOWN for health in healths) and not careless:
            why = "503 with Retry-After" if "retry-after" in msg.names else str(msg.status)
            text = f"{why}, set {group.id}"
            self.fail("docs/wire.md#marks: a call never marks the last usable one of a set", text, msg.call_id)

    def look_at_rise(self, address: Address) -> None:
        since = self.went_down.pop(address, 0)
        if self.answered.get(address, -1) < since:
            self.fail(
                "docs/wire.md#health-by-calls: it comes up when it has answered", f"{address}, down since {since}"
            )
