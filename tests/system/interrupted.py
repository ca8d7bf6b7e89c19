"""Calls that are interrupted in the middle: what each had reached, and how it must go on.

A scenario is written once, as a generator: up to its `yield` the call comes to where the
router shall be taken from under it; after that everything must go on as if nothing had
happened.  All of them run at the same time, each with agents, a set and a rule of its
own, and meet each kind of restart (test_takeover).
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass

from ua import Leg, OutgoingCall, UserAgent

from fastsip.ua.message import Address, Message

from .edge import expect_call, listen_table, sip_uri

# Long enough for any restart, for what must come from the test; short for what the router must do itself.
POLICIES = {
    "patient": 'on = [500, "timeout", "transport"]\ntimeout = "20s"',
    "silence": 'on = [500, "timeout", "transport"]\ntimeout = "3s"',
    "ringing": 'on = [500, "ring"]\ntimeout = "20s"\nring = "3s"',
}
# The same names, other meanings: a call that is in progress keeps what it began with.
EDITED = 'on = ["transport"]\ntimeout = "30s"\nexhausted = "480 Edited"'
TIMERS = 't1 = "200ms"\nt2 = "800ms"\nt4 = "1s"'


@dataclass
class Cast:
    """One scenario's agents: alice calls, bob is first, carol second."""

    number: int
    edge: Address
    alice: UserAgent
    bob: UserAgent
    carol: UserAgent

    @property
    def uri(self) -> str:
        return f"sip:8{self.number:02d}@example.net"

    def invite(self) -> OutgoingCall:
        return self.alice.invite(self.uri, self.edge)

    async def ringing(self) -> tuple[OutgoingCall, Message]:
        """A call that rings at bob, and its INVITE there."""
        call = self.invite()
        invite = await expect_call(self.bob, call)
        self.bob.ring(invite)
        await call.expect(180)
        return call, invite

    async def talking(self) -> tuple[Leg, Leg]:
        """An established call; the legs of alice and of bob."""
        call, invite = await self.ringing()
        bob_leg = self.bob.answer(invite)
        alice_leg = await call.established()
        await bob_leg.expect("ACK")
        return alice_leg, bob_leg

    async def refused_by_carol(self, call: OutgoingCall) -> None:
        self.carol.reply(await expect_call(self.carol, call), 486)
        await call.refused(486)


@dataclass(frozen=True)
class Scenario:
    play: Callable[[Cast], AsyncGenerator[None, None]]
    policy: str

    @property
    def name(self) -> str:
        return self.play.__name__


TABLE: list[Scenario] = []


def scenario(policy: str = "patient"):
    def add(play):
        TABLE.append(Scenario(play, policy))
        return play

    return add


async def cancelled(call: OutgoingCall, bob: UserAgent, invite: Message) -> None:
    """The CANCEL is answered, reaches the callee, and the call ends with 487."""
    call.cancel()
    assert (await call.expect(200)).cseq_method == "CANCEL"
    cancel = await bob.expect("CANCEL")
    assert cancel.branch == invite.branch
    bob.reply(cancel, 200)
    bob.reply(invite, 487)
    assert (await bob.expect("ACK")).branch == invite.branch
    await call.refused(487)


async def hung_up(alice_leg: Leg, bob_leg: Leg) -> None:
    alice_leg.bye()
    bob_leg.ua.reply(await bob_leg.expect("BYE"), 200)
    await alice_leg.expect(lambda m: m.status == 200 and m.cseq_method == "BYE")


# ---------------------------------------------------------------- calls in set-up


@scenario()
async def cancel_of_a_ringing_call(c: Cast):
    call, invite = await c.ringing()
    yield
    await cancelled(call, c.bob, invite)


@scenario()
async def cancel_before_any_ringing(c: Cast):
    """The CANCEL waits for the first provisional (RFC 3261 section 9.1), on this side of the gap or the other."""
    call = c.invite()
    invite = await expect_call(c.bob, call)
    call.cancel()
    assert (await call.expect(200)).cseq_method == "CANCEL"
    yield
    c.bob.ring(invite)
    cancel = await c.bob.expect("CANCEL")
    assert cancel.branch == invite.branch
    c.bob.reply(cancel, 200)
    c.bob.reply(invite, 487)
    await call.refused(487)


