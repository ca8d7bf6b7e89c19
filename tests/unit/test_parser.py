"""parser and values: against the oracle, against a guard page, at their limits."""

import ctypes
import json
import mmap
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels import parser_doors as doors
from tests.oracle import sip_oracle as oracle
from tests.oracle.compare import compare, text_of
from tests.unit import messages

C = oracle.CODES


# ---------------------------------------------------------------- samples

@pytest.mark.parametrize("text", messages.ALL.values(), ids=messages.ALL)
def test_sample_whole_and_with_other_line_ends(text):
    assert len(messages.INVITE) == 1264
    for variant in (text, b"\r\n\r\n" + text, b"\n" + text, text.replace(b"\r\n", b"\n")):
        found = doors.parse(variant)
        lengths = found["code"] in (0, C["CONTENT_LENGTH"])      # the body of INVITE shrinks with its CRs
        assert lengths and found["routing_code"] == 0
        compare(variant)


@pytest.mark.parametrize("text", messages.ALL.values(), ids=messages.ALL)
def test_sample_truncated_at_each_byte(text):
    for end in range(len(text)):
        compare(text[:end])


@pytest.mark.parametrize("text", messages.ALL.values(), ids=messages.ALL)
def test_sample_written_without_edits_is_the_same_and_parses_the_same(text):
    written, growth, overflow = doors.edit(text, [])
    assert (written, growth, overflow) == (text, 0, False)
    assert doors.parse(written) == doors.parse(text)


def test_invite_is_read_completely():
    text = messages.INVITE
    found = compare(text)
    assert (found["code"], found["routing_code"], len(found["headers"])) == (0, 0, 18)
    assert text_of(text, found["ruri"]) == b"sip:+4930901820@203.0.113.4:5060;user=phone;transport=udp"
    assert text_of(text, found["via"]["branch"]) == b"z9hG4bK7f3a.6d1e0c52b9"
    assert text[found["via"]["rport_off"] - 5:found["via"]["rport_off"] + 2] == b"rport\r\n"
    assert text_of(text, found["second_via"]["received"]) == b"198.51.100.21"
    assert (found["cseq"], found["max_forwards"], found["vias"]) == (4711, 68, 2)
    assert text_of(text, found["from_tag"]) == b"9fe31c"
    assert found["to_tag"][1] == 0
    assert found["body"][1] == 286


def test_folded_is_read_completely():
    text = messages.FOLDED
    found = compare(text)
    assert text_of(text, found["via"]["host"]) == b"pbx.example"
    assert (found["via"]["port"], found["via"]["transport"], found["via"]["magic"]) == (5062, 1, True)
    assert text_of(text, found["via"]["received"]) == b"2001:db8::9"
    assert text_of(text, found["from_tag"]) == b"one"
    assert text_of(text, found["to_tag"]) == b"two"
    assert text_of(text, found["call_id"]) == b"fold.1@pbx.example"
    assert (found["cseq"], found["max_forwards"], found["vias"]) == (12, 7, 2)


def test_response_takes_its_method_from_cseq():
    text = messages.OK
    found = compare(text)
    assert (found["is_request"], found["status"], found["method"]) == (False, 200, 1)
    assert text_of(text, found["reason"]) == b"All is well"
    assert text_of(text, found["via"]["hint"]) == b"1a2b3c"
    assert found["second_via"]["rport"] == 5060


# ---------------------------------------------------------------- start line

TAIL = messages.COMMA_VIAS.partition(b"\r\n")[2].replace(b"2 BYE", b"2 ACK")


