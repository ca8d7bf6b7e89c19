"""The configuration language: what is accepted, what it becomes, and what is said about the rest."""

import json
import os
import stat

import pytest

from fastsip.config import (
    CallLimit,
    Condition,
    ConfigError,
    HeaderEdits,
    Reply,
    language,
    load,
    load_run_dir,
    load_text,
    secrets,
)
from fastsip.config.headers import pieces
from fastsip.config.secrets import derive_key
from tests.unit.config_text import LISTEN, SET, SMALL, only_problem, read

# ---------------------------------------------------------------- whole files


def test_the_smallest_file():
    config = read(SMALL)
    listener = config.listeners[0]
    assert (listener.host, listener.port, listener.family, listener.tag) == (
        "192.0.2.1",
        5060,
        4,
        "udp:192.0.2.1:5060",
    )
    assert (listener.sent_by, listener.rcvbuf_bytes) == ("192.0.2.1:5060", 8 << 20)
    assert (config.timers.t1_ms, config.timers.t2_ms, config.timers.t4_ms, config.timers.c_ms) == (
        500,
        4000,
        5000,
        181000,
    )
    assert (config.limits.max_transactions, config.limits.max_message_bytes) == (20000, 65535)
    assert config.limits.max_head_bytes == 8192
    media = config.set_named("media")
    assert [(one.id, one.host, one.port, one.listener) for one in media.destinations] == [
        ("media/sip:192.0.2.21", "192.0.2.21", 5060, 0),
        ("media/sip:192.0.2.22:5070", "192.0.2.22", 5070, 0),
    ]
    assert media.destinations[0].probe is None
    rule = config.rules[0]
    assert rule.implied and rule.to == "media" and rule.conditions == ()


def test_results_cannot_be_changed():
    config = read(SMALL)
    with pytest.raises(AttributeError):
        config.router.name = "other"
    assert isinstance(config.sets[0].destinations, tuple)


MEDIA_SERVERS = """
[[listen]]
uri = "udp:192.0.2.10:5060"

[set.media]
algorithm = "round-robin"
probe = { interval = "20s", from = "sip:router1@example.net", fall = 1, accept = ["2xx", 480, 404] }
destinations = ["sip:192.0.2.21:5060", "sip:192.0.2.22:5060"]

[failure.next-media]
on        = [500, "timeout", "ring"]
timeout   = "2s"
mark      = "down"
exhausted = "404 No destination"

[[route]]
when    = { method = "INVITE", user_prefix = "8" }
to      = "media"
failure = "next-media"
"""


def test_balancing_media_servers():
    config = read(MEDIA_SERVERS)
    media = config.set_named("media")
    assert (media.algorithm, media.algorithm_number) == ("round-robin", 4)
    probe = media.destinations[1].probe
    assert (probe.interval_ms, probe.timeout_ms, probe.rise, probe.fall) == (20_000, 2_000, 1, 1)
    assert (probe.from_uri, probe.accept) == ("sip:router1@example.net", (*range(200, 300), 404, 480))
    policy = config.policy_named("next-media")
    assert (policy.on_codes, policy.on_classes, policy.on_reasons) == ((500,), (), ("timeout", "ring"))
    assert (policy.timeout_ms, policy.ring_ms, policy.mark) == (2000, 0, "down")
    assert policy.exhausted == Reply(code=404, reason="No destination")
    assert policy.unavailable == Reply(code=500, reason="Server Internal Error")
    rule = config.rules[0]
    assert rule.conditions == (
        Condition(key="method", negate=False, values=("INVITE",)),
        Condition(key="user_prefix", negate=False, values=("8",)),
    )
    assert (rule.name, rule.failure, rule.record_route, rule.implied) == (
        "route-1",
        "next-media",
        True,
        False,
    )


