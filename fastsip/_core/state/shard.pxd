# What one shard has in its hands while it works.  See shard.pyx.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp
from fastsip._core.base.types cimport text_t
from fastsip._core.base.address cimport addr_t, flow_t
from fastsip._core.base.ring cimport ring_t, sleeper_t
from fastsip._core.sip.types cimport message_t, uri_t
from fastsip._core.sip.edits cimport edits_t
from fastsip._core.store.marks cimport mark_t, quarantine_t
from fastsip._core.store.slots cimport pending_t, record_t, store_t
from fastsip._core.store.wheel cimport timer_node_t, wheel_t
from fastsip._core.routing.types cimport destination_t, listener_t, policy_t, set_t, table_t
from fastsip._core.dispatcher.choose cimport cell_t, positions_t
from fastsip._core.transport.names cimport name_table_t
from fastsip._core.transport.udp cimport net_t
from fastsip._core.transport.local cimport local_t

cdef enum:
    SCRATCH_BYTES = 0x200000
    RECALL_PLACES = 4096
    MESSAGE_ROOM = 65536        # the largest message that we send
    # What one event may cause: a fork of MAX_ATTEMPTS, or an answer and the CANCELs of all other branches, and
    # what caller and callee are told beside that.
    OUTBOX_RESERVE = 40         # messages
    SCRATCH_RESERVE = 18 * MESSAGE_ROOM  # for the CANCELs, or the new Request-URIs, and two more
    PENDING_RESERVE = 80        # blocks dropped: those of 32 that are shed, a few of each branch
    MOST_PARKED = 4096          # searches of one shard that wait for names
    MOST_HELD = 64              # requests without transaction that do
    HELD_BYTES = 4096           # the largest of these
    ASKED_LATELY = 256          # questions that a shard remembers
    MOST_LOST = 16              # questions that found no room
    SOURCES = 1024              # of whose questions it knows
    EVENT_TEXT = 256

# Index of core_t.counters; the names stand in shard.pyx in this order.
cdef enum counter_id:
    N_DATAGRAMS = 0
    N_REQUESTS
    N_RESPONSES
    N_INVITES
    N_HANDED_OVER
    N_HANDED_OVER_FULL
    N_RETRANSMITTED_REQUESTS    # repeated requests that met their transaction
    N_RETRANSMISSIONS_SENT      # ours
    N_TIMEOUTS
    N_FAILOVERS
    N_EXHAUSTED
    N_CANCELS
    N_NOT_SIP
    N_KEEP_ALIVES
    N_MALFORMED
    N_STRAY_RESPONSES
    N_STRAY_ACKS
    N_REFUSED_REQUESTS
    N_NO_RULE
    N_TOO_BROAD                 # Max-Breadth 0
    N_STORE_FULL
    N_OVER_SHARE                # of these: because of one call that holds more than is left for all others
    N_SHED                      # lingering transactions that made room
    N_NO_ROOM
    N_TRANSACTIONS
    N_TRANSACTIONS_ENDED
    N_TRANSPORT_FAILURES
    N_ABANDONED
    N_LATE_ANSWERS
    N_PROBES
    N_PROBE_FAILURES
    N_EVENTS_DROPPED
    N_RECEIVE_CALLS
    N_RECEIVED
    N_SEND_CALLS
    N_SENT
    N_SENT_LOST
    N_KERNEL_DROPS
    N_WAITS
    N_OVER_1300
    N_OVER_1472
    N_WAKES
    N_LOOPS
    N_FORGED_TOKENS             # like ours, but not of this dialog
    N_RELAYS_REFUSED            # strangers to strangers: 403, and ACKs without an answer
    N_UNKNOWN_DIALOGS
    N_STAND_INS                 # requests of dialogs that went to somebody else
    N_ROUTES_REMOVED            # of strangers
    N_NEXT_HOPS_REFUSED         # no host, or this machine's own for a stranger
    N_EDITS_REFUSED             # requests whose headers could not be changed as their way demands
    N_TOO_MANY_HOPS
    N_BAD_EXTENSIONS            # Proxy-Require
    N_TOO_LARGE
    N_UNSUPPORTED               # schemes, transports and families that we have no way to
    N_UNAVAILABLE               # no destination of the set could be tried
    N_REPLIES_BY_RULE
    N_NAMES_ASKED               # questions to the control plane
    N_NAMES_REFUSED             # questions for which a source had asked too much
    N_NAMES_FAILED              # requests whose next hop's name has no address, or none in time
    N_PARKED                    # requests that waited for a name
    N_PARKED_DROPPED            # beyond what may wait, or without transaction and too long
    N_QUARANTINED               # datagrams that routers have died of
    N_DRAINED                   # new calls, while this router takes none
    N_BAD                       # of N_MALFORMED, by result code: E_START_LINE to E_ROUTE, E_DUPLICATE, E_MAX_BREADTH
    COUNTER_COUNT = N_BAD + 18

# A record of the event ring to the control plane (a hint, docs/core.md#events-and-commands).
cdef enum event_kind:
    EVENT_HEALTH = 1            # reason = health_event
    EVENT_FAILOVER = 2          # reason = failure_reason or 0, status
    EVENT_EXHAUSTED = 3
    EVENT_QUESTION = 4          # text = a name whose addresses are wanted

cdef struct event_t:
    uint32_t kind
    uint32_t destination_id
    uint32_t reason
    uint32_t status
    uint64_t at_ms
    uint32_t after_ms           # since the search began
    uint32_t text_len
    char text[256]              # EVENT_TEXT: the Call-ID, cut, or the name

