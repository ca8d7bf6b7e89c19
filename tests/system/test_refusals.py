"""What the router refuses, what it ignores, and that no ACK is ever answered (docs/design.md#bad-input-and-bounds)."""

import struct

import pytest
from ua import UserAgent

from fastsip.ua.message import make_ack

from .edge import NUMBER, connect, edge_config, settle, sip_uri

GARBAGE = [
    b"\0",
    b"hello",
    b"\xff" * 200,
    b"INVITE",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"SIP/2.0 200 OK\r\n\r\n",
    b"INVITE sip:x@y SIP/2.0\r\n\r\n",
    bytes(range(256)) * 20,
]


async def refused(router, free_port, status, spoil, method="INVITE", rules=""):
    """A request that `spoil` made unacceptable gets `status` and reaches nobody; returns the response."""
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address], rules=rules))
        request = alice.make(method, NUMBER)
        spoil(request, edge)
        alice.send(request, edge)
        answer = await alice.expect(lambda m: m.call_id == request.call_id and m.status >= 200)
        assert answer.status == status, str(answer)
        assert answer.branch == request.branch
        if method == "INVITE":
            assert answer.to_tag
            alice.send(make_ack(request, answer), edge)
        await settle(alice, edge)
        await bob.quiet(lambda m: True, 0.2)
        return answer


async def test_max_forwards_zero(router, free_port):
    await refused(router, free_port, 483, lambda request, _: request.set("Max-Forwards", "0"))


FORWARD = """
[[route]]
when = { source = ["127.0.0.0/8"] }
forward = "request-uri"
"""


@pytest.mark.parametrize("uri", ["foo:bar", "mailto:bob@example.net", "http://example.net/"])
async def test_unknown_scheme_where_it_must_lead_the_way(router, free_port, uri):
    await refused(router, free_port, 416, lambda request, _: setattr(request, "uri", uri), rules=FORWARD)


async def test_proxy_require(router, free_port):
    answer = await refused(
        router, free_port, 420, lambda request, _: request.set("Proxy-Require", "foo, bar")
    )
    assert answer.values("Unsupported") == ["foo", "bar"]


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("CSeq", "1 BYE"),
        ("CSeq", "4294967296 INVITE"),
        ("Max-Forwards", "many"),
        ("Content-Length", "9999"),
        ("Content-Length", "-1"),
    ],
)
async def test_malformed_with_a_via(router, free_port, header, value):
    await refused(router, free_port, 400, lambda request, _: request.set(header, value))


async def test_a_broken_non_invite(router, free_port):
    await refused(router, free_port, 400, lambda request, _: request.set("CSeq", "1 BYE"), method="MESSAGE")


async def test_nobody_relays_by_an_invented_to_tag(router, free_port):
    """Neither the token nor source and next hop vouch for it: 403 (docs/wire.md#requests-of-dialogs)."""
    await refused(
        router, free_port, 403, lambda request, _: request.set("To", f"<{NUMBER}>;tag=invented"), "BYE"
    )


async def test_a_dialog_nobody_knows(router, free_port):
    def spoil(request, edge):
        request.uri = sip_uri(edge)
        request.set("To", f"<{sip_uri(edge)}>;tag=invented")

    await refused(router, free_port, 481, spoil, "BYE")


async def test_no_rule_matches(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address], when='when = { user_prefix = ["8"] }'))
        await alice.invite("sip:90123@example.net", edge).refused(404)
        assert not bob.inbox
        leg, _ = await connect(alice, bob, edge)
        assert leg.ok.status == 200


async def test_a_rule_that_replies(router, free_port):
    edge = ("127.0.0.1", free_port())
    rule = '[[route]]\nwhen = { user = ["blocked"] }\nreply = "603 Not today"\n'
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address], rules=rule))
        final = await alice.invite("sip:blocked@example.net", edge).refused(603)
        assert final.reason == "Not today" and not bob.inbox


@pytest.mark.parametrize("max_forwards", ["70", "0"])
async def test_options_to_the_router_itself(router, free_port, max_forwards):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address]))
        request = alice.make("OPTIONS", sip_uri(edge)).set("Max-Forwards", max_forwards)
        alice.send(request, edge)
        ok = await alice.expect(200)
        assert ok.lines("Accept") and ok.lines("Supported") and ok.to_tag and not ok.lines("Allow")
        assert not bob.inbox


def encapsulated(alice: UserAgent, edge) -> bytes:
    """What a collector would get: the first line ends as that of a request, and all its headers stand behind."""
    request = alice.make("OPTIONS", sip_uri(edge)).to_bytes()
    chunk = struct.pack(">HHH", 0, 15, 6 + len(request)) + request
    return b"HEP3" + struct.pack(">H", 6 + len(chunk)) + chunk


async def test_garbage_and_keep_alives_are_ignored(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address]))
        for datagram in (*GARBAGE, encapsulated(alice, edge), b"\r\n", b"\r\n\r\n", b"", b"\0\0\0\0"):
            alice.send(datagram, edge)
        await settle(alice, edge)
        assert (alice.inbox, alice.unreadable, bob.inbox, bob.unreadable) == ([], [], [], [])


async def test_stray_responses_go_nowhere(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address]))
        call = alice.invite(NUMBER, edge)
        invite = await bob.expect("INVITE")
        await call.expect(100)
        forged = bob.reply(invite, 486).set("Via", f"SIP/2.0/UDP 127.0.0.1:{edge[1]};branch=z9hG4bKforged")
        await call.refused(486)
        await settle(alice, edge)
        alice.inbox.clear()
        bob.send(forged, edge)
        await settle(bob, edge)
        await alice.quiet(lambda m: True, 0.2)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Max-Forwards", "0"),
        ("Proxy-Require", "foo"),
        ("CSeq", "1 BYE"),
        ("Content-Length", "9999"),
        ("To", f"<{NUMBER}>;tag=invented"),
        ("Subject", "nothing wrong, but nothing to acknowledge"),
    ],
)
async def test_an_ack_is_never_answered(router, free_port, header, value):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address]))
        alice.send(alice.make("ACK", NUMBER).set(header, value), edge)
        alice.send(alice.make("ACK", "foo:bar").set(header, value), edge)
        await settle(alice, edge)
        await alice.quiet(lambda m: True, 0.2)
        assert not bob.inbox
