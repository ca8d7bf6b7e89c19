"""uri: URIs by tables of cases, addresses against the standard library."""

from ipaddress import AddressValueError, IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels import parser_doors as doors

E_URI, E_BAD = -17, -23
NAME, IPV4, IPV6 = 1, 2, 3
OTHER, SIP, SIPS, TEL = 0, 1, 2, 3


def read(text: bytes) -> tuple[int, dict]:
    """The URI with its spans as texts; read once alone and once inside other bytes."""
    code, found = doors.uri(text)
    assert all(sum(found[key]) <= len(text) for key in ("user", "host", "maddr", "params", "headers"))
    shifted_code, shifted = doors.uri(b"????" + text, 4)
    assert shifted_code == code
    for key in ("scheme_name", "user", "host", "maddr", "params", "headers"):
        off, length = found[key]
        assert shifted[key] == ((off + 4, length) if off or length else (0, 0)) or length == 0
        found[key] = text[off:off + length]
    return code, found


@pytest.mark.parametrize(("text", "scheme", "user", "host", "kind", "port"), [
    (b"sip:a.example", SIP, b"", b"a.example", NAME, 0),
    (b"SIP:bob@a.example", SIP, b"bob", b"a.example", NAME, 0),
    (b"sips:bob@a.example:5061", SIPS, b"bob", b"a.example", NAME, 5061),
    (b"sip:bob:secret@192.0.2.1:5060", SIP, b"bob", b"192.0.2.1", IPV4, 5060),
    (b"sip:bob:@192.0.2.1", SIP, b"bob", b"192.0.2.1", IPV4, 0),
    (b"sip:[2001:db8::1]", SIP, b"", b"2001:db8::1", IPV6, 0),
    (b"sip:x@[2001:db8::1]:65535", SIP, b"x", b"2001:db8::1", IPV6, 65535),
    (b"sip:[2001:db8::1:5070]", SIP, b"", b"2001:db8::1:5070", IPV6, 0),
    (b"sip:x@[2001:db8:::192.0.2.1]", SIP, b"x", b"2001:db8:::192.0.2.1", IPV6, 0),
    (b"sip:user;par=u%40a.example@b.example", SIP, b"user;par=u%40a.example", b"b.example", NAME, 0),
    (b"sip:a;b?c/d,e=f&g+h$i@host", SIP, b"a;b?c/d,e=f&g+h$i", b"host", NAME, 0),
    (b"sip:sips%3Aa%40b@c.example", SIP, b"sips%3Aa%40b", b"c.example", NAME, 0),
    (b"sip:%00@c.example", SIP, b"%00", b"c.example", NAME, 0),
    (b"sip:*31#+49@c.example", SIP, b"*31#+49", b"c.example", NAME, 0),
    (b"sip:x@host_1.example.", SIP, b"x", b"host_1.example.", NAME, 0),
    (b"sip:x@1and1.example", SIP, b"x", b"1and1.example", NAME, 0),
    (b"tel:+49-30-90(1820)", TEL, b"+49-30-90(1820)", b"", 0, 0),
    (b"tel:112;phone-context=+49", TEL, b"112", b"", 0, 0),
])
def test_readable(text, scheme, user, host, kind, port):
    code, found = read(text)
    assert code == 0
    assert (found["scheme"], found["user"], found["host"]) == (scheme, user, host)
    assert (found["host_kind"], found["port"], found["len"]) == (kind, port, len(text))


@pytest.mark.parametrize("text", [
    b"", b"sip", b"sip:", b":x", b"1sip:x", b"s p:x", b"sip:@a", b"sip::pw@a", b"sip:a@", b"sip:a@b@c",
    b"sip:a b@c",
    b"sip:a@b c", b"sip:a@b:0", b"sip:a@b:65536", b"sip:a@b:99999999999999999999", b"sip:a@b:1x",
    b"sip:2001:db8::10", b"sip:[::1", b"sip:[]", b"sip:[1:2]x", b"sip:[::g]", b"sip:[::1]5060",
    b"sip:a@1.2.3",
    b"sip:a@300.1.1.1", b"sip:a@1.2.3.4.5", b"sip:a@.b", b"sip:a@b..c", b"sip:<a>@b", b"sip:a@b>",
    b'sip:"a"@b',
    b"sip:a%4@b", b"sip:a%zz@b", b"sip:a@b;x=%", b"sip:a@b;x y", b"sip:a@b;x=y=z", b"sip:a@b?x y",
    b"sip:a\0b@c",
    b"urn:", b"sip:a@\xc3\xa9", b"tel:", b"tel:+", b"tel:abc-xyz", b"tel:+1 2", b"sip: a@b", b"sip:a@b/c", b"tel:++1",
])
def test_unreadable(text):
    assert read(text)[0] == E_URI


