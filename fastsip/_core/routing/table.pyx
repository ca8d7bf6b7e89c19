# cython: boundscheck=True, wraparound=True
"""The immutable routing table: what Python decided, laid out for the kernels (R4, docs/design.md#shape).

Python adds listeners, sets, destinations, policies and rules, then seals; after
that the table is only read, by any number of shards, until the last of them has moved on
to its successor and the object is dropped.

What is checked here is what the kernels rely on (ranges, references, families,
lists that fit).  What an operator should be told, with file and line, is the
configuration's business before.

Must never: change after seal(), hand a pointer to anyone who may outlive it, or
be used on the packet path.
"""

cimport cython
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset

from fastsip._core.base.types cimport MAX_ATTEMPTS, MAX_HEAD, MAX_LISTENERS, MAX_MESSAGE, MAX_SENT_BY, text_t
from fastsip._core.base.address cimport T_UDP, T_WSS, addr_t
from fastsip._core.base.hashing cimport hash_add, hash_add_number, hash_begin, hash_end, siphash_t
from fastsip._core.base.arena cimport Arena
from fastsip._core.store.records cimport policy_copy_t
from fastsip._core.routing.types cimport (
    ACT_FORWARD, ACT_REPLY, ACT_SET, ALL_DOWN_FAIL, ALL_DOWN_TRY, A_SRV, C_HEADER, C_SOURCE, C_SOURCE_SET,
    DIALOG_PINNED, DIALOG_SHARED, RURI_HOST, RURI_KEEP, RURI_OF_SET, RURI_URI, condition_t, destination_t, listener_t,
    policy_t, probe_t, rule_t, set_t, table_t,
)
from fastsip._core.routing.conditions cimport fill_condition
from fastsip._core.routing.tiers cimport lay_out_tiers
from fastsip._core.routing.index cimport lay_out_indexes, make_index, put_key
from fastsip._core.routing.header_edits cimport fill_headers
from fastsip._core.routing.rule_index cimport lay_out_rule_index, name_key

from fastsip._core.base.short_ids import LISTENER_BITS, NODE_BITS, SET_BITS, destination_short_id, short_id
from fastsip._core.routing.conditions import as_host, as_token, plan_condition
from fastsip._core.routing.policies import number_in, pack_policy, reply_parts
from fastsip._core.routing.parts import MS, address_parts, key_words, limit_parts, line_text, probe_parts
from fastsip._core.routing.header_edits import plan_headers

ID = (1, 2**32 - 1)
# Words of the configuration, and the kernels' numbers for them.
ACTIONS = {"set": ACT_SET, "reply": ACT_REPLY, "forward": ACT_FORWARD}
RURI = {"keep": RURI_KEEP, "host": RURI_HOST, "uri": RURI_URI, "": RURI_OF_SET}
DIALOGS = {"pinned": DIALOG_PINNED, "shared": DIALOG_SHARED}
WHEN_ALL_DOWN = {"fail": ALL_DOWN_FAIL, "try": ALL_DOWN_TRY}


cdef addr_t pack_addr(tuple parts) except *:
    cdef addr_t addr
    packed, port, family, scope, transport = parts
    memset(&addr, 0, sizeof(addr))
    memcpy(addr.ip, <const char *>(<bytes>packed), 16)
    addr.port = port
    addr.family = family
    addr.transport = transport
    addr.scope = scope
    return addr


