"""observe.metrics: each number in one family, in two formats that parsers of others read; and by names of Kamailio."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from fastsip._core.base.mapped import Damaged as DamagedCells
from fastsip._core.dispatcher.cells import HEALTH_NAMES, Cells
from fastsip._core.dispatcher.measures import THE_REST
from fastsip.base.plain import printable
from fastsip.observe import counters, families, metrics
from fastsip.observe.counters import COUNTER_NAMES, GAUGES
from fastsip.observe.destinations import UNSEEN, with_seen
from fastsip.observe.exposition import BOUNDS, Exposition, label_value, labels
from fastsip.observe.measures import LINE, Measured
from fastsip.routing.registry import Registry
from tests.prometheus import check

STATUS = {"version": "1.2.3", "pid": 1, "router": 4, "routes_since_s": 17, "spare": None, "configuration": 3,
          "shards": 2, "listeners": [], "draining": False, "state_dir": "/s", "sources_away": [],
          "webhooks": [{"name": "w", "sent": 5, "failed": 6, "dropped": 7, "waiting": 8, "why": ""}],
          "spans": {"sent": 1, "lost": 2, "passed_over": 3, "unseen": 4, "why": ""}}  # fmt: skip
MEMBER = {"id": "m/a", "uri": "sip:192.0.2.1", "priority": 0, "weight": 1, "attrs": {}, "listener": "udp:1",
          "probe": "all", "admin": "enabled", "configured": "enabled", "said_at": None, "why": ""}  # fmt: skip


def group(name: str = "m", setid: int | None = None, members: list[dict] = [MEMBER], **facts) -> dict:  # noqa: B006
    part = {"set": {"name": name, "setid": setid, "algorithm": "call-id"}, "destinations": members}
    whole = with_seen(part, {})
    return {**whole, "destinations": [one | facts for one in whole["destinations"]]}


def known(**parts) -> metrics.Known:
    usual = {
        "status": STATUS,
        "gauges": {name: 10 + place for place, name in enumerate(GAUGES)},
        "shards": [{name: factor * place for place, name in enumerate(COUNTER_NAMES)} for factor in (1, 1000)],
        "sets": [group()],
    }
    return metrics.Known(**{**usual, **parts})


def samples(found: metrics.Known, openmetrics: bool = False, names: str = "fastsip") -> dict[tuple, float]:
    """(name, sorted labels) -> value, as a reader of that format finds them."""
    read = read_openmetrics if openmetrics else read_text
    read_back = [one for family in read(metrics.text(found, openmetrics=openmetrics, names=names))
                 for one in family.samples]  # fmt: skip
    result = {(one.name, tuple(sorted(one.labels.items()))): one.value for one in read_back}
    assert len(result) == len(read_back), "a series stands twice"
    return result


def value(found: dict[tuple, float], name: str, **pairs: str) -> float | None:
    return found.get((name, tuple(sorted(pairs.items()))))


def test_each_webhook_has_its_numbers():
    hooks = [{"name": name, "sent": 1, "failed": 2, "dropped": 3, "waiting": 4, "why": ""} for name in ("a", "b")]
    found = samples(known(status=STATUS | {"webhooks": hooks}))
    for number, what in enumerate(("events_sent_total", "attempts_failed_total", "events_dropped_total",
                                   "events_waiting"), 1):  # fmt: skip
        assert value(found, f"fastsip_webhook_{what}", webhook="a") == number
        assert value(found, f"fastsip_webhook_{what}", webhook="b") == number


def test_spans_have_numbers_when_there_are_any():
    names = ("sent", "lost", "passed_over", "unseen")
    found = samples(known())
    assert [value(found, f"fastsip_spans_{name}_total") for name in names] == [1, 2, 3, 4]
    found = samples(known(status=STATUS | {"spans": None}))
    assert [value(found, f"fastsip_spans_{name}_total") for name in names] == [None] * 4


# ---------------------------------------------------------------- the table


def test_each_number_of_a_shard_is_in_exactly_one_family():
    held = Counter(name for family in families.FAMILIES for name in family.of)
    assert held == Counter((*COUNTER_NAMES, *GAUGES))


def test_families_are_named_as_their_kind_wants_it():
    names = [family.name for family in families.FAMILIES]
    assert len(set(names)) == len(names)
    for family in families.FAMILIES:
        assert family.name.startswith("fastsip_") and family.help
        assert family.name.endswith("_total") == (family.kind == "counter"), family.name
        assert family.name.endswith("_info") == (family.kind == "info"), family.name


def test_values_of_a_label_tell_counters_apart():
    for family in families.FAMILIES:
        assert len(set(family.of.values())) == len(family.of), family.name
        assert bool(family.label) == (len(family.of) > 1) or not family.of, family.name


def family_of(name: str) -> families.Family:
    """Whose sample this is."""
    found = [one for one in families.FAMILIES
             if name == one.name or (one.kind == "histogram" and name.removeprefix(one.name) in PARTS)]
    assert len(found) == 1, name
    return found[0]


PARTS = ("_bucket", "_sum", "_count")   # of a histogram


def test_histograms_of_shards_are_added_up_from_below():
    shard = {name: 1 for name in COUNTER_NAMES} | {"timer_lag_ms": 2_500}
    found = samples(known(shards=[shard]))
    name = "fastsip_timer_lag_seconds"
    buckets = [value(found, f"{name}_bucket", shard="0", le=bound) for bound in BOUNDS]
    assert buckets == [*range(1, len(BOUNDS) + 1)]
    assert value(found, f"{name}_count", shard="0") == len(BOUNDS) and value(found, f"{name}_sum", shard="0") == 2.5


@pytest.mark.parametrize("openmetrics", [False, True])
def test_nothing_that_is_counted_is_lost(openmetrics):
    found = samples(known(), openmetrics)
    for family in families.COUNTERS:
        if family.kind == "histogram":
            continue
        for name, word in family.of.items():
            pairs = {family.label: word} if word else {}
            place = COUNTER_NAMES.index(name)
            if family.by_shard:
                assert value(found, family.name, shard="0", **pairs) == place
                assert value(found, family.name, shard="1", **pairs) == place * 1000
            else:
                assert value(found, family.name, **pairs) == place * 1001


@given(st.lists(st.sampled_from(COUNTER_NAMES), min_size=1))
def test_no_counter_goes_down_whatever_is_counted_first(order):
    """Shards count on while they are read: each number may be of another moment, so none may be a difference."""
    def total(shard: dict[str, int]) -> dict[tuple, float]:
        return {each: number for names in metrics.NAMES
                for each, number in samples(known(shards=[shard]), names=names).items()}  # fmt: skip

    shard = dict.fromkeys(COUNTER_NAMES, 5)
    before = total(shard)
    for name in order:
        shard[name] += 1
    after = total(shard)
    assert before.keys() == after.keys() and all(after[each] >= before[each] for each in before)
    timed = {name for family in families.COUNTERS if family.kind == "histogram" for name in family.of}
    assert sum(after[each] > before[each] for each in after
               if each[0].startswith("fastsip_") and family_of(each[0]).kind != "histogram") == len(set(order) - timed)


def test_what_another_release_counts_is_shown_by_its_own_name():
    found = samples(known(gauges={"kites": 3}, shards=[{"stones": 5, "sent": 1}, {"stones": 6, "sent": 2}]))
    assert value(found, "fastsip_other_counters_total", counter="stones") == 11
    assert value(found, "fastsip_other_gauges", gauge="kites") == 3
    assert value(found, "fastsip_datagrams_sent_total", shard="1") == 2
    assert not any(name == "fastsip_keep_alives_total" for name, _ in found), "what it does not count is not 0"


def test_labels_are_those_of_the_table():
    for (name, pairs), _ in samples(known(sets=[group(setid=7, since=5.0, retry_after=6.0, rtt_ms=2.0)])).items():
        assert {label for label, _ in pairs} <= set(families.label_names(family_of(name))), name


# ---------------------------------------------------------------- the router, its sets and destinations


def test_what_the_supervisor_says():
    found = samples(known())
    assert value(found, "fastsip_build_info", version="1.2.3") == 1
    assert value(found, "fastsip_up") == 1 and value(found, "fastsip_spare_ready") == 0
    assert value(found, "fastsip_uptime_seconds") == 17 and value(found, "fastsip_configuration_number") == 3
    assert value(found, "fastsip_draining") == 0 and value(found, "fastsip_shards") == 2


def test_between_two_routers_there_is_no_uptime():
    found = samples(known(status=STATUS | {"router": None, "routes_since_s": None, "draining": True}))
    assert value(found, "fastsip_up") == 0 and value(found, "fastsip_uptime_seconds") is None
    assert value(found, "fastsip_draining") == 1


@pytest.mark.parametrize("names", metrics.NAMES)
def test_what_a_supervisor_of_another_release_does_not_say_is_left_out(names):
    found = samples(known(status={"router": 4}), names=names)
    assert value(found, f"{names}_up") == 1
    assert not any("uptime" in name or "draining" in name for name, _ in found)


@pytest.mark.parametrize("health", HEALTH_NAMES)
@pytest.mark.parametrize("admin", ["enabled", "draining", "disabled"])
def test_a_destination_is_up_unless_it_is_down_and_takes_calls_if_it_may(health, admin):
    found = samples(known(sets=[group(setid=0, health=health, admin=admin)]))
    of = {"set": "m", "setid": "0", "destination": "m/a"}
    assert value(found, "fastsip_destination_up", **of) == (health != "down")
    takes = health != "down" and admin == "enabled"
    assert value(found, "fastsip_destination_takes_calls", **of) == takes
    assert value(found, "fastsip_destination_state", **of, health=health, admin=admin, probe="all") == 1
    assert value(found, "fastsip_destination_info", **of, uri="sip:192.0.2.1") == 1
    assert value(found, "fastsip_set_destinations_taking_calls", set="m", setid="0") == takes


def test_numbers_of_a_destination_in_seconds():
    facts = {"chosen": 9, "failed": 2, "probes_sent": 5, "probes_failed": 1, "rtt_ms": 12.3, "since": 1_700_000_000.9,
             "retry_after": 1_700_000_100.2, "latency_ms": 4.5, "limited": 3, "downs": 2}  # fmt: skip
    found = samples(known(sets=[group(**facts)]))
    of = {"set": "m", "destination": "m/a"}
    short = {name.removeprefix("fastsip_destination_"): number for (name, pairs), number in found.items()
             if name.startswith("fastsip_destination_") and dict(pairs) == of}  # fmt: skip
    assert short == {
        "up": 1, "takes_calls": 0, "chosen_total": 9, "failed_total": 2, "probes_sent_total": 5,
        "probes_failed_total": 1, "probe_rtt_seconds": 0.0123, "health_change_timestamp_seconds": 1_700_000_001,
        "retry_after_timestamp_seconds": 1_700_000_100, "latency_seconds": 0.0045, "limited_total": 3, "downs": 2,
    }  # fmt: skip


def test_what_is_not_known_of_a_destination_is_not_zero():
    names = {name for name, _ in samples(known())}
    assert UNSEEN.rtt_ms is None and "fastsip_destination_chosen_total" in names
    assert not names & {f"fastsip_destination_{what}_seconds"
                        for what in ("probe_rtt", "health_change_timestamp", "retry_after_timestamp")}


@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_no_more_destinations_are_shown_than_the_bound_allows(beyond, monkeypatch):
    monkeypatch.setattr(metrics, "MOST_DESTINATIONS", 5)
    members = [MEMBER | {"id": f"b/{number}"} for number in range(2 + beyond)]
    found = samples(known(sets=[group("a", members=[MEMBER | {"id": f"a/{n}"} for n in range(3)]),
                                group("b", 2, members), group("c", 3, [])]))
    shown = [dict(pairs)["destination"] for name, pairs in found if name == "fastsip_destination_up"]
    assert shown == ["a/0", "a/1", "a/2", "b/0", "b/1"][:5 + min(0, beyond)]
    assert value(found, "fastsip_metrics_left_out", kind="destinations") == max(0, beyond)
    assert value(found, "fastsip_set_destinations", set="b", setid="2") == 2 + beyond, "the set is counted whole"


@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_no_more_sets_are_shown_than_the_bound_allows(beyond, monkeypatch):
    monkeypatch.setattr(metrics, "MOST_SETS", 3)
    sets = [group(f"s{number}", members=[MEMBER | {"id": f"s{number}/a"}]) for number in range(3 + beyond)]
    found = samples(known(sets=sets))
    for name in ("fastsip_set_destinations", "fastsip_destination_up"):
        assert sum(each == name for each, _ in found) == 3 + min(0, beyond)
    assert value(found, "fastsip_metrics_left_out", kind="sets") == max(0, beyond)
    assert value(found, "fastsip_metrics_left_out", kind="destinations") == max(0, beyond)


# ---------------------------------------------------------------- what was measured


def measured(*ids: str, unknown: int = 0, rest: bool = True) -> Measured:
    """Of each id ten times the attempts of the one before, and as many ends and times; of the nameless 1."""
    lines = np.zeros((2, len(ids) + unknown + 1), LINE)
    for place in range(len(ids) + unknown):
        factor = 10**place if place < len(ids) else 1
        of_one = lines[:, place : place + 1]
        of_one["destination_id"] = 1 + place
        for name in LINE.names:
            if name != "destination_id":
                of_one[name] = factor
    if rest:
        lines[:, -1]["destination_id"] = THE_REST
        lines[:, -1]["attempts"] = 7
    return Measured(lines, {1 + place: ("destination", name) for place, name in enumerate(ids)})


@pytest.mark.parametrize("openmetrics", [False, True])
def test_what_was_measured_of_a_destination(openmetrics):
    found = samples(known(sets=[group(setid=4)], measured=measured("m/a", rest=False)), openmetrics)
    of = {"set": "m", "setid": "4", "destination": "m/a"}
    assert value(found, "fastsip_destination_attempts_total", **of) == 2, "of both shards"
    for family in families.MEASURED:
        if family.kind == "histogram":
            buckets = [value(found, f"{family.name}_bucket", **of, le=bound) for bound in BOUNDS]
            assert buckets == [2 * number for number in range(1, len(BOUNDS) + 1)]
            assert value(found, f"{family.name}_count", **of) == buckets[-1]
            assert value(found, f"{family.name}_sum", **of) == 0.002
        elif family.label:
            words = family.measured[1:]
            assert [value(found, family.name, **of, **{family.label: word}) for word in words] == [2] * len(words)
    assert value(found, "fastsip_destination_attempts_total", destination="(others)") is None


@pytest.mark.parametrize("beyond", [-1, 0, 1, 2])
def test_no_more_is_shown_of_what_was_measured_than_the_bound_allows(beyond, monkeypatch):
    """All others are one more destination of no set; those that the configuration has no more are nobody's."""
    monkeypatch.setattr(metrics, "MOST_MEASURED", 2)
    ids = [f"m/{number}" for number in range(2 + beyond)]
    sets = [group(members=[MEMBER | {"id": name} for name in ids])]
    found = samples(known(sets=sets, measured=measured(*ids, "m/gone", rest=False)))
    shown = {dict(pairs)["destination"]: number for (name, pairs), number in found.items()
             if name == "fastsip_destination_attempts_total"}  # fmt: skip
    assert shown == {name: 2 * 10**place for place, name in enumerate(ids[:2])} | (
        {"(others)": 2 * sum(10**place for place in range(2, 2 + beyond))} if beyond > 0 else {})


