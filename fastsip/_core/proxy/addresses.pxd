# A next hop that is a name is a list: the targets after the first.  See addresses.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.base.address cimport addr_t, is_well_formed
from fastsip._core.sip.types cimport message_t
from fastsip._core.store.slots cimport slot_at, slot_t
from fastsip._core.state.shard cimport shard_t
from fastsip._core.proxy.request cimport request_t

# How a branch ended without success.
cdef struct failure_t:
    uint32_t ref                # the branch; NO_SLOT = nobody knows it any more
    int reason                  # failure_reason; 0 = a final response
    int status                  # of that response, or what the failure counts as
    const message_t *m          # the response, if it decides; else NULL

cdef inline failure_t failure_of(uint32_t ref, int reason, int status, const message_t *m) noexcept nogil:
    cdef failure_t failure
    failure.ref, failure.reason, failure.status, failure.m = ref, reason, status, m
    return failure

# Begins another branch of a search: `into` becomes the request as it was before its way out, `request` what all its
# branches have in common.  OK, or E_NONE: no branch has it any more.
cdef int reread_request(shard_t *shard, uint32_t parent, message_t *into, request_t *request) noexcept nogil

# Aims such a request at the next target of the name that the failed branch had one of.  E_NONE: there is
# none left, or the failure is none of an address.
cdef int aim_at_next_address(shard_t *shard, uint32_t parent, const failure_t *failure,
                             request_t *request) noexcept nogil

# Before the failure is committed: could it?
cdef bint has_next_address(shard_t *shard, uint32_t parent, const failure_t *failure) noexcept nogil

# Did a name lead to the next hop of this branch?  A slot of a damaged file may say any place.
cdef inline bint follows_name(shard_t *shard, const slot_t *branch) noexcept nogil:
    cdef const addr_t *to = &branch.identity.client.target.remote
    return (slot_at(shard.store, branch.parent).identity.server.by_name != 0
            and branch.identity.client.destination_id == 0 and to.port > 0 and is_well_formed(to))

# Such a branch could not be sent (`refused`), or heard nothing in its time; then, that it was answered.
cdef void note_target_failed(shard_t *shard, const slot_t *branch, bint refused) noexcept nogil
cdef void note_target_answered(shard_t *shard, const slot_t *branch, const message_t *m) noexcept nogil
