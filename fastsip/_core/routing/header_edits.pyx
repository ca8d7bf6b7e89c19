# cython: boundscheck=True, wraparound=True
"""What a way changes in the headers of a request: `headers = { remove, set }` of rules, sets and listeners.

A request goes through steps: what the listener says that it came in by, the rule that routes it, the set
it is sent to, the listener it leaves by.  In each step first all headers go that `remove` or `set` names, then
what `set` says is written behind the others, in its order; so a name that stands in both is set, and what a step
sets a later one may take away.  Names are equal without case, and a compact form counts as its long name (RFC 3261
section 7.3.3).

The headers that the router itself lives by may not be named: its own edits of the
same message would contradict these, and it reads them again from what it sent.

A message whose lines others may divide otherwise (hides_lines) crosses no border that changes headers.

Must never: touch a message that already carries the edits.  A later branch of another way out begins from what
stood before the first one's (undo_t).
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr

from fastsip._core.base.types cimport E_ROOM, OK, put, text_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.base.arena cimport Arena
from fastsip._core.sip.types cimport header_t, message_t
from fastsip._core.sip.uri cimport same_text, write_address
from fastsip._core.sip.edits cimport EDIT_ROOM, edit_delete, edit_insert, edits_t, take_room
from fastsip._core.routing.types cimport (
    PIECE_CALL_ID, PIECE_LISTENER, PIECE_SOURCE, PIECE_TEXT, destination_t, header_edit_t, header_edits_t, listener_t,
    piece_t,
)
from fastsip._core.routing.lookup cimport find_by_address, find_listener

from fastsip._core.sip.words import COMPACT_FORMS
from fastsip._core.routing.conditions import as_token

cdef enum:
    ADDRESS_ROOM = 48
    LINE_ROOM = 4               # ": " and the line end


# ---------------------------------------------------------------- on the packet path

cdef inline bint names(const header_edit_t *edit, const message_t *m, const header_t *header) noexcept nogil:
    """Does this edit name the header?  A compact form is looked up among the letters of the edit's name."""
    cdef const char *name = m.buf + header.name_off
    cdef uint8_t letter
    if header.name_len == 1:
        letter = (<uint8_t>name[0] | 0x20) - <uint8_t>c'a'
        if letter < 26:
            return (edit.letters >> letter) & 1
    if header.name_len < edit.name.len or (header.name_len > edit.name.len and not edit.prefix):
        return False
    return same_text(name, edit.name.len, edit.name.at, edit.name.len)


cdef inline bint names_text(const header_edit_t *edit, const text_t *name) noexcept nogil:
    """As `names`, of a long name."""
    if name.len < edit.name.len or (name.len > edit.name.len and not edit.prefix):
        return False
    return same_text(name.at, edit.name.len, edit.name.at, edit.name.len)


cdef uint32_t step_that_takes(const changes_t *changes, uint32_t after, const text_t *name) noexcept nogil:
    """The first step from `after` on that names this header, or their count."""
    cdef uint32_t step, i
    for step in range(after, changes.count):
        for i in range(changes.steps[step].count):
            if names_text(&changes.steps[step].items[i], name):
                return step
    return changes.count


cdef bint takes_away(const changes_t *changes, const text_t *name) noexcept nogil:
    return step_that_takes(changes, changes.out, name) < changes.count


cdef uint32_t step_of(const changes_t *changes, const message_t *m, uint32_t index) noexcept nogil:
    """The first step of the way that takes this header away, or the number of steps."""
    cdef uint32_t step, i
    for step in range(changes.count):
        for i in range(changes.steps[step].count):
            if names(&changes.steps[step].items[i], m, &m.headers[index]):
                return step
    return changes.count


cdef inline void keep_line(undo_t *undo, const char *line, uint32_t len) noexcept nogil:
    """Keeps a line that the way out takes, for a later branch that goes another way (undo_t)."""
    if undo != NULL:
        undo.taken_len += put(undo.taken + undo.taken_len, line, len)


cdef int cut_headers(edits_t *edits, const changes_t *changes, const message_t *m, undo_t *undo) noexcept nogil:
    """Takes away what any step names, neighbours in one cut; returns how many headers went."""
    cdef uint32_t first = 0
    cdef uint32_t i, step
    cdef int gone = 0
    for i in range(m.header_count + 1):
        step = step_of(changes, m, i) if i < m.header_count else changes.count
        if step < changes.count:
            gone += 1
            if step >= changes.out:
                keep_line(undo, m.buf + m.headers[i].name_off, m.headers[i].end_off - m.headers[i].name_off)
            continue
        if i > first:
            edit_delete(edits, m.headers[first].name_off, m.headers[i - 1].end_off - m.headers[first].name_off)
        first = i + 1
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


