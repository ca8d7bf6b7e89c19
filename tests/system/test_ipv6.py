"""Calls over IPv6, and between the families (RFC 5658)."""

import socket

import pytest
from ua import UserAgent

from fastsip.ua.message import host_text, param, sent_by, uri_address, uri_of

from .edge import NUMBER, connect, edge_config, expect_call


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


async def test_a_call_over_ipv6(router, free_port):
    edge = ("::1", free_port("::1"))
    async with UserAgent("::1", name="alice") as alice, UserAgent("::1", name="bob") as bob:
        router(edge_config(edge, [bob.address]))
        call = alice.invite(NUMBER, edge)
        invite = await expect_call(bob, call)
        ours, hers = invite.values("Via")
        assert sent_by(ours) == edge and host_text("::1") in ours
        assert (param(hers, "received"), param(hers, "rport")) == ("::1", str(alice.port))
        (route,) = invite.values("Record-Route")
        assert uri_address(uri_of(route)) == edge
        bob_leg = bob.answer(invite)
        alice_leg = await call.established()
        await bob_leg.expect("ACK")
        bob_leg.bye()
        alice.reply(await alice_leg.expect("BYE"), 200)
        await bob_leg.expect(200)


async def test_from_ipv4_to_ipv6_and_back(router, free_port):
    inside, outside = ("::1", free_port("::1")), ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent("::1", name="bob") as bob:
        router(edge_config(outside, [bob.address], listeners=[inside]))
        call = alice.invite(NUMBER, outside)
        invite = await expect_call(bob, call)
        assert invite.source == inside and sent_by(invite.via) == inside
        # Each side finds an address of its own family first.
        routes = [uri_address(uri_of(route)) for route in invite.values("Record-Route")]
        assert routes == [inside, outside]
        bob_leg = bob.answer(invite)
        alice_leg = await call.established()
        await bob_leg.expect("ACK")
        alice_leg.send("INFO")
        info = await bob_leg.expect("INFO")
        assert info.values("Route") == [] and info.source == inside  # both values were ours
        bob.reply(info, 200)
        await alice_leg.expect(200)
        bob_leg.bye()
        bye = await alice_leg.expect("BYE")
        assert bye.values("Route") == [] and bye.source == outside
        alice.reply(bye, 200)
        await bob_leg.expect(200)


async def test_failover_over_ipv6(router, free_port):
    edge = ("::1", free_port("::1"))
    async with UserAgent("::1") as alice, UserAgent("::1") as silent, UserAgent("::1") as bob:
        router(edge_config(edge, [silent.address, bob.address]))
        alice_leg, bob_leg = await connect(alice, bob, edge)
        assert silent.waiting("INVITE")
        alice_leg.bye()
        bob.reply(await bob_leg.expect("BYE"), 200)
        await alice_leg.expect(200)
