# cython: boundscheck=True, wraparound=True
"""What a rule changes in the headers of a request that it sends on: `headers = { remove, set }`.

First all headers go that `remove` or `set` names, then what `set` says is written
behind the others, in its order; so a name that stands in both is set.  Names are equal without case, and a
compact form counts as its long name (RFC 3261 section 7.3.3).

The headers that the router itself lives by may not be named: its own edits of the
same message would contradict these, and it reads them again from what it sent.

Must never: touch a message that already carries the edits (a later branch is made from
what the first one sent).  edit_headers is called by branches, the rest by tables.
"""

from libc.stdint cimport uint8_t, uint32_t
from fastsip._core.arena cimport Arena
from fastsip._core.edits cimport edit_delete, edit_insert, edits_t, take_room
from fastsip._core.types cimport (PIECE_CALL_ID, PIECE_LISTENER, PIECE_SOURCE, PIECE_TEXT, addr_t, header_edit_t,
                                  header_edits_t, header_t, message_t, piece_t, text_t)
from fastsip._core.uri cimport same_text, write_address
from fastsip._core.write cimport put

from fastsip._core.conditions import as_token
from fastsip._core.parser import COMPACT_FORMS

cdef enum:
    ADDRESS_ROOM = 48
    LINE_ROOM = 4               # ": " and the line end


# ---------------------------------------------------------------- on the packet path

cdef inline bint names(const header_edit_t *edit, const message_t *m, const header_t *header) noexcept nogil:
    cdef const char *name = m.buf + header.name_off
    cdef uint8_t letter
    if header.name_len == 1:
        letter = (<uint8_t>name[0] | 0x20) - <uint8_t>c'a'
        if letter < 26:
            return (edit.letters >> letter) & 1
    if header.name_len < edit.name.len or (header.name_len > edit.name.len and not edit.prefix):
        return False
    return same_text(name, edit.name.len, edit.name.at, edit.name.len)


cdef inline bint goes(const header_edits_t *wanted, const message_t *m, uint32_t index) noexcept nogil:
    cdef uint32_t i
    for i in range(wanted.count):
        if names(&wanted.items[i], m, &m.headers[index]):
            return True
    return False


cdef int cut_headers(edits_t *edits, const header_edits_t *wanted, const message_t *m) noexcept nogil:
    """Neighbours go in one cut; how many went."""
    cdef uint32_t i = 0
    cdef uint32_t first
    cdef int gone = 0
    while i < m.header_count:
        first = i
        while i < m.header_count and goes(wanted, m, i):
            i += 1
        if i > first:
            edit_delete(edits, m.headers[first].name_off, m.headers[i - 1].end_off - m.headers[first].name_off)
            gone += i - first
        i += 1
    return gone


cdef text_t value_of(const piece_t *piece, const message_t *m, const text_t *tag, const text_t *source) noexcept nogil:
    cdef text_t text = piece.text
    if piece.kind == PIECE_SOURCE:
        text = source[0]
    elif piece.kind == PIECE_LISTENER:
        text = tag[0]
    elif piece.kind == PIECE_CALL_ID:
        text.at = m.buf + m.call_id.off
        text.len = m.call_id.len
    return text


cdef void insert_header(edits_t *edits, const header_edit_t *edit, const message_t *m, const text_t *source,
                        const text_t *tag) noexcept nogil:
    cdef uint32_t room = edit.name.len + LINE_ROOM
    cdef uint32_t i
    cdef text_t text
    cdef char *line
    cdef int n
    for i in range(edit.piece_count):
        room += value_of(&edit.pieces[i], m, tag, source).len
    line = take_room(edits, room)
    if line == NULL:
        return
    n = put(line, edit.name.at, edit.name.len)
    n += put(line + n, b": ", 2)
    for i in range(edit.piece_count):
        text = value_of(&edit.pieces[i], m, tag, source)
        n += put(line + n, text.at, text.len)
    n += put(line + n, b"\r\n", 2)
    edit_insert(edits, m.headers_end, line, n)


