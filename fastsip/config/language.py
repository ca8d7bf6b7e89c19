"""The words of the configuration language: every key by table, and what this release does not run yet.

`KEYS` is the whole list that unknown keys are compared with and that config.example.toml must show; the keys
of [names] are the operator's own.
`LATER` is the one place that names what belongs to the language but not to this release; such a key is
refused, never silently ignored.  When a part arrives, its entry is deleted here and its reader written.
"""

ROOT = ("router", "listen", "timers", "limits", "set", "failure", "route", "names", "resolve", "source", "webhook",
        "otel", "api", "hep")

KEYS: dict[str, tuple[str, ...]] = {
    "": ROOT,
    "router": ("name", "shards", "run_dir", "state_dir", "domains", "trusted", "secret", "stop_mode", "hang",
               "hang_loop"),
    "listen": ("uri", "tag", "advertise", "contact", "rcvbuf", "headers"),
    "listen.headers": ("in", "out"),
    "timers": ("t1", "t2", "t4", "c"),
    "limits": ("max_transactions", "max_message", "max_head", "max_names", "names_per_source", "names_burst"),
    "set": (
        "destinations", "answering", "setid", "algorithm", "key", "limit", "ruri", "listen", "in_dialog",
        "in_dialog_failure", "probe", "tiers", "when_all_down", "retry", "retry_after_max", "call_fall",
        "call_rise", "damping", "calls_per_second", "calls_at_once", "each_calls_per_second", "each_calls_at_once",
        "headers",
    ),
    "set.headers": ("out",),
    "destination": ("uri", "id", "weight", "priority", "attrs", "probe", "listen", "admin", "starts_down",
                    "calls_per_second", "calls_at_once"),
    "probe": ("method", "interval", "timeout", "rise", "fall", "from", "accept", "mode", "headers"),
    "failure": (
        "on", "timeout", "progress", "ring", "budget", "after_progress", "mark", "mark_last", "then",
        "exhausted", "unavailable",
    ),
    "route": (
        "name", "when", "to", "reply", "forward", "failure", "ruri", "record_route", "headers",
    ),
    "when": (
        "method", "user", "user_prefix", "user_match", "domain", "source", "source_set", "listen", "header",
        "to_tag", "not",
    ),
    "headers": ("set", "remove"),
    "resolve": ("target_timeout", "stale"),
    "source": ("kind", "path", "name", "url", "table", "columns", "interval"),
    "webhook": ("url", "name", "events", "secret", "timeout", "headers"),
    "otel": ("endpoint", "sample", "service", "timeout", "headers"),
    "api": ("listen", "token", "read_token", "certificate", "key"),
    "hep": ("collector", "sample", "node", "agent", "key"),
}  # fmt: skip

# Path pattern ("*" is any one name or index) -> None: the whole key is of a later release;
# or the words of its value that are (a value of the form "word:..." counts as its word).
LATER: dict[str, tuple[str | int, ...] | None] = {
    "table": None,
    "router.routes": None,
    "listen.*.uri": ("tcp", "tls", "ws", "wss"),
    "listen.*.udp_limit": None,
    "set.*.algorithm": ("call-load", 10, "10"),
    "set.*.destinations.*.max_load": None,
    "failure.*.python": None,
    "failure.*.then": ("python",),
    "route.*.python": None,
    "route.*.when.source_in": None,
    "route.*.when.not.source_in": None,
}

# Name -> Kamailio's number, which is accepted as well.
ALGORITHMS: dict[str, int] = {
    "call-id": 0,
    "from-uri": 1,
    "to-uri": 2,
    "request-uri": 3,
    "round-robin": 4,
    "auth-user": 5,
    "random": 6,
    "key": 7,
    "priority": 8,
    "weight": 9,
    "relative-weight": 11,
    "parallel": 12,
    "latency": 13,
    "ordered-round-robin": 14,
    "srv": 15,
}

METHODS = (
    "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "PRACK", "SUBSCRIBE", "NOTIFY", "PUBLISH",
    "INFO", "REFER", "MESSAGE", "UPDATE",
)  # fmt: skip

REASONS = ("timeout", "progress", "ring", "transport")
CLASSES = ("3xx", "4xx", "5xx")
MARKS = ("none", "suspect", "down")
MARK_KEYS = (*REASONS, "4xx", "5xx", "500", "503")

# Field -> the most bytes that stand for it: an IPv6 address, a name of the language, MAX_TOKEN of the core.
HEADER_FIELDS = {"source": 39, "listener": 64, "call_id": 512}
MAX_HEADER_EDITS = 32  # names in `set` and `remove` of one table
MAX_HEADER_BYTES = 2_048  # of what `set` may write: EDIT_ROOM of the core has room for several, and the router's own

MAX_PROBE_HEADERS = 16
MAX_PROBE_HEADER_BYTES = 1_024

# What MAX_ATTEMPTS, MAX_LISTENERS, MAX_SHARDS and policy_copy_t of the core allow.
MAX_ATTEMPTS = 16
MAX_LISTENERS = 16
MAX_SHARDS = 64
MAX_POLICY_CODES = 10
MAX_SOURCES = 16
MAX_CALLS_PER_SECOND = 1_000_000
MAX_BURST_S = 10  # of calls at once: as many as come in so many seconds
MAX_HEP_TEXT = 255  # bytes of a key or a node's name that go to a collector
MAX_WEBHOOKS = 16
MAX_WEBHOOK_HEADERS = 16
MAX_WEBHOOK_TEXT = 2_048  # letters of a URL, or of what a header says
MAX_ID_BYTES = 512  # of a destination: its set, its URI and the listener that it is reached from have room
MAX_TARGET_BYTES = 52  # of these what tells a target from the name that leads to it: "=udp:[ADDRESS]:PORT"

ADMINS = ("enabled", "draining", "disabled")

# What the table of names allows; of its names (limits.max_names) the most part is left to DNS.
MAX_NAMES = 1_000
MAX_NAME_BYTES = 253
MAX_ADDRESSES = 32

MAX_NAMED_DESTINATIONS = 1_000  # names among the destinations of all sets
