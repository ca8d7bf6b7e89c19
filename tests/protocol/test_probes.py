"""OPTIONS probes on the virtual clock: rounds, jitter, repetitions, what counts as life (docs/wire.md#probes)."""

from collections import Counter
from itertools import pairwise

import pytest

from fastsip._core.base.hashing import mix_words, unbase32
from fastsip._core.dispatcher.cells import Cells
from fastsip._core.dispatcher.chooser import Positions
from fastsip._core.harness.rig import Rig
from fastsip._core.routing.parts import DEFAULT_ACCEPT, MAX_PROBE_HEADERS
from fastsip._core.routing.table import RoutingTable
from fastsip.ua.message import make_response, read_message
from tests.kernels.audit import live_slots
from tests.protocol.script import BOB, EDGE, TICK, Stage, make_table, read_sent

PROBE = {
    "interval_ms": 30_000,
    "timeout_ms": 2_000,
    "rise": 1,
    "fall": 2,
    "from_uri": "sip:prober@10.0.0.254",
}
LATE = 20  # probes that are due within so many ms go out together


@pytest.fixture
def probing(make_stage):
    return lambda **changes: make_stage(
        destinations=changes.pop("destinations", 1), probe={**PROBE, **changes}
    )


def next_probe(stage: Stage, within: int = 60_000):
    """Advances until the first destination is probed."""
    while within > 0:
        stage.collect()
        found = stage.take_requests(BOB[0], "OPTIONS")
        if found:
            return found[0]
        before = stage.rig.sent_count
        while stage.rig.sent_count == before and within > 0:
            stage.rig.advance(4)
            within -= 4
    raise AssertionError(f"no probe within {within} ms")


def let_fail(stage: Stage) -> None:
    """One probe times out."""
    next_probe(stage)
    stage.advance(2_000 + LATE)
    stage.waiting.clear()


def test_headers_of_its_own(probing):
    """A Contact of its own takes the place of the listener's, in the long form or in the short one."""
    stage = probing(headers=(("Accept", "*/*"), ("X-Node", "one"), ("Contact", "<sip:me@example.net>")))
    probe = next_probe(stage)
    assert (probe.get("Accept"), probe.get("X-Node"), probe.get("Contact")) == ("*/*", "one", "<sip:me@example.net>")
    assert [name for name, _ in probe.headers].count("Contact") == 1 and probe.get("Content-Length") == "0"


@pytest.mark.parametrize("size", [1, MAX_PROBE_HEADERS - len("X-A: \r\n")])
def test_the_longest_headers_have_room(probing, size):
    stage = probing(headers=(("X-A", "y" * size),))
    assert next_probe(stage).get("X-A") == "y" * size


def test_longer_ones_are_refused(probing):
    with pytest.raises(ValueError, match="bytes of probe headers"):
        probing(headers=(("X-A", "y" * MAX_PROBE_HEADERS),))


def test_first_round_goes_out_within_a_second(probing):
    stage = probing(destinations=8)
    stage.advance(1_000 + LATE)
    assert {message.to for message in stage.waiting if message.method == "OPTIONS"} == set(BOB[:8])


def test_probe_is_a_plain_options(probing):
    """11.1: from the listener's own address, with a branch and a Call-ID of its own, Accept, and Contact."""
    probe = next_probe(probing())
    assert probe.uri == f"sip:{BOB[0][0]}:{BOB[0][1]}"
    assert probe.get("From").startswith("<sip:prober@10.0.0.254>;tag=")
    assert probe.get("To") == f"<{probe.uri}>"
    assert probe.get("Max-Forwards") == "70"
    assert probe.via.startswith("SIP/2.0/UDP 10.0.0.254:5060;branch=z9hG4bK")
    assert (probe.cseq_method, probe.body) == ("OPTIONS", b"")
    assert probe.get("Accept") == "application/sdp"
    assert probe.get("Contact") == "<sip:10.0.0.254:5060>"


def test_method_and_sender_are_configured(probing):
    probe = next_probe_of(probing(method="NOTIFY", from_uri="sip:x@y"), "NOTIFY")
    assert probe.get("From").startswith("<sip:x@y>")


def next_probe_of(stage: Stage, method: str):
    stage.advance(1_000 + LATE)
    return stage.take_requests(BOB[0], method)[0]


