"""docs/config.md names every key of the language and no other, with the defaults that the reader has."""

import re
from pathlib import Path

import pytest

from fastsip.config import load_text
from fastsip.config.language import ALGORITHMS, KEYS, LATER
from tests.unit.test_example_config import SHOWN, TEXT

PAGE = (Path(__file__).parents[2] / "docs" / "config.md").read_text()

# Heading -> kind of table in KEYS.  [names] has no keys of ours.
KINDS = {
    "`[router]`": "router",
    "`[[listen]]`": "listen",
    "`[listen.headers]`": "listen.headers",
    "`[timers]`": "timers",
    "`[limits]`": "limits",
    "`[set.NAME]`": "set",
    "A destination": "destination",
    "`[set.NAME.probe]`": "probe",
    "`[set.NAME.headers]`": "set.headers",
    "`[failure.NAME]`": "failure",
    "`[[route]]`": "route",
    "`[route.when]`": "when",
    "Headers": "headers",
    "`[resolve]`": "resolve",
    "`[[source]]`": "source",
    "`[[webhook]]`": "webhook",
    "`[otel]`": "otel",
    "`[api]`": "api",
    "`[hep]`": "hep",
}
RELOADS = {"in place", "takeover", "refused", "next router"}
BASE = """
[router]
name = "edge1"
shards = 1
[[listen]]
uri = "udp:192.0.2.1:5060"
[set.media]
destinations = [{ uri = "sip:192.0.2.21:5060", id = "one" }]
probe = {}
[failure.next]
on = [500, "timeout"]
[[route]]
to = "media"
failure = "next"
[[webhook]]
url = "http://127.0.0.1/"
[otel]
endpoint = "http://127.0.0.1/v1/traces"
[hep]
collector = "udp:192.0.2.9:9060"
"""
# Table of BASE -> the line that its defaults are written behind; of a probe they fill the braces.
BEHIND = {
    "router": "shards = 1\n", "listen": 'uri = "udp:192.0.2.1:5060"\n', "set": "[set.media]\n", "probe": "probe = {",
    "destination": 'id = "one"', "failure": "[failure.next]\n", "route": "[[route]]\n", "webhook": "[[webhook]]\n",
    "otel": "[otel]\n",
    "hep": "[hep]\n",
}  # fmt: skip


def rows(heading: str, level: int = 3) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    found = re.search(rf"^{'#' * level} {re.escape(heading)}\n(.*?)(?=^#|\Z)", PAGE, re.M | re.S)
    assert found, heading
    table = re.search(r"^\|.*?(?=\n\n|\Z)", found[1], re.M | re.S)
    assert table, heading
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].splitlines()[2:]]


def quoted(cell: str) -> str:
    """What stands in the backquotes that a cell begins with; "" when it does not."""
    return cell.split("`")[1] if cell.startswith("`") else ""


def defaults(kind: str) -> dict[str, str]:
    """Key -> its default as TOML, where the page gives one."""
    heading = next(heading for heading, one in KINDS.items() if one == kind)
    found = {quoted(row[0]): quoted(row[2]) for row in rows(heading)}
    return {key: value for key, value in found.items() if re.fullmatch(r'"[^"]*"|\d+|true|false', value)}


def test_every_table_of_the_language_is_there():
    assert set(KINDS.values()) == set(KEYS) - {""}
    for key in KEYS[""]:
        assert re.search(rf"^### `\[+{key}\b", PAGE, re.M), key


@pytest.mark.parametrize("heading", KINDS)
def test_its_keys_are_those_that_the_reader_knows(heading):
    keys = [quoted(row[0]) for row in rows(heading)]
    assert sorted(keys) == sorted(KEYS[KINDS[heading]])
    assert {row[-1] for row in rows(heading)} <= RELOADS


def test_every_key_of_the_example_is_there():
    listed = {quoted(row[0]) for heading in KINDS for row in rows(heading)}
    assert set(SHOWN.findall(TEXT)) - listed == set()


def test_algorithms():
    assert {quoted(row[0]): int(row[1]) for row in rows("Algorithms")} == ALGORITHMS


def test_what_is_not_in_this_release():
    listed = {quoted(row[0]): row[1] for row in rows("Not in this release", 2)}
    assert set(listed) == set(LATER)
    for pattern, words in LATER.items():
        told = listed[pattern]
        assert set(re.findall(r"`([^`]+)`", told)) == {str(word) for word in words or ()}
        assert (told == "all") == (words is None)


def with_defaults(kind: str) -> str:
    """BASE with the page's defaults of one table written out."""
    lines = [f"{key} = {value}" for key, value in defaults(kind).items() if key != "shards"]
    if kind in ("timers", "limits", "resolve"):
        return f"{BASE}[{kind}]\n" + "\n".join(lines)
    behind = BEHIND[kind]
    assert BASE.count(behind) == 1
    written = ", ".join(lines) if behind.endswith("{") else "\n".join(lines) + "\n"
    if kind == "destination":
        written = ", " + ", ".join(lines)
    return BASE.replace(behind, behind + written)


@pytest.mark.parametrize("kind", ["timers", "limits", *BEHIND])
def test_defaults_are_those_of_the_reader(kind, tmp_path):
    file = str(tmp_path / "router.toml")
    assert len(defaults(kind)) >= 1
    written = load_text(with_defaults(kind), file, make_secret=False)
    assert written == load_text(BASE, file, make_secret=False)
