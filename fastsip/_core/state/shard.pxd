# What one shard has in its hands while it works: nothing here knows SIP.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.buckets cimport bucket_of
from fastsip._core.base.ring cimport ring_t, sleeper_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.sip.edits cimport edits_t
from fastsip._core.store.slots cimport pending_t, store_t
from fastsip._core.store.wheel cimport timer_node_t, wheel_t
from fastsip._core.store.marks cimport mark_t, quarantine_t
from fastsip._core.routing.types cimport table_t
from fastsip._core.dispatcher.cells cimport known_t
from fastsip._core.dispatcher.measures cimport measure_t
from fastsip._core.dispatcher.positions cimport positions_t
from fastsip._core.transport.names cimport name_table_t
from fastsip._core.transport.udp cimport net_t
from fastsip._core.transport.local cimport local_t
from fastsip._core.state.memory cimport probe_state_t, recalled_t, waiting_t
from fastsip._core.state.mirror cimport mirror_t

# Everything a kernel above `slots` needs; one per shard, owned by Shard (or by
# the test bench), valid for its whole life.
cdef struct shard_t:
    uint64_t now_ms             # CLOCK_BOOTTIME, read once per batch
    const table_t *table        # re-read after each sleep
    store_t *store
    wheel_t *wheel
    net_t *net
    known_t known               # of destinations: [cell]
    measure_t *measures         # [measure_last + 1], by cell; the last is that of all cells behind
    uint32_t measure_last
    positions_t *positions
    uint64_t *counters
    ring_t *events
    sleeper_t *control          # the control plane, to be woken for events
    uint32_t number             # of `count`: partition p is ours when p mod count is the number
    uint32_t count
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
    mark_t *mark
    const quarantine_t *quarantine
    const mirror_t *mirror      # re-read as the table is; NULL = nobody looks
    uint32_t draining           # written by the control plane: no new calls
    message_t incoming          # what was received, or resumed, and is dealt with now

cdef inline void count(shard_t *shard, int counter) noexcept nogil:
    shard.counters[counter] += 1

# Into the bucket of a histogram, the first of whose counters this is.
cdef inline void count_of_time(shard_t *shard, int first, uint64_t ms) noexcept nogil:
    shard.counters[first + bucket_of(ms)] += 1