def test_rounds_are_an_interval_apart_with_jitter(probing):
    """Between 95 % and 105 %: two nodes that were started together do not stay together."""
    stage = probing()
    times = []
    for _ in range(12):
        probe = next_probe(stage)
        stage.reply(probe, 200)
        times.append(probe.at)
    second, *gaps = [later - earlier for earlier, later in pairwise(times)]
    assert 0 < second <= 30_000 + LATE + TICK
    assert all(28_500 <= gap <= 31_500 + LATE + TICK for gap in gaps), gaps
    assert len(set(gaps)) > 3


def test_those_that_began_together_do_not_stay_together(probing):
    """The second round of many is spread over the whole interval."""
    stage = probing(destinations=18)
    stage.advance(31_500 + LATE)
    times = {}
    for probe in stage.take(lambda m: m.method == "OPTIONS"):
        times.setdefault((probe.to, probe.cseq), probe.at)
    seconds = sorted(at for (_, cseq), at in times.items() if cseq == 2)
    assert len(seconds) == 18 and seconds[-1] - seconds[0] > 20_000
    assert max(later - earlier for earlier, later in pairwise(seconds)) < 10_000


def test_who_may_be_dying_is_not_asked_late(probing):
    """interval 1 s, timeout 0.5 s, fall 2: a silent one is down within 2.6 s, wherever in its interval it died."""
    stage = probing(interval_ms=1_000, timeout_ms=500)
    for _ in range(6):
        stage.reply(next_probe(stage), 200)
        died = stage.now
        while stage.health(0) != "down":
            stage.advance(4)
        assert stage.now - died <= 2_600
        stage.waiting.clear()


def test_destinations_are_not_probed_all_at_once(probing):
    stage = probing(destinations=8)
    stage.advance(1_000 + LATE)
    firsts = {message.to: message.at for message in reversed(stage.waiting)}
    assert len(set(firsts.values())) > 2


def test_answer_makes_it_up(probing):
    stage = probing()
    stage.reply(next_probe(stage), 200)
    assert stage.health(0) == "up"
    assert stage.cells.read(0).probes_sent == 1
    assert live_slots(stage.rig) == []


def test_round_trip_time_is_kept(probing):
    stage = probing()
    probe = next_probe(stage)
    stage.advance(probe.at + 40 - stage.now)
    stage.reply(probe, 200)
    assert stage.cells.read(0).rtt_us == 40_000


def test_repetitions_within_the_timeout(probing):
    """As every request over UDP: after T1, then 2 T1, byte for byte (17.1.2.2), and nothing after the timeout."""
    stage = probing()
    first = next_probe(stage)
    stage.advance(4_000)
    again = stage.take_requests(BOB[0], "OPTIONS")
    assert [0 <= m.at - first.at - at <= 2 * LATE for m, at in zip(again, (500, 1_500), strict=True)] == [
        True,
        True,
    ]
    assert {m.to_bytes() for m in again} == {first.to_bytes()}


def test_probes_have_nothing_in_common(probing):
    """Branch, Call-ID, tag and number are each probe's own; who saw one does not know the next."""
    stage = probing(destinations=8, interval_ms=2_000, timeout_ms=400)
    stage.advance(9_000)
    probes = stage.take(lambda m: m.method == "OPTIONS")
    assert len(probes) > 16
    for words in ({m.branch for m in probes}, {m.call_id for m in probes}, {(m.to, m.cseq) for m in probes}):
        assert len(words) == len(probes)
    words = [unbase32(text, 64) for m in probes for text in (m.branch[7:20], m.call_id)]
    made = {mix_words(a, b) | 1 for a in words for b in [*words, *range(stage.now - 9_000, stage.now + 1)]}
    assert not made & set(words)


@pytest.mark.parametrize("fall", [1, 2, 3])
def test_fall(probing, fall):
    """So many failures in a row; before that it is trying."""
    stage = probing(fall=fall)
    for _ in range(fall - 1):
        let_fail(stage)
        assert stage.health(0) == "trying"
    let_fail(stage)
    assert stage.health(0) == "down"
    assert stage.counter("probe_failures") == fall