@pytest.mark.parametrize(("line", "word"), [
    (b"ACK sip:a@b SIP/2.0", "OK"),
    (b"ACK sip:a@b sIp/2.0", "OK"),
    (b"ACK  sip:a@b SIP/2.0", "OK"),
    (b"ACK sip:a@b  SIP/2.0", "OK"),
    (b"ACK sip:a@b SIP/2.0 ", "OK"),
    (b"ACK\tsip:a@b SIP/2.0", "OK"),
    (b"ACK sip:a@b\tSIP/2.0", "OK"),
    (b"ACK sip:a@b; lr SIP/2.0", "START_LINE"),
    (b"ACK <sip:a@b> SIP/2.0", "START_LINE"),
    (b"ACK sip:a\x01@b SIP/2.0", "START_LINE"),
    (b"ACK  SIP/2.0", "START_LINE"),
    (b"ACK SIP/2.0", "START_LINE"),
    (b" ACK sip:a@b SIP/2.0", "START_LINE"),
    (b"A@K sip:a@b SIP/2.0", "START_LINE"),
    (b"ACK sip:a@b\r\n SIP/2.0", "NOT_SIP"),
    (b"ACK sip:a@b SIP/2.0\r\n x", "START_LINE"),
    (b"ACK sip:a@b SIP/7.0", "VERSION"),
    (b"ACK sip:a@b SIP/2.1", "VERSION"),
    (b"ACK sip:a@b SIP/2", "START_LINE"),
    (b"ACK sip:a@b SIP/2.0x", "START_LINE"),
    (b"ACK sip:a@b HTTP/1.1", "NOT_SIP"),
    (b"ACK sip:a@b", "NOT_SIP"),
    (b"GET / HTTP/1.1", "NOT_SIP"),
    (b"\x16\x03\x01\x02\x00", "NOT_SIP"),
    (b"SIP/2.0 200 OK", "OK"),
    (b"sip/2.0 200 OK", "OK"),
    (b"SIP/2.0 200 ", "OK"),
    (b"SIP/2.0 200", "OK"),
    (b"SIP/2.0 699 \xc3\xa9  !", "OK"),
    (b"SIP/2.0 99 Low", "START_LINE"),
    (b"SIP/2.0 099 Low", "START_LINE"),
    (b"SIP/2.0 700 High", "START_LINE"),
    (b"SIP/2.0 4294967301 Wrapped", "START_LINE"),
    (b"SIP/2.0  200 OK", "OK"),
    (b"SIP/2.0", "START_LINE"),
    (b"SIP/3.0 200 OK", "VERSION"),
    (b"SIP/x 200 OK", "START_LINE"),
])
def test_start_line(line, word):
    found = compare(line + b"\r\n" + TAIL)
    assert found["code"] == C[word]


@pytest.mark.parametrize("line", [b"ACK sip:a@b; lr SIP/2.0", b"ACK <sip:a@b> SIP/2.0", b"ACK sip:a@b SIP/9.0",
                                  b"ACK sip:a@b SIP/2.0\r\n folded"])
def test_after_a_broken_start_line_all_is_indexed(line):
    # An ACK is never answered, so its method must be known; others need their 400.
    found = compare(line + b"\r\n" + TAIL)
    assert found["code"] < 0 and found["method"] == 2
    assert found["routing_code"] == 0 and len(found["headers"]) == 7


@pytest.mark.parametrize("text", [b"", b"\r\n", b"\r\n\r\n", b"\0\0\0\0", b" \t\r\n\0", b"\n" * 3000])
def test_keep_alive_is_empty(text):
    assert doors.parse(text)["code"] == C["EMPTY"]
    compare(text)


# ---------------------------------------------------------------- headers, body

def with_headers(*lines: bytes, body: bytes = b"", end: bytes = b"\r\n") -> bytes:
    return messages.COMMA_VIAS[:-2] + b"".join(line + b"\r\n" for line in lines) + end + body


@pytest.mark.parametrize(("line", "word"), [
    (b"X-Odd", "OK"),
    (b": value", "OK"),
    (b"X Odd: value", "OK"),
    (b"X\xe4: value", "OK"),
    (b"max\rforwards: 1", "OK"),
    (b"\0", "OK"),
    (b"X-Odd \t : value", "OK"),
    (b"X-Odd:", "OK"),
    (b"X-Odd: ;;,,\"<", "OK"),
    (b"X-Odd: \0\x01\xff", "OK"),
    (b"X-Odd: a\r\n \r\n\tb\r\n ", "OK"),
    (b"X-Odd: a\rVia: b", "OK"),
    (b"Content-Type", "OK"),
    (b"Route\r\n : x", "OK"),
    (b"X-Odd\r\n : x", "OK"),
    (b"X-Odd\r\n\t\r\n : x", "OK"),
    (b"X Odd\r\n : x", "OK"),
    (b"Route:", "OK"),
    (b"Route: ,\r\n ,", "OK"),
    (b"\r", "HEADER"),
    (b"\r\r", "HEADER"),
])
def test_header_line(line, word):
    found = compare(with_headers(line))
    assert found["code"] == C[word]
    assert found["routing_code"] == 0


