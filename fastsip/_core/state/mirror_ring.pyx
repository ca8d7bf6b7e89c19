"""The ring of one shard, in a file of run_dir: what it saw of messages, for readers in other processes.

One writer, which never waits and never reads what lies there, since readers or a damaged file could say anything: its
position is private, and only told.  Any number of readers, who copy first and look then whether they were overrun.

The writer says how far it will write (`claimed`), writes, and says how far it has written.  Of what a reader has
copied that counts which lies less than RING_BYTES behind what was claimed after the copy (H.-J. Boehm, Can seqlocks get
along with programming language memory models?, 2012).  An entry says by its tag where it stands, and the
generation in that tag no sender knows: so a reader who was overrun finds the next entry, and no message passes for one.
An entry never goes around the end of the ring: what is left there is filled.

A file is made whole, beside, before its first entry, and by whom it is shown: another router makes another file, with
another generation, in another inode.  Must never: outlive the looks that it was made for, or be believed by its writer.
"""

import os

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from posix.mman cimport munmap

from fastsip._core.base.address cimport addr_t
from fastsip._core.base.atomics cimport full_fence, load_acquire64, load_relaxed64, store_relaxed64, store_release64
from fastsip._core.base.check cimport check
from fastsip._core.base.mapped cimport map_file

from fastsip._core.base.mapped import HEAD_BYTES, begin_beside

cdef enum:
    HEADER_BYTES = 4096
    LAYOUT_MAJOR = 1
    LAYOUT_MINOR = 0
    ENTRY_ALIGN = 64
    BYTES_OF_RING = 4 << 20     # of each shard: about 4,000 messages

RING_BYTES = BYTES_OF_RING
LONGEST_KEPT = MOST_KEPT
KIND_RECEIVED, KIND_SENT = SEEN_RECEIVED, SEEN_SENT

cdef uint64_t MAGIC = 0x3152524F524D5346    # "FSMRORR1", least significant byte first

assert sizeof(mirror_head_t) <= HEADER_BYTES and HEADER_BYTES == HEAD_BYTES
assert BYTES_OF_RING % ENTRY_ALIGN == 0 and 4 * MOST_KEPT <= BYTES_OF_RING


def layout() -> dict:
    """Name -> (struct format, offset) of what a reader in Python needs of an entry; "bytes": of its head, "align"."""
    cdef sighting_t seen
    cdef char *base = <char *>&seen
    return {
        "bytes": ("", sizeof(sighting_t)),
        "align": ("", ENTRY_ALIGN),
        "tag": ("Q", <char *>&seen.tag - base),
        "number": ("Q", <char *>&seen.number - base),
        "when_ns": ("Q", <char *>&seen.when_ns - base),
        "room": ("I", <char *>&seen.room - base),
        "kept": ("I", <char *>&seen.kept - base),
        "length": ("I", <char *>&seen.length - base),
        "kind": ("B", <char *>&seen.kind - base),
        "ours": ("16sHBBI", <char *>&seen.ours - base),
        "peer": ("16sHBBI", <char *>&seen.peer - base),
    }


# ---------------------------------------------------------------- writing

cdef inline uint32_t rounded(uint32_t bytes_count) noexcept nogil:
    check(bytes_count <= MOST_KEPT + sizeof(sighting_t))
    return (bytes_count + ENTRY_ALIGN - 1) & ~<uint32_t>(ENTRY_ALIGN - 1)


cdef char *put_head(mirror_ring_t *ring, sighting_t *seen, uint32_t head_bytes) noexcept nogil:
    """Of the next entry, where the message goes; of one that fills the end only `head_bytes` have room."""
    cdef uint32_t off = ring.position % BYTES_OF_RING
    check(seen.room % ENTRY_ALIGN == 0)
    check(off + seen.room <= BYTES_OF_RING)
    check(head_bytes <= seen.room)
    seen.tag = ring.position ^ ring.generation
    seen.number = ring.number
    memcpy(ring.entries + off, seen, head_bytes)
    ring.position += seen.room
    return ring.entries + off + sizeof(sighting_t)


cdef void write_sighting(mirror_ring_t *ring, sighting_t *seen, const char *at, uint32_t len) noexcept nogil:
    cdef uint32_t left = BYTES_OF_RING - ring.position % BYTES_OF_RING
    cdef sighting_t filling
    seen.length = len
    seen.kept = min(len, <uint32_t>MOST_KEPT)
    seen.room = rounded(sizeof(sighting_t) + seen.kept)
    check(left % ENTRY_ALIGN == 0)
    check(seen.kept <= seen.room - sizeof(sighting_t))
    if left >= seen.room:
        left = 0
    store_relaxed64(&ring.head.claimed, ring.position + left + seen.room)
    full_fence()        # before any byte of an entry that a reader could take for an old one
    if left:
        memset(&filling, 0, sizeof(filling))
        filling.kind = SEEN_NOTHING
        filling.room = left
        put_head(ring, &filling, min(left, <uint32_t>sizeof(sighting_t)))
    memcpy(put_head(ring, seen, sizeof(sighting_t)), at, seen.kept)
    ring.number += 1
    store_relaxed64(&ring.head.number, ring.number)
    store_release64(&ring.head.written, ring.position)