def test_those_that_share_a_line_are_shown_as_others():
    found = samples(known(sets=[group()], measured=measured("m/a")))
    assert value(found, "fastsip_destination_attempts_total", destination="(others)") == 14
    assert value(found, "fastsip_destination_attempts_total", set="m", destination="m/a") == 2


def test_a_writer_gives_the_same_text_as_one_that_was_never_used():
    """Whatever came, went or changed between two scrapes."""
    one, other = group(members=[MEMBER]), group("n", 3, [MEMBER | {"id": "n/a"}, MEMBER | {"id": "n/b"}], health="down")
    for openmetrics in (False, True):
        writer = metrics.Writer(openmetrics=openmetrics)
        for found in (known(), known(sets=[one, other], measured=measured("m/a", "n/b")), known(shards=[]),
                      known(sets=[other], measured=measured("n/a")), known(status={"router": None}),
                      known(sets=[one], shards=known().shards * 2), known()):
            assert writer.text(found) == metrics.text(found, openmetrics=openmetrics)


def test_the_text_of_labels_may_have_any_sign():
    writer = metrics.Writer()
    name = '100 %s %d "x" \\ é'
    for number in (1, 2):
        found = known(sets=[group(members=[MEMBER | {"id": name}], chosen=number)], measured=measured(name))
        read_back = [one for family in read_text(writer.text(found)) for one in family.samples
                     if one.name == "fastsip_destination_chosen_total"]  # fmt: skip
        assert [(one.labels["destination"], one.value) for one in read_back] == [(name, number)]


