# What the choice of a destination goes by.  See keys.pyx.

from libc.stdint cimport uint64_t
from fastsip._core.sip.types cimport message_t, uri_t
from fastsip._core.routing.types cimport set_t

# The value that the set's algorithm hashes, keyed.
cdef uint64_t selection_key(const set_t *dispatch_set, const message_t *m, const uri_t *ruri) noexcept nogil
