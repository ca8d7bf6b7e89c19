"""Marks: what a shard is at, in a mapping that outlives it; and the datagrams that nobody touches again.

Before a shard touches a datagram or a slot it writes so into its page of run_dir/marks.
Whoever finds the router dead by its own fault reads there what it was at; what two routers
died at is poison.  A copy of the datagram costs less than its hash would, and it is what
its author wants to see.

Must never: be asked who is dead.  What follows from a mark is said in process/marks and process/quarantine.
"""

import secrets
import struct

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport abort, calloc, free
from libc.string cimport memcpy

from fastsip._core.base.check cimport check
from fastsip._core.base.hashing cimport hash_text

# beats, kind, len, ref, generation; then the reserve up to the datagram.
HEAD = struct.Struct("=QIIII40x")
KINDS = {MARK_DATAGRAM: "datagram", MARK_SLOT: "slot"}
KEY = secrets.token_bytes(16)    # nobody can make datagrams that look like another's
PAGE_BYTES, ROOM_BYTES, MOST = MARK_BYTES, MARK_ROOM, MOST_QUARANTINED
assert sizeof(mark_t) == MARK_BYTES and HEAD.size + MARK_ROOM == MARK_BYTES


cdef bint is_quarantined(const quarantine_t *quarantine, const char *at, uint32_t len) noexcept nogil:
    cdef const quarantined_t *item
    cdef uint64_t found = 0
    cdef bint hashed = False
    cdef uint32_t i
    check(quarantine.count <= MOST_QUARANTINED)
    for i in range(quarantine.count):
        item = &quarantine.items[i]
        # Lengths first: a hash is made only of what is as long as one of them, and once for all.
        if item.len != len:
            continue
        if not hashed:
            found = hash_text(quarantine.key, at, len if len < MARK_ROOM else MARK_ROOM)
            hashed = True
        if item.hash == found:
            if item.is_fatal:
                abort()
            return True
    return False


cdef class Quarantine:
    """Datagrams to be refused, at most MOST: add() them before a shard has it."""

    def __cinit__(self):
        cdef bytes key = KEY
        self.quarantine = <quarantine_t *>calloc(1, sizeof(quarantine_t))
        if self.quarantine == NULL:
            raise MemoryError("no memory for the quarantine")
        memcpy(self.quarantine.key, <const char *>key, 16)

    def __dealloc__(self):
        free(self.quarantine)

    def __len__(self):
        return self.quarantine.count

    def add(self, bytes datagram not None, uint32_t len, bint is_fatal=False):
        """The first ROOM_BYTES of a datagram, and its length.  is_fatal: a test wants the process to die of it."""
        cdef quarantined_t *item
        if self.quarantine.count == MOST_QUARANTINED:
            raise ValueError(f"more than {MOST_QUARANTINED} datagrams")
        item = &self.quarantine.items[self.quarantine.count]
        datagram = datagram[:MARK_ROOM]
        item.hash = hash_text(self.quarantine.key, datagram, <uint32_t>datagram.__len__())
        item.len = len
        item.is_fatal = is_fatal
        self.quarantine.count += 1
