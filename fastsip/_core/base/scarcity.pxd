# Allocations that fail because a test wants it.  See scarcity.pyx.

from libc.stdint cimport uint32_t

cdef enum scarce_kind:
    SCARCE_SLOT = 1
    SCARCE_BLOCK = 2
    SCARCE_SCRATCH = 4
    SCARCE_OUTBOX = 8
    SCARCE_EVENT = 16       # the ring to the control plane
    SCARCE_PARKED = 32      # the list of searches that wait for names
    SCARCE_HELD = 64        # the list of requests without transaction that do
    SCARCE_EDIT = 128       # of what one message gains by being forwarded, or its largest size

# scarce_kind bits that are watched; 0 in every router.
cdef uint32_t scarce

cdef bint is_refused(uint32_t kind) noexcept nogil

# Shall this allocation fail?
cdef inline bint runs_short(uint32_t kind) noexcept nogil:
    return scarce & kind and is_refused(kind)