# ---------------------------------------------------------------- out of run_dir


def test_files_of_run_dir_and_what_the_supervisor_says_come_together(scratch):
    file = counters.StatsFile(str(scratch), 2)
    file.shards[1][COUNTER_NAMES.index("sent")] = 2**63
    file.gauges[GAUGES.index("slots")] = 4
    cells = Cells(scratch / "cells", 8)
    with Registry(scratch) as registry:
        cells.assign(registry.id("destination", "m/a"))
        half = {"set": {"name": "m", "setid": 1, "algorithm": "x"}, "destinations": [MEMBER]}
        parts = [half, {**half, "destinations": [MEMBER | {"id": "m/b"}]}, {"done": "destinations"}]
        found = samples(metrics.look(scratch, STATUS, parts))
    assert value(found, "fastsip_datagrams_sent_total", shard="1") == 2**63
    assert value(found, "fastsip_datagrams_sent_total", shard="0") == 0
    assert value(found, "fastsip_store_slots") == 4
    assert value(found, "fastsip_set_destinations", set="m", setid="1") == 2


def test_a_file_that_is_not_there_or_damaged_is_said(scratch):
    with pytest.raises(FileNotFoundError):
        metrics.look(scratch, STATUS, [])
    counters.StatsFile(str(scratch), 1)
    with pytest.raises(FileNotFoundError):
        metrics.look(scratch, STATUS, [])
    Registry(scratch).close()
    (scratch / "cells").write_bytes(b"x" * 8192)
    with pytest.raises(DamagedCells):
        metrics.look(scratch, STATUS, [])
    (scratch / "stats").write_bytes(b"x" * 8192)
    with pytest.raises(counters.Damaged):
        metrics.look(scratch, STATUS, [])


