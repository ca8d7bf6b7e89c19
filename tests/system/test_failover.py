"""The search for a destination that takes the call (docs/wire.md#what-fails-over is the law here)."""

import pytest
from ua import UserAgent

from fastsip.ua.message import param

from .edge import NUMBER, edge_config, expect_call, finals, settle

FIRST_SILENT = 'on = [500, "timeout", "transport"]\ntimeout = "400ms"'
EXHAUSTED = FIRST_SILENT + '\nexhausted = "404 No destination"'


class Search:
    """Alice before a router with two destinations; bob comes first, carol second."""

    def __init__(self, router, free_port, policy=FIRST_SILENT, **parts):
        self.edge = ("127.0.0.1", free_port())
        self.alice, self.bob, self.carol = (UserAgent(name=name) for name in ("alice", "bob", "carol"))
        self._router, self._policy, self._parts = router, policy, parts

    async def __aenter__(self):
        for ua in (self.alice, self.bob, self.carol):
            await ua.__aenter__()
        both = [self.bob.address, self.carol.address]
        self._router(edge_config(self.edge, both, policy=self._policy, **self._parts))
        return self

    async def __aexit__(self, *failure):
        for ua in (self.alice, self.bob, self.carol):
            await ua.__aexit__(*failure)

    def call(self):
        return self.alice.invite(NUMBER, self.edge)

    async def at_second(self, call):
        """The INVITE at bob, who stays silent, and then at carol."""
        return await expect_call(self.bob, call), await expect_call(self.carol, call)

    async def carols(self, call, invite):
        """Carol takes the call, and it works in both directions."""
        leg = self.carol.answer(invite)
        alice_leg = await call.established()
        assert alice_leg.ok.to_tag == leg.ok.to_tag
        await leg.expect("ACK")
        alice_leg.bye()
        self.carol.reply(await leg.expect("BYE"), 200)
        await alice_leg.expect(200)


async def test_silence_moves_on(router, free_port):
    async with Search(router, free_port) as search:
        call = search.call()
        at_bob, at_carol = await search.at_second(call)
        assert at_bob.branch != at_carol.branch
        assert at_carol.get("Max-Forwards") == "69" and len(at_carol.values("Via")) == 2
        assert len(at_carol.values("Record-Route")) == 1
        await search.carols(call, at_carol)


async def test_500_moves_on_unseen_by_the_caller(router, free_port):
    async with Search(router, free_port) as search:
        call = search.call()
        at_bob = await expect_call(search.bob, call)
        search.bob.reply(at_bob, 500)
        assert (await search.bob.expect("ACK")).branch == at_bob.branch
        at_carol = await expect_call(search.carol, call)
        assert not finals(search.alice, call)
        await search.carols(call, at_carol)


async def test_a_closed_port_moves_on(router, free_port):
    policy = 'on = ["transport"]'  # without a timeout that could do it instead
    async with Search(router, free_port, policy=policy) as search:
        search.bob.close()
        call = search.call()
        await search.carols(call, await expect_call(search.carol, call))


@pytest.mark.parametrize("status", [404, 486, 603])
async def test_what_is_not_listed_goes_through(router, free_port, status):
    async with Search(router, free_port, policy=EXHAUSTED) as search:
        call = search.call()
        search.bob.reply(await expect_call(search.bob, call), status, "As it is")
        final = await call.refused(status)
        assert final.reason == "As it is"
        await search.carol.quiet("INVITE", 0.6)


async def test_a_late_200_of_an_abandoned_branch_wins(router, free_port):
    async with Search(router, free_port) as search:
        call = search.call()
        at_bob, at_carol = await search.at_second(call)
        search.carol.ring(at_carol)
        await call.expect(180)
        leg = search.bob.answer(at_bob)
        alice_leg = await call.established()
        assert alice_leg.ok.to_tag == leg.ok.to_tag
        await leg.expect("ACK")
        cancel = await search.carol.expect("CANCEL")
        assert cancel.branch == at_carol.branch
        reason = cancel.get("Reason")
        assert reason.startswith("SIP") and param(reason, "cause") == "200"
        search.carol.reply(cancel, 200)
        search.carol.reply(at_carol, 487)
        assert (await search.carol.expect("ACK")).branch == at_carol.branch
        await settle(search.alice, search.edge)
        assert not finals(search.alice, call)
        alice_leg.bye()
        search.bob.reply(await leg.expect("BYE"), 200)
        await alice_leg.expect(200)


