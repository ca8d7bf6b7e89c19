"""Is the store sound, and does what is derived from it agree with it (docs/core.md#the-checker)?

Reads a partition slowly and by other means than the kernels: every block is
owned once, every branch belongs to a living search that counts it, free lists,
index, lists of children and timers equal a recount, and nothing that lives
waits for nothing.  Only for a store that no shard is working on right now.

Must never: change anything.  Called by tests and benches, of a rig.
"""

from libc.stdint cimport uint32_t, uint64_t

from fastsip._core.base.types cimport PARTITIONS
from fastsip._core.store.records cimport (
    KIND_FREE, OWES_CANCEL, OWES_REQUEST, OWES_RESPONSE, block_t, is_server, record_t,
)
from fastsip._core.store.kinds cimport RECORD_WORDS, block_in
from fastsip._core.store.blocks cimport ORDERS, order_of
from fastsip._core.store.slots cimport (
    NO_SLOT, SHARES, SLOT_BITS, SLOT_MASK, blocks_of, partition_t, record_of, slot_at, slot_t, word_generation,
    word_kind, word_owes, word_state,
)
from fastsip._core.store.wheel cimport NOT_ARMED
from fastsip._core.state.shard cimport shard_t
from fastsip._core.harness.rig cimport Rig

from fastsip._core.transaction.inspect import CLIENT_FLAGS, CLIENT_STATES, KINDS, SERVER_FLAGS, SERVER_STATES

OWES = {OWES_RESPONSE: "response", OWES_REQUEST: "request", OWES_CANCEL: "cancel"}
SEARCHING = ("trying", "proceeding")
OPEN = ("calling", "proceeding", "cancel pending", "cancelling")


cdef list bits_of(dict names, int value):
    return [name for bit, name in names.items() if value & bit]


cdef dict deadlines_of(int kind, const record_t *record):
    if is_server(kind):
        return {"retransmit": record.server.retransmit_ms, "expire": record.server.expire_ms}
    return {"retransmit": record.client.retransmit_ms, "expire": record.client.expire_ms, "c": record.client.c_ms}


cdef dict blocks_named(int kind, const record_t *record):
    if is_server(kind):
        named = {"kept": record.server.kept, "response": record.server.response, "best": record.server.best}
    else:
        named = {"request": record.client.request}
    return {name: (block["unit"], block["len"]) for name, block in named.items() if block["len"]}


cdef dict describe(shard_t *shard, uint32_t ref):
    cdef const slot_t *slot = slot_at(shard.store, ref)
    cdef const record_t *record = record_of(slot)
    cdef int kind = word_kind(slot.commit)
    cdef bint server = is_server(kind)
    states = SERVER_STATES if server else CLIENT_STATES
    return {
        "ref": ref, "kind": KINDS.get(kind, f"unknown kind {kind}"),
        "state": states.get(word_state(slot.commit), f"unknown state {word_state(slot.commit)}"),
        "generation": word_generation(slot.commit), "key": slot.key, "method": slot.method,
        "attempt": slot.attempt, "parent": None if slot.parent == NO_SLOT else slot.parent,
        "parent_generation": slot.parent_generation, "owes": bits_of(OWES, word_owes(slot.commit)),
        "flags": bits_of(SERVER_FLAGS, record.server.flags) if server else bits_of(CLIENT_FLAGS, record.client.flags),
        "attempts": record.server.attempt_count if server else 0,
        "last_status": record.server.last_status if server else record.client.last_status,
        "deadlines": {name: at for name, at in deadlines_of(kind, record).items() if at},
        "blocks": blocks_named(kind, record),
    }


cdef list list_partition(shard_t *shard, uint32_t partition):
    cdef const partition_t *p = &shard.store.partitions[partition]
    cdef uint32_t index
    found = []
    for index in range(p.slot_count):
        if word_kind(p.slots[index].commit) != KIND_FREE and not p.later[index]:
            found.append(describe(shard, partition << SLOT_BITS | index))
    return found


cdef list list_later(const partition_t *p, uint32_t partition):
    """What a later release began: it holds its slots and blocks, and nothing that is derived leads there."""
    cdef const block_t *block
    cdef uint32_t index
    cdef int word
    found = []
    for index in range(p.slot_count):
        if p.later[index]:
            blocks = {}
            for word in range(<int>RECORD_WORDS):
                block = block_in(record_of(&p.slots[index]), word)
                if blocks_of(p, index) >> word & 1 and block.len:
                    blocks[word] = block.unit, block.len
            found.append({"ref": partition << SLOT_BITS | index, "blocks": blocks})
    return found