def test_every_known_name_is_known_in_any_case():
    names = {name: i for i, name in enumerate(oracle.NAMES) if name}
    names |= {short: names[long] for short, long in oracle.COMPACT.items()}
    for name, wanted in names.items():
        for spelled in (name, name.upper(), name.title(), name + b" \t"):
            assert compare(with_headers(spelled + b": x"))["headers"][-1][0] == wanted
        for other in (name + b"x", b"x" + name, name[:-1] + b"`", b"\x21" + name[1:]):
            assert compare(with_headers(other + b": x"))["headers"][-1][0] == oracle.header_id(other)


@pytest.mark.parametrize(("values", "body", "word", "length"), [
    ([], b"abc", "OK", 3),
    ([b"2"], b"abc", "OK", 2),
    ([b"0"], b"abc", "OK", 0),
    ([b"0003"], b"abc", "OK", 3),
    ([b"3", b"3"], b"abc", "OK", 3),
    ([b"4"], b"abc", "CONTENT_LENGTH", 3),
    ([b"3", b"2"], b"abc", "CONTENT_LENGTH", 3),
    ([b"-1"], b"abc", "CONTENT_LENGTH", 3),
    ([b""], b"abc", "CONTENT_LENGTH", 3),
    ([b"3 3"], b"abc", "CONTENT_LENGTH", 3),
    ([b"18446744073709551617"], b"abc", "CONTENT_LENGTH", 3),
])
def test_content_length(values, body, word, length):
    found = compare(with_headers(*(b"Content-Length: " + value for value in values), body=body))
    assert (found["code"], found["body"][1]) == (C[word], length)


def test_without_the_empty_line_what_stands_there_is_complete():
    found = compare(with_headers(end=b""))
    assert (found["code"], found["headers_end"], found["body"][1]) == (0, len(with_headers(end=b"")), 0)
    assert compare(with_headers(b"Content-Length: 0", end=b""))["code"] == 0
    assert compare(with_headers(b"Content-Length: 1", end=b""))["code"] == C["CONTENT_LENGTH"]


@pytest.mark.parametrize("end", [b"X: y", b"X: y\r\n z", b"\r", b"X"])
def test_a_line_without_its_end_may_be_longer(end):
    assert compare(with_headers(end=end))["code"] == C["HEADER"]
    assert compare(b"BYE sip:a@b SIP/2.0")["code"] == C["HEADER"]


@pytest.mark.parametrize("line", [b"this is no header", b"X Trunk Group: 7", b": x", b"\0: x", b"Route:", b"Route: ,,"])
def test_a_line_that_is_no_header_has_no_name(line):
    """It goes on as it came, whatever it looks like; by no name it is found."""
    text = with_headers(line, b"X-After: y")
    odd = compare(text)["headers"][-2]
    assert (odd[0], odd[1][1], text_of(text, odd[2]), text[odd[1][0]:odd[3]]) == (0, 0, line, line + b"\r\n")
    before = doors.header(with_headers(b"X-After: y"), b"Route")
    assert doors.header(text, b"Route") == before and doors.header(text, b"X") is None


@pytest.mark.parametrize("name", [
    b"X-Auth-User", b"x-auth-user ", b"X-AUTH-USER\t ", b"X-Auth-User\r\n ", b"X-Auth-User\r",
])
def test_no_spelling_hides_a_name(name):
    found = compare(with_headers(name + b": admin"))
    assert (found["code"], found["headers"][-1][1][1]) == (0, 11)
    assert doors.header(with_headers(name + b": admin"), b"X-Auth-User") is not None


# ---------------------------------------------------------------- edges of what a sender chooses

