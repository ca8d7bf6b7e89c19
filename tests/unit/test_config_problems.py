"""What is said about a wrong configuration: every problem at once, each with its place."""

from collections.abc import Set

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsip.config import ConfigError, load
from fastsip.config.language import LATER
from fastsip.config.load import _Loader
from fastsip.config.reader import MOST_PROBLEMS, Report, Section
from tests.unit.config_text import LISTEN, SET, SMALL, only_problem, problems, read

ONE_PROBLEM = {
    "unknown table": (SMALL + "[timer]\n", "timer", 'did you mean "timers"?'),
    "unknown key": (SMALL + "limt = 3\n", "set.media.limt", 'did you mean "limit"?'),
    "no listen": (SET, "listen", "`[[listen]]` is missing"),
    "no set": (LISTEN, "", "nowhere to send calls to"),
    "two sets, no route": (SMALL + SET.replace("media", "b"), "", "`[[route]]` is missing"),
    "listen as a table": (
        '[listen]\nuri = "udp:192.0.2.1:5060"\n' + SET,
        "listen",
        "did you mean [[listen]]?",
    ),
    "same address twice": (LISTEN + LISTEN + SET, "listen[2].uri", "listen[1] has this address"),
    "unknown tag": (SMALL + 'listen = "private"\n', "set.media.listen", "the tags of [[listen]]"),
    "unknown tag of a destination": (
        LISTEN + '[set.m]\ndestinations = [{ uri = "sip:192.0.2.2", listen = "udp:192.0.2.9:5060" }]\n',
        "set.m.destinations[1].listen",
        'the tag of a [[listen]], or its address: "udp:192.0.2.1:5060"',
    ),
    "listener of a destination": (
        LISTEN + '[set.m]\ndestinations = [{ uri = "sip:192.0.2.2", listen = "tls:192.0.2.1" }]\n',
        "set.m.destinations[1].listen",
        '"udp:ADDRESS:PORT"',
    ),
    "listener of another family": (
        LISTEN + '[set.m]\ndestinations = [{ uri = "sip:[::2]", listen = "udp:192.0.2.1:5060" }]\n',
        "set.m.destinations[1].uri",
        'no [[listen]] with tag "udp:192.0.2.1:5060" has an IPv6 address',
    ),
    "admin": (
        LISTEN + '[set.m]\ndestinations = [{ uri = "sip:192.0.2.2", admin = "drainig" }]\n',
        "set.m.destinations[1].admin",
        'did you mean "draining"?',
    ),
    "starts_down": (
        LISTEN + '[set.m]\ndestinations = [{ uri = "sip:192.0.2.2", starts_down = "yes" }]\n',
        "set.m.destinations[1].starts_down",
        "true, false",
    ),
    "long id": (
        LISTEN + f'[set.m]\ndestinations = [{{ uri = "sip:192.0.2.2", id = "{"x" * 513}" }}]\n',
        "set.m.destinations[1].id",
        "1 to 512 bytes",
    ),
    "timer c": (SMALL + '[timers]\nc = "180s"\n', "timers.c", "more than 3 minutes"),
    "t2 below t1": (SMALL + '[timers]\nt1 = "5s"\n', "timers.t2", "at least t1"),
    "shards": (SMALL + "[router]\nshards = 65\n", "router.shards", "from 1 to 64"),
    "network": (
        SMALL + '[router]\ntrusted = ["10.0.0.1/8"]\n',
        "router.trusted[1]",
        'did you mean "10.0.0.0/8"?',
    ),
    "domain": (SMALL + '[router]\ndomains = "10.0.0.256"\n', "router.domains", '"host:port"'),
    "plain secret": (SMALL + '[router]\nsecret = "abc"\n', "router.secret", '"file:PATH" or "env:NAME"'),
    "three secrets": (
        SMALL + '[router]\nsecret = ["env:A", "env:B", "env:C"]\n',
        "router.secret",
        "two during rotation",
    ),
    "long run_dir": (SMALL + f'[router]\nrun_dir = "/{"x" * 100}"\n', "router.run_dir", "at most 90 bytes"),
    "answering": (
        SMALL.replace(', "sip:192.0.2.22:5070"', "") + "answering = true\n",
        "set.media.destinations[1]",
        "loopback",
    ),
    "names as text": ('names = "a.b"\n' + SMALL, "names", "allowed: a table, [names]"),
    "name without quotes": (SMALL + '[names]\npbx.example.net = "192.0.2.9"\n', "names.pbx", "stands in quotes"),
    "address as a name": (
        SMALL + '[names]\n"192.0.2.9" = "192.0.2.9"\n',
        'names."192.0.2.9"',
        'a host name of at most 253 letters, or "*" for every other name',
    ),
    "long name": (SMALL + f'[names]\n"{"a" * 252}.b" = "192.0.2.9"\n', f'names."{"a" * 252}.b"', "at most 253"),
    "a name twice": (
        SMALL + '[names]\n"a.b" = "192.0.2.9"\n"A.B." = "192.0.2.9"\n',
        'names."A.B."',
        '"a.b" twice; allowed: once',
    ),
    "no addresses": (SMALL + '[names]\n"a.b" = []\n', 'names."a.b"', "an empty list; allowed: 1 to 32 addresses"),
    "33 addresses": (SMALL + f'[names]\n"a.b" = {["192.0.2.9"] * 33}\n', 'names."a.b"', "33 addresses"),
    "a name for a name": (SMALL + '[names]\n"a.b" = ["192.0.2.9", "c.d"]\n', 'names."a.b"[2]', "numeric address"),
    "bare IPv6": (SMALL + '[names]\n"a.b" = "2001:db8::1"\n', 'names."a.b"', 'did you mean "[2001:db8::1]"?'),
    "port 0": (SMALL + '[names]\n"a.b" = "192.0.2.9:0"\n', 'names."a.b"', "ports 1 to 65535"),
    "family without listener": (
        SMALL + '[names]\n"*" = ["192.0.2.9", "[2001:db8::1]:5080"]\n',
        'names."*"[2]',
        "no [[listen]] has an IPv6 address",
    ),
    "too many names": (
        SMALL + "[names]\n" + "".join(f'"n{n}.x" = "192.0.2.9"\n' for n in range(1_001)),
        "names",
        "1001 names; allowed: at most 1000",
    ),
    "no calls": (SMALL + "calls_per_second = 0\n", "set.media.calls_per_second", "from 1 to 1000000"),
    "too many calls": (SMALL + "calls_per_second = 1000001\n", "set.media.calls_per_second", "from 1 to 1000000"),
    "a burst without a rate": (
        SMALL + "each_calls_at_once = 3\n", "set.media.each_calls_at_once", "only with each_calls_per_second"),
    "a long burst": (
        SMALL + "calls_per_second = 5\ncalls_at_once = 51\n",
        "set.media.calls_at_once",
        "at most 50, which come in 10 s",
    ),
    "key missing": (SMALL + 'algorithm = "key"\n', "set.media", "`key` is missing"),
    "key not used": (SMALL + 'key = "X-A"\n', "set.media.key", 'only with algorithm = "key"'),
    "no destinations": (LISTEN + "[set.media]\n", "set.media", "`destinations` is missing"),
    "empty destinations": (
        LISTEN + "[set.media]\ndestinations = []\n",
        "set.media.destinations",
        "an empty list",
    ),
    "same destination": (
        LISTEN + '[set.m]\ndestinations = ["sip:192.0.2.2", "sip:192.0.2.2"]\n',
        "set.m.destinations[2]",
        "`id`",
    ),
    "same id": (
        LISTEN + '[set.m]\ndestinations = [{id="a",uri="sip:192.0.2.2"},{id="a",uri="sip:192.0.2.3"}]\n',
        "set.m.destinations[2].id",
        "an id of its own",
    ),
    "probe true": (SMALL + "probe = true\n", "set.media.probe", "probe = {}"),
    "probe timeout": (
        SMALL + 'probe = { interval = "1s", timeout = "2s" }\n',
        "set.media.probe.timeout",
        "at most the interval",
    ),
    "accept": (SMALL + 'probe = { accept = ["1xx"] }\n', "set.media.probe.accept[1]", "final codes"),
    "6xx": (SMALL + '[failure.f]\non = [500, "6xx"]\n', "failure.f.on[2]", "6xx is refused"),
    "code 603": (SMALL + "[failure.f]\non = 603\n", "failure.f.on", "6xx is refused"),
    "11 codes": (SMALL + f"[failure.f]\non = {list(range(500, 511))}\n", "failure.f.on", "at most 10 codes"),
    "progress without clock": (SMALL + '[failure.f]\non = "progress"\n', "failure.f.on", 'progress = "10s"'),
    "mark ring": (
        SMALL + '[failure.f]\non = 500\nmark = { ring = "down" }\n',
        "failure.f.mark.ring",
        '"none"',
    ),
    "mark key": (
        SMALL + '[failure.f]\non = 500\nmark = { timeot = "down" }\n',
        "failure.f.mark.timeot",
        'mean "timeout"?',
    ),
    "then": (SMALL + '[failure.f]\non = 500\nthen = "medai"\n', "failure.f.then", 'did you mean "media"?'),
    "exhausted": (SMALL + "[failure.f]\non = 500\nexhausted = 200\n", "failure.f.exhausted", "400 to 699"),
    "injected reason": (SMALL + '[[route]]\nreply = "404 a\\r\\nX: y"\n', "route[1].reply", "code from 400"),
    "to": (SMALL + '[[route]]\nto = "medai"\n', "route[1].to", 'did you mean "media"?'),
    "failure": (SMALL + '[[route]]\nto = "media"\nfailure = "x"\n', "route[1].failure", "none is defined"),
    "no action": (SMALL + '[[route]]\nwhen = { user = "1" }\n', "route[1]", "an action is missing"),
    "two actions": (SMALL + '[[route]]\nto = "media"\nreply = 404\n', "route[1].reply", "one action"),
    "ruri beside reply": (
        SMALL + '[[route]]\nreply = 404\nruri = "host"\n',
        "route[1].ruri",
        "only beside `to`",
    ),
    "ruri beside forward": (
        SMALL + '[[route]]\nforward = "request-uri"\nruri = "host"\n',
        "route[1].ruri",
        "`ruri` beside `forward`; allowed: only beside `to`",
    ),
    "headers beside reply": (
        SMALL + '[[route]]\nreply = 404\nheaders = { remove = "X-A" }\n',
        "route[1].headers",
        "only beside `to` and `forward`",
    ),
    "to and forward": (
        SMALL + '[[route]]\nto = "media"\nforward = "request-uri"\n',
        "route[1].forward",
        "one action",
    ),
    "forward": (
        SMALL + '[[route]]\nforward = "request_uri"\n',
        "route[1].forward",
        'did you mean "request-uri"?',
    ),
    "forward by no header": (SMALL + '[[route]]\nforward = "header:"\n', "route[1].forward", "a SIP token"),
    "header that is ours": (
        SMALL + '[[route]]\nto = "media"\nheaders = { set = { contact = "x" } }\n',
        "route[1].headers.set.contact",
        "lives by Contact",
    ),
    "headers that are ours": (
        SMALL + '[[route]]\nto = "media"\nheaders = { remove = ["X-A", "r*"] }\n',
        "route[1].headers.remove[2]",
        "lives by Route, Record-Route",
    ),
    "every header": (
        SMALL + '[[route]]\nto = "media"\nheaders = { remove = "*" }\n',
        "route[1].headers.remove",
        "a SIP token",
    ),
    "star in the middle": (
        SMALL + '[[route]]\nto = "media"\nheaders = { remove = "X A*" }\n',
        "route[1].headers.remove",
        "a SIP token",
    ),
    "header texts that no message has room for": (
        SMALL + '[[route]]\nto = "media"\nheaders.set = { X-A = "{call_id}{call_id}", X-B = "{call_id}{call_id}" }\n',
        "route[1].headers.set",
        "at most 2048 bytes together",
    ),
    "a name beyond what a name may have": (
        SMALL.replace('uri = "udp:', f'advertise = "{"a" * 60}.{"b." * 97}c"\nuri = "udp:'),
        "listen[1].advertise",
        "at most 253 letters",
    ),
    "a destination of many letters": (
        SMALL + f'[set.other]\ndestinations = ["sip:{"1" * 250}@192.0.2.1"]\n[[route]]\nto = "media"\n',
        "set.other.destinations[1]",
        "a numeric address",
    ),
    "a header name of many letters": (
        SMALL + f'[[route]]\nto = "media"\nheaders = {{ remove = ["{"X" * 256}"] }}\n',
        "route[1].headers.remove[1]",
        "at most 255 letters",
    ),
    "compact name": (
        SMALL + '[[route]]\nto = "media"\nheaders = { remove = ["s"] }\n',
        "route[1].headers.remove[1]",
        "the long name",
    ),
    "name of a header": (
        SMALL + '[[route]]\nto = "media"\nheaders = { set = { "X A" = "1" } }\n',
        'route[1].headers.set."X A"',
        "a SIP token",
    ),
    "unknown field": (
        SMALL + '[[route]]\nto = "media"\nheaders = { set = { X-A = "{surce}" } }\n',
        "route[1].headers.set.X-A",
        'did you mean "source"?',
    ),
    "field with a format": (
        SMALL + '[[route]]\nto = "media"\nheaders = { set = { X-A = "{source!r}" } }\n',
        "route[1].headers.set.X-A",
        "{source!r} is no field",
    ),
    "open brace": (
        SMALL + '[[route]]\nto = "media"\nheaders = { set = { X-A = "a{b" } }\n',
        "route[1].headers.set.X-A",
        "is written {{",
    ),
    "closing brace": (
        SMALL + '[[route]]\nto = "media"\nheaders = { set = { X-A = "{source}}" } }\n',
        "route[1].headers.set.X-A",
        "is written }}",
    ),
    "two lines in a header": (
        SMALL + '[[route]]\nto = "media"\nheaders = { set = { X-A = "a\\r\\nB: c" } }\n',
        "route[1].headers.set.X-A",
        "text on one line",
    ),
    "the same header twice": (
        SMALL + '[[route]]\nto = "media"\nheaders = { set = { X-A = "1", x-a = "2" } }\n',
        "route[1].headers.set.x-a",
        '"X-A" is the same header',
    ),
    "set is no table": (
        SMALL + '[[route]]\nto = "media"\nheaders = { set = "X-A" }\n',
        "route[1].headers.set",
        'a table { Name = "value" }',
    ),
    "no headers": (SMALL + '[[route]]\nto = "media"\nheaders = {}\n', "route[1].headers", "nothing to change"),
    "33 headers": (
        SMALL + f'[[route]]\nto = "media"\nheaders = {{ remove = {[f"X-{n}" for n in range(33)]} }}\n',
        "route[1].headers",
        "at most 32",
    ),
    "unknown key of headers": (
        SMALL + '[[route]]\nto = "media"\nheaders = { remov = "X-A" }\n',
        "route[1].headers.remov",
        'did you mean "remove"?',
    ),
    "source_set": (
        SMALL + '[[route]]\nto = "media"\nwhen = { source_set = ["media", "medai"] }\n',
        "route[1].when.source_set[2]",
        'did you mean "media"?',
    ),
    "look-ahead": (
        SMALL + '[[route]]\nto = "media"\nwhen = { not = { user_match = ["8", "8(?=1)"] } }\n',
        "route[1].when.not.user_match[2]",
        'found "8(?=1)"; at character 2: patterns have no look-ahead',
    ),
    "pattern for a hook": (
        SMALL + '[[route]]\nto = "media"\nwhen = { user_match = "(8)\\\\1" }\n',
        "route[1].when.user_match",
        "is for a Python hook",
    ),
    "pattern of no text": (
        SMALL + '[[route]]\nto = "media"\nwhen = { user_match = 8 }\n',
        "route[1].when.user_match",
        "allowed: a pattern of letters",
    ),
    "patterns too large together": (
        SMALL + '[[route]]\nto = "media"\nwhen = { user_match = ["8.{8}$", "9.{8}$"] }\n',
        "route[1].when.user_match",
        "found 2 patterns; together more than 1024 states",
    ),
    "two names": (
        SMALL + '[[route]]\nname="a"\nreply=404\n[[route]]\nname="a"\nreply=404\n',
        "route[2].name",
        "route[1] has it",
    ),
    "method case": (
        SMALL + '[[route]]\nto="media"\nwhen={method="invite"}\n',
        "route[1].when.method",
        'did you mean "INVITE"?',
    ),
    "listen tag": (
        SMALL + '[[route]]\nto="media"\nwhen={listen="x"}\n',
        "route[1].when.listen",
        "the tags of [[listen]]",
    ),
    "header false": (
        SMALL + '[[route]]\nto="media"\nwhen={header={X=false}}\n',
        "route[1].when.header.X",
        "absent is not =",
    ),
    "nested not": (
        SMALL + '[[route]]\nto="media"\nwhen={not={not={user="1"}}}\n',
        "route[1].when.not.not",
        "one `not`",
    ),
    "empty list": (
        SMALL + '[[route]]\nto="media"\nwhen={user=[]}\n',
        "route[1].when.user",
        "one item or a list",
    ),
}


