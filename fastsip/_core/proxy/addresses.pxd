# A next hop that is a name is a list: the addresses after the first.  See addresses.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.sip.types cimport message_t
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

# Aims such a request at the next address of the name that the failed branch had one of.  E_NONE: there is
# none left, or the failure is none of an address.
cdef int aim_at_next_address(shard_t *shard, uint32_t parent, const failure_t *failure,
                             request_t *request) noexcept nogil

# Before the failure is committed: could it?
cdef bint has_next_address(shard_t *shard, uint32_t parent, const failure_t *failure) noexcept nogil
