"""An edge before real loose routers that share their dialogs, one of them killed (docs/wire.md#stand-ins).

alice ─► edge (outside) ─► Kamailio, one of two ─► edge (inside) ─► bob

Both ends know the edge only.  The router that carried the call is killed, and the
requests of the dialog go through the other one, which follows the changed Route.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
from ua import UserAgent

from fastsip.ua.message import Address, Message
from tests.conftest import is_free, wait_until

from .edge import KAMAILIO, NUMBER, SHORT_TIMERS

CONFIG = Path(__file__).parent / "peers" / "loose_router.cfg"
LIMIT_S = 60

EDGE = """
[router]
run_dir = "@RUN_DIR@"
state_dir = "@STATE_DIR@"
shards = 2
trusted = ["127.0.9.0/24"]

[[listen]]
uri = "udp:127.0.0.1:{outside}"
tag = "public"

[[listen]]
uri = "udp:127.0.9.4:{inside}"
tag = "inside"

[timers]
{timers}

[set.routers]
algorithm = "call-id"
limit = 2
listen = "inside"
in_dialog = "shared"
in_dialog_failure = "next-router"
{set_keys}
destinations = [{destinations}]

[failure.next-router]
on = [500, "timeout", "transport"]
timeout = "400ms"

[[route]]
when = {{ source_set = "routers", header = {{ "X-Destination-URI" = true }} }}
forward = "header:X-Destination-URI"
headers = {{ remove = ["X-Destination-URI"] }}

[[route]]
when = {{ listen = "public" }}
to = "routers"
failure = "next-router"
headers = {{ set = {{ "X-Forwarded-For" = "{{source}}" }}, remove = ["X-Destination-URI", "X-Auth-*"] }}
"""


class LooseRouter:
    """One Kamailio; it ends with the test, at the latest after LIMIT_S."""

    def __init__(self, address: Address, edge: Address, outside: str):
        self.address = address
        self.home = tempfile.mkdtemp(prefix="fastsip-kamailio-")
        self.process = subprocess.Popen(
            ["timeout", "--kill-after=2", str(LIMIT_S), str(KAMAILIO), "-DD", "-E", "-f", str(CONFIG),
             "-l", f"udp:{address[0]}:{address[1]}", "-A", f'EDGE="sip:{edge[0]}:{edge[1]}"',
             "-A", f'OUTSIDE="{outside}"', "-m", "32", "-M", "8", "-Y", self.home, "-w", self.home,
             "-P", f"{self.home}/pid"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    async def ready(self, asker: UserAgent) -> None:
        for _ in range(40):
            asked = asker.request("OPTIONS", f"sip:{self.address[0]}:{self.address[1]}", self.address)
            with contextlib.suppress(AssertionError):
                await asker.expect(lambda m, asked=asked: m.status == 200 and m.call_id == asked.call_id, 0.25)
                return
        pytest.fail("Kamailio did not answer")

    def kill(self) -> None:
        """SIGKILL to all of its processes: from now on the port refuses."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(5)
            wait_until(lambda: is_free(*self.address))
        shutil.rmtree(self.home, ignore_errors=True)


