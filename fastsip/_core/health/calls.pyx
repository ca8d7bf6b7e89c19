"""Health by calls: what the end of a branch says of its destination (docs/wire.md#health-by-calls).

Probes say more and come first: a call that is answered proves nothing where
they run.  One call takes at most one destination down, and never the last
usable one of a set.
"""

from libc.stdint cimport uint32_t, uint64_t

from fastsip._core.base.types cimport NO_HEADER, span_t
from fastsip._core.base.check cimport check
from fastsip._core.sip.types cimport H_RETRY_AFTER, is_in_line, is_within, message_t
from fastsip._core.sip.values cimport parse_number
from fastsip._core.sip.parser cimport first_of
from fastsip._core.store.records cimport SERVER_MARKED, is_child, is_server, policy_copy_t
from fastsip._core.store.slots cimport record_of, slot_at, slot_t, word_kind
from fastsip._core.routing.types cimport MARK_DOWN, MARK_NONE, POLICY_MARK_LAST, destination_t, set_t
from fastsip._core.routing.policies cimport policy_mark
from fastsip._core.routing.lookup cimport find_destination
from fastsip._core.dispatcher.cells cimport (
    HEALTH_DOWN, HEALTH_UP, WENT_DOWN, cell_health, cell_t, mark_down, mark_failed, mark_succeeded,
)
from fastsip._core.dispatcher.paces cimport damped_rise, note_down, note_latency
from fastsip._core.dispatcher.usable cimport count_usable, is_usable
from fastsip._core.state.shard cimport shard_t
from fastsip._core.state.events cimport BY_CALL, CAUSE_SHIFT, EVENT_HEALTH, emit_event
from fastsip._core.transaction.server cimport set_server_flag


cdef void emit_health(shard_t *shard, uint32_t destination_id, int change, int reason, uint32_t code) noexcept nogil:
    """Changes alone are told: an event for each call would fill the ring to the control plane."""
    check(destination_id > 0)           # 0 stands for a next hop that is no destination
    if change:
        emit_event(shard, EVENT_HEALTH, destination_id, change | (BY_CALL + reason) << CAUSE_SHIFT, code, 0, NULL, 0)


cdef void note_success(shard_t *shard, const slot_t *branch, uint32_t status) noexcept nogil:
    """Where probes decide, a call that is answered proves nothing that they do not find out."""
    cdef int d = find_destination(shard.table, branch.identity.client.destination_id,
                                  branch.identity.client.destination_hint)
    cdef const destination_t *destination
    cdef const set_t *of_set
    cdef cell_t *cell
    cdef uint32_t rise
    check(is_child(word_kind(branch.commit)))
    check(status >= 200)
    if d < 0:
        return
    check(<uint32_t>d < shard.table.destination_count)
    destination = &shard.table.destinations[d]
    cell = &shard.known.cells[destination.cell]
    if cell_health(cell) != HEALTH_UP and destination.probe.interval_ms == 0:
        of_set = &shard.table.sets[destination.set_index]
        rise = damped_rise(&shard.known.paces[destination.cell], of_set.call_rise or destination.probe.rise,
                           of_set.damping_ms, shard.now_ms)
        emit_health(shard, destination.id, mark_succeeded(cell, rise, status, shard.now_ms), 0, status)


cdef void note_first_reply(shard_t *shard, const slot_t *branch, uint32_t status) noexcept nogil:
    """How long the destination took to say anything, a 100 included: that is the way there and its own work, and not
    how long somebody rings.  One that refuses calls since it has no room for them is not fast (RFC 3261 21.5); one that
    is silent is as slow as it was waited for, by status 0.
    """
    cdef int d = find_destination(shard.table, branch.identity.client.destination_id,
                                  branch.identity.client.destination_hint)
    check(status < 700)
    if d >= 0 and status < 500 and branch.created_ms <= shard.now_ms:   # a slot of a damaged file may say anything
        note_latency(&shard.known.paces[shard.table.destinations[d].cell], shard.now_ms - branch.created_ms,
                     shard.now_ms)


