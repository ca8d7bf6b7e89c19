"""The two configurations that ship as examples, each run as it stands but for its addresses."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from ua import UserAgent

import fastsip
from fastsip.observe import counters
from fastsip.ua.message import Message, new_via, sent_by, uri_address, uri_of

from .edge import settle, sip_uri

FAILOVER_S = 10.0  # for what comes after a failover by silence, which takes 2 s
EXAMPLES = Path(fastsip.__file__).parent / "examples"
OWN = '[router]\nrun_dir = "@RUN_DIR@"\nstate_dir = "@STATE_DIR@"\nshards = 1\n'


def example(name: str, **places: str) -> str:
    """The example with these texts in place of others, given as pairs; each must occur in it."""
    text = (EXAMPLES / f"{name}.toml").read_text()
    text = text.replace("[router]\n", OWN) if "[router]" in text else OWN + text
    for old, new in places.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def place(address) -> str:
    return f"{address[0]}:{address[1]}"


async def answer_probes(*uas: UserAgent) -> None:
    """The first round, which goes out within a second of the start."""
    for ua in uas:
        ua.reply(await ua.expect("OPTIONS", FAILOVER_S), 200)


async def taken_by(call, *uas: UserAgent) -> tuple[UserAgent, Message]:
    """Which of them gets the INVITE of this call, and the INVITE."""

    async def at(ua):
        return ua, await ua.expect(lambda m: m.method == "INVITE" and m.call_id == call.call_id, FAILOVER_S)

    first, others = await asyncio.wait(
        [asyncio.ensure_future(at(ua)) for ua in uas], return_when=asyncio.FIRST_COMPLETED
    )
    for other in others:
        other.cancel()
    return first.pop().result()


async def agents(stack: AsyncExitStack, **hosts: str) -> list[UserAgent]:
    """A user agent of each name at its address."""
    return [await stack.enter_async_context(UserAgent(host, name=name)) for name, host in hosts.items()]


async def end(leg, other) -> None:
    """Hangs up, through the router."""
    leg.bye()
    other.ua.reply(await other.expect("BYE"), 200)
    await leg.expect(200)


# ---------------------------------------------------------------- media servers


class Media:
    """Two servers, a caller in their network, one elsewhere, and the example before them."""

    def __init__(self, router, free_port):
        self.edge = ("127.0.0.10", free_port("127.0.0.10"))
        self.start = router

    @asynccontextmanager
    async def run(self, **places):
        async with AsyncExitStack() as stack:
            self.one, self.two, self.near, self.carol, self.far = await agents(
                stack, one="127.0.0.21", two="127.0.0.22", near="127.0.0.30", carol="127.0.0.40", far="127.0.9.9"
            )
            moved = {
                "192.0.2.10:5060": place(self.edge),
                "192.0.2.21:5060": place(self.one.address),
                "192.0.2.22:5060": place(self.two.address),
                "192.0.2.0/24": "127.0.0.0/24",
            }
            self.process = self.start(example("media-servers", **moved, **places))
            await answer_probes(self.one, self.two)
            yield self

    def counter(self, name: str) -> int:
        return counters.read(self.process.config.parent / "run")[name]

    def call(self, ua: UserAgent, number="80123"):
        return ua.invite(f"sip:{number}@example.net", self.edge)

    async def taken_by(self, call) -> tuple[UserAgent, Message]:
        return await taken_by(call, self.one, self.two)


@pytest.fixture
def media(router, free_port):
    return Media(router, free_port)


async def test_calls_go_to_the_media_servers_in_turn(media):
    async with media.run():
        takers = []
        for caller in (media.near, media.far, media.near, media.far):
            call = media.call(caller)
            taker, invite = await media.taken_by(call)
            leg = taker.answer(invite)
            mine = await call.established()
            await leg.expect("ACK")
            await end(mine, leg)
            takers.append(taker)
        assert takers[0] is not takers[1] and takers[:2] == takers[2:]


async def test_a_media_server_that_answers_500_is_left_out(media):
    async with media.run():
        call = media.call(media.far)
        broken, invite = await media.taken_by(call)
        broken.reply(invite, 500)
        await broken.expect("ACK")
        taker, invite = await media.taken_by(call)
        assert taker is not broken
        taker.answer(invite)
        await call.established()
        for _ in range(3):
            call = media.call(media.far)
            again, invite = await media.taken_by(call)
            assert again is taker
            taker.reply(invite, 486)
            await call.refused(486)


async def test_both_fail(media):
    """By silence, and by a 500: the caller hears that there is no destination."""
    async with media.run():
        call = media.call(media.far)
        silent, _ = await media.taken_by(call)
        other = media.two if silent is media.one else media.one
        other.reply(await other.expect("INVITE", FAILOVER_S), 500)
        final = await call.refused(404)
        assert final.reason == "No destination"
        assert (media.counter("failovers"), media.counter("exhausted")) == (1, 1)


async def test_a_call_from_the_network_goes_where_it_says(media):
    """And whoever is called hangs up."""
    async with media.run():
        uri = f"sip:90123@{place(media.carol.address)}"
        call = media.near.invite(uri, media.edge)
        invite = await media.carol.expect("INVITE")
        assert invite.uri == uri
        leg = media.carol.answer(invite)
        mine = await call.established()
        await leg.expect("ACK")
        await end(leg, mine)


async def test_only_calls_go_to_the_media_servers(media):
    """A MESSAGE to 8... goes where it says, too."""
    async with media.run():
        media.near.request("MESSAGE", f"sip:80123@{place(media.carol.address)}", media.edge)
        media.carol.reply(await media.carol.expect("MESSAGE"), 200)
        await media.near.expect(200)


async def test_elsewhere_nobody_is_relayed(media):
    """No rule is theirs; and neither a To tag nor a Route that they invent lets them through."""
    async with media.run():
        uri = f"sip:7@{place(media.carol.address)}"
        await media.far.invite(uri, media.edge).refused(404)
        media.far.request("BYE", uri, media.edge, to_tag="invented")
        await media.far.expect(403)
        route = ("Route", f"<{sip_uri(media.edge)};lr>, <{sip_uri(media.carol.address)};lr>")
        media.far.request("MESSAGE", uri, media.edge, headers=[route])
        await media.far.expect(404)
        await settle(media.far, media.edge)
        assert not media.carol.inbox
        assert (media.counter("no_rule"), media.counter("relays_refused")) == (2, 1)


async def test_a_forward_that_names_nobody_is_for_the_known_only(media):
    """Without the rule's `source` the destinations alone may, all others get 403."""
    async with media.run(**{'when    = { source = ["127.0.0.0/24"] }': ""}):
        uri = f"sip:7@{place(media.carol.address)}"
        for stranger in (media.far, media.near):
            await stranger.invite(uri, media.edge).refused(403)
        assert media.counter("relays_refused") == 2
        media.one.request("MESSAGE", uri, media.edge)
        media.carol.reply(await media.carol.expect("MESSAGE"), 200)
        await media.one.expect(200)


