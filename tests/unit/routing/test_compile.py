"""fastsip.routing.compile: a configuration as the table that the kernels see, through their own doors."""

import itertools
import re

import pytest

from fastsip._core.dispatcher.cells import Cells
from fastsip._core.dispatcher.chooser import Chooser
from fastsip._core.harness.rig import Rig
from fastsip._core.routing import policies
from fastsip._core.routing.parts import DEFAULT_ACCEPT, PROBE_MODES
from fastsip._core.routing.table import DIALOGS, RURI, WHEN_ALL_DOWN, RoutingTable
from fastsip._core.sip import words
from fastsip._core.transport.names import Names
from fastsip.base.run_dir import PLACEMENT
from fastsip.config import ConfigError, language, load_text, sets
from fastsip.config.secrets import pin_placement, purpose_key
from fastsip.config.targets import with_answers
from fastsip.resolve.answers import Answer, followed
from fastsip.resolve.asking import Question
from fastsip.resolve.targets import WHOLE, Target
from fastsip.routing import compile as compiling
from fastsip.routing.compile import (
    Before,
    compile_names,
    compile_table,
    header_fields,
    policy_fields,
    release_unnamed,
    rule_fields,
    split_host,
)
from fastsip.routing.registry import Registry
from fastsip.ua.message import make_response, read_message
from tests.kernels import rule_doors

TEXT = """
[router]
domains = ["sip.example.net", "pbx.example.net:5070"]
secret = "env:FASTSIP_TEST_SECRET"

[[listen]]
uri = "udp:192.0.2.1:5060"
tag = "public"
advertise = "edge.example.net:5080"

[[listen]]
uri = "udp:[2001:db8::1]:5062"
tag = "six"

[set.media]
algorithm = "call-id"
limit = 3
destinations = [
  { id = "ms1", uri = "sip:192.0.2.21", weight = 3 },
  { id = "ms2", uri = "sip:192.0.2.22:5070", priority = 5 },
  { id = "ms3", uri = "sip:[2001:db8::23]:5060" },
]

[set.spare]
algorithm = "priority"
destinations = ["sip:192.0.2.31", "sip:192.0.2.32"]

[failure.next]
on = [500, "4xx", "timeout"]
timeout = "2s"
ring = "50s"
mark = { timeout = "down", 500 = "suspect" }
exhausted = "404 No destination"
then = "spare"

[[route]]
name = "denied"
when = { user = ["blocked"], not = { source = ["10.0.0.0/8"] } }
reply = "403 Not here"

[[route]]
name = "eights"
when = { method = ["INVITE"], user_prefix = ["8"], listen = "public" }
to = "media"
failure = "next"

[[route]]
name = "tagged"
when = { header = { X-Kind = ["a", "b"] }, to_tag = true }
to = "media"
record_route = false
ruri = "host"

[[route]]
name = "patterns"
when = { user_match = ["^7[0-9]{2}$", "^alice"], not = { source_set = "spare" } }
to = "media"
headers = { remove = ["X-Auth-*"], set = { X-From = "{source} by {listener}{{}}" } }

[[route]]
name = "rest"
to = "spare"
"""

PROBED = """
[[listen]]
uri = "udp:192.0.2.1:5060"
[set.media]
probe = { interval = "7s", fall = 3, accept = ["2xx", 404] }
destinations = ["sip:192.0.2.21"]
"""


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("FASTSIP_TEST_SECRET", "0123456789abcdef0123456789abcdef")


@pytest.fixture
def registry(scratch):
    with Registry(scratch) as opened:
        yield opened


def read(text=TEXT):
    return load_text(text, "test.toml", make_secret=False)


