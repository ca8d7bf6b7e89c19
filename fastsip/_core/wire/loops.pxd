# Has this request been here before?  See loops.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.address cimport origin_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.routing.types cimport table_t

# What a request as received is known by when it comes round: 60 bits, for write_via.
cdef uint64_t loop_value(const table_t *table, const message_t *m, const origin_t *origin) noexcept nogil

# Does one of its Vias, made by us, carry the same value?
cdef bint is_loop(const table_t *table, const message_t *m, uint64_t loop) noexcept nogil
