"""User agents that give our Record-Route and Via back in their own spelling (docs/wire.md#record-route-token)."""

import pytest
from ua import Leg, UserAgent

from fastsip.ua.message import Message, callee_dialog, caller_dialog, make_response

from .edge import NUMBER, edge_config, expect_call

SPELLINGS = {
    "one comma line": lambda values: [", ".join(values)],
    "lower case": lambda values: [value.lower() for value in values],
    "upper case": lambda values: [value.upper().replace(";LR", ";lr") for value in values],
    "lr=on": lambda values: [value.replace(";lr", ";lr=on") for value in values],
    "without lr": lambda values: [value.replace(";lr", "") for value in values],
    "all at once": lambda values: [",".join(values).lower().replace(";lr", ";lr=on")],
}


def respell(message: Message, spelling: str) -> Message:
    """As its user agent keeps the Record-Route of this message."""
    lines = SPELLINGS[spelling](message.values("Record-Route"))
    message.remove("Record-Route").headers += [("Record-Route", line) for line in lines]
    return message


def join_vias(response: Message) -> Message:
    """All Vias in one line."""
    line = ",".join(response.values("Via"))
    response.remove("Via").headers.insert(0, ("Via", line))
    return response


@pytest.mark.parametrize("back", [False, True], ids=["the caller hangs up", "the callee hangs up"])
@pytest.mark.parametrize("listeners", [1, 2])
@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_the_bye_arrives(router, free_port, spelling, listeners, back):
    """Each way, with one and with two values; the callee joins its Vias in one line, too."""
    edge = ("127.0.0.1", free_port())
    inside = ("127.0.0.2", free_port("127.0.0.2"))
    keys = f'listen = "udp:{inside[0]}:{inside[1]}"' if listeners == 2 else ""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        router(edge_config(edge, [bob.address], listeners=[inside] if listeners == 2 else (), set_keys=keys))
        call = alice.invite(NUMBER, edge)
        invite = await expect_call(bob, call)
        assert len(invite.values("Record-Route")) == listeners
        ok = join_vias(make_response(invite, 200, to_tag="bob", headers=[bob.contact]))
        bob.send_reply(ok, invite)
        answer = await call.expect(200)
        alice_leg = Leg(alice, caller_dialog(call.request, respell(answer, spelling)), answer)
        bob_leg = Leg(bob, callee_dialog(respell(invite, spelling), "bob"), ok)
        alice_leg.send("ACK", cseq=1)
        await bob_leg.expect("ACK")
        here, there = (bob_leg, alice_leg) if back else (alice_leg, bob_leg)
        here.bye()
        bye = await there.expect("BYE")
        assert bye.lines("Route") == []
        there.ua.send_reply(join_vias(make_response(bye, 200)), bye)
        await here.expect(200)
