# What we write into Via and Record-Route, and how it is read again.  See via.pyx.

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from fastsip._core.base.types cimport span_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.sip.types cimport message_t, via_t
from fastsip._core.store.slots cimport store_t
from fastsip._core.routing.types cimport listener_t, table_t

cdef enum:
    BRANCH_TEXT = 27        # letters of a branch of ours: z9hG4bK, 13, a dot, 6
    HINT_TEXT = 22          # of a hint: 16 that lead to the slot, 6 for loops
    VIA_ROOM = 339          # bytes that write_via needs at most; via.pyx has the sum
    STAMPS_ROOM = 80        # bytes that the stamps of a Via add at most
    STATELESS = 0x3FFFFFE   # index in the hint of what was sent without a slot
    PROBE = 0x3FFFFFF       # index in the hint of a probe; the generation is the destination's cell

# One change of a Via value: `text` instead of [off, off + cut).
cdef struct stamp_t:
    uint16_t off
    uint16_t cut
    uint16_t len
    char text[STAMPS_ROOM]

# The matching key of a server transaction (17.2.3, and Call-ID and CSeq number); ACK matches
# its INVITE, and with `as_invite` so does a CANCEL.
cdef uint64_t server_key(const store_t *store, const message_t *m, bint as_invite) noexcept nogil
# The server transaction of this kind that a request, or an ACK, belongs to, or NO_SLOT; and its key.
cdef uint32_t find_server(const store_t *store, const message_t *m, int kind, uint64_t *key) noexcept nogil
# The server transaction of the INVITE that a response answers, by the Via below ours, or NO_SLOT.
cdef uint32_t find_asker(const store_t *store, const message_t *m, const via_t *below) noexcept nogil
# The server transaction, of any method, that a CANCEL belongs to, or NO_SLOT (9.2).
cdef uint32_t find_cancelled(const store_t *store, const message_t *m) noexcept nogil

# Our branch for this attempt: recomputable from the request as we received it
# (`via` is the Via above which ours goes).  `place` is where its answers go: reply_address, or via_address.
cdef uint64_t branch_value(const table_t *table, const message_t *m, const via_t *via, const addr_t *place,
                           uint32_t attempt) noexcept nogil
# Did we, or a node with one of our secrets, make this branch for any attempt above this Via,
# for a request whose answers go to `place`?
cdef bint is_our_branch(const table_t *table, const message_t *m, const via_t *via, const addr_t *place,
                        uint64_t value) noexcept nogil

# `loop` is what the request is known by when it comes round (loops.loop_value).
cdef int write_via(const store_t *store, char *out, const listener_t *listener, uint64_t branch, uint64_t loop,
                   uint32_t ref, uint32_t generation) noexcept nogil
# The loop value of a Via that we made; E_BAD for any other.
cdef int read_loop(const char *buf, const via_t *via, uint64_t *loop) noexcept nogil

# The value of a branch that we made; E_BAD for any other.
cdef int read_branch(const char *buf, const span_t *branch, uint64_t *value) noexcept nogil
# The slot that our hint leads to (unverified), or the index PROBE; E_BAD for
# another store's and for what was sent without a slot.
cdef int read_hint(const store_t *store, const char *buf, const span_t *hint, uint32_t *ref,
                   uint32_t *generation) noexcept nogil

# What the topmost Via gets: received and rport (18.2.1, RFC 3581), in order of their offsets; how many, 0 to 2.
cdef int stamp_via(const message_t *m, const addr_t *source, stamp_t *stamps) noexcept nogil
# Where responses to the request go (18.2.2, RFC 3581).
cdef void reply_address(const message_t *m, const addr_t *source, addr_t *to) noexcept nogil
# The same, as the Via of a request says that came by this transport; E_BAD for a name.
cdef int via_address(const char *buf, const via_t *via, int transport, addr_t *to) noexcept nogil

cdef uint64_t local_tag(uint64_t key) noexcept nogil
# Is the To tag the one of our own answers to the request of this key?
cdef bint has_local_tag(const message_t *m, uint64_t key) noexcept nogil
