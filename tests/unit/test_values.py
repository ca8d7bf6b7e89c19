"""values: Via, name-addr, parameters and numbers, one by one and against the oracle."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels import parser_doors as doors
from tests.oracle import sip_oracle as oracle
from tests.unit import messages

E_BAD, E_VIA = -23, -10


def text_of(text: bytes, span: tuple[int, int]) -> bytes:
    return text[span[0]:span[0] + span[1]]


def walk(read, text: bytes) -> list:
    """All values of a header; the list ends with a code when one cannot be read."""
    found, off = [], 0
    while True:
        value = read(text, off)
        found.append(value)
        if isinstance(value, int):
            return found
        assert off <= value["off"] <= value["off"] + value["len"] <= len(text)
        if value["last"]:
            assert text[value["off"] + value["len"]:].strip(b" \t\r\n,") == b""
            return found
        off = value["off"] + value["len"]
        assert text[off:off + 1] == b","
        off += 1


# ---------------------------------------------------------------- Via

@pytest.mark.parametrize(("text", "host", "port", "transport"), [
    (b"SIP/2.0/UDP a.example", b"a.example", 0, 1),
    (b"SIP/2.0/tcp a.example:5060", b"a.example", 5060, 2),
    (b"sip / 2.0 / TLS\r\n [::1] : 5061 ", b"::1", 5061, 3),
    (b"SIP/2.0/ WSS a.example:1", b"a.example", 1, 5),
    (b"SIP/2.0/SCTP 192.0.2.1", b"192.0.2.1", 0, 6),
    (b"SIP/2.0/X-New a", b"a", 0, 7),
    (b"SIP/7.0/UDP a", b"a", 0, 1),
])
def test_sent_by(text, host, port, transport):
    via = doors.via(text)
    assert (text_of(text, via["host"]), via["port"], via["transport"]) == (host, port, transport)
    assert via["params_off"] == len(text) and via["last"]


@pytest.mark.parametrize("text", [
    b"", b"SIP/2.0/UDP", b"SIP/2.0/UDP ", b"SIP/2.0 a", b"SIP/2.0/UDPa", b"SIP//UDP a", b"/2.0/UDP a",
    b"SIP/2.0/UDP a b", b"SIP/2.0/UDP a:", b"SIP/2.0/UDP a:0", b"SIP/2.0/UDP a:65536", b"SIP/2.0/UDP ::1",
    b"SIP/2.0/UDP [::1", b"SIP/2.0/UDP a;", b"SIP/2.0/UDP a;;branch=x", b"SIP/2.0/UDP a;=x",
    b'SIP/2.0/UDP a;x="open', b'SIP/2.0/UDP a;x="y"z', b"SIP/2.0/UDP a;rport=x", b"SIP/2.0/UDP a;rport=0",
    b"SIP/2.0/UDP a;rport=65536", b"SIP/2.0/UDP a;b c", b"SIP/2.0/UDP 192.0.2.15;;,;,,", b"SIP/2.0/UDP 1.2.3",
])
def test_unreadable_via(text):
    assert doors.via(text) == E_VIA


def test_via_params():
    text = b'SIP/2.0/UDP a ; x="b;c,d" ; BRANCH = z9hG4bKb ;rport;received=::1;FS=h;branch=no'
    via = doors.via(text)
    assert text_of(text, via["branch"]) == b"z9hG4bKb" and via["magic"]
    assert text_of(text, via["received"]) == b"::1"
    assert text_of(text, via["hint"]) == b"h"
    assert text[via["params_off"]:via["params_off"] + 3] == b"; x"
    assert (via["rport"], text[via["rport_off"] - 5:via["rport_off"] + 1]) == (0, b"rport;")


@pytest.mark.parametrize(("received", "wanted"), [(b"[::1]", b"::1"), (b"::1", b"::1"), (b"192.0.2.1",
    b"192.0.2.1")])
def test_received_with_and_without_brackets(received, wanted):
    text = b"SIP/2.0/UDP a;received=" + received + b";rport=5061"
    via = doors.via(text)
    assert (text_of(text, via["received"]), via["rport"]) == (wanted, 5061)


@pytest.mark.parametrize(("branch", "magic"), [
    (b"z9hG4bK", True), (b"Z9HG4BKx", True), (b"z9hG4b", False), (b"x", False), (b"", False),
])
def test_magic_cookie(branch, magic):
    assert doors.via(b"SIP/2.0/UDP a;branch=" + branch)["magic"] == magic


def test_all_vias_of_a_message_are_reached():
    text = messages.COMMA_VIAS
    found = doors.parse(text)
    assert text_of(text, found["second_via"]["host"]) == b"b.example"
    alone = text.replace(b",SIP/2.0/UDP b.example;branch=z9hG4bK2", b"")
    assert text_of(alone, doors.parse(alone)["second_via"]["host"]) == b"c.example"
    none = alone.replace(b"v: SIP", b"x-v: SIP")
    assert doors.parse(none)["second_code"] == oracle.CODES["NONE"]
    broken = text.replace(b"UDP b.example", b"UDP")
    assert doors.parse(broken)["second_code"] == E_VIA


# ---------------------------------------------------------------- name-addr

@pytest.mark.parametrize(("text", "display", "uri", "params"), [
    (b"<sip:a@b>", b"", b"sip:a@b", b""),
    (b" < sip:a@b > ", b"", b"sip:a@b", b""),
    (b"sip:a@b", b"", b"sip:a@b", b""),
    (b"sip:a@b;tag=x", b"", b"sip:a@b", b";tag=x"),
    (b"<sip:a@b;lr>;p ; q = 1 ", b"", b"sip:a@b;lr", b";p ; q = 1"),
    (b"Bob <sip:a@b>", b"Bob", b"sip:a@b", b""),
    (b"Bob<sip:a@b>", b"Bob", b"sip:a@b", b""),
    (b"Two Words\r\n <sip:a@b>", b"Two Words", b"sip:a@b", b""),
    (b'"x, <y> \\" ;"<sip:a@b>', b'"x, <y> \\" ;"', b"sip:a@b", b""),
    (b'""\t<sip:a,b@c>', b'""', b"sip:a,b@c", b""),
    (b"<sip:a@b>;;x=\"a;b\";", b"", b"sip:a@b", b";;x=\"a;b\";"),
])
def test_name_addr(text, display, uri, params):
    value = doors.name_addr(text)
    assert [text_of(text, value[key]) for key in ("display", "uri", "params")] == [display, uri, params]
    assert value["last"] and value["bracketed"] == (b"<" in text)


@pytest.mark.parametrize("text", [
    b"", b" ", b"<>", b"< >", b"<sip:a", b'"open <sip:a>', b'"closed" sip:a', b'"\\"', b"<sip:a> x",
    b"<sip:a>>",
    b"a b", b";tag=x", b",", b"<sip:a>;t=\"x", b"<sip:a>;a b", b"<sip:a>;=x", b"sip:a\0b",
])
def test_unreadable_name_addr(text):
    assert doors.name_addr(text) == E_BAD


def test_several_values():
    text = b'<sip:r1;lr>, "r, two" <sip:r2;lr>;p="1,2"\r\n ,sip:r3'
    found = walk(doors.name_addr, text)
    assert [text_of(text, value["uri"]) for value in found] == [b"sip:r1;lr", b"sip:r2;lr", b"sip:r3"]
    odd = b" ,<sip:a>,, ,<sip:b> ,"
    assert [text_of(odd, value["uri"]) for value in walk(doors.name_addr, odd)] == [b"sip:a", b"sip:b"]
    assert walk(doors.name_addr, b", ,")[-1] == E_BAD


# ---------------------------------------------------------------- parameters, numbers, names

@pytest.mark.parametrize(("params", "name", "wanted"), [
    (b";a=b;c", b"a", b"b"), (b";a=b;c", b"A", b"b"), (b";a=b;c", b"c", b""), (b";a=b;c", b"b", None),
    (b"; A = b ", b"a", b"b"), (b';x=";a=1";a=2', b"a", b"2"), (b';a="q;\\""', b"a", b'"q;\\""'), (b"",
    b"a", None),
    (b";;a=1", b"a", b"1"), (b";lr;maddr=[::1]:5", b"maddr", b"[::1]:5"), (b";a b;c=1", b"c", None),
])
def test_find_param(params, name, wanted):
    found = doors.param(params, name)
    assert (found and text_of(params, found)) == wanted if found is None or wanted else found[1] == 0


@pytest.mark.parametrize(("text", "digits", "wanted"), [
    (b"0", 1, 0), (b"0070", 4, 70), (b"0070", 3, E_BAD), (b"", 5, E_BAD), (b"-1", 5, E_BAD), (b"1 ", 5,
    E_BAD),
    (b"999999999999999999", 18, 999999999999999999), (b"1" * 19, 18, E_BAD), (b"1a", 5, E_BAD),
])
def test_number(text, digits, wanted):
    assert doors.number(text, digits) == wanted


def test_methods():
    for wanted, name in enumerate(oracle.METHODS):
        assert doors.method(name) == (wanted, name)
        assert doors.method(name + b"X") == (0, b"")
        assert doors.method(name.lower()) == (0, b"")
    for near in (b"INVITA", b"NVITE", b"OPTIONZ", b"REGISTRR", b"x" * 30):
        assert doors.method(near)[0] == 0


@pytest.mark.parametrize(("name", "wanted"), [
    (b"X-Odd", b";;,=?\""), (b"x-odd", b";;,=?\""), (b"Subject", b""), (b"s", b""), (b"SUBJECT", b""),
    (b"Via", b"SIP /"), (b"Call-ID", b"fold.1"), (b"I", b"fold.1"), (b"X-Od", None), (b"Route", None),
    (b"Event", None),
])
def test_find_header(name, wanted):
    index = doors.header(messages.FOLDED, name)
    if wanted is None:
        assert index is None
    else:
        value = text_of(messages.FOLDED, doors.parse(messages.FOLDED)["headers"][index][2])
        assert value.startswith(wanted) and bool(value) == bool(wanted)


# ---------------------------------------------------------------- oracle

PIECES = st.lists(st.sampled_from([
    b"SIP/2.0/UDP", b"SIP", b"/", b" ", b"\r\n ", b"a.example", b"192.0.2.1", b"[::1]", b":", b"5060",
    b";", b"branch",
    b"rport", b"received", b"=", b"z9hG4bK", b",", b'"', b"\\", b"<", b">", b"tag", b"sip:a@b", b"x",
    b"fs", b"@",
]), max_size=14).map(b"".join)


@settings(max_examples=1500, deadline=None)
@given(st.one_of(PIECES, PIECES.map(lambda rest: b"SIP/2.0/UDP a" + rest),
    PIECES.map(lambda rest: b"<sip:a>" + rest)))
def test_values_as_the_oracle_reads_them(text):
    text = text.strip(b" \t\r\n")
    left = text
    for value in walk(doors.name_addr, text):
        try:
            wanted = oracle.read_name_addr(left)
        except oracle.Refused:
            assert value == E_BAD
            break
        for key in ("display", "uri"):
            assert text_of(text, value[key]) == wanted[key]
        assert (value["bracketed"], value["last"]) == (wanted["bracketed"], wanted["last"])
        left = wanted["left"]
    left = text
    for value in walk(doors.via, text):
        try:
            wanted = oracle.read_via(left)
        except oracle.Refused:
            assert value == E_VIA
            break
        for key in ("host", "branch", "received", "hint"):
            assert text_of(text, value[key]) == wanted[key]
        assert (value["port"], value["rport"], value["last"]) == (wanted["port"], wanted["rport"],
        wanted["last"])
        left = wanted["left"]