@pytest.mark.parametrize("size", [1, 511, 512, 513, 60_000])
@pytest.mark.parametrize(("old", "new", "word"), [
    (b"Call-ID: comma", b"Call-ID: %s", "CALL_ID"), (b"From: ", b"From: <sip:a@b>;tag=%s\r\nX: ", "FROM"),
    (b"To: ", b"To: <sip:a@b>;tag=%s\r\nX: ", "TO"), (b"Via: SIP", b"Via: SIP/2.0/UDP a;branch=%s\r\nVia: SIP", "VIA"),
])
def test_bound_of_what_is_kept_and_hashed(old, new, word, size):
    text = messages.COMMA_VIAS.replace(old, new.replace(b"%s", b"t" * size), 1)
    assert compare(text)["routing_code"] == (0 if size <= 512 else C[word])


@pytest.mark.parametrize("size", [512, 513])
def test_bound_of_the_second_branch(size):
    vias = b"Via: SIP/2.0/UDP a\r\nVia: SIP/2.0/UDP b;branch=%s\r\nVia: SIP" % (b"b" * size)
    text = with_headers().replace(b"Via: SIP", vias, 1)
    assert doors.parse(text)["second_code"] == (0 if size == 512 else C["VIA"])


# ---------------------------------------------------------------- routing values

@pytest.mark.parametrize(("old", "new", "word"), [
    (b"CSeq: 2 BYE", b"CSeq: 2147483647 BYE", "OK"),
    (b"CSeq: 2 BYE", b"CSeq: 4294967295 BYE", "OK"),
    (b"CSeq: 2 BYE", b"CSeq: 4294967296 BYE", "CSEQ"),
    (b"CSeq: 2 BYE", b"CSeq: 2 bye", "CSEQ"),
    (b"CSeq: 2 BYE", b"CSeq: 2 INVITE", "CSEQ"),
    (b"CSeq: 2 BYE", b"CSeq: 2BYE", "CSEQ"),
    (b"CSeq: 2 BYE", b"CSeq: BYE", "CSEQ"),
    (b"CSeq: 2 BYE", b"CSeq: 2 BYE BYE", "CSEQ"),
    (b"CSeq: 2 BYE", b"X: y", "CSEQ"),
    (b"Call-ID: comma", b"Call-ID:", "CALL_ID"),
    (b"Call-ID: comma", b"Call-ID: a b", "CALL_ID"),
    (b"Call-ID: comma", b"X: y", "CALL_ID"),
    (b"Call-ID: comma", b"Call-ID: a\r\ni: a", "DUPLICATE"),
    (b"From: ", b"F: <sip:x@y>\r\nFrom: ", "DUPLICATE"),
    (b"From: ", b"From: a, ", "FROM"),
    (b"From: ", b"X: ", "FROM"),
    (b"To: b.example.user <", b"To: \"open <", "TO"),
    (b"To: ", b"X: ", "TO"),
    (b"Via: SIP", b"Via: SIP/", "VIA"),
    (b"Route: ", b"Max-Forwards: 0255\r\nRoute: ", "OK"),
    (b"Route: ", b"Max-Forwards: 256\r\nRoute: ", "MAX_FORWARDS"),
    (b"Route: ", b"Max-Forwards: x\r\nRoute: ", "MAX_FORWARDS"),
    (b"Route: ", b"Max-Forwards: 7\r\nMax-Forwards: 7\r\nRoute: ", "DUPLICATE"),
    (b"BYE sip:x@example.com SIP/2.0", b"SIP/2.0 200 OK\r\nMax-Forwards: x", "OK"),
    (b"Route: <", b"Route: ;;,,<", "OK"),
])
def test_routing_values(old, new, word):
    assert old in messages.COMMA_VIAS
    found = compare(messages.COMMA_VIAS.replace(old, new))
    assert (found["code"], found["routing_code"]) == (0, C[word])


def test_what_stands_beside_an_unreadable_value_is_read():
    found = compare(messages.COMMA_VIAS.replace(b"From: ", b"From: \"").replace(b"2 BYE", b"x"))
    assert found["routing_code"] == C["FROM"]
    assert found["via"]["len"] and found["call_id"][1] and found["to_tag"][1]


# ---------------------------------------------------------------- limits

