"""The borders that a request crosses: the listener it comes in by, the set it goes to, the listener it leaves by.

What these say about headers holds for every request on that way, whichever rule matched and whether any did:
outside and inside of dialogs, ACK and CANCEL, with a transaction and without (docs/wire.md#borders).  What a listener
takes off on the way in nothing behind it sees, rules included: the request is rewritten before it is looked at.
An edit that cannot be made refuses the request; nothing goes on unedited.

Also the other thing that is rewritten before it is looked at: a Request-URI with a maddr of ours (16.4).

Must never: answer, or choose a way.
"""

from libc.stdint cimport uint32_t

from fastsip._core.base.types cimport E_FULL, E_HEADER, E_ROOM, MAX_MESSAGE, OK
from fastsip._core.base.address cimport origin_t
from fastsip._core.base.check cimport check
from fastsip._core.sip.types cimport HOST_IPV6, message_t
from fastsip._core.sip.uri cimport host_port_place, parse_uri, transport_of
from fastsip._core.sip.parser cimport parse_message, parse_routing
from fastsip._core.sip.edits cimport clear_edits, close_headers, edit_delete, write_edits
from fastsip._core.routing.types cimport listener_t
from fastsip._core.routing.header_edits cimport changes_t, edit_headers, hides_lines
from fastsip._core.routing.rules cimport is_own, is_served, port_of
from fastsip._core.state.outbox cimport take_scratch

cdef enum:
    MADDR_LEN = 7           # of ";maddr="


cdef int read_again(shard_t *shard, const char *at, uint32_t len) noexcept nogil:
    cdef int code = parse_message(at, len, &shard.incoming)
    return parse_routing(&shard.incoming) if code == OK else code


cdef int rewrite(shard_t *shard) noexcept nogil:
    """Makes the edits in shard.incoming: it is what was received from now on.  On a code below zero it is as it was."""
    cdef const char *buf = shard.incoming.buf
    cdef uint32_t len = shard.incoming.len
    cdef uint32_t room
    cdef char *at
    cdef int code, again
    if shard.edits.count == 0 and not shard.edits.overflow:
        return OK
    close_headers(&shard.edits, &shard.incoming)
    room = len + shard.edits.growth
    if shard.edits.overflow or room > MAX_MESSAGE:
        return E_ROOM
    at = take_scratch(shard, room)
    if at == NULL:
        return E_FULL
    write_edits(&shard.edits, buf, len, at, room)
    code = read_again(shard, at, room)
    if code < 0:
        again = read_again(shard, buf, len)
        check(again == OK)              # as it was received
    return code


cdef int enter(shard_t *shard, const origin_t *origin) noexcept nogil:
    """Border of the listener that the request came in by: what it takes off nobody behind it sees, rules included."""
    cdef const listener_t *by = &shard.table.listeners[origin.listener]
    cdef changes_t changes
    check(origin.listener < shard.table.listener_count)
    if by.headers_in.count == 0:
        return OK
    if hides_lines(shard.incoming.buf + shard.incoming.headers_off,
                   shard.incoming.headers_end - shard.incoming.headers_off):
        return E_HEADER
    changes.count = 1
    changes.out = 1
    changes.steps[0] = &by.headers_in
    clear_edits(&shard.edits)
    edit_headers(&shard.edits, &changes, &shard.incoming, &origin.flow.remote, &by.tag, NULL)
    return rewrite(shard)


cdef int strip_maddr(shard_t *shard, uri_t *ruri) noexcept nogil:
    """16.4: a maddr that is ours goes from the Request-URI, with the port, which was the maddr's, and the transport."""
    cdef const message_t *m = &shard.incoming
    cdef uint32_t begin, end
    cdef int code
    cdef uint32_t port
    if not ruri.maddr.len or not is_served(shard.table, transport_of(ruri)):
        return OK
    port = port_of(shard.table, ruri.scheme, ruri.transport, ruri.port)
    if not is_own(shard.table, m.buf + ruri.maddr.off, ruri.maddr.len, port):
        return OK
    clear_edits(&shard.edits)
    if port != port_of(shard.table, ruri.scheme, ruri.transport, 0):
        host_port_place(ruri, &begin, &end)
        begin = ruri.host.off + ruri.host.len + (ruri.host_kind == HOST_IPV6)
        check(begin <= end)
        edit_delete(&shard.edits, begin, end - begin)
    check(ruri.maddr.off >= ruri.off + MADDR_LEN)       # ";maddr=" stands before it
    edit_delete(&shard.edits, ruri.maddr.off - MADDR_LEN, ruri.maddr.len + MADDR_LEN)
    code = rewrite(shard)
    return parse_uri(m.buf, m.ruri.off, m.ruri.len, ruri) if code == OK else code
