"""A set with `answering = true` needs nobody else: the router's own machines take the calls."""

import asyncio
import signal

from ua import UserAgent

from .edge import NUMBER, edge_config, sip_uri
from .lives import command


async def test_the_set_answers_itself(router, free_port):
    edge = ("127.0.0.1", free_port())
    machines = [("127.0.0.1", free_port()) for _ in range(2)]
    async with UserAgent(name="alice") as alice:
        router(edge_config(edge, machines, algorithm="round-robin", set_keys="answering = true"))
        answered_by = set()
        for _ in range(4):
            call = alice.invite(NUMBER, edge)
            assert (await call.expect(180)).to_tag
            leg = await call.established()
            assert leg.ok.get("Content-Type") == "application/sdp" and b"m=audio" in leg.ok.body
            answered_by.add(leg.dialog.target)
            leg.bye()
            assert (await leg.expect(200)).cseq_method == "BYE"
        assert len(answered_by) == 2
        assert all(sip_uri(machine).removeprefix("sip:") in " ".join(answered_by) for machine in machines)


async def test_a_reload_moves_the_machines(home, free_port):
    """Somebody else can have the place of one that is gone; one whose place is taken refuses the reload."""
    edge = ("127.0.0.1", free_port())
    old, new = (("127.0.0.1", free_port()) for _ in range(2))
    text = edge_config(edge, [old], set_keys="answering = true")
    moved = edge_config(edge, [new], set_keys="answering = true")
    life = home.start(text).ready()
    async with UserAgent(name="alice") as alice:
        home.write(moved)
        async with UserAgent(*new):
            done = await asyncio.to_thread(command, "reload", home.config)
            assert done.returncode != 0 and f"answering machine at {new[0]}:{new[1]}" in done.stderr
        assert (await answered(alice, edge)).endswith(f":{old[1]}>")
        assert (await asyncio.to_thread(command, "reload", home.config)).returncode == 0
        async with UserAgent(*old):
            assert (await answered(alice, edge)).endswith(f":{new[1]}>")
    assert life.end(signal.SIGTERM) == 0


async def answered(alice: UserAgent, edge) -> str:
    """The Contact of who takes a call."""
    leg = await alice.invite(NUMBER, edge).established()
    leg.bye()
    await leg.expect(200)
    return leg.ok.get("Contact")
