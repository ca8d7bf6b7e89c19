# What a rig has in the place of sockets and of the clock.  See virtual_net.pyx.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.transport.udp cimport net_t
from fastsip._core.state.shard cimport shard_t

cdef enum:
    WIRE_BYTES = 0x400000
    RULES = 32

# What an address does with all that is sent to it: an outcome that is not SENT.
cdef struct wire_rule_t:
    addr_t to
    uint8_t outcome         # send_outcome

# A message that left, or was to leave; its bytes follow, padded to eight.
cdef struct wire_record_t:
    uint32_t len
    uint16_t listener
    uint16_t outcome        # send_outcome
    uint64_t at_ms
    addr_t to

# The outbox, and where its messages go.  `net` comes first: the send step is given that alone.
cdef struct wire_t:
    net_t net
    const uint64_t *now_ms  # the shard's clock
    char *sent              # WIRE_BYTES of records
    uint32_t used
    uint32_t overflow       # records that did not fit
    uint64_t count
    bint keeps_unsent       # what did not leave is recorded, too
    int copy_fd             # each record is written there, too, before it counts as sent; -1 = nowhere
    uint32_t rule_count
    wire_rule_t rules[RULES]

cdef inline uint32_t record_room(uint32_t len) noexcept nogil:
    return (<uint32_t>sizeof(wire_record_t) + len + 7) & ~<uint32_t>7

# Moves the clock to now_ms; timers and probes fire at their own times.  Returns the steps.
cdef int step_clock(shard_t *shard, uint64_t now_ms) noexcept nogil
