"""Tokens: what our Record-Route remembers for us (docs/wire.md#record-route-token).

Letters of base32 in the user part, where peers keep what they do not understand:

    whole     head 5   ids 12   passage 6   hash 13     36 letters
    of a pair head 5            passage 6   hash 13     24, the second value of two (RFC 5658)
    version 0 head 5   ids 12               hash 13     30, read as long as calls have them

The head says version, kind, whether the destination made the dialog, listener and set; the ids are destination and
stand-in; the passage is the branch of ours by which the dialog went through us, and the node that this was.  The
keyed hash is over all of these, the Call-ID and the tag of the one that made the dialog: a request of that dialog
carries this tag in From or in To, which is its direction.  Compared without case, tags too (7.3.1).  The key has no
number of its own: while keys change, both are tried.

A token that does not verify says nothing; what is done then is in in_dialog.
"""

from libc.stdint cimport uint32_t, uint64_t

from fastsip._core.base.types cimport E_BAD, E_NONE, OK, span_t
from fastsip._core.base.check cimport check
from fastsip._core.base.hashing cimport (
    hash_add, hash_add_lower, hash_add_number, hash_begin, hash_end, read_base32, siphash_t, write_base32,
)
from fastsip._core.sip.types cimport is_within, message_t
from fastsip._core.routing.types cimport destination_t, set_t, table_t

cdef enum:
    VERSION = 1             # 2 bits
    WHOLE = 0               # kinds, 2 bits; others are for what is no Record-Route
    OF_A_PAIR = 1
    HEAD_BITS = 25          # version 2, kind 2, of_caller 1, listener 10, set 10
    HEAD_LETTERS = 5
    IDS_BITS = 60           # destination 30, stand-in 30
    IDS_LETTERS = 12
    PASSAGE_LETTERS = 6
    MAC_LETTERS = 13
assert TOKEN_LETTERS == HEAD_LETTERS + IDS_LETTERS + PASSAGE_LETTERS + MAC_LETTERS
assert PAIR_LETTERS == HEAD_LETTERS + PASSAGE_LETTERS + MAC_LETTERS
assert OLD_LETTERS == HEAD_LETTERS + IDS_LETTERS + MAC_LETTERS


cdef struct letters_t:
    uint64_t head
    uint64_t ids            # 0 of a pair
    uint64_t passage        # 0 of version 0
    uint64_t mac


def token_letters() -> int:
    """How many letters of base32 a token has."""
    return TOKEN_LETTERS


def pair_letters() -> int:
    """The same of the second value of a pair."""
    return PAIR_LETTERS


cdef uint64_t digest(const uint64_t *key, const message_t *m, const span_t *tag) noexcept nogil:
    """Of what the sender may make long: once a message, however many tokens it brings."""
    cdef siphash_t h
    check(is_within(m, tag))
    hash_begin(&h, key)
    hash_add_number(&h, <uint64_t>tag.len << 16 | m.call_id.len)
    hash_add(&h, m.buf + m.call_id.off, m.call_id.len)
    hash_add_lower(&h, m.buf + tag.off, tag.len)
    return hash_end(&h)


# Version 0 had no passage, and its hash must stay what it was: calls that began with it still bring it.
cdef uint64_t sign(const uint64_t *key, uint64_t of_dialog, const letters_t *letters) noexcept nogil:
    cdef siphash_t h
    check(letters.head >> HEAD_BITS == 0)
    check(letters.ids >> IDS_BITS == 0)
    check(letters.passage >> PASSAGE_BITS == 0)
    hash_begin(&h, key)
    hash_add_number(&h, of_dialog)
    hash_add_number(&h, letters.head)
    hash_add_number(&h, letters.ids)
    if letters.head >> 23:
        hash_add_number(&h, letters.passage)
    return hash_end(&h)


cdef bint is_bound(const table_t *table, const message_t *m, const letters_t *letters, uint32_t key, uint32_t by_to,
                   dialog_t *dialog) noexcept nogil:
    """Is this token signed with this key for the dialog that the From tag made, or, `by_to`, the To tag?"""
    cdef const span_t *tag = &m.to_tag if by_to else &m.from_tag
    cdef uint32_t made = 1 << (2 * key + by_to)
    check(key < table.token_key_count)
    if not dialog.made & made:
        dialog.made |= <uint8_t>made
        dialog.digests[key][by_to] = digest(table.token_keys[key], m, tag)
    return sign(table.token_keys[key], dialog.digests[key][by_to], letters) == letters.mac