# ---------------------------------------------------------------- the recounts

cdef list audit_blocks(const partition_t *p, list live, const shard_t *shard, uint32_t partition):
    cdef uint32_t i
    found = []
    owner = {}
    for slot in live:
        for name, (unit, length) in slot["blocks"].items():
            order = order_of(length)
            if order >= ORDERS or unit + (1 << order) > p.buddy.unit_count:
                found.append(f"slot {slot['ref']:#x}: block {name} lies outside")
                continue
            for at in range(unit, unit + (1 << order)):
                if at in owner:
                    found.append(f"slots {slot['ref']:#x} and {owner[at]:#x} both own unit {at}")
                owner[at] = slot["ref"]
    waiting = 0
    for i in range(shard.pending.count):
        if shard.pending.items[i].partition == partition:
            waiting += 1 << order_of(shard.pending.items[i].len)
    if p.buddy.used_units != len(owner) + waiting:
        found.append(f"partition {partition}: {p.buddy.used_units} units are in use by the allocator, "
                     f"{len(owner)} by slots, {waiting} wait")
    return found


cdef list audit_held(const partition_t *p, list live, const shard_t *shard, uint32_t partition):
    """What each share of calls holds, counted again."""
    cdef uint32_t i
    counted = {}
    for slot in live:
        share = p.slots[slot["ref"] & SLOT_MASK].share
        held = counted.setdefault(share, [0, 0])
        held[0] += 1
        held[1] += sum(1 << order_of(length) for _, length in slot["blocks"].values())
    for i in range(shard.pending.count):
        if shard.pending.items[i].partition == partition:
            counted.setdefault(shard.pending.items[i].share, [0, 0])[1] += 1 << order_of(shard.pending.items[i].len)
    return [f"partition {partition}: share {i} holds {p.held[i].slots} slots and {p.held[i].units} units, "
            f"counted {counted.get(i, [0, 0])}"
            for i in range(SHARES) if [p.held[i].slots, p.held[i].units] != counted.get(i, [0, 0])]


cdef list audit_free(const partition_t *p, list live, uint32_t partition):
    cdef uint32_t i
    found = []
    stack = [p.free_slots[i] for i in range(p.free_count)]
    used = {slot["ref"] & SLOT_MASK for slot in live}
    if len(set(stack)) != len(stack):
        found.append(f"partition {partition}: a free slot stands in the stack twice")
    if used & set(stack):
        found.append(f"partition {partition}: slots in use are on the free stack: {sorted(used & set(stack))}")
    if len(stack) + len(used) != p.slot_count:
        found.append(f"partition {partition}: {len(stack)} free and {len(used)} used of {p.slot_count} slots")
    if any(index >= p.header.high_water for index in used):
        found.append(f"partition {partition}: a slot in use lies above the high-water mark")
    return found


cdef bint is_indexed(const partition_t *p, uint32_t index, uint64_t key):
    cdef uint32_t at = <uint32_t>key & p.index_mask
    while p.index[at].slot:
        if p.index[at].slot == index + 1 and p.index[at].tag == <uint32_t>key:
            return True
        at = (at + 1) & p.index_mask
    return False


cdef list audit_index(const partition_t *p, list live, uint32_t partition):
    cdef uint32_t i
    cdef uint64_t entries = 0
    found = []
    for i in range(p.index_mask + 1):
        entries += p.index[i].slot != 0
    if entries != len(live):
        found.append(f"partition {partition}: {entries} index entries for {len(live)} slots")
    for slot in live:
        if not is_indexed(p, slot["ref"] & SLOT_MASK, slot["key"]):
            found.append(f"slot {slot['ref']:#x} ({slot['kind']}) is not in the index")
    return found