# ---------------------------------------------------------------- how it is written


@given(st.text())
def test_any_text_comes_back_as_a_label_and_does_nothing_on_the_way(text):
    found = known(sets=[group(text or "m", members=[MEMBER | {"id": f"x{text}", "uri": text}])])
    for openmetrics, names in ((False, "fastsip"), (True, "fastsip"), (False, "kamailio"), (True, "kamailio")):
        written = metrics.text(found, openmetrics=openmetrics, names=names)
        assert printable(written) == written and written.encode()
    shown = {name: dict(pairs) for name, pairs in samples(found)}
    assert shown["fastsip_destination_info"]["destination"] == f"x{printable(text)}"
    assert shown["fastsip_destination_info"].get("uri", "") == printable(text)
    assert samples(found) == samples(found, True)


@pytest.mark.parametrize(("text", "written"), [
    ("plain", "plain"), ('a"b', r"a\"b"), ("a\\b", r"a\\b"), ("a\nb", r"a\nb"), ("a\\nb", r"a\\nb"), ("é€", "é€"),
    ("\r", r"\\u000d"), ("\ud800", r"\\ud800"), ("\x1b[2J", r"\\u001b[2J"), (7, "7"), (0, "0"), (None, ""), ("", ""),
])  # fmt: skip
def test_values_of_labels(text, written):
    assert label_value(text) == written


