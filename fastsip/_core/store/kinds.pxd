# What the store has to know of each kind of slot in order to keep it.  See kinds.pyx.

from libc.stdint cimport uint8_t, uint32_t
from fastsip._core.store.records cimport block_t, identity_t, record_t

cdef enum:
    KIND_ROWS = 12          # for which the head of a file has room
    RECORD_WORDS = 8        # of eight bytes: places in which a record may name a block

cdef enum family_id:
    NO_FAMILY = 0           # no kind of ours
    SERVER_FAMILY = 1
    CLIENT_FAMILY = 2

# Is something there that no commit of ours can have written?
ctypedef bint (*contradicts_t)(const record_t *record, const identity_t *identity) noexcept nogil

cdef struct kind_t:
    uint8_t family          # family_id
    uint8_t is_child        # a part of the slot that `parent` names, which publishes it
    uint8_t last_state
    uint32_t blocks         # bit n: word n of the record is a block_t
    contradicts_t contradicts

# What the head of a file says of a kind, for code that does not know it.
cdef struct kind_row_t:
    uint8_t kind            # 0 = no row
    uint8_t last_state
    uint8_t reserve[2]
    uint32_t blocks

cdef inline const block_t *block_in(const record_t *record, int word) noexcept nogil:
    return <const block_t *>(record.raw + 8 * word)

# [kind], any that a commit word can name: what is not known is of NO_FAMILY.
cdef const kind_t *all_kinds() noexcept nogil
# All KIND_ROWS of them.
cdef void list_kinds(kind_row_t *rows) noexcept nogil
# The row of a kind, or NULL.
cdef const kind_row_t *find_row(const kind_row_t *rows, int kind) noexcept nogil