cdef int edit_headers(edits_t *edits, const header_edits_t *wanted, const message_t *m, const addr_t *source,
                      const text_t *tag) noexcept nogil:
    cdef int more = -cut_headers(edits, wanted, m)
    cdef char address[ADDRESS_ROOM]
    cdef text_t peer
    cdef uint32_t i
    peer.at = address
    peer.len = <uint32_t>write_address(source, address, False)
    for i in range(wanted.count):
        if wanted.items[i].piece_count:
            insert_header(edits, &wanted.items[i], m, &peer, tag)
            more += 1
    return more


# ---------------------------------------------------------------- built by Python

FIELDS = {"text": PIECE_TEXT, "source": PIECE_SOURCE, "listener": PIECE_LISTENER, "call_id": PIECE_CALL_ID}

# The branches, the dialogs and the way back hang on these.
PROTECTED = frozenset((
    b"via", b"from", b"to", b"call-id", b"cseq", b"max-forwards", b"max-breadth", b"content-length", b"route",
    b"record-route", b"contact",
))


def plan_name(text, what):
    """(name, prefix, letters) of a header, or with a final * of all that begin so; ValueError for protected ones."""
    prefix = what == "remove" and text.endswith(b"*")
    name = as_token(text.removesuffix(b"*") if prefix else text, f"headers.{what}")
    known = name.lower()
    known = known if prefix else COMPACT_FORMS.get(known, known)

    def covers(full):
        return full.startswith(known) if prefix else full == known

    taken = sorted(full.decode() for full in PROTECTED if covers(full))
    if taken:
        raise ValueError(f"headers.{what}: {text!r} takes {', '.join(taken)}, which the router itself lives by")
    alphabet = [bytes((letter,)) for letter in b"abcdefghijklmnopqrstuvwxyz"]
    letters = sum(1 << at for at, letter in enumerate(alphabet) if covers(COMPACT_FORMS.get(letter, letter)))
    return (known if len(name) == 1 else name), prefix, letters


def plan_piece(piece):
    kind, text = piece
    if kind not in FIELDS:
        raise ValueError(f"headers.set: {kind!r} is none of {', '.join(FIELDS)}")
    if any(byte < 32 or byte == 127 for byte in text):
        raise ValueError(f"headers.set: {text!r} is not one line of text")
    return FIELDS[kind], text


def plan_headers(*, remove=(), set=()):
    """What fill_headers writes: names to remove, and (name, pieces) to set; a piece is (field, bytes).

    Fields are text, with its bytes, and source, listener, call_id, with none.
    ValueError says what cannot be: a protected name, a name that is no token, text of two lines.
    """
    plans = [(*plan_name(text, "remove"), ()) for text in remove]
    for text, pieces in set:
        if not pieces:
            raise ValueError(f"headers.set: {text!r} has no value")
        plans.append((*plan_name(text, "set"), tuple(plan_piece(piece) for piece in pieces)))
    return tuple(plans)


cdef int fill_headers(Arena arena, header_edits_t *wanted, plans) except -1:
    cdef Py_ssize_t i, k
    cdef header_edit_t *edit
    wanted.count = <uint32_t>len(plans)
    wanted.items = <header_edit_t *>arena.take(len(plans), sizeof(header_edit_t))
    for i in range(len(plans)):
        edit = &wanted.items[i]
        name, edit.prefix, edit.letters, pieces = plans[i]
        edit.name = arena.keep(name)
        edit.piece_count = <uint32_t>len(pieces)
        edit.pieces = <piece_t *>arena.take(len(pieces), sizeof(piece_t))
        for k in range(len(pieces)):
            edit.pieces[k].kind, text = pieces[k]
            edit.pieces[k].text = arena.keep(text)
    return 0