cdef void put_sighting(mirror_ring_t *ring, sighting_kind kind, uint64_t when_ns, const addr_t *ours,
                       const addr_t *peer, const char *at, uint32_t len) noexcept nogil:
    cdef sighting_t seen
    memset(&seen, 0, sizeof(seen))
    seen.kind = kind
    seen.when_ns = when_ns
    seen.ours = ours[0]
    seen.peer = peer[0]
    write_sighting(ring, &seen, at, len)


@cython.final
cdef class MirrorRing:
    """MirrorRing(path, shard): a new file in the place of whatever is there; OSError when there is no room for it.

    It lives as long as this does, or as somebody has it mapped, whoever removes its name.
    """

    def __init__(self, path, uint32_t shard):
        cdef mirror_head_t head
        cdef size_t size = HEADER_BYTES + BYTES_OF_RING
        if self.mapping != NULL:
            raise RuntimeError("already mapped")
        self.shard = shard
        memset(&head, 0, sizeof(head))
        head.magic, head.major, head.minor = MAGIC, LAYOUT_MAJOR, LAYOUT_MINOR
        head.shard, head.ring_bytes = shard, BYTES_OF_RING
        head.generation = int.from_bytes(os.urandom(8), "little")
        with begin_beside(path, size) as fd:
            os.pwrite(fd, (<char *>&head)[:sizeof(head)], 0)
            self.mapping = map_file(fd, size)
            if self.mapping == NULL:
                raise MemoryError(f"no mapping of {size} bytes for what is looked at")
        self.ring.head = <mirror_head_t *>self.mapping
        self.ring.entries = <char *>self.mapping + HEADER_BYTES
        self.ring.generation = head.generation

    def __dealloc__(self):
        if self.mapping != NULL:
            munmap(self.mapping, HEADER_BYTES + BYTES_OF_RING)

    def put(self, int kind, uint64_t when_ns, bytes message not None) -> None:
        """put_sighting, as tests see it, without addresses."""
        cdef addr_t nobody
        memset(&nobody, 0, sizeof(nobody))
        put_sighting(&self.ring, <sighting_kind>kind, when_ns, &nobody, &nobody, message, <uint32_t>len(message))


# ---------------------------------------------------------------- reading

def read_ring_head(const uint8_t[::1] file not None) -> dict:
    """shard, generation; `written`, the position behind the last whole entry, and the `number` of the next one, or of
    a later one that is just written.  {}: it is no ring of ours.
    """
    cdef const mirror_head_t *head
    cdef uint64_t written
    if file.shape[0] < <Py_ssize_t>HEADER_BYTES + BYTES_OF_RING:
        return {}
    head = <const mirror_head_t *>&file[0]
    if head.magic != MAGIC or head.major > LAYOUT_MAJOR or head.ring_bytes != BYTES_OF_RING:
        return {}
    written = load_acquire64(&head.written)
    return {"shard": head.shard, "generation": head.generation, "written": written,
            "number": load_relaxed64(&head.number)}


def read_ring(const uint8_t[::1] file not None, uint64_t position) -> tuple:
    """(start, bytes): what was written from `position` on, or since what of that is still there.

    file: the whole mapping.  A head that says what cannot be gives bytes that are no entries, or none.
    """
    cdef const mirror_head_t *head
    cdef const char *entries
    cdef uint64_t written, claimed, start
    cdef uint32_t off, first
    if file.shape[0] < <Py_ssize_t>HEADER_BYTES + BYTES_OF_RING:
        raise ValueError(f"{file.shape[0]} bytes are no ring")
    head = <const mirror_head_t *>&file[0]
    entries = <const char *>&file[HEADER_BYTES]
    written = load_acquire64(&head.written) & ~<uint64_t>(ENTRY_ALIGN - 1)
    start = max(position & ~<uint64_t>(ENTRY_ALIGN - 1), written - min(written, <uint64_t>BYTES_OF_RING))
    if start >= written:
        return start, b""
    off = start % BYTES_OF_RING
    first = min(<uint32_t>(written - start), BYTES_OF_RING - off)
    copied = entries[off:off + first] + entries[:written - start - first]
    full_fence()        # what was claimed is looked at when all is copied
    claimed = load_acquire64(&head.claimed) & ~<uint64_t>(ENTRY_ALIGN - 1)
    if claimed - min(claimed, <uint64_t>BYTES_OF_RING) <= start:
        return start, copied
    if claimed - BYTES_OF_RING >= written:
        return written, b""
    return claimed - BYTES_OF_RING, copied[claimed - BYTES_OF_RING - start:]