def test_headers_at_the_limit():
    have = len(doors.parse(with_headers())["headers"])
    full = with_headers(*[b"X: y"] * (128 - have))
    assert compare(full)["code"] == 0
    found = compare(with_headers(*[b"X: y"] * (129 - have), body=b"body"))
    assert (found["code"], len(found["headers"])) == (C["TOO_MANY_HEADERS"], 128)
    assert found["routing_code"] == 0


def test_vias_at_the_limit():
    value = b"SIP/2.0/UDP a;branch=\"x,y\""
    assert compare(with_headers(*[b"Via: " + value] * 61))["vias"] == 64
    assert compare(with_headers(*[b"Via: " + value] * 62))["vias"] == C["TOO_MANY_VIAS"]
    assert compare(with_headers(b"v: " + b",".join([value] * 61)))["vias"] == 64
    assert compare(with_headers(b"v: " + b",".join([value] * 62)))["vias"] == C["TOO_MANY_VIAS"]


def test_size_at_the_limit():
    room = 65535 - len(with_headers())
    whole = compare(with_headers(body=b"b" * room))
    assert (whole["code"], sum(whole["body"])) == (0, 65535)
    assert compare(with_headers(b"X:" + b"v" * (room - 4)))["code"] == 0
    assert compare(with_headers(body=b"b" * (room + 1)))["code"] == C["TOO_LARGE"]
    assert doors.call_id(with_headers(body=b"b" * (room + 1)))[0] == C["TOO_LARGE"]


@pytest.mark.parametrize("text", messages.ALL.values(), ids=messages.ALL)
def test_head_at_the_limit(text):
    """Whatever the limit: what lies before it is indexed as ever, and nothing behind it."""
    text += b"b" * (2 * len(text))
    whole = doors.parse(text)
    head = whole["body"][0]
    for limit in range(1, head + 1):
        most = limit if whole["is_request"] else 2 * limit
        found = doors.parse(text, limit)
        if most >= head:
            assert found == whole
            continue
        assert found["code"] in (C["LONG_HEAD"], C["NOT_SIP"], C["START_LINE"])
        inside = [header[:4] for header in whole["headers"] if header[3] < most]
        assert [header[:4] for header in found["headers"]] == inside
        assert found["headers_end"] <= most or not inside
        if found["call_id"][1]:     # else a shard would work on another one's calls
            assert doors.call_id(text[: 2 * limit])[1] == found["call_id"]


# ---------------------------------------------------------------- guard page

class GuardedPages:
    """Writable memory that ends exactly where an unreadable page begins."""

    def __init__(self, size: int):
        self.size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.mmap.restype = ctypes.c_void_p
        self.libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                                   ctypes.c_long]
        self.libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        self.libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

    def __enter__(self):
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        access = mmap.PROT_READ | mmap.PROT_WRITE
        self.base = self.libc.mmap(None, self.size + mmap.PAGESIZE, access, flags, -1, 0)
        assert self.base not in (None, ctypes.c_void_p(-1).value)
        assert self.libc.mprotect(self.base + self.size, mmap.PAGESIZE, 0) == 0
        return self

    def __exit__(self, *_):
        assert self.libc.munmap(self.base, self.size + mmap.PAGESIZE) == 0

    def place(self, text: bytes) -> int:
        address = self.base + self.size - len(text)
        ctypes.memmove(address, text, len(text))
        return address


@pytest.mark.parametrize("text", messages.ALL.values(), ids=messages.ALL)
def test_every_prefix_before_a_guard_page(text):
    with GuardedPages(len(text)) as pages:
        for end in range(len(text) + 1):
            address = pages.place(text[:end])
            assert doors.parse_at(address, end) == doors.parse(text[:end])
            assert doors.call_id_at(address, end) == doors.call_id(text[:end])


# ---------------------------------------------------------------- scans of sixteen bytes

SCANNED = {     # one place for each scan; %b stands where its text does
    "call_id": b"Call-ID: %b\r\n",
    "target": b"INVITE sip:%b SIP/2.0\r\n",
    "value": b"Via: SIP/2.0/UDP a.example;branch=%b\r\n",
    "quoted": b'From: "%b" <sip:a@b>;tag=1\r\n',
    "bracketed": b"From: <sip:%b>;tag=1\r\n",
    "line": b"X-%b: y\r\n",
}