def test_all_kinds_of_conditions():
    config = read(
        SMALL.replace('5060"\n', '5060"\ntag = "public"\n', 1)
        + """[[route]]
to = "media"
[route.when]
listen = "public"
source = ["10.1.2.3", "2001:db8::/32"]
domain = "SIP.Example.net"
to_tag = false
header = { X-A = true, X-B = ["1", "2"] }
user_match = '^[0-9]{3}$'
source_set = "media"
not = { user = "911", user_match = ["^0", "x"], source_set = ["media"] }
"""
    )
    assert config.rules[0].conditions == (
        Condition(key="listen", negate=False, values=("public",)),
        Condition(key="source", negate=False, values=("10.1.2.3/32", "2001:db8::/32")),
        Condition(key="domain", negate=False, values=("sip.example.net",)),
        Condition(key="to_tag", negate=False, wanted=False),
        Condition(key="header", negate=False, header="X-A"),
        Condition(key="header", negate=False, header="X-B", values=("1", "2")),
        Condition(key="user_match", negate=False, values=("^[0-9]{3}$",)),
        Condition(key="source_set", negate=False, values=("media",)),
        Condition(key="user", negate=True, values=("911",)),
        Condition(key="user_match", negate=True, values=("^0", "x")),
        Condition(key="source_set", negate=True, values=("media",)),
    )


@pytest.mark.parametrize("forward", ["request-uri", "header:X-Destination-URI", "header:From"])
def test_a_rule_that_forwards(forward):
    keys = 'failure = "f"\nrecord_route = false\n[failure.f]\non = "timeout"\n'
    rule = read(LISTEN + f'[[route]]\nforward = "{forward}"\n{keys}').rules[0]
    assert (rule.forward, rule.to, rule.reply) == (forward, "", None)
    assert (rule.failure, rule.record_route, rule.headers) == ("f", False, HeaderEdits(remove=(), set=()))


def test_header_edits():
    headers = '{ remove = ["X-Auth-*", "subject"], set = { "X-A" = "{call_id}", X-B = "{{a}} b" } }'
    rule = read(SMALL + f'[[route]]\nto = "media"\nheaders = {headers}\n').rules[0]
    assert rule.headers == HeaderEdits(
        remove=("X-Auth-*", "subject"), set=(("X-A", "{call_id}"), ("X-B", "{{a}} b"))
    )
    assert read(SMALL + '[[route]]\nto = "media"\nheaders = { remove = "X-A" }\n').rules[0].headers.remove == ("X-A",)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("plain", [("text", "plain")]),
        ("{source}", [("source", "")]),
        ("a{listener}b{call_id}", [("text", "a"), ("listener", ""), ("text", "b"), ("call_id", "")]),
        ("{{}}", [("text", "{"), ("text", "}")]),
        ("{{source}}", [("text", "{"), ("text", "source"), ("text", "}")]),
        ("{{{source}}}", [("text", "{"), ("source", ""), ("text", "}")]),
        ("", []),
    ],
)
def test_values_of_headers_in_pieces(value, found):
    assert pieces(value) == found


def test_two_families_each_from_its_own_listener():
    text = (
        '[router]\nname = "edge1"\n' + LISTEN + '[[listen]]\nuri = "udp:[2001:db8::1]:5060"\ntag = "six"\n'
        "[set.media]\nprobe = {}\n"
        'destinations = ["sip:[2001:db8::21]:5060", "sip:192.0.2.21"]\n'
    )
    six, four = read(text).sets[0].destinations
    assert (six.family, six.host, six.listener) == (6, "2001:db8::21", 1)
    assert (four.family, four.listener) == (4, 0)
    assert six.probe.from_uri == "sip:edge1@[2001:db8::1]:5060"
    assert four.probe.from_uri == "sip:edge1@192.0.2.1:5060"


def test_a_destination_overrides_the_probe_of_its_set():
    text = LISTEN + (
        '[set.media]\nprobe = { interval = "5s", fall = 3 }\ndestinations = [\n'
        '  { uri = "sip:192.0.2.21", probe = { fall = 1 } },\n'
        '  { uri = "sip:192.0.2.22", probe = false },\n  "sip:192.0.2.23" ]\n'
    )
    own, none, same = (one.probe for one in read(text).sets[0].destinations)
    assert (own.interval_ms, own.fall) == (5000, 1)
    assert none is None
    assert (same.interval_ms, same.fall, same.method, same.mode) == (5000, 3, "OPTIONS", "all")
    assert not {408, 500, 503, 504} & set(same.accept) and {403, 405, 501, 603} <= set(same.accept)


