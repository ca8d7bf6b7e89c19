"""The rules of the house above the core: which package of fastsip may know which, and that nobody goes in a circle.

A new module gets its place by what it is: a room of ABOVE that may know what it needs.  What is only needed for types,
or imported late, is known all the same, so both count.
"""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "fastsip"
LOOSE = {"__init__", "__main__", "log"}  # the only modules that stand in no room

# Room -> rooms that its modules may import beside it.
ABOVE = {
    "base": set(),                                                  # texts, names of files, the collector
    "log": {"base"},
    "events": {"base", "log"},                                      # what happens, told and followed
    "resolve": {"base", "log"},                                     # how a name becomes the places of its targets
    "sources": {"base", "log"},                                     # lists and tables of others in, rows out
    "config": {"base", "log", "events", "resolve", "sources"},      # a file in, frozen objects out
    "dispatcher": {"base", "log", "config"},                        # what operators do with destinations
    "routing": {"base", "log", "config", "dispatcher"},             # frozen objects in, the kernels' table out
    "process": {"base", "log", "config", "resolve"},                # what supervisor and router share
    "observe": {"base", "log", "events", "routing"},                # read from outside, out of files
    "api": {"base", "log", "dispatcher", "observe"},                # the door for operators, and what they hear there
    "desk": {"base", "log", "config", "dispatcher", "events", "process", "observe", "api", "resolve",
             "sources", "trace"},                                   # who waits for others, in a process of its own
    "ua": {"base", "log"},                                          # user agents, of which the router needs none
    "trace": {"base", "log", "observe", "api", "ua"},               # what was said in a call
    "router": {"base", "log", "config", "dispatcher", "events", "routing", "process", "observe", "resolve", "ua"},
    "supervisor": {"base", "log", "config", "dispatcher", "events", "process", "api", "resolve", "sources"},
    "top": {"base", "log", "routing", "observe", "api"},            # a router watched on a terminal
    "cli": {"base", "log", "config", "dispatcher", "events", "process", "observe", "api", "ua", "trace",
            "router", "supervisor", "top"},
}
PROGRAM = {"__main__": {"cli"}}  # `python -m fastsip`

# What of the core may be imported from Python: kernels with a door, and what makes no kernel call.
DOORS = {
    "base/buckets", "base/clock", "base/files", "base/lanes", "base/mapped", "base/ring", "base/short_ids", "sip/words",
    "store/marks", "store/partitions",
    "routing/table", "dispatcher/cells", "dispatcher/chooser", "dispatcher/measures", "dispatcher/paces",
    "transport/listen",
    "transport/names", "transport/udp", "state/counters", "state/events", "state/hep", "state/mirror",
    "state/mirror_ring", "transaction/inspect", "shard/loop",
    "shard/workspace", "harness/rig",
}  # fmt: skip


def modules() -> dict[str, Path]:
    """Dotted name -> file, of all modules above the core; a package by its own name."""
    found = {}
    for path in sorted(HOUSE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if "_core" not in parts:
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def names_imported(path: Path) -> Iterator[str]:
    """Dotted names, wherever the import stands; of `from a import b` both a.b and a."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            yield from (each.value for each in node.args if isinstance(each, ast.Constant))


def known(name: str) -> str:
    """The module that an imported name is of, "" when none of ours above the core."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def uses(name: str) -> set[str]:
    """Modules above the core that this one imports.  A name of the root package is `__version__`, and no room."""
    found = {known(each) for each in names_imported(MODULES[name]) if each.startswith("fastsip")}
    return found - {"", "fastsip", name}


def room_of(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def in_order(graph: dict[str, set[str]]) -> str:
    """"" when nobody goes in a circle, else the circle."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " imports ".join(reversed(error.args[1]))
    return ""


def test_only_these_modules_stand_in_no_room():
    loose = {path.stem for path in HOUSE.glob("*.py")} - LOOSE
    assert not loose, f"put {', '.join(sorted(loose))} into a room of {', '.join(ABOVE)}"


def test_every_room_is_in_the_table():
    rooms = {room_of(name) for name in MODULES} - {"__init__", "__main__"}
    assert rooms == set(ABOVE), "a room has a line in ABOVE, and a line a room"


def test_the_table_is_that_of_the_architecture():
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|/]+) \|$", (ROOT / "ARCHITECTURE.md").read_text(), re.M)
    assert {room: set(re.findall(r"\w+", may)) for room, may in rows} == ABOVE


@pytest.mark.parametrize("name", MODULES)
def test_a_module_knows_only_what_is_above_it(name):
    room = room_of(name)
    allowed = {room} | (ABOVE | PROGRAM).get(room, set())
    wrong = {used for used in uses(name) if room_of(used) not in allowed}
    rooms = [other for other, may in ABOVE.items() if {room_of(each) for each in uses(name)} <= may | {other}]
    may_import = ", ".join(sorted(allowed - {room})) or "no room"
    assert not wrong, (
        f"{name} imports {', '.join(sorted(wrong))}, and {room} may import {may_import}: "
        f"put it into {' or '.join(rooms) or 'two modules'}, or what it needs of them into a room below {room}"
    )


def test_no_rooms_import_each_other():
    graph: dict[str, set[str]] = {}
    for name in MODULES:
        graph.setdefault(room_of(name), set()).update({room_of(used) for used in uses(name)} - {room_of(name)})
    assert in_order(graph) == "", "move what both need into a room below them"


def test_no_modules_import_each_other():
    """Nor through others: what both need goes into a third one below them.  A package is no module of its own here."""
    graph = {name: {used for used in uses(name) if MODULES[used].stem != "__init__"} for name in MODULES}
    assert in_order(graph) == "", "move what both need into a third module, or say it with a Protocol"


def test_the_table_has_no_circle_and_nothing_for_later():
    assert in_order(ABOVE) == ""
    needed = {room: set() for room in ABOVE}
    for name in MODULES:
        needed.setdefault(room_of(name), set()).update(map(room_of, uses(name)))
    idle = {room: sorted(may - needed[room]) for room, may in ABOVE.items() if may - needed[room] - {"log"}}
    assert idle == {}, "take these out of ABOVE: nobody needs them"


def test_the_core_is_entered_by_its_doors():
    entered = {"/".join(each.split(".")[2:4]): name for name in MODULES for each in names_imported(MODULES[name])
               if each.startswith("fastsip._core.") and each.count(".") > 2}  # fmt: skip
    strange = {f"{name} imports {door}" for door, name in entered.items() if door not in DOORS}
    assert not strange, "ask a module of DOORS for it, or put this one there"
    assert set(entered) == DOORS, "take out of DOORS what nobody imports"


# ---------------------------------------------------------------- the reading itself


def test_imports_are_found_wherever_they_stand(tmp_path):
    path = tmp_path / "some.py"
    path.write_text(
        "import os, fastsip.a.b as c\nfrom fastsip.log import log\nif TYPE_CHECKING:\n    from fastsip.x import Y\n"
        "def late():\n    from fastsip.router import control_plane\n    import_module('fastsip.z')\n"
    )
    found = {"os", "fastsip.a.b", "fastsip.log.log", "fastsip.x.Y", "fastsip.router.control_plane", "fastsip.z"}
    assert set(names_imported(path)) == found


def test_a_circle_is_named():
    assert in_order({"a": {"b"}, "b": {"c"}, "c": set()}) == ""
    assert in_order({"a": {"b"}, "b": {"a"}}) in ("a imports b imports a", "b imports a imports b")