@cython.final
cdef class RoutingTable:
    """RoutingTable(version, clocks=(t1, t2, t4, c) in ms, max_message and max_head in bytes, branch_key and
    token_keys of 16 bytes).

    target_ms: for a target of a name, while there is another.  Of one or two token_keys the first signs and both
    verify; so with branch_key and other_branch_key.  `node` is the router's name, by which tokens say where they were
    made.

    add_* return the index that later calls and the kernels use.  Ids are 32-bit numbers
    from the registry.  ValueError for what the kernels could not hold or rely on;
    RuntimeError for add_* after seal().
    """

    def __cinit__(self):
        self.arena = Arena()
        self.table = <table_t *>self.arena.take(1, sizeof(table_t))

    def __init__(self, version, clocks=(500, 4000, 5000, 181000), max_message=MAX_MESSAGE, max_head=MAX_HEAD,
                 branch_key=bytes(16), token_keys=(bytes(16),), other_branch_key=None, loop_key=bytes(16), node="",
                 names_per_source=20, names_burst=100, target_ms=4000):
        self.version = number_in("version", version, 0, 2**64 - 1)
        self.clocks = tuple(number_in(name, value, 1, 2**32 - 1)
                            for name, value in zip(("t1", "t2", "t4", "c"), clocks, strict=True))
        self.max_message = number_in("max_message", max_message, 512, MAX_MESSAGE)
        self.max_head = number_in("max_head", max_head, 512, MAX_MESSAGE)
        self.names_quota = (number_in("names_per_source", names_per_source, 1, 1_000_000),
                            number_in("names_burst", names_burst, 1, 1_000_000))
        self.target_ms = number_in("target_ms", target_ms, 1, 2**32 - 1)
        key_words("branch_key", branch_key)
        self.branch_key = branch_key
        if other_branch_key is not None:
            key_words("other_branch_key", other_branch_key)
        self.other_branch_key = other_branch_key
        key_words("loop_key", loop_key)
        self.loop_key = loop_key
        if not 1 <= len(token_keys) <= 2:
            raise ValueError(f"one or two token_keys, not {len(token_keys)}")
        for key in token_keys:
            key_words("a token key", key)
        self.token_keys = tuple(token_keys)
        self.node = short_id(line_text("node", node), NODE_BITS)
        self.sealed = False
        self.listeners, self.sets, self.destinations = [], [], []
        self.policies, self.rules, self.own, self.trusted = [], [], [], []
        self._keep_policy(0, {}, None, None, (500, b"Server Internal Error"))

    def _check_open(self):
        if self.sealed:
            raise RuntimeError("the table is sealed: build another one")

    def add_listener(self, id, tag_id, address, port, sent_by, tag=b"", headers_in=None, headers_out=None,
                     contact=b"", transport=T_UDP):
        """A socket's address, host[:port] as it shall stand in Via, and in Record-Route (`contact`, else the same), and
        its tag in words.

        What it changes on the way in and out: see header_edits.plan_headers.
        """
        self._check_open()
        if len(self.listeners) == MAX_LISTENERS:
            raise ValueError(f"more than {MAX_LISTENERS} listeners")
        number_in("listener id", id, *ID)
        number_in("tag id", tag_id, 0, ID[1])
        number_in("transport", transport, T_UDP, T_WSS)
        number_in("bytes of sent_by", len(line_text("sent_by", sent_by)), 1, MAX_SENT_BY)
        number_in("bytes of contact", len(line_text("contact", contact)), 0, MAX_SENT_BY)
        self.listeners.append((id, tag_id, address_parts(address, port, transport), line_text("sent_by", sent_by),
                               line_text("contact", contact or sent_by), line_text("tag", tag),
                               short_id(tag or sent_by, LISTENER_BITS), plan_headers(**(headers_in or {})),
                               plan_headers(**(headers_out or {}))))
        return len(self.listeners) - 1

    def add_set(self, id, algorithm, ruri=RURI_KEEP, in_dialog=0, tiers=True, when_all_down=0, limit=0,
                retry_ms=30000, retry_after_max_ms=60000, call_fall=0, call_rise=0, damping_ms=0, calls=None, cell=0,
                hash_key=bytes(16), key_header=b"", dialog_policy=0, name=b"", headers_out=None):
        """A set of destinations; limit 0 = MAX_ATTEMPTS, call_fall and call_rise 0 = as its probes.

        calls: (a second, at once) that come in at most, or None; then `cell` is the line that counts them.

        `dialog_policy` is the index of the policy for in-dialog requests when in_dialog is 1 (shared); it may be
        added later than the set.  `name` is what tokens are made of: the same text on every node.
        """
        self._check_open()
        key_words("hash_key", hash_key)
        self.sets.append({
            "id": number_in("set id", id, *ID),
            "algorithm": number_in("algorithm", algorithm, 0, A_SRV),
            "ruri": number_in("ruri", ruri, RURI_KEEP, RURI_URI),
            "in_dialog": number_in("in_dialog", in_dialog, DIALOG_PINNED, DIALOG_SHARED),
            "tiers": bool(tiers),
            "when_all_down": number_in("when_all_down", when_all_down, ALL_DOWN_FAIL, ALL_DOWN_TRY),
            "limit": number_in("limit", limit, 0, MAX_ATTEMPTS) or MAX_ATTEMPTS,
            "retry_ms": number_in("retry_ms", retry_ms, *MS),
            "retry_after_max_ms": number_in("retry_after_max_ms", retry_after_max_ms, *MS),
            # The streak of a cell is eight bits.
            "call_fall": number_in("call_fall", call_fall, 0, 255),
            "call_rise": number_in("call_rise", call_rise, 0, 255),
            "damping_ms": number_in("damping_ms", damping_ms, 0, MS[1]),
            "calls": limit_parts(calls),
            "cell": number_in("cell", cell, 0, 2**32 - 1),
            "hash_key": hash_key,
            "key_header": line_text("key_header", key_header),
            "dialog_policy": number_in("dialog_policy", dialog_policy, 0, 2**32 - 1),
            "short_id": short_id(name or str(id), SET_BITS),
            "headers_out": plan_headers(**(headers_out or {})),
        })
        self.destinations.append([])
        return len(self.sets) - 1

    def add_destination(self, set_index, id, cell, address, port, listener_index, uri, host_port, weight=1,
                        priority=0, max_load=0, calls=None, probe=None, name=b""):
        """A member of a set; calls: (a second, at once) that it takes at most, or None.

        `name` is what the place among the others hangs on for hashing: the same text on
        every node, whatever ids their registries gave; the URI when it is not given.
        """
        self._check_open()
        number_in("set index", set_index, 0, len(self.sets) - 1)
        number_in("listener index", listener_index, 0, len(self.listeners) - 1)
        addr = address_parts(address, port)
        if addr[2] != self.listeners[listener_index][2][2]:
            raise ValueError(f"{address} cannot be reached from a listener of the other address family")
        uri = line_text("uri", uri)
        self.destinations[set_index].append({
            "id": number_in("destination id", id, *ID),
            "cell": number_in("cell", cell, 0, 2**32 - 1),
            "addr": addr,
            "listener": listener_index,
            "uri": uri,
            "host_port": line_text("host_port", host_port),
            "weight": number_in("weight", weight, 0, 2**31 - 1),
            "priority": number_in("priority", priority, -2**31, 2**31 - 1),
            "max_load": number_in("max_load", max_load, 0, 2**31 - 1),
            "calls": limit_parts(calls),
            "probe": probe_parts(probe),
            "name": line_text("name", name) or uri,
        })

    def take_destination(self, RoutingTable before, set_index, place):
        """One more member of the last set: the one at this place of a set of a sealed table, without looking at it
        again; its listener stands in this one at the same index.
        """
        self._check_open()
        before.sealed_table()
        number_in("set index", set_index, 0, len(before.sets) - 1)
        number_in("place", place, 0, len(before.destinations[set_index]) - 1)
        number_in("sets", len(self.sets), 1, MS[1])
        self.destinations[len(self.sets) - 1].append(before.destinations[set_index][place])

    def take_set(self, RoutingTable before, set_index, dialog_policy):
        """A set with its members as a sealed table has it, without looking at it again; its listeners stand in this one
        at the same indexes.
        """
        self._check_open()
        before.sealed_table()
        number_in("set index", set_index, 0, len(before.sets) - 1)
        number_in("dialog_policy", dialog_policy, 0, 2**32 - 1)
        self.sets.append({**before.sets[set_index], "dialog_policy": dialog_policy})
        self.destinations.append(before.destinations[set_index])
        return len(self.sets) - 1

    def take_rules(self, RoutingTable before):
        """All rules of a sealed table; its sets, policies and listeners stand in this one at the same indexes."""
        self._check_open()
        before.sealed_table()
        if self.rules:
            raise ValueError("the rules of another table are the first")
        if len(before.sets) > len(self.sets) or len(before.policies) > len(self.policies):
            raise ValueError("fewer sets or policies than the rules were made for")
        self.rules = list(before.rules)

    def add_policy(self, id, *, then_set=None, exhausted=None, unavailable=(500, b"Server Internal Error"), **fields):
        """A failure policy (fields: see policies.pack_policy); `then_set` may be added later than the policy."""
        self._check_open()
        number_in("policy id", id, *ID)
        return self._keep_policy(id, fields, then_set, exhausted, unavailable)

    def _keep_policy(self, id, fields, then_set, exhausted, unavailable):
        exhausted_code, exhausted_reason = reply_parts("exhausted", exhausted) if exhausted else (0, b"")
        unavailable_code, unavailable_reason = reply_parts("unavailable", unavailable)
        packed = pack_policy(id, exhausted=exhausted_code, unavailable=unavailable_code, **fields)
        self.policies.append((packed, then_set, exhausted_reason, unavailable_reason))
        return len(self.policies) - 1

    def add_rule(self, id, action, conditions=(), set_index=0, policy_index=0, reply=None, record_route=True,
                 ruri=RURI_OF_SET, forward=b"", headers=None):
        """A rule; conditions are dicts (see conditions.plan_condition), ANDed; none match everything.

        forward: the header that names the next hop, b"" for the Request-URI; headers: see header_edits.plan_headers.
        """
        self._check_open()
        number_in("rule id", id, *ID)
        number_in("action", action, ACT_SET, ACT_FORWARD)
        number_in("policy index", policy_index, 0, len(self.policies) - 1)
        if action == ACT_SET:
            number_in("set index", set_index, 0, len(self.sets) - 1)
        if ruri != RURI_OF_SET:
            number_in("ruri", ruri, RURI_KEEP, RURI_URI)
        if action == ACT_REPLY and reply is None:
            raise ValueError("a rule that replies needs reply=(code, reason)")
        if action == ACT_FORWARD and forward:
            forward = as_token(forward, "forward")
            reply = 400, b"No URI In " + forward
        plans = tuple(plan_condition(condition) for condition in conditions)
        for plan in plans:
            if plan.kind == C_SOURCE_SET:
                number_in("set index", max(plan.tags), 0, len(self.sets) - 1)
        self.rules.append({
            "id": id, "action": action, "set_index": set_index, "policy_index": policy_index,
            "record_route": bool(record_route), "ruri": ruri, "plans": plans, "forward": forward,
            "reply": reply_parts("reply", reply) if reply else (0, b""),
            "names_sources": any(plan.kind in (C_SOURCE, C_SOURCE_SET) and not plan.negate for plan in plans),
            "headers": plan_headers(**(headers or {})),
        })
        return len(self.rules) - 1

    def add_own(self, host, port=0):
        """A host name or address (and port; 0 = any) that is ours."""
        self._check_open()
        self.own.append((as_host(host, "own host"), number_in("port", port, 0, 65535)))

    def add_trusted(self, network):
        """A network, or an address, that may send requests through us to outside."""
        self._check_open()
        self.trusted.append(network)

    def seal(self):
        """Lays the table out; returns it.  Nothing can be added afterwards."""
        self._check_open()
        for _packed, then_set, _exhausted, _unavailable in self.policies:
            if then_set is not None:
                number_in("then_set", then_set, 0, len(self.sets) - 1)
        for given in self.sets:
            number_in("dialog_policy", given["dialog_policy"], 0, len(self.policies) - 1)
        # A failure half way must not leave half a table: `table` is replaced as a whole.
        self.table = self._lay_out()
        self.sealed = True
        return self

    cdef table_t *_lay_out(self) except NULL:
        cdef Py_ssize_t i
        cdef table_t *table = <table_t *>self.arena.take(1, sizeof(table_t))
        table.version = self.version
        table.clocks.t1_ms, table.clocks.t2_ms, table.clocks.t4_ms, table.clocks.c_ms = self.clocks
        table.clocks.target_ms = self.target_ms
        table.max_message = self.max_message
        table.max_head = self.max_head
        table.names_per_source, table.names_burst = self.names_quota
        table.branch_key[0], table.branch_key[1] = key_words("branch_key", self.branch_key)
        if self.other_branch_key is not None:
            table.two_branch_keys = 1
            table.other_branch_key[0], table.other_branch_key[1] = key_words("branch_key", self.other_branch_key)
        table.node = self.node
        table.loop_key[0], table.loop_key[1] = key_words("loop_key", self.loop_key)
        table.token_key_count = <uint32_t>len(self.token_keys)
        for i in range(len(self.token_keys)):
            table.token_keys[i][0], table.token_keys[i][1] = key_words("a token key", self.token_keys[i])
        lay_out_listeners(table, self.arena, self.listeners)
        lay_out_sets(table, self.arena, self.sets, self.destinations)
        lay_out_policies(table, self.arena, self.policies)
        lay_out_rules(table, self.arena, self.rules)
        lay_out_looked_at(table, self.arena)
        lay_out_own(table, self.arena, self.own)
        lay_out_indexes(table, self.arena)
        lay_out_rule_index(table, self.arena)
        if self.trusted:
            fill_condition(self.arena, &table.trusted,
                           plan_condition({"kind": "source", "items": self.trusted}))
        return table

    @property
    def total_bytes(self) -> int:
        """Memory that the table takes, its indexes included."""
        return self.arena.total_bytes

    cdef table_t *sealed_table(self) except NULL:
        if not self.sealed:
            raise RuntimeError("the table is not sealed yet")
        return self.table

    @property
    def pointer(self) -> int:
        """Address of the table_t, for a debugger."""
        return <uintptr_t>self.table

    def members(self, set_index):
        """What seal() made of a set, in the kernels' order: (index, id, priority, weight, cell, seed)."""
        cdef table_t *table = self.sealed_table()
        cdef destination_t *d
        cdef set_t *wanted
        cdef uint32_t i
        number_in("set index", set_index, 0, <int>table.set_count - 1)
        wanted = &table.sets[<uint32_t>set_index]
        found = []
        for i in range(wanted.first, wanted.first + wanted.count):
            d = &table.destinations[i]
            found.append((i, d.id, d.priority, d.weight, d.cell, d.seed))
        return found