@pytest.mark.parametrize("case", ONE_PROBLEM)
def test_one_problem(case):
    text, key, said = ONE_PROBLEM[case]
    problem = only_problem(text)
    assert problem.key == key
    assert said in str(problem)
    assert problem.file == "test.toml" and 1 <= problem.line <= text.count("\n") + 1


LATER_EXAMPLES = {
    "table": "[table.bans]\nexpire = '300s'\n",
    "router.routes": "[router]\nroutes = 'routes.py'\n",
    "router.hang": "[router]\nhang = '5s'\n",
    "router.stop_mode": "[router]\nstop_mode = 'drain'\n",
    "listen.*.uri": "[[listen]]\nuri = 'tls:192.0.2.1:5061'\n",
    "listen.*.udp_limit": "[[listen]]\nuri = 'udp:192.0.2.9:5060'\nudp_limit = 1300\n",
    "set.*.algorithm": "[set.b]\ndestinations = ['sip:192.0.2.31']\nalgorithm = 10\n",
    "set.*.destinations.*.max_load": "[set.b]\ndestinations = [{ uri = 'sip:192.0.2.31', max_load = 5 }]\n",
    "failure.*.python": "[failure.f]\non = 500\npython = 'routes:f'\n",
    "failure.*.then": "[failure.f]\non = 500\nthen = 'python'\n",
    "route.*.python": "[[route]]\npython = 'routes:f'\n",
    "route.*.when.source_in": "[[route]]\nto = 'media'\nwhen = { source_in = 'bans' }\n",
    "route.*.when.not.source_in": "[[route]]\nto = 'media'\nwhen = { not = { source_in = 'bans' } }\n",
}