def request(user="8100", method="INVITE", to_tag="", headers=()):
    lines = [
        f"{method} sip:{user}@example.net SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa",
        "Max-Forwards: 70",
        "From: <sip:a@example.net>;tag=1",
        f"To: <sip:b@example.net>{';tag=' + to_tag if to_tag else ''}",
        "Call-ID: 1@a",
        f"CSeq: 1 {method}",
        *headers,
        "Content-Length: 0",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


# ---------------------------------------------------------------- rules


@pytest.mark.parametrize(
    "text, source, listener, wanted",
    [
        (request("blocked"), "192.0.2.99", 0, "denied"),
        (request("blocked"), "10.1.2.3", 0, "rest"),
        (request("8100"), "192.0.2.99", 0, "eights"),
        (request("8100"), "192.0.2.99", 1, "rest"),
        (request("8100", "MESSAGE"), "192.0.2.99", 0, "rest"),
        (request("7", "BYE", "t", ["X-Kind: b"]), "192.0.2.99", 0, "tagged"),
        (request("7", "BYE", "t", ["X-Kind: c"]), "192.0.2.99", 0, None),  # inside a dialog: none asks for it
        (request("7", "BYE", "", ["X-Kind: b"]), "192.0.2.99", 0, "rest"),
        (request("700"), "192.0.2.99", 0, "patterns"),
        (request("alice2"), "192.0.2.99", 0, "patterns"),
        (request("7000"), "192.0.2.99", 0, "rest"),
        (request("700"), "192.0.2.32", 0, "rest"),
    ],
)
def test_rules_stand_in_the_order_of_the_file(registry, text, source, listener, wanted):
    config = read()
    table = compile_table(config, registry, Cells(16), 1)
    found = rule_doors.match(table, text, source, listener)
    assert (found if found is None else config.rules[found].name) == wanted


def test_header_edits_arrive_in_pieces():
    rule = next(rule for rule in read().rules if rule.name == "patterns")
    pieces = [("source", b""), ("text", b" by "), ("listener", b""), ("text", b"{"), ("text", b"}")]
    assert header_fields(rule.headers) == {"remove": [b"X-Auth-*"], "set": [(b"X-From", pieces)]}


@pytest.mark.parametrize(
    "forward, header", [("request-uri", b""), ("header:X-Next", b"X-Next"), ("header:Route", b"Route")]
)
def test_a_forward_is_an_action_of_its_own(registry, forward, header):
    config = read(TEXT + f'[[route]]\nforward = "{forward}"\nfailure = "next"\n')
    fields = rule_fields(config.rules[-1], registry, {"media": 0, "spare": 1}, {"next": 1})
    assert (fields["action"], fields["forward"], fields["policy_index"]) == (2, header, 1)


def test_what_is_ours_are_listeners_domains_and_advertised_names(registry):
    table = compile_table(read(), registry, Cells(16), 1)
    ours = [
        (b"192.0.2.1", 5060),
        (b"2001:db8::1", 5062),
        (b"edge.example.net", 5080),
        (b"sip.example.net", 5060),
        (b"pbx.example.net", 5070),
    ]
    assert [rule_doors.own(table, host, port) for host, port in ours] == [True] * len(ours)
    others = [
        (b"192.0.2.1", 5061),
        (b"pbx.example.net", 5060),
        (b"edge.example.net", 5060),
        (b"example.net", 0),
    ]
    assert [rule_doors.own(table, host, port) for host, port in others] == [False] * len(others)


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("sip.example.net", ("sip.example.net", 5060)),
        ("sip.example.net:5070", ("sip.example.net", 5070)),
        ("192.0.2.1", ("192.0.2.1", 5060)),
        ("192.0.2.1:6000", ("192.0.2.1", 6000)),
        ("[2001:db8::1]:5062", ("2001:db8::1", 5062)),
        ("[2001:db8::1]", ("2001:db8::1", 5060)),
        ("2001:db8::1", ("2001:db8::1", 5060)),
    ],
)
def test_a_host_and_its_port(text, wanted):
    assert split_host(text) == wanted


# ---------------------------------------------------------------- sets


def members(table, index, registry):
    """Names of the set's destinations in the table's order, with (weight, priority)."""
    return [registry.name(id)[1] for _, id, *_ in table.members(index)]


@pytest.mark.parametrize(
    ("domain", "asked", "wanted"),
    [
        ("gw.example.net:5061", "gw.example.net:5061", True),
        ("gw.example.net:5061", "gw.example.net", False),
        ("gw.example.net", "gw.example.net:5061", True),
        ("[2001:db8::1]:5061", "[2001:db8::1]:5061", True),
        ("[2001:db8::1]", "[2001:db8::1]:5061", True),
    ],
)
def test_a_rule_may_mean_a_port_of_a_domain(registry, domain, asked, wanted):
    rule = f'[[route]]\nto = "media"\nwhen = {{ domain = "{domain}" }}\n'
    text = TEXT[: TEXT.index("[[route]]")].replace('domains = ["sip.example.net", "pbx.example.net:5070"]\n', "")
    table = compile_table(read(text + rule), registry, Cells(16), 1)
    asking = request("8100").replace(b"sip:8100@example.net", f"sip:a@{asked}".encode())
    assert (rule_doors.match(table, asking) == 0) is wanted


