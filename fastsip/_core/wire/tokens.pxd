# The token in our Record-Route: what in-dialog requests bring back (R5, docs/design.md#shape).  See tokens.pyx.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from fastsip._core.base.types cimport span_t
from fastsip._core.base.check cimport check
from fastsip._core.sip.types cimport message_t
from fastsip._core.routing.types cimport destination_t, table_t

cdef enum:
    TOKEN_LETTERS = 36
    PAIR_LETTERS = 24        # of the second value of a pair
    OLD_LETTERS = 30         # of version 0
    PASSAGE_BITS = 30        # leg 20, home 10

# What a token says, by short ids (types.pxd).
cdef struct token_t:
    uint32_t listener
    uint32_t of_set         # 0 = none of ours was chosen
    uint32_t destination    # 0 = none
    uint32_t stand_in       # 0 = none; or, of another set, the destination at the other end (is_other_border)
    uint32_t passage        # by which the dialog went through us (passage_of); 0 = of version 0
    bint of_pair            # the second value of a pair: it has no destination and no stand-in
    bint of_caller          # the destination made the dialog; else it is who was called
    bint from_caller        # read: the request goes the way of the one that made the dialog

# What tokens of one message are bound to, each hashed when the first token asks for it; zero it before.
cdef struct dialog_t:
    uint64_t digests[2][2]  # [key][0 = by the From tag, 1 = by the To tag]
    uint8_t made            # bits, [2 * key + side]

# Does the set of this destination change headers, and can it be told from one that stands in within `of_set`?
cdef bint is_other_border(const table_t *table, const destination_t *d, uint32_t of_set) noexcept nogil

# The passage of a branch with this value: it differs by attempt, and whenever the dialog passes us again.
cdef inline uint32_t passage_of(const table_t *table, uint64_t branch) noexcept nogil:
    check(table.node >> 10 == 0)
    return <uint32_t>(branch & 0xFFFFF) << 10 | table.node

# What tokens are bound to that are written for `m`, the request that makes the dialog.
cdef uint64_t dialog_of(const table_t *table, const message_t *m) noexcept nogil

# Writes TOKEN_LETTERS letters, PAIR_LETTERS for a second value; how many.
cdef int write_token(const table_t *table, uint64_t of_dialog, const token_t *token, char *out) noexcept nogil

# OK if this user part of a Route or Request-URI is a token of this dialog, E_BAD if it
# looks like a token and is not, E_NONE for any other text.
cdef int read_token(const table_t *table, const message_t *m, const span_t *user, dialog_t *dialog,
                    token_t *token) noexcept nogil