# What this shard remembers of its probes, by cell; private memory.
cdef struct probe_state_t:
    uint64_t next_ms            # when the next probe goes out
    uint64_t sent_ms
    uint64_t branch             # of the probe that waits for its answer; 0 = none waits
    uint64_t resend_ms
    uint32_t interval_ms        # between repetitions
    uint32_t number             # of the probe: its CSeq
    uint32_t destination_id     # whose probes these are: a line of the cells may change hands
    uint32_t destination        # its index in the table that probes follow

# A call that something will follow (see recall); private memory.
cdef struct recalled_t:
    uint64_t key
    uint64_t expires_ms
    uint32_t destination_id
# A question asked lately, by the hash of its name.
cdef struct asked_t:
    uint64_t name
    uint64_t at_ms

# A question that found no room in the ring of events.
cdef struct lost_t:
    uint32_t len                # 0 = none stands here
    char name[256]

# A search that waits for a name, in this life of its slot.
cdef struct parked_t:
    uint64_t name
    uint64_t source             # see quota
    uint32_t ref
    uint32_t generation

# A request without transaction that waits for a name, as it was received.
cdef struct held_t:
    uint64_t name               # 0 = none waits here
    uint64_t until_ms
    addr_t source
    uint32_t listener
    uint32_t len
    char message[4096]          # HELD_BYTES

# How many questions a source may have asked, in thousandths, as of at_ms.
cdef struct source_t:
    uint64_t key                # 0 = free
    uint64_t at_ms
    uint64_t credit

# Who waits for names; private memory, bounded (parking).
cdef struct waiting_t:
    uint32_t parked_count
    parked_t parked[4096]       # MOST_PARKED
    asked_t asked[256]          # ASKED_LATELY
    lost_t lost[16]             # MOST_LOST
    held_t held[64]             # MOST_HELD
    source_t sources[1024]      # SOURCES

# A request that has waited, while it is routed again: what would refuse it
# without state stands here and becomes the answer of its transaction.
cdef struct resumed_t:
    uint32_t ref                # its server transaction; NO_SLOT = no request is routed again
    bint waits                  # on: for another name, or still
    int status                  # 0 = nothing refused it
    text_t reason
    text_t headers

# Everything a kernel above `slots` needs; one per shard, owned by Shard (or by
# the test bench), valid for its whole life.
cdef struct core_t:
    uint64_t now_ms             # CLOCK_BOOTTIME, read once per batch
    const table_t *table        # re-read after each sleep
    store_t *store
    wheel_t *wheel
    net_t *net
    cell_t *cells
    positions_t *positions
    uint64_t *counters
    ring_t *events
    sleeper_t *control          # the control plane, to be woken for events
    uint32_t shard
    uint32_t shard_count
    pending_t pending
    uint32_t scratch_used
    char *scratch               # SCRATCH_BYTES; messages that no block holds
    edits_t edits
    probe_state_t *probes       # [cell]
    uint32_t probe_count
    timer_node_t *probe_nodes   # [cell]
    wheel_t probe_wheel         # cells by the time when something is to be done about their probes
    const table_t *probed_table  # the one that probes follow, NULL = none yet,
    uint64_t probed_version     # and its version: a new one may stand where an old one stood
    uint64_t next_probe_ms      # nothing of a probe is due before
    recalled_t *recalled        # [RECALL_PLACES]
    name_table_t *names
    local_t *local              # NULL = nobody can be asked
    waiting_t *waiting
    resumed_t resumed
    mark_t *mark
    const quarantine_t *quarantine
    uint32_t draining           # written by the control plane: no new calls
    message_t incoming
    message_t stored            # a message parsed from a block

cdef inline void count(core_t *core, int counter) noexcept nogil:
    core.counters[counter] += 1

cdef bint needs_flush(const core_t *core) noexcept nogil
cdef char *take_scratch(core_t *core, uint32_t len) noexcept nogil

# Queues bytes that stay valid until the flush.  `owes` is cleared in the
# owner's slot when they were sent; owner NO_SLOT = nobody owes them.  False (and counted as lost): the
# listener is gone; a full outbox is loss on the wire, which somebody repairs.
cdef bint queue_message(core_t *core, const char *at, uint32_t len, const flow_t *flow,
                        uint32_t owner, int owes) noexcept nogil

# Writes the edited message into scratch and queues it there.
cdef int send_edited(core_t *core, const message_t *m, const flow_t *flow, uint32_t owner, int owes) noexcept nogil

cdef const listener_t *find_listener(const table_t *table, uint32_t listener_id) noexcept nogil
cdef int find_listener_index(const table_t *table, uint32_t listener_id) noexcept nogil
cdef int find_destination(const table_t *table, uint32_t destination_id, uint32_t hint) noexcept nogil
cdef int find_set(const table_t *table, uint32_t set_id) noexcept nogil
cdef int find_policy(const table_t *table, uint32_t policy_id) noexcept nogil
cdef int find_by_address(const table_t *table, const addr_t *addr) noexcept nogil

cdef inline bint same_place(const addr_t *a, const addr_t *b) noexcept nogil:
    return a.port == b.port and memcmp(a.ip, b.ip, 16) == 0

# Of two deadlines, and of all that a record has; 0 = none.
cdef uint64_t earlier(uint64_t a, uint64_t b) noexcept nogil
cdef uint64_t deadline_of(int kind, const record_t *record) noexcept nogil

# Sets the slot's timer to the earliest of its record's deadlines.
cdef void arm_slot(core_t *core, uint32_t ref, int kind, const record_t *record) noexcept nogil

# False (and counted) when it found no room.
cdef bint emit_event(core_t *core, int kind, uint32_t destination_id, uint32_t reason, uint32_t status,
                     uint64_t since_ms, const char *text, uint32_t len) noexcept nogil
