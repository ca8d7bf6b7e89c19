"""The rules of the house, as design, ARCHITECTURE.md and CONTRIBUTING.md say them.

A new file of the core gets its place in ROOMS and a row in ARCHITECTURE.md, where it
belongs; a file that begins to make system calls is named in SYSTEM_CALLS or, better, stops.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "fastsip" / "_core"
MOST_FILE_LINES, MOST_FUNCTION_LINES, MOST_HEADER_LINES = 600, 60, 200

# Packages in order, and the files of each: a file imports of its own package only what stands before it.
ROOMS = {
    "base": (
        "check", "types", "address", "files", "mapped", "short_ids", "atomics", "buckets", "scarcity", "clock",
        "hashing", "arena", "ring", "lanes",
    ),
    "sip": ("types", "chars", "words", "addresses", "uri", "values", "parser", "edits"),
    "store": ("records", "kinds", "blocks", "slots", "resize", "partitions", "wheel", "marks"),
    "routing": ("types", "patterns", "conditions", "policies", "tiers", "index", "lookup", "header_edits",
        "rule_index", "parts", "table", "rules"),
    "dispatcher": ("ranking", "lines", "paces", "cells", "measures", "positions", "usable", "choose", "chooser",
        "keys"),
    "wire": ("via", "tokens", "loops"),
    "transport": ("resting", "names", "listen", "net_sys", "udp", "local"),
    "state": ("counters", "memory", "hep", "mirror_ring", "mirror", "shard", "events", "outbox", "quota",
        "questions", "recall"),
    "transaction": ("machines", "clocks", "lingering", "client", "replies", "server", "inspect"),
    "health": ("measuring", "probes", "calls"),
    "proxy": ("request", "border", "refusals", "routes", "next_hop", "in_dialog", "parking", "targets",
        "forward", "addresses", "context", "actions", "stateless", "responses", "transport_errors", "requests"),
    "shard": ("round", "workspace", "recovery", "commands", "handover", "loop"),
    "harness": ("image", "virtual_net", "rig"),
}  # fmt: skip
LAYERS = tuple(f"{room}/{name}" for room, names in ROOMS.items() for name in names)
MOST_IN_A_ROOM = 16

# Of which other packages a package may import; of `store`, routing takes the records alone.
MAY_IMPORT = {
    "base": set(),
    "sip": {"base"},
    "store": {"base"},
    "routing": {"base", "sip", "store"},
    "dispatcher": {"base", "sip", "routing"},
    "wire": {"base", "sip", "store", "routing"},
    "transport": {"base", "sip"},
    "state": {"base", "sip", "store", "routing", "dispatcher", "transport"},
    "transaction": {"base", "sip", "store", "routing", "wire", "state"},
    "health": {"base", "sip", "store", "routing", "dispatcher", "wire", "state", "transaction"},
    "proxy": {"base", "sip", "store", "routing", "dispatcher", "wire", "transport", "state", "transaction", "health"},
    "shard": {"base", "sip", "store", "routing", "dispatcher", "transport", "state", "transaction", "health", "proxy"},
    "harness": {"base", "sip", "store", "routing", "dispatcher", "transport", "state", "health", "proxy", "shard"},
}  # fmt: skip

# Sockets and their options; mapped files and shared memory; clocks and the scheduler.
# routing/table asks the kernel for the number of an interface (link-local destinations); harness/virtual_net copies
# what was sent into a pipe of the tests, harness/rig reads numeric addresses, store/slots can end the process at a
# store, base/arena makes what was freed untouchable in debug builds.
SYSTEM_CALLS = {
    "base/files", "base/mapped", "base/clock", "base/arena", "transport/net_sys", "transport/udp", "transport/local",
    "transport/listen", "base/ring", "base/lanes", "store/slots", "store/resize", "store/partitions",
    "dispatcher/lines", "dispatcher/measures", "state/hep", "state/mirror_ring",
    "shard/loop", "routing/parts", "harness/virtual_net", "harness/rig",
}  # fmt: skip
SYSTEM_MODULES = {"os", "socket", "mmap", "fcntl", "select", "selectors", "subprocess", "time", "signal"}
SYSTEM_HEADERS = re.compile(
    r'"<?(sys/|netinet/|net/|linux/|poll\.h|sched\.h|time\.h|unistd\.h|fcntl\.h|signal\.h|pthread\.h)'
)

# Spelled apart, so that this file keeps its own rule.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|NotImplemented" r"Error)\b")


def core_files() -> list[Path]:
    """Sources, without what is generated and the stubs."""
    found = [path for end in ("pyx", "pxd", "py") for path in CORE.rglob(f"*.{end}")]
    return sorted(path for path in found if path.stem != "__init__")


def place_of(path: Path) -> str:
    """As LAYERS names it: package and stem."""
    return str(path.relative_to(CORE).with_suffix(""))


def sources(*ends: str) -> list[Path]:
    """Files of these endings that people wrote."""
    places = (ROOT / "fastsip", ROOT / "tests", ROOT / "bench")
    found = [path for place in places for end in ends for path in place.rglob(f"*.{end}")]
    return sorted(path for path in found if not path.with_suffix(".pyx").exists() or path.suffix != ".c")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def statements(text: str) -> Iterator[str]:
    """Import statements in one line each, parentheses joined, comments gone."""
    text = re.sub(r"#.*", "", text)
    for found in re.finditer(r"^[ \t]*((?:from|c?import)\b[^\n(]*(?:\([^)]*\))?)", text, re.M):
        yield " ".join(found[1].split())


def imported(text: str) -> set[str]:
    """Dotted names that a file imports or cimports; `from a import b` gives both a and a.b."""
    names = set()
    for statement in statements(text):
        found = re.fullmatch(r"from (\S+) c?import \(?(.*?)\)?", statement)
        if found:
            parts = [part.split()[0] for part in found[2].split(",") if part.strip()]
            names |= {found[1], *(f"{found[1]}.{part}" for part in parts)}
        else:
            words = re.sub(r"^c?import ", "", statement)
            names |= {part.split()[0] for part in words.split(",") if part.strip()}
    return names


def imports_of_core(path: Path) -> set[str]:
    """Names of the core's files that this one imports from."""
    found = {re.match(r"fastsip\._core\.(\w+)\.(\w+)", name) for name in imported(path.read_text())}
    return {f"{match[1]}/{match[2]}" for match in found if match} & set(LAYERS) - {place_of(path)}