@pytest.mark.parametrize("pattern", LATER)
def test_what_a_later_release_brings_is_refused_as_such(pattern):
    extra = LATER_EXAMPLES[pattern]
    closing = "" if "[[route]]" in extra else "[[route]]\nto = 'media'\n"
    problem = only_problem(SMALL + extra + closing)
    assert "is not in this release" in problem.allowed
    assert problem.line > 4


@pytest.mark.parametrize("word", ["'call-load'", "10", "'10'"])
def test_algorithms_of_a_later_release(word):
    assert "is not in this release" in only_problem(SMALL + f"algorithm = {word}\n").allowed


def test_all_problems_come_at_once_in_the_order_of_the_file():
    text = (
        '[router]\nshards = 0\nnmae = "x"\n' + LISTEN + SET + 'limit = 99\n[timers]\nc = "1s"\n'
        '[failure.f]\non = ["tmeout", 600]\n[[route]]\nto = "x"\nfailure = "y"\n'
    )
    found = problems(text)
    assert [(one.line, one.key) for one in found] == [
        (2, "router.shards"),
        (3, "router.nmae"),
        (8, "set.media.limit"),
        (10, "timers.c"),
        (12, "failure.f.on[1]"),
        (12, "failure.f.on[2]"),
        (14, "route[1].to"),
        (15, "route[1].failure"),
    ]
    assert str(found[0]) == "test.toml:2: router.shards: found 0; allowed: a whole number from 1 to 64"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[router\n", 1),
        ("[router]\n\nname = \n", 3),
        ('a = 1\nb = "x\n', 2),
        ("a = [1,\n2,\n", 2),
        ("a = 1\na = 2\n", 2),
    ],
)
def test_syntax_errors_have_a_line(text, line):
    problem = only_problem(text)
    assert problem.line == line
    assert problem.allowed.endswith("not TOML")