# ---------------------------------------------------------------- the border


class Passing(UserAgent):
    """A SIP router that keeps nothing: the test says what it passes on, and where to."""

    def pass_on(self, request: Message, to, headers=()) -> None:
        routes = request.values("Route")
        if routes and uri_address(uri_of(routes[0])) == self.address:
            routes = routes[1:]
        kept = [entry for entry in request.headers if entry[0] != "Route"]
        ours = [("Via", new_via(self.address)), ("Record-Route", f"<{sip_uri(self.address)};lr>")]
        on = [("Route", route) for route in routes]
        self.send(replace(request, headers=[*ours, *kept, *on, *headers]), to)

    def pass_back(self, response: Message) -> None:
        vias = response.values("Via")[1:]
        kept = [entry for entry in response.headers if entry[0] != "Via"]
        self.send(replace(response, headers=[*(("Via", via) for via in vias), *kept]), sent_by(vias[0]))


class Border:
    """An exchange that calls, one that is called, two routers, and the example between them."""

    def __init__(self, router, free_port):
        self.public = ("127.0.0.4", free_port("127.0.0.4"))
        self.inside = ("127.0.1.4", free_port("127.0.1.4"))
        self.start = router

    @asynccontextmanager
    async def run(self):
        async with AsyncExitStack() as stack:
            self.caller, self.exchange = await agents(stack, caller="127.0.2.1", exchange="127.0.3.1")
            self.routers = [
                await stack.enter_async_context(Passing(f"127.0.1.{n}", name=f"router{n}")) for n in (11, 12)
            ]
            first, second = (place(one.address) for one in self.routers)
            moved = {
                "203.0.113.4:5060": place(self.public),
                "192.168.128.4:5060": place(self.inside),
                "192.168.128.11:5060": first,
                "192.168.128.12:5060": second,
                "192.168.128.0/24": "127.0.1.0/24",
            }
            self.start(example("session-border", **moved))
            await answer_probes(*self.routers)
            yield self

    def call(self, headers=()):
        return self.caller.invite("sip:123@example.net", self.public, headers=headers)

    async def taken_by(self, call) -> tuple[Passing, Message]:
        return await taken_by(call, *self.routers)

    @property
    def towards_exchange(self):
        return [("X-Destination-URI", f"<{sip_uri(self.exchange.address)}>")]