def test_sets_and_their_destinations(registry):
    cells = Cells(16)
    table = compile_table(read(), registry, cells, 1)
    assert members(table, 0, registry) == ["ms2", "ms1", "ms3"]  # the highest priority first
    assert members(table, 1, registry) == ["spare/sip:192.0.2.31", "spare/sip:192.0.2.32"]
    lines = {registry.name(cells.owner(line))[1]: line for line in cells.assigned.values()}
    assert len(lines) == 5 and set(lines) == {"ms1", "ms2", "ms3", *members(table, 1, registry)}


def test_a_target_that_went_keeps_its_line_for_ten_minutes(registry):
    """Also when other configurations come meanwhile, which do not have it."""
    text = TEXT.replace('"sip:192.0.2.31"', '"sip:gw.test"')
    cells, question = Cells(64), Question("gw.test")
    first, second = (Target(f"10.0.0.{number}", 5060, "udp", 0, WHOLE) for number in (1, 2))
    before = Answer(targets=(first, second), at=1_000.0)
    config = with_answers(read(text), {question: before}, 1_000.0)
    compile_table(config, registry, cells, 1)
    number = registry.find("destination", "spare/sip:gw.test=udp:10.0.0.2:5060")
    line = cells.assigned[number]
    answers = {question: followed(before, [first], 0, 1_000.0)}
    for now, kept in ((1_001.0, True), (1_599.0, True), (1_600.0, False)):
        config = with_answers(config, answers, now)
        release_unnamed(cells, registry, config)
        compile_table(config, registry, cells, 2)
        assert (cells.assigned.get(number) == line) == kept


def test_choices_follow_the_algorithm_of_the_set(registry):
    table = compile_table(read(), registry, Cells(16), 1)
    chooser = Chooser(table, table_cells := Cells(16), 0)
    assert table_cells.count == 16
    ids = {name: registry.find("destination", name) for name in ("ms1", "ms2", "ms3")}
    assert set(chooser.choose_many(0, range(50), 1)) == {ids["ms2"]}  # the tier above
    tried = [ids["ms2"]]
    shares = [chooser.choose(0, key * 2_654_435_761, tried, 1) for key in range(2_000)]
    assert 0.65 < shares.count(ids["ms1"]) / 2_000 < 0.85  # three of four
    assert set(shares) == {ids["ms1"], ids["ms3"]}


def test_a_reload_keeps_ids_cells_and_choices(registry):
    """Written in another order, with one more and one less: what stays has its id, its line and its calls."""
    cells = Cells(32)
    before = compile_table(read(), registry, cells, 1)
    ids = {name: registry.find("destination", name) for name in ("ms1", "ms2", "ms3")}
    lines = dict(cells.assigned)
    text = TEXT.replace(
        '  { id = "ms1", uri = "sip:192.0.2.21", weight = 3 },\n',
        '  { id = "ms9", uri = "sip:192.0.2.29" },\n',
    )
    after = compile_table(read(text), registry, cells, 2)
    assert after.version == 2
    assert {name: registry.find("destination", name) for name in ids} == ids
    assert registry.find("destination", "ms9") not in ids.values()
    assert {id: line for id, line in cells.assigned.items() if id in lines} == lines
    seeds = [{id: seed for _, id, *_, seed in table.members(0)} for table in (before, after)]
    for name in ("ms2", "ms3"):
        assert seeds[0][ids[name]] == seeds[1][ids[name]]


LISTENERS = "advertise = \"edge.example.net:5080\"\n"
ONE_CHANGE = {
    "nothing": (("", ""), (), False),
    "a destination": (("192.0.2.22:5070", "192.0.2.22:5072"), ("media",), False),
    "a set's limit": (("limit = 3", "limit = 2"), (), False),
    "a policy": (('mark = { timeout = "down", 500 = "suspect" }', 'mark = "none"'), (), False),
    "a rule": (('user_prefix = ["8"]', 'user_prefix = ["9"]'), (), True),
    "what a listener is called": ((LISTENERS, 'advertise = "other.example.net"\n'), ("media", "spare"), True),
    "one more set before them": (("[set.media]", '[set.a]\ndestinations = ["sip:192.0.2.50"]\n\n[set.media]'),
                                 ("a",), True),
    "one more policy before them": (("[failure.next]", "[failure.a]\non = [503]\n\n[failure.next]"), (), True),
    "sets in another order": (("[set.media]", '[set.spare]\nalgorithm = "priority"\n'
                               'destinations = ["sip:192.0.2.31", "sip:192.0.2.32"]\n\n[set.media]'), (), True),
}  # fmt: skip


