"""Memory that is taken piece by piece and given back all at once.

A routing table is many small arrays and texts of one life time: they stand close
together here, keep their addresses, and need no destructor of their own.

What shards may look at without a lock comes from pieces (an arena's chunks, a shard's
positions): in debug builds each has pages of its own, which nobody can touch any more once
it is given back.  So a shard that still works with a table that was freed dies at once.

Must never: be used on the packet path, or be shared between owners.
"""

cimport cython
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_FIXED, MAP_PRIVATE, PROT_NONE, PROT_READ, PROT_WRITE, mmap

from fastsip._core.base.types cimport text_t
from fastsip._core.base.check cimport check

cdef enum:
    CHUNK_BYTES = 65536
    ALIGN = 16
    PIECES_PER_TURN = 256


cdef extern from *:
    """
    #ifndef FASTSIP_POISON
    #define FASTSIP_POISON 0
    #endif
    """
    const bint FASTSIP_POISON   # by setup.py, in debug builds


cdef void *take_piece(size_t size) noexcept nogil:
    cdef void *at
    check(size > 0)             # calloc may answer NULL to 0, which would read as "no memory"
    if not FASTSIP_POISON:
        return calloc(1, size)
    at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    return NULL if at == MAP_FAILED else at


cdef void give_piece(void *piece, size_t size) noexcept nogil:
    """A mapping in its place that is nothing: the memory is free, the addresses are not used again."""
    if not FASTSIP_POISON:
        free(piece)
    elif piece != NULL:
        mmap(piece, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)


cdef inline size_t aligned(size_t size) noexcept nogil:
    check(size <= <size_t>-ALIGN)   # or the sum begins again at 0
    return (size + ALIGN - 1) & ~<size_t>(ALIGN - 1)


@cython.final
cdef class Arena:
    """Owns chunks of at least 64 KiB; all of them are freed with it."""

    def __dealloc__(self):
        cdef chunk_t *chunk = self.chunks
        cdef chunk_t *following
        while chunk != NULL:
            following = chunk.next
            give_piece(chunk, chunk.room)
            chunk = following

    cdef void *take(self, size_t count, size_t size) except NULL:
        cdef size_t need = aligned(count * size)
        cdef size_t head = aligned(sizeof(chunk_t))
        cdef size_t room
        cdef chunk_t *chunk = self.chunks
        cdef void *place
        self.taken += 1
        if self.taken % PIECES_PER_TURN == 0:
            with nogil:     # a large table takes long to lay out, and other threads want the GIL
                pass
        if size and count > (<size_t>1 << 40) // size:
            raise MemoryError(f"{count} records of {size} bytes")
        if chunk == NULL or chunk.used + need > chunk.room:
            room = head + need if head + need > CHUNK_BYTES else CHUNK_BYTES
            chunk = <chunk_t *>take_piece(room)
            if chunk == NULL:
                raise MemoryError(f"{room} bytes for a routing table")
            chunk.next = self.chunks
            chunk.used = head
            chunk.room = room
            self.chunks = chunk
            self.total_bytes += room
        place = <char *>chunk + chunk.used
        chunk.used += need
        check(chunk.used <= chunk.room)
        check(<size_t>place % ALIGN == 0)
        return place

    cdef text_t keep(self, bytes text) except *:
        cdef text_t kept
        cdef size_t size = len(text)
        cdef char *place = <char *>self.take(size + 1, 1)
        memcpy(place, <const char *>text, size)
        kept.at = place
        kept.len = <uint32_t>size
        return kept
