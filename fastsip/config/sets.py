"""The tables [set.NAME]: destinations, how they are chosen and probed, which listener they are reached from.

Learned state is bound to a destination's id: given, or made of set and URI, so that reordering a file
forgets nothing.  See docs/design.md#dispatcher, docs/wire.md#usable-destinations and
docs/wire.md#tiers-and-weights.
"""

import ipaddress
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import msgspec

from fastsip.config import values
from fastsip.config.errors import Path, Wrong, did_you_mean, shown
from fastsip.config.headers import probe_headers, read_ways
from fastsip.config.language import (
    ADMINS,
    ALGORITHMS,
    MAX_ATTEMPTS,
    MAX_BURST_S,
    MAX_CALLS_PER_SECOND,
    MAX_ID_BYTES,
    MAX_TARGET_BYTES,
)
from fastsip.config.model import CallLimit, Destination, DestinationSet, Listener, NamedDestination, Probe
from fastsip.config.reader import Report, Section, listed

# Many gateways answer OPTIONS with 403, 405 or 501 and are well (docs/wire.md#probes).
DEFAULT_ACCEPT = tuple(code for code in range(200, 700) if code not in (408, 500, 503, 504))
ANSWERING_ALLOWED = "allowed with `answering = true`: loopback addresses only, as fastsip itself answers there"
PROBE_MODES = ("all", "only-failed", "marked", "none")
DAY_MS = 86_400_000

PROBE_DEFAULTS: dict[str, Any] = {
    "method": "OPTIONS",
    "interval": 10_000,
    "timeout": 2_000,
    "rise": 1,
    "fall": 2,
    "mode": "all",
    "from": "",  # made of the router's name and the listener
    "accept": DEFAULT_ACCEPT,
    "headers": (("Accept", "application/sdp"),),
}
PROBE_READERS: dict[str, values.Reader] = {
    "method": values.method,
    "interval": values.duration(100, DAY_MS),
    "timeout": values.duration(50, DAY_MS),
    "rise": values.integer(1, 255),
    "fall": values.integer(1, 255),
    "mode": values.one_of(*PROBE_MODES),
    "from": values.from_uri,
    "headers": probe_headers,
}


class OfRows(NamedTuple):
    """What a set says of destinations that do not stand in its table."""

    wanted: str  # probes of all | flagged: those whose source asks for it | none
    probe: Probe  # without from_uri, unless the set has one: their listener makes it
    calls: CallLimit | None


def read_sets(
    root: Section, listeners: tuple[Listener, ...], router_name: str
) -> list[tuple[DestinationSet, OfRows]]:
    """All sets in the order of the file."""
    seen_ids: dict[str, str] = {}
    seen_setids: dict[int, str] = {}
    failures = root.names_under("failure")
    sets = []
    for name, section in root.named("set", "set"):
        section.read(section.path, name, values.name, "")
        reader = _SetReader(name, section, listeners, router_name, seen_ids, failures, "source" in root)
        group, probes = reader.read()
        if group.setid is not None and seen_setids.setdefault(group.setid, name) != name:
            owner = seen_setids[group.setid]
            root.report.add(
                (*section.path, "setid"), str(group.setid), f'allowed: one set each; set "{owner}" has it'
            )
        sets.append((group, probes))
    return sets


def _attrs(raw: object) -> tuple[tuple[str, str | int | float | bool], ...]:
    if not isinstance(raw, dict) or not all(
        isinstance(value, str | int | float | bool) for value in raw.values()
    ):
        raise Wrong('allowed: a table of plain values such as { site = "east" }')
    return tuple(raw.items())


def in_places(
    found: Iterable[Destination | NamedDestination],
) -> tuple[tuple[Destination, ...], tuple[NamedDestination, ...]]:
    """Those with addresses, and the names, each with its place among the others."""
    fixed: list[Destination] = []
    names: list[NamedDestination] = []
    for one in found:
        if isinstance(one, Destination):
            fixed.append(one)
        else:
            names.append(msgspec.structs.replace(one, behind=len(fixed)))
    return tuple(fixed), tuple(names)


def probe_of(keys: dict[str, Any]) -> Probe:
    """The checked keys of `probe`, as what they make."""
    return Probe(
        method=keys["method"],
        interval_ms=keys["interval"],
        timeout_ms=keys["timeout"],
        rise=keys["rise"],
        fall=keys["fall"],
        mode=keys["mode"],
        from_uri=keys["from"],
        accept=keys["accept"],
        headers=keys["headers"],
    )