cdef list audit_families(const partition_t *p, dict by_ref, uint32_t partition):
    """Parents and children agree, in the slots and in the lists made from them."""
    cdef uint32_t index
    found = []
    children = {}
    for ref, slot in by_ref.items():
        if slot["kind"].startswith("server"):
            continue
        parent = by_ref.get(slot["parent"])
        if parent is None or not parent["kind"].startswith("server"):
            found.append(f"slot {ref:#x}: a branch without a search")
            continue
        if parent["generation"] != slot["parent_generation"]:
            found.append(f"slot {ref:#x}: a branch of an earlier life of {slot['parent']:#x}")
        if slot["attempt"] >= parent["attempts"]:
            found.append(f"slot {ref:#x}: branch {slot['attempt']} of a search that knows {parent['attempts']}")
        children.setdefault(slot["parent"], []).append(ref)
    for ref, slot in by_ref.items():
        if not slot["kind"].startswith("server"):
            continue
        listed = []
        index = p.first_child[ref & SLOT_MASK]
        while index != NO_SLOT and len(listed) <= p.slot_count:
            listed.append(partition << SLOT_BITS | index)
            index = p.next_sibling[index]
        if sorted(listed) != sorted(children.get(ref, [])):
            found.append(f"slot {ref:#x}: lists {listed} as branches, {children.get(ref, [])} say so")
        attempts = [by_ref[child]["attempt"] for child in children.get(ref, [])]
        if len(set(attempts)) != len(attempts):
            found.append(f"slot {ref:#x}: two branches have the same number")
    return found


cdef list audit_life(shard_t *shard, dict by_ref, uint32_t partition):
    """Whatever lives has a timer, or a branch that it waits for."""
    found = []
    for ref, slot in by_ref.items():
        armed = shard.wheel.nodes[partition][ref & SLOT_MASK].place != NOT_ARMED
        branches = [other for other in by_ref.values() if other["parent"] == ref]
        if slot["kind"].startswith("unknown") or slot["state"].startswith("unknown"):
            found.append(f"slot {ref:#x}: {slot['kind']} in {slot['state']}")
        if bool(slot["deadlines"]) != armed:
            found.append(f"slot {ref:#x} ({slot['kind']}, {slot['state']}): deadlines {slot['deadlines']}, "
                         f"timer {'armed' if armed else 'not armed'}")
        if not slot["deadlines"] and not branches:
            found.append(f"slot {ref:#x} ({slot['kind']}, {slot['state']}) waits for nothing")
        is_open = [other for other in branches if other["state"] in OPEN
                   and not {"abandoned", "moved on"} & set(other["flags"])]
        waits = "kept" in slot["blocks"] and "cancelled" not in slot["flags"]
        if slot["kind"].startswith("server") and slot["state"] in SEARCHING and bool(is_open) == waits:
            found.append(f"slot {ref:#x} ({slot['kind']}, {slot['state']}) searches "
                         f"{'and waits' if waits else 'without an open branch'}")
    return found


cdef list audit_lingering(const partition_t *p, list live, uint32_t partition):
    """The ring of what only lingers holds each such transaction once, and nothing else but what has ended."""
    cdef uint32_t index = p.newer[p.slot_count]
    listed = []
    while index < p.slot_count and len(listed) <= p.slot_count:
        listed.append(partition << SLOT_BITS | index)
        index = p.newer[index]
    finished = {slot["ref"] for slot in live if slot["kind"] == "server other" and slot["state"] == "completed"}
    ended = {slot["ref"] for slot in live if slot["kind"] == "server other" and slot["state"] == "ended"}
    if index != p.slot_count or len(set(listed)) != len(listed) or set(listed) - ended != finished:
        return [f"partition {partition}: {listed} stand in the ring of those that linger, {finished} do"]
    return []


cdef list audit_partition(shard_t *shard, uint32_t partition):
    cdef const partition_t *p = &shard.store.partitions[partition]
    live = list_partition(shard, partition)
    by_ref = {slot["ref"]: slot for slot in live}
    held = live + list_later(p, partition)
    return (audit_blocks(p, held, shard, partition) + audit_held(p, held, shard, partition)
            + audit_free(p, held, partition) + audit_index(p, live, partition) + audit_families(p, by_ref, partition)
            + audit_life(shard, by_ref, partition) + audit_lingering(p, live, partition))


# ---------------------------------------------------------------- of a rig

def live_slots(Rig rig not None) -> list:
    """All slots in use, as dicts: ref, kind, state, method, attempt, parent, owes, flags, deadlines, blocks."""
    cdef shard_t *shard = rig.shard()
    cdef uint32_t partition
    found = []
    for partition in range(shard.number, PARTITIONS, shard.count):
        found += list_partition(shard, partition)
    return found


def complaints(Rig rig not None) -> list:
    """What contradicts itself in the store and its derived state (docs/core.md#the-checker); empty: nothing."""
    cdef shard_t *shard = rig.shard()
    cdef uint32_t partition
    found = []
    for partition in range(shard.number, PARTITIONS, shard.count):
        found += audit_partition(shard, partition)
    return found
