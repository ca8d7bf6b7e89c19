"""A TOML file in, a frozen Config out, or one ConfigError with everything that is wrong.

Reads in two steps: each table by itself, then what refers from one table to another.  The key file of the
router's secret is touched only after everything else was found right, and made only when asked for.
"""

import os
import re
import socket
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from fastsip._core.base.files import look_at, read_file
from fastsip.base.litter import uncollected
from fastsip.base.run_dir import PLACEMENT, SECRET
from fastsip.config import secrets, values
from fastsip.config.api import read_api
from fastsip.config.errors import ConfigError, Problem, Wrong
from fastsip.config.headers import read_ways
from fastsip.config.hep import read_hep
from fastsip.config.language import MAX_LISTENERS, MAX_NAMED_DESTINATIONS, MAX_SHARDS
from fastsip.config.model import Config, Limits, Listener, Resolve, Router, Timers
from fastsip.config.names import read_names
from fastsip.config.otel import read_otel
from fastsip.config.reader import Enough, Report, Section
from fastsip.config.routes import read_policies, read_rules
from fastsip.config.sets import read_sets
from fastsip.config.short_names import check_destinations, check_tags
from fastsip.config.sources import Fresh, all_of_them, read_sources, take_rows
from fastsip.config.targets import names_of, with_answers
from fastsip.config.webhooks import read_webhooks
from fastsip.resolve.answers import Answers, read_answers

T = TypeVar("T")

HOUR_MS = 3_600_000
MAX_CONTROL_PATH_BYTES = 90  # a UNIX socket's path has 107; run_dir gets what its file names leave


def load(path: str | os.PathLike[str], *, make_secret: bool = True, fresh: Fresh = all_of_them) -> Config:
    """The configuration in the file `path`; `fresh` as of load_text, and names have the targets that they had last.

    make_secret: makes a missing key file in state_dir; without it `secret_keys` stays empty then.
    Raises ConfigError, never OSError.
    """
    return load_text(read_text(path), os.fspath(path), make_secret=make_secret, fresh=fresh)


def read_text(path: str | os.PathLike[str]) -> str:
    """What load_text is given.  Raises ConfigError, never OSError."""
    file = os.fspath(path)
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise _whole_file(file, 0, f"the file cannot be read: {error.strerror}") from None
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise _whole_file(file, raw.count(b"\n", 0, error.start) + 1, "the text is not UTF-8") from None


def load_text(
    text: str, file: str, *, make_secret: bool = True, fresh: Fresh = all_of_them, answers: Answers | None = None
) -> Config:
    """Like load, from text; relative paths in it count from the directory of `file`.

    fresh: which sources are read anew; of others what was read last counts.
    answers: what DNS says of names, None = what is kept of it; nobody is asked.
    """
    with uncollected():
        return _read(text, file, lambda loader: loader.config(make_secret, fresh, answers))


def load_run_dir(path: str | os.PathLike[str]) -> str:
    """Where the router is found that runs on the file `path`: nobody else looks at the other tables for that.

    Raises ConfigError, never OSError.
    """
    with uncollected():
        return _read(_router_part(read_text(path)), os.fspath(path), _Loader.run_dir)


def _router_part(text: str) -> str:
    """The text up to the table behind [router], when that is understood and has run_dir: nothing behind changes it."""
    start = re.search(r"^\[router\]", text, re.MULTILINE)
    end = re.compile(r"^[ \t]*\[", re.MULTILINE).search(text, start.end()) if start else None
    part = text[: end.start()].replace("\r\n", "\n") if end else text
    try:
        known = len(part) < len(text) // 2 and "run_dir" in tomllib.loads(part)["router"]
    except (ValueError, RecursionError, KeyError, TypeError):
        known = False
    return part if known else text


def _read(text: str, file: str, take: Callable[["_Loader"], T]) -> T:
    text = text.replace("\r\n", "\n")
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number or a nesting beyond all measure
        raise _syntax(file, text, str(error)) from None
    report = Report(file, text)
    try:
        return take(_Loader(raw, file, report))
    except Enough:
        report.raise_if_any()
        raise


def _whole_file(file: str, line: int, allowed: str) -> ConfigError:
    return ConfigError((Problem(file=file, line=line, key="", found="", allowed=allowed),))


def _syntax(file: str, text: str, message: str) -> ConfigError:
    """tomllib's message with its place: "... (at line 3, column 8)" or "... (at end of document)"."""
    found = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    if found:
        return _whole_file(file, int(found[1]), f"{message[: found.start()]} (column {found[2]}); not TOML")
    line = text.rstrip("\n").count("\n") + 1
    return _whole_file(file, line, f"{message}; not TOML")


