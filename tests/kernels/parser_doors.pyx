"""Doors from Python to the parsing kernels: for tests and benchmarks only.

What it is: one function per kernel that takes bytes and returns plain Python
values.  What it must never do: be imported by the packet path or the control
plane, or hold a rule of its own; what a test sees here is what a shard gets.

Called by tests/ and bench/.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t

from fastsip._core.base.types cimport MAX_MESSAGE, NO_HEADER, span_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.sip.types cimport HEADER_COUNT, H_RECORD_ROUTE, H_ROUTE, message_t, name_addr_t, uri_t, via_t
from fastsip._core.sip.words cimport match_method, method_text
from fastsip._core.sip.uri cimport parse_address, parse_host_port, parse_uri, same_text, usual_port, write_address
from fastsip._core.sip.parser cimport (
    count_vias, find_header, find_param, has_start_line, parse_datagram, parse_message, parse_name_addr, parse_number,
    parse_routing, parse_second_via, parse_via, scan_call_id,
)
from fastsip._core.sip.edits cimport (
    clear_edits, edit_delete, edit_insert, edit_replace, edits_t, take_room, write_edits,
)

ROOM_BYTES = 2 * MAX_MESSAGE


cdef tuple pair(span_t span):
    return span.off, span.len


cdef dict via_fields(const via_t *via):
    return {
        "off": via.off, "len": via.len, "params_off": via.params_off, "last": bool(via.last),
        "host": pair(via.host), "host_kind": via.host_kind, "port": via.port, "transport": via.transport,
        "branch": pair(via.branch), "magic": bool(via.magic), "received": pair(via.received),
        "rport": via.rport, "rport_off": via.rport_off, "rport_end": via.rport_end,
        "received_off": via.received_off, "received_end": via.received_end, "hint": pair(via.hint),
    }


cdef dict message_fields(message_t *m, int code):
    cdef int routing_code = parse_routing(m)
    cdef via_t second
    cdef int second_code = parse_second_via(m, &second)
    headers = [
        (h.id, (h.name_off, h.name_len), (h.value_off, h.value_len), h.end_off, h.next)
        for h in m.headers[:m.header_count]
    ]
    return {
        "code": code, "routing_code": routing_code, "is_request": bool(m.is_request), "method": m.method,
        "status": m.status, "method_name": pair(m.method_name), "ruri": pair(m.ruri), "reason": pair(m.reason),
        "headers_off": m.headers_off, "headers_end": m.headers_end, "body": (m.body_off, m.body_len),
        "headers": headers, "first": [m.first[i] for i in range(<int> HEADER_COUNT)],
        "last": [m.last[i] for i in range(<int> HEADER_COUNT)],
        "routing_done": bool(m.routing_done), "max_forwards": m.max_forwards,
        "cseq": m.cseq, "cseq_method": m.cseq_method, "cseq_method_name": pair(m.cseq_method_name),
        "call_id": pair(m.call_id), "from_tag": pair(m.from_tag), "to_tag": pair(m.to_tag),
        "via": via_fields(&m.via), "vias": count_vias(m),
        "second_code": second_code, "second_via": via_fields(&second) if second_code == 0 else None,
    }


def parse(bytes text not None, uint32_t max_head=MAX_MESSAGE):
    """The whole index of a message as a dict; spans are (off, len) pairs."""
    cdef message_t m
    cdef int code = parse_datagram(text, <uint32_t> len(text), max_head, &m)
    return message_fields(&m, code)


def parse_at(uintptr_t address, uint32_t length):
    """As parse, of `length` bytes of memory that the caller keeps readable."""
    cdef message_t m
    cdef int code = parse_message(<const char *> address, length, &m)
    return message_fields(&m, code)


def start_line(bytes text not None, uint32_t max_head=MAX_MESSAGE):
    """has_start_line."""
    return bool(has_start_line(text, <uint32_t> len(text), max_head))


def call_id(bytes text not None):
    """(code, (off, len)) of scan_call_id."""
    cdef span_t span
    cdef int code = scan_call_id(text, <uint32_t> len(text), &span)
    return code, pair(span)


def call_id_at(uintptr_t address, uint32_t length):
    """As call_id, of memory that the caller keeps readable."""
    cdef span_t span
    cdef int code = scan_call_id(<const char *> address, length, &span)
    return code, pair(span)


def via(bytes text not None, uint32_t off=0):
    """A dict, or the code below zero."""
    cdef via_t value
    cdef int code = parse_via(text, off, <uint32_t> len(text), &value)
    return code if code < 0 else via_fields(&value)


def name_addr(bytes text not None, uint32_t off=0):
    """A dict, or the code below zero."""
    cdef name_addr_t value
    cdef int code = parse_name_addr(text, off, <uint32_t> len(text), &value)
    if code < 0:
        return code
    return {"display": pair(value.display), "uri": pair(value.uri), "params": pair(value.params),
            "off": value.off, "len": value.len, "bracketed": bool(value.bracketed), "last": bool(value.last)}


def param(bytes params not None, bytes name not None):
    """The value's (off, len), or None."""
    cdef span_t span, value
    span.off = 0
    span.len = <uint16_t> len(params)
    return pair(value) if find_param(params, span, name, <uint32_t> len(name), &value) else None


def number(bytes text not None, int digits):
    """The number, or E_BAD."""
    cdef span_t span
    span.off = 0
    span.len = <uint16_t> len(text)
    return parse_number(text, span, digits)


