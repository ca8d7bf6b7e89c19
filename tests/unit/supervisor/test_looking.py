"""What whoever looks may ask for, and what he hears when nothing is shown."""

import types

import pytest

from fastsip.api.looking import LEASE_S, RENEW_S
from fastsip.api.socket import Refused
from fastsip.process import messages
from fastsip.supervisor import looking
from fastsip.supervisor.orders import Orders

ALL = {"share": 1}


class Service:
    """Notes what is looked at."""

    def __init__(self):
        self.looks = []

    async def look(self, *look):
        self.looks.append(look)


async def asked(**fields) -> tuple[list[dict], list]:
    service = Service()
    return [answer async for answer in Orders(service).look(None, fields)], service.looks


@pytest.mark.parametrize(("wanted", "looked"), [
    (ALL, messages.Looked(share=1.0)),
    ({"share": 0.001}, messages.Looked(share=0.001)),
    ({"call_id": "ü" * 256}, messages.Looked(call_id="ü" * 256)),
    ({"peer": "2001:db8::1"}, messages.Looked(peer="2001:db8::1")),
])
async def test_one_thing_is_looked_at(wanted, looked):
    answers, looks = await asked(name="me", filter=wanted, seconds=30)
    assert (answers, looks) == ([{"done": "looking"}], [("me", looked, 30.0)])
    answers, _ = await asked(name="me", filter=wanted, seconds=0)
    assert answers == [{"done": "not looking"}]


@pytest.mark.parametrize(("fields", "words"), [
    ({"filter": ALL}, "name is a text of 1 to 64 letters"),
    ({"name": "", "filter": ALL}, "name is a text"),
    ({"name": "x" * 65, "filter": ALL}, "name is a text"),
    ({"name": "x", "filter": ALL}, "seconds is a number from 0 to 30"),
    ({"name": "x", "filter": ALL, "seconds": 30.1}, "seconds is a number"),
    ({"name": "x", "filter": ALL, "seconds": -1}, "seconds is a number"),
    ({"name": "x", "filter": ALL, "seconds": True}, "seconds is a number"),
    ({"name": "x", "seconds": 1}, "filter is one of share"),
    ({"name": "x", "filter": "all", "seconds": 1}, "filter is one of share"),
    ({"name": "x", "filter": {"share": 1.1}, "seconds": 1}, "filter is one of share"),
    ({"name": "x", "filter": {"share": True}, "seconds": 1}, "filter is one of share"),
    ({"name": "x", "filter": {"share": 1, "peer": "::1"}, "seconds": 1}, "filter is one of share"),
    ({"name": "x", "filter": {"call_id": ""}, "seconds": 1}, "filter is one of share"),
    ({"name": "x", "filter": {"call_id": "ü" * 257}, "seconds": 1}, "call_id, of at most 512 bytes"),
    ({"name": "x", "filter": {"peer": "localhost"}, "seconds": 1}, "peer, an IP address"),
])
async def test_what_cannot_be_looked_at_is_refused(fields, words):
    with pytest.raises(Refused, match=words):
        await asked(**fields)


def state_where(said):
    """A router that says this to each order; None: there is none."""
    async def order(*_, **__):
        if isinstance(said, Exception):
            raise said
        return said

    return types.SimpleNamespace(router=said and types.SimpleNamespace(order=order))


@pytest.mark.parametrize(("said", "words"), [
    (None, "a router is just starting; ask again"),
    (TimeoutError(), "the router does not answer"),
    (messages.Failed(why="NotUnderstood: show"), "the router shows nothing: NotUnderstood: show"),
    (messages.Ended(status=0), "the router ended meanwhile; ask again"),
    (messages.Shown(why="8 look already"), "nothing is shown: 8 look already"),
])
async def test_who_cannot_look_hears_why(said, words):
    with pytest.raises(Refused, match=words):
        await looking.look(state_where(said), "me", messages.Looked(share=1.0), 5.0)


async def test_who_can_hears_nothing_else():
    assert await looking.look(state_where(messages.Shown()), "me", messages.Looked(share=1.0), 5.0) is None


def test_who_renews_in_time_may_miss_it_once():
    assert 2 * RENEW_S < LEASE_S <= looking.LONGEST_LOOK_S
