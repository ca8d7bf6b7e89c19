"""Whatever `check` finds right can be compiled and sealed: what is judged in two places must not differ.

Every key of the language meets every value of a pool of edges; what the configuration refuses is of no concern here.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsip._core.dispatcher.cells import Cells
from fastsip._core.transport.names import Names
from fastsip.config import ConfigError, load_text
from fastsip.config.language import KEYS, LATER, METHODS
from fastsip.routing.compile import compile_names, compile_table
from fastsip.routing.registry import Registry

LONG = "a" * 250
TEXTS = (
    "example.net", "EXAMPLE.net.", "example.net:5061", "example.net.:5060", "1.2.3.4", "1.2.3.4:5060", "[::1]",
    "[::1]:5060", "[2001:db8::1]", "::1", "[::ffff:1.2.3.4]", "a.b:1", "a:65535", "10.0.0.0/8", "::/0",
    "::ffff:10.0.0.0/104", "0.0.0.0/0", "10.0.0.1", "sip:127.0.0.9:5071", "sip:[::2]:5060", "sip:127.0.0.9",
    "sip:u@127.0.0.9:5072;transport=udp;lr", f"sip:{LONG * 5}@127.0.0.9:5072", "sip:x@y.z", f"sip:{LONG}@y", "m", "f",
    "INVITE", "FOO", "x", "Via", "X-Y", "v", "Subject", "s", "Identity-Info", LONG, "%C3%A4", "ä", "+1", "1",
    "12", "^[0-9]+$", "(a|b){2,3}$", "request-uri", "header:X-Y", "header:v", "404 no", "404", "503 nö",
    f"404 {'x' * 120}", "4xx", "2xx",
    "timeout", "progress", "ring", "transport", "none", "suspect", "down", "keep", "host", "uri", "pinned", "shared",
    "fail", "try", "all", "only-failed", "marked", "0s", "1s", "2s", "181s", "1h", "24h", "200ms", "8MiB", "65535",
    "auto", "leave", "drain", "call-id", "key", "weight", "srv", "parallel", "{source}", "{{{call_id}}}",
    "udp:127.0.0.1:5062",
    "t", "enabled", "draining", "disabled",
)  # fmt: skip
NUMBERS = (
    0, 1, 2, 5, 16, 64, 200, 255, 300, 404, 500, 599, 699, 1_300, 20_000, 65_535, 1_000_000, 2**31 - 1, -(2**31), 2**32,
)  # fmt: skip
SINGLE = (*TEXTS, *NUMBERS, True, False)
LISTS = (
    [], *([text] for text in TEXTS), ["x", "y"], ["1", "12", ""], list(METHODS), [404, "5xx"], [500, "timeout", "ring"],
)  # fmt: skip
# Where each table of the language stands in the file.
PLACES = {
    "router": "[router]", "listen": "[[listen]]", "timers": "[timers]", "limits": "[limits]", "set": "[set.m]",
    "failure": "[failure.f]", "route": "[[route]]",
}  # fmt: skip
INLINE = {"when": "[[route]]\nto = \"m\"\nwhen = {{ {0} }}", "headers": "[[route]]\nto = \"m\"\nheaders = {{ {0} }}",
          "destination": '[set.m]\ndestinations = [{{ uri = "sip:127.0.0.8:5071", {0} }}]',
          "probe": '[set.m]\ndestinations = ["sip:127.0.0.8"]\nprobe = {{ {0} }}'}  # fmt: skip
WHOLE = {
    "router": '[router]\nname = "n"\nshards = 1\n',
    "listen": '[[listen]]\nuri = "udp:127.0.0.1:5060"\ntag = "t"\n[[listen]]\nuri = "udp:[::1]:5060"\n',
    "set": '[set.m]\ndestinations = ["sip:127.0.0.8:5071"]\n',
    "failure": "[failure.f]\non = [500]\n",
    "route": '[[route]]\nto = "m"\nfailure = "f"\n',
}  # fmt: skip
NEEDS = {
    "listen": 'uri = "udp:127.0.0.1:5070"',
    "set": 'destinations = ["sip:127.0.0.8:5071"]',
    "failure": "on = [500]",
    "route": 'to = "m"',
}
BESIDE = {
    ("set", "key"): 'algorithm = "key"', ("set", "in_dialog_failure"): 'in_dialog = "shared"',
    ("failure", "on"): 'progress = "10s"', ("destination", "uri"): "",
    ("set", "calls_at_once"): "calls_per_second = 10", ("set", "each_calls_at_once"): "each_calls_per_second = 10",
}  # fmt: skip


def text_of(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def values_of(kind: str, key: str) -> Iterator[object]:
    yield from SINGLE
    yield from LISTS
    if (kind, key) == ("failure", "mark"):
        yield from ({"timeout": "down", "500": "none"}, {"4xx": "suspect", "ring": "none", "503": "down"})


def tables_of(kind: str, key: str, value: object) -> str:
    """A whole configuration in which this key has this value."""
    line = f"{key} = {text_of(value)}" if not isinstance(value, dict) else f"{key} = {table_text(value)}"
    if (kind, key) == ("when", "header"):
        line = f"header = {{ X-Y = {text_of(value)} }}"
    if (kind, key) == ("headers", "set"):
        line = f"set = {{ X-Y = {text_of(value)} }}"
    if (kind, key) == ("destination", "attrs"):
        line = f"attrs = {{ x = {text_of(value)} }}"
    if (kind, key) == ("destination", "calls_at_once"):
        line += ", calls_per_second = 10"
    beside = BESIDE.get((kind, key))
    if kind in INLINE:
        template = INLINE[kind] if (kind, key) != ("destination", "uri") else "[set.m]\ndestinations = [{{ {0} }}]"
        own, place = template.format(line), {"destination": "set", "probe": "set"}.get(kind, "route")
    else:
        needed = "" if key in ("reply", "forward") else NEEDS.get(kind, "")
        own = "\n".join(filter(None, (PLACES[kind], line, beside, "" if needed.startswith(f"{key} ") else needed)))
        place = kind
    if place == "router":
        return own + "\n" + "".join(text for name, text in WHOLE.items() if name != place)
    return "".join(text for name, text in WHOLE.items() if name != place or kind == "listen") + own + "\n"


def table_text(value: dict) -> str:
    return "{ " + ", ".join(f'"{key}" = {text_of(item)}' for key, item in value.items()) + " }"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with Registry(tmp_path_factory.mktemp("run")) as opened:
        yield opened


def runs(text: str, state_dir: Path, registry: Registry) -> bool:
    """False when the configuration refuses it; whatever else is raised is what this is about."""
    if "[router]" not in text:
        text = f"[router]\n{text}"
    text = text.replace("[router]\n", f'[router]\nstate_dir = "{state_dir}"\n', 1)
    try:
        config = load_text(text, str(state_dir / "test.toml"))
    except ConfigError:
        return False
    compile_table(config, registry, Cells(16), 1)
    Names().set_static(compile_names(config))
    return True


KINDS = [(kind, key) for kind in (*PLACES, *INLINE) for key in KEYS[kind]
         if f"{kind}.{key}" not in LATER and (kind, key) not in {("router", "state_dir"), ("router", "secret")}
         and key not in ("when", "headers", "probe", "not")]  # fmt: skip


@pytest.mark.parametrize(("kind", "key"), KINDS)
def test_what_is_right_can_be_compiled(tmp_path, registry, kind, key):
    right = [value for value in values_of(kind, key) if runs(tables_of(kind, key, value), tmp_path, registry)]
    assert right, "no value of the pool was right: the test says nothing"


ANY_TEXT = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3).map(":".join))


@given(st.sampled_from([("when", "domain"), ("when", "user"), ("when", "user_prefix"), ("when", "user_match"),
                        ("when", "header"), ("headers", "set"), ("headers", "remove"), ("route", "reply"),
                        ("router", "domains"), ("listen", "advertise"), ("set", "key"), ("probe", "from"),
                        ("probe", "method"), ("destination", "uri"), ("failure", "exhausted")]),
       ANY_TEXT)  # fmt: skip
def test_any_text_that_is_right_can_be_compiled(tmp_path_factory, place, text):
    folder = tmp_path_factory.mktemp("any")
    with Registry(folder) as registry:
        runs(tables_of(*place, text), folder, registry)


@given(st.dictionaries(ANY_TEXT, st.one_of(ANY_TEXT, st.lists(ANY_TEXT, max_size=9)), max_size=3))
def test_any_names_that_are_right_can_be_had(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("names")
    table = "".join(f"{text_of(name)} = {text_of(places)}\n" for name, places in names.items())
    with Registry(folder) as registry:
        runs("".join(WHOLE.values()) + "[names]\n" + table, folder, registry)
