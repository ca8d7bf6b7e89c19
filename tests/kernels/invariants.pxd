# What holds for every message, whatever it is.  See invariants.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.types cimport span_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.sip.edits cimport edits_t
from fastsip._core.routing.types cimport table_t
from fastsip._core.state.shard cimport shard_t

# What a check works with; the owner clears it once, `shard` stays the owner's.
cdef struct checker_t:
    message_t m
    message_t again
    edits_t edits
    const shard_t *shard      # for the readers: store, epoch and keys
    const table_t *table    # whose rules are asked; NULL = none
    message_t blank         # a message that says nothing
    uint32_t signature      # what kind of message the last one was

# 0, or the first of WRONGS (as index) that the message makes true.
cdef int check_message(checker_t *c, const char *buf, uint32_t len) noexcept nogil
# Do the two messages mean the same to a router, but for what it changes?
cdef int check_alike(const message_t *m, const message_t *again) noexcept nogil
# A text as a peer sends it back where one of ours was.
cdef int check_readers(checker_t *c, const char *buf, const span_t *text) noexcept nogil