cdef int write_line(edits_t *edits, const header_edit_t *edit, const message_t *m, const text_t *source,
                    const text_t *tag, text_t *line) noexcept nogil:
    """E_ROOM when the list has no room for it."""
    cdef uint32_t room = edit.name.len + LINE_ROOM
    cdef uint32_t i
    cdef text_t text
    cdef char *at
    for i in range(edit.piece_count):
        room += value_of(&edit.pieces[i], m, tag, source).len
    at = take_room(edits, room)
    if at == NULL:
        return E_ROOM
    line.at = at
    line.len = put(at, edit.name.at, edit.name.len)
    line.len += put(at + line.len, b": ", 2)
    for i in range(edit.piece_count):
        text = value_of(&edit.pieces[i], m, tag, source)
        line.len += put(at + line.len, text.at, text.len)
    line.len += put(at + line.len, b"\r\n", 2)
    return OK


cdef int insert_headers(edits_t *edits, const changes_t *changes, uint32_t step, const message_t *m,
                        const text_t *source, const text_t *tag, undo_t *undo) noexcept nogil:
    """What this step sets and no later one takes away; how many came."""
    cdef const header_edit_t *edit
    cdef uint32_t i, taken_by
    cdef text_t line
    cdef int came = 0
    for i in range(changes.steps[step].count):
        edit = &changes.steps[step].items[i]
        taken_by = step_that_takes(changes, step + 1, &edit.name)
        if edit.piece_count == 0 or (taken_by < changes.count and not (step < changes.out <= taken_by)):
            continue
        if write_line(edits, edit, m, source, tag, &line) < 0:
            return came
        if taken_by < changes.count:
            keep_line(undo, line.at, line.len)
            continue
        edit_insert(edits, m.headers_end, line.at, line.len)
        came += 1
        if undo != NULL and step >= changes.out:
            undo.brought += line.len
    return came


cdef bint hides_lines(const char *at, uint32_t len) noexcept nogil:
    """Does a byte stand in these lines that others take for the end of a line, or of the text, and we do not?

    A CR without LF, NUL, vertical tab or form feed: what stands behind it would be a header there that no edit saw.
    """
    cdef const char *end = at + len
    cdef int i
    for i in range(3):
        if memchr(at, b"\0\v\f"[i], end - at) != NULL:
            return True
    at = <const char *>memchr(at, c'\r', end - at)
    while at != NULL:
        at += 1
        if at == end or at[0] != c'\n':
            return True
        at = <const char *>memchr(at, c'\r', end - at)
    return False


cdef uint32_t undo_room(const message_t *m) noexcept nogil:
    return m.headers_end + EDIT_ROOM


cdef int edit_headers(edits_t *edits, const changes_t *changes, const message_t *m, const addr_t *source,
                      const text_t *tag, undo_t *undo) noexcept nogil:
    cdef int more = -cut_headers(edits, changes, m, undo)
    cdef char address[ADDRESS_ROOM]
    cdef text_t peer
    cdef uint32_t step
    peer.at = address
    peer.len = <uint32_t>write_address(source, address, False)
    for step in range(changes.count):
        more += insert_headers(edits, changes, step, m, &peer, tag, undo)
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


cdef int add_step(changes_t *changes, const header_edits_t *step) noexcept nogil:
    if step.count == 0 or (changes.count and changes.steps[changes.count - 1] == step):
        return OK
    if changes.count == MAX_STEPS:
        return E_ROOM
    changes.steps[changes.count] = step
    changes.count += 1
    return OK


cdef int add_sets_at(const table_t *table, const addr_t *to, changes_t *changes) noexcept nogil:
    """Of a next hop by route nobody has said which set is meant: what any of them takes off stays outside."""
    cdef int found = find_by_address(table, to)
    cdef const destination_t *d
    while found >= 0:
        d = &table.destinations[found]
        if add_step(changes, &table.sets[d.set_index].headers_out) < 0:
            return E_ROOM
        found = <int>d.next_edited - 1
    return OK


cdef int gather_changes(const table_t *table, const header_edits_t *of_rule, int destination, uint32_t token_set,
                        const addr_t *to, uint32_t listener_id, changes_t *changes) noexcept nogil:
    cdef const listener_t *by
    cdef int code = OK
    changes.count = 0
    if of_rule != NULL:
        add_step(changes, of_rule)
    changes.out = changes.count
    if not table.edits_out:
        return OK
    if destination >= 0:
        code = add_step(changes, &table.sets[table.destinations[destination].set_index].headers_out)
    else:
        if token_set:
            add_step(changes, &table.sets[token_set - 1].headers_out)
        code = add_sets_at(table, to, changes)
    by = find_listener(table, listener_id)
    if code == OK and by != NULL:
        code = add_step(changes, &by.headers_out)
    return code