# ---------------------------------------------------------------- layering


def test_the_rooms_are_those_of_the_files():
    assert len(set(LAYERS)) == len(LAYERS)
    assert set(LAYERS) == {place_of(path) for path in core_files()}
    assert {room: len(names) for room, names in ROOMS.items() if len(names) > MOST_IN_A_ROOM} == {}


def test_the_rooms_are_those_of_the_architecture():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    rows = re.findall(r"^\| `(\w+/\w+)` \|.*\| ([^|]+) \|$", text, re.M)
    assert tuple(name for name, _ in rows) == LAYERS
    assert {name for name, calls in rows if calls != "–"} == SYSTEM_CALLS  # noqa: RUF001
    assert re.findall(r"^### `(\w+)`: ", text, re.M) == list(ROOMS)
    uses = re.findall(r"^May use: (.*)\.$", text, re.M)
    assert [set(re.findall(r"`(\w+)`", line)) for line in uses] == list(MAY_IMPORT.values())


@pytest.mark.parametrize("path", core_files(), ids=lambda path: str(path.relative_to(CORE)))
def test_it_imports_only_what_it_may(path):
    place = place_of(path)
    room, _, name = place.partition("/")
    assert place in LAYERS, f"a new file: give `{name}` its place in ROOMS[{room!r}] and its row in ARCHITECTURE.md"
    before = ROOMS[room][: ROOMS[room].index(name)]
    for other in imports_of_core(path):
        where, _, what = other.partition("/")
        if where == room:
            assert what in before, f"put `{name}` behind `{what}` in ROOMS[{room!r}], or what it needs of it elsewhere"
        else:
            assert where in MAY_IMPORT[room], f"`{room}` may not use `{where}`: move what `{place}` needs of `{other}`"


def test_of_the_store_routing_takes_records_alone():
    users = [path for path in core_files() if place_of(path).startswith("routing/")]
    taken = {name for path in users for name in imports_of_core(path) if name.startswith("store/")}
    assert taken == {"store/records"}


@pytest.mark.parametrize("path", core_files(), ids=lambda path: str(path.relative_to(CORE)))
def test_the_core_imports_nothing_of_the_house_above_it(path):
    ours = {name for name in imported(path.read_text()) if name.split(".")[0] == "fastsip"}
    assert {name for name in ours if not name.startswith("fastsip._core")} == set()


# The one that asks a shard without sockets what it would do, and who asks that one.
EXPLAINS = {"fastsip/router/explain.py": {"fastsip/cli/explain.py"}}


def test_who_explains_is_asked_by_his_command_alone():
    """No process that routes loads the harness."""
    for path, askers in EXPLAINS.items():
        name = path.removesuffix(".py").replace("/", ".")
        assert {name_of(each) for each in sources("py") if each.is_relative_to(ROOT / "fastsip")
                and any(used.startswith(name) for used in imported(each.read_text()))} == askers


def test_what_ships_imports_nothing_of_tests():
    """Nor the harness: one shard without sockets."""
    users = [
        name_of(path)
        for path in sources("py", "pyx", "pxd")
        if path.is_relative_to(ROOT / "fastsip")
        and CORE / "harness" not in path.parents
        and name_of(path) not in EXPLAINS
        and any(re.match(r"tests\b|bench\b|fastsip\._core\.harness\b", name) for name in imported(path.read_text()))
    ]
    assert users == []


def test_kernels_of_tests_stand_in_the_architecture():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    places = {str(path.relative_to(ROOT).with_suffix("")) for where in ("tests", "bench")
              for path in (ROOT / where / "kernels").glob("*.pyx")}  # fmt: skip
    assert set(re.findall(r"^\| `((?:tests|bench)/kernels/\w+)` \|", text, re.M)) == places


