"""Do fastsip and Kamailio choose the same destinations for the same requests?

    python -m tests.tools.same_choices [--calls 10000]          (make same-choices)

Both read the same rows: as Kamailio's list, as its table (there by db_text, here by SQLite), and as that list written
down by `fastsip import`.  The same requests, each with a Call-ID of its own, go to a real Kamailio, whose script
answers whom ds_select_dst has named, and through a real fastsip, whose destinations note who came.  Each reads from one
socket in one process or thread, so that turns are in the order in which the requests left.  Of OpenSIPS there is no
program in Debian 12: its table goes to fastsip alone, as SQLite and as what a database prints, and is compared with
what its documentation says: turns, and the first by priority.

What can be the same depends on the algorithm:

    same      the same destination for each request
    mirrored  the same when equal priorities are read from the other end, as Kamailio puts the last line first
    shares    to each as many requests
    chance    to each as many as chance would give him
    keys      the same ones take part, and each key stays where it was; shares are by chance here, and those there are
              shown
    weights   shares by weight here, and those there are shown
"""

import argparse
import contextlib
import itertools
import os
import random
import re
import select
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.conftest import PORTS, is_free, wait_until
from tests.system.lives import Home

Choices = list[int]     # places of destinations in their set, by request
WINDOW = 64             # requests without an answer at a time
SILENCE_S = 30.0        # nobody answers for so long: something is broken
MOST_TRANSACTIONS = 40_000    # those that only wait for repetitions give way to others
DISABLED = 4
OPENSIPS_DISABLED = 1
KAMAILIO = shutil.which("kamailio", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
MODULES = "/usr/lib/x86_64-linux-gnu/kamailio/modules"

KAMAILIO_CONFIG = """
debug=0
log_stderror=yes
children=1
listen=udp:127.0.0.1:{port}
mpath="{modules}"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "db_text.so"
loadmodule "dispatcher.so"
modparam("dispatcher", "{source}", "{where}")
request_route {{
    if (is_method("OPTIONS") && ds_select_dst("$hdr(X-Set)", "$hdr(X-Algorithm)")) {{
        append_to_reply("X-Chosen: $du\\r\\n");
        sl_send_reply("200", "OK");
    }} else {{
        sl_send_reply("503", "Nobody");
    }}
    exit;
}}
"""
REQUEST = (
    "OPTIONS sip:{number}@example.net SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{call_id}{mark};rport\r\n"
    "Max-Forwards: 70\r\nFrom: <sip:{caller}@example.net>;tag=1\r\nTo: <sip:{callee}@example.org>\r\n"
    "Call-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\nX-Set: {setid}\r\nX-Algorithm: {algorithm}\r\nContent-Length: 0\r\n\r\n"
)


@dataclass(frozen=True)
class Member:
    flags: int = 0
    priority: int = 0
    weight: int = 1     # as both attributes, so that either algorithm has its own


@dataclass(frozen=True)
class Case:
    """One set of both routers; expected: see above."""

    name: str
    algorithm: int
    members: tuple[Member, ...]
    expected: str


def with_priorities(*priorities: int, disabled: Sequence[int] = ()) -> tuple[Member, ...]:
    return tuple(Member(DISABLED if place in disabled else 0, priority) for place, priority in enumerate(priorities))


def with_weights(*weights: int) -> tuple[Member, ...]:
    """Priorities, too, so that both routers have them in one order."""
    return tuple(Member(0, len(weights) - place, weight) for place, weight in enumerate(weights))


SOME_OUT = with_priorities(*range(9, 0, -1), disabled=(1, 6))
CASES = (
    Case("round robin", 4, with_priorities(5, 4, 3, 2, 1), "same"),
    Case("round robin, two disabled", 4, SOME_OUT, "same"),
    Case("round robin, equal priorities", 4, with_priorities(0, 0, 0, 0), "mirrored"),
    Case("priority", 8, with_priorities(1, 9, 5), "same"),
    Case("priority, the first disabled", 8, with_priorities(1, 9, 5, 7, disabled=(1,)), "same"),
    Case("priority, equal ones", 8, with_priorities(0, 0, 0), "mirrored"),
    Case("weight 50, 30, 20", 9, with_weights(50, 30, 20), "shares"),
    Case("relative weight 50, 30, 20", 11, with_weights(50, 30, 20), "shares"),
    Case("relative weight, 51 equal", 11, with_weights(*[1] * 51), "weights"),
    Case("random", 6, with_priorities(4, 3, 2, 1), "chance"),
    Case("Call-ID, two disabled", 0, SOME_OUT, "keys"),
    Case("From, two disabled", 1, SOME_OUT, "keys"),
    Case("To, two disabled", 2, SOME_OUT, "keys"),
    Case("Request-URI, two disabled", 3, SOME_OUT, "keys"),
)


# ---------------------------------------------------------------- requests


class Courier:
    """Sends requests from one socket, a window of them at a time, and gathers who was chosen for each.

    recorders: sockets of destinations in the order of their places, which answer; none where the router itself says in
    X-Chosen who it would have been.
    """

    def __init__(self, router: tuple[str, int], recorders: Sequence[socket.socket]):
        self._router = router
        self._recorders = {one.fileno(): (place, one) for place, one in enumerate(recorders)}
        self._places = {one.getsockname()[1]: place for place, one in enumerate(recorders)}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._chosen: dict[str, int] = {}

    def close(self) -> None:
        self._socket.close()

    def choices(self, setid: int, case: Case, calls: Sequence[str], mark: str) -> Choices:
        """calls: Call-IDs, each once; what else the request has goes by it.  mark: of its branch, so that it is no
        repetition of one before.
        """
        self._chosen, waiting, port = {}, set(), self._socket.getsockname()[1]
        left = iter(calls)
        readers = [self._socket, *(one for _, one in self._recorders.values())]
        while True:
            for call_id in itertools.islice(left, WINDOW - len(waiting)):
                parts = parts_of(call_id)
                text = REQUEST.format(setid=setid, algorithm=case.algorithm, port=port, call_id=call_id,
                                      mark=mark, **parts)  # fmt: skip
                self._socket.sendto(text.encode(), self._router)
                waiting.add(call_id)
            if not waiting:
                return [self._chosen[call_id] for call_id in calls]
            ready, _, _ = select.select(readers, [], [], SILENCE_S)
            if not ready:
                raise RuntimeError(f"{case.name}: no answer to {len(waiting)} requests within {SILENCE_S:.0f} s")
            for one in ready:
                self._take(one, waiting)

    def _take(self, one: socket.socket, waiting: set[str]) -> None:
        datagram, source = one.recvfrom(65_535)
        text = datagram.decode()
        call_id = header(text, "Call-ID")
        if one is not self._socket:
            self._chosen[call_id] = self._recorders[one.fileno()][0]
            one.sendto(answer_to(text).encode(), source)
            return
        if text.startswith("SIP/2.0 1"):
            return  # of a machine that has other things to do
        if not text.startswith("SIP/2.0 200 "):
            raise RuntimeError(f"{text.splitlines()[0]} to {call_id}")
        if chosen := re.search(r"^X-Chosen: sip:127\.0\.0\.1:(\d+)", text, re.M):
            self._chosen[call_id] = self._places[int(chosen[1])]
        waiting.discard(call_id)


def parts_of(call_id: str) -> dict[str, str]:
    """Users of a request, which some of the algorithms go by; the same Call-ID has the same ones."""
    chance = random.Random(call_id)
    return {name: f"{chance.randrange(10**9)}" for name in ("number", "caller", "callee")}


def header(text: str, name: str) -> str:
    found = re.search(rf"^{name}: *(.*?)\r$", text, re.M)
    if not found:
        raise RuntimeError(f"no {name} in {text!r}")
    return found[1]


def answer_to(request: str) -> str:
    kept = [line for line in request.split("\r\n")[1:] if re.match(r"(Via|From|To|Call-ID|CSeq):", line)]
    tagged = [line + ";tag=there" if line.startswith("To:") else line for line in kept]
    return "\r\n".join(("SIP/2.0 200 OK", *tagged, "Content-Length: 0", "", ""))


def call_ids(count: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [f"{chance.randrange(16**12):012x}" for _ in range(count)]


# ---------------------------------------------------------------- rows


Row = tuple[int, int, str, int, int, str]   # id, setid, destination, flags, priority, attrs


def rows_of(cases: Sequence[Case], ports: Sequence[int]) -> list[Row]:
    """Sets count from 1; the place of a member is that of its port."""
    found: list[Row] = []
    for setid, case in enumerate(cases, 1):
        for place, one in enumerate(case.members):
            attrs = f"weight={one.weight};rweight={one.weight}"
            found.append((len(found) + 1, setid, f"sip:127.0.0.1:{ports[place]}", one.flags, one.priority, attrs))
    return found


@dataclass(frozen=True)
class Written:
    """kamailio: parameter of its dispatcher and value, None where it is not asked; fastsip: sources and sets."""

    kamailio: tuple[str, str] | None
    fastsip: str


def write_list(place: Path, rows: Sequence[Row], cases: Sequence[Case]) -> Written:
    path = list_file(place, rows)
    return Written(("list_file", str(path)), f'[[source]]\nkind = "list"\npath = "{path}"\n{sets_of(cases)}')


def write_imported(place: Path, rows: Sequence[Row], cases: Sequence[Case]) -> Written:
    """The same list, whose destinations stand in the configuration."""
    path = list_file(place, rows)
    return Written(("list_file", str(path)), imported("kamailio", path, cases))


def list_file(place: Path, rows: Sequence[Row]) -> Path:
    path = place / "dispatcher.list"
    path.write_text("".join(" ".join(map(str, columns)) + "\n" for _, *columns in rows))
    return path


def write_table(place: Path, rows: Sequence[Row], cases: Sequence[Case]) -> Written:
    """A folder of db_text for Kamailio, and a table of SQLite with the same rows for fastsip."""
    folder = place / "tables"
    folder.mkdir()
    (folder / "version").write_text("table_name(string) table_version(int)\ndispatcher:4\n")
    columns = "id(int,auto) setid(int) destination(string) flags(int) priority(int) attrs(string) description(string)"
    text = [":".join(str(value).replace(":", "\\:") for value in (*row, "-")) for row in rows]
    (folder / "dispatcher").write_text("\n".join((columns, *text, "")))
    with contextlib.closing(sqlite3.connect(place / "kamailio.db")) as database:
        database.execute("CREATE TABLE dispatcher (id INTEGER PRIMARY KEY, setid, destination, flags, priority, attrs)")
        database.executemany("INSERT INTO dispatcher VALUES (?, ?, ?, ?, ?, ?)", rows)
        database.commit()
    source = f'[[source]]\nkind = "sql"\nurl = "sqlite:///{place}/kamailio.db"\n'
    return Written(("db_url", f"text://{folder}"), source + sets_of(cases))


OPENSIPS_COLUMNS = ("id", "setid", "destination", "socket", "state", "probe_mode", "weight", "priority", "attrs",
                    "description")  # fmt: skip


def opensips_rows(rows: Sequence[Row]) -> list[tuple]:
    """The same sets as OpenSIPS' table has them."""
    return [(number, setid, uri, None, OPENSIPS_DISABLED if flags & DISABLED else 0, 0, attrs.rpartition("=")[2],
             priority, None, None) for number, setid, uri, flags, priority, attrs in rows]  # fmt: skip


def write_opensips(place: Path, rows: Sequence[Row], cases: Sequence[Case]) -> Written:
    with contextlib.closing(sqlite3.connect(place / "opensips.db")) as database:
        database.execute(f"CREATE TABLE dispatcher ({', '.join(OPENSIPS_COLUMNS)}, PRIMARY KEY (id))")
        marks = ", ".join("?" * len(OPENSIPS_COLUMNS))
        database.executemany(f"INSERT INTO dispatcher VALUES ({marks})", opensips_rows(rows))
        database.commit()
    source = f'[[source]]\nkind = "sql"\ncolumns = "opensips"\nurl = "sqlite:///{place}/opensips.db"\n'
    return Written(None, source + sets_of(cases))


def write_opensips_imported(place: Path, rows: Sequence[Row], cases: Sequence[Case]) -> Written:
    """As `mysql --batch` prints that table."""
    path = place / "opensips.txt"
    printed = [("NULL" if value is None else str(value) for value in row) for row in opensips_rows(rows)]
    path.write_text("".join("\t".join(line) + "\n" for line in (OPENSIPS_COLUMNS, *printed)))
    return Written(None, imported("opensips", path, cases))


def sets_of(cases: Sequence[Case]) -> str:
    return "".join(f"[set.{setid}]\nsetid = {setid}\nalgorithm = {case.algorithm}\ntiers = false\n"
                   for setid, case in enumerate(cases, 1))  # fmt: skip


def imported(router: str, path: Path, cases: Sequence[Case]) -> str:
    """What `fastsip import` prints, with the algorithms that it leaves to the operator."""
    argv = [sys.executable, "-m", "fastsip", "import", router, str(path)]
    text = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout

    def with_algorithm(found: re.Match[str]) -> str:
        return f"{found[0]}\nalgorithm = {cases[int(found[1]) - 1].algorithm}"

    return re.sub(r"^setid = (\d+)$", with_algorithm, text, flags=re.M)


FORMS: dict[str, Callable[[Path, Sequence[Row], Sequence[Case]], Written]] = {
    "list": write_list, "table": write_table, "list, imported": write_imported, "opensips": write_opensips,
    "opensips, imported": write_opensips_imported,
}  # fmt: skip


# ---------------------------------------------------------------- routers


def free_port() -> int:
    return next(port for port in itertools.islice(PORTS, 12_000) if is_free("127.0.0.1", port))


@contextlib.contextmanager
def destinations(count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            one = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            one.bind(("127.0.0.1", 0))
            found.append(one)
        yield found


@contextlib.contextmanager
def kamailio(place: Path, source: str, where: str) -> Iterator[tuple[str, int]]:
    """A Kamailio that says whom it would send to; its address, when it answers."""
    if KAMAILIO is None:
        raise RuntimeError("kamailio is missing: apt-get install kamailio")
    port, config = free_port(), place / "kamailio.cfg"
    config.write_text(KAMAILIO_CONFIG.format(port=port, modules=MODULES, source=source, where=where))
    argv = [KAMAILIO, "-f", config, "-DD", "-E", "-m", "64", "-M", "8", "-w", place, "-Y", place]
    with open(place / "kamailio.log", "w") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        wait_until(lambda: process.poll() is not None or answers(port))
        if process.poll() is not None:
            raise RuntimeError(f"kamailio ended: {(place / 'kamailio.log').read_text()[-2000:]}")
        yield "127.0.0.1", port
    finally:
        process.terminate()
        process.wait(20)


def answers(port: int) -> bool:
    """Does it answer a request that it chooses nobody for?"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(0.2)
        one.connect(("127.0.0.1", port))
        text = REQUEST.format(setid=0, algorithm=4, port=one.getsockname()[1], call_id="start", mark="",
                              **parts_of("start"))  # fmt: skip
        try:
            one.send(text.replace("OPTIONS", "MESSAGE").encode())
            return one.recv(65_535).startswith(b"SIP/2.0 ")
        except (TimeoutError, ConnectionRefusedError):
            return False


@contextlib.contextmanager
def fastsip(place: Path, cases: Sequence[Case], sets: str) -> Iterator[tuple[str, int]]:
    address = "127.0.0.1", free_port()
    rules = "".join(f'[[route]]\nto = "{setid}"\nwhen = {{ header = {{ X-Set = "{setid}" }} }}\n'
                    for setid in range(1, len(cases) + 1))
    home = Home(place / "fastsip")
    try:
        home.start(f"""
[router]
run_dir = "@RUN_DIR@"
state_dir = "@STATE_DIR@"
shards = 1
[[listen]]
uri = "udp:{address[0]}:{address[1]}"
[limits]
max_transactions = {MOST_TRANSACTIONS}
{sets}{rules}""").ready()
        yield address
    finally:
        for life in home.lives:
            life.kill()


# ---------------------------------------------------------------- what comes of it


@dataclass(frozen=True)
class Found:
    """theirs: [] where there is nobody to compare with; again: of the same requests once more, where keys count."""

    case: Case
    ours: Choices
    theirs: Choices
    ours_again: Choices
    theirs_again: Choices


def usable(case: Case) -> list[int]:
    """Places that take calls: the highest priority first, and the list's order among equals."""
    there = [place for place, one in enumerate(case.members) if not one.flags & DISABLED]
    return sorted(there, key=lambda place: -case.members[place].priority)


def mirrored(case: Case, choices: Choices) -> Choices:
    """As if those of equal priority stood the other way round."""
    def other(place: int) -> int:
        alike = [one for one in range(len(case.members)) if case.members[one].priority == case.members[place].priority]
        return alike[-1 - alike.index(place)]

    return [other(place) for place in choices]


def problem(found: Found) -> str:
    """What is not as it is expected; "" when all is."""
    return CHECKS[found.case.expected](found)


def _same(found: Found) -> str:
    return _differences(found.ours, found.theirs)


def _mirrored(found: Found) -> str:
    return _differences(found.ours, mirrored(found.case, found.theirs))


def _differences(ours: Choices, theirs: Choices) -> str:
    differ = [at for at, (one, other) in enumerate(zip(ours, theirs, strict=True)) if one != other]
    return f"{len(differ)} of {len(ours)} differ, the first at {differ[0]}" if differ else ""


def _shares(found: Found) -> str:
    ours, theirs = Counter(found.ours), Counter(found.theirs)
    return "" if ours == theirs else f"{_text(ours)} and {_text(theirs)}"


def _by_weight(found: Found) -> str:
    """Each as many as his weight says, and one call more or less."""
    total = sum(one.weight for one in found.case.members)
    fair = [len(found.ours) * one.weight / total for one in found.case.members]
    off = {place: count for place, count in Counter(found.ours).items() if abs(count - fair[place]) > 1}
    return f"not by weight: {off}" if off else ""


def _by_chance(found: Found) -> str:
    return _spread(found.case, found.ours) or _spread(found.case, found.theirs)


def _by_keys(found: Found) -> str:
    if found.theirs and {*found.theirs} != {*found.ours}:
        return f"others take part there: {sorted({*found.theirs})}"
    return (_spread(found.case, found.ours) or _differences(found.ours, found.ours_again)
            or _differences(found.theirs, found.theirs_again))  # fmt: skip


def _spread(case: Case, choices: Choices) -> str:
    """Within five standard deviations of a binomial distribution: beyond by chance once in a million times."""
    there, counts = usable(case), Counter(choices)
    if set(counts) != set(there):
        return f"{sorted(counts)} instead of {sorted(there)}"
    fair = len(choices) / len(there)
    off = [place for place in there if abs(counts[place] - fair) > 5 * (fair * (1 - 1 / len(there))) ** 0.5]
    return f"too many or too few at {off}: {_text(counts)}" if off else ""


CHECKS: dict[str, Callable[[Found], str]] = {
    "same": _same, "mirrored": _mirrored, "shares": _shares, "weights": _by_weight, "chance": _by_chance,
    "keys": _by_keys,
}  # fmt: skip


def _text(counts: Counter[int]) -> str:
    """The largest shares of a hundred, the largest first."""
    total = counts.total()
    shown = [f"{100 * count / total:.1f}" for _, count in counts.most_common(5)]
    return " ".join(shown) + (" ..." if len(counts) > 5 else "")


def compare(place: Path, cases: Sequence[Case], calls: int, form: str) -> Iterator[Found]:
    """form: one of FORMS."""
    nothing: list[Choices] = [[] for _ in cases]
    theirs, theirs_again = nothing, nothing
    with destinations(max(len(case.members) for case in cases)) as there:
        rows = rows_of(cases, [one.getsockname()[1] for one in there])
        written = FORMS[form](place, rows, cases)
        if written.kamailio:
            with kamailio(place, *written.kamailio) as router:
                theirs, theirs_again = asked(router, there, cases, calls)
        with fastsip(place, cases, written.fastsip) as router:
            ours, ours_again = asked(router, there, cases, calls)
    for found in zip(cases, ours, theirs, ours_again, theirs_again, strict=True):
        yield Found(*found) if written.kamailio else as_documented(Found(*found))


def asked(
    router: tuple[str, int], there: list[socket.socket], cases: Sequence[Case], calls: int
) -> tuple[list[Choices], list[Choices]]:
    """Choices of each case; and of the same requests once more, where keys count."""
    courier, first, again = Courier(router, there), [], []
    try:
        for setid, case in enumerate(cases, 1):
            calls_of = call_ids(calls, setid)
            first.append(courier.choices(setid, case, calls_of, "a"))
            again.append(courier.choices(setid, case, calls_of, "b") if case.expected == "keys" else [])
    finally:
        courier.close()
    return first, again


# Of OpenSIPS nothing is known of the order of equal priorities, and a weight is a run of turns there.
OPENSIPS_CASES = tuple(case for case in CASES if case.algorithm in (0, 4, 8) and case.expected != "mirrored")


def as_documented(found: Found) -> Found:
    """What OpenSIPS would choose, by its documentation; of hashes it says only that a key stays."""
    there = usable(found.case)
    turns = {4: itertools.cycle(there), 8: itertools.repeat(there[0])}.get(found.case.algorithm, ())
    return replace(found, theirs=list(itertools.islice(turns, len(found.ours))))


def show(place: Path, cases: Sequence[Case], calls: int, form: str) -> int:
    """Prints a line for each case; how many are not as expected."""
    wrong = 0
    print(f"\n{form:<30} {'expected':<9} {'here, of a hundred':<29} {'there':<29} {calls:,} Call-IDs each")
    for found in compare(place, cases, calls, form):
        said = problem(found)
        wrong += bool(said)
        theirs = _text(Counter(found.theirs)) if found.theirs else "-"
        print(f"{found.case.name:<30} {found.case.expected:<9} {_text(Counter(found.ours)):<29} {theirs:<29} "
              f"{said or 'as expected'}", flush=True)  # fmt: skip
    return wrong


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=10_000, help="Call-IDs of each case, a multiple of 100")
    calls = parser.parse_args(words).calls
    wrong = 0
    for form in FORMS:
        cases = OPENSIPS_CASES if form.startswith("opensips") else CASES
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        with tempfile.TemporaryDirectory(prefix="fastsip-same-", dir=memory) as place:
            wrong += show(Path(place), cases, calls, form)
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
