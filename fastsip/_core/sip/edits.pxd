# Forwarding = the original bytes plus a sorted list of edits.  See edits.pyx.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t
from fastsip._core.base.check cimport check
from fastsip._core.sip.types cimport message_t

cdef enum:
    MAX_EDITS = 192
    EDIT_ROOM = 16384       # bytes of text that the edits of one message may compose

cdef struct edit_t:
    uint16_t off            # where in the original
    uint16_t cut            # bytes of the original that go
    uint16_t len            # bytes that come
    const char *text        # literal, table text, or inside `room`

# Owned by its caller; `room` never moves, so texts in it stay valid.
cdef struct edits_t:
    uint16_t count
    uint16_t room_used
    uint8_t overflow        # an edit or text did not fit: write_edits says E_ROOM
    int32_t growth          # bytes that the result is longer than the original
    edit_t items[MAX_EDITS]
    char room[EDIT_ROOM]

cdef void clear_edits(edits_t *edits) noexcept nogil

# Equal offsets keep the order in which they were added; cuts must not overlap.
cdef void edit_insert(edits_t *edits, uint32_t off, const char *text, uint32_t len) noexcept nogil
cdef void edit_delete(edits_t *edits, uint32_t off, uint32_t len) noexcept nogil
cdef void edit_replace(edits_t *edits, uint32_t off, uint32_t cut, const char *text, uint32_t len) noexcept nogil

# Of a request as received: one blank between the parts of its start line, none behind it, and no headers behind
# its Request-URI.
cdef void edit_start_line(edits_t *edits, const message_t *m) noexcept nogil

# The empty line behind the headers, where the message came without: the last edit of all.
cdef inline void close_headers(edits_t *edits, const message_t *m) noexcept nogil:
    check(m.headers_end <= m.len)
    if m.headers_end == m.len:
        edit_insert(edits, m.headers_end, b"\r\n", 2)

# Room for composed text; NULL (and overflow set) when there is none.
cdef char *take_room(edits_t *edits, uint32_t len) noexcept nogil

# Writes the edited message; returns its length, or E_ROOM.
cdef int write_edits(const edits_t *edits, const char *src, uint32_t len, char *out, uint32_t room) noexcept nogil