@pytest.mark.parametrize(("text", "scheme"), [
    (b"http://a.example/", b"http"), (b"soap.beep://192.0.2.103:3002", b"soap.beep"),
    (b"nobodyKnowsThis:opaque", b"nobodyKnowsThis"), (b"sipx:a@b", b"sipx"), (b"urn:service:sos", b"urn"),
])
def test_foreign_scheme(text, scheme):
    code, found = read(text)
    assert (code, found["scheme"], found["scheme_name"]) == (0, 0, scheme)
    assert found["user"] == found["host"] == b"" and found["port"] == 0


@pytest.mark.parametrize(("text", "user", "host"), [
    (b"sip:a@b:", b"a", b"b"), (b"sip:[::1]:;lr", b"", b"::1"), (b"sip:\xc3\xa9@b", b"\xc3\xa9", b"b"),
    (b'sip:a@b;x="c"', b"a", b"b"), (b"sip:a@b;x=c@d", b"a", b"b"), (b"sip:h;x=a@b", b"h;x=a", b"b"),
])
def test_borne(text, user, host):
    code, found = read(text)
    assert (code, found["user"], found["host"], found["port"]) == (0, user, host, 0)


@pytest.mark.parametrize(("text", "params", "transport", "lr", "maddr", "headers"), [
    (b"sip:a@b;lr", b";lr", 0, True, b"", b""),
    (b"sip:a@b;LR=on;x", b";LR=on;x", 0, True, b"", b""),
    (b"sip:a@b;lrx", b";lrx", 0, False, b"", b""),
    (b"sip:a@b;transport=tcp", b";transport=tcp", 2, False, b"", b""),
    (b"sip:a@b;Transport=WSS;lr", b";Transport=WSS;lr", 5, True, b"", b""),
    (b"sip:a@b;transport=carrier-pigeon", b";transport=carrier-pigeon", 7, False, b"", b""),
    (b"sip:a@b;transport=udp;transport=tcp", b";transport=udp;transport=tcp", 1, False, b"", b""),
    (b"sip:a@b;maddr=[ff02::1];ttl=3", b";maddr=[ff02::1];ttl=3", 0, False, b"[ff02::1]", b""),
    (b"sip:a@b;;x=;", b";;x=;", 0, False, b"", b""),
    (b"sip:a@b?Subject=x&Route=%3Csip:c%3E", b"", 0, False, b"", b"Subject=x&Route=%3Csip:c%3E"),
    (b"sip:a@b:1;lr?x=y", b";lr", 0, True, b"", b"x=y"),
    (b"tel:+1;ext=5;isub=1", b";ext=5;isub=1", 0, False, b"", b""),
])
def test_params(text, params, transport, lr, maddr, headers):
    code, found = read(text)
    assert code == 0
    assert (found["params"], found["transport"], found["lr"]) == (params, transport, lr)
    assert (found["maddr"], found["headers"]) == (maddr, headers)


@pytest.mark.parametrize(("text", "result"), [
    (b"a.example rest", (9, b"a.example", NAME, 0)),
    (b"a.example:5060;x", (14, b"a.example", NAME, 5060)),
    (b"192.0.2.1:1", (11, b"192.0.2.1", IPV4, 1)),
    (b"[::1]:05060>", (11, b"::1", IPV6, 5060)),
    (b"[::1]", (5, b"::1", IPV6, 0)),
])
def test_host_port_stops_behind_it(text, result):
    code, (off, length), kind, port = doors.host_port(text)
    assert (code, text[off:off + length], kind, port) == result


@pytest.mark.parametrize("text", [
    b"", b":5060", b"[::1", b"::1", b"1.2.3.4.", b"[]", b"[:]",
])
def test_host_port_refused(text):
    assert doors.host_port(text)[0] == E_URI


@pytest.mark.parametrize(("scheme", "transport", "port"), [
    (SIP, "", 5060), (SIP, "udp", 5060), (SIP, "tcp", 5060), (SIP, "tls", 5061), (SIP, "ws", 80), (SIP, "wss", 443),
    (SIP, "sctp", 5060), (SIPS, "", 5061), (SIPS, "tcp", 5061), (SIPS, "tls", 5061), (SIPS, "ws", 443),
])  # fmt: skip
def test_usual_ports(scheme, transport, port):
    """RFC 3261 19.1.2 and 26.2.2, RFC 7118: where neither URI nor Via names one."""
    number = ("", "udp", "tcp", "tls", "ws", "wss", "sctp").index(transport)
    assert doors.default_port(scheme, number) == port


