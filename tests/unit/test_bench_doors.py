"""The doors that bench/micro.py measures through do what their names say."""

import pytest

from bench.kernels import loops
from fastsip._core.dispatcher.cells import Cells
from fastsip._core.dispatcher.chooser import Chooser
from fastsip._core.routing.table import RoutingTable
from tests.kernels.parser_doors import parse

from .messages import INVITE

LOOPS = 2000
CALL_ID_ALGORITHM = 0


def make_chooser(destinations: int) -> Chooser:
    table = RoutingTable(1)
    listener = table.add_listener(1, 1, "127.0.0.1", 5060, "127.0.0.1:5060")
    media = table.add_set(1, CALL_ID_ALGORITHM, hash_key=b"0123456789abcdef")
    for number in range(1, destinations + 1):
        uri, host_port = f"sip:10.0.0.{number}:5060", f"10.0.0.{number}:5060"
        table.add_destination(media, number, number - 1, f"10.0.0.{number}", 5060, listener, uri, host_port)
    return Chooser(table.seal(), Cells(destinations), 0)


def test_edit_forwards_the_message():
    before, text = parse(INVITE), loops.edited(INVITE)
    after = parse(text)
    assert after["vias"] == before["vias"] + 1
    assert after["max_forwards"] == before["max_forwards"] - 1
    assert text.count(b"\r\nRecord-Route: ") == INVITE.count(b"\r\nRecord-Route: ") + 1
    assert text.endswith(INVITE[-after["body"][1] :])
    assert loops.bench_edit(INVITE, LOOPS) == LOOPS


NO_MAX_FORWARDS = INVITE.replace(b"Max-Forwards", b"Max-Backwards")


@pytest.mark.parametrize("text", [b"", b"SIP/2.0 200 OK\r\n\r\n", NO_MAX_FORWARDS])
def test_edit_wants_a_request_that_can_be_forwarded(text):
    with pytest.raises(ValueError):
        loops.bench_edit(text, 1)


def test_choose_always_finds_one():
    assert loops.bench_choose(make_chooser(10), LOOPS) == LOOPS


def test_choose_finds_none_when_all_are_down():
    chooser = make_chooser(2)
    for index in range(2):
        chooser.mark(index, "down", 0, 1)
    assert loops.bench_choose(chooser, LOOPS) == 0


@pytest.mark.parametrize("count", [1, 63, 64, 5000])
def test_match_finds_each_transaction(count):
    assert loops.bench_match(loops.Transactions(count), LOOPS) == LOOPS


@pytest.mark.parametrize("count", [1, 100, 5000])
def test_timers_stay_armed_while_the_clock_runs(count):
    timers = loops.Timers(count)
    # 40 rounds of 2,000 let 5 s pass, so that timers fire, too
    assert [loops.bench_timer(timers, LOOPS) for _ in range(40)] == [LOOPS] * 40


@pytest.mark.parametrize("kind", [loops.Transactions, loops.Timers])
def test_a_count_out_of_range_is_refused(kind):
    for count in (0, (1 << 22) + 1):
        with pytest.raises(ValueError):
            kind(count)
