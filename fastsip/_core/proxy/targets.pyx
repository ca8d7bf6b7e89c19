"""Who is tried next, and how far each may spread: the candidates of a search.

A group is what is tried together: one destination, or with `parallel` all usable ones of the highest tier
that has any (16.6: by q, here `priority`).  A group is chosen when it starts and its branches start at
once, so there is no list that could grow stale; what it left out - by `limit`, by
Max-Breadth, or because a start was cut short - is asked for again with the next group.

Max-Breadth (RFC 5393 5.3.3): the branches of a group share what the request
came with, or 60; groups follow one another and can use the same again.  A
single branch of a request that says nothing says nothing either: the next hop
assumes 60 by itself.  Chooses and aims, starts nothing.  Used by search and proxy.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastsip._core.base.types cimport E_FULL, E_MAX_BREADTH, E_NONE, MAX_ATTEMPTS, MAX_BREADTH, NO_HEADER, OK, span_t
from fastsip._core.base.write cimport put
from fastsip._core.sip.types cimport H_MAX_BREADTH, uri_t
from fastsip._core.sip.uri cimport host_port_place, parse_uri
from fastsip._core.sip.values cimport parse_number
from fastsip._core.sip.parser cimport first_of
from fastsip._core.routing.types cimport RURI_HOST, RURI_OF_SET, RURI_URI, destination_t, set_t
from fastsip._core.routing.lookup cimport find_destination, find_policy, find_set
from fastsip._core.dispatcher.choose cimport choose_group, peek
from fastsip._core.state.outbox cimport take_scratch

# ---------------------------------------------------------------- where a branch goes

cdef int aim_ruri(core_t *core, const destination_t *destination, int mode, const message_t *m,
                  hop_t *hop) noexcept nogil:
    """ruri = "host" keeps user and parameters and takes the destination's host and port; "uri" takes all of it."""
    cdef uri_t uri
    cdef uint32_t before, after
    cdef char *text
    cdef int n
    if mode == RURI_URI:
        hop.ruri = destination.uri
    if mode != RURI_HOST or parse_uri(m.buf, m.ruri.off, m.ruri.len, &uri) < 0 or uri.host.len == 0:
        return OK
    host_port_place(&uri, &before, &after)
    before -= m.ruri.off
    text = take_scratch(core, m.ruri.len + destination.host_port.len)
    if text == NULL:
        return E_FULL
    n = put(text, m.buf + m.ruri.off, before)
    n += put(text + n, destination.host_port.at, destination.host_port.len)
    n += put(text + n, m.buf + after, m.ruri.off + m.ruri.len - after)
    hop.ruri.at = text
    hop.ruri.len = n
    return OK


cdef int aim_at(core_t *core, uint32_t destination, int ruri, const message_t *m, const policy_copy_t *policy,
                hop_t *hop) noexcept nogil:
    cdef const destination_t *d = &core.table.destinations[destination]
    hop.flow.remote = d.addr
    hop.flow.listener_id = core.table.listeners[d.listener].id
    hop.destination_id = d.id
    hop.destination = destination
    hop.timeout_ms = policy.timeout_ms
    hop.ruri.len = 0
    return aim_ruri(core, d, ruri if ruri != RURI_OF_SET else core.table.sets[d.set_index].ruri, m, hop)


# ---------------------------------------------------------------- breadth

cdef int read_breadth(const message_t *m) noexcept nogil:
    cdef int i = first_of(m, H_MAX_BREADTH)
    cdef span_t value
    cdef long long breadth
    if i == NO_HEADER:
        return MAX_BREADTH
    value.off = m.headers[i].value_off
    value.len = m.headers[i].value_len
    breadth = parse_number(m.buf, value, 18)
    if breadth < 0 or m.headers[i].next != NO_HEADER:
        return E_MAX_BREADTH
    return <int>min(breadth, <long long>MAX_BREADTH)


cdef uint8_t share_of(const group_t *group, uint32_t number, const message_t *m) noexcept nogil:
    if group.count == 1 and first_of(m, H_MAX_BREADTH) == NO_HEADER:
        return 0
    return <uint8_t>(group.breadth // group.count + (number < group.breadth % group.count))


# ---------------------------------------------------------------- the next group

cdef uint32_t count_tried(const table_t *table, uint32_t set_index, const uint32_t *tried,
                          uint32_t tried_count) noexcept nogil:
    """How many of the set's destinations have been tried."""
    cdef uint32_t i
    cdef uint32_t n = 0
    cdef int index
    for i in range(tried_count):
        index = find_destination(table, tried[i], 0)
        n += index >= 0 and table.destinations[index].set_index == set_index
    return n


cdef int choose_in(core_t *core, uint32_t set_index, uint64_t key, const uint32_t *tried, uint32_t tried_count,
                   group_t *group) noexcept nogil:
    cdef const set_t *of_set = &core.table.sets[set_index]
    cdef uint32_t of_this = count_tried(core.table, set_index, tried, tried_count)
    group.count = 0
    if of_this < of_set.limit:
        group.count = choose_group(core.table, set_index, key, tried, tried_count,
                                   min(of_set.limit - of_this, <uint32_t>group.breadth), core.cells, core.positions,
                                   core.now_ms, group.destinations)
    return OK if group.count else E_NONE


cdef int choose_next(core_t *core, uint32_t set_id, const policy_copy_t *policy, uint64_t key, const uint32_t *tried,
                     uint32_t tried_count, uint8_t breadth, group_t *group) noexcept nogil:
    cdef int set_index = find_set(core.table, set_id)
    cdef int index = find_policy(core.table, policy.policy_id)
    cdef int found = E_NONE
    group.breadth = breadth
    group.count = 0
    if tried_count >= MAX_ATTEMPTS:
        return E_NONE
    if set_index >= 0:
        found = choose_in(core, set_index, key, tried, tried_count, group)
    if found < 0 and index >= 0 and core.table.policies[index].then_set:
        found = choose_in(core, core.table.policies[index].then_set - 1, key, tried, tried_count, group)
    return found


cdef int peek_next(core_t *core, uint32_t set_id, const policy_copy_t *policy, uint64_t key,
                   group_t *group) noexcept nogil:
    cdef int set_index = find_set(core.table, set_id)
    cdef int index = find_policy(core.table, policy.policy_id)
    cdef int found = E_NONE
    if set_index >= 0:
        found = peek(core.table, set_index, key, core.cells, core.positions, core.now_ms)
    if found < 0 and index >= 0 and core.table.policies[index].then_set:
        found = peek(core.table, core.table.policies[index].then_set - 1, key, core.cells, core.positions, core.now_ms)
    group.count = found >= 0
    if found >= 0:
        group.destinations[0] = found
    return found