cdef void note_retry_after(shard_t *shard, cell_t *cell, const set_t *dispatch_set, const message_t *m) noexcept nogil:
    """A 503 with Retry-After: no new calls until then (docs/wire.md#retry-after), but not longer than the set allows,
    since a server that says "in a year" by mistake has nobody left who would hear it take that back.

    The value is a number, behind which a comment or parameters may stand (20.33): digits are looked for one by one.
    """
    cdef long long seconds
    cdef span_t value
    cdef int i = first_of(m, H_RETRY_AFTER)
    if i == NO_HEADER:
        return
    check(m.status == 503)
    check(is_in_line(m, i))
    value.off = m.headers[i].value_off
    value.len = 0
    while value.len < m.headers[i].value_len and value.len < 9 and 48 <= m.buf[value.off + value.len] <= 57:
        value.len += 1
    check(is_within(m, &value))
    seconds = parse_number(m.buf, value, 9)
    if seconds > 0:
        cell.retry_after_ms = shard.now_ms + min(<uint64_t>seconds * 1000, dispatch_set.retry_after_max_ms)


cdef bint is_last(shard_t *shard, uint32_t d, const destination_t *destination, const cell_t *cell) noexcept nogil:
    """Is nobody else in its set usable now?  Whether it is usable itself does not matter: a Retry-After may say no.

    One that is down already is not the last one, whoever else is there: another failure takes nothing from the set.
    """
    cdef int others = count_usable(shard.table, destination.set_index, shard.known, shard.now_ms, 2)
    check(destination == &shard.table.destinations[d])
    check(destination.set_index < shard.table.set_count)
    if cell_health(cell) == HEALTH_DOWN:
        return False
    return others - is_usable(shard.table, d, shard.known, shard.now_ms) == 0


cdef void note_failure(shard_t *shard, uint32_t parent, const slot_t *branch, int reason, int status,
                       const message_t *m) noexcept nogil:
    """One call takes at most one destination down, and never the last usable one of a set.

    A request that makes every server fail would else take down one after the other while it goes through them; and of a
    set whose last one is down no call gets out any more, by which its health could show again.  Silence counts as 408,
    as the caller would be told (16.7 item 6).
    """
    cdef slot_t *server = slot_at(shard.store, parent)
    cdef const policy_copy_t *policy = &server.identity.server.policy
    cdef int mark = policy_mark(policy, reason, status)
    # By id, with the index of the branch's time as a hint: the table may have changed since it began.
    cdef int d = find_destination(shard.table, branch.identity.client.destination_id,
                                  branch.identity.client.destination_hint)
    cdef const destination_t *destination
    cdef const set_t *of_set
    cdef cell_t *cell
    cdef int change
    cdef int code = status if reason == 0 else 408
    check(is_server(word_kind(server.commit)))
    check(is_child(word_kind(branch.commit)))
    check((reason != 0) | (status >= 300))
    if d < 0:
        return
    check(<uint32_t>d < shard.table.destination_count)
    destination = &shard.table.destinations[d]
    cell = &shard.known.cells[destination.cell]
    of_set = &shard.table.sets[destination.set_index]
    if status == 503 and m != NULL:
        note_retry_after(shard, cell, of_set, m)
    if mark == MARK_NONE or record_of(server).server.flags & SERVER_MARKED:
        return
    if not policy.flags & POLICY_MARK_LAST and is_last(shard, d, destination, cell):
        return
    if mark == MARK_DOWN:
        change = mark_down(cell, code, shard.now_ms)
    else:
        change = mark_failed(cell, of_set.call_fall or destination.probe.fall, code, shard.now_ms)
    if change == WENT_DOWN:
        note_down(&shard.known.paces[destination.cell], of_set.damping_ms, shard.now_ms)
        set_server_flag(shard, parent, SERVER_MARKED)
    emit_health(shard, destination.id, change, reason, code)
