"""Configurations for system tests, and the few steps that most of them share.

Timers are a fifth of RFC 3261's unless a test says otherwise, so that 64·T1 is
6.4 s; whoever waits for something waits for the message, never for a time.
"""

import asyncio
import json
import os
import shutil
from collections.abc import Iterable

from ua import Leg, OutgoingCall, UserAgent

from fastsip.ua.message import Address, Message, host_text

SHORT_TIMERS = 't1 = "100ms"\nt2 = "400ms"\nt4 = "500ms"'
NEXT_ON_SILENCE = 'on = [500, "timeout", "transport"]\ntimeout = "400ms"'
NUMBER = "sip:80123@example.net"
KAMAILIO = shutil.which("kamailio", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def sip_uri(address: Address) -> str:
    return f"sip:{host_text(address[0])}:{address[1]}"


def listen_table(address: Address) -> str:
    return f'[[listen]]\nuri = "udp:{host_text(address[0])}:{address[1]}"\n'


def edge_config(
    address: Address,
    destinations: Iterable[Address],
    *,
    algorithm: str = "priority",
    probe: str = "false",
    policy: str = NEXT_ON_SILENCE,
    timers: str = SHORT_TIMERS,
    shards: int = 1,
    max_transactions: int = 2000,
    listeners: Iterable[Address] = (),
    rules: str = "",
    set_keys: str = "",
    when: str = "",
) -> str:
    """A router at `address` whose last rule sends everything to the set of `destinations`.

    `rules` stand before that rule, `when` limits it; `set_keys` are more lines of the set.
    """
    uris = json.dumps([sip_uri(destination) for destination in destinations])
    return f"""
[router]
run_dir = "@RUN_DIR@"
state_dir = "@STATE_DIR@"
shards = {shards}

{"".join(map(listen_table, [address, *listeners]))}
[limits]
max_transactions = {max_transactions}

[timers]
{timers}

[set.media]
algorithm = "{algorithm}"
destinations = {uris}
probe = {probe}
{set_keys}

[failure.next]
{policy}

{rules}
[[route]]
to = "media"
failure = "next"
{when}
"""


async def connect(alice: UserAgent, bob: UserAgent, edge: Address, **parts) -> tuple[Leg, Leg]:
    """A call from alice through the router to bob, acknowledged; the legs of alice and of bob."""
    call = alice.invite(NUMBER, edge, **parts)
    invite = await expect_call(bob, call)
    bob_leg = bob.answer(invite)
    alice_leg = await call.established()
    await bob_leg.expect("ACK")
    return alice_leg, bob_leg


async def expect_call(bob: UserAgent, call: OutgoingCall, **limits) -> Message:
    """The INVITE of that call at one of its callees."""
    return await bob.expect(lambda m: m.method == "INVITE" and m.call_id == call.call_id, **limits)


async def first_callee(call: OutgoingCall, *callees: UserAgent) -> tuple[UserAgent, Message]:
    """Which of these the call reaches first, and its INVITE there."""
    asking = {asyncio.create_task(expect_call(ua, call)): ua for ua in callees}
    done, waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.wait(asking)
    arrived = next(iter(done))
    return asking[arrived], arrived.result()


async def refuse(callee: UserAgent, call) -> None:
    """That call reaches this callee, is refused there and over."""
    callee.reply(await expect_call(callee, call), 486)
    await call.refused(486)


async def settle(alice: UserAgent, edge: Address) -> None:
    """Returns when the router answered an OPTIONS: it has read all that was sent before."""
    asked = alice.request("OPTIONS", sip_uri(edge), edge)
    await alice.expect(lambda m: m.status == 200 and m.call_id == asked.call_id)


def finals(ua: UserAgent, call: OutgoingCall) -> list[int]:
    """Status codes of the final responses to that INVITE that wait in the inbox."""
    return [
        m.status
        for m in ua.inbox
        if m.status >= 200 and m.call_id == call.call_id and m.cseq_method == "INVITE"
    ]


async def ringing(alice: UserAgent, bob: UserAgent, edge):
    """A call that rings at bob, and its INVITE there."""
    call = alice.invite(NUMBER, edge)
    invite = await expect_call(bob, call)
    bob.ring(invite)
    await call.expect(180)
    return call, invite