def header(bytes text not None, bytes name not None):
    """Index of the first header of that name, or None."""
    cdef message_t m
    parse_message(text, <uint32_t> len(text), &m)
    index = find_header(&m, name, <uint32_t> len(name))
    return None if index == NO_HEADER else index


def method(bytes name not None):
    """(method_id, the kernel's own text of it)."""
    cdef uint32_t length
    cdef int found = match_method(name, <uint32_t> len(name))
    cdef const char *text = method_text(found, &length)
    return found, text[:length]


def uri(bytes text not None, uint32_t off=0):
    """(code, dict) of the URI from `off` to the end."""
    cdef uri_t value
    cdef int code = parse_uri(text, off, <uint32_t> len(text) - off, &value)
    return code, {
        "scheme": value.scheme, "scheme_name": pair(value.scheme_name), "user": pair(value.user),
        "host": pair(value.host), "host_kind": value.host_kind, "port": value.port,
        "transport": value.transport, "lr": bool(value.lr), "maddr": pair(value.maddr),
        "params": pair(value.params), "headers": pair(value.headers), "off": value.off, "len": value.len,
    }


def host_port(bytes text not None):
    """(offset behind it or code, host, kind, port)."""
    cdef span_t host
    cdef uint8_t kind
    cdef uint16_t port
    host.off = host.len = 0
    code = parse_host_port(text, 0, <uint32_t> len(text), &host, &kind, &port)
    return code, pair(host), kind, port


def default_port(int scheme, int transport):
    """Where neither URI nor Via names one; numbers are those of the enums."""
    return usual_port(scheme, transport)


def address(bytes text not None, uint8_t kind, bint brackets=True):
    """(code, family, the 16 bytes, the address written out)."""
    cdef addr_t addr
    cdef char room[48]
    cdef int code = parse_address(text, <uint32_t> len(text), kind, 5060, &addr)
    if code < 0:
        return code, addr.family, b"", b""
    length = write_address(&addr, room, brackets)
    return code, addr.family, (<char *> &addr.ip[0])[:16], room[:length]


def written(bytes ip not None, uint8_t family, bint brackets=True):
    """The 16 bytes of an address as text."""
    cdef addr_t addr
    cdef char room[48]
    cdef uint32_t i
    for i in range(16):
        addr.ip[i] = ip[i]
    addr.family = family
    length = write_address(&addr, room, brackets)
    return room[:length]


def same(bytes a not None, bytes b not None):
    """same_text of the two."""
    return bool(same_text(a, <uint32_t> len(a), b, <uint32_t> len(b)))


def edit(bytes text not None, list changes not None, room_bytes=None):
    """(result or code, growth, overflow) of [(off, cut, replacement)], in this order."""
    cdef edits_t edits
    cdef uint32_t room = room_bytes if room_bytes is not None else ROOM_BYTES
    out = bytearray(room)
    clear_edits(&edits)
    for off, cut, new in changes:
        if not cut:
            edit_insert(&edits, off, new, <uint32_t> len(new))
        elif not new:
            edit_delete(&edits, off, cut)
        else:
            edit_replace(&edits, off, cut, new, <uint32_t> len(new))
    length = write_edits(&edits, text, <uint32_t> len(text), out, room)
    return length if length < 0 else bytes(out[:length]), edits.growth, bool(edits.overflow)


def rooms(list sizes not None):
    """([offset in the room, or None when refused], overflow) of take_room calls."""
    cdef edits_t edits
    cdef char *taken
    clear_edits(&edits)
    offsets = []
    for size in sizes:
        taken = take_room(&edits, size)
        offsets.append(None if taken == NULL else taken - &edits.room[0])
    return offsets, bool(edits.overflow)


# ---------------------------------------------------------------- benchmark

# All that a router reads of a request: every header indexed; Request-URI,
# topmost and second Via, From, To, CSeq, Route and Record-Route values read.
cdef int read_all(const char *text, uint32_t length, message_t *m) noexcept nogil:
    cdef uri_t ruri
    cdef via_t second
    cdef int code = parse_message(text, length, m)
    if code == 0:
        code = parse_routing(m)
    if code == 0:
        code = parse_uri(text, m.ruri.off, m.ruri.len, &ruri)
    if code == 0:
        code = parse_second_via(m, &second)
    if code == 0:
        code = read_values(m, m.first[<int> H_ROUTE])
    if code == 0:
        code = read_values(m, m.first[<int> H_RECORD_ROUTE])
    return code


cdef int read_values(const message_t *m, uint32_t index) noexcept nogil:
    cdef name_addr_t value
    cdef uint32_t off, end
    while index != NO_HEADER:
        off = m.headers[index].value_off
        end = off + m.headers[index].value_len
        while True:
            if parse_name_addr(m.buf, off, end, &value) != 0:
                return -1
            if value.last:
                break
            off = <uint32_t> value.off + value.len + 1
        index = m.headers[index].next
    return 0


def bench_parse(bytes text not None, uint64_t loops):
    """Read the message `loops` times without the GIL; the number that went well."""
    cdef message_t m
    cdef const char *buf = text
    cdef uint32_t length = <uint32_t> len(text)
    cdef uint64_t _i
    cdef uint64_t good = 0
    with nogil:
        for _i in range(loops):
            good += read_all(buf, length, &m) == 0
    return good


def bench_index(bytes text not None, uint64_t loops):
    """As bench_parse, of parse_message alone."""
    cdef message_t m
    cdef const char *buf = text
    cdef uint32_t length = <uint32_t> len(text)
    cdef uint64_t _i
    cdef uint64_t good = 0
    with nogil:
        for _i in range(loops):
            good += parse_message(buf, length, &m) == 0
    return good
