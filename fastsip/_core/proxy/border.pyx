"""The borders that a request crosses: the listener it comes in by, the set it goes to, the listener it leaves by.

What these say about headers holds for every request on that way, whichever rule matched and whether any did:
outside and inside of dialogs, ACK and CANCEL, with a transaction and without (docs/wire.md#borders).  What a listener
takes off on the way in nothing behind it sees, rules included: the request is rewritten before it is looked at.
An edit that cannot be made refuses the request; nothing goes on unedited.

Also the other thing that is rewritten before it is looked at: a Request-URI with a maddr of ours (16.4).

Must never: answer, or choose a way.  Called by proxy and branches.
"""

from libc.stdint cimport uint32_t

from fastsip._core.base.types cimport E_FULL, E_HEADER, E_ROOM, MAX_MESSAGE, OK
from fastsip._core.base.address cimport T_NONE, T_UDP
from fastsip._core.sip.types cimport HOST_IPV6, message_t
from fastsip._core.sip.uri cimport host_port_place, parse_uri
from fastsip._core.sip.parser cimport parse_message, parse_routing
from fastsip._core.sip.edits cimport clear_edits, close_headers, edit_delete, write_edits
from fastsip._core.routing.types cimport destination_t, listener_t
from fastsip._core.routing.header_edits cimport MAX_STEPS, edit_headers, hides_lines
from fastsip._core.routing.lookup cimport find_by_address, find_listener
from fastsip._core.routing.rules cimport is_own
from fastsip._core.state.outbox cimport take_scratch

cdef enum:
    MADDR_LEN = 7           # of ";maddr="
    SIP_PORT = 5060


cdef int read_again(core_t *core, const char *at, uint32_t len) noexcept nogil:
    cdef int code = parse_message(at, len, &core.incoming)
    return parse_routing(&core.incoming) if code == OK else code


cdef int rewrite(core_t *core) noexcept nogil:
    """core.incoming with the edits made, or as it was."""
    cdef const char *buf = core.incoming.buf
    cdef uint32_t len = core.incoming.len
    cdef uint32_t room
    cdef char *at
    cdef int code
    if core.edits.count == 0 and not core.edits.overflow:
        return OK
    close_headers(&core.edits, &core.incoming)
    room = len + core.edits.growth
    if core.edits.overflow or room > MAX_MESSAGE:
        return E_ROOM
    at = take_scratch(core, room)
    if at == NULL:
        return E_FULL
    write_edits(&core.edits, buf, len, at, room)
    code = read_again(core, at, room)
    if code < 0:
        read_again(core, buf, len)
    return code


cdef int enter(core_t *core, uint32_t listener, const addr_t *source) noexcept nogil:
    cdef const listener_t *by = &core.table.listeners[listener]
    cdef changes_t changes
    if by.headers_in.count == 0:
        return OK
    if hides_lines(core.incoming.buf + core.incoming.headers_off,
                   core.incoming.headers_end - core.incoming.headers_off):
        return E_HEADER
    changes.count = 1
    changes.out = 1
    changes.steps[0] = &by.headers_in
    clear_edits(&core.edits)
    edit_headers(&core.edits, &changes, &core.incoming, source, &by.tag, NULL)
    return rewrite(core)


cdef int strip_maddr(core_t *core, uri_t *ruri) noexcept nogil:
    """With the port beside it, which was the maddr's, and the transport, which can be UDP only."""
    cdef const message_t *m = &core.incoming
    cdef uint32_t begin, end
    cdef int code
    if (not ruri.maddr.len or ruri.transport not in (T_NONE, T_UDP)
            or not is_own(core.table, m.buf + ruri.maddr.off, ruri.maddr.len, ruri.port)):
        return OK
    clear_edits(&core.edits)
    if ruri.port and ruri.port != SIP_PORT:
        host_port_place(ruri, &begin, &end)
        begin = ruri.host.off + ruri.host.len + (ruri.host_kind == HOST_IPV6)
        edit_delete(&core.edits, begin, end - begin)
    edit_delete(&core.edits, ruri.maddr.off - MADDR_LEN, ruri.maddr.len + MADDR_LEN)
    code = rewrite(core)
    return parse_uri(m.buf, m.ruri.off, m.ruri.len, ruri) if code == OK else code


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
