"""Real routers that share a secret: two in a row, and one whose secret changes while a thousand calls are up."""

import asyncio

from ua import UserAgent

from fastsip.api.socket import ask
from fastsip.ua.message import Address

from .edge import connect, edge_config
from .lives import Home

CALLS = 1_000
AT_ONCE = 25


def with_secrets(home: Home, text: str, *letters: str) -> str:
    """The same configuration with the secrets that consist of these letters."""
    for letter in letters:
        place = home.place / f"secret-{letter}"
        place.write_text(letter * 40)
        place.chmod(0o600)
    listed = ", ".join(f'"file:{home.place}/secret-{letter}"' for letter in letters)
    secret = f"[{listed}]" if len(letters) > 1 else listed
    return text.replace("[router]\n", f"[router]\nsecret = {secret}\n", 1)


async def test_of_two_routers_in_a_row_neither_pops_the_others_route(home: Home, scratch, free_port):
    """alice ─► first ─► second ─► bob, and both ends' BYEs take the same way through both."""
    first, second = (("127.0.0.1", free_port()) for _ in range(2))
    other = Home(scratch / "other")
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        home.start(with_secrets(home, edge_config(first, [second]), "s")).ready()
        home.lives.append(other.start(with_secrets(other, edge_config(second, [bob.address]), "s")).ready())
        for back in (False, True):
            here, there = await connect(alice, bob, first)
            assert len(there.dialog.route_set) == 2
            leg, end = (there, here) if back else (here, there)
            leg.bye()
            bye = await end.expect("BYE")
            assert len(bye.lines("Via")) == 3, "through both"
            end.ua.reply(bye, 200)
            await leg.expect(200)


async def set_up(alice: UserAgent, bob: UserAgent, edge: Address, count: int) -> list:
    legs = []
    while len(legs) < count:
        legs += await asyncio.gather(*(connect(alice, bob, edge) for _ in range(min(AT_ONCE, count - len(legs)))))
    return legs


async def test_a_secret_changes_twice_with_a_thousand_calls_up(home: Home, free_port):
    """Each half of the calls is hung up by another end; the oldest have tokens that no listed secret made."""
    edge = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        text = edge_config(edge, [bob.address])
        home.start(with_secrets(home, text, "a")).ready()
        legs = await set_up(alice, bob, edge, CALLS // 3 + 1)
        for secrets in (("b", "a"), ("c", "b")):
            home.write(with_secrets(home, text, *secrets))
            assert "error" not in list(ask(str(home.place / "run"), "reload"))[-1]
            legs += await set_up(alice, bob, edge, CALLS // 3 + 1)
        for number, (here, there) in enumerate(legs):
            leg, end = (there, here) if number % 2 else (here, there)
            leg.bye()
            seen = await end.expect("BYE")
            end.ua.reply(seen, 200)
            await leg.expect(lambda m: m.status == 200 and m.cseq_method == "BYE")
    assert len(legs) >= CALLS