# ---------------------------------------------------------------- layout

cdef int lay_out_listeners(table_t *table, Arena arena, list listeners) except -1:
    cdef Py_ssize_t i
    cdef listener_t *place = <listener_t *>arena.take(len(listeners), sizeof(listener_t))
    for i in range(len(listeners)):
        (place[i].id, place[i].tag_id, addr, sent_by, contact, tag, place[i].short_id, headers_in,
         headers_out) = listeners[i]
        place[i].addr = pack_addr(addr)
        table.transports |= <uint32_t>1 << place[i].addr.transport
        place[i].sent_by = arena.keep(sent_by)
        place[i].contact = arena.keep(contact)
        place[i].tag = arena.keep(tag)
        fill_headers(arena, &place[i].headers_in, headers_in)
        fill_headers(arena, &place[i].headers_out, headers_out)
        table.edits_out |= bool(headers_out)
    table.listeners = place
    table.listener_count = <uint32_t>len(listeners)
    return 0


cdef int lay_out_sets(table_t *table, Arena arena, list sets, list members) except -1:
    cdef Py_ssize_t i
    cdef uint32_t next_destination = 0
    cdef Py_ssize_t total = sum(len(of_set) for of_set in members)
    cdef set_t *place = <set_t *>arena.take(len(sets), sizeof(set_t))
    table.sets = place
    table.set_count = <uint32_t>len(sets)
    table.destinations = <destination_t *>arena.take(total, sizeof(destination_t))
    table.destination_count = <uint32_t>total
    for i in range(len(sets)):
        given = sets[i]
        place[i].id = given["id"]
        place[i].algorithm = given["algorithm"]
        place[i].ruri = given["ruri"]
        place[i].in_dialog = given["in_dialog"]
        place[i].tiers = given["tiers"]
        place[i].when_all_down = given["when_all_down"]
        place[i].limit = given["limit"]
        place[i].retry_ms = given["retry_ms"]
        place[i].retry_after_max_ms = given["retry_after_max_ms"]
        place[i].call_fall = given["call_fall"]
        place[i].call_rise = given["call_rise"]
        place[i].damping_ms = given["damping_ms"]
        place[i].calls.interval_ns, place[i].calls.slack_ns = given["calls"]
        place[i].cell = given["cell"]
        place[i].hash_key[0], place[i].hash_key[1] = key_words("hash_key", given["hash_key"])
        place[i].key_header = arena.keep(given["key_header"])
        place[i].dialog_policy = given["dialog_policy"]
        place[i].short_id = given["short_id"]
        fill_headers(arena, &place[i].headers_out, given["headers_out"])
        table.edits_out |= bool(given["headers_out"])
        place[i].position = <uint32_t>i
        place[i].first = next_destination
        place[i].count = <uint32_t>len(members[i])
        lay_out_members(table, arena, &place[i], <uint32_t>i, members[i])
        next_destination += place[i].count
    return 0


