"""Our numbers by the names that exporters for Kamailio made usual, so that dashboards and alarms for it go on.

Three spellings are in use: of exporters that ask for `tm.stats` (kamailio_tm_stats_...), of those that ask for
`stats.fetch` (kamailio_tmx_type_total), and Kamailio's own statistics with their names as they are.  A name stands here
only where ours means the same; docs/metrics.md#names-of-kamailio has those that do not.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from fastsip._core.state.counters import ANSWERED, STATUS_WORDS
from fastsip.observe.as_kamailio import flags
from fastsip.observe.exposition import Sample, labels
from fastsip.observe.names import as_written

# Its bad_msg_hdr: a header that cannot be read.
BAD_HEADERS = ("bad_header_line", "bad_via", "bad_from", "bad_to", "bad_call_id", "bad_cseq", "bad_max_forwards",
               "bad_content_length", "bad_route")  # fmt: skip
BEGUN = ("transactions", "probes")  # its probes are transactions of tm, too

# Those that its core counts by method; of replies by class, the 180s again by themselves.
METHODS = ("invite", "cancel", "ack", "bye", "info", "register", "subscribe", "notify", "message", "options", "prack",
           "update", "refer", "publish")  # fmt: skip
CLASSES = ("1xx", "18x", "2xx", "3xx", "4xx", "5xx", "6xx")


def of_class(name: str) -> tuple[str, ...]:
    """Counters of received responses that Kamailio counts as one of CLASSES."""
    return tuple(f"received_{word}" for word in STATUS_WORDS if word.startswith(name.rstrip("x")))


# (name, help, labels, counters that are added up).  Differences could go down, so there are none.
COUNTED: tuple[tuple[str, str, dict[str, str], tuple[str, ...]], ...] = (
    ("kamailio_tm_stats_total_total", "Transactions, with those for probes.", {}, BEGUN),
    ("kamailio_tm_stats_total_local_total", "Transactions that the router began itself: probes.", {}, ("probes",)),
    ("kamailio_tm_stats_created_total", "Transactions made, with those for probes.", {}, BEGUN),
    ("kamailio_tm_stats_rpl_received_total", "Replies received.", {}, ("responses",)),
    *(("kamailio_tm_stats_codes_total", "Transactions, by the class of their final reply.", {"code": name},
       (f"answered_{name}",)) for name in ANSWERED),
    ("kamailio_core_request_total", "Requests.", {"method": "rcv"}, ("requests",)),
    ("kamailio_core_reply_total", "Replies.", {"type": "rcv"}, ("responses",)),
    ("kamailio_bad_uri_total", "Messages with a URI that cannot be read.", {}, ("bad_uri",)),
    ("kamailio_bad_msg_hdr", "Messages with a header that cannot be read.", {}, BAD_HEADERS),
    ("kamailio_tmx_type_total", "Transactions, by who began them.", {"type": "uas"}, ("transactions",)),
    ("kamailio_tmx_type_total", "", {"type": "uac"}, ("probes",)),
    ("kamailio_tmx_rpl_total", "Replies.", {"type": "received"}, ("responses",)),
    *(("kamailio_tmx_code_total", "Transactions, by the class of their final reply.", {"code": name},
       (f"answered_{name}",)) for name in ANSWERED),
    *(("kamailio_core_rcv_request_total", "Requests received, by method.", {"method": name}, (f"received_{name}",))
      for name in METHODS),
    *(("kamailio_core_rcv_reply_total", "Replies received, by class.", {"code": name}, of_class(name))
      for name in CLASSES),
    ("kamailio_core_rcv_requests", "Requests received.", {}, ("requests",)),
    ("kamailio_core_rcv_replies", "Replies received.", {}, ("responses",)),
    ("kamailio_core_bad_URIs_rcvd", "Messages with a URI that cannot be read.", {}, ("bad_uri",)),
    ("kamailio_core_bad_msg_hdr", "Messages with a header that cannot be read.", {}, BAD_HEADERS),
    ("kamailio_tmx_UAS_transactions", "Transactions of requests that were received.", {}, ("transactions",)),
    ("kamailio_tmx_UAC_transactions", "Transactions that the router began itself: probes.", {}, ("probes",)),
    ("kamailio_tmx_rpl_received", "Replies received.", {}, ("responses",)),
    *((f"kamailio_tmx_{name}_transactions", f"Transactions with a final reply of {name}.", {}, (f"answered_{name}",))
      for name in ANSWERED),
    *((f"kamailio_core_rcv_requests_{name}", f"Requests received: {name}.", {}, (f"received_{name}",))
      for name in METHODS),
    *((f"kamailio_core_rcv_replies_{name}", f"Replies received: {name}.", {}, of_class(name)) for name in CLASSES),
)

# (name, labels, which of total, used and free).  Its shared memory is our store: both hold the transactions.
MEMORY: tuple[tuple[str, dict[str, str], str], ...] = (
    *((f"kamailio_core_shmmem_{part}", {}, part) for part in ("total", "used", "free")),
    *(("kamailio_shm_bytes", {"type": part}, part) for part in ("total", "used", "free")),
    *((f"kamailio_shmem_{part}_size", {}, part) for part in ("total", "used", "free")),
)
MEMORY_HELP = "Bytes of the files that hold transactions: all, in use, left."

# Of `tm.stats` the same ones; what it has beside them is not counted here (docs/metrics.md#names-of-kamailio).
TM_STATS = {"total": BEGUN, "total_local": ("probes",), "rpl_received": ("responses",), "created": BEGUN}

Metric = tuple[str, str, str, list[Sample]]     # name, kind, help, samples


def kamailio_metrics(
    status: dict[str, Any], gauges: dict[str, int], counters: dict[str, int], sets: Iterable[dict[str, Any]]
) -> Iterator[Metric]:
    """counters: of all shards together; sets: as many as are to be shown."""
    uptime = status.get("routes_since_s")
    yield "kamailio_up", "gauge", "1: a router routes.", [("", int(status.get("router") is not None))]
    yield "kamailio_core_uptime_uptime_total", "counter", "Uptime in seconds.", [("", uptime)]
    yield "kamailio_core_uptime", "gauge", "Uptime in seconds.", [("", uptime)]
    found: dict[str, Metric] = {}
    for name, words, pairs, of in COUNTED:
        value = sum(counters[each] for each in of) if counters.keys() >= set(of) else None
        found.setdefault(name, (name, "counter", words, []))[3].append((labels(pairs), value))
    yield from found.values()
    yield from _memory(gauges)
    yield "kamailio_dispatcher_list_target", "gauge", "Destinations of sets with a number; flags as dispatcher.list.", \
        _targets(sets)


def tm_stats(counters: dict[str, int]) -> dict[str, int]:
    """counters: of all shards together."""
    return {name: sum(counters[each] for each in of) for name, of in TM_STATS.items() if counters.keys() >= set(of)}


def _memory(gauges: dict[str, int]) -> Iterable[Metric]:
    if not gauges.keys() >= {"store_bytes", "slot_bytes", "block_bytes"}:
        return ()
    used = gauges["slot_bytes"] + gauges["block_bytes"]
    sizes = {"total": gauges["store_bytes"], "used": used, "free": max(0, gauges["store_bytes"] - used)}
    found: dict[str, Metric] = {}
    for name, pairs, part in MEMORY:
        found.setdefault(name, (name, "gauge", MEMORY_HELP, []))[3].append((labels(pairs), sizes[part]))
    return found.values()


def _targets(sets: Iterable[dict[str, Any]]) -> list[Sample]:
    """Each once: the same URI may stand twice in a set, with other attributes."""
    found = {labels({"flags": flags(one), "setid": group["setid"], "uri": one["uri"]}): 1
             for group in sets if group["setid"] is not None for one in as_written(group)}  # fmt: skip
    return list(found.items())