def test_a_label_without_a_value_is_left_out():
    assert labels({"a": "", "b": None, "c": 0, "d": "x"}) == 'c="0",d="x"'


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, None])
@pytest.mark.parametrize("openmetrics", [False, True])
def test_what_is_no_number_is_not_written(wrong, openmetrics):
    found = Exposition(openmetrics)
    found.add("a", "gauge", "a", [("", wrong)])
    found.add("b", "gauge", "b", [('x="1"', wrong), ('x="2"', 1.5), ('x="3"', True)])
    text = found.text()
    assert "# TYPE a" not in text and 'x="1"' not in text
    assert 'b{x="2"} 1.5\nb{x="3"} 1\n' in text


def test_help_and_type_stand_once_and_before_the_samples():
    found = Exposition(False)
    found.add("a_total", "counter", 'says "a\\b"\nand c', [("", 2**64 - 1), ('x="1"', 0)])
    assert found.text() == ('# HELP a_total says "a\\\\b"\\nand c\n# TYPE a_total counter\n'
                            'a_total 18446744073709551615\na_total{x="1"} 0\n')
    with pytest.raises(AssertionError):
        found.add("a_total", "counter", "again", [("", 1)])


def test_openmetrics_names_families_without_suffix_and_says_units_and_the_end():
    found = Exposition(True)
    found.add("a_total", "counter", 'says "a"', [("", 1)])
    found.add("b_seconds", "gauge", "b", [("", 1)])
    found.add("c_info", "info", "c", [("", 1)])
    found.add("d", "counter", "Kamailio's own", [("", 1)])
    assert found.text() == (
        '# TYPE a counter\n# HELP a says \\"a\\"\na_total 1\n'
        "# TYPE b_seconds gauge\n# UNIT b_seconds seconds\n# HELP b_seconds b\nb_seconds 1\n"
        "# TYPE c info\n# HELP c c\nc_info 1\n# TYPE d unknown\n# HELP d Kamailio's own\nd 1\n# EOF\n")