cdef int lay_out_members(table_t *table, Arena arena, set_t *of_set, uint32_t set_index, list members) except -1:
    cdef uint32_t i, k
    cdef destination_t *d
    # Twins (same name, for instance one address from two listeners) are told apart by
    # how many went before them: the same on each node that has the same file.
    seen = {}
    twins = []
    for given in members:
        twin = seen.get(given["name"], 0)
        seen[given["name"]] = twin + 1
        twins.append(twin)
    order = sorted(range(len(members)), key=lambda at: -members[at]["priority"])
    for i in range(of_set.count):
        given = members[order[i]]
        d = &table.destinations[of_set.first + i]
        d.id = given["id"]
        d.cell = given["cell"]
        d.set_index = set_index
        d.weight = given["weight"]
        d.priority = given["priority"]
        d.max_load = given["max_load"]
        d.calls.interval_ns, d.calls.slack_ns = given["calls"]
        d.addr = pack_addr(given["addr"])
        d.listener = given["listener"]
        d.seed = name_seed(of_set.hash_key, given["name"], twins[order[i]])
        d.short_id = destination_short_id(given["name"], twins[order[i]])
        d.uri = arena.keep(given["uri"])
        d.host_port = arena.keep(given["host_port"])
        lay_out_probe(&d.probe, arena, given["probe"])
    lay_out_tiers(of_set, table.destinations, arena)
    for i in range(of_set.tier_count):
        for k in range(2):
            table.most_blocks = max(table.most_blocks, of_set.tier_list[i].runs[k].block_count)
    return 0