def test_a_destination_has_its_own_listener_and_state():
    inside = '[[listen]]\nuri = "udp:192.0.2.9"\ntag = "inside"\n'
    config = read(
        LISTEN + inside + """
[set.media]
listen = "inside"
destinations = [
  "sip:192.0.2.21",
  { uri = "sip:192.0.2.22", listen = "udp:192.0.2.1:5060", admin = "disabled" },
  { uri = "sip:192.0.2.23", listen = "udp:192.0.2.9:5060", admin = "draining", starts_down = true },
  { uri = "sip:192.0.2.21", listen = "inside", id = "media/sip:192.0.2.21@inside" },
]
"""
    )
    found = config.set_named("media").destinations
    assert [one.listener for one in found] == [1, 0, 1, 1]
    assert [one.admin for one in found] == ["enabled", "disabled", "draining", "enabled"]
    assert [one.starts_down for one in found] == [False, False, True, False]
    assert found[3].id == "media/sip:192.0.2.21@inside"


def test_limits_of_calls_are_the_destination_s_or_those_of_each():
    text = LISTEN + """
[set.media]
calls_per_second = 100
each_calls_per_second = 30
each_calls_at_once = 300
destinations = ["sip:192.0.2.21", { uri = "sip:192.0.2.22", calls_per_second = 9 },
                { uri = "sip:192.0.2.23", calls_per_second = 1, calls_at_once = 10 }]
[set.free]
destinations = ["sip:192.0.2.24"]
[[route]]
to = "media"
"""
    found, free = read(text).sets
    assert found.calls == CallLimit(per_second=100, at_once=10)
    assert [one.calls for one in found.destinations] == [
        CallLimit(per_second=30, at_once=300), CallLimit(per_second=9, at_once=1), CallLimit(per_second=1, at_once=10)]
    assert free.calls is None and free.destinations[0].calls is None


def test_an_id_may_be_as_long_as_what_a_source_makes():
    longest = "x" * 511 + "y"
    text = SET.replace('"sip:192.0.2.22:5070"', f'{{ uri = "sip:192.0.2.22", id = "{longest}" }}')
    assert read(LISTEN + text).set_named("media").destinations[1].id == longest


@pytest.mark.parametrize(
    ("given", "name", "number"),
    [
        ('"call-id"', "call-id", 0),
        ("4", "round-robin", 4),
        ('"8"', "priority", 8),
        ('"relative-weight"', "relative-weight", 11),
        ('"parallel"', "parallel", 12),
        ("12", "parallel", 12),
    ],
)
def test_algorithms_by_name_and_number(given, name, number):
    group = read(SMALL + f"algorithm = {given}\n").sets[0]
    assert (group.algorithm, group.algorithm_number) == (name, number)


@pytest.mark.parametrize(
    ("mark", "default", "by"),
    [
        ('"none"', "none", ()),
        ('{ timeout = "down", 500 = "suspect" }', "suspect", (("timeout", "down"), ("500", "suspect"))),
        ('{ ring = "none" }', "suspect", (("ring", "none"),)),
    ],
)
def test_marks(mark, default, by):
    policy = read(SMALL + f"[failure.f]\non = [500]\nmark = {mark}\n").policies[0]
    assert (policy.mark, policy.mark_by) == (default, by)


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("text", "ms"), [("500ms", 500), ("2s", 2000), ("1m", 60_000), ("1h", 3_600_000), ("1.5s", 1500)]
)
def test_durations(text, ms):
    assert read(SMALL + f'[failure.f]\non = [500]\nbudget = "{text}"\n').policies[0].budget_ms == ms


@pytest.mark.parametrize(
    "bad", ["2", '"2"', '"2 s"', '"-1s"', '"0.0001s"', '"9999999999s"', '"2h"', "true", '"s"', "[]"]
)
def test_durations_refused(bad):
    problem = only_problem(SMALL + f"[failure.f]\non = [500]\nbudget = {bad}\n")
    assert (problem.key, problem.line) == ("failure.f.budget", 7)
    assert "units ms, s, m, h" in problem.allowed


@pytest.mark.parametrize(
    ("text", "count"),
    [('"8MiB"', 8 << 20), ('"64KiB"', 65536), ('"1MB"', 1_000_000), ("65536", 65536), ('"64kB"', 64000)],
)
def test_sizes(text, count):
    assert (
        read(f'[[listen]]\nuri = "udp:192.0.2.1"\nrcvbuf = {text}\n' + SET).listeners[0].rcvbuf_bytes == count
    )