@pytest.mark.parametrize("change", ONE_CHANGE)
def test_who_changes_one_set_pays_for_that_one(registry, monkeypatch, change):
    """And the table is the one that comes out when everything is looked at."""
    (old, new), wanted, rules_too = ONE_CHANGE[change]
    cells, config = Cells(32), read()
    before = Before(config, compile_table(config, registry, cells, 1))
    text = TEXT
    if change == "sets in another order":
        place, following = text.index("[set.spare]"), text.index("[failure.next]")
        text = text[:place] + text[following:]
    assert old in text
    fresh = read(text.replace(old, new, 1))
    looked_at, rules = [], []
    add_set, write_rule = compiling.add_destination, compiling.rule_fields
    monkeypatch.setattr(compiling, "add_destination", lambda table, index, one, *rest: (
        looked_at.append(fresh.sets[index].name), add_set(table, index, one, *rest)))
    monkeypatch.setattr(compiling, "rule_fields", lambda rule, *rest: (rules.append(rule), write_rule(rule, *rest))[1])
    taken = compile_table(fresh, registry, cells, 2, before)
    assert set(looked_at) == set(wanted)
    assert change != "a destination" or looked_at == ["media"]      # and the others of its set are taken
    assert bool(rules) is rules_too
    whole = compile_table(fresh, registry, cells, 2)
    assert taken.total_bytes == whole.total_bytes
    for index in range(len(fresh.sets)):
        assert taken.members(index) == whole.members(index)
        choosers = [Chooser(table, Cells(32), index) for table in (taken, whole)]
        assert len({tuple(one.choose_many(0, range(50), 1)) for one in choosers}) == 1
    asked = [request(user, headers=headers) for user in ("8100", "9100", "blocked", "alice", "720", "1")
             for headers in ((), ("X-Kind: a",))]
    assert [rule_doors.match(taken, one) for one in asked] == [rule_doors.match(whole, one) for one in asked]


def test_a_table_takes_from_a_sealed_one_only(registry):
    config = read()
    sealed = compile_table(config, registry, Cells(32), 1)
    with pytest.raises(RuntimeError, match="not sealed yet"):
        RoutingTable(2).take_set(RoutingTable(1), 0, 0)
    with pytest.raises(RuntimeError, match="sealed: build another"):
        sealed.take_set(sealed, 0, 0)
    with pytest.raises(ValueError, match="set index"):
        RoutingTable(2).take_set(sealed, len(config.sets), 0)
    open_table = RoutingTable(2)
    with pytest.raises(ValueError, match="sets"):
        open_table.take_destination(sealed, 0, 0)       # there is no set yet that it could go to
    open_table.take_set(sealed, 0, 0)
    for set_index, place in ((len(config.sets), 0), (0, len(config.sets[0].destinations)), (0, -1)):
        with pytest.raises(ValueError, match=r"set index|place"):
            open_table.take_destination(sealed, set_index, place)
    with pytest.raises(ValueError, match="fewer sets or policies"):
        RoutingTable(2).take_rules(sealed)


def test_lines_are_released_when_no_configuration_names_them(registry):
    cells, config = Cells(6), read()
    compile_table(config, registry, cells, 1)
    fewer = read(TEXT.replace('  { id = "ms3", uri = "sip:[2001:db8::23]:5060" },\n', ""))
    ids = {name: registry.find("destination", name) for name in ("ms1", "ms2", "ms3")}
    cells.add_load(cells.assigned[ids["ms1"]], 7)
    release_unnamed(cells, registry, config, fewer)
    assert len(cells.assigned) == 5  # the one that runs still names it
    release_unnamed(cells, registry, fewer)
    assert cells.assigned.keys() >= {ids["ms1"], ids["ms2"]} and ids["ms3"] not in cells.assigned
    assert cells.load(cells.assigned[ids["ms1"]]) == 7
    compile_table(config, registry, cells, 2)
    assert len(cells.assigned) == 5 and registry.find("destination", "ms3") == ids["ms3"]


