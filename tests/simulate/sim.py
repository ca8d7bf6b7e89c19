"""One run of one world: the clock, the network, the router, its user agents and those who watch.

Everything happens at a time of one virtual clock in one order, and all that is by chance is drawn
from the seed's generator: the same seed makes the same run, datagram by datagram.
"""

import errno
import hashlib
import heapq
import random
import shutil
from pathlib import Path

from fastsip._core.harness.rig import START_MS
from fastsip._core.transport.names import split_key
from tests.simulate.agent import Agent
from tests.simulate.callees import Callees
from tests.simulate.callers import Callers
from tests.simulate.checks import Violation, make_checks
from tests.simulate.message import Address, Msg
from tests.simulate.router import NEVER, WAITING_AT_MOST, Router
from tests.simulate.world import World, draw_world, redraw

CALLERS, STRANGERS = 24, 6
CHECK_EVERY = 64  # batches, between two looks at the whole store
QUIET_MS = 400_000
QUIET_TRIES = 4  # somebody may still say something late
STRAY = (
    b"SIP/2.0 200 OK\r\n"
    b"Via: SIP/2.0/UDP 10.0.0.254:5060;branch=z9hG4bKaaaaaaaaaaaaa.aaaaaa;fs=aaaaaaaaaaaaaaaaaaaaaa\r\n"
    b"Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKx\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>;tag=2\r\n"
    b"Call-ID: nobody@nowhere\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
)


