"""A world: all that one seed decides before the first message.

How many shards and listeners there are, the sets, destinations, policies and rules, how lossy
the network is, how often the process dies.  A reload is another Plan of the same world: sets,
destinations and rules come and go, ids stay.  Checkers read Worlds and Plans, never the tables
that are made from them.
"""

import random
from dataclasses import dataclass, field, replace

from fastsip._core.dispatcher.cells import Cells
from fastsip._core.routing.table import RoutingTable
from tests.simulate.message import Address

EDGE: Address = ("10.0.0.254", 5060)
INSIDE: Address = ("10.0.1.254", 5070)
DOMAIN = "example.net"
PARALLEL = 12
ALGORITHMS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, *[PARALLEL] * 5)
CLOCKS = ((500, 4_000, 5_000), (500, 4_000, 5_000), (200, 1_600, 2_000), (100, 800, 1_000))
REASONS = ("timeout", "progress", "ring", "transport")
CODES = (302, 404, 408, 480, 486, 500, 502, 503, "3xx", "4xx", "5xx")
REFUSED_PREFIX = "7"  # numbers that a rule answers
REFUSAL = (410, "Gone for good")
FORWARD_PREFIX = "6"  # numbers that go where the Request-URI says
SECRET = "X-Auth-User"  # a rule removes it; in worlds with a border the outer listener, from all that comes
PRIVATE = "X-Charge"  # sets with a border keep it from their destinations
STAMP = "X-Edge"
CELLS = 96


@dataclass(frozen=True)
class Destination:
    id: int
    host: str
    port: int
    weight: int = 1
    priority: int = 0

    @property
    def address(self) -> Address:
        return self.host, self.port

    @property
    def uri(self) -> str:
        return f"sip:{self.host}:{self.port}"


@dataclass(frozen=True)
class Group:
    """A set of destinations, and the number prefix that leads there."""

    id: int
    prefix: str
    algorithm: int
    destinations: tuple[Destination, ...]
    ruri: int = 0
    shared: bool = False
    tiers: bool = True
    limit: int = 0
    when_all_down: int = 0
    retry_ms: int = 30_000
    probe: dict | None = None
    policy: dict = field(default_factory=dict)
    then: int = 0  # id of another group; 0 = none
    dialog_policy: dict = field(default_factory=dict)
    headers: bool = False
    border: bool = False
    record_route: bool = True


@dataclass(frozen=True)
class Plan:
    """What one table says."""

    version: int
    groups: tuple[Group, ...]

    def group_for(self, user: str) -> Group | None:
        return next((group for group in self.groups if user.startswith(group.prefix)), None)

    def group(self, id: int) -> Group | None:
        return next((group for group in self.groups if group.id == id), None)


@dataclass
class World:
    seed: int
    shards: int
    listeners: int
    t1: int
    t2: int
    t4: int
    c: int
    max_transactions: int
    trusted: bool  # are the callers' addresses
    plan: Plan
    loss: float
    double: float
    slowest_ms: int
    deaths: float  # per virtual second
    reloads: float
    sickness: float
    calls: int
    gap_ms: int  # between calls
    names: tuple[str, ...]
    border: bool = False  # the outer listener removes what nobody outside may say
    spoil: float = 0.0  # failing allocations, per virtual second

    @property
    def whole(self) -> int:
        """Timers B, D, F, H, J, L, M."""
        return 64 * self.t1

    @property
    def inside(self) -> int:
        """The listener that destinations are reached from."""
        return self.listeners - 1

    def listener_address(self, number: int) -> Address:
        return (EDGE, INSIDE)[number]


# ---------------------------------------------------------------- drawing