def _default_name() -> str:
    """The host name, with what a SIP user part or a file name could not hold replaced."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:64] or "fastsip"


def _environment_dir(variable: str) -> Path | None:
    """A directory named by the environment; relative ones do not count (XDG base directory rules)."""
    place = os.environ.get(variable, "")
    return Path(place) if place.startswith("/") else None


def default_run_dir() -> Path:
    """Where transactions live: a tmpfs, which systemd names, /run/fastsip for root."""
    given = _environment_dir("RUNTIME_DIRECTORY")
    if given:
        return given
    if os.geteuid() == 0:
        return Path("/run/fastsip")
    own = _environment_dir("XDG_RUNTIME_DIR")
    if own and own.is_dir():
        return own / "fastsip"
    return Path(f"/dev/shm/fastsip-{os.geteuid()}")


def default_state_dir() -> Path:
    """Where lives what outlives a boot: which systemd names, /var/lib/fastsip for root."""
    given = _environment_dir("STATE_DIRECTORY")
    if given:
        return given
    if os.geteuid() == 0:
        return Path("/var/lib/fastsip")
    return (_environment_dir("XDG_STATE_HOME") or Path.home() / ".local/state") / "fastsip"


def _shards(raw: object) -> int:
    """ "auto" is one shard per CPU that this process may use."""
    if raw == "auto":
        return min(len(os.sched_getaffinity(0)), MAX_SHARDS)
    if isinstance(raw, str | bool):
        raise Wrong(f'allowed: "auto" or a whole number from 1 to {MAX_SHARDS}')
    return values.integer(1, MAX_SHARDS)(raw)


class _Loader:
    """One pass over one file."""

    def __init__(self, raw: dict[str, Any], file: str, report: Report) -> None:
        self.file = file
        self.base = Path(file).resolve().parent
        self.report = report
        self.root = Section(raw, (), "", report)

    def config(self, make_secret: bool, fresh: Fresh = all_of_them, answers: Answers | None = None) -> Config:
        section = self.root.section("router", "router")
        router = self._router(section)
        listeners = self._listeners()
        sources = read_sources(self.root, self.base, Path(router.state_dir), keep=make_secret, fresh=fresh)
        sets = read_sets(self.root, listeners, router.name)
        if (count := sum(len(group.names) for group, _ in sets)) > MAX_NAMED_DESTINATIONS:
            allowed = f"allowed: at most {MAX_NAMED_DESTINATIONS} of them are names"
            self.report.add(("set",), f"{count} destinations", allowed)
        config = Config(
            file=self.file,
            router=router,
            listeners=listeners,
            timers=self._timers(),
            limits=self._limits(),
            sets=take_rows(sources, sets, listeners, router.name),
            policies=read_policies(self.root),
            rules=read_rules(self.root, listeners),
            names=read_names(self.root, listeners),
            resolve=self._resolve(),
            sources=tuple(source.facts() for source in sources),
            webhooks=read_webhooks(self.root, self.base),
            otel=read_otel(self.root, self.base, router.name),
            api=read_api(self.root, self.base),
            hep=read_hep(self.root, self.base, router.name, listeners),
        )
        check_tags(config.listeners, self.report)
        check_destinations(config.sets, self.report)
        keys, secret_file = self._secret(section, Path(router.state_dir), make_secret)
        self.report.raise_if_any()
        placement = self._placement(section, Path(router.state_dir), keys, make_secret)
        self.report.raise_if_any()
        router = msgspec.structs.replace(router, secret_keys=keys, secret_file=secret_file, placement_key=placement)
        return self._with_targets(msgspec.structs.replace(config, router=router), answers)

    @staticmethod
    def _with_targets(config: Config, answers: Answers | None) -> Config:
        if answers is None and any(names_of(config)):
            answers = read_answers(config.router.state_dir, config.resolve.stale_ms / 1000)
        return with_answers(config, answers or {}, time.time())

    def run_dir(self) -> str:
        """The one key of [router] by which others find it."""
        found = self._run_dir_of(self.root.section("router", "router"))
        if self.report.touches("router"):
            self.report.raise_if_any()
        return found

    def _run_dir_of(self, section: Section) -> str:
        return section.take("run_dir", self._run_dir, str(default_run_dir()))

    def _router(self, section: Section) -> Router:
        """[router] without its secret, which is read last."""
        return Router(
            name=section.take("name", values.name, _default_name()),
            shards=section.take("shards", _shards, _shards("auto")),
            run_dir=self._run_dir_of(section),
            state_dir=section.take("state_dir", self._directory, str(default_state_dir())),
            domains=section.take_list("domains", values.host_port),
            trusted=section.take_list("trusted", values.network),
            secret_keys=(),
            secret_file="",
            placement_key=b"",
            stop_mode=section.take("stop_mode", values.one_of("leave", "drain"), "leave"),
            hang_ms=section.take("hang", values.duration(2_000, 60_000), 5_000),
            hang_loop_ms=section.take("hang_loop", values.duration(2_000, 600_000), 60_000),
        )

    def _directory(self, raw: object) -> str:
        """A directory; relative to the config file, ~ is the user's."""
        return str(self.base / Path(values.text(raw)).expanduser())

    def _run_dir(self, raw: object) -> str:
        place = self._directory(raw)
        if len(os.fsencode(place)) > MAX_CONTROL_PATH_BYTES:
            raise Wrong(f"allowed: a path of at most {MAX_CONTROL_PATH_BYTES} bytes, for its socket")
        return place

    def _secret(self, router: Section, state_dir: Path, make: bool) -> tuple[tuple[bytes, ...], str]:
        """The keys, and the key file when it is the router's own."""
        if "secret" in router:
            raw = router.raw["secret"]
            if isinstance(raw, list) and len(raw) > 2:
                allowed = "allowed: one, or two during rotation"
                self.report.add((*router.path, "secret"), f"{len(raw)} secrets", allowed)
                return (), ""
            return router.take_list("secret", lambda item: secrets.read_secret(item, self.base)), ""
        self.report.raise_if_any()
        place = state_dir / SECRET
        try:
            return secrets.read_or_make(place, make), str(place)
        except Wrong as wrong:
            hint = 'or name a secret: secret = "file:PATH"'
            self.report.add((*router.path, "state_dir"), "", wrong.allowed, hint)
            return (), ""

    def _placement(self, router: Section, state_dir: Path, keys: tuple[bytes, ...], make: bool) -> bytes:
        read = read_file if make else look_at
        try:
            return secrets.placement_key(state_dir / PLACEMENT, keys[0], read) if keys else b""
        except Wrong as wrong:
            self.report.add((*router.path, "state_dir"), "", wrong.allowed)
            return b""

    def _listeners(self) -> tuple[Listener, ...]:
        listeners: list[Listener] = []
        taken: dict[str, int] = {}
        for index, section in enumerate(self.root.listed("listen", "listen")):
            address = section.need("uri", values.listen_address, None, 'for example "udp:192.0.2.1:5060"')
            advertise = section.take("advertise", values.host_port, "")
            contact = section.take("contact", values.host_port, "")
            rcvbuf_bytes = section.take("rcvbuf", values.size(4096, 1 << 30), 8 << 20)
            tag = section.take("tag", values.name, "")
            headers_in, headers_out = read_ways(section, "in", "out")
            if address is None:
                continue
            uri = section.raw["uri"]
            if str(address) in taken:
                self.report.add(
                    (*section.path, "uri"), f'"{uri}"', f"listen[{taken[str(address)] + 1}] has this address"
                )
            taken.setdefault(str(address), index)
            listeners.append(
                Listener(
                    uri=uri,
                    transport="udp",
                    host=address.host,
                    port=address.port,
                    family=address.family,
                    tag=tag or uri,
                    advertise=advertise,
                    sent_by=advertise or str(address),
                    contact=contact,
                    rcvbuf_bytes=rcvbuf_bytes,
                    headers_in=headers_in,
                    headers_out=headers_out,
                )
            )
        self._count_listeners(len(listeners))
        return tuple(listeners)

    def _count_listeners(self, count: int) -> None:
        if not count and not self.report.touches("listen"):
            allowed = '`[[listen]]` is missing: a router needs an address, such as uri = "udp:192.0.2.1:5060"'
            self.report.add(("listen",), "", allowed)
        if count > MAX_LISTENERS:
            self.report.add(("listen",), f"{count} listeners", f"allowed: at most {MAX_LISTENERS}")

    def _timers(self) -> Timers:
        section = self.root.section("timers", "timers")
        t1_ms = section.take("t1", values.duration(10, 60_000), 500)
        t2_ms = section.take("t2", values.duration(10, 60_000), 4_000)
        t4_ms = section.take("t4", values.duration(10, 60_000), 5_000)
        c_ms = section.take("c", self._timer_c, 181_000)
        if t2_ms < t1_ms and not self.report.touches("timers"):
            self.report.add(
                ("timers", "t2"), values.ms_text(t2_ms), f"allowed: at least t1, {values.ms_text(t1_ms)}"
            )
        return Timers(t1_ms=t1_ms, t2_ms=t2_ms, t4_ms=t4_ms, c_ms=c_ms)

    @staticmethod
    def _timer_c(raw: object) -> int:
        ms = values.duration(1, HOUR_MS)(raw)
        if ms <= 180_000:
            raise Wrong('allowed: more than 3 minutes (RFC 3261 section 16.6 item 11), for example "181s"')
        return ms

    def _resolve(self) -> Resolve:
        section = self.root.section("resolve", "resolve")
        return Resolve(target_timeout_ms=section.take("target_timeout", values.duration(100, 60_000), 4_000),
                       stale_ms=section.take("stale", values.duration(0, 7 * 24 * HOUR_MS), 24 * HOUR_MS))

    def _limits(self) -> Limits:
        section = self.root.section("limits", "limits")
        return Limits(
            max_transactions=section.take("max_transactions", values.integer(64, 10_000_000), 20_000),
            max_message_bytes=section.take("max_message", values.size(1_300, 65_535), 65_535),
            max_head_bytes=section.take("max_head", values.size(1_300, 65_535), 8_192),
            max_names=section.take("max_names", values.integer(2_048, 262_144), 4_096),
            names_per_source=section.take("names_per_source", values.integer(1, 1_000_000), 20),
            names_burst=section.take("names_burst", values.integer(1, 1_000_000), 100),
        )