def call_limit(section: Section, prefix: str = "") -> CallLimit | None:
    """Of `calls_per_second` and `calls_at_once`; None when there is no limit."""
    each, burst = f"{prefix}calls_per_second", f"{prefix}calls_at_once"
    rate = section.take(each, values.integer(1, MAX_CALLS_PER_SECOND), None)
    at_once = section.take(burst, values.integer(1, MAX_BURST_S * MAX_CALLS_PER_SECOND), None)
    if rate is None:
        if at_once is not None and not section.report.touches(*section.path, each):
            section.report.add((*section.path, burst), str(at_once), f"allowed: only with {each}")
        return None
    if at_once is not None and at_once > MAX_BURST_S * rate:
        allowed = f"allowed: at most {MAX_BURST_S * rate}, which come in {MAX_BURST_S} s"
        section.report.add((*section.path, burst), str(at_once), allowed)
    return CallLimit(per_second=rate, at_once=at_once or max(1, rate // 10))


def from_listener(probe: Probe, listeners: tuple[Listener, ...], listener: int, router_name: str) -> Probe:
    """The same, with a From for what leaves by this listener when it has none."""
    sent_by = listeners[listener].sent_by if listeners else ""
    return msgspec.structs.replace(probe, from_uri=probe.from_uri or f"sip:{router_name}@{sent_by}")


def listener_name(raw: object) -> str:
    """What a destination calls its listener: a tag, or an address as "udp:192.0.2.1:5060", which no tag looks like."""
    name = values.text(raw)
    if ":" in name:
        values.listen_address(name)
    return name


def find_listener(listeners: tuple[Listener, ...], family: int, name: str) -> int | None:
    """Index of the first listener of that family with this `listener_name`; "": of any name."""
    place = values.listen_address(name) if ":" in name else None
    for index, one in enumerate(listeners):
        fits = name in ("", one.tag) if place is None else (one.host, one.port) == (place.host, place.port)
        if one.family == family and fits:
            return index
    return None


class _SetReader:
    """One set."""

    def __init__(
        self,
        name: str,
        section: Section,
        listeners: tuple[Listener, ...],
        router_name: str,
        seen_ids: dict[str, str],
        failures: Collection[str],
        with_sources: bool,
    ) -> None:
        self.name = name
        self.section = section
        self.report: Report = section.report
        self.listeners = listeners
        self.router_name = router_name
        self.seen_ids = seen_ids
        self.failures = failures
        self.with_sources = with_sources
        self.own = {(listener.host, listener.port) for listener in listeners}
        self.listen = ""
        self.answering = False
        self.each_calls: CallLimit | None = None

    def read(self) -> tuple[DestinationSet, OfRows]:
        section = self.section
        algorithm = section.take("algorithm", values.algorithm, "call-id")
        self.listen = self._listen_tag()
        self.answering = section.take("answering", values.boolean, False)
        probe = self._probe_keys(section, None)
        self.each_calls = call_limit(section, "each_")
        destinations, names = in_places(self._destinations(probe))
        group = DestinationSet(
            name=self.name,
            setid=section.take("setid", values.integer(0, 0x7FFF_FFFF), None),
            algorithm=algorithm,
            algorithm_number=ALGORITHMS[algorithm],
            key=self._key(algorithm),
            limit=section.take("limit", values.integer(1, MAX_ATTEMPTS), MAX_ATTEMPTS),
            ruri=section.take("ruri", values.one_of("keep", "host", "uri"), "keep"),
            listen=self.listen,
            in_dialog=section.take("in_dialog", values.one_of("pinned", "shared"), "pinned"),
            in_dialog_failure=self._in_dialog_failure(),
            tiers=section.take("tiers", values.boolean, True),
            when_all_down=section.take("when_all_down", values.one_of("fail", "try"), "fail"),
            retry_ms=section.take("retry", values.duration(1_000, DAY_MS), 30_000),
            retry_after_max_ms=section.take("retry_after_max", values.duration(0, DAY_MS), 60_000),
            call_fall=section.take("call_fall", values.integer(1, 255), 0),
            call_rise=section.take("call_rise", values.integer(1, 255), 0),
            damping_ms=section.take("damping", values.duration(0, DAY_MS), 0),
            calls=call_limit(section),
            headers_out=read_ways(section, "out")[0],
            answering=self.answering,
            destinations=destinations,
            names=names,
        )
        return group, OfRows(self._probes_wanted(), probe_of(probe or PROBE_DEFAULTS), self.each_calls)

    def _listen_tag(self) -> str:
        """The tag of the listener this set is reached from."""
        tag = self.section.take("listen", values.text, "")
        tags = [listener.tag for listener in self.listeners]
        if tag and tag not in tags and not self.report.touches("listen"):
            allowed = "allowed: the tags of [[listen]]: " + ", ".join(
                f'"{known}"' for known in dict.fromkeys(tags)
            )
            self.report.add((*self.section.path, "listen"), f'"{tag}"', allowed, did_you_mean(tag, tags))
        return tag if tag in tags else ""

    def _in_dialog_failure(self) -> str:
        """The policy of requests in dialogs; only members that share them can stand in for each other."""
        key = "in_dialog_failure"
        name = self.section.take_reference(key, self.failures, "the name of a failure policy")
        if name and self.section.raw.get("in_dialog", "pinned") != "shared":
            self.report.add((*self.section.path, key), shown(name), 'allowed: only with in_dialog = "shared"')
        return name

    def _key(self, algorithm: str) -> str:
        path = (*self.section.path, "key")
        key = self.section.take("key", values.token, "")
        if algorithm == "key" and "key" not in self.section:
            self.report.add(
                self.section.path, "", '`key` is missing: the algorithm "key" hashes the header it names'
            )
        if algorithm != "key" and key and not self.report.touches(*self.section.path, "algorithm"):
            self.report.add(path, f'"{key}"', 'allowed: only with algorithm = "key"')
        return key

    def _destinations(self, probe: dict[str, Any] | None) -> tuple[Destination | NamedDestination, ...]:
        section = self.section
        raw = section.raw.get("destinations")
        path = (*section.path, "destinations")
        if raw is None and "setid" in section and self.with_sources:
            return ()  # a source may have some
        if raw is None:
            self.report.add(
                section.path, "", '`destinations` is missing: a list such as ["sip:192.0.2.1:5060"]'
            )
            return ()
        if not isinstance(raw, list) or not raw:
            self.report.add(path, shown(raw), "allowed: a list of one or more destinations")
            return ()
        found = []
        for index, item in enumerate(raw):
            here = (*path, index)
            if isinstance(item, str):
                one = self._destination(
                    Section({"uri": item}, here, "destination", self.report), probe, plain=True
                )
            elif isinstance(item, dict):
                one = self._destination(Section(item, here, "destination", self.report), probe, plain=False)
            else:
                self.report.add(here, shown(item), 'allowed: "sip:HOST:PORT" or a table with uri')
                continue
            if one:
                found.append(one)
        return tuple(found)

    def _destination(
        self, section: Section, probe: dict[str, Any] | None, *, plain: bool
    ) -> Destination | NamedDestination | None:
        uri_path = section.path if plain else (*section.path, "uri")
        if "uri" not in section:
            self.report.add(section.path, "", '`uri` is missing: for example "sip:192.0.2.1:5060"')
        uri = section.read(uri_path, section.raw["uri"], values.destination_uri, None) if "uri" in section else None
        given = section.take("id", values.identity, "")
        weight = section.take("weight", values.integer(0, 1_000_000), 1)
        priority = section.take("priority", values.integer(-(1 << 31), (1 << 31) - 1), 0)
        attrs = section.take("attrs", _attrs, ())
        own_probe = self._probe_keys(section, probe)
        admin = section.take("admin", values.one_of(*ADMINS), "enabled")
        starts_down = section.take("starts_down", values.boolean, False)
        calls = call_limit(section) or self.each_calls
        if uri is None:
            return None
        identity = given or f"{self.name}/{uri.text}"
        common: dict[str, Any] = {"id": identity, "uri": uri.text, "weight": weight, "priority": priority,
                                  "attrs": attrs, "admin": admin, "starts_down": starts_down, "calls": calls}
        if uri.address is None:
            wanted = self._listener_of_name(section)
            self._check_name(section, uri_path, uri, identity)
            self._check_id(section, identity, given)
            return NamedDestination(**common, host=uri.host, port=uri.port, transport=uri.transport, listen=wanted,
                                    probe=probe_of(own_probe) if own_probe else None, behind=0)
        listener = self._listener(section, uri_path, uri.address, uri.text)
        self._check_address(uri_path, uri.address, uri.text)
        self._check_id(section, identity, given)
        return Destination(**common, host=uri.address.host, port=uri.address.port, family=uri.address.family,
                           listener=listener, probe=self._probe(own_probe, listener))

    def _check_id(self, section: Section, identity: str, given: str) -> None:
        if identity not in self.seen_ids:
            self.seen_ids[identity] = self.name
        elif given:
            allowed = f'allowed: an id of its own; one in set "{self.seen_ids[identity]}" has it'
            self.report.add((*section.path, "id"), shown(given), allowed)
        else:
            self.report.add(section.path, f'"{section.raw["uri"]}" twice', "allowed: once, or with an `id` each")

    def _listener(self, section: Section, uri_path: Path, address: values.Address, uri: str) -> int:
        """Index of the listener of the destination's family, the one that it or its set names if any."""
        own = section.take("listen", listener_name, "")
        family = address.family
        index = find_listener(self.listeners, family, own or self.listen)
        if index is not None:
            return index
        if self.report.touches("listen") or self.report.touches(*self.section.path, "listen"):
            return 0
        if own and self._is_nobody(section, own):
            return 0
        name = own or self.listen
        where = f' with tag "{name}"' if name else ""
        allowed = f"no [[listen]]{where} has an IPv{family} address to send from"
        self.report.add(uri_path, f'"{uri}"', allowed)
        return 0

    def _listener_of_name(self, section: Section) -> str:
        """What it, or its set, calls the listener: which one of these it is depends on the family of each target."""
        own = section.take("listen", listener_name, "")
        if own and not self.report.touches("listen"):
            self._is_nobody(section, own)
        return own or self.listen

    def _is_nobody(self, section: Section, name: str) -> bool:
        """Is no listener called so?  Then that is reported."""
        if any(find_listener(self.listeners, each, name) is not None for each in (4, 6)):
            return False
        tags = [listener.tag for listener in self.listeners]
        allowed = f"allowed: the tag of a [[listen]], or its address: {listed(dict.fromkeys(tags))}"
        self.report.add((*section.path, "listen"), shown(name), allowed, did_you_mean(name, tags))
        return True

    def _check_address(self, path: Path, address: values.Address, uri: str) -> None:
        if (address.host, address.port) in self.own:
            self.report.add(path, f'"{uri}"', "this is our own [[listen]] address: calls would go round in a loop")
        if self.answering and not ipaddress.ip_address(address.host).is_loopback:
            self.report.add(path, f'"{uri}"', ANSWERING_ALLOWED)

    def _check_name(self, section: Section, path: Path, uri: values.SipUri, identity: str) -> None:
        if self.answering:
            self.report.add(path, f'"{uri.text}"', ANSWERING_ALLOWED)
        most = MAX_ID_BYTES - MAX_TARGET_BYTES
        if len(identity.encode()) > most:
            self.report.add(section.path, shown(identity), f"allowed for a name: an `id` of at most {most} bytes")

    # ------------------------------------------------------------ probes

    def _probe_keys(self, section: Section, base: dict[str, Any] | None) -> dict[str, Any] | None:
        """The checked keys of `probe` laid over `base`; None = no probes (absent or false)."""
        raw = section.raw.get("probe")
        if raw is None:
            return base
        if not isinstance(raw, dict):
            if raw is not False:
                hint = "the defaults are probe = {}" if raw is True else ""
                self.report.add((*section.path, "probe"), shown(raw), "allowed: a table, or false", hint)
            return None
        probe = Section(raw, (*section.path, "probe"), "probe", self.report)
        keys = dict(base or PROBE_DEFAULTS)
        keys.update({key: value for key, read in PROBE_READERS.items()
                     if (value := probe.take(key, read, None)) is not None})  # fmt: skip
        if codes := probe.take_list("accept", values.codes):
            keys["accept"] = tuple(sorted({code for item in codes for code in item}))
        if "timeout" not in raw:
            keys["timeout"] = min(keys["timeout"], keys["interval"])
        if keys["timeout"] > keys["interval"]:
            allowed = f"allowed: at most the interval, {values.ms_text(keys['interval'])}"
            self.report.add((*probe.path, "timeout"), values.ms_text(keys["timeout"]), allowed)
        return keys

    def _probe(self, keys: dict[str, Any] | None, listener: int) -> Probe | None:
        """The probe of a destination that is reached from this listener."""
        if keys is None:
            return None
        return from_listener(probe_of(keys), self.listeners, listener, self.router_name)

    def _probes_wanted(self) -> str:
        raw = self.section.raw.get("probe")
        return "flagged" if raw is None else "none" if raw is False else "all"