@pytest.mark.parametrize("bad", ['"8 MiB"', '"8mb"', '"2GiB"', "-1", "true", '"1e6"', "8.5"])
def test_sizes_refused(bad):
    assert (
        only_problem(f'[[listen]]\nuri = "udp:192.0.2.1"\nrcvbuf = {bad}\n' + SET).key == "listen[1].rcvbuf"
    )


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("udp:0.0.0.0:5060", "wildcard"),
        ("udp:[::]:5060", "wildcard"),
        ("udp:[0::0]:5060", "wildcard"),
        ("udp:*:5060", "wildcard"),
        ("udp:localhost:5060", "names are refused"),
        ("tcp:192.0.2.1:5060", "is not in this release"),
        ("upd:192.0.2.1:5060", 'did you mean "udp"?'),
        ("192.0.2.1:5060", 'did you mean "udp:192.0.2.1:5060"?'),
        ("udp:::1", 'did you mean "udp:[::1]:5060"?'),
        ("udp:192.0.2.1:0", "ports 1 to 65535"),
        ("udp:192.0.2.1:65536", "ports 1 to 65535"),
        ("udp:224.0.0.1:5060", "not multicast"),
        ("udp:[fe80::1]:5060", "link-local"),
        ("udp:[::ffff:192.0.2.1]:5060", "IPv4 in its own spelling"),
    ],
)
def test_listen_addresses_refused(uri, said):
    problem = only_problem(f'[[listen]]\nuri = "{uri}"\n' + SET)
    assert said in str(problem)
    assert problem.line == 2


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("192.0.2.21:5060", 'did you mean "sip:192.0.2.21:5060"?'),
        ("sip:media.example.net:0", "ports 1 to 65535"),
        ("sip:media.example.net;transport=tcp", "transport=tcp is not in this release"),
        ("sips:media.example.net", "TLS"),
        ("sip:media_example.net", "with a name or a numeric address"),
        ("sips:192.0.2.21", "TLS"),
        ("sip:192.0.2.21;transport=tcp", "transport=tcp is not in this release"),
        ("sip:192.0.2.300", "numeric address"),
        ("sip:0.0.0.0", "numeric address"),
        ("sip:192.0.2.1:5060", "our own [[listen]]"),
        ("sip:[2001:db8::1]", "no [[listen]] has an IPv6 address"),
        ("sip:192.0.2.21?X=1", "numeric address"),
    ],
)
def test_destinations_refused(uri, said):
    problem = only_problem(LISTEN + f'[set.media]\ndestinations = [\n  "sip:192.0.2.22",\n  "{uri}",\n]\n')
    assert said in str(problem)
    assert (problem.key, problem.line) == ("set.media.destinations[2]", 6)


# ---------------------------------------------------------------- secrets and directories


def test_a_key_file_is_made_once_and_kept(tmp_path):
    text = SMALL + f'[router]\nstate_dir = "{tmp_path}/state"\n'
    first = load_text(text, "test.toml")
    place = tmp_path / "state" / "secret"
    assert first.router.secret_file == str(place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    head = [line for line in place.read_text().splitlines() if line.startswith("#")]
    assert any("share" in line for line in head) and any("backed up" in line for line in head)
    second = load_text(text, "test.toml")
    assert first.router.secret_keys == second.router.secret_keys
    assert [len(key) for key in first.router.secret_keys] == [16]
    assert repr(first.router.secret_keys[0]) not in repr(first)
    assert sorted(os.listdir(place.parent)) == ["secret"]


def test_no_key_file_is_made_when_not_asked_or_when_the_config_is_wrong(tmp_path):
    text = SMALL + f'[router]\nstate_dir = "{tmp_path}/state"\n'
    assert load_text(text, "test.toml", make_secret=False).router.secret_keys == ()
    with pytest.raises(ConfigError):
        load_text(text + "shards = 0\n", "test.toml")
    assert not (tmp_path / "state").exists()


def test_a_state_dir_that_cannot_be_made_is_a_problem(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made") as caught:
        load_text(SMALL + f'[router]\nstate_dir = "{tmp_path}/file/state"\n', "test.toml")
    assert caught.value.problems[0].line == 6


def test_secrets_from_file_and_environment(tmp_path, monkeypatch):
    (tmp_path / "key").write_text("# a comment\n\n0123456789abcdef0123\n")
    monkeypatch.setenv("FASTSIP_TEST_SECRET", "another secret of some length")
    text = SMALL + '[router]\nsecret = ["file:key", "env:FASTSIP_TEST_SECRET"]\n'
    (tmp_path / "c.toml").write_text(text)
    router = load(tmp_path / "c.toml").router
    assert router.secret_keys == (
        derive_key("0123456789abcdef0123"),
        derive_key("another secret of some length"),
    )
    assert router.secret_file == ""


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("file:none", "cannot be read"),
        ("env:FASTSIP_NOT_SET", "no variable"),
        ("file:short", "fewer than 16"),
        ("file:", "allowed"),
    ],
)
def test_secrets_refused(tmp_path, secret, said, monkeypatch):
    monkeypatch.delenv("FASTSIP_NOT_SET", raising=False)
    (tmp_path / "short").write_text("# long enough comment, short secret\nabc\n")
    with pytest.raises(ConfigError) as caught:
        load_text(SMALL + f'[router]\nsecret = "{secret}"\n', str(tmp_path / "c.toml"))
    assert said in str(caught.value)
    assert "\nabc" not in str(caught.value)


