"""CANCEL: answered at once, carried on when it may be, and what comes back."""

from ua import UserAgent

from .edge import NUMBER, edge_config, expect_call, finals, settle

PATIENT = 'on = [500, "timeout", "transport"]'  # the branch's own end is 64·T1


async def test_while_it_rings(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address], policy=PATIENT))
        call = alice.invite(NUMBER, edge)
        invite = await expect_call(bob, call)
        bob.ring(invite)
        await call.expect(180)
        call.cancel(headers=[("Reason", 'SIP;cause=200;text="Answered at home"')])
        ok = await call.expect(200)
        assert ok.get("CSeq") == "1 CANCEL"
        cancel = await bob.expect("CANCEL")
        assert (cancel.uri, cancel.branch, cancel.cseq) == (invite.uri, invite.branch, invite.cseq)
        assert len(cancel.values("Via")) == 1 and cancel.to_tag == ""
        assert cancel.get("From") == invite.get("From") and cancel.source == edge
        assert cancel.get("Reason") == 'SIP;cause=200;text="Answered at home"'
        bob.reply(cancel, 200)
        bob.reply(invite, 487)
        ack = await bob.expect("ACK")
        assert ack.branch == invite.branch and ack.to_tag
        await call.refused(487)
        await settle(alice, edge)
        await bob.quiet("INVITE", 0.2)


async def test_before_anything_was_heard_from_the_callee(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address], policy=PATIENT))
        call = alice.invite(NUMBER, edge)
        invite = await expect_call(bob, call)
        call.cancel()
        assert (await call.expect(200)).get("CSeq") == "1 CANCEL"
        # RFC 3261 9.1: no CANCEL before a provisional response; the INVITE itself goes on.
        repeated = await bob.expect("INVITE")
        assert repeated.to_bytes() == invite.to_bytes()
        assert not bob.waiting("CANCEL") and not finals(alice, call)
        bob.ring(invite)
        cancel = await bob.expect("CANCEL")
        assert cancel.branch == invite.branch
        bob.reply(cancel, 200)
        bob.reply(invite, 487)
        assert (await bob.expect("ACK")).branch == invite.branch
        await call.refused(487)
        bob.inbox.clear()
        await bob.quiet("INVITE", 0.5)  # longer than T2: nothing repeats it any more


async def test_a_100_of_the_callee_lets_the_cancel_through(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address], policy=PATIENT))
        call = alice.invite(NUMBER, edge)
        invite = await expect_call(bob, call)
        call.cancel()
        await call.expect(200)
        bob.reply(invite, 100)
        assert (await bob.expect("CANCEL")).branch == invite.branch


async def test_the_answer_crosses_the_cancel(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address], policy=PATIENT))
        call = alice.invite(NUMBER, edge)
        invite = await expect_call(bob, call)
        bob.ring(invite)
        await call.expect(180)
        call.cancel()
        assert (await call.expect(200)).cseq_method == "CANCEL"
        cancel = await bob.expect("CANCEL")
        bob_leg = bob.answer(invite)
        bob.reply(cancel, 200)
        alice_leg = await call.established()
        assert alice_leg.ok.cseq_method == "INVITE"
        await bob_leg.expect("ACK")
        alice_leg.bye()
        bob.reply(await bob_leg.expect("BYE"), 200)
        assert (await alice_leg.expect(200)).cseq_method == "BYE"
        assert not finals(alice, call)


async def test_a_silent_callee_ends_in_487_and_not_in_failover(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob, UserAgent() as carol:
        router(edge_config(edge, [bob.address, carol.address]))
        call = alice.invite(NUMBER, edge)
        await expect_call(bob, call)
        call.cancel()
        await call.expect(200)
        await call.refused(487)
        await carol.quiet("INVITE", 0.6)


async def test_a_repeated_cancel_is_answered_again(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address], policy=PATIENT))
        call = alice.invite(NUMBER, edge)
        bob.ring(await expect_call(bob, call))
        await call.expect(180)
        for _ in range(2):
            call.cancel()
            assert (await call.expect(200)).cseq_method == "CANCEL"


async def test_after_the_answer_it_changes_nothing(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address], policy=PATIENT))
        call = alice.invite(NUMBER, edge)
        bob_leg = bob.answer(await expect_call(bob, call))
        alice_leg = await call.established()
        await bob_leg.expect("ACK")
        call.cancel()
        await call.expect(lambda m: m.cseq_method == "CANCEL" and m.status in (200, 481))
        await settle(alice, edge)
        assert not bob.waiting("CANCEL")
        alice_leg.bye()
        bob.reply(await bob_leg.expect("BYE"), 200)
        await alice_leg.expect(200)


async def test_a_cancel_without_state_follows_the_rules(router, free_port):
    """RFC 3261 16.10: without a response context it is forwarded statelessly, never answered by us."""
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address]))
        sent = alice.request("CANCEL", NUMBER, edge)
        cancel = await bob.expect("CANCEL")
        assert (cancel.call_id, len(cancel.values("Via"))) == (sent.call_id, 2)
        bob.reply(cancel, 481)
        assert (await alice.expect(lambda m: m.status)).status == 481