def draw_policy(rng: random.Random, whole: int) -> dict:
    policy: dict = {
        "on": rng.sample(REASONS, rng.randint(0, 4)) + rng.sample(CODES, rng.randint(0, 4)),
        "mark": rng.choice(("none", "suspect", "down", "suspect")),
        "after_progress": rng.random() < 0.7,
        "mark_last": rng.random() < 0.2,
    }
    if rng.random() < 0.5:
        policy["timeout_ms"] = rng.choice((whole // 16, whole // 8, whole // 4))
    if rng.random() < 0.3:
        policy["progress_ms"] = rng.choice((1_000, 3_000))
    if rng.random() < 0.5:
        policy["ring_ms"] = rng.choice((2_000, 5_000, 15_000))
    if rng.random() < 0.4:
        policy["budget_ms"] = rng.choice((4_000, 10_000, 30_000))
    if rng.random() < 0.4:
        policy["exhausted"] = (rng.choice((404, 480, 503)), "Nobody there")
    if rng.random() < 0.3:
        policy["unavailable"] = (rng.choice((404, 480, 503)), "Not now")
    return policy


def draw_destination(rng: random.Random, group: int, number: int, tiers: int, equal: bool) -> Destination:
    id = 100 * group + number + 1
    return Destination(
        id=id,
        host=f"10.0.{10 + group}.{number + 1}",
        port=5080 if id % 4 == 0 else 5060,
        weight=1 if equal else rng.choice((0, 1, 1, 2, 5)),
        priority=rng.randrange(tiers),
    )


def draw_probe(rng: random.Random) -> dict | None:
    if rng.random() < 0.6:
        return None
    return {
        "interval_ms": rng.choice((2_000, 5_000, 10_000)),
        "timeout_ms": rng.choice((1_000, 2_000)),
        "rise": rng.choice((1, 1, 2)),
        "fall": rng.choice((1, 2, 3)),
        "mode": rng.choice(("all", "all", "only-failed", "marked")),
        "from_uri": "sip:router@example.net",
    }


def draw_group(rng: random.Random, number: int, whole: int) -> Group:
    tiers = rng.choice((1, 1, 2, 3))
    equal = rng.random() < 0.6
    shared = rng.random() < 0.4
    policy = draw_policy(rng, whole)
    dialog_policy = {"on": ["timeout", "transport"], "mark": rng.choice(("none", "suspect"))}
    if rng.random() < 0.5:
        dialog_policy["timeout_ms"] = whole // 8
    return Group(
        id=number + 1,
        prefix=str(number + 1),
        algorithm=rng.choice(ALGORITHMS),
        destinations=tuple(
            draw_destination(rng, number, i, tiers, equal) for i in range(rng.choice((1, 2, 3, 3, 4, 6)))
        ),
        ruri=rng.choice((0, 0, 1, 2)),
        shared=shared,
        tiers=rng.random() < 0.9,
        limit=rng.choice((0, 0, 0, 2, 3)),
        when_all_down=rng.randrange(2),
        retry_ms=rng.choice((5_000, 30_000)),
        probe=draw_probe(rng),
        policy=policy,
        dialog_policy=dialog_policy,
        headers=rng.random() < 0.4,
        border=rng.random() < 0.3,
        record_route=rng.random() < 0.9,
    )


def link_groups(rng: random.Random, groups: list[Group]) -> list[Group]:
    """Some go on in another one when they are exhausted."""
    ids = [group.id for group in groups]
    return [replace(group, then=rng.choice([0, 0, *(i for i in ids if i != group.id)])) for group in groups]


def draw_world(seed: int) -> World:
    rng = random.Random(seed)
    t1, t2, t4 = rng.choice(CLOCKS)
    whole = 64 * t1
    groups = link_groups(rng, [draw_group(rng, number, whole) for number in range(rng.randint(1, 3))])
    calm = rng.random() < 0.25  # some worlds have few troubles, so that what is rare stands alone
    return World(
        seed=seed,
        shards=rng.choice((1, 1, 2, 3, 4)),
        listeners=rng.choice((1, 2)),
        t1=t1,
        t2=t2,
        t4=t4,
        c=rng.choice((10_000, 20_000, 60_000)),
        max_transactions=rng.choice((2, 64, 256)),
        trusted=rng.random() < 0.5,
        plan=Plan(1, tuple(groups)),
        loss=0.0 if calm else rng.choice((0.0, 0.01, 0.05, 0.15)),
        double=0.0 if calm else rng.choice((0.0, 0.02, 0.1)),
        slowest_ms=rng.choice((5, 40, 40, 300)),
        deaths=rng.choice((0.0, 0.02, 0.1, 0.5)),
        reloads=rng.choice((0.0, 0.02, 0.1)),
        sickness=0.0 if calm else rng.choice((0.0, 0.02, 0.1)),
        calls=rng.choice((60, 120, 240)),
        gap_ms=rng.choice((100, 400, 1_000, 1_000)),
        names=tuple(f"gw{n}.example.org" for n in range(rng.randint(0, 3))),
        border=rng.random() < 0.3,
        spoil=0.0 if calm else rng.choice((0.0, 0.0, 0.1)),
    )


def redraw(rng: random.Random, world: World) -> Plan:
    """The plan after a reload: what a destination or a set is called stays, what it says may change."""
    groups = []
    for group in world.plan.groups:
        members = list(group.destinations)
        turn = rng.random()
        if turn < 0.3 and len(members) > 1:
            members.pop(rng.randrange(len(members)))
        elif turn < 0.6 and len(members) < 8:
            number = next(n for n in range(9) if all(m.id != 100 * (group.id - 1) + n + 1 for m in members))
            members.append(draw_destination(rng, group.id - 1, number, 2, False))
        elif turn < 0.7:
            rng.shuffle(members)
        changes: dict = {"destinations": tuple(members)}
        if rng.random() < 0.3:
            changes["policy"] = draw_policy(rng, world.whole)
        if rng.random() < 0.15:
            changes["algorithm"] = rng.choice(ALGORITHMS)
        groups.append(replace(group, **changes))
    if rng.random() < 0.2:
        rng.shuffle(groups)
    return Plan(world.plan.version + 1, tuple(groups))


# ---------------------------------------------------------------- the table


def header_edits() -> dict:
    return {"remove": [b"X-Auth-*"], "set": [(STAMP.encode(), [("text", b"edge "), ("call_id", b"")])]}


def build_table(world: World, plan: Plan, cells: Cells) -> RoutingTable:
    table = RoutingTable(
        plan.version,
        clocks=(world.t1, world.t2, world.t4, world.c),
        branch_key=b"0123456789abcdef",
        token_keys=(b"tokens of a test",),
    )
    add_listeners(table, world)
    order = {group.id: number for number, group in enumerate(plan.groups)}
    policies = 1  # the table's own comes first
    for number, group in enumerate(plan.groups):
        add_group(table, world, cells, group, number, policies)
    for group in plan.groups:
        given = dict(group.policy)
        if group.then in order:
            given["then_set"] = order[group.then]
        table.add_policy(2 * group.id, **given)
        table.add_policy(2 * group.id + 1, **group.dialog_policy)
    add_rules(table, plan, policies, order)
    return table.seal()


def add_listeners(table: RoutingTable, world: World) -> None:
    for number in range(world.listeners):
        host, port = world.listener_address(number)
        table.add_listener(
            number + 1,
            0,
            host,
            port,
            f"{host}:{port}",
            ("public", "inside")[number],
            headers_in={"remove": [b"X-Auth-*"]} if world.border and number == 0 else None,
        )
        table.add_own(host, port)
    table.add_own(DOMAIN)
    if world.trusted:
        table.add_trusted("10.0.0.0/24")


def add_group(table: RoutingTable, world: World, cells: Cells, group: Group, number: int, policies: int) -> None:
    table.add_set(
        group.id,
        group.algorithm,
        ruri=group.ruri,
        in_dialog=int(group.shared),
        tiers=group.tiers,
        limit=group.limit,
        when_all_down=group.when_all_down,
        retry_ms=group.retry_ms,
        hash_key=b"placement of all",
        dialog_policy=policies + 2 * number + 1 if group.shared else 0,
        name=f"set{group.id}",
        headers_out={"remove": [PRIVATE.encode()]} if group.border else None,
    )
    for member in group.destinations:
        table.add_destination(
            number,
            member.id,
            cells.assign(member.id),
            member.host,
            member.port,
            world.inside,
            member.uri,
            f"{member.host}:{member.port}",
            weight=member.weight,
            priority=member.priority,
            probe=group.probe,
            name=f"d{member.id}",
        )


def prefix(digits: str) -> dict:
    return {"kind": "user_prefix", "items": [digits.encode()]}


def add_rules(table: RoutingTable, plan: Plan, policies: int, order: dict[int, int]) -> None:
    table.add_rule(1, 1, [prefix(REFUSED_PREFIX)], reply=REFUSAL)
    table.add_rule(2, 2, [prefix(FORWARD_PREFIX)])
    for group in plan.groups:
        table.add_rule(
            10 + group.id,
            0,
            [prefix(group.prefix)],
            set_index=order[group.id],
            policy_index=policies + 2 * order[group.id],
            record_route=group.record_route,
            headers=header_edits() if group.headers else None,
        )