@pytest.mark.parametrize("rise", [1, 2, 3])
def test_rise(probing, rise):
    """So many answers in a row bring it back."""
    stage = probing(fall=1, rise=rise)
    let_fail(stage)
    for _ in range(rise - 1):
        stage.reply(next_probe(stage), 200)
        assert stage.health(0) == "down"
    stage.reply(next_probe(stage), 200)
    assert stage.health(0) == "up"


def test_success_in_between_starts_anew(probing):
    stage = probing(fall=2)
    let_fail(stage)
    stage.reply(next_probe(stage), 200)
    let_fail(stage)
    assert stage.health(0) == "trying"


@pytest.mark.parametrize("code", [200, 401, 403, 404, 405, 486, 501, 600])
def test_accepted_by_default(probing, code):
    """Any final response: many gateways answer OPTIONS with 403, 405 or 501."""
    stage = probing(fall=1)
    stage.reply(next_probe(stage), code)
    assert stage.health(0) == "up"


@pytest.mark.parametrize("code", [408, 500, 503, 504])
def test_refused_by_default(probing, code):
    stage = probing(fall=1)
    stage.reply(next_probe(stage), code)
    assert stage.health(0) == "down"
    assert stage.cells.read(0).last_code == code
    assert code not in DEFAULT_ACCEPT


def test_accept_as_configured(probing):
    stage = probing(fall=1, accept=(200,))
    stage.reply(next_probe(stage), 404)
    assert stage.health(0) == "down"


def test_provisional_is_no_answer(probing):
    stage = probing(fall=1)
    stage.reply(next_probe(stage), 100)
    assert stage.health(0) == "unknown"
    stage.advance(2_000 + LATE)
    assert stage.health(0) == "down"


def test_timeout_is_never_a_code(probing):
    """408 in `accept` is an answer of the destination; silence is still silence."""
    stage = probing(fall=1, accept=(200, 408))
    let_fail(stage)
    assert stage.health(0) == "down"


def test_late_and_repeated_answers_count_nothing(probing):
    stage = probing(fall=2, rise=2)
    probe = next_probe(stage)
    stage.advance(2_000 + LATE)
    stage.waiting.clear()
    assert stage.health(0) == "trying"
    stage.reply(probe, 200)
    stage.nothing_sent()
    assert stage.health(0) == "trying"


def test_forged_answer_counts_nothing(probing):
    """Another branch with the hint of a probe."""
    stage = probing(fall=1)
    probe = next_probe(stage)
    forged = stage.response(probe, 503)
    branch = probe.branch
    forged.headers[0] = ("Via", probe.via.replace(branch, branch[:7] + ("a" if branch[7] != "a" else "b") + branch[8:]))
    stage.inject(forged, ("192.0.2.66", 5060))
    assert stage.health(0) == "unknown"
    stage.reply(probe, 200)
    assert stage.health(0) == "up"


@pytest.mark.parametrize("status", [200, 503])
def test_answer_of_somebody_else_counts_nothing(probing, status):
    """With all that the probe had: it was not he who was asked."""
    stage = probing(fall=1)
    probe = next_probe(stage)
    stage.inject(stage.response(probe, status), ("192.0.2.66", 5060))
    assert (stage.health(0), stage.counter("stray_responses")) == ("unknown", 1)
    stage.reply(probe, 200)
    assert stage.health(0) == "up"


def test_answer_from_another_port_counts(probing):
    """Many gateways send from another one than they listen at."""
    stage = probing(fall=1)
    stage.inject(stage.response(next_probe(stage), 200), (BOB[0][0], 50_000))
    assert stage.health(0) == "up"


REFUSED, UNREACHABLE = 111, 113  # errno


@pytest.mark.parametrize("code", [REFUSED, UNREACHABLE])
@pytest.mark.parametrize("about", [("192.0.2.66", 5060), BOB[1], (BOB[0][0], 50_000), EDGE, ("2001:db8::1", 5060)])
def test_an_icmp_error_counts_only_about_where_the_probe_was_sent(make_stage, about, code):
    """Whoever has read a probe can quote it, about another."""
    stage = make_stage(destinations=2, probe={**PROBE, "fall": 1})
    probe = next_probe(stage)
    stage.rig.take_error(probe.to_bytes(), about, code)
    assert (stage.health(0), stage.health(1), stage.counter("probe_failures")) == ("unknown", "unknown", 0)
    stage.rig.take_error(probe.to_bytes(), probe.to, code)
    assert (stage.health(0), stage.health(1), stage.counter("probe_failures")) == ("down", "unknown", 1)