LIMITED = """
[[listen]]
uri = "udp:192.0.2.1:5060"
[set.media]
algorithm = "priority"
calls_per_second = 2
calls_at_once = 2
each_calls_per_second = 1
destinations = [{ uri = "sip:192.0.2.21", id = "a" }, { uri = "sip:192.0.2.22", id = "b", calls_per_second = 50 }]
"""


def test_limits_arrive_and_those_of_sets_have_a_line(registry):
    config, cells = read(LIMITED), Cells(16)
    first = compile_table(config, registry, cells, 1)
    of_set = registry.find("set", "media")
    assert {registry.name(number) for number in cells.assigned} == {
        ("set", "media"), ("destination", "a"), ("destination", "b")}
    chooser = Chooser(first, cells)
    names = [registry.name(chooser.choose(0, 1, (), 1000) or 0) for _ in range(4)]
    assert names == [("destination", "a"), ("destination", "b"), None, None]
    assert cells.limited() == {registry.find("destination", "a"): 1, of_set: 2}
    # A reload keeps what was counted, also when the set is taken from the table before.
    for before in (None, Before(config, first)):
        release_unnamed(cells, registry, config)
        again = Chooser(compile_table(config, registry, cells, 2, before), cells)
        assert again.choose(0, 1, (), 1000) is None
    release_unnamed(cells, registry, read(LIMITED.replace("\ncalls_per_second = 2\ncalls_at_once = 2", "")))
    assert of_set not in cells.assigned and len(cells.assigned) == 2


# ---------------------------------------------------------------- policies and probes


def test_a_policy_arrives_as_it_was_written():
    fields = policy_fields(read().policy_named("next"), {"media": 0, "spare": 1})
    del fields["then_set"]  # the table's, as are the reasons of replies
    fields |= {key: fields[key][0] for key in ("exhausted", "unavailable")}
    packed = policies.pack_policy(7, **fields)
    assert rule_doors.wants(packed, "timeout") and rule_doors.wants(packed, code=500)
    assert rule_doors.wants(packed, code=486) and not rule_doors.wants(packed, code=503)
    assert not rule_doors.wants(packed, "ring")
    assert rule_doors.mark_for(packed, "timeout") == "down" and rule_doors.mark_for(packed, code=500) == "suspect"


def test_times_and_replies_of_a_policy():
    fields = policy_fields(read().policy_named("next"), {"media": 0, "spare": 1})
    assert (fields["timeout_ms"], fields["ring_ms"], fields["then_set"]) == (2_000, 50_000, 1)
    assert fields["exhausted"] == (404, "No destination") and fields["unavailable"][0] in (500, 503)


def test_probes_arrive_with_their_codes():
    config = read(PROBED)
    (destination,) = config.set_named("media").destinations
    fields = compiling.probe_fields(destination.probe)
    assert (fields["interval_ms"], fields["fall"], fields["method"]) == (7_000, 3, "OPTIONS")
    assert 200 in fields["accept"] and 299 in fields["accept"] and 404 in fields["accept"]
    assert 403 not in fields["accept"] and 500 not in fields["accept"]
    assert compiling.probe_fields(None) is None


# ---------------------------------------------------------------- keys


def test_keys_differ_by_purpose_and_by_secret():
    secrets, purposes = (b"a" * 16, b"b" * 16), ("branch", "set media")
    keys = {purpose_key(secret, purpose) for secret in secrets for purpose in purposes}
    assert len(keys) == 4 and {len(key) for key in keys} == {16}
    assert purpose_key(b"a" * 16, "branch") == purpose_key(b"a" * 16, "branch")


def test_while_secrets_change_the_branches_of_both_are_known(registry, scratch, monkeypatch):
    """Whoever made them: a node that has not heard of it, or this one before."""
    monkeypatch.setenv("FASTSIP_NEW_SECRET", "f" * 32)
    listed = ['"env:FASTSIP_TEST_SECRET"', '"env:FASTSIP_NEW_SECRET"']
    texts = [TEXT.replace(listed[0], one) for one in (listed[0], f"[{listed[1]}, {listed[0]}]", listed[1])]
    cells = Cells(16)
    old, both, new = (
        Rig(scratch / str(n), compile_table(read(text), registry, cells, n), cells, 64) for n, text in enumerate(texts)
    )
    old.receive(request(), ("192.0.2.9", 5060))
    forwarded = next(sent for sent in old.sent() if sent.datagram.startswith(b"INVITE"))
    ringing = make_response(read_message(forwarded.datagram), 180, to_tag="b").to_bytes()
    for rig, passes in ((both, True), (new, False)):
        rig.receive(ringing, forwarded.to)
        assert len(rig.sent()) == passes


