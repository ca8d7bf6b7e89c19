# Private memory of one shard: what it remembers of probes, of calls that something will follow, and of who waits for
# names.  Owned by the workspace; lost with the process, and nothing that a call needs is lost with it.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.address cimport origin_t

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
    SOURCES = 1024              # of whose questions it knows
    EVENT_TEXT = 256

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
    bint asked                  # for by an operator, who is told how it ends

# A call that something will follow (see recall); private memory.
cdef struct recalled_t:
    uint64_t key
    uint64_t expires_ms
    uint32_t destination_id
# A question asked lately, by the hash of its name.
cdef struct asked_t:
    uint64_t name
    uint64_t at_ms

# A search that waits for a name, in this life of its slot.
cdef struct parked_t:
    uint64_t name
    uint64_t source             # see quota
    uint32_t ref
    uint32_t generation
    uint32_t unheard            # on: its question found no room among the events, and is asked again by its timer

# A request without transaction that waits for a name, as it was received.
cdef struct held_t:
    uint64_t name               # 0 = none waits here
    uint64_t until_ms
    origin_t origin
    uint32_t len
    char message[HELD_BYTES]

# How many questions a source may have asked, in thousandths, as of at_ms.
cdef struct source_t:
    uint64_t key                # 0 = free
    uint64_t at_ms
    uint64_t credit

# Who waits for names; private memory, bounded (parking).
cdef struct waiting_t:
    uint32_t parked_count
    parked_t parked[MOST_PARKED]
    asked_t asked[ASKED_LATELY]
    held_t held[MOST_HELD]
    source_t sources[SOURCES]
