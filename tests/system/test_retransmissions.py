"""What repeats, what is absorbed, and what is said again (RFC 3261 section 17, RFC 6026)."""

from itertools import pairwise

from ua import UserAgent

from .edge import NUMBER, connect, edge_config, expect_call, settle

PATIENT = 'on = [500, "timeout", "transport"]'


async def test_a_repeated_invite_gets_the_last_provisional_again(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address], policy=PATIENT))
        call = alice.invite(NUMBER, edge)
        invite = await expect_call(bob, call)
        await call.expect(100)
        bob.ring(invite, 183)
        progress = await call.expect(183)
        bob.inbox.clear()
        for _ in range(3):
            call.again()
            again = await call.expect(lambda m: m.status)
            assert again.to_bytes() == progress.to_bytes()
        await bob.quiet("INVITE", 0.5)


async def test_a_repeated_invite_gets_100_while_nothing_else_came(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address], policy=PATIENT))
        call = alice.invite(NUMBER, edge)
        await call.expect(100)
        call.again()
        await call.expect(100)
        branches = {(await expect_call(bob, call)).branch for _ in range(3)}
        assert len(branches) == 1  # repetitions of one branch, never a second one


async def test_an_unanswered_invite_is_repeated_until_something_comes(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address], policy=PATIENT))
        call = alice.invite(NUMBER, edge)
        copies = await bob.expect_count("INVITE", 4)
        assert len({copy.to_bytes() for copy in copies}) == 1
        gaps = [later.at - earlier.at for earlier, later in pairwise(copies)]
        assert gaps[2] > gaps[0]  # timer A doubles: 0.1, 0.2, 0.4 s
        bob.reply(copies[0], 100)
        await settle(alice, edge)
        bob.inbox.clear()
        await bob.quiet("INVITE", 1.2)  # the next would have come after 0.8 s
        bob.answer(copies[0])
        await call.established()


async def test_an_unanswered_bye_is_repeated(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address]))
        alice_leg, bob_leg = await connect(alice, bob, edge)
        alice_leg.bye()
        copies = await bob.expect_count("BYE", 3)
        assert len({copy.to_bytes() for copy in copies}) == 1
        bob.reply(copies[0], 200)
        await alice_leg.expect(200)
        bob.inbox.clear()
        await bob.quiet("BYE", 0.6)
        assert bob_leg.dialog.call_id == copies[0].call_id


async def test_a_repeated_bye_gets_the_stored_200(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address]))
        alice_leg, bob_leg = await connect(alice, bob, edge)
        bye = alice_leg.bye()
        bob.reply(await bob_leg.expect("BYE"), 200, "Goodbye")
        ok = await alice_leg.expect(200)
        bob.inbox.clear()
        for _ in range(3):
            alice_leg.again(bye)
            assert (await alice_leg.expect(200)).to_bytes() == ok.to_bytes()
        assert not bob.waiting("BYE")


async def test_a_refusal_is_repeated_until_the_ack(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address]))
        call = alice.invite(NUMBER, edge)
        invite = await expect_call(bob, call)
        bob.reply(invite, 404, "Nobody")
        ack = await bob.expect("ACK")  # hop by hop, at once (17.1.1.3)
        assert ack.branch == invite.branch and len(ack.values("Via")) == 1
        copies = await alice.expect_count(404, 3)
        assert len({copy.to_bytes() for copy in copies}) == 1 and copies[0].reason == "Nobody"
        call.ack(copies[0])
        await settle(alice, edge)
        alice.inbox.clear()
        await call.quiet(404, 1.0)
        assert not bob.waiting("ACK")  # the caller's ACK ends here


async def test_a_repeated_refusal_is_acknowledged_again(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address]))
        call = alice.invite(NUMBER, edge)
        invite = await expect_call(bob, call)
        for _ in range(3):
            bob.reply(invite, 486)
            assert (await bob.expect("ACK")).branch == invite.branch
        await call.refused(486)


async def test_each_repeated_200_goes_up_and_each_ack_down(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address]))
        call = alice.invite(NUMBER, edge)
        invite = await expect_call(bob, call)
        leg = bob.answer(invite)
        first = await call.expect(200)
        for _ in range(3):
            bob.send_reply(leg.ok, invite)
            again = await call.expect(200)
            assert again.to_bytes() == first.to_bytes()
            call.ack(again)
            assert (await leg.expect("ACK")).uri == bob.uri


async def test_a_repeated_invite_after_the_200_is_absorbed(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address]))
        call = alice.invite(NUMBER, edge)
        invite = await expect_call(bob, call)
        leg = bob.answer(invite)
        await call.established()
        await leg.expect("ACK")
        bob.inbox.clear()
        call.again()
        await settle(alice, edge)
        await bob.quiet("INVITE", 0.3)


async def test_a_repeated_provisional_is_forwarded_each_time(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address], policy=PATIENT))
        call = alice.invite(NUMBER, edge)
        invite = await expect_call(bob, call)
        rang = bob.ring(invite)
        await call.expect(180)
        for _ in range(2):
            bob.send_reply(rang, invite)
            await call.expect(180)
        bob.reply(invite, 100)  # hop by hop: never forwarded
        await settle(alice, edge)
        assert len(alice.waiting(100)) == 1
