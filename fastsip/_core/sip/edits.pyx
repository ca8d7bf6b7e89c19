"""Forwarding = the original bytes plus a sorted list of edits, written once.

What it must never do: allocate, touch the original, or write past `room`.  An
edit that does not fit or contradicts another makes the whole list void
(overflow): a message is sent as it was meant or not at all.

What is composed for an edit stands in the list's own room.  Which edits a forwarded request gets (RFC 3261
section 16.6) is decided in proxy/forward.
"""

from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memcpy, memmove

from fastsip._core.base.types cimport E_ROOM, MAX_MESSAGE
from fastsip._core.base.check cimport check
from fastsip._core.sip.types cimport message_t
from fastsip._core.sip.chars cimport trim_end
from fastsip._core.sip.edits cimport EDIT_ROOM, MAX_EDITS, edit_t, edits_t

cdef enum:
    VERSION_LETTERS = 7     # of "SIP/2.0"


cdef void clear_edits(edits_t *edits) noexcept nogil:
    """Empty the list; the 5 KB of items and room stay as they are."""
    edits.count = 0
    edits.room_used = 0
    edits.overflow = 0
    edits.growth = 0


cdef void edit_insert(edits_t *edits, uint32_t off, const char *text, uint32_t len) noexcept nogil:
    """Let `text` come before the byte at `off`."""
    add_edit(edits, off, 0, text, len)


cdef void edit_delete(edits_t *edits, uint32_t off, uint32_t len) noexcept nogil:
    """Let the bytes [off, off + len) go."""
    add_edit(edits, off, len, NULL, 0)


cdef void edit_replace(edits_t *edits, uint32_t off, uint32_t cut, const char *text, uint32_t len) noexcept nogil:
    """Let `text` stand where [off, off + cut) stood."""
    add_edit(edits, off, cut, text, len)


# Into its place at once: edits come nearly sorted, and a list that is sorted is written in one pass.
cdef void add_edit(edits_t *edits, uint32_t off, uint32_t cut, const char *text, uint32_t len) noexcept nogil:
    cdef uint32_t place
    cdef edit_t *item
    check((len == 0) | (text != NULL))
    if cut == 0 and len == 0:
        return
    if (edits.count == MAX_EDITS or len > MAX_MESSAGE or off > MAX_MESSAGE or cut > MAX_MESSAGE - off
            or not find_place(edits, off, cut, &place)):
        edits.overflow = 1
        return
    item = &edits.items[place]
    memmove(item + 1, item, (edits.count - place) * sizeof(edit_t))
    item.off = <uint16_t> off
    item.cut = <uint16_t> cut
    item.len = <uint16_t> len
    item.text = text
    edits.count += 1
    edits.growth += <int> len - <int> cut       # so that the room for the result is known before it is written
    check(edits.count <= MAX_EDITS)
    check(is_sorted_at(edits, place))


cdef inline bint is_sorted_at(const edits_t *edits, uint32_t place) noexcept nogil:
    """For a check: no edit begins before the one that stands before it."""
    return ((place == 0 or edits.items[place - 1].off <= edits.items[place].off)
            and (place + 1 == edits.count or edits.items[place].off <= edits.items[place + 1].off))


# Where an edit belongs: behind all of the same or a smaller offset.  False when
# two cuts share a byte, or when a text would come inside a cut.
cdef inline bint find_place(const edits_t *edits, uint32_t off, uint32_t cut, uint32_t *place) noexcept nogil:
    cdef uint32_t at = edits.count
    cdef uint32_t before
    cdef const edit_t *cutting
    while at and edits.items[at - 1].off > off:
        at -= 1
    place[0] = at
    check(at <= edits.count)
    if at < edits.count and off + cut > edits.items[at].off:
        return False
    before = at
    while before and edits.items[before - 1].cut == 0:
        before -= 1
    if before == 0:
        return True
    # cuts do not overlap, so the nearest one before is the one that reaches furthest
    cutting = &edits.items[before - 1]
    return off >= <uint32_t> cutting.off + cutting.cut or (off == cutting.off and cut == 0)


# Between two parts of a start line stands one blank (7.1): nothing is changed where it does already.
cdef inline void edit_gap(edits_t *edits, const char *buf, uint32_t off, uint32_t end) noexcept nogil:
    check(off < end)            # 7.1: at least one blank stood there, or it would be no start line
    if end != off + 1 or buf[off] != c' ':
        edit_replace(edits, off, end - off, b" ", 1)


cdef void edit_start_line(edits_t *edits, const message_t *m) noexcept nogil:
    """RFC 4475 sections 3.1.2.9 to 3.1.2.11: who bears such a line must not hand it on."""
    cdef uint32_t uri_end = <uint32_t> m.ruri.off + m.ruri.len
    cdef uint32_t end = trim_end(m.buf, uri_end, m.headers_off)
    cdef uint32_t line_end = m.headers_off - (2 if m.buf[m.headers_off - 2] == c'\r' else 1)
    check(end >= uri_end + VERSION_LETTERS)
    check(line_end >= end)
    edit_gap(edits, m.buf, m.method_name.off + m.method_name.len, m.ruri.off)
    edit_gap(edits, m.buf, uri_end, end - VERSION_LETTERS)
    if end < line_end:
        edit_delete(edits, end, line_end - end)


cdef char *take_room(edits_t *edits, uint32_t len) noexcept nogil:
    """Room for `len` bytes of composed text, valid as long as the list; NULL when full."""
    cdef char *room = &edits.room[0] + edits.room_used
    if len > <uint32_t> EDIT_ROOM - edits.room_used:
        edits.overflow = 1
        return NULL
    edits.room_used += <uint16_t> len
    check(edits.room_used <= EDIT_ROOM)
    return room


cdef int write_edits(const edits_t *edits, const char *src, uint32_t len, char *out, uint32_t room) noexcept nogil:
    """Write the edited message into `out`; its length, or E_ROOM.

    E_ROOM also when the list overflowed or an edit lies beyond the original.
    """
    cdef uint32_t done = 0          # of the original
    cdef uint32_t at = 0            # of the output
    cdef uint32_t i, keep
    cdef const edit_t *item
    check(edits.count <= MAX_EDITS)
    if edits.overflow:
        return E_ROOM
    for i in range(edits.count):
        item = &edits.items[i]
        check(is_sorted_at(edits, i))
        # not when a text comes behind a cut at its own offset
        keep = item.off - done if item.off > done else 0
        if <uint32_t> item.off + item.cut > len or keep + item.len > room - at:
            return E_ROOM
        check(done + keep <= len)
        memcpy(out + at, src + done, keep)
        at += keep
        done += keep
        if item.len:
            memcpy(out + at, item.text, item.len)
            at += item.len
        if item.cut:
            done = <uint32_t> item.off + item.cut
    check(done <= len)
    check(at <= room)
    if len - done > room - at:
        return E_ROOM
    memcpy(out + at, src + done, len - done)
    check(<int> (at + len - done) == <int> len + edits.growth)     # what callers make room for
    return <int> (at + len - done)