def with_line(line: bytes) -> bytes:
    """A request with this line in the place of its own, or behind all others."""
    lines = [b"INVITE sip:a@b SIP/2.0\r\n", b"Via: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\n",
             b"From: <sip:a@b>;tag=1\r\n", b"To: <sip:a@b>\r\n", b"Call-ID: a\r\n", b"CSeq: 1 INVITE\r\n"]
    name = line[:line.index(b" ")]
    same = [i for i, other in enumerate(lines) if other.startswith(name)]
    lines[same[0] if same else len(lines):same[0] + 1 if same else len(lines)] = [line]
    return b"".join(lines) + b"\r\n"


@pytest.mark.parametrize("form", SCANNED.values(), ids=SCANNED)
def test_every_byte_ends_a_scan_where_the_oracle_says(form):
    for byte in range(256):
        for at in (0, 7, 15, 16, 19):
            text = b"z9hG4bK" + b"x" * 13
            compare(with_line(form % (text[:at] + bytes((byte,)) + text[at:])))


@pytest.mark.parametrize("form", SCANNED.values(), ids=SCANNED)
def test_a_scan_finds_its_end_at_every_distance_from_the_end_of_the_text(form):
    for length in range(36):
        for byte in b' ,;:<>"\\@?\x7f\xff\0':
            for at in range(length + 1):
                compare(with_line(form % (b"x" * at + bytes((byte,)) + b"x" * (length - at))))


# ---------------------------------------------------------------- generated messages

ODD = [b"\r\n", b"\n", b"\r", b" ", b"\t", b"\r\n ", b":", b";", b",", b"=", b'"', b"\\", b"<", b">", b"/",
       b"[", b"]", b"%", b"@", b"\0", b"\xff", b"0", b"9", b"v", b"SIP/2.0", b"Via: ", b"l: ", b";tag=",
       b";rport",
       b"Content-Length: 0\r\n", b"i: x\r\n", b"CSeq: 1 BYE\r\n", b"\r\n\r\n", b";branch=z9hG4bK", b"INVITE "]


@st.composite
def mutated(draw):
    text = draw(st.sampled_from(list(messages.ALL.values())))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(text)))
        cut = draw(st.sampled_from([0, 0, 1, 1, 2, 7, 40]))
        new = draw(st.one_of(st.just(b""), st.sampled_from(ODD), st.binary(max_size=3)))
        text = text[:at] + new + text[at + cut:]
    return text


LWS = st.sampled_from([b"", b"", b" ", b"  ", b"\t", b"\r\n ", b" \r\n\t "])
WORD = st.text("abzAZ019-.!%*_+`'~", min_size=1, max_size=8).map(str.encode)
LOOSE = st.text("aZ9-. :;,=\"\\<>[]@/?%\t", max_size=12).map(str.encode)
HOST = st.one_of(WORD, st.sampled_from([b"a.example", b"192.0.2.1", b"1.2.3", b"300.1.1.1", b"[::1]", b"[1]",
                                        b"[2001:db8::1]", b"a..b", b".a", b"01.2.3.4"]))


@st.composite
def joined(draw, *parts):
    return b"".join(draw(part) if isinstance(part, st.SearchStrategy) else part for part in parts)


PARAM_NAME = st.sampled_from(
    [b"branch", b"RECEIVED", b"rport", b"fs", b"tag", b"Tag", b"ttl", b"lr", b"x", b""])
PARAM_VALUE = st.one_of(WORD, HOST, LOOSE, st.sampled_from(
    [b'"a;b,c"', b'"\\""', b"5060", b"0", b"70000", b"", b"[::1]", b"z9hG4bKx"]))
PARAMS = st.lists(
    joined(LWS, b";", LWS, PARAM_NAME, LWS, st.one_of(st.just(b""), joined(b"=", LWS, PARAM_VALUE)), LWS),
    max_size=4,
).map(b"".join)
VIA = joined(LWS, st.sampled_from([b"SIP/2.0/", b"SIP / 2.0 / ", b"sip/2.0/", b"SIP/2.0"]), LWS, WORD, LWS,
             b" ", HOST, LWS, st.sampled_from([b"", b":5060", b" : 1", b":", b":0", b":65535", b":65536"]),
             PARAMS)
