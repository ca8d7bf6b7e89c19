"""Tokens: what our Record-Route remembers for us (docs/wire.md#record-route-token).

Thirty letters of base32 in the user part, where peers keep what they do not
understand: 5 for version, listener and set, 12 for destination and stand-in, 13
for a keyed hash over these, the Call-ID and the tag of the one that made the
dialog.  A request of that dialog carries this tag in From or in To, which is its
direction.  Compared without case, tags too (7.3.1).  The key has no number of its
own: while keys change, both are tried.

A token that does not verify says nothing; what is done then is in proxy/in_dialog.
"""

from libc.stdint cimport uint32_t, uint64_t

from fastsip._core.base.types cimport E_BAD, E_NONE, OK, span_t
from fastsip._core.base.check cimport check
from fastsip._core.base.hashing cimport (
    hash_add, hash_add_lower, hash_add_number, hash_begin, hash_end, read_base32, siphash_t, write_base32,
)
from fastsip._core.sip.types cimport message_t
from fastsip._core.routing.types cimport destination_t, set_t, table_t

cdef enum:
    VERSION = 0             # 2 bits
    HEAD_BITS = 25          # version 2, reserve 2 (zero), of_caller 1, listener 10, set 10
    HEAD_LETTERS = 5
    IDS_BITS = 60           # destination 30, stand-in 30
    IDS_LETTERS = 12
    MAC_LETTERS = 13


def token_letters() -> int:
    """How many letters of base32 a token has."""
    return TOKEN_LETTERS


cdef uint64_t digest(const uint64_t *key, const message_t *m, const span_t *tag) noexcept nogil:
    """Of what the sender may make long: once a message, however many tokens it brings."""
    cdef siphash_t h
    hash_begin(&h, key)
    hash_add_number(&h, <uint64_t>tag.len << 16 | m.call_id.len)
    hash_add(&h, m.buf + m.call_id.off, m.call_id.len)
    hash_add_lower(&h, m.buf + tag.off, tag.len)
    return hash_end(&h)


cdef uint64_t sign(const uint64_t *key, uint64_t of_dialog, uint64_t head, uint64_t ids) noexcept nogil:
    cdef siphash_t h
    hash_begin(&h, key)
    hash_add_number(&h, of_dialog)
    hash_add_number(&h, head)
    hash_add_number(&h, ids)
    return hash_end(&h)


cdef void make_digests(const table_t *table, const message_t *m, dialog_t *dialog) noexcept nogil:
    cdef uint32_t key
    if dialog.made:
        return
    dialog.made = 1
    for key in range(table.token_key_count):
        dialog.digests[key][0] = digest(table.token_keys[key], m, &m.from_tag)
        if m.to_tag.len:
            dialog.digests[key][1] = digest(table.token_keys[key], m, &m.to_tag)


cdef bint is_other_border(const table_t *table, const destination_t *d, uint32_t of_set) noexcept nogil:
    cdef const set_t *other = &table.sets[d.set_index]
    return other.headers_out.count > 0 and (other.short_id != of_set or not other.in_dialog)


cdef inline bint fits(const token_t *token) noexcept nogil:
    """For a check: each short id within its bits (table.LISTENER_BITS, SET_BITS, DESTINATION_BITS)."""
    return not ((token.listener | token.of_set) >> 10 or (token.destination | token.stand_in) >> 30)


cdef int write_token(const table_t *table, const message_t *m, const token_t *token, char *out) noexcept nogil:
    cdef uint64_t head = (<uint64_t>VERSION << 23 | <uint64_t>(token.of_caller != 0) << 20
                          | <uint64_t>token.listener << 10 | token.of_set)
    cdef uint64_t ids = <uint64_t>token.destination << 30 | token.stand_in
    cdef int n = write_base32(head, HEAD_BITS, out)
    check(fits(token))
    n += write_base32(ids, IDS_BITS, out + n)
    n += write_base32(sign(table.token_keys[0], digest(table.token_keys[0], m, &m.from_tag), head, ids), 64, out + n)
    check(n == TOKEN_LETTERS)
    return n


cdef int read_token(const table_t *table, const message_t *m, const span_t *user, dialog_t *dialog,
                    token_t *token) noexcept nogil:
    cdef const char *at = m.buf + user.off
    cdef uint64_t head, ids, mac
    cdef uint32_t key
    if (user.len != TOKEN_LETTERS or read_base32(at, HEAD_LETTERS, HEAD_BITS, &head) < 0
            or read_base32(at + HEAD_LETTERS, IDS_LETTERS, IDS_BITS, &ids) < 0
            or read_base32(at + HEAD_LETTERS + IDS_LETTERS, MAC_LETTERS, 64, &mac) < 0 or head >> 21 != VERSION << 2):
        return E_NONE
    token.of_caller = (head >> 20 & 1) != 0
    token.listener = <uint32_t>(head >> 10) & 0x3FF
    token.of_set = <uint32_t>head & 0x3FF
    token.destination = <uint32_t>(ids >> 30)
    token.stand_in = <uint32_t>ids & 0x3FFFFFFF
    check(fits(token))
    make_digests(table, m, dialog)
    for key in range(table.token_key_count):
        token.from_caller = sign(table.token_keys[key], dialog.digests[key][0], head, ids) == mac
        if token.from_caller or (m.to_tag.len
                                 and sign(table.token_keys[key], dialog.digests[key][1], head, ids) == mac):
            return OK
    return E_BAD
