# What a request must leave behind when it crosses a border of ours.  See border.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.base.address cimport origin_t
from fastsip._core.sip.types cimport uri_t
from fastsip._core.state.shard cimport shard_t

# Rewrites shard.incoming as `headers.in` of its listener says; OK, or what the parser says of the outcome,
# E_ROOM or E_FULL: the request is as it was received then, and may only be refused.
cdef int enter(shard_t *shard, const origin_t *origin) noexcept nogil

# 16.4: a maddr that is ours goes, and `ruri` is read again; as enter.
cdef int strip_maddr(shard_t *shard, uri_t *ruri) noexcept nogil
