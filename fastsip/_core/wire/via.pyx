"""Branches, hints and Via values (docs/wire.md#our-branch).

The branch is a keyed hash of what the request brings, so that a node without
its store, or another node with the same secret, can make it again.  It covers the place
that answers to the request go to: who has seen a branch cannot have replies sent elsewhere.  The hint
(our Via parameter "fs") leads a reply straight to its slot; it is only ever
believed after the slot's own branch was compared.  Behind the branch's dot and at
the end of the hint stand the two halves of what loops are told by.  Tokens are compared without
case (7.3.1), hence base32.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from fastsip._core.base.types cimport E_BAD, MAX_ATTEMPTS, MAX_SENT_BY, OK, PARTITIONS, put, put_number, span_t, text_t
from fastsip._core.base.check cimport check
from fastsip._core.base.address cimport T_TCP, T_TLS, T_UDP, T_WS, T_WSS, addr_t, is_well_formed
from fastsip._core.base.hashing cimport (
    hash_add, hash_add_lower, hash_add_number, hash_begin, hash_end, mix, read_base32, siphash_t, write_base32,
)
from fastsip._core.sip.types cimport (
    HOST_IPV4, HOST_IPV6, METHOD_COUNT, M_ACK, M_INVITE, S_SIP, is_within, message_t, via_t,
)
from fastsip._core.sip.uri cimport parse_address, usual_port, write_address
from fastsip._core.store.records cimport KIND_SERVER_INVITE, KIND_SERVER_OTHER, is_server
from fastsip._core.store.slots cimport NO_SLOT, SLOT_BITS, SLOT_MASK, hash_call, index_find, partition_of_hash, store_t
from fastsip._core.routing.types cimport listener_t, table_t

cdef enum:
    MAGIC_LEN = 7           # of z9hG4bK (8.1.1.7)
    BRANCH_LETTERS = 13     # 64 bits
    HINT_LETTERS = 16       # 80 bits: generation 32, index 26, partition 6, epoch 16
    LOOP_LETTERS = 6        # 30 bits, of each half
    LOOP_BITS = 30
    LONGEST_BEGINNING = 17  # of a Via: a copy of known length is a few moves


# How a Via of ours begins, by the transport of its listener.
BEGINNINGS = {
    T_UDP: b"Via: SIP/2.0/UDP ", T_TCP: b"Via: SIP/2.0/TCP ", T_TLS: b"Via: SIP/2.0/TLS ", T_WS: b"Via: SIP/2.0/WS ",
    T_WSS: b"Via: SIP/2.0/WSS ",
}
cdef text_t[8] PROTOCOLS                # [transport_id]
cdef bytes _beginning
for _transport, _beginning in BEGINNINGS.items():
    PROTOCOLS[_transport].at = _beginning       # BEGINNINGS keeps the bytes alive
    PROTOCOLS[_transport].len = len(_beginning)


# What a call's partition goes by, and a part of each of its keys: made once for both.
cdef inline uint64_t call_hash(const store_t *store, const message_t *m) noexcept nogil:
    check(is_within(m, &m.call_id))
    return hash_call(store, m.buf + m.call_id.off, m.call_id.len)


cdef uint64_t request_hash(const store_t *store, const message_t *m, const via_t *via, uint64_t call) noexcept nogil:
    """`via` is the sender's, `call` the hash of the Call-ID that partitions go by.

    Peers repeat branches that should be unique, and share private sent-by addresses: Call-ID and CSeq number
    tell their requests apart (docs/wire.md#matching-a-request); repetitions, ACK of a failure and CANCEL have the same.
    """
    cdef siphash_t h
    check(is_within(m, &via.branch))
    check(is_within(m, &via.host))
    hash_begin(&h, store.hash_key)
    if via.magic:
        hash_add_number(&h, call)
        hash_add_lower(&h, m.buf + via.branch.off, via.branch.len)
        hash_add_number(&h, <uint64_t>via.host.len << 32 | <uint64_t>via.branch.len << 16 | via.port)
        hash_add_lower(&h, m.buf + via.host.off, via.host.len)
        hash_add_number(&h, m.cseq)
        return hash_end(&h)
    # RFC 2543: no branch that could be trusted to be unique (17.2.3).  A CANCEL or
    # an ACK repeats the INVITE's Request-URI, From tag, Call-ID, CSeq number and Via.
    hash_add_number(&h, <uint64_t>m.ruri.len << 32 | m.cseq)
    hash_add(&h, m.buf + m.ruri.off, m.ruri.len)
    hash_add_number(&h, <uint64_t>m.from_tag.len << 32 | m.call_id.len)
    hash_add(&h, m.buf + m.from_tag.off, m.from_tag.len)
    hash_add(&h, m.buf + m.call_id.off, m.call_id.len)
    hash_add(&h, m.buf + via.off, via.len)
    return hash_end(&h)


cdef uint64_t server_key(const store_t *store, const message_t *m, bint as_invite) noexcept nogil:
    """The method as well (17.2.3).  Unknown methods are one: a CSeq number has but one request (12.2.1.1)."""
    cdef uint64_t hash = request_hash(store, m, &m.via, call_hash(store, m))
    check(m.method < METHOD_COUNT)
    return mix(hash, M_INVITE if as_invite or m.method == M_ACK else m.method)


cdef uint32_t find_server(const store_t *store, const message_t *m, int kind, uint64_t *key) noexcept nogil:
    """The key is handed back also where nothing is found: the transaction that begins then has it."""
    cdef uint64_t call = call_hash(store, m)
    check(m.is_request)
    check(is_server(kind))
    key[0] = mix(request_hash(store, m, &m.via, call), M_INVITE if m.method == M_ACK else m.method)
    return index_find(store, partition_of_hash(call), key[0], kind)


cdef uint32_t find_asker(const store_t *store, const message_t *m, const via_t *below) noexcept nogil:
    cdef uint64_t call = call_hash(store, m)
    check(not m.is_request)
    if not below.magic:         # what RFC 2543 goes by stands in the request alone
        return NO_SLOT
    return index_find(store, partition_of_hash(call),
                      mix(request_hash(store, m, below, call), M_INVITE), KIND_SERVER_INVITE)


cdef uint32_t find_cancelled(const store_t *store, const message_t *m) noexcept nogil:
    """A CANCEL does not say what it cancels: an INVITE nearly always, else any method is looked for."""
    cdef uint64_t call = call_hash(store, m)
    cdef uint64_t hash = request_hash(store, m, &m.via, call)
    cdef uint32_t partition = partition_of_hash(call)
    cdef uint32_t ref = index_find(store, partition, mix(hash, M_INVITE), KIND_SERVER_INVITE)
    cdef int method
    check(m.is_request)
    for method in range(METHOD_COUNT):
        if ref != NO_SLOT:
            break
        ref = index_find(store, partition, mix(hash, method), KIND_SERVER_OTHER)
    return ref


cdef int via_address(const char *buf, const via_t *via, int transport, addr_t *to) noexcept nogil:
    """18.2.2, RFC 3581.  Of a Via that was stamped here this is what reply_address said of its request."""
    cdef const span_t *host = &via.received if via.received.len else &via.host
    cdef uint16_t port = via.rport if via.rport else (via.port if via.port else usual_port(S_SIP, transport))
    cdef int code = parse_address(buf + host.off, host.len, HOST_IPV4, port, to)
    if code < 0:
        code = parse_address(buf + host.off, host.len, HOST_IPV6, port, to)
    to.transport = <uint8_t>transport
    check(is_well_formed(to))
    return code


cdef void begin_branch(const uint64_t *key, const message_t *m, const via_t *via, const addr_t *place,
                       siphash_t *h) noexcept nogil:
    """All but the attempt's number, which comes last: whoever tries them all hashes the texts once."""
    cdef const uint8_t *ip = &place.ip[0]
    check(is_within(m, &via.branch))
    check(is_within(m, &m.from_tag))
    hash_begin(h, key)
    hash_add_lower(h, m.buf + via.branch.off, via.branch.len)
    hash_add_number(h, <uint64_t>place.port << 48 | <uint64_t>via.host.len << 32 | <uint64_t>via.branch.len << 16
                    | via.port)
    hash_add_lower(h, m.buf + via.host.off, via.host.len)
    if place.family == 4:
        hash_add_number(h, <uint64_t>ip[12] << 24 | <uint64_t>ip[13] << 16 | <uint64_t>ip[14] << 8 | ip[15])
    else:
        hash_add(h, <const char *>ip, 16)
    hash_add(h, m.buf + m.call_id.off, m.call_id.len)
    hash_add_number(h, <uint64_t>m.call_id.len << 32 | m.cseq)
    hash_add(h, m.buf + m.from_tag.off, m.from_tag.len)


cdef uint64_t finish_branch(const siphash_t *begun, const message_t *m, uint32_t attempt) noexcept nogil:
    cdef siphash_t h = begun[0]
    check(attempt < MAX_ATTEMPTS)
    hash_add_number(&h, <uint64_t>m.from_tag.len << 32 | attempt)
    return hash_end(&h)


cdef uint64_t branch_value(const table_t *table, const message_t *m, const via_t *via, const addr_t *place,
                           uint32_t attempt) noexcept nogil:
    cdef siphash_t h
    begin_branch(table.branch_key, m, via, place, &h)
    return finish_branch(&h, m, attempt)


cdef bint is_made_with(const uint64_t *key, const message_t *m, const via_t *via, const addr_t *place,
                       uint64_t value) noexcept nogil:
    cdef siphash_t h
    cdef uint32_t attempt
    begin_branch(key, m, via, place, &h)
    for attempt in range(MAX_ATTEMPTS):
        if finish_branch(&h, m, attempt) == value:
            return True
    return False


cdef bint is_our_branch(const table_t *table, const message_t *m, const via_t *via, const addr_t *place,
                        uint64_t value) noexcept nogil:
    """While secrets change, nodes that have not heard of it and branches from before make them with the other one."""
    return (is_made_with(table.branch_key, m, via, place, value)
            or (table.two_branch_keys and is_made_with(table.other_branch_key, m, via, place, value)))


cdef int write_via(const store_t *store, char *out, const listener_t *listener, uint64_t branch, uint64_t loop,
                   uint32_t ref, uint32_t generation) noexcept nogil:
    """A whole Via line with its line end; at most VIA_ROOM bytes."""
    cdef const text_t *protocol = &PROTOCOLS[listener.addr.transport]
    cdef int n = <int>protocol.len
    cdef uint32_t index = ref & SLOT_MASK
    check(protocol.len > 0)         # a listener's transport has a beginning
    check(listener.sent_by.len <= MAX_SENT_BY)
    check(loop >> 2 * LOOP_BITS == 0)
    put(out, protocol.at, LONGEST_BEGINNING)    # the shorter one has a NUL there
    n += put(out + n, listener.sent_by.at, listener.sent_by.len)
    n += put(out + n, b";branch=z9hG4bK", 15)
    n += write_base32(branch, 64, out + n)
    n += put(out + n, b".", 1)
    n += write_base32(loop >> LOOP_BITS, LOOP_BITS, out + n)
    n += put(out + n, b";fs=", 4)
    n += write_base32(<uint64_t>generation << 8 | index & 0xFF, 40, out + n)
    n += write_base32(<uint64_t>(index >> 8) << 22 | <uint64_t>(ref >> SLOT_BITS) << 16 | store.epoch & 0xFFFF,
                      40, out + n)
    n += write_base32(loop, LOOP_BITS, out + n)
    n += put(out + n, b"\r\n", 2)
    check(n <= VIA_ROOM)
    return n


cdef int read_loop(const char *buf, const via_t *via, uint64_t *loop) noexcept nogil:
    """Told by its lengths first: nearly every Via below ours is another's, and none of its letters are looked at."""
    cdef uint64_t first, second
    if via.branch.len != BRANCH_TEXT or via.hint.len != HINT_TEXT:
        return E_BAD
    if (read_base32(buf + via.branch.off + BRANCH_TEXT - LOOP_LETTERS, LOOP_LETTERS, LOOP_BITS, &first) < 0
            or read_base32(buf + via.hint.off + HINT_LETTERS, LOOP_LETTERS, LOOP_BITS, &second) < 0):
        return E_BAD
    loop[0] = first << LOOP_BITS | second
    check(loop[0] >> 2 * LOOP_BITS == 0)
    return OK


cdef int read_branch(const char *buf, const span_t *branch, uint64_t *value) noexcept nogil:
    if branch.len < MAGIC_LEN + BRANCH_LETTERS:
        return E_BAD
    return read_base32(buf + branch.off + MAGIC_LEN, BRANCH_LETTERS, 64, value)


cdef int read_hint(const store_t *store, const char *buf, const span_t *hint, uint32_t *ref,
                   uint32_t *generation) noexcept nogil:
    cdef uint64_t first, second
    cdef uint32_t index, partition
    if hint.len != HINT_TEXT:
        return E_BAD
    if read_base32(buf + hint.off, 8, 40, &first) < 0 or read_base32(buf + hint.off + 8, 8, 40, &second) < 0:
        return E_BAD
    if second & 0xFFFF != store.epoch & 0xFFFF:
        return E_BAD
    index = <uint32_t>(second >> 22) << 8 | <uint32_t>(first & 0xFF)
    partition = <uint32_t>(second >> 16) & (PARTITIONS - 1)
    if index >= store.hinted[partition] and index != PROBE:
        return E_BAD
    check(index <= SLOT_MASK)
    ref[0] = partition << SLOT_BITS | index
    generation[0] = <uint32_t>(first >> 8)
    return 0


cdef bint is_source(const message_t *m, const addr_t *source) noexcept nogil:
    """Is the topmost Via's host the address the request came from?"""
    cdef addr_t sent_by
    check(is_within(m, &m.via.host))
    if m.via.host_kind != HOST_IPV4 and m.via.host_kind != HOST_IPV6:
        return False
    if parse_address(m.buf + m.via.host.off, m.via.host.len, m.via.host_kind, 0, &sent_by) < 0:
        return False
    return memcmp(sent_by.ip, source.ip, 16) == 0


cdef void stamp_received(const message_t *m, const addr_t *source, stamp_t *stamp) noexcept nogil:
    """Instead of a value that the sender wrote, else as a parameter of its own before all others."""
    cdef int n = 0
    if m.via.received_off:
        stamp.off = m.via.received_off
        stamp.cut = m.via.received_end - m.via.received_off
        n += put(stamp.text, b"=", 1)
    else:
        stamp.off = m.via.params_off
        stamp.cut = 0
        n += put(stamp.text, b";received=", 10)
    stamp.len = n + write_address(source, stamp.text + n, False)
    check(stamp.len <= STAMPS_ROOM)
    check(<uint32_t>stamp.off + stamp.cut <= m.headers_end)


cdef void stamp_rport(const message_t *m, const addr_t *source, stamp_t *stamp) noexcept nogil:
    """RFC 3581 section 4; without a received of the sender's, ours follows."""
    cdef int n = put(stamp.text, b"=", 1)
    stamp.off = m.via.rport_off
    stamp.cut = m.via.rport_end - m.via.rport_off
    n += put_number(stamp.text + n, source.port)
    if not m.via.received_off:
        n += put(stamp.text + n, b";received=", 10)
        n += write_address(source, stamp.text + n, False)
    stamp.len = n
    check(stamp.len <= STAMPS_ROOM)
    check(<uint32_t>stamp.off + stamp.cut <= m.headers_end)


cdef int stamp_via(const message_t *m, const addr_t *source, stamp_t *stamps) noexcept nogil:
    """What the sender itself wrote there is never believed: each parameter stands once (7.3.1), with what we saw.

    A Via that is readable up to its host only, on the way to its 400, stays as it is.
    """
    cdef bint rport_first = m.via.rport_off < m.via.received_off
    if not m.via.params_off:
        return 0
    if not m.via.rport_off:
        if is_source(m, source) and not m.via.received_off:
            return 0
        stamp_received(m, source, &stamps[0])
        return 1
    stamp_rport(m, source, &stamps[0 if rport_first or not m.via.received_off else 1])
    if not m.via.received_off:
        return 1
    stamp_received(m, source, &stamps[1 if rport_first else 0])
    check(stamps[0].off + stamps[0].cut <= stamps[1].off)
    return 2


cdef void reply_address(const message_t *m, const addr_t *source, addr_t *to) noexcept nogil:
    """18.2.2: to the address that it came from; to its port, too, if the sender asked for that (RFC 3581 section 4),
    else to the port that its Via names.  The Via's maddr, which 18.2.2 puts first for multicast, is not looked at: who
    writes one could have answers sent to anybody.
    """
    check(m.is_request)
    check(is_well_formed(source))
    to[0] = source[0]
    if not m.via.rport_off:
        to.port = m.via.port if m.via.port else usual_port(S_SIP, source.transport)


cdef uint64_t local_tag(uint64_t key) noexcept nogil:
    """The To tag of our own answers to the request of this key: the same each time it is asked.

    mix can be undone, this sum cannot: where keys stand in the index is nobody's business.
    """
    return mix(key, 0x746F) + key


cdef bint has_local_tag(const message_t *m, uint64_t key) noexcept nogil:
    cdef uint64_t tag
    check(is_within(m, &m.to_tag))
    if m.to_tag.len != BRANCH_LETTERS or read_base32(m.buf + m.to_tag.off, BRANCH_LETTERS, 64, &tag) < 0:
        return False
    return tag == local_tag(key)


# ---------------------------------------------------------------- at import

assert max(map(len, BEGINNINGS.values())) == LONGEST_BEGINNING <= min(map(len, BEGINNINGS.values())) + 1
assert VIA_ROOM == (LONGEST_BEGINNING + len(b";branch=;fs=\r\n")
                    + MAX_SENT_BY + BRANCH_TEXT + HINT_TEXT)
assert MAGIC_LEN + BRANCH_LETTERS + 1 + LOOP_LETTERS == BRANCH_TEXT and HINT_LETTERS + LOOP_LETTERS == HINT_TEXT
assert STAMPS_ROOM >= len(b"=65535;received=") + len(b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
