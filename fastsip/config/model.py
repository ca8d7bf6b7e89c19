"""The frozen, validated configuration: what load() returns and everything else is built from.

Times are int milliseconds (`_ms`), sizes int bytes (`_bytes`), addresses numeric text, secrets bytes.
Collections are tuples: nothing here can change after load().  No defaults are decided here, no text is
parsed here.
"""

import msgspec

from fastsip.sources.rows import Misfit


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is packed by another release with other fields is not read (handed.py)."""


class Router(Part, frozen=True, kw_only=True):
    """[router].  `secret_keys`: 16 bytes each, the first signs, all verify; empty only when load() was
    asked not to make a missing key file.  `secret_file` is that file, "" when the config names a secret.
    `placement_key`: 16 bytes that calls are placed by, b"" when there is no secret yet."""

    name: str
    shards: int  # 1..64; "auto" is already resolved to the usable CPUs
    run_dir: str
    state_dir: str
    domains: tuple[str, ...]  # lower case, host or host:port
    trusted: tuple[str, ...]  # networks, as "10.0.0.0/8"
    secret_keys: tuple[bytes, ...]
    secret_file: str
    placement_key: bytes
    stop_mode: str  # leave | drain: what SIGTERM means
    hang_ms: int  # without a sign of life, until a router is replaced
    hang_loop_ms: int  # the same of its own thread, while all shards route

    def __repr__(self) -> str:
        """Without the keys: a config that is printed or logged must not give them away."""
        return f"Router(name={self.name!r}, shards={self.shards}, run_dir={self.run_dir!r}, ...)"


class HeaderEdits(Part, frozen=True, kw_only=True):
    """`headers` of a rule, or of one way at a listener or set: first `remove`, then `set` in its order."""

    remove: tuple[str, ...]  # names; with a final * all that begin so
    set: tuple[tuple[str, str], ...]  # name, value with its {fields}

    def __bool__(self) -> bool:
        return bool(self.remove or self.set)


class Listener(Part, frozen=True, kw_only=True):
    """One [[listen]].  `sent_by` is host[:port] as it stands in Via, and in Record-Route unless `contact` is given."""

    uri: str
    transport: str  # "udp"
    host: str  # numeric, IPv6 without brackets
    port: int
    family: int  # 4 or 6
    tag: str
    advertise: str  # as given, "" when not
    sent_by: str
    contact: str  # as given, "" when not
    rcvbuf_bytes: int
    headers_in: HeaderEdits
    headers_out: HeaderEdits


class Timers(Part, frozen=True, kw_only=True):
    """[timers]: RFC 3261 section 17 and Timer C of 16.6 item 11."""

    t1_ms: int
    t2_ms: int
    t4_ms: int
    c_ms: int


class Limits(Part, frozen=True, kw_only=True):
    """[limits]."""

    max_transactions: int
    max_message_bytes: int
    max_head_bytes: int  # of start line and headers of what comes in
    max_names: int  # of next hops, static ones and those of DNS
    names_per_source: int  # questions of DNS a second that one source may cause
    names_burst: int  # and at once


class Probe(Part, frozen=True, kw_only=True):
    """How one destination is probed.  `accept` are the final codes, 200..699, that count as alive."""

    method: str
    interval_ms: int
    timeout_ms: int
    rise: int
    fall: int
    mode: str  # all | only-failed | marked | none
    from_uri: str
    accept: tuple[int, ...]
    headers: tuple[tuple[str, str], ...]


class CallLimit(Part, frozen=True, kw_only=True):
    """Calls (INVITEs outside of dialogs) that are let in: in any time t at most `at_once` + `per_second` * t."""

    per_second: int
    at_once: int


class Destination(Part, frozen=True, kw_only=True):
    """One destination of a set.  `id` is unique in the whole configuration and outlives reloads."""

    id: str
    uri: str
    host: str  # numeric, IPv6 without brackets
    port: int
    family: int
    weight: int
    priority: int
    attrs: tuple[tuple[str, str | int | float | bool], ...]
    listener: int  # index into Config.listeners
    probe: Probe | None  # None = not probed
    admin: str  # enabled | draining | disabled
    starts_down: bool  # when nothing is known of it: not used before a probe was answered
    calls: CallLimit | None
    # Of the target of a name, whose weight and priority the fields above are:
    parent: str = ""  # id of that name
    named: str = ""  # host[:port] as the URI has it
    tier: int = 0  # 0 is tried first
    share: int = 0  # part of its tier


class NamedDestination(Part, frozen=True, kw_only=True):
    """A destination whose host is a name.  Its targets are destinations of the set; what it says holds for each."""

    id: str
    uri: str
    host: str  # lower case without final dot
    port: int  # 0 = none given
    transport: str  # "udp" when the URI says so, "" = none given
    weight: int
    priority: int
    attrs: tuple[tuple[str, str | int | float | bool], ...]
    listen: str  # tag or address of the listener, "" = the first one of the target's family
    probe: Probe | None  # without from_uri, unless given: the listener makes it
    admin: str
    starts_down: bool
    calls: CallLimit | None
    behind: int  # how many destinations with numeric addresses stand before it in the set
    left_out: tuple[str, ...] = ()  # what of the answer does not count, and why
    resting: tuple[str, ...] = ()  # ids of targets that went and may come back to what was learned of them


class DestinationSet(Part, frozen=True, kw_only=True):
    """One [set.NAME]; destinations in the order of the file."""

    name: str
    setid: int | None
    algorithm: str
    algorithm_number: int  # Kamailio's, and algorithm_id of the core
    key: str  # header that the algorithm "key" hashes, else ""
    limit: int  # candidates at most, 1..16
    ruri: str  # keep | host | uri
    listen: str  # tag, "" = any listener of the family
    in_dialog: str  # pinned | shared
    in_dialog_failure: str  # policy of requests in dialogs when shared, "" = the built-in one
    tiers: bool
    when_all_down: str  # fail | try
    retry_ms: int
    retry_after_max_ms: int
    call_fall: int  # 0 = the `fall` of the probe
    call_rise: int  # 0 = the `rise` of the probe
    damping_ms: int  # going down again within it makes the way back longer; 0 = never
    calls: CallLimit | None  # of the set as a whole
    headers_out: HeaderEdits
    answering: bool
    destinations: tuple[Destination, ...]  # targets of names among them, at the places of these
    names: tuple[NamedDestination, ...] = ()


class Reply(Part, frozen=True, kw_only=True):
    """A status code and its reason phrase."""

    code: int
    reason: str


class Policy(Part, frozen=True, kw_only=True):
    """One [failure.NAME] (docs/wire.md#clocks-of-a-search, docs/wire.md#marks).

    A time of 0: that clock is off, of timeout_ms:
    Timer B or F."""

    name: str
    on_codes: tuple[int, ...]
    on_classes: tuple[int, ...]  # 3 = 3xx .. 5 = 5xx
    on_reasons: tuple[str, ...]  # timeout, progress, ring, transport
    timeout_ms: int
    progress_ms: int
    ring_ms: int
    budget_ms: int
    after_progress: bool
    mark: str  # where mark_by says nothing
    mark_by: tuple[tuple[str, str], ...]  # reason, class or code -> none | suspect | down
    mark_last: bool
    then: str  # set that is tried next, "" = the next candidate
    exhausted: Reply | None  # None = the best response
    unavailable: Reply


class Condition(Part, frozen=True, kw_only=True):
    """One key of a `when`: true when any of `values` fits, turned round by `negate`.

    key         values
    method      methods, upper case
    user        user parts, exact
    user_prefix beginnings of the user part
    user_match  patterns (patterns.py) over the user part
    domain      host or host:port, lower case
    source      networks, as "10.0.0.0/8"
    source_set  sets, one of whose destinations the request comes from
    listen      tags
    header      values of the header `header`; none = it only has to be there
    to_tag      none; `wanted` says which way round
    """

    key: str
    negate: bool
    values: tuple[str, ...] = ()
    header: str = ""
    wanted: bool = True


class Rule(Part, frozen=True, kw_only=True):
    """One [[route]]: all conditions hold -> one of the set `to`, the reply, the next hop of `forward`."""

    name: str
    conditions: tuple[Condition, ...]
    to: str  # set, "" = none
    reply: Reply | None
    forward: str  # request-uri | header:NAME, "" = none
    headers: HeaderEdits
    failure: str  # policy, "" = no failover
    ruri: str  # "" = the set's
    record_route: bool
    implied: bool  # not in the file: the one set is the only place to go


class Name(Part, frozen=True, kw_only=True):
    """One line of [names]: lower case without final dot, or "*" for every other name.  Addresses are numeric,
    IPv6 without brackets, with their port; port 0: none given."""

    name: str
    addresses: tuple[tuple[str, int], ...]


class Resolve(Part, frozen=True, kw_only=True):
    """[resolve]."""

    target_timeout_ms: int  # for a target of a next hop that says nothing, while there is another
    stale_ms: int  # how long the last good answer of DNS for a destination counts while there is no other


class Source(Part, frozen=True, kw_only=True):
    """One [[source]], as it was read for this configuration."""

    name: str
    kind: str  # list | sql | added
    origin: str  # the path of its file, or what is read of which database, without a password
    row_count: int
    away: str  # why it could not be read and what was read last counts, "" = it was read
    left_out: tuple[Misfit, ...]  # lines and rows that no set took in
    url: str  # of a database, with its password
    table: str
    columns: str  # kamailio | opensips | load_balancer
    interval_ms: int  # between two looks at a database, 0 = only when somebody asks

    def __repr__(self) -> str:
        """Without the URL: a config that is printed or logged must not give the password away."""
        return f"Source(name={self.name!r}, kind={self.kind!r}, origin={self.origin!r}, ...)"


class Webhook(Part, frozen=True, kw_only=True):
    """One [[webhook]]."""

    name: str
    url: str  # with what is secret in it
    events: tuple[str, ...]  # names, or patterns with a *
    secret: str  # signs what is sent, "" = nothing does
    timeout_ms: int  # of one attempt
    headers: tuple[tuple[str, str], ...]  # name, value

    def __repr__(self) -> str:
        """Without what is secret."""
        return f"Webhook(name={self.name!r}, events={self.events!r}, ...)"


class Otel(Part, frozen=True, kw_only=True):
    """[otel]."""

    endpoint: str  # URL of OTLP/HTTP, with what is secret in it
    sample: float  # share of calls, 0 to 1
    service: str  # service.name
    timeout_ms: int  # of one attempt to send
    headers: tuple[tuple[str, str], ...]  # name, value

    def __repr__(self) -> str:
        """Without what is secret."""
        return f"Otel(sample={self.sample!r}, service={self.service!r}, ...)"


class Api(Part, frozen=True, kw_only=True):
    """[api].  Of tokens their digests (secrets.token_digest), b"" = there is none; paths, "" = no TLS."""

    listen: str
    host: str  # numeric, IPv6 without brackets
    port: int
    token: bytes
    read_token: bytes
    certificate: str
    key: str

    def __repr__(self) -> str:
        """Without the digests."""
        return f"Api(listen={self.listen!r}, ...)"


class Hep(Part, frozen=True, kw_only=True):
    """[hep].  `host` is numeric, IPv6 without brackets, or a name; key: "" = none."""

    collector: str  # as given
    host: str
    port: int
    sample: float  # share of calls, 0 to 1
    node: str
    agent: int
    key: str

    def __repr__(self) -> str:
        """Without the key."""
        return f"Hep(collector={self.collector!r}, sample={self.sample}, ...)"


class Config(Part, frozen=True, kw_only=True):
    """A whole configuration."""

    file: str
    router: Router
    listeners: tuple[Listener, ...]
    timers: Timers
    limits: Limits
    sets: tuple[DestinationSet, ...]
    policies: tuple[Policy, ...]
    rules: tuple[Rule, ...]
    names: tuple[Name, ...]
    resolve: Resolve
    sources: tuple[Source, ...]
    webhooks: tuple[Webhook, ...]
    otel: Otel | None  # None = no spans are made
    api: Api | None  # None = HTTP is spoken on control.sock alone
    hep: Hep | None  # None = nothing goes to a collector

    def set_named(self, name: str) -> DestinationSet:
        """The set of that name; KeyError when there is none."""
        for group in self.sets:
            if group.name == name:
                return group
        raise KeyError(name)

    def policy_named(self, name: str) -> Policy:
        """The failure policy of that name; KeyError when there is none."""
        for policy in self.policies:
            if policy.name == name:
                return policy
        raise KeyError(name)
