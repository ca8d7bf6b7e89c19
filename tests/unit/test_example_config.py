"""config.example.toml loads, works for everybody, and shows every key of the language."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from fastsip.config import load, load_text, model
from fastsip.config.language import ALGORITHMS, KEYS, LATER

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
TEXT = EXAMPLE.read_text()

# A commented key: "#name = ..." or, inside the list of a destination's keys, "#  name = ...".
COMMENTED = re.compile(r"^#(?:  )?([a-z_0-9]+) +=", re.MULTILINE)
SHOWN = re.compile(r"^(?:#(?:  )?)?([a-z_0-9]+) *= *", re.MULTILINE)


def test_it_loads_and_routes_to_the_answering_set():
    config = load(EXAMPLE, make_secret=False)
    assert [listener.uri for listener in config.listeners] == ["udp:127.0.0.1:5060"]
    media = config.set_named("media")
    assert media.answering
    assert [(one.host, one.port) for one in media.destinations] == [("127.0.0.1", 5071), ("127.0.0.1", 5072)]
    assert [(rule.to, rule.failure) for rule in config.rules] == [("media", "next-media")]


@pytest.mark.parametrize("kind", [kind for kind in KEYS if kind])
def test_it_shows_every_key(kind):
    shown = set(SHOWN.findall(TEXT))
    assert set(KEYS[kind]) - shown - {"destinations", "when", "probe", "headers"} == set()
    for table in ("[router]", "[[listen]]", "[timers]", "[limits]", "[set.media]", "[set.media.probe]",
                  "[failure.next-media]", "[[route]]", "[route.headers]", "[route.when]", "[[source]]",
                  "[[webhook]]", "[otel]", "[api]", "[hep]"):  # fmt: skip
        assert re.search(rf"^#?{re.escape(table)}", TEXT, re.MULTILINE), table
    assert "destinations = [" in TEXT


def test_it_shows_every_algorithm():
    listed = " ".join(line.lstrip("# ") for line in TEXT.splitlines())
    for name, number in ALGORITHMS.items():
        assert f"{name} {number}" in listed


def test_it_shows_nothing_of_a_later_release():
    later = {pattern.rpartition(".")[2] for pattern, words in LATER.items() if words is None}
    later -= {key for keys in KEYS.values() for key in keys}  # `source` is a key of `when`, too
    assert later & set(SHOWN.findall(TEXT)) == set()
    assert "call-load" not in TEXT


def uncommented():
    """The example with every commented key switched on, where two cannot stand together the first."""
    lines = []
    for line in TEXT.splitlines():
        if re.match(r"#(\[|\"|[a-z_0-9]+ =)", line) and not line.startswith(
            ("#reply", "#forward", "#key", '#secret = "file:/etc/fastsip/key"', "#then", "#in_dialog_failure",
             '#url = "postgresql:', "#table", "#columns", "#read_token", "#certificate")
        ):
            line = line[1:]
        lines.append(line)
    return "\n".join(lines)


def switched_on(place: Path) -> model.Config:
    """Loaded, with the list and the token that it names beside it."""
    (place / "dispatcher.list").write_text("# nothing yet\n")
    (place / "webhook").write_text("a secret of sixteen letters\n")
    (place / "fastsip.token").write_text("sixteen letters of a token\n")
    text = uncommented().replace("/etc/fastsip/webhook", "webhook").replace("env:OPS_TOKEN", "Bearer x")
    text = text.replace("env:OTEL_TOKEN", "Bearer y")
    return load_text(text, str(place / "all.toml"), make_secret=False)


def test_commented_keys_are_right_as_they_stand(tmp_path):
    text = uncommented()
    assert tomllib.loads(text)["timers"] == {"t1": "500ms", "t2": "4s", "t4": "5s", "c": "181s"}
    config = switched_on(tmp_path)
    assert config.set_named("media").destinations[0].probe.accept == (*range(200, 300), 404, 480)
    assert {condition.key for condition in config.rules[0].conditions} == set(KEYS["when"]) - {"not"}


def test_the_names_that_it_shows(tmp_path):
    shown = switched_on(tmp_path)
    assert {one.name: one.addresses for one in shown.names} == {
        "pbx.example.net": (("10.0.0.9", 5080), ("10.0.0.10", 0)),
        "*": (("10.0.0.9", 0),),
    }


SAME_AS_DEFAULT = {
    "timers": model.Timers,
    "limits": model.Limits,
    "resolve": model.Resolve,
}


@pytest.mark.parametrize("table", SAME_AS_DEFAULT)
def test_commented_values_are_the_defaults(table, tmp_path):
    shown = switched_on(tmp_path)
    default = load(EXAMPLE, make_secret=False)
    assert getattr(shown, table) == getattr(default, table)


def test_commented_values_of_the_set_are_the_defaults(tmp_path):
    shown = switched_on(tmp_path).set_named("media")
    default = load(EXAMPLE, make_secret=False).set_named("media")
    differing = {
        field
        for field in model.DestinationSet.__struct_fields__
        if getattr(shown, field) != getattr(default, field)
    }
    # These have no default, or one that depends.
    assert differing == {"setid", "listen", "destinations", "headers_out", "call_fall", "call_rise", "calls"}


# Fields that no key stands for: made from others while loading.
DERIVED = {
    "Router": {"secret_keys", "secret_file", "placement_key"},
    "Listener": {"transport", "host", "port", "family", "sent_by"},
    "DestinationSet": {"name", "algorithm_number", "calls", "names"},
    "Destination": {"host", "port", "family", "listener", "calls", "parent", "named", "tier", "share"},
    "NamedDestination": {"host", "port", "transport", "calls", "behind", "left_out", "resting"},
    "Probe": {"from_uri"},
    "Policy": {"name", "on_codes", "on_classes", "on_reasons", "mark_by"},
    "Rule": {"conditions", "implied"},
}
TABLES = {
    "Router": "router", "Listener": "listen", "Timers": "timers", "Limits": "limits", "DestinationSet": "set",
    "Destination": "destination", "NamedDestination": "destination", "Resolve": "resolve", "Probe": "probe",
    "Policy": "failure", "Rule": "route",
}  # fmt: skip


@pytest.mark.parametrize("struct", TABLES)
def test_every_field_of_the_model_has_its_key(struct):
    fields = {field.name for field in msgspec.structs.fields(getattr(model, struct))}
    keys = {re.sub("_(ms|bytes|in|out)$", "", field) for field in fields - DERIVED.get(struct, set())}
    assert keys <= set(KEYS[TABLES[struct]])