class Simulation:
    def __init__(self, seed: int, run_dir: Path, world: World | None = None):
        self.world = world or draw_world(seed)
        self.seed = seed
        self.rng = random.Random(seed ^ 0x5EED)
        self.now = START_MS
        self.heap: list = []
        self.made = 0  # branches and tags
        self.clients: dict = {}
        self.ladder: list = []
        self.tracing = False
        self.cause: Msg | None = None  # what the router has just been given
        self.kill_at = ""  # how a datagram begins in whose batch the process shall die; "" = any batch
        self.outcome = "sent"  # of what leaves just now
        self.passed_over: tuple[str, ...] = ()  # rules whose violations are counted only
        self.passed: dict[str, int] = {}
        self.digest = hashlib.blake2b(digest_size=8)
        self.messages = self.deaths = self.reloads = self.batches = 0
        shutil.rmtree(run_dir, ignore_errors=True)
        run_dir.mkdir(parents=True)
        self.router = Router(self.world, run_dir, self.rng)
        self.plans = [self.router.plan]
        self.told: dict[str, set[Address]] = {}  # name -> its addresses, ever
        self.callees = Callees(self)
        self.agents: dict[Address, Agent] = {}
        callers = [self.add((f"10.0.0.{n + 1}", 5060), 0, f"u{n}", 0.2) for n in range(CALLERS)]
        strangers = [self.add((f"10.9.0.{n + 1}", 5062), 0, f"s{n}", 0.2) for n in range(STRANGERS)]
        self.callers = Callers(self, callers, strangers)
        for agent in callers + strangers:
            agent.plans = self.callers
        self.add_destinations()
        self.checks = make_checks(self)
        self.on_in = [check.incoming for check in self.checks]
        self.on_out = [check.outgoing for check in self.checks]

    # ------------------------------------------------------------ who there is

    def add(self, address: Address, listener: int, user: str, odd: float) -> Agent:
        agent = self.agents[address] = Agent(self, address, listener, user, odd)
        self.router.route(address[0], listener)
        return agent

    def add_destinations(self) -> None:
        for group in self.router.plan.groups:
            for member in group.destinations:
                if member.address not in self.agents:
                    self.add(member.address, self.world.inside, f"d{member.id}", 0.1).plans = self.callees

    def new_tag(self) -> str:
        self.made += 1
        return f"t{self.made:x}"

    def new_branch(self) -> str:
        self.made += 1
        return f"z9hG4bK.{self.made:x}"

    # ------------------------------------------------------------ the clock

    def at(self, when: int, act, what) -> None:
        self.made += 1
        heapq.heappush(self.heap, (when, self.made, act, what))

    def run(self) -> None:
        """All calls, then silence until nothing can be left."""
        self.at(self.now, self.callers.begin, None)
        self.plan_troubles()
        while self.callers.begun < self.world.calls or self.heap:
            self.step(NEVER)
        self.end_troubles()
        for _ in range(QUIET_TRIES):
            end = self.now + QUIET_MS + 4 * self.world.c
            while self.now < end:
                self.step(end)
            if not self.heap and not self.router.live():
                break
        for check in self.checks:
            check.finish()

    def step(self, end: int) -> None:
        heap, router = self.heap, self.router
        due = router.next_ms()
        to = min(due, end, heap[0][0] if heap else end)
        if to > self.now:
            self.now = to
        if (due <= self.now and not router.down_until) or (not router.down_until and not heap):
            self.advance()
        while heap and heap[0][0] <= self.now:
            _, _, act, what = heapq.heappop(heap)
            act(what)

    # ------------------------------------------------------------ the network

    def delay(self) -> int:
        return 1 + int(self.rng.random() ** 3 * self.world.slowest_ms)

    def send(self, agent: Agent, raw: bytes) -> None:
        """From an agent to the router; a copy may take longer than the first, or none arrives."""
        rng, world = self.rng, self.world
        if rng.random() >= world.loss:
            self.at(self.now + self.delay(), self.arrive, (raw, agent.address, agent.listener))
        if world.double and rng.random() < world.double:
            self.at(self.now + 3 * self.delay(), self.arrive, (raw, agent.address, agent.listener))

    def arrive(self, what: tuple[bytes, Address, int]) -> None:
        router = self.router
        if router.down_until:
            if len(router.waiting) < WAITING_AT_MOST:
                router.waiting.append(what)
            return
        if not self.catch_up():
            router.waiting.append(what)
            return
        raw, source, listener = what
        msg = Msg(raw)
        self.note("in", msg, source, listener)
        for check in self.on_in:
            check(msg, source, listener)
        self.cause = msg
        kills = router.kills
        if not msg.start.startswith(self.kill_at):
            router.kills = 0  # not this batch
        survived = router.receive(raw, source, listener)
        if survived:
            router.kills = kills
        if not survived:
            for check in self.checks:
                check.lost(msg)
        self.after_batch(survived)

    def advance(self) -> None:
        """All that is due by now, unless the process is to die of a datagram."""
        kills = self.router.kills
        if self.kill_at:
            self.router.kills = 0
        survived = self.router.advance(self.now)
        if survived:
            self.router.kills = kills
        self.after_batch(survived)

    def catch_up(self) -> bool:
        """The router's clock is brought to the simulation's; False: it died of what was due."""
        if self.router.rigs[0].now_ms < self.now:
            self.advance()
        return not self.router.down_until

    def after_batch(self, survived: bool) -> None:
        router = self.router
        self.batches += 1
        if not survived:
            router.die(self.now)
        for record in router.sent():
            self.leave(record)
        if not survived:
            self.die()
        if survived and self.batches % CHECK_EVERY == 0:
            self.look_at_store()
        if survived:
            self.take_events()
        self.cause = None

    def leave(self, record) -> None:
        """What the router sent: those who watch see it, and whom it is for gets it, or not."""
        msg = Msg(record.datagram)
        to = record.to
        self.outcome = record.outcome
        self.note("out" if record.outcome == "sent" else record.outcome, msg, to, record.listener)
        for check in self.on_out:
            check(msg, to, record.listener)
        agent = self.agents.get(to)
        if agent is None or record.outcome != "sent":
            return
        if agent.mode == "gone":
            self.at(self.now + self.delay(), self.icmp, (record.datagram, to))
        rng, world = self.rng, self.world
        if rng.random() >= world.loss:
            self.at(self.now + self.delay(), agent.receive, msg)
        if world.double and rng.random() < world.double:
            self.at(self.now + 3 * self.delay(), agent.receive, msg)

    def icmp(self, what: tuple[bytes, Address]) -> None:
        """Nobody is there; some networks say so, some of them wrongly (host unreachable needs a second)."""
        router = self.router
        if not router.down_until and self.catch_up():
            self.remark(f"ICMP: {what[1]} refuses")
            code = errno.ECONNREFUSED if self.rng.random() < 0.7 else errno.EHOSTUNREACH
            self.book.note_icmp(what[0], code == errno.ECONNREFUSED)
            self.health.failed[what[1]] = self.now
            self.after_batch(router.take_error(*what, code))

    def note(self, way: str, msg: Msg, peer: Address, listener: int) -> None:
        self.messages += 1
        self.digest.update(msg.raw)
        self.ladder.append((self.now, way, peer, listener, msg))
        if self.tracing:
            print(rung(self.now, way, peer, listener, msg))

    def remark(self, text: str) -> None:
        self.digest.update(text.encode())
        self.ladder.append((self.now, "--", text, 0, None))
        if self.tracing:
            print(rung(self.now, "--", text, 0, None))

    # ------------------------------------------------------------ troubles

    def plan_troubles(self) -> None:
        world = self.world
        for rate, act in (
            (world.deaths, self.kill),
            (world.reloads, self.reload),
            (world.sickness, self.sicken),
            (0.05 if world.loss else 0.0, self.stray),
            (world.spoil, self.spoil),
        ):
            if rate:
                self.again(rate, act)

    def again(self, rate: float, act) -> None:
        if self.callers.begun < self.world.calls:
            self.at(self.now + 1 + int(self.rng.expovariate(rate) * 1000), act, rate)

    def kill(self, rate: float) -> None:
        """At the end of this batch, or in the middle of the next one that gets so far."""
        if not self.router.down_until:
            if self.rng.random() < 0.3:
                self.die()
            else:
                self.router.kills = 1
                self.kill_at = self.rng.choice(("", "", "CANCEL ", "SIP/2.0 2", "SIP/2.0 4", "INVITE "))
        self.again(rate, self.kill)

    def die(self) -> None:
        router = self.router
        down = self.rng.choice((0, 20, 200, 1_000, 6_000))
        self.deaths += 1
        self.remark(f"the router dies; another one comes after {down} ms")
        router.die(self.now)
        router.down_until = self.now + down + 1
        for check in self.checks:
            check.died()
        self.at(router.down_until, self.recover, None)

    def recover(self, _) -> None:
        router = self.router
        lived = router.recover(self.now)
        owing = [slot for slot in router.live() if slot["owes"]]
        if owing and "refused" not in router.refusals.values():
            self.fail("docs/core.md#recovery: recovery sends what is owed", f"{owing[0]}", "")
        self.remark(f"the router is back: {lived} transactions")
        self.after_batch(True)
        for check in self.checks:
            check.recovered()
        self.look_at_store()
        waiting, router.waiting = router.waiting, []
        for what in waiting:
            self.arrive(what)

    def spoil(self, rate: float) -> None:
        """Some allocation of the next batches fails."""
        kind = self.rng.choice(("slot", "block", "event", "parked", "held"))
        n = self.rng.randrange(1, 20)
        self.router.rigs[0].fail_allocation(kind, n)
        self.remark(f"the {n}th {kind} fails")
        self.again(rate, self.spoil)

    def reload(self, rate: float) -> None:
        if not self.router.down_until and self.catch_up():
            self.reloads += 1
            self.world.plan = redraw(self.rng, self.world)
            self.plans.append(self.world.plan)
            self.router.reload(self.world.plan)
            self.add_destinations()
            self.remark(f"plan {self.world.plan.version}")
            for check in self.checks:
                check.reloaded()
            self.after_batch(self.router.advance(self.now))  # a shard that was asleep looks at its table now
        self.again(rate, self.reload)

    def sicken(self, rate: float) -> None:
        """A destination is not what it was, for a while."""
        rng = self.rng
        members = [member for group in self.world.plan.groups for member in group.destinations]
        agent = self.agents[rng.choice(members).address]
        mode = rng.choice(("dead", "sick", "gone", "gone", "refused", "lost"))
        self.set_mode(agent, mode)
        self.at(self.now + rng.choice((500, 3_000, 15_000)), self.heal, agent)
        self.again(rate, self.sicken)

    def heal(self, agent: Agent) -> None:
        self.set_mode(agent, "well")

    def set_mode(self, agent: Agent, mode: str) -> None:
        self.remark(f"{agent.address} is {mode}")
        agent.mode = mode if mode in ("dead", "sick", "gone") else "well"
        self.router.refuse(agent.address, mode if mode in ("refused", "lost") else "sent")
        for check in self.checks:
            check.changed(agent.address, mode)

    def end_troubles(self) -> None:
        for agent in self.agents.values():
            if self.router.refusals.get(agent.address, "sent") != "sent":
                self.set_mode(agent, "well")

    def stray(self, rate: float) -> None:
        self.arrive((STRAY, ("203.0.113.9", 5060), 0))
        self.again(rate, self.stray)

    # ------------------------------------------------------------ names

    def take_events(self) -> None:
        for event in self.router.events():
            if event.kind == "question":
                self.at(self.now + self.rng.choice((1, 30, 500, 2_500)), self.tell_name, event.name)
            else:
                for check in self.checks:
                    check.event(event)

    def tell_name(self, key: str) -> None:
        router, rng = self.router, self.rng
        if router.down_until or not self.catch_up():
            return
        members = [member.address for group in self.world.plan.groups for member in group.destinations]
        places = rng.sample(members, min(len(members), rng.choice((0, 1, 1, 2))))
        self.told.setdefault(split_key(key)[1], set()).update(places)
        targets = [(*place, rng.randrange(2), rng.choice((1, 9))) for place in places]
        for rig in router.rigs:
            if targets:
                rig.names.put(key, targets, rng.choice((2_000, 60_000)), self.now)
            else:
                rig.names.deny(key, 3_000, self.now)
            rig.name_changed(key)
        self.after_batch(True)

    # ------------------------------------------------------------ the store

    def look_at_store(self) -> None:
        if self.router.down_until:
            return
        complaints = self.router.complaints()
        if complaints:
            self.fail("docs/core.md#the-checker: the store agrees with itself", "; ".join(complaints[:5]), "")

    def fail(self, rule: str, text: str, call_id: str) -> None:
        if any(known in f"{rule}: {text}" for known in self.passed_over):
            self.passed[rule] = self.passed.get(rule, 0) + 1
            return
        raise Violation(self.seed, self.now - START_MS, rule, text, self.rungs(call_id))

    def rungs(self, call_id: str, last: int = 40) -> list[str]:
        of_call = [entry for entry in self.ladder if not (call_id and entry[4]) or entry[4].call_id == call_id]
        return [rung(*entry) for entry in of_call[-last:]]


def rung(at: int, way: str, peer, listener: int, msg: Msg | None) -> str:
    clock = f"{(at - START_MS) / 1000:10.3f}"
    if msg is None:
        return f"{clock}  -- {peer}"
    place = f"{peer[0]}:{peer[1]}"
    ours = f"fs{listener}"
    arrow = f"{place:>21} -> {ours}" if way == "in" else f"{ours:>21} -> {place}"
    if way not in ("in", "out"):
        arrow = f"{way:>21} :: {place}"
    tags = f"{msg.from_tag}/{msg.to_tag or '-'}"
    return f"{clock}  {arrow:<48} {msg.start[:60]:<62} {msg.cseq} {msg.cseq_method} {msg.call_id} {tags} {msg.branch}"