def test_a_nesting_beyond_measure_is_a_problem_not_a_crash():
    assert only_problem("a = " + "[" * 20_000).allowed.endswith("not TOML")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "none.toml")
    bad = tmp_path / "bad.toml"
    bad.write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(ConfigError, match=r"bad.toml:2: the text is not UTF-8"):
        load(bad)


# ---------------------------------------------------------------- any value

json_like = st.recursive(
    st.one_of(st.none().map(lambda _: True), st.integers(), st.text(max_size=8), st.floats(allow_nan=False)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
PLACES = [
    ("router", "name"),
    ("router", "shards"),
    ("router", "domains"),
    ("router", "trusted"),
    ("router", "run_dir"),
    ("listen",),
    ("listen", 0, "uri"),
    ("listen", 0, "advertise"),
    ("listen", 0, "rcvbuf"),
    ("timers",),
    ("timers", "c"),
    ("limits", "max_message"),
    ("limits", "max_head"),
    ("set",),
    ("set", "media"),
    ("set", "media", "destinations"),
    ("set", "media", "probe"),
    ("set", "media", "algorithm"),
    ("set", "media", "destinations", 0),
    ("set", "media", "destinations", 1, "listen"),
    ("set", "media", "destinations", 1, "id"),
    ("set", "media", "destinations", 1, "admin"),
    ("set", "media", "probe", "accept"),
    ("failure",),
    ("failure", "f"),
    ("failure", "f", "on"),
    ("failure", "f", "mark"),
    ("failure", "f", "exhausted"),
    ("failure", "f", "then"),
    ("route",),
    ("route", 0),
    ("route", 0, "when"),
    ("route", 0, "when", "header"),
    ("route", 0, "when", "not"),
    ("route", 0, "when", "source"),
    ("route", 0, "reply"),
    ("route", 0, "forward"),
    ("route", 0, "headers"),
    ("route", 0, "headers", "remove"),
    ("route", 0, "headers", "set"),
    ("route", 0, "when", "user_match"),
    ("route", 0, "when", "source_set"),
    *(("source", 0, key) for key in ("kind", "path", "name", "url", "table", "columns", "interval")),
    *(("hep", key) for key in ("collector", "sample", "node", "agent", "key")),
    ("router", "secret"),
]


@given(st.sampled_from(PLACES), json_like)
def test_any_value_anywhere_is_accepted_or_refused_never_a_crash(place, value):
    raw = {
        "router": {},
        "listen": [{"uri": "udp:192.0.2.1:5060"}],
        "timers": {},
        "limits": {},
        "set": {"media": {"destinations": ["sip:192.0.2.21", {"uri": "sip:192.0.2.22"}], "probe": {}}},
        "failure": {"f": {"on": [500]}},
        "route": [{"to": "media", "when": {"method": "INVITE"}, "headers": {"remove": ["X-A"]}}],
        "hep": {"collector": "udp:192.0.2.9:9060"},
        "source": [{"kind": "list", "path": __file__}],  # a text like any other: no line of it is a destination
    }
    inner = raw
    for part in place[:-1]:
        inner = inner[part]
    inner[place[-1]] = value
    try:
        config = _Loader(raw, "test.toml", Report("test.toml", "")).config(make_secret=False)
    except ConfigError as error:
        assert error.problems and all(str(one) for one in error.problems)
    else:
        assert config.listeners


def test_in_dialog_failure_names_a_policy_of_a_shared_set():
    failure = '[failure.f]\non = "timeout"\n'
    found = only_problem(SMALL + 'in_dialog = "shared"\nin_dialog_failure = "g"\n' + failure)
    assert (found.key, found.found) == ("set.media.in_dialog_failure", '"g"')
    assert '"f"' in found.allowed
    found = only_problem(SMALL + 'in_dialog_failure = "f"\n' + failure)
    assert 'in_dialog = "shared"' in found.allowed
    config = read(SMALL + 'in_dialog = "shared"\nin_dialog_failure = "f"\n' + failure)
    assert config.set_named("media").in_dialog_failure == "f"


def test_a_file_of_nothing_but_mistakes_is_not_read_to_its_end():
    """Each mistake looks for the word that was meant: thousands of them among thousands of names would take hours."""
    sets = "".join(f'[set.s{number}]\ndestinations = ["sip:192.0.2.21:{number + 1}"]\n' for number in range(2_000))
    rules = "".join(f'[[route]]\nname = "r{number}"\nto = "t{number}"\n' for number in range(2_000))
    found = problems(LISTEN + sets + rules)
    assert len(found) == MOST_PROBLEMS + 1 and "the rest was not looked at" in found[-1].allowed
    assert found[0].allowed.endswith("and 1980 more") and len(found[0].allowed) < 300


def test_names_that_rules_refer_to_are_looked_up_by_hash():
    root = Section({"set": {"a": {}, "b": {}}}, (), "", Report("test.toml", ""))
    assert isinstance(root.names_under("set"), Set) and not isinstance(root.names_under("set"), list)
