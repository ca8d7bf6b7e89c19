"""Health by OPTIONS: who is asked, from where, and what follows from silence."""

import asyncio

from ua import UserAgent

from fastsip.ua.message import COOKIE, sent_by, uri_of

from .edge import NUMBER, edge_config, expect_call, first_callee, sip_uri

PROBE = '{ interval = "150ms", timeout = "150ms", rise = 1, fall = 2, from = "sip:edge1@example.net" }'
POLICY = 'on = [500, "transport"]\nmark = "none"'  # no clock that a machine that stalls could run out


class Responder:
    """Answers the probes that reach `ua` while `status` is not None."""

    def __init__(self, ua: UserAgent, status: int | None = 200):
        self.ua, self.status, self.seen = ua, status, 0

    async def __aenter__(self):
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_):
        # A cancellation that meets an arriving probe can be lost in wait_for: ask again.
        for _ in range(100):
            self._task.cancel()
            if (await asyncio.wait([self._task], timeout=0.1))[0]:
                return
        raise AssertionError("the responder does not end")

    async def _run(self):
        while True:
            probe = await self.ua.expect("OPTIONS", timeout=60)
            self.seen += 1
            if self.status is not None:
                self.ua.reply(probe, self.status)


async def first_choice(alice, bob, carol, edge) -> UserAgent:
    """Which of the two a new call reaches first; the call is refused there and over."""
    call = alice.invite(NUMBER, edge)
    chosen, invite = await first_callee(call, bob, carol)
    chosen.reply(invite, 486)
    await call.refused(486)
    return chosen


async def until_chosen(wanted, alice, bob, carol, edge) -> bool:
    """Places calls until `wanted` is the first choice; each takes a moment, so 100 are some seconds."""
    for _ in range(100):
        if await first_choice(alice, bob, carol, edge) is wanted:
            return True
        await bob.quiet(lambda m: False, 0.1)  # a tenth of a second of probing
    return False


async def test_probes_come_from_the_listener(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address], probe=PROBE))
        probe = await bob.expect("OPTIONS")
        assert probe.source == edge and sent_by(probe.via) == edge
        assert probe.branch.startswith(COOKIE) and probe.uri == sip_uri(bob.address)
        assert uri_of(probe.get("From")) == "sip:edge1@example.net" and probe.from_tag
        assert probe.to_tag == "" and int(probe.get("Max-Forwards")) > 0
        bob.reply(probe, 200)
        second = await bob.expect(lambda m: m.method == "OPTIONS" and m.branch != probe.branch)
        assert (second.call_id, second.cseq) != (probe.call_id, probe.cseq)


async def test_down_after_fall_and_back(router, free_port):
    edge = ("127.0.0.1", free_port())
    async with (
        UserAgent(name="alice") as alice,
        UserAgent(name="bob") as bob,
        UserAgent(name="carol") as carol,
        Responder(bob) as bobs,
        Responder(carol),
    ):
        router(edge_config(edge, [bob.address, carol.address], probe=PROBE, policy=POLICY))
        assert await until_chosen(bob, alice, bob, carol, edge)
        bobs.status = None
        assert await until_chosen(carol, alice, bob, carol, edge)
        unanswered = bobs.seen
        assert await first_choice(alice, bob, carol, edge) is carol
        bobs.status = 200
        assert await until_chosen(bob, alice, bob, carol, edge)
        assert bobs.seen > unanswered  # it was probed while it was down


async def test_any_answer_but_a_few_is_health(router, free_port):
    """Many gateways refuse OPTIONS: 405 means alive, 503 does not (docs/wire.md#probes)."""
    edge = ("127.0.0.1", free_port())
    async with (
        UserAgent(name="alice") as alice,
        UserAgent(name="bob") as bob,
        UserAgent(name="carol") as carol,
        Responder(bob, 503) as bobs,
        Responder(carol, 405),
    ):
        router(edge_config(edge, [bob.address, carol.address], probe=PROBE, policy=POLICY))
        assert await until_chosen(carol, alice, bob, carol, edge)
        bobs.status = 403
        assert await until_chosen(bob, alice, bob, carol, edge)


async def test_an_icmp_error_at_one_does_not_hurt_the_other(router, free_port):
    """Probes to a closed port make the kernel report errors at our socket; the healthy one stays up."""
    edge, closed = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob, Responder(bob) as bobs:
        router(edge_config(edge, [closed, bob.address], probe=PROBE, policy=POLICY))
        for _ in range(20):
            call = alice.invite(NUMBER, edge)
            bob.reply(await expect_call(bob, call), 486)
            await call.refused(486)
        for _ in range(60):  # the first round goes out within a second
            if bobs.seen:
                break
            await alice.quiet(lambda m: False, 0.05)
        assert bobs.seen