class Site:
    """alice outside, bob at the exchange, the edge and two routers behind it."""

    def __init__(self, router, free_port, set_keys: str = "probe = false"):
        self.alice, self.bob = UserAgent(name="alice"), UserAgent(name="bob")
        self.outside = ("127.0.0.1", free_port())
        self.inside = ("127.0.9.4", free_port("127.0.9.4"))
        self.places = [(f"127.0.9.{n}", free_port(f"127.0.9.{n}")) for n in (11, 12)]
        self._router, self._set_keys = router, set_keys
        self.routers: dict[Address, LooseRouter] = {}

    async def __aenter__(self) -> "Site":
        for ua in (self.alice, self.bob):
            await ua.__aenter__()
        for place in self.places:
            self.routers[place] = LooseRouter(place, self.inside, self.bob.uri)
        for each in self.routers.values():
            await each.ready(self.alice)
        self._router(
            EDGE.format(
                outside=self.outside[1],
                inside=self.inside[1],
                timers=SHORT_TIMERS,
                set_keys=self._set_keys,
                destinations=", ".join(f'"sip:{host}:{port}"' for host, port in self.places),
            )
        )
        return self

    async def __aexit__(self, *failure) -> None:
        for each in self.routers.values():
            each.kill()
        for ua in (self.alice, self.bob):
            await ua.__aexit__(*failure)

    async def talk(self):
        """A call through one of the routers; the legs of alice and bob, and that router."""
        call = self.alice.invite(NUMBER, self.outside)
        invite = await self.bob.expect(lambda m: m.method == "INVITE" and m.call_id == call.call_id)
        assert invite.get("X-Destination-URI") == "" and invite.get("X-Forwarded-For") == "127.0.0.1"
        # The exchange is reached from where the kernel routes it, whichever listener the call came back by.
        assert f" {self.outside[0]}:{self.outside[1]};" in invite.via
        leg = self.bob.answer(invite)
        alice_leg = await call.established()
        await leg.expect("ACK")
        carrier = next(place for place in self.places if any(place[0] in via for via in invite.values("Via")))
        return alice_leg, leg, self.routers[carrier]


def other_of(site: Site, carrier: LooseRouter) -> Address:
    return next(place for place in site.places if place != carrier.address)


def went_through(message: Message, place: Address) -> bool:
    return any(f"{place[0]}:{place[1]}" in via for via in message.values("Via"))


@pytest.fixture
def site(router, free_port):
    if KAMAILIO is None:
        pytest.fail("kamailio is missing: apt-get install kamailio")
    return Site(router, free_port)


@pytest.mark.parametrize("back", [False, True], ids=["alice hangs up", "bob hangs up"])
@pytest.mark.parametrize("killed", [False, True], ids=["it lives", "it is killed"])
async def test_a_bye_finds_a_router(site, back, killed):
    async with site:
        alice_leg, bob_leg, carrier = await site.talk()
        if killed:
            carrier.kill()
        here, there = (bob_leg, alice_leg) if back else (alice_leg, bob_leg)
        here.bye()
        bye = await there.expect("BYE")
        assert went_through(bye, other_of(site, carrier) if killed else carrier.address)
        there.ua.reply(bye, 200)
        await here.expect(200)


@pytest.mark.parametrize("back", [False, True], ids=["from alice", "from bob"])
async def test_a_re_invite_and_its_ack_take_the_same_way(site, back):
    """The stand-in has the INVITE's transaction: only there the ACK of its 2xx makes sense."""
    async with site:
        alice_leg, bob_leg, carrier = await site.talk()
        carrier.kill()
        here, there = (bob_leg, alice_leg) if back else (alice_leg, bob_leg)
        sent = here.send("INVITE")
        invite = await there.expect("INVITE")
        assert went_through(invite, other_of(site, carrier))
        there.ua.reply(invite, 200, headers=[there.ua.contact])
        await here.expect(lambda m: m.status == 200 and m.cseq == sent.cseq)
        here.send("ACK", cseq=sent.cseq)
        ack = await there.expect("ACK")
        assert ack.cseq == sent.cseq
        assert went_through(ack, other_of(site, carrier))


async def test_health_sends_it_there_at_once(router, free_port):
    """Probes have seen it die: no copy goes to the dead one any more."""
    if KAMAILIO is None:
        pytest.fail("kamailio is missing: apt-get install kamailio")
    site = Site(router, free_port, 'probe = { interval = "200ms", timeout = "150ms", fall = 1 }')
    async with site:
        alice_leg, bob_leg, carrier = await site.talk()
        carrier.kill()
        watch = UserAgent(*carrier.address)
        async with watch:
            await watch.expect("OPTIONS")  # a probe that nobody answers
            await watch.expect_count("OPTIONS", 2)
            alice_leg.bye()
            bye = await bob_leg.expect("BYE")
            bob_leg.ua.reply(bye, 200)
            await alice_leg.expect(200)
            assert watch.waiting("BYE") == []
