"""Two shards: calls from many source ports, and the order of messages inside a call."""

import asyncio
from collections import defaultdict
from contextlib import AsyncExitStack

from ua import Leg, UserAgent

from fastsip.ua.answering import AnsweringMachines

from .edge import NUMBER, connect, edge_config

CALLERS, CALLS_EACH = 24, 8
DIALOGS, AT_ONCE, REQUESTS = 40, 4, 50
STANDARD_TIMERS = 't1 = "500ms"'


async def test_many_calls_from_many_ports(router, free_port):
    edge = ("127.0.0.1", free_port())
    machines = AnsweringMachines([("127.0.0.1", 0), ("127.0.0.1", 0)])
    await machines.start()
    async with AsyncExitStack() as stack:
        callers = [
            await stack.enter_async_context(UserAgent(name=f"caller{number}")) for number in range(CALLERS)
        ]
        router(
            edge_config(
                edge,
                machines.addresses,
                algorithm="call-id",
                shards=2,
                max_transactions=20_000,
                timers=STANDARD_TIMERS,
            )
        )

        async def whole_call(caller: UserAgent) -> None:
            leg = await caller.invite(NUMBER, edge).established(timeout=20)
            leg.bye()
            await leg.expect(lambda m: m.status == 200 and m.cseq_method == "BYE", timeout=20)

        for _ in range(CALLS_EACH):
            await asyncio.gather(*map(whole_call, callers))
        counts = [machine.counts for machine in machines.machines]
        assert sum(count.calls for count in counts) == CALLERS * CALLS_EACH
        assert sum(count.ended for count in counts) == CALLERS * CALLS_EACH
        assert all(count.calls for count in counts)  # 192 Call-IDs cannot all fall to one
        await machines.close()


async def test_order_inside_a_call(router, free_port):
    """50 numbered INFOs back to back in each dialog, from both ends; CSeq must increase at the other."""
    edge = ("127.0.0.1", free_port())
    async with AsyncExitStack() as stack:
        bob = await stack.enter_async_context(UserAgent(name="bob"))
        callers = [
            await stack.enter_async_context(UserAgent(name=f"caller{number}")) for number in range(AT_ONCE)
        ]
        router(edge_config(edge, [bob.address], shards=2, max_transactions=20_000, timers=STANDARD_TIMERS))
        answering = [asyncio.create_task(answer_infos(ua)) for ua in (bob, *callers)]
        for _ in range(DIALOGS // AT_ONCE):
            pairs = [await connect(caller, bob, edge) for caller in callers]
            # Half of the dialogs from one end, half from the other, then the other way round.
            ends = [pair[:: 1 if number % 2 else -1] for number, pair in enumerate(pairs)]
            await asyncio.gather(*(burst(near, far) for near, far in ends))
            await asyncio.gather(*(burst(far, near) for near, far in ends))
        for task in answering:
            task.cancel()
        ends = await asyncio.gather(*answering, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends


async def answer_infos(ua: UserAgent) -> None:
    """Answers each INFO with 200 and fails at once when a dialog's CSeq does not increase."""
    highest: dict[str, int] = defaultdict(int)
    answered: set[str] = set()
    while True:
        info = await ua.expect("INFO", timeout=60)
        if info.branch not in answered:  # the router may repeat one whose answer was slow
            assert info.cseq > highest[info.call_id], f"{ua.name}: {info} after {highest[info.call_id]}"
            highest[info.call_id] = info.cseq
            answered.add(info.branch)
        ua.reply(info, 200)


async def burst(near: Leg, far: Leg) -> None:
    """Sends REQUESTS INFOs without waiting, then collects as many answers."""
    sent = {near.send("INFO").cseq for _ in range(REQUESTS)}
    while sent:
        ok = await near.expect(lambda m: m.status == 200 and m.cseq_method == "INFO", timeout=20)
        sent.discard(ok.cseq)
    assert far.dialog.call_id == near.dialog.call_id
