"""What a button of the page orders is done once, soon, and of the state that was shown: whatever is repeated, held up
or done by others meanwhile.
"""

import asyncio
import time
import types
from collections import OrderedDict

import pytest

from fastsip.api.socket import Refused
from fastsip.dispatcher.words import LONGEST_ONCE, Press, read_words
from fastsip.supervisor import destinations
from fastsip.supervisor.destinations import MOST_PRESSED, say
from fastsip.supervisor.orders import Orders
from tests.unit.config_text import SMALL, read

ONE, OTHER = "media/sip:192.0.2.21", "media/sip:192.0.2.22:5070"


@pytest.fixture
def here(tmp_path):
    config = read(f'[router]\nrun_dir = "{tmp_path}"\nstate_dir = "{tmp_path}"\n{SMALL}')
    return types.SimpleNamespace(config=config, router=None, busy=asyncio.Lock(), pressed=OrderedDict(),
                                 state_of=lambda one: read_words(tmp_path)[one].state)  # fmt: skip


async def drained(here, identity: str = ONE, state: str = "draining", **press):
    return await say(here, [identity], [], state, "", Press(**press))


async def test_a_press_that_is_repeated_is_done_once_and_answered_as_the_first(here):
    first = await drained(here, once="a", was="enabled")
    assert first["changed"] == 1 and "again" not in first
    await drained(here, once="b", state="disabled")
    assert await drained(here, once="a", was="enabled") == first | {"again": True}
    assert here.state_of(ONE) == "disabled"


async def test_a_press_that_was_refused_may_be_repeated(here):
    with pytest.raises(Refused, match="too late"):
        await drained(here, once="a", until=time.monotonic() - 1)
    assert "again" not in await drained(here, once="a")


async def test_a_press_orders_nothing_else(here):
    await drained(here, once="a")
    for other in ({"identity": OTHER}, {"state": "disabled"}):
        with pytest.raises(Refused, match="something else was ordered"):
            await drained(here, once="a", **other)
    assert here.state_of(ONE) == "draining"


async def test_a_press_whose_answer_nobody_heard_is_known(here, monkeypatch):
    """The router did not say that it has heard."""
    async def fail(here, why):
        raise Refused("the router does not answer")

    with monkeypatch.context() as patch, pytest.raises(Refused, match="does not answer"):
        patch.setattr(destinations, "_tell", fail)
        await drained(here, once="a")
    assert (await drained(here, once="a"))["again"]


async def test_presses_that_are_remembered_have_a_bound_and_the_oldest_goes_first(here):
    await drained(here, once="first")
    for number in range(MOST_PRESSED - 1):
        here.pressed[str(number)] = here.pressed["first"]
    assert "again" in await drained(here, once="first")
    await drained(here, once="one more")
    assert len(here.pressed) == MOST_PRESSED and "again" not in await drained(here, once="first")


async def test_of_another_state_than_was_shown_nothing_is_ordered(here):
    await drained(here)
    with pytest.raises(Refused, match=f"{ONE} is draining, and no longer enabled as it was shown: nothing has changed"):
        await drained(here, state="disabled", was="enabled")
    assert here.state_of(ONE) == "draining"
    await drained(here, state="disabled", was="draining")
    assert here.state_of(ONE) == "disabled"


async def test_what_waited_too_long_for_others_is_not_done(here):
    """A reload is before it."""
    async with here.busy:
        waits = asyncio.create_task(drained(here, until=time.monotonic()))
        while not here.busy._waiters:
            await asyncio.sleep(0)
    with pytest.raises(Refused, match="too late"):
        await waits
    assert (await drained(here, until=time.monotonic() + 1000))["changed"] == 1


@pytest.mark.parametrize("wrong", [
    {"once": 5}, {"once": "x" * (LONGEST_ONCE + 1)}, {"was": "up"}, {"was": 5}, {"until": "5"}, {"until": True},
])  # fmt: skip
async def test_what_is_no_press_is_refused(wrong):
    with pytest.raises(Refused, match=next(iter(wrong))):
        async for _ in Orders(None).admin(None, {"state": "draining", "ids": [ONE], **wrong}):
            pass


async def test_an_order_without_any_of_it_is_done_whenever_it_comes(here):
    assert (await drained(here))["changed"] == 1 and (await drained(here))["changed"] == 0 and here.pressed == {}
