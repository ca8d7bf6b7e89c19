# Requests that are sent on without a transaction (16.11).  See stateless.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.base.address cimport origin_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.state.shard cimport shard_t
from fastsip._core.proxy.hop cimport hop_t

# Where the INVITE of an ACK or CANCEL would go; E_UNRESOLVED, or below zero: nowhere.
cdef int aim_as_invite(shard_t *shard, const message_t *m, const origin_t *origin, hop_t *hop) noexcept nogil

# An ACK or CANCEL without a transaction, now or when the name of its next hop is known; False: it has no way.
cdef bint send_on(shard_t *shard, const message_t *m, const origin_t *origin) noexcept nogil