async def test_a_late_180_of_an_abandoned_branch_is_cancelled(router, free_port):
    async with Search(router, free_port) as search:
        call = search.call()
        at_bob, at_carol = await search.at_second(call)
        late = search.bob.ring(at_bob)
        cancel = await search.bob.expect("CANCEL")
        assert cancel.branch == at_bob.branch
        search.bob.reply(cancel, 200)
        search.bob.reply(at_bob, 487)
        assert (await search.bob.expect("ACK")).branch == at_bob.branch
        await settle(search.alice, search.edge)
        assert not [m for m in search.alice.waiting(180) if m.to_tag == late.to_tag]
        assert not finals(search.alice, call)
        await search.carols(call, at_carol)


async def test_a_late_refusal_is_acknowledged_and_ignored(router, free_port):
    async with Search(router, free_port) as search:
        call = search.call()
        at_bob, at_carol = await search.at_second(call)
        search.bob.reply(at_bob, 486)
        assert (await search.bob.expect("ACK")).branch == at_bob.branch
        await settle(search.alice, search.edge)
        assert not finals(search.alice, call)
        await search.carols(call, at_carol)


async def test_an_abandoned_branch_is_no_longer_repeated(router, free_port):
    async with Search(router, free_port) as search:
        call = search.call()
        _, at_carol = await search.at_second(call)
        search.carol.ring(at_carol)
        await call.expect(180)
        search.bob.inbox.clear()
        await search.bob.quiet("INVITE", 1.0)


async def test_exhausted_replaces_silence(router, free_port):
    async with Search(router, free_port, policy=EXHAUSTED) as search:
        call = search.call()
        await search.at_second(call)
        assert (await call.refused(404)).reason == "No destination"


async def test_exhausted_replaces_listed_codes(router, free_port):
    async with Search(router, free_port, policy=EXHAUSTED) as search:
        call = search.call()
        for callee in (search.bob, search.carol):
            callee.reply(await expect_call(callee, call), 500)
        assert (await call.refused(404)).reason == "No destination"


async def test_exhausted_leaves_other_codes_alone(router, free_port):
    async with Search(router, free_port, policy=EXHAUSTED) as search:
        call = search.call()
        _, at_carol = await search.at_second(call)
        search.carol.reply(at_carol, 486)
        await call.refused(486)


async def test_silence_everywhere_is_408(router, free_port):
    async with Search(router, free_port) as search:
        call = search.call()
        await search.at_second(call)
        await call.refused(408)


async def test_the_best_answer_without_exhausted(router, free_port):
    async with Search(router, free_port) as search:
        call = search.call()
        for callee in (search.bob, search.carol):
            callee.reply(await expect_call(callee, call), 500, "Broken")
        assert (await call.refused(500)).reason == "Broken"


async def test_nothing_left_to_try_is_unavailable(router, free_port):
    """Both ports are closed and probing says so: the answer is `unavailable`, not `exhausted`."""
    policy = EXHAUSTED + '\nunavailable = "480 All closed"'
    probe = '{ interval = "200ms", timeout = "200ms", rise = 1, fall = 1 }'
    async with Search(router, free_port, policy=policy, probe=probe) as search:
        search.bob.close()
        search.carol.close()
        for _ in range(60):  # the first round of probes goes out within a second
            final = await answered(search.call())
            if final.status == 480:
                break
            assert final.status == 404
            await search.alice.quiet(lambda m: False, 0.05)
        assert (final.status, final.reason) == (480, "All closed")


async def answered(call):
    """The final response, acknowledged."""
    final = await call.expect(lambda m: m.status >= 200)
    call.ack(final)
    return final


async def test_cancel_at_the_second_destination(router, free_port):
    async with Search(router, free_port) as search:
        call = search.call()
        _, at_carol = await search.at_second(call)
        search.carol.ring(at_carol)
        await call.expect(180)
        call.cancel()
        assert (await call.expect(200)).cseq_method == "CANCEL"
        cancel = await search.carol.expect("CANCEL")
        assert cancel.branch == at_carol.branch
        search.carol.reply(cancel, 200)
        search.carol.reply(at_carol, 487)
        await call.refused(487)
        # The abandoned branch never got a provisional response: it must not see a CANCEL (9.1).
        assert not search.bob.waiting("CANCEL")
