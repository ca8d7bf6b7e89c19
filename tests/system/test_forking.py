"""A set that is tried in parallel, as its callees and the caller see it."""

import contextlib

from ua import UserAgent

from .edge import NUMBER, edge_config, expect_call, finals, settle
from .lives import killed_and_back

ON = 'on = [500, "timeout", "transport"]'
CALLEES = ("bob", "carol", "dave")


class Fork:
    """Alice before a router whose set has bob, carol and dave."""

    def __init__(self, free_port):
        self.edge = ("127.0.0.1", free_port())
        self.alice = UserAgent(name="alice")
        self.callees = [UserAgent(name=name) for name in CALLEES]
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self):
        for ua in (self.alice, *self.callees):
            await self._open.enter_async_context(ua)
        return self

    async def __aexit__(self, *failure):
        await self._open.aclose()

    def config(self, **parts) -> str:
        return edge_config(
            self.edge, [ua.address for ua in self.callees], **{"algorithm": "parallel", "policy": ON, **parts}
        )

    async def everywhere(self):
        """The call, and its INVITE at each of them."""
        call = self.alice.invite(NUMBER, self.edge)
        return call, [await expect_call(ua, call) for ua in self.callees]

    async def ring(self, call, invites) -> None:
        for ua, invite in zip(self.callees, invites, strict=True):
            ua.ring(invite)
        await self.alice.expect_count(lambda m: m.status == 180 and m.call_id == call.call_id, len(invites))

    async def carol_answers(self, call, invites) -> None:
        """The others are cancelled and hear why; the call works in both directions."""
        bob, carol, dave = self.callees
        leg = carol.answer(invites[1])
        alice_leg = await call.established()
        assert alice_leg.ok.to_tag == leg.ok.to_tag
        await leg.expect("ACK")
        for ua, invite in ((bob, invites[0]), (dave, invites[2])):
            cancel = await ua.expect("CANCEL")
            assert (cancel.branch, cancel.uri) == (invite.branch, invite.uri)
            assert cancel.get("Reason") == 'SIP;cause=200;text="Call completed elsewhere"'
            ua.reply(cancel, 200)
            ua.reply(invite, 487)
            assert (await ua.expect("ACK")).branch == invite.branch
        await settle(self.alice, self.edge)
        assert not finals(self.alice, call)
        alice_leg.bye()
        carol.reply(await leg.expect("BYE"), 200)
        await alice_leg.expect(lambda m: m.status == 200 and m.cseq_method == "BYE")


async def test_one_answers_and_the_others_are_cancelled(router, free_port):
    async with Fork(free_port) as fork:
        router(fork.config())
        call, invites = await fork.everywhere()
        assert len({invite.branch for invite in invites}) == 3
        assert [invite.get("Max-Breadth") for invite in invites] == ["20"] * 3
        await fork.ring(call, invites)
        await fork.carol_answers(call, invites)


async def test_a_ringing_fork_outlives_the_router(home, free_port):
    """kill -9 while all three ring: the answer and the CANCELs go through the next process."""
    async with Fork(free_port) as fork:
        life = home.start(fork.config()).ready()
        call, invites = await fork.everywhere()
        await fork.ring(call, invites)
        await killed_and_back(life, home)
        await fork.carol_answers(call, invites)


async def test_two_answers_are_two_calls(router, free_port):
    """RFC 6026: both 200s reach alice, who keeps one and ends the other."""
    async with Fork(free_port) as fork:
        router(fork.config())
        bob, carol, _ = fork.callees
        call, invites = await fork.everywhere()
        legs = {leg.ok.to_tag: leg for leg in (bob.answer(invites[0]), carol.answer(invites[1]))}
        alices = [await call.established() for _ in legs]
        assert {leg.ok.to_tag for leg in alices} == set(legs)
        for alice_leg in alices:
            leg = legs[alice_leg.ok.to_tag]
            await leg.expect("ACK")
            alice_leg.bye()
            leg.ua.reply(await leg.expect("BYE"), 200)
            await alice_leg.expect(lambda m: m.status == 200 and m.cseq_method == "BYE")


async def test_the_next_tier_when_all_of_the_first_refuse(router, free_port):
    async with Fork(free_port) as fork:
        bob, carol, dave = fork.callees
        text = fork.config()
        for ua in (bob, carol):
            uri = f'"sip:127.0.0.1:{ua.address[1]}"'
            text = text.replace(uri, f"{{ uri = {uri}, priority = 1 }}")
        router(text)
        call = fork.alice.invite(NUMBER, fork.edge)
        pair = [await expect_call(ua, call) for ua in (bob, carol)]
        bob.reply(pair[0], 500)
        await bob.expect("ACK")
        await settle(fork.alice, fork.edge)
        assert not dave.waiting("INVITE")
        carol.reply(pair[1], 500)
        dave.reply(await expect_call(dave, call), 486)
        await call.refused(486)


async def test_challenges_of_all_reach_the_caller(router, free_port):
    async with Fork(free_port) as fork:
        router(fork.config())
        call, invites = await fork.everywhere()
        for ua, invite in zip(fork.callees, invites, strict=True):
            ua.reply(invite, 407, headers=[("Proxy-Authenticate", f'Digest realm="{ua.name}", nonce="n"')])
        final = await call.refused(407)
        realms = [line.split('"')[1] for line in final.lines("Proxy-Authenticate")]
        assert sorted(realms) == sorted(CALLEES)