# ---------------------------------------------------------------- addresses

def check_ipv4(text: bytes) -> None:
    try:
        wanted = IPv4Address(text.decode("latin-1"))
    except (AddressValueError, ValueError):
        assert doors.address(text, IPV4)[0] == E_BAD
        return
    code, family, ip, written = doors.address(text, IPV4)
    assert (code, family, ip) == (0, 4, bytes(10) + b"\xff\xff" + wanted.packed)
    assert written == str(wanted).encode()


def check_ipv6(text: bytes) -> None:
    try:
        wanted = IPv6Address(text.decode("latin-1"))
        if wanted.scope_id is not None:
            raise ValueError
    except (AddressValueError, ValueError):
        assert doors.address(text, IPV6)[0] == E_BAD
        return
    code, family, ip, written = doors.address(text, IPV6)
    assert (code, ip) == (0, wanted.packed)
    if wanted.ipv4_mapped:
        assert (family, written) == (4, str(wanted.ipv4_mapped).encode())
    else:
        assert (family, written) == (6, b"[" + wanted.compressed.encode() + b"]")
        assert doors.address(text, IPV6, False)[3] == wanted.compressed.encode()


@pytest.mark.parametrize("text", [
    b"0.0.0.0", b"255.255.255.255", b"256.1.1.1", b"1.2.3", b"1.2.3.4.5", b"01.2.3.4",
    b"1..2.3", b".1.2.3.4", b"1.2.3.4 ", b"", b"1.2.3.4a", b"0001.2.3.4",
])
def test_ipv4(text):
    check_ipv4(text)


@pytest.mark.parametrize("text", [
    b"::", b"::1", b"1::", b"1:2:3:4:5:6:7:8", b"1:2:3:4:5:6:7::", b"::2:3:4:5:6:7:8", b"1::3:4:5:6:7:8",
    b"1:2:3:4:5:6:7", b"1:2:3:4:5:6:7:8:9", b"1:2:3:4:5:6:7:8::", b"::1::", b":::", b"1:::2", b":1", b"1:",
    b":", b"", b"::ffff:192.0.2.1", b"::192.0.2.1", b"1:2:3:4:5:6:192.0.2.1", b"1:2:3:4:5:6:7:192.0.2.1",
    b"::1.2.3",     b"12345::", b"g::", b"2001:db8:0:0:1:0:0:1", b"fe80::1%eth0", b"2001:DB8::A",
    b"0:0:0:0:0:0:0:0",
    b"1:0:0:2:0:0:0:3", b"::1:0:0:0:0", b"1.2.3.4", b"::1.2.3.4:5",
])
def test_ipv6(text):
    check_ipv6(text)


@settings(max_examples=300, deadline=None)
@given(st.text("0123456789.", max_size=16).map(str.encode))
def test_ipv4_as_the_standard_library(text):
    check_ipv4(text)


@settings(max_examples=500, deadline=None)
@given(st.one_of(
    st.text("01af:.", max_size=24).map(str.encode),
    st.lists(st.sampled_from([b"0", b"1", b"ffff", b"", b"192.0.2.1"]), max_size=9).map(b":".join),
))
def test_ipv6_as_the_standard_library(text):
    check_ipv6(text)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([0, 0, 0, 1, 0xABC, 0xFFFF]), min_size=8, max_size=8))
def test_ipv6_written_as_rfc_5952(groups):
    packed = b"".join(group.to_bytes(2, "big") for group in groups)
    assert doors.written(packed, 6, False) == IPv6Address(packed).compressed.encode()
    assert len(doors.written(packed, 6)) <= 48


@given(st.binary(max_size=6), st.binary(max_size=6))
def test_same_text(a, b):
    # bytes.lower changes A-Z only, as the kernel does
    assert doors.same(a, b) == (a.lower() == b.lower())
    assert doors.same(a, a.swapcase())


@settings(max_examples=500, deadline=None)
@given(st.text("sip:tel;=?@%41[]. aZ#+\0é", max_size=30).map(lambda text: text.encode("latin-1")))
def test_arbitrary_text_stays_inside(text):
    for candidate in (text, b"sip:" + text, b"sip:a@b;" + text, b"tel:" + text):
        code, found = read(candidate)
        assert code in (0, E_URI)
        if code == 0 and found["scheme"] not in (OTHER, TEL):
            assert found["host"] and found["host_kind"]