@scenario()
async def a_cancelled_callee_answers_late(c: Cast):
    """The 200 crossed the CANCEL: it still wins."""
    call, invite = await c.ringing()
    call.cancel()
    c.bob.reply(await c.bob.expect("CANCEL"), 200)
    yield
    c.bob.answer(invite)
    alice_leg = await established(call)
    alice_leg.bye()
    c.bob.reply(await c.bob.expect("BYE"), 200)


async def established(call: OutgoingCall) -> Leg:
    """Like OutgoingCall.established, past the 200 of a CANCEL."""
    while (ok := await call.expect(200)).cseq_method != "INVITE":
        pass
    call.ua.inbox.insert(0, ok)
    return await call.established()


@scenario()
async def the_answer_passes(c: Cast):
    call, invite = await c.ringing()
    yield
    bob_leg = c.bob.answer(invite)
    alice_leg = await call.established()
    await bob_leg.expect("ACK")
    await hung_up(alice_leg, bob_leg)


@scenario()
async def a_refusal_passes(c: Cast):
    call, invite = await c.ringing()
    yield
    c.bob.reply(invite, 486)
    assert (await c.bob.expect("ACK")).branch == invite.branch
    await call.refused(486)


@scenario()
async def a_500_moves_on(c: Cast):
    call, invite = await c.ringing()
    yield
    c.bob.reply(invite, 500)
    assert (await c.bob.expect("ACK")).branch == invite.branch
    await c.refused_by_carol(call)


@scenario("silence")
async def silence_moves_on_in_time(c: Cast):
    """The timer of the first life comes up in the second, and not at once."""
    loop = asyncio.get_running_loop()
    call, began = c.invite(), loop.time()
    await expect_call(c.bob, call)
    yield
    c.carol.reply(await expect_call(c.carol, call, timeout=20), 486)
    assert loop.time() - began > 2.9
    await call.refused(486)


@scenario("ringing")
async def who_rings_too_long_is_cancelled(c: Cast):
    call, invite = await c.ringing()
    yield
    cancel = await c.bob.expect("CANCEL", 20)
    c.bob.reply(cancel, 200)
    c.bob.reply(invite, 487)
    await c.refused_by_carol(call)


@scenario()
async def a_repeated_invite_makes_no_second_call(c: Cast):
    call, invite = await c.ringing()
    yield
    c.alice.inbox.clear()
    call.again()
    await call.expect(180)
    assert {m.branch for m in c.bob.waiting("INVITE")} <= {invite.branch}
    c.bob.reply(invite, 486)
    await call.refused(486)


@scenario()
async def more_ringing_passes(c: Cast):
    call, invite = await c.ringing()
    yield
    c.bob.ring(invite, 183)
    await call.expect(183)
    await cancelled(call, c.bob, invite)


@scenario()
async def an_unanswered_invite_is_repeated(c: Cast):
    """The router's retransmissions go on (Timer A), on the same branch."""
    call = c.invite()
    invite = await expect_call(c.bob, call)
    yield
    c.bob.inbox.clear()
    again = await expect_call(c.bob, call)
    assert again.branch == invite.branch
    c.bob.reply(again, 486)
    await call.refused(486)


# ---------------------------------------------------------------- calls that are over but for the end


@scenario()
async def a_refusal_is_repeated_until_its_ack(c: Cast):
    call, invite = await c.ringing()
    c.bob.reply(invite, 486)
    await call.expect(486)
    yield
    c.alice.inbox.clear()
    final = await call.expect(486)
    call.ack(final)
    await settled(c)
    c.alice.inbox.clear()
    await call.quiet(486, 1.0)  # longer than T2


@scenario()
async def a_repeated_200_passes(c: Cast):
    """RFC 6026: also after the transaction has forwarded one."""
    call, invite = await c.ringing()
    bob_leg = c.bob.answer(invite)
    alice_leg = await call.established()
    await bob_leg.expect("ACK")
    yield
    c.bob.send_reply(bob_leg.ok, invite)
    await call.expect(200)
    await hung_up(alice_leg, bob_leg)