@pytest.fixture
def border(router, free_port):
    return Border(router, free_port)


FORGED = [
    ("X-Forwarded-For", "192.0.2.66"),
    ("X-Destination-URI", "sip:192.0.2.66"),
    ("X-Auth-User", "root"),
    ("x-auth-realm", "any"),
    ("X-Other", "kept"),
]


def assert_headers_of_the_way_in(invite, source):
    assert invite.lines("X-Forwarded-For") == [source]
    assert not any(invite.lines(name) for name in ("X-Destination-URI", "X-Auth-User", "X-Auth-Realm"))
    assert invite.get("X-Other") == "kept"


async def test_a_call_goes_in_to_a_router_and_out_to_the_exchange_it_names(border):
    async with border.run():
        call = border.call(FORGED)
        router, invite = await border.taken_by(call)
        assert invite.source == border.inside
        assert_headers_of_the_way_in(invite, border.caller.host)
        router.pass_on(invite, border.inside, border.towards_exchange)

        out = await border.exchange.expect("INVITE")
        assert not out.lines("X-Destination-URI")
        assert out.lines("X-Forwarded-For") == [border.caller.host] and out.get("X-Other") == "kept"
        assert out.uri == "sip:123@example.net" and out.call_id == call.call_id
        leg = border.exchange.answer(out)
        router.pass_back(await router.expect(lambda m: m.status == 200 and m.cseq_method == "INVITE"))
        mine = await call.established()
        router.pass_on(await router.expect("ACK"), border.inside)
        await leg.expect("ACK")

        mine.bye()
        router.pass_on(await router.expect("BYE"), border.inside)
        border.exchange.reply(await leg.expect("BYE"), 200)
        router.pass_back(await router.expect(lambda m: m.status == 200 and m.cseq_method == "BYE"))
        await mine.expect(200)


async def test_the_exchange_hangs_up(border):
    """From the other side, by the same way."""
    async with border.run():
        call = border.call()
        router, invite = await border.taken_by(call)
        router.pass_on(invite, border.inside, border.towards_exchange)
        leg = border.exchange.answer(await border.exchange.expect("INVITE"))
        router.pass_back(await router.expect(lambda m: m.status == 200 and m.cseq_method == "INVITE"))
        mine = await call.established()
        router.pass_on(await router.expect("ACK"), border.inside)
        await leg.expect("ACK")
        leg.bye()
        bye = await router.expect("BYE")
        router.pass_on(bye, border.inside)
        border.caller.reply(await mine.expect("BYE"), 200)
        router.pass_back(await router.expect(lambda m: m.status == 200 and m.cseq_method == "BYE"))
        await leg.expect(200)