def test_a_counter_that_is_not_named_as_one_keeps_its_name():
    found = Exposition(False)
    found.add("d", "counter", "Kamailio's own", [("", 1)])
    assert found.text() == "# HELP d Kamailio's own\n# TYPE d untyped\nd 1\n"


def test_nothing_is_an_empty_text():
    assert (Exposition(False).text(), Exposition(True).text()) == ("", "# EOF\n")


def test_prometheus_own_tool_finds_nothing_to_say():
    full = known(gauges={**known().gauges, "kites": 1},
                 shards=[row | {"stones": 1} for row in known().shards],
                 sets=[group(setid=1, since=5.0, retry_after=6.0, rtt_ms=2.0, latency_ms=2.5)],
                 measured=measured("m/a"),
                 transactions=[{"kind": "client_invite", "state": "calling", "count": 3}])  # fmt: skip
    assert {family_of(name).name for name, _ in samples(full)} == {family.name for family in families.FAMILIES}
    done = check("metrics", text=metrics.text(full))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---------------------------------------------------------------- by names of Kamailio


@pytest.mark.parametrize("openmetrics", [False, True])
def test_names_of_kamailio_have_our_numbers(openmetrics):
    shards = [dict.fromkeys(COUNTER_NAMES, 0) | {"transactions": 7, "probes": 2, "responses": 5, "requests": 9,
                                                 "bad_uri": 3, "bad_via": 4, "bad_cseq": 1}] * 2
    gauges = {"slots": 1, "slot_bytes": 100, "block_bytes": 50, "store_bytes": 1000}
    found = samples(known(shards=shards, gauges=gauges, sets=[group(setid=3)]), openmetrics, "kamailio")
    expected = {
        "kamailio_up": 1, "kamailio_core_uptime_uptime_total": 17, "kamailio_tm_stats_total_total": 18,
        "kamailio_tm_stats_total_local_total": 4, "kamailio_tm_stats_created_total": 18,
        "kamailio_tm_stats_rpl_received_total": 10, "kamailio_core_rcv_requests": 18, "kamailio_core_rcv_replies": 10,
        "kamailio_tmx_UAS_transactions": 14, "kamailio_core_bad_URIs_rcvd": 6, "kamailio_bad_msg_hdr": 10,
        "kamailio_core_shmmem_total": 1000, "kamailio_core_shmmem_used": 150, "kamailio_core_shmmem_free": 850,
    }  # fmt: skip
    assert {name: value(found, name) for name in expected} == expected
    assert value(found, "kamailio_tmx_type_total", type="uac") == 4
    assert value(found, "kamailio_dispatcher_list_target", uri="sip:192.0.2.1", flags="AP", setid="3") == 1
    assert all(name.startswith("kamailio_") for name, _ in found)


def test_kamailio_s_list_has_sets_with_a_number_and_each_target_once():
    twice = [MEMBER, MEMBER | {"id": "m/b"}]
    found = samples(known(sets=[group("1", 1, twice), group("named", None), group("2", 2, [MEMBER | {"id": "2/a"}])]),
                    names="kamailio")
    targets = [dict(pairs)["setid"] for name, pairs in found if name == "kamailio_dispatcher_list_target"]
    assert targets == ["1", "2"]


def test_what_a_release_does_not_count_has_no_name_of_kamailio():
    found = samples(known(shards=[{"transactions": 1}], gauges={"slots": 1}), names="kamailio")
    assert value(found, "kamailio_tmx_UAS_transactions") == 1
    assert value(found, "kamailio_tm_stats_created_total") is None
    assert not any("shm" in name for name, _ in found)


def test_names_are_fastsip_s_or_kamailio_s():
    with pytest.raises(ValueError, match="fastsip, kamailio"):
        metrics.text(known(), names="opensips")