@scenario()
async def a_repeated_bye_gets_the_same_answer(c: Cast):
    alice_leg, bob_leg = await c.talking()
    bye = alice_leg.bye()
    c.bob.reply(await bob_leg.expect("BYE"), 200)
    await alice_leg.expect(200)
    yield
    alice_leg.again(bye)
    await alice_leg.expect(200)
    await settled(c)
    assert not c.bob.waiting("BYE")


@scenario()
async def a_bye_is_answered_later(c: Cast):
    alice_leg, bob_leg = await c.talking()
    alice_leg.bye()
    bye = await bob_leg.expect("BYE")
    yield
    c.bob.reply(bye, 200)
    await alice_leg.expect(lambda m: m.status == 200 and m.cseq_method == "BYE")


@scenario()
async def a_talk_goes_on(c: Cast):
    """Dialogs are on the wire (R5, docs/design.md#shape): both sides find each other."""
    alice_leg, bob_leg = await c.talking()
    yield
    bob_leg.send("INFO")
    c.alice.reply(await alice_leg.expect("INFO"), 200)
    await bob_leg.expect(200)
    await hung_up(alice_leg, bob_leg)


async def settled(c: Cast) -> None:
    """The router has read all that alice sent."""
    asked = c.alice.request("OPTIONS", sip_uri(c.edge), c.edge)
    await c.alice.expect(lambda m: m.status in (200, 503) and m.call_id == asked.call_id)


# ---------------------------------------------------------------- the whole table on one router


def config(casts: list[Cast], *, shards: int = 2, edited: bool = False, more: str = "") -> str:
    """A rule, a set and a policy for each scenario; `edited`: everything stands elsewhere and means another thing."""
    blocks = []
    for cast, each in zip(casts, TABLE, strict=True):
        policy = EDITED if edited else POLICIES[each.policy]
        uris = f'["{sip_uri(cast.bob.address)}", "{sip_uri(cast.carol.address)}"]'
        blocks.append(f"""
[set.s{cast.number}]
algorithm = "priority"
destinations = {uris}
probe = false

[failure.p{cast.number}]
{policy}

[[route]]
to = "s{cast.number}"
failure = "p{cast.number}"
when = {{ user_prefix = "8{cast.number:02d}" }}
""")
    if edited:
        blocks.reverse()
        blocks.insert(0, '[set.first]\ndestinations = ["sip:127.0.0.1:9"]\nprobe = false\n')
    return f"""
[router]
run_dir = "@RUN_DIR@"
state_dir = "@STATE_DIR@"
shards = {shards}
{more}

{listen_table(casts[0].edge)}
[limits]
max_transactions = 2000

[timers]
{TIMERS}
{"".join(blocks)}"""


@contextlib.asynccontextmanager
async def casts_at(edge: Address) -> AsyncIterator[list[Cast]]:
    async with contextlib.AsyncExitStack() as stack:
        casts = []
        for number in range(len(TABLE)):
            agents = [await stack.enter_async_context(UserAgent(name=f"{name}{number}"))
                      for name in ("alice", "bob", "carol")]
            casts.append(Cast(number, edge, *agents))
        yield casts


async def until_the_gap(casts: list[Cast]) -> list[AsyncGenerator[None, None]]:
    """All scenarios, each at its `yield`."""
    plays = [each.play(cast) for each, cast in zip(TABLE, casts, strict=True)]
    await named(anext(play) for play in plays)
    return plays


async def to_the_end(plays: list[AsyncGenerator[None, None]]) -> None:
    await named(anext(play, None) for play in plays)


async def named(works) -> None:
    """Runs all; fails with the names of those that failed, and what they said."""
    found = await asyncio.gather(*works, return_exceptions=True)
    wrong = [f"{each.name}: {error!r}" for each, error in zip(TABLE, found, strict=True) if error is not None]
    assert not wrong, "\n\n".join(wrong)


def no_second_final(casts: list[Cast]) -> None:
    """No caller was left with an answer that nobody had asked for."""
    for each, cast in zip(TABLE, casts, strict=True):
        waiting = [m for m in cast.alice.inbox if m.status >= 400]
        assert not waiting, f"{each.name}: {waiting}"
