# Memory that lives and dies with one owner.  See arena.pyx.

cimport cython
from fastsip._core.base.types cimport text_t

cdef struct chunk_t:
    chunk_t *next
    size_t used
    size_t room

# Zeroed memory, NULL when there is none; and back.  In debug builds what was given back can
# never be touched again: whoever does dies there.
cdef void *take_piece(size_t size) noexcept nogil
cdef void give_piece(void *piece, size_t size) noexcept nogil

@cython.final
cdef class Arena:
    cdef chunk_t *chunks
    cdef readonly size_t total_bytes
    cdef size_t taken       # pieces

    # Zeroed, aligned to 16 bytes; never moves.  MemoryError when there is none.
    cdef void *take(self, size_t count, size_t size) except NULL
    # A copy of the text, with a NUL behind it that is not counted.
    cdef text_t keep(self, bytes text) except *
