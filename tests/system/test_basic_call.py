"""One call through the router: what each message looks like on both sides."""

from ua import Leg, UserAgent

from fastsip.ua.message import COOKIE, caller_dialog, param, sent_by, uri_address, uri_of

from .edge import NUMBER, connect, edge_config, expect_call

KEPT = ("From", "To", "Call-ID", "CSeq", "Contact", "Content-Type", "Subject")


async def test_100_comes_before_anybody_answered(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address]))
        call = alice.invite(NUMBER, edge)
        first = await call.expect(lambda m: m.status)
        assert (first.status, first.to_tag, first.source) == (100, "", edge)
        assert first.values("Record-Route") == []
        assert first.branch == call.request.branch
        await expect_call(bob, call)


async def test_forwarded_invite(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address]))
        call = alice.invite(NUMBER, edge, headers=[("Subject", "lunch,  at noon"), ("X-Strange", "kept")])
        sent = call.request
        invite = await expect_call(bob, call)
        assert invite.source == edge
        assert invite.uri == NUMBER  # ruri = "keep"
        assert invite.get("Max-Forwards") == "69"
        assert invite.body == sent.body
        assert {name: invite.get(name) for name in KEPT} == {name: sent.get(name) for name in KEPT}
        assert invite.get("X-Strange") == "kept"
        ours, hers = invite.values("Via")
        assert sent_by(ours) == edge and param(ours, "branch").startswith(COOKIE)
        assert param(ours, "branch") != sent.branch
        assert param(hers, "branch") == sent.branch
        assert (param(hers, "received"), param(hers, "rport")) == alice_seen(alice)
        (route,) = invite.values("Record-Route")
        assert uri_address(uri_of(route)) == edge
        assert "lr" in uri_of(route).split(";")[1:]


def alice_seen(alice) -> tuple[str, str]:
    """What a Via that asked for rport must say of its sender (RFC 3581)."""
    return alice.host, str(alice.port)


async def test_caller_hangs_up(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address]))
        call = alice.invite(NUMBER, edge)
        invite = await expect_call(bob, call)
        rang = bob.ring(invite)
        ringing = await call.expect(180)
        assert ringing.to_tag == rang.to_tag
        assert [param(via, "branch") for via in ringing.values("Via")] == [call.request.branch]
        assert ringing.values("Record-Route") == invite.values("Record-Route")
        bob_leg = bob.answer(invite)
        ok = await call.expect(200)
        assert ok.body == bob_leg.ok.body and ok.get("Contact") == bob_leg.ok.get("Contact")
        assert len(ok.values("Via")) == 1
        call.ack(ok)
        ack = await bob_leg.expect("ACK")
        assert (ack.uri, ack.values("Route"), ack.get("Max-Forwards")) == (bob.uri, [], "69")
        assert len(ack.values("Via")) == 2 and ack.source == edge

        alice_leg = Leg(alice, caller_dialog(call.request, ok), ok)
        alice_leg.bye()
        bye = await bob_leg.expect("BYE")
        assert (bye.uri, bye.values("Route"), bye.cseq) == (bob.uri, [], 2)
        assert bye.branch != invite.branch and len(bye.values("Via")) == 2
        bob.reply(bye, 200)
        assert (await alice_leg.expect(200)).get("CSeq") == "2 BYE"


async def test_callee_hangs_up(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address]))
        alice_leg, bob_leg = await connect(alice, bob, edge)
        sent = bob_leg.bye()
        assert bob_leg.dialog.next_hop == edge
        bye = await alice_leg.expect("BYE")
        assert (bye.uri, bye.values("Route"), bye.get("Max-Forwards")) == (alice.uri, [], "69")
        assert (bye.from_tag, bye.to_tag) == (sent.from_tag, sent.to_tag)
        assert bye.source == edge
        alice.reply(bye, 200)
        assert (await bob_leg.expect(200)).get("CSeq") == "1 BYE"


async def test_requests_in_both_directions_inside_a_dialog(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address]))
        alice_leg, bob_leg = await connect(alice, bob, edge)
        for near, far in ((alice_leg, bob_leg), (bob_leg, alice_leg)):
            sent = near.send("INFO", body=b"something")
            info = await far.expect("INFO")
            assert info.body == b"something" and info.get("CSeq") == sent.get("CSeq")
            far.ua.reply(info, 202, "Fine")
            answer = await near.expect(202)
            assert answer.reason == "Fine" and answer.get("CSeq") == sent.get("CSeq")


async def test_reinvite_from_the_callee(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address]))
        alice_leg, bob_leg = await connect(alice, bob, edge)
        sent = bob_leg.send("INVITE", headers=[bob.contact])
        invite = await alice_leg.expect("INVITE")
        alice.reply(invite, 200, headers=[alice.contact])
        await bob_leg.expect(200)
        ack = bob_leg.dialog.request("ACK", bob.address, cseq=sent.cseq)
        bob.send(ack, edge)
        assert (await alice_leg.expect("ACK")).cseq == sent.cseq


async def test_without_rport_responses_go_to_the_port_of_the_via(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob, UserAgent() as elsewhere:
        router(edge_config(edge, [bob.address]))
        invite = alice.make("INVITE", NUMBER)
        invite.set("Via", f"SIP/2.0/UDP pc.example.net:{elsewhere.port};branch={invite.branch}")
        alice.send(invite, edge)
        trying = await elsewhere.expect(100)
        assert (param(trying.via, "received"), param(trying.via, "rport")) == ("127.0.0.1", None)
        at_bob = await bob.expect("INVITE")
        bob.reply(at_bob, 486)
        busy = await elsewhere.expect(486)
        assert sent_by(busy.via) == ("pc.example.net", elsewhere.port)
        assert not alice.inbox


async def test_compact_headers_and_folding_pass_as_they_are(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address]))
        call_id = "compact@example.net"
        alice.send(
            (
                f"INVITE {NUMBER} SIP/2.0\r\n"
                f"v: SIP/2.0/UDP 127.0.0.1:{alice.port};branch=z9hG4bKcompact;rport\r\n"
                f"Max-Forwards: 10\r\nf: <sip:a@example.net>;tag=1\r\nt: <{NUMBER}>\r\ni: {call_id}\r\n"
                f"CSeq: 7\r\n  INVITE\r\nm: <{alice.uri}>\r\ns: one\r\n\ttwo\r\nl: 0\r\n\r\n"
            ).encode(),
            edge,
        )
        invite = await bob.expect("INVITE")
        assert (invite.call_id, invite.cseq, invite.get("Subject")) == (call_id, 7, "one two")
        assert invite.get("Max-Forwards") == "9"
        bob.reply(invite, 404)
        assert (await alice.expect(404)).call_id == call_id
