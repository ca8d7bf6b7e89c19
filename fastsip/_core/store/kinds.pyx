"""The table of kinds: one row for each kind of slot, and the same rows as the head of a file has them.

A scan, a check for damage, a copy of a store walk the table; nothing asks "a server, or else a branch".  Another
kind is one row more here and its number in records.  Blocks are named by words of the record, eight bytes each, so
that a set of bits says which: these bits, and the highest state, stand in the head of each file (slots), and code that
does not know a kind keeps its slots and blocks by them (docs/core.md#kinds).

Must never: be asked on the packet path, where is_server and is_child (records) say the same without a table.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from fastsip._core.base.types cimport MAX_ATTEMPTS
from fastsip._core.base.check cimport check
from fastsip._core.store.records cimport (
    CLIENT_ACCEPTED, CLIENT_HAS_ACK, KIND_CLIENT_INVITE, KIND_CLIENT_OTHER, KIND_SERVER_INVITE, KIND_SERVER_OTHER,
    SERVER_ENDED, identity_t, record_t,
)

cdef enum:
    NUMBERS = 256           # that a commit word has room for

cdef kind_t kinds[NUMBERS]


cdef bint is_no_server(const record_t *record, const identity_t *identity) noexcept nogil:
    return record.server.attempt_count > MAX_ATTEMPTS


cdef bint is_no_client(const record_t *record, const identity_t *identity) noexcept nogil:
    """A request is longer than what of it stands at the end of its block."""
    cdef uint32_t behind = <uint32_t>identity.client.ruri_len + identity.client.taken_len
    return (not record.client.flags & CLIENT_HAS_ACK and record.client.request.len != 0
            and record.client.request.len <= behind)


cdef inline uint32_t word_at(const void *block) noexcept nogil:
    """The bit of a block_t of the record at address 0."""
    check(<uint64_t>block % 8 == 0)
    check(<uint64_t>block // 8 < RECORD_WORDS)
    return <uint32_t>1 << (<uint64_t>block // 8)


cdef void know(int number, uint8_t family, bint is_child, uint8_t last_state, uint32_t blocks,
               contradicts_t contradicts) noexcept nogil:
    cdef kind_t *kind = &kinds[number]
    check(kind.family == NO_FAMILY)     # no number stands for two kinds
    check(number != 0)                  # which is that of a free slot, and of no row in the head of a file
    kind.family, kind.is_child, kind.last_state, kind.blocks = family, is_child, last_state, blocks
    kind.contradicts = contradicts


cdef void know_all() noexcept nogil:
    cdef const record_t *none = NULL
    cdef uint32_t of_server = (word_at(&none.server.kept) | word_at(&none.server.response)
                               | word_at(&none.server.best))
    cdef uint32_t of_client = word_at(&none.client.request)
    know(KIND_SERVER_INVITE, SERVER_FAMILY, False, SERVER_ENDED, of_server, is_no_server)
    know(KIND_SERVER_OTHER, SERVER_FAMILY, False, SERVER_ENDED, of_server, is_no_server)
    know(KIND_CLIENT_INVITE, CLIENT_FAMILY, True, CLIENT_ACCEPTED, of_client, is_no_client)
    know(KIND_CLIENT_OTHER, CLIENT_FAMILY, True, CLIENT_ACCEPTED, of_client, is_no_client)


know_all()


cdef const kind_t *all_kinds() noexcept nogil:
    return kinds


cdef void list_kinds(kind_row_t *rows) noexcept nogil:
    cdef int number
    cdef int count = 0
    memset(rows, 0, KIND_ROWS * sizeof(kind_row_t))
    for number in range(<int>NUMBERS):
        if kinds[number].family != NO_FAMILY and count < KIND_ROWS:
            rows[count].kind = <uint8_t>number
            rows[count].last_state = kinds[number].last_state
            rows[count].blocks = kinds[number].blocks
            count += 1


cdef const kind_row_t *find_row(const kind_row_t *rows, int kind) noexcept nogil:
    cdef int i
    for i in range(<int>KIND_ROWS):
        if kind != 0 and rows[i].kind == kind:
            return &rows[i]
    return NULL