cdef bint is_other_border(const table_t *table, const destination_t *d, uint32_t of_set) noexcept nogil:
    cdef const set_t *other = &table.sets[d.set_index]
    check(d.set_index < table.set_count)
    return other.headers_out.count > 0 and (other.short_id != of_set or not other.in_dialog)


cdef inline bint fits(const token_t *token) noexcept nogil:
    """For a check: each short id within its bits (table.LISTENER_BITS, SET_BITS, DESTINATION_BITS)."""
    return not ((token.listener | token.of_set) >> 10 or (token.destination | token.stand_in) >> 30)


cdef uint64_t dialog_of(const table_t *table, const message_t *m) noexcept nogil:
    return digest(table.token_keys[0], m, &m.from_tag)


cdef int write_token(const table_t *table, uint64_t of_dialog, const token_t *token, char *out) noexcept nogil:
    cdef letters_t letters
    cdef int n
    letters.head = (<uint64_t>VERSION << 23 | <uint64_t>(OF_A_PAIR if token.of_pair else WHOLE) << 21
                    | <uint64_t>(token.of_caller != 0) << 20 | <uint64_t>token.listener << 10 | token.of_set)
    check(fits(token))
    letters.ids = 0 if token.of_pair else <uint64_t>token.destination << 30 | token.stand_in
    letters.passage = token.passage
    n = write_base32(letters.head, HEAD_BITS, out)
    if not token.of_pair:
        n += write_base32(letters.ids, IDS_BITS, out + n)
    n += write_base32(letters.passage, PASSAGE_BITS, out + n)
    n += write_base32(sign(table.token_keys[0], of_dialog, &letters), 64, out + n)
    check(n == (PAIR_LETTERS if token.of_pair else TOKEN_LETTERS))
    return n


cdef int read_letters(const char *at, uint32_t len, letters_t *letters) noexcept nogil:
    """OK, or E_NONE for what is no token of a Record-Route."""
    cdef uint32_t version, kind
    cdef uint32_t n = HEAD_LETTERS
    letters.ids = letters.passage = 0
    if len < PAIR_LETTERS or read_base32(at, HEAD_LETTERS, HEAD_BITS, &letters.head) < 0:
        return E_NONE
    version, kind = <uint32_t>(letters.head >> 23), <uint32_t>(letters.head >> 21) & 3
    if len != (TOKEN_LETTERS if version == VERSION and kind == WHOLE
               else PAIR_LETTERS if version == VERSION and kind == OF_A_PAIR
               else OLD_LETTERS if version == 0 and kind == WHOLE else 0):
        return E_NONE
    if kind == WHOLE:
        if read_base32(at + n, IDS_LETTERS, IDS_BITS, &letters.ids) < 0:
            return E_NONE
        n += IDS_LETTERS
    if version == VERSION:
        if read_base32(at + n, PASSAGE_LETTERS, PASSAGE_BITS, &letters.passage) < 0:
            return E_NONE
        n += PASSAGE_LETTERS
    check(n + MAC_LETTERS == len)
    return OK if read_base32(at + n, MAC_LETTERS, 64, &letters.mac) >= 0 else E_NONE


cdef int read_token(const table_t *table, const message_t *m, const span_t *user, dialog_t *dialog,
                    token_t *token) noexcept nogil:
    cdef letters_t letters
    cdef uint32_t key
    check(is_within(m, user))
    if read_letters(m.buf + user.off, user.len, &letters) < 0:
        return E_NONE
    token.of_pair = user.len == PAIR_LETTERS
    token.of_caller = (letters.head >> 20 & 1) != 0
    token.listener = <uint32_t>(letters.head >> 10) & 0x3FF
    token.of_set = <uint32_t>letters.head & 0x3FF
    token.destination = <uint32_t>(letters.ids >> 30)
    token.stand_in = <uint32_t>letters.ids & 0x3FFFFFFF
    token.passage = <uint32_t>letters.passage
    check(fits(token))
    for key in range(table.token_key_count):
        token.from_caller = is_bound(table, m, &letters, key, 0, dialog)
        if token.from_caller or (m.to_tag.len and is_bound(table, m, &letters, key, 1, dialog)):
            return OK
    return E_BAD
