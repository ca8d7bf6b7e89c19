# The token in our Record-Route: what in-dialog requests bring back (R5, docs/design.md#shape).  See tokens.pyx.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from fastsip._core.base.types cimport span_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.routing.types cimport destination_t, table_t

cdef enum:
    TOKEN_LETTERS = 30

# What a token says, by short ids (types.pxd).
cdef struct token_t:
    uint32_t listener
    uint32_t of_set         # 0 = none of ours was chosen
    uint32_t destination    # 0 = none
    uint32_t stand_in       # 0 = none; or, of another set, the destination at the other end (is_other_border)
    bint of_caller          # the destination made the dialog; else it is who was called
    bint from_caller        # read: the request goes the way of the one that made the dialog

# What tokens of one message are bound to, hashed when the first is read; zero it before.
cdef struct dialog_t:
    uint64_t digests[2][2]  # [key][0 = by the From tag, 1 = by the To tag]
    uint8_t made

# Does the set of this destination change headers, and can it be told from one that stands in within `of_set`?
cdef bint is_other_border(const table_t *table, const destination_t *d, uint32_t of_set) noexcept nogil

# Writes TOKEN_LETTERS letters.  `m` is the request that makes the dialog.
cdef int write_token(const table_t *table, const message_t *m, const token_t *token, char *out) noexcept nogil

# OK if this user part of a Route or Request-URI is a token of this dialog, E_BAD if it
# looks like a token and is not, E_NONE for any other text.
cdef int read_token(const table_t *table, const message_t *m, const span_t *user, dialog_t *dialog,
                    token_t *token) noexcept nogil