cdef uint64_t name_seed(const uint64_t *key, bytes name, uint32_t twin) except? 0:
    cdef siphash_t h
    hash_begin(&h, key)
    hash_add(&h, name, <uint32_t>len(name))
    hash_add_number(&h, twin)
    return hash_end(&h)


cdef int lay_out_probe(probe_t *probe, Arena arena, dict given) except -1:
    cdef int i
    probe.interval_ms = given["interval_ms"]
    probe.timeout_ms = given["timeout_ms"]
    probe.rise = given["rise"]
    probe.fall = given["fall"]
    probe.mode = given["mode"]
    for i in range(12):
        probe.accept[i] = given["accept"][i]
    probe.method = arena.keep(given["method"])
    probe.from_uri = arena.keep(given["from_uri"])
    probe.headers = arena.keep(given["headers"])
    probe.own_contact = given["own_contact"]
    return 0


cdef int lay_out_policies(table_t *table, Arena arena, list policies) except -1:
    cdef Py_ssize_t i
    cdef policy_t *place = <policy_t *>arena.take(len(policies), sizeof(policy_t))
    for i in range(len(policies)):
        packed, then_set, exhausted, unavailable = policies[i]
        memcpy(&place[i].copy, <const char *>(<bytes>packed), sizeof(policy_copy_t))
        place[i].then_set = 0 if then_set is None else then_set + 1
        place[i].exhausted_reason = arena.keep(exhausted)
        place[i].unavailable_reason = arena.keep(unavailable)
    table.policies = place
    table.policy_count = <uint32_t>len(policies)
    return 0