def test_importing_is_read_as_it_is_written():
    text = "from fastsip._core.a cimport (b,  # why\n    c as d)\ncimport cython\nimport os, fastsip.x as y\n"
    found = {"fastsip._core.a", "fastsip._core.a.b", "fastsip._core.a.c", "cython", "os", "fastsip.x"}
    assert imported(text) == found


# ---------------------------------------------------------------- system calls


def calls_the_system(path: Path) -> bool:
    text = path.read_text()
    names = imported(text)
    externs = re.findall(r'^cdef extern from ("[^"]+")', text, re.M)
    return (
        any(name.split(".")[0] in SYSTEM_MODULES | {"posix"} for name in names)
        or any(map(SYSTEM_HEADERS.match, externs))
        or "fastsip._core.transport.net_sys" in names
    )


def test_only_these_make_system_calls():
    assert {place_of(path) for path in core_files() if calls_the_system(path)} == SYSTEM_CALLS


def test_only_the_header_of_net_includes_system_headers():
    included = {path.name: re.findall(r"#include <(\w+/)", path.read_text()) for path in CORE.rglob("*.h")}
    assert {name for name, folders in included.items() if folders} == {"net_sys.h"}


# ---------------------------------------------------------------- sizes and leftovers


def python_functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.end_lineno - node.lineno + 1


def cython_functions(path: Path) -> Iterator[tuple[str, int]]:
    """By indentation: a function ends before the next line that stands as far left as its head."""
    lines = [re.sub(r"\s*#.*", "", line) for line in path.read_text().splitlines()]
    head = re.compile(r"( *)(?:def|cdef|cpdef)\b(?!.*\b(?:enum|struct|union|extern|class)\b)[^=]*?(\w+)\(")
    for start, line in enumerate(lines):
        found = head.match(line)
        if not found:
            continue
        body, depth = start + 1, line.count("(") - line.count(")")
        while depth > 0 and body < len(lines):
            depth += lines[body].count("(") - lines[body].count(")")
            body += 1
        if not lines[body - 1].endswith(":"):
            continue  # a declaration
        last = body
        for number, text in enumerate(lines[body:], body + 1):
            if text and len(text) - len(text.lstrip()) <= len(found[1]):
                break
            last = number if text else last
        yield found[2], last - start


def test_no_function_is_too_long():
    found = [(name_of(path), *each) for path in sources("py") for each in python_functions(path)]
    found += [(name_of(path), *each) for path in sources("pyx", "pxd") for each in cython_functions(path)]
    assert len(found) > 1_000  # the readers find what is there
    assert [each for each in found if each[2] > MOST_FUNCTION_LINES] == []


def test_functions_are_measured_as_they_stand(tmp_path):
    path = tmp_path / "some.pyx"
    path.write_text(
        "cdef int only_said(int a) noexcept\n"
        "cdef int first(int a,\n               int b) noexcept nogil:  # why\n"
        "    cdef int c\n\n    return 1\n\n\n"
        "cdef class Some:\n    cdef int number\n\n    def second(self):\n        return 2\n\n\nLAST = 3\n"
    )
    assert list(cython_functions(path)) == [("first", 5), ("second", 2)]


def test_no_file_is_too_long():
    files = sources("py", "pyx", "pxd", "pyi", "c")
    sizes = {name_of(path): len(path.read_text().splitlines()) for path in files}
    assert len(sizes) > 100
    assert {name: lines for name, lines in sizes.items() if lines > MOST_FILE_LINES} == {}


def test_headers_are_short():
    sizes = {name_of(path): len(path.read_text().splitlines()) for path in sources("h")}
    assert sizes and {name: lines for name, lines in sizes.items() if lines > MOST_HEADER_LINES} == {}


def test_nothing_is_left_for_later():
    files = sources("py", "pyx", "pxd", "pyi", "h", "c", "xml", "cfg")
    texts = {name_of(path): path.read_text() for path in files}
    for path in (*ROOT.glob("*.md"), *ROOT.glob("*.toml"), ROOT / "Makefile", ROOT / "setup.py"):
        texts[path.name] = path.read_text()
    found = {name: UNFINISHED.findall(text) for name, text in texts.items() if UNFINISHED.search(text)}
    assert found == {}


def test_each_file_of_the_core_says_what_it_is():
    """A docstring or, in interfaces and headers, a comment comes first."""
    silent = [
        path.name
        for path in (*core_files(), *CORE.rglob("*.h"), *CORE.rglob("*.pyi"))
        if not path.read_text().lstrip().startswith(('"""', "#", "/*"))
    ]
    assert silent == []


# ---------------------------------------------------------------- packaging


def test_every_package_is_shipped():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {name_of(path.parent).replace("/", ".") for path in (ROOT / "fastsip").rglob("__init__.py")}
    assert set(project["tool"]["setuptools"]["packages"]) == packages