PLACED = """
[router]
state_dir = "{state_dir}"
secret = {secret}

[[listen]]
uri = "udp:192.0.2.1:5060"

[set.media]
destinations = [{destinations}]

[[route]]
to = "media"
"""


def test_no_call_moves_while_the_secret_changes(registry, scratch, monkeypatch):
    """Dispatch hashing is keyed by the placement key (docs/wire.md#placement-key)."""
    for name in ("OLD", "NEW"):
        monkeypatch.setenv(f"FASTSIP_{name}", f"the {name} secret of some length")
    destinations = ", ".join(f'"sip:192.0.2.{n}"' for n in range(21, 37))
    lives = itertools.count()

    def places(*names):
        secret = "[" + ", ".join(f'"env:FASTSIP_{name}"' for name in names) + "]"
        config = read(PLACED.format(state_dir=scratch, secret=secret, destinations=destinations))
        cells, life = Cells(32), next(lives)
        rig = Rig(scratch / str(life), compile_table(config, registry, cells, life), cells, 1000)
        for n in range(40):
            rig.receive(request().replace(b"1@a", b"%d@a" % n), ("192.0.2.9", 5060))
        sent = [one for one in rig.sent() if one.datagram.startswith(b"INVITE")]
        return [one.to for one in sent], config.router.placement_key

    first, key = places("OLD")
    assert len(first) == 40 and len(set(first)) > 8
    assert places("NEW", "OLD")[0] != first, "without the file the first secret places"
    pin_placement(scratch / PLACEMENT, key)
    assert places("NEW", "OLD")[0] == places("NEW")[0] == first


def test_names_arrive_as_they_were_written():
    listen = '[[listen]]\nuri = "udp:192.0.2.1:5060"\n[set.media]\ndestinations = ["sip:192.0.2.21"]\n'
    text = listen + '[names]\n"PBX.test" = ["192.0.2.9:5080", "192.0.2.10"]\n"*" = "192.0.2.11"\n'
    names = Names()
    names.set_static(compile_names(load_text(text, "test.toml", make_secret=False)))
    assert names.known("pbx.test") == ("static", [("192.0.2.9", 5080), ("192.0.2.10", 0)], 0)
    assert names.find("any.test", 0) == (("192.0.2.11", 0), False)


def test_a_new_configuration_is_one_write_to_the_registry(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTSIP_TEST_SECRET", "x" * 32)
    config = load_text(TEXT, str(tmp_path / "c.toml"))
    with Registry(tmp_path) as registry:
        appended, append = [], registry._append
        monkeypatch.setattr(registry, "_append", lambda names: appended.append(names) or append(names))
        compile_table(config, registry, Cells(16), 1)
        assert len(appended) == 1 and len(appended[0]) == len(registry)
        compile_table(config, registry, Cells(16), 2)
        assert len(appended) == 1


def test_the_language_has_the_words_that_the_kernels_have_numbers_for():
    """The configuration keeps its own lists, so that a light command loads no kernel."""
    assert tuple(PROBE_MODES) == sets.PROBE_MODES and DEFAULT_ACCEPT == sets.DEFAULT_ACCEPT
    assert words.METHOD_NAMES[1:] == language.METHODS
    assert set(policies.REASONS) == set(language.REASONS) and set(policies.MARKS) == set(language.MARKS)
    head = '[router]\nname = "edge"\n[[listen]]\nuri = "udp:192.0.2.1:5060"\n[set.media]\n'
    for key, numbers in (("ruri", RURI), ("in_dialog", DIALOGS), ("when_all_down", WHEN_ALL_DOWN)):
        with pytest.raises(ConfigError) as wrong:
            read(f'{head}destinations = ["sip:192.0.2.21"]\n{key} = "x"\n[[route]]\nto = "media"\n')
        assert set(re.findall(r'"(\w+)"', str(wrong.value).partition("allowed:")[2])) == set(numbers) - {""}
