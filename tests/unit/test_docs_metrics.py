"""docs/metrics.md has every family as the code has it; alarms and dashboard ask for nothing that is not there."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastsip.observe import metrics
from fastsip.observe.counters import COUNTER_NAMES, GAUGES
from fastsip.observe.families import FAMILIES, label_names
from fastsip.observe.kamailio_metrics import kamailio_metrics
from tests.prometheus import check, promtool

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "metrics.md").read_text()
ALERTS = DOCS / "metrics" / "alerts.yml"
BOARD = json.loads((DOCS / "metrics" / "grafana.json").read_text())
LABELS = {f"{family.name}{part}": set(label_names(family)) for family in FAMILIES
          for part in (("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",))}  # fmt: skip
ADDED = {"instance", "job"}     # by Prometheus
EXPR = r"expr: (?:\|\n)?((?:.|\n)+?)\n(?: +(?:for|labels):|\n|\Z)"


def part(heading: str) -> str:
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    assert found, heading
    return found[1]


def test_the_page_has_the_families_of_the_code():
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]+) \| ([^|]+) \|$", part("Families"), re.M)
    assert [(name, kind, tuple(re.findall(r"\w+", labels)), words) for name, kind, labels, words in rows] == [
        (family.name, family.kind, label_names(family), family.help) for family in FAMILIES]


def test_the_page_has_the_bounds_of_the_code():
    assert f"the first {metrics.MOST_MEASURED:,} of them is shown one by one" in PAGE
    assert f"{metrics.MOST_DESTINATIONS:,} destinations and {metrics.MOST_SETS:,} sets" in PAGE


def test_the_page_has_the_names_of_kamailio_that_are_given():
    numbers = dict.fromkeys(GAUGES, 1), dict.fromkeys(COUNTER_NAMES, 1)
    given = [each[0] for each in kamailio_metrics({"router": 1, "routes_since_s": 1}, *numbers, [])]
    with_ours, without = part("Names of Kamailio").split("What has no honest counterpart")
    assert re.findall(r"^\| `(\w+)` \|", with_ours, re.M) == given
    left_out = set(re.findall(r"`(kamailio_\w+)`", without))
    assert len(left_out) > 8 and not left_out & set(given)
    for name in re.findall(r"`((?:bad|slot|block|store)_\w+)`", with_ours):
        assert name in (*COUNTER_NAMES, *GAUGES)


def expressions() -> Iterator[str]:
    """All that is asked of Prometheus, by alarms, by the dashboard and on the page."""
    yield from re.findall(EXPR, ALERTS.read_text())
    for panel in BOARD["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for variable in BOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]
    yield from re.findall(r"```\n((?:.|\n)+?)```", PAGE)


def rules() -> int:
    return len(re.findall(r"- (?:alert|record):", ALERTS.read_text()))


def test_what_the_page_says_is_recorded_is():
    recorded = re.findall(r"- record: (\S+)", ALERTS.read_text())
    assert recorded and set(recorded) == set(re.findall(r"`(fastsip:\S+)`", part("Measured as RFC 6076 says")))


ASKED = list(expressions())


def test_each_alarm_is_read():
    assert len(re.findall(EXPR, ALERTS.read_text())) == rules()
    assert len(ASKED) > 50


@pytest.mark.parametrize("expression", ASKED)
def test_what_is_asked_for_is_there(expression):
    names = re.findall(r"\bfastsip_\w+", expression)
    assert names and set(names) <= set(LABELS)
    for name, inside in re.findall(r"\b(fastsip_\w+)\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)=~?\"", inside)) <= LABELS[name] | ADDED
    known = set().union(*(LABELS[name] for name in names)) | ADDED
    for inside in re.findall(r"\b(?:by|without|on|group_left) \(([^)]*)\)", expression):
        assert set(re.findall(r"\w+", inside)) <= known


def test_values_of_labels_that_are_asked_for_are_there():
    values = {(family.name, family.label): {*family.of.values(), *family.measured[1:]} for family in FAMILIES
              if family.label}
    for expression in ASKED:
        for name, label, text in re.findall(r"\b(fastsip_\w+)\{[^}]*?(\w+)=~?\"([\w|]+)\"", expression):
            assert set(text.split("|")) <= values[name, label], expression


def test_promtool_takes_the_alarms():
    done = check("rules", ALERTS)
    assert done.returncode == 0, done.stderr
    assert f"SUCCESS: {rules()} rules found" in done.stdout


DEST = '{destination="m/a", set="m", instance="a"}'
DROPPED = 'fastsip_datagrams_dropped_total{instance="a", shard="0", reason="%s"}'
OF_SET = ['fastsip_set_destinations{instance="a", set="m"}',
          'fastsip_set_destinations_taking_calls{instance="a", set="m"}']  # fmt: skip
ATTEMPTS = f"fastsip_destination_attempts_total{DEST}"
ANSWERS = 'fastsip_destination_answers_total{destination="m/a", set="m", instance="a", code="%s"}'
SILENCES = 'fastsip_destination_silences_total{destination="m/a", set="m", instance="a", reason="%s"}'
REPLY = 'fastsip_destination_reply_seconds_bucket{destination="m/a", set="m", instance="a", le="%s"}'
LAG = 'fastsip_timer_lag_seconds_bucket{instance="a", shard="0", le="%s"}'
# Series and their values, a minute apart -> the alarm, and the first minute at which it fires; 0: it does not.
FIRES = [
    (['fastsip_up{instance="a"}'], ["1 0x9"], "FastsipNotRouting", 2),
    (['fastsip_uptime_seconds{instance="a"}'], ["900 1 1 60 1 60 1 60"], "FastsipRoutersReplaced", 6),
    (['fastsip_uptime_seconds{instance="a"}'], ["900 1 60 120 180 240 300 360"], "FastsipRoutersReplaced", 0),
    ([f"fastsip_destination_up{DEST}"], ["0x9"], "FastsipDestinationDown", 2),
    (OF_SET, ["2x9", "2 0x8"], "FastsipSetTakesNoCalls", 2),
    (OF_SET, ["0x9", "0x9"], "FastsipSetTakesNoCalls", 0),
    ([f"fastsip_destination_failed_total{DEST}", f"fastsip_destination_chosen_total{DEST}"], ["0+20x20", "0+100x20"],
     "FastsipDestinationFails", 6),
    ([f"fastsip_destination_failed_total{DEST}", f"fastsip_destination_chosen_total{DEST}"], ["0+9x20", "0+100x20"],
     "FastsipDestinationFails", 0),
    ([ATTEMPTS, ANSWERS % "503"], ["0+100x20", "0+30x20"], "FastsipDestinationIneffective", 0),
    ([ATTEMPTS, ANSWERS % "503", SILENCES % "timeout"], ["0+100x20", "0+15x20", "0+15x20"],
     "FastsipDestinationIneffective", 6),
    ([ATTEMPTS, ANSWERS % "486", SILENCES % "ring"], ["0+100x20", "0+90x20", "0+10x20"],
     "FastsipDestinationIneffective", 0),
    ([ATTEMPTS, REPLY % "5.0", REPLY % "10.0", REPLY % "+Inf"], ["0+100x20", "0+80x20", "0+100x20", "0+100x20"],
     "FastsipDestinationSlow", 6),
    ([ATTEMPTS, REPLY % "5.0", REPLY % "10.0", REPLY % "+Inf"], ["0+100x20", "0+95x20", "0+100x20", "0+100x20"],
     "FastsipDestinationSlow", 0),
    ([LAG % "0.5", LAG % "1.0", LAG % "+Inf"], ["0+90x20", "0+100x20", "0+100x20"], "FastsipShardLags", 6),
    ([LAG % "0.5", LAG % "1.0", LAG % "+Inf"], ["0+100x20", "0+100x20", "0+100x20"], "FastsipShardLags", 0),
    (['fastsip_store_slots{instance="a"}', 'fastsip_store_slot_places{instance="a"}'], ["90x9", "100x9"],
     "FastsipStoreFillsUp", 1),
    (['fastsip_store_slots{instance="a"}', 'fastsip_store_slot_places{instance="a"}'], ["80x9", "100x9"],
     "FastsipStoreFillsUp", 0),
    ([DROPPED % "lane_full"], ["0+1x20"], "FastsipDatagramsLost", 6),
    ([DROPPED % "not_sip"], ["0+1x20"], "FastsipDatagramsLost", 0),
    ([DROPPED % "quarantined"], ["0 0 1x9"], "FastsipQuarantine", 2),
    (['fastsip_refusals_total{instance="a", reason="store_full"}'], ["0 0 1x9"], "FastsipStoreFull", 2),
    (['fastsip_refusals_total{instance="a", reason="no_rule"}'], ["0 0 1x9"], "FastsipStoreFull", 0),
]


@pytest.mark.parametrize(("series", "values", "alarm", "minute"), FIRES)
def test_alarms_ring_when_they_should(series, values, alarm, minute, tmp_path):
    """promtool reckons what Prometheus would; before that minute nothing rings."""
    def rings(at: int) -> bool:
        trial = {"rule_files": [str(ALERTS)], "tests": [{
            "interval": "1m",
            "input_series": [{"series": name, "values": text} for name, text in zip(series, values, strict=True)],
            "alert_rule_test": [{"eval_time": f"{at}m", "alertname": alarm}],
        }]}  # fmt: skip
        (tmp_path / "trial.yml").write_text(json.dumps(trial))      # JSON is YAML, too
        done = promtool("test", "rules", tmp_path / "trial.yml")
        assert "alertname:" in done.stdout + done.stderr or done.returncode == 0, done.stderr
        return done.returncode != 0     # none was expected

    assert [rings(at) for at in (max(0, minute - 1), minute or 9)] == [False, bool(minute)]


def test_alarms_say_what_is_wrong_and_how_badly():
    for rule in ALERTS.read_text().split("- alert:")[1:]:
        assert re.search(r"severity: (critical|warning|info)", rule)
        assert "summary:" in rule and "description:" in rule
        shown = set(re.findall(r"\$labels\.(\w+)", rule))
        (name, *_) = re.findall(r"\bfastsip_\w+", rule)
        assert shown <= LABELS[name] | ADDED, rule


def test_panels_of_the_dashboard_do_not_overlap():
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