cdef int lay_out_rules(table_t *table, Arena arena, list rules) except -1:
    cdef Py_ssize_t i, k
    cdef rule_t *place = <rule_t *>arena.take(len(rules), sizeof(rule_t))
    for i in range(len(rules)):
        rule, plans = rules[i], rules[i]["plans"]
        place[i].id, place[i].action = rule["id"], rule["action"]
        place[i].set_index, place[i].policy_index = rule["set_index"], rule["policy_index"]
        place[i].record_route, place[i].ruri = rule["record_route"], rule["ruri"]
        place[i].names_sources = rule["names_sources"]
        place[i].reply_code, reason = rule["reply"]
        place[i].reply_reason = arena.keep(reason)
        place[i].forward = arena.keep(rule["forward"])
        fill_headers(arena, &place[i].headers, rule["headers"])
        place[i].conditions = <condition_t *>arena.take(len(plans), sizeof(condition_t))
        place[i].condition_count = <uint32_t>len(plans)
        for k in range(len(plans)):
            fill_condition(arena, &place[i].conditions[k], plans[k])
    table.rules = place
    table.rule_count = <uint32_t>len(rules)
    return 0


cdef int lay_out_looked_at(table_t *table, Arena arena) except -1:
    """Which headers routing looks at: those of the rules' conditions and forwards, and the keys of sets."""
    cdef uint32_t i, k
    cdef condition_t *condition
    names = set()
    for i in range(table.rule_count):
        names.add((<bytes>table.rules[i].forward.at[:table.rules[i].forward.len]).lower())
        for k in range(table.rules[i].condition_count):
            condition = &table.rules[i].conditions[k]
            if condition.kind == C_HEADER:
                names.add(<bytes>condition.texts[0].at[:condition.texts[0].len])
    for i in range(table.set_count):
        names.add((<bytes>table.sets[i].key_header.at[:table.sets[i].key_header.len]).lower())
    plans = [plan_condition({"kind": "header", "items": [name, True]}) for name in sorted(names - {b""})]
    table.looked_at = <condition_t *>arena.take(len(plans), sizeof(condition_t))
    table.looked_at_count = <uint32_t>len(plans)
    make_index(&table.looked, arena, len(plans))
    for i in range(table.looked_at_count):
        condition = &table.looked_at[i]
        fill_condition(arena, condition, plans[i])
        put_key(&table.looked, name_key(condition), i)
        if condition.compact:
            table.letters[condition.compact - 97] = name_key(condition)
    return 0


cdef int lay_out_own(table_t *table, Arena arena, list own) except -1:
    """Sorted by host, so that is_own can search by halves; ports of one host stand together."""
    cdef Py_ssize_t i
    cdef list ordered = sorted(set(own))
    table.own = <text_t *>arena.take(len(ordered), sizeof(text_t))
    table.own_ports = <uint16_t *>arena.take(len(ordered), sizeof(uint16_t))
    table.own_count = <uint32_t>len(ordered)
    for i in range(len(ordered)):
        host, port = ordered[i]
        table.own[i] = arena.keep(host)
        table.own_ports[i] = port
    return 0