NAME_ADDR = joined(
    LWS, st.sampled_from([b"", b'"a, b" ', b'"\\"" ', b'"open ', b"a b", b"a, b "]), LWS,
    st.sampled_from(
        [b"<sip:a@b;x>", b"< sip:a >", b"<>", b"<sip:a", b"sip:a@b", b"sip:a@b?c", b"<sip:a,b;tag=c>"]),
    PARAMS)
CSEQ = joined(st.integers(0, 2**32).map(lambda n: b"%d" % n), LWS,
              st.sampled_from([b"BYE", b"BYE", b"INVITE", b"BYE x", b""]))


@st.composite
def generated(draw):
    headers = [
        (b"Via", st.lists(VIA, min_size=1, max_size=3).map(b",".join)), (b"f", NAME_ADDR), (b"To", NAME_ADDR),
        (b"Call-ID", st.one_of(WORD, LOOSE)), (b"CSeq", CSEQ),
        (b"Max-Forwards", st.sampled_from([b"70", b"0", b"255", b"256", b"x", b"-1", b"0070"])),
        (b"X", LOOSE), (b"Route", NAME_ADDR), (b"l", st.sampled_from([b"0", b"1", b"2", b"x"])),
    ]
    chosen = draw(st.lists(st.sampled_from(headers), max_size=4)) + headers[:5]
    chosen = draw(st.permutations(chosen))
    lines = [name + draw(LWS) + b":" + draw(LWS) + draw(value) for name, value in chosen]
    return b"\r\n".join([b"BYE sip:a@b SIP/2.0", *lines, b"", draw(st.sampled_from([b"", b"b"]))])


@settings(max_examples=600, deadline=None)
@given(mutated())
def test_mutated_messages_are_read_as_the_oracle_reads_them(text):
    found = compare(text)
    assert doors.parse(doors.edit(text, [])[0]) == found


@settings(max_examples=600, deadline=None)
@given(generated())
def test_generated_messages_are_read_as_the_oracle_reads_them(text):
    compare(text)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_arbitrary_bytes_are_read_as_the_oracle_reads_them(text):
    compare(text)


# ---------------------------------------------------------------- cost

def test_parsing_makes_no_python_object():
    doors.bench_parse(messages.INVITE, 10)
    more = []
    for _ in range(5):      # another thread of this process may make some meanwhile
        before = sys.getallocatedblocks()
        good = doors.bench_parse(messages.INVITE, 100_000)
        more.append(sys.getallocatedblocks() - before)
        assert good == 100_000
    assert min(more) <= 2   # the two numbers themselves


# ---------------------------------------------------------------- torture messages kept elsewhere

TORTURE = os.environ.get("FASTSIP_TORTURE")


@pytest.mark.skipif(not TORTURE, reason="FASTSIP_TORTURE names no directory of RFC 4475 and 5118 messages")
def test_torture_messages():
    seen = 0
    for manifest in sorted(Path(TORTURE).glob("*/manifest.json")):
        for entry in json.loads(manifest.read_text())["messages"]:
            text = (manifest.parent / entry["file"]).read_bytes()
            found = compare(text)
            fields, seen = entry.get("fields", {}), seen + 1
            if entry["validity"] == "valid" and entry["name"] not in ("scalarlg", "bigcode"):
                assert (found["code"], found["routing_code"]) == (0, 0), entry["name"]
                assert found["vias"] == fields["vias"]
                assert text_of(text, found["call_id"]).decode() == fields["call_id"]
                assert fields["content_length"] in (None, found["body"][1])
                assert (text_of(text, found["via"]["branch"]).decode() or None) == fields["top_via_branch"]
            elif entry["accept"] == ["reply:400"]:
                ruri_code = doors.uri(text_of(text, found["ruri"]))[0]
                assert min(found["code"], found["routing_code"], ruri_code) < 0, entry["name"]
    assert seen > 50