def test_directories_of_root_and_of_a_plain_user(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    router = read(SMALL).router
    assert (router.run_dir, router.state_dir) == ("/run/fastsip", "/var/lib/fastsip")
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    router = read(SMALL).router
    assert (router.run_dir, router.state_dir) == (f"{tmp_path}/fastsip", f"{tmp_path}/state/fastsip")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    router = read(SMALL).router
    assert (router.run_dir, router.state_dir) == ("/dev/shm/fastsip-1234", f"{tmp_path}/.local/state/fastsip")


def test_relative_directories_count_from_the_file(tmp_path):
    config = load_text(SMALL + '[router]\nrun_dir = "run"\n', str(tmp_path / "c.toml"), make_secret=False)
    assert config.router.run_dir == str(tmp_path / "run")


ROUTER = '[router]\nrun_dir = "here"\n'


@pytest.mark.parametrize(
    "text",
    [
        ROUTER + SMALL,
        SMALL + ROUTER,
        ROUTER + "[set.m]\nnonsense = 1\n",     # of other tables, nobody asks here
        ROUTER + "[[listen]\n" + SMALL,
        ROUTER + 'domains = [\n  "a.b",\n  "c.d",\n]\n' + SMALL,
        ROUTER + "domains = [\n[\n]]\n" + SMALL,  # a line that looks like a table
        '[names]\n"a.b" = """\n[router]\n""" # no header\n' + ROUTER + SMALL,
        "router.run_dir = 'here'\n" + SMALL,
        ROUTER.replace("\n", "\r\n") + SMALL,
    ],
)
def test_where_a_router_is_found_is_read_alone(tmp_path, text):
    file = tmp_path / "c.toml"
    file.write_text(text, newline="")
    assert load_run_dir(file) == str(tmp_path / "here")


def test_where_a_router_is_found_by_default(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text(SMALL)
    assert load_run_dir(file) == load(file, make_secret=False).router.run_dir


@pytest.mark.parametrize("text", ["[router", "[router]\nrun_dir = 5\n", "router = 7\n", "[router]\nnonsense = 1\n"])
def test_where_a_router_is_found_cannot_be_said(tmp_path, text):
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        load_run_dir(file)


# ---------------------------------------------------------------- names


def test_names_in_the_order_of_the_file():
    text = SMALL + '[[listen]]\nuri = "udp:[2001:db8::2]:5060"\n'
    text += '[names]\n"PBX.example.net." = ["192.0.2.9:5080", "[2001:db8::9]", "[2001:DB8::a]:5070"]\n'
    text += '"*" = "192.0.2.8"\n'
    first, other = read(text).names
    assert first.name == "pbx.example.net"
    assert first.addresses == (("192.0.2.9", 5080), ("2001:db8::9", 0), ("2001:db8::a", 5070))
    assert (other.name, other.addresses) == ("*", (("192.0.2.8", 0),))
    assert read(SMALL).names == ()


def test_as_many_names_and_addresses_as_there_may_be():
    many = "".join(f'"n{number}.x" = "192.0.2.9"\n' for number in range(language.MAX_NAMES - 1))
    longest = "a." * 126 + "b"
    assert len(longest) == language.MAX_NAME_BYTES
    full = f'"{longest}." = {[f"192.0.2.{number}" for number in range(language.MAX_ADDRESSES)]}\n'
    found = read(SMALL + "[names]\n" + many + full).names
    assert (len(found), found[-1].name, len(found[-1].addresses)) == (1_000, longest, language.MAX_ADDRESSES)


# ---------------------------------------------------------------- placement


def placed(tmp_path, *secret: str, **more) -> bytes:
    lines = [f'state_dir = "{tmp_path}"', f"secret = {json.dumps(['env:' + name for name in secret])}"]
    return load_text(SMALL + "[router]\n" + "\n".join(lines) + "\n", "test.toml", **more).router.placement_key


@pytest.fixture
def two_secrets(monkeypatch):
    for name in ("OLD", "NEW"):
        monkeypatch.setenv(f"FASTSIP_{name}", f"the {name} secret of some length")
    return "FASTSIP_OLD", "FASTSIP_NEW"


def test_placement_is_made_of_the_first_secret_and_stays_when_it_changes(tmp_path, two_secrets):
    """The same on each node and after each wipe, not rotated with the secret (docs/wire.md#placement-key)."""
    old, new = two_secrets
    first = placed(tmp_path, old)
    assert first == placed(tmp_path, old, new) != placed(tmp_path, new)
    secrets.pin_placement(tmp_path / "placement", first)
    assert stat.S_IMODE((tmp_path / "placement").stat().st_mode) == 0o600
    assert [placed(tmp_path, *names) for names in ((new, old), (new,), (old,))] == [first] * 3
    assert placed(tmp_path, new, make_secret=False) == first
    secrets.pin_placement(tmp_path / "placement", b"x" * 16)
    assert placed(tmp_path, old) == first, "once"
    (tmp_path / "placement").unlink()
    assert placed(tmp_path, old) == first
    assert derive_key("the OLD secret of some length") != first, "who reads it cannot sign"


@pytest.mark.parametrize(
    "content",
    [b"", b"# a comment\n", b"ab" * 15, b"ab" * 17, b"ab" * 16 + b"\n" + b"ab" * 16, b"\xff" * 32, b"xy" * 16],
)
def test_a_damaged_placement_is_a_problem_and_no_other_placement(tmp_path, two_secrets, content):
    (tmp_path / "placement").write_bytes(content)
    with pytest.raises(ConfigError, match="placement is damaged"):
        placed(tmp_path, two_secrets[0])


def test_headers_of_probes():
    text = SMALL + 'probe = {{ headers = {{ {} }} }}\n'
    (probe,) = {one.probe for one in read(text.format('X-A = "1", Contact = "<sip:a@b>"')).sets[0].destinations[:1]}
    assert probe.headers == (("Accept", "application/sdp"), ("X-A", "1"), ("Contact", "<sip:a@b>"))
    assert read(text.format('accept = "*/*"')).sets[0].destinations[0].probe.headers == (("accept", "*/*"),)
    assert read(SMALL + "probe = {}\n").sets[0].destinations[0].probe.headers == (("Accept", "application/sdp"),)


@pytest.mark.parametrize(("headers", "said"), [
    ('Via = "x"', "the router itself lives by Via"), ('CSeq = "x"', "the router itself lives by CSeq"),
    ('m = "x"', "m: allowed is the long name"), ('X-A = "1", x-a = "2"', "each header once"),
    ('X-A = 1', "allowed"), (", ".join(f'X-{i} = ""' for i in range(17)), "allowed"),
    (", ".join(f'X-{i} = "{"y" * 250}"' for i in range(4)), "at most 1024 bytes together"), ('"X A" = "1"', "allowed"),
    ('X-A = "a\\r\\nVia: b"', "allowed"),
])  # fmt: skip
def test_headers_of_probes_that_cannot_be(headers, said):
    with pytest.raises(ConfigError) as caught:
        read(SMALL + f"probe = {{ headers = {{ {headers} }} }}\n")
    (problem,) = caught.value.problems
    assert problem.key == "set.media.probe.headers" and said in str(problem)