@pytest.mark.parametrize("failure", ["500", "silence"])
async def test_the_other_router_takes_over(border, failure):
    """What it gets was changed once: the caller's address is still the caller's."""
    async with border.run():
        call = border.call(FORGED)
        router, invite = await border.taken_by(call)
        other = border.routers[1 - border.routers.index(router)]
        if failure == "500":
            router.reply(invite, 500)
            await router.expect("ACK")
        second = await other.expect("INVITE", FAILOVER_S)
        assert_headers_of_the_way_in(second, border.caller.host)
        assert second.call_id == call.call_id and len(second.values("Via")) == 2
        other.pass_on(second, border.inside, border.towards_exchange)
        out = await border.exchange.expect("INVITE")
        border.exchange.reply(out, 486)
        other.pass_back(await other.expect(486))
        await call.refused(486)


@pytest.mark.parametrize("hangs_up", ["caller", "exchange"])
async def test_a_router_dies_during_the_call(border, hangs_up):
    """The routers share their dialogs: the BYE finds the other one, from either side."""
    async with border.run():
        call = border.call()
        router, invite = await border.taken_by(call)
        other = border.routers[1 - border.routers.index(router)]
        router.pass_on(invite, border.inside, border.towards_exchange)
        leg = border.exchange.answer(await border.exchange.expect("INVITE"))
        router.pass_back(await router.expect(lambda m: m.status == 200 and m.cseq_method == "INVITE"))
        mine = await call.established()
        router.pass_on(await router.expect("ACK"), border.inside)
        await leg.expect("ACK")
        router.close()

        sender, receiver = (mine, leg) if hangs_up == "caller" else (leg, mine)
        sender.bye()
        other.pass_on(await other.expect("BYE", FAILOVER_S), border.inside)
        receiver.ua.reply(await receiver.expect("BYE"), 200)
        other.pass_back(await other.expect(lambda m: m.status == 200 and m.cseq_method == "BYE"))
        await sender.expect(200)


async def test_calls_stay_with_their_router(border):
    """By Call-ID: a second INVITE of the call is at the same one."""
    async with border.run():
        for number in range(4):
            call_id = f"call-{number}@caller"
            takers = []
            for cseq in (1, 2):
                call = border.caller.invite("sip:123@example.net", border.public, call_id=call_id, cseq=cseq)
                router, invite = await border.taken_by(call)
                router.reply(invite, 486)
                await call.refused(486)
                takers.append(router)
                await router.expect("ACK")
            assert takers[0] is takers[1]


async def test_a_router_that_names_no_exchange(border):
    """A header without a URI, one that names this machine, none at all: and no rule is for that."""
    async with border.run():
        router = border.routers[0]
        for value, status in (("nowhere", 400), (f"<{sip_uri(border.public)}>", 482), ("", 404)):
            headers = [("X-Destination-URI", value)] if value else []
            await router.invite("sip:123@example.net", border.inside, headers=headers).refused(status)
        await settle(router, border.inside)
        assert not border.exchange.inbox


async def test_nobody_else_is_taken_for_a_router(border):
    """From its host, but not its port; and from outside."""
    async with border.run():
        async with UserAgent(border.routers[0].host, name="other") as other:
            await other.invite("sip:1@example.net", border.inside, headers=border.towards_exchange).refused(404)
        call = border.call(border.towards_exchange)
        router, invite = await border.taken_by(call)
        router.reply(invite, 486)
        await call.refused(486)
        assert not border.exchange.inbox
