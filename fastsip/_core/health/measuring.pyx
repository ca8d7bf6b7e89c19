"""What attempts and probes measure of destinations, into this shard's lines of dispatcher/measures.

An attempt is an INVITE that begins a call (RFC 6076 is about those), at one destination: each branch is one.  It ends
once, by its first final response or by a silence; of an attempt that was given up only a late 2xx counts still.  Time
runs from the branch's first commit, which stands in its slot, so that it goes on over the end of a process.

The first reply is the first response from 101 to 299: a 100 says nothing of who is called, and a failure is no
setup (RFC 6076 4.3).  Must never: decide anything.
"""

from libc.stdint cimport uint32_t, uint64_t

from fastsip._core.base.buckets cimport add_time
from fastsip._core.base.check cimport check
from fastsip._core.base.types cimport NO_HEADER
from fastsip._core.sip.types cimport H_RETRY_AFTER, M_INVITE, message_t
from fastsip._core.sip.parser cimport first_of
from fastsip._core.store.records cimport (
    CANCELLING, CLIENT_ACCEPTED, CLIENT_COMPLETED, CLIENT_MOVED_ON, is_child, is_server, record_t,
)
from fastsip._core.store.slots cimport record_of, slot_at, slot_t, word_kind, word_state
from fastsip._core.routing.types cimport F_PROGRESS, F_RING, F_TIMEOUT, F_TRANSPORT
from fastsip._core.routing.lookup cimport find_destination
from fastsip._core.dispatcher.measures cimport (
    ANSWERS, PROBE_ALIVE, PROBE_END_COUNT, PROBE_REFUSED, SILENT_CANCELLED, SILENT_PROGRESS, SILENT_RING,
    SILENT_TIMEOUT, SILENT_TRANSPORT, add_one, measure_t,
)
from fastsip._core.state.counters cimport (
    FAILOVER_3XX, FAILOVER_408, FAILOVER_4XX, FAILOVER_503, FAILOVER_5XX, FAILOVER_PROGRESS, FAILOVER_RETRY_AFTER,
    FAILOVER_RING, FAILOVER_TIMEOUT, FAILOVER_TRANSPORT, N_REPEATED_RESPONSES,
)
from fastsip._core.state.shard cimport count


# [failure_reason]; without one, a CANCEL of ours had no answer.
cdef int[9] SILENCE_OF = [SILENT_CANCELLED, SILENT_TIMEOUT, SILENT_PROGRESS, 0, SILENT_RING, 0, 0, 0, SILENT_TRANSPORT]
cdef int[9] FAILOVER_OF = [0, FAILOVER_TIMEOUT, FAILOVER_PROGRESS, 0, FAILOVER_RING, 0, 0, 0, FAILOVER_TRANSPORT]
assert (F_TIMEOUT, F_PROGRESS, F_RING, F_TRANSPORT) == (1, 2, 4, 8)
assert CLIENT_ACCEPTED > CLIENT_COMPLETED


cdef inline measure_t *line_of(shard_t *shard, uint32_t cell) noexcept nogil:
    check(shard.measures != NULL)
    check(cell < shard.probe_count)
    return &shard.measures[min(cell, shard.measure_last)]


cdef inline measure_t *line_at(shard_t *shard, const slot_t *branch) noexcept nogil:
    """NULL when it is no attempt: another method, a request inside of a dialog, a next hop that is no destination."""
    cdef uint32_t hint = branch.identity.client.destination_hint
    cdef uint32_t id = branch.identity.client.destination_id
    cdef int d = <int>hint
    check(is_child(word_kind(branch.commit)))
    check(is_server(word_kind(slot_at(shard.store, branch.parent).commit)))
    if branch.method != M_INVITE or id == 0 or slot_at(shard.store, branch.parent).in_dialog:
        return NULL
    # Most often it stands where it stood, which is seen without a call.
    if hint >= shard.table.destination_count or shard.table.destinations[hint].id != id:
        d = find_destination(shard.table, id, hint)
    check(d < <int>shard.table.destination_count)
    return line_of(shard, shard.table.destinations[d].cell) if d >= 0 else NULL


cdef void measure_attempt(shard_t *shard, const slot_t *branch) noexcept nogil:
    cdef measure_t *line = line_at(shard, branch)
    check(branch.created_ms == shard.now_ms)
    check(branch.method == slot_at(shard.store, branch.parent).method)
    if line != NULL:
        add_one(&line.attempts)


cdef inline void measure_response(shard_t *shard, const slot_t *branch, int before, int status) noexcept nogil:
    """What came before was measured when it came: a repeated response says nothing new, nor does any behind a final."""
    cdef measure_t *line
    cdef uint64_t ms
    if status <= 100 or before >= 200 or (before > 100 and status < 200):
        return
    line = line_at(shard, branch)
    if line == NULL:
        return
    check(status < 700)
    check(0 <= before < 200)
    ms = shard.now_ms - min(branch.created_ms, shard.now_ms)       # a slot of a damaged file may say anything
    if before <= 100 and status < 300:
        add_time(&line.reply, ms)
    if status >= 200:
        add_one(&line.answers[ANSWERS[status]])
        if status < 300:
            add_time(&line.answer, ms)


cdef inline void measure_silence(shard_t *shard, const slot_t *branch, int reason) noexcept nogil:
    cdef measure_t *line = line_at(shard, branch)
    check(0 <= reason <= F_TRANSPORT)
    if line != NULL:
        add_one(&line.silences[SILENCE_OF[reason]])


cdef void measure_input(shard_t *shard, const slot_t *branch, int status, int reason, bint expired) noexcept nogil:
    """An attempt that was given up has ended by that; one that waits for the answer to its CANCEL is given up once."""
    cdef const record_t *before = record_of(branch)
    cdef int state = word_state(branch.commit)
    check((status == 0) | (100 <= status < 700))
    if branch.method != M_INVITE:
        return
    if status and state >= CLIENT_COMPLETED:
        count(shard, N_REPEATED_RESPONSES)
    elif status and (before.client.reason == 0 or status < 300):
        measure_response(shard, branch, before.client.last_status, status)
    elif status == 0 and before.client.reason == 0 and (reason or (
            expired and state == CANCELLING and not before.client.flags & CLIENT_MOVED_ON)):
        measure_silence(shard, branch, reason)


cdef void measure_failover(shard_t *shard, const slot_t *branch) noexcept nogil:
    cdef measure_t *line = line_at(shard, branch)
    check(is_child(word_kind(branch.commit)))
    if line != NULL:
        add_one(&line.failovers)


cdef void measure_probe(shard_t *shard, uint32_t cell, int end, uint64_t ms) noexcept nogil:
    cdef measure_t *line = line_of(shard, cell)
    check(0 <= end < PROBE_END_COUNT)
    add_one(&line.probes[end])
    if end == PROBE_ALIVE or end == PROBE_REFUSED:
        add_time(&line.probe, ms)


cdef int failover_of(int reason, int status, const message_t *m) noexcept nogil:
    """A status that stands for no answer of its own (a CANCEL that brought a 487) is told by the reason."""
    check((reason != 0) | (status >= 300))
    if reason:
        return FAILOVER_OF[reason]
    if status == 503:
        return FAILOVER_RETRY_AFTER if m != NULL and first_of(m, H_RETRY_AFTER) != NO_HEADER else FAILOVER_503
    if status == 408:
        return FAILOVER_408
    return FAILOVER_3XX if status < 400 else FAILOVER_4XX if status < 500 else FAILOVER_5XX