# ---------------------------------------------------------------- many of them


def answered(rig: Rig, ms: int) -> int:
    """Whatever leaves is answered within 10 ms; how many that were."""
    count = 0
    for _ in range(ms // 10):
        rig.advance(10)
        for sent in rig.sent():
            probe = read_message(sent.datagram, sent.to)
            rig.receive(make_response(probe, 200, to_tag="up").to_bytes(), sent.to)
            count += 1
    return count


def many(scratch, count: int, **probe) -> tuple[Rig, Cells]:
    table = RoutingTable(1)
    table.add_listener(1, 0, *EDGE, "10.0.0.254:5060", "public")
    table.add_set(1, 4)
    cells = Cells(count)
    for number in range(1, count + 1):
        host = f"10.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
        table.add_destination(0, number, cells.assign(number), host, 5060, 0, f"sip:{host}:5060", f"{host}:5060",
                              probe={**PROBE, "fall": 1, **probe})  # fmt: skip
    table.add_rule(1, 0)
    return Rig(scratch / "run", table.seal(), cells, 64), cells


@pytest.mark.parametrize("count", [10_000, 20_000])
def test_nobody_goes_down_for_want_of_room_of_our_own(scratch, count):
    """A shard may have more to send at once than its outbox holds."""
    rig, cells = many(scratch, count, interval_ms=3_000)     # all of them within the first second
    answered(rig, 2_000)
    counters = rig.counters()
    assert counters["probes"] > count and (counters["probe_failures"], counters["no_room"]) == (0, 0)
    assert Counter(cells.read(n).health for n in range(count)) == {1: count}


@pytest.mark.parametrize("count", [1_000, 3_000])
def test_many_are_spread_from_the_first_round_on(scratch, count):
    """One in each ms, but none later than in a third of its interval; no 100 ms have three times their share."""
    rig, _ = many(scratch, count, interval_ms=10_000)
    sent = [answered(rig, 100) for _ in range(300)]
    first_round = max(1_000, min(count, 10_000 // 3)) // 100
    assert sum(sent[:first_round + 1]) >= count
    mean = count / 100
    assert max(sent[first_round + 1:]) <= 3 * mean
    assert max(sent) <= 1.6 * count / first_round + 3 * mean


# ---------------------------------------------------------------- other tables


def test_who_comes_and_who_goes_with_another_table(make_stage):
    """What is planned stays planned; who is new is asked within a second, who is gone not at all."""
    stage = make_stage(destinations=4, probe=PROBE)
    stage.advance(1_000 + LATE)
    first = {message.to: message for message in stage.take(lambda m: m.method == "OPTIONS")}
    more, _ = make_table(destinations=8, probe=PROBE, cells=stage.cells)
    moved = Positions(more, 0)
    stage.use(more, moved)
    for bob in BOB[:4]:
        stage.reply(first[bob], 200)
    assert [stage.health(n) for n in range(4)] == ["up"] * 4
    stage.advance(1_000 + LATE)
    asked = stage.take(lambda m: m.method == "OPTIONS")
    assert {message.to for message in asked if message.cseq == 1} == set(BOB[4:8])
    assert {message.to for message in asked if message.cseq != 1} <= set(BOB[:4])   # their second one
    fewer, _ = make_table(destinations=1, probe=PROBE, cells=stage.cells)
    positions = Positions(fewer, 0)
    stage.use(fewer, positions)
    stage.advance(70_000)
    assert {message.to for message in stage.take(lambda m: m.method == "OPTIONS")} == {BOB[0]}


def test_a_late_answer_of_one_that_is_gone_counts_nothing(make_stage):
    stage = make_stage(destinations=2, probe={**PROBE, "fall": 1})
    stage.advance(1_000 + LATE)
    probe = stage.take(lambda m: m.to == BOB[1])[0]
    fewer, _ = make_table(destinations=1, probe=PROBE, cells=stage.cells)
    positions = Positions(fewer, 0)
    stage.use(fewer, positions)
    stage.reply(probe, 503)
    assert stage.health(1) == "unknown"


def test_a_line_that_changes_hands_is_asked_anew(make_stage):
    """The answer to the probe of the one before counts nothing for the one after."""
    stage = make_stage(destinations=1, probe={**PROBE, "fall": 1})
    probe = next_probe(stage)
    stage.cells.release(1)
    assert stage.cells.assign(9) == 0
    table = RoutingTable(2)
    table.add_listener(1, 0, *EDGE, "10.0.0.254:5060", "public")
    table.add_set(1, 4)
    table.add_destination(0, 9, 0, *BOB[8], 0, "sip:x", "x", probe={**PROBE, "fall": 1})
    table.add_rule(1, 0)
    table.seal()
    positions = Positions(table, 0)
    stage.use(table, positions)
    stage.reply(probe, 503)
    assert stage.health(0) == "unknown"
    stage.advance(1_000 + LATE)
    assert stage.take_requests(BOB[8], "OPTIONS")


@pytest.mark.parametrize(
    "mode, wanted", [("all", True), ("only-failed", False), ("marked", False), ("none", False)]
)
def test_modes_of_a_healthy_one(probing, mode, wanted):
    stage = probing(mode=mode)
    stage.advance(35_000)
    assert bool(stage.take_requests(BOB[0], "OPTIONS")) is wanted


def test_disabled_one_is_left_alone(probing):
    stage = probing()
    stage.cells.set_admin(0, 2)
    stage.quiet(70_000)


def probed(stage: Stage) -> list[tuple[str, int, int]]:
    """How probes that were asked for ended, as far as it was told."""
    return [(event.reason, event.status, event.after_ms) for event in stage.rig.events() if event.kind == "probed"]


@pytest.mark.parametrize("changes", [{}, {"mode": "only-failed"}, {"mode": "marked"}, {"interval_ms": 3_600_000}])
def test_who_is_asked_for_is_probed_at_once_and_the_end_is_told(probing, changes):
    stage = probing(**changes)
    stage.advance(1_000 + LATE)
    for first in stage.take_requests(BOB[0], "OPTIONS"):
        stage.reply(first, 200)
    stage.rig.probe(0)
    asked = next_probe(stage, within=LATE)
    stage.advance(7)
    stage.reply(asked, 200)
    ((life, status, ms),) = probed(stage)
    assert (life, status) == ("alive", 200) and 7 <= ms < 7 + LATE


def test_one_that_is_disabled_is_probed_when_it_is_asked_for(probing):
    stage = probing()
    stage.cells.set_admin(0, 2)
    stage.quiet(40_000)
    stage.rig.probe(0)
    next_probe(stage, within=LATE)
    stage.advance(2_000 + LATE)
    assert [one[:2] for one in probed(stage)] == [("dead", 408)]
    stage.waiting.clear()
    stage.quiet(40_000)


def test_of_a_probe_that_is_under_way_the_end_is_told(probing):
    stage = probing()
    asked = next_probe(stage)
    stage.rig.probe(0)
    stage.rig.probe(0)
    stage.reply(asked, 503)
    assert [one[:2] for one in probed(stage)] == [("dead", 503)]
    stage.reply(next_probe(stage), 200)
    assert probed(stage) == []      # nobody has asked for this one


@pytest.mark.parametrize("cell", [1, 64, 2**32 - 1, 2**64 - 1])
def test_a_line_that_is_nobody_s_is_not_probed(probing, cell):
    stage = probing(mode="only-failed")
    stage.rig.probe(cell)
    stage.quiet(2_000)
    assert probed(stage) == []


def test_who_is_not_probed_at_all_is_not_when_asked_for(make_stage):
    stage = make_stage(destinations=1, probe=None)
    stage.rig.probe(0)
    stage.quiet(2_000)


def test_health_events_of_probes(probing):
    stage = probing(fall=1)
    let_fail(stage)
    stage.reply(next_probe(stage), 200)
    assert [(event.reason, event.status) for event in stage.rig.events()] == [("down", 408), ("up", 200)]


def test_shards_share_the_work(scratch):
    """Each destination is probed by one shard, whose answers come back to it."""
    table, cells = make_table(destinations=6, probe=PROBE)
    probed = []
    for shard in range(3):
        rig = Rig(scratch / f"run{shard}", table, cells, 64, number=shard, count=3)
        rig.advance(1_000 + LATE)
        probed += {read_sent(record).to for record in rig.sent()}
    assert sorted(probed) == BOB[:6]
