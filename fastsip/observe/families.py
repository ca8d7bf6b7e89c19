"""What `fastsip metrics` shows: one table of all families, in their order.

A name never changes, since graphs and alarms hang on it.  Each counter of a shard stands in exactly one family, alone
or by a label that says what tells it from its sisters, so that each family but that of large datagrams may be summed.
What only another release counts is shown all the same, in OTHER_COUNTERS.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from fastsip._core.dispatcher.measures import ANSWER_NAMES, PROBE_NAMES, SILENCE_NAMES
from fastsip._core.sip.words import METHOD_NAMES
from fastsip._core.state.counters import ANSWERED, BUCKETS, FAILOVERS, STATUS_WORDS
from fastsip.observe.counters import COUNTER_HELP, COUNTER_NAMES, GAUGE_HELP
from fastsip.observe.destinations import takes_calls
from fastsip.observe.exposition import BOUNDS, Value
from fastsip.observe.names import UNRESOLVED, names_of

Facts = dict[str, Any]


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """One name.

    of        counters or gauges of a shard -> value of `label`; a single one needs no label
    by_shard  one sample for each shard, with its number: where shards are to be compared
    value     of what `status` says, or of a destination; None: there is none
    words     labels whose values are words of a destination, by where they stand there
    measured  of observe.measures: the column, and which of its numbers has which value of `label`
    """

    name: str
    kind: str
    help: str
    label: str = ""
    of: dict[str, str] = {}
    by_shard: bool = False
    value: Callable[[Facts], Value] | None = None
    words: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()


def single(counter: str, name: str, words: str = "", by_shard: bool = False) -> Family:
    """A counter that is alone."""
    return Family(name=name, kind="counter", help=words or COUNTER_HELP[counter], of={counter: ""}, by_shard=by_shard)


def several(name: str, words: str, label: str, of: dict[str, str], by_shard: bool = False) -> Family:
    return Family(name=name, kind="counter", help=words, label=label, of=of, by_shard=by_shard)


def gauge(name: str, words: str, value: Callable[[Facts], Value]) -> Family:
    return Family(name=name, kind="gauge", help=words, value=value)


def histogram(name: str, words: str, buckets: str, sum_of: str) -> Family:
    """Of counters of shards: the buckets, as they are called before their bounds, and the sum."""
    of = {f"{buckets}_{end}": bound for end, bound in zip(BUCKETS, BOUNDS, strict=True)}
    return Family(name=name, kind="histogram", help=words, label="le", of={**of, sum_of: "sum"}, by_shard=True)


def measured(name: str, words: str, column: str, label: str = "", values: tuple[str, ...] = ("",)) -> Family:
    return Family(name=name, kind="counter", help=words, label=label, measured=(column, *values))


def timed(name: str, words: str, column: str) -> Family:
    return Family(name=name, kind="histogram", help=words, label="le", measured=(column,))


REFUSALS = (
    "no_rule", "unavailable", "drained", "too_broad", "too_many_hops", "loops", "bad_extensions", "too_large",
    "unsupported", "relays_refused", "unknown_dialogs", "next_hops_refused", "edits_refused", "store_full",
    "over_share",
)
DROPS = {"kernel_drops": "receive_buffer_full", "handed_over_full": "lane_full", "sent_lost": "not_sent",
         "not_sip": "not_sip", "quarantined": "quarantined"}  # fmt: skip
BAD = {name: name.removeprefix("bad_") for name in COUNTER_NAMES if name.startswith("bad_") and name not in REFUSALS}

# What the supervisor says in `status`; one of another release may leave something out.
STATUS = (
    Family(name="fastsip_build_info", kind="info", help="which release answers", value=lambda _: 1, words=("version",)),
    gauge("fastsip_up", "1: a router routes", lambda one: one.get("router") is not None),
    gauge("fastsip_uptime_seconds", "how long the router that routes now has done so; its counters began with it",
          lambda one: one.get("routes_since_s")),
    gauge("fastsip_spare_ready", "1: another router waits to take over", lambda one: one.get("spare") is not None),
    gauge("fastsip_configuration_number", "number of the configuration that is in force; each reload has the next one",
          lambda one: one.get("configuration")),
    gauge("fastsip_draining", "1: no new calls are taken", lambda one: one.get("draining")),
    gauge("fastsip_shards", "threads that route", lambda one: one.get("shards")),
    gauge("fastsip_sources_away", "lists and tables that cannot be read; what was read last counts",
          lambda one: len(one["sources_away"]) if "sources_away" in one else None),
)


def of_spans(name: str) -> Callable[[Facts], Any]:
    """Nothing without [otel]."""
    return lambda one: one["spans"][name] if one.get("spans") else None


# Of what `status` says of spans of calls; they go on over routers and over the program that sends.
SPANS = (
    Family(name="fastsip_spans_sent_total", kind="counter", value=of_spans("sent"),
           help="spans of calls that the collector has taken"),
    Family(name="fastsip_spans_lost_total", kind="counter", value=of_spans("lost"),
           help="spans that the collector did not take, or that found no room to wait"),
    Family(name="fastsip_spans_passed_over_total", kind="counter", value=of_spans("passed_over"),
           help="INVITEs without a span, because too many were in progress"),
    Family(name="fastsip_spans_unseen_total", kind="counter", value=of_spans("unseen"),
           help="messages that were gone before spans could be made of them"),
)

# Of what `status` says of each webhook; they go on over routers and over the program that sends.
WEBHOOKS = (
    Family(name="fastsip_webhook_events_sent_total", kind="counter", value=lambda one: one["sent"],
           help="events that the receiver has taken"),
    Family(name="fastsip_webhook_attempts_failed_total", kind="counter", value=lambda one: one["failed"],
           help="attempts to send an event that failed"),
    Family(name="fastsip_webhook_events_dropped_total", kind="counter", value=lambda one: one["dropped"],
           help="events that the receiver will not be told any more: refused, or missed"),
    gauge("fastsip_webhook_events_waiting", "events of the record that have not been looked at for the webhook yet",
          lambda one: one["waiting"]),
)

STORE = (
    Family(name="fastsip_store_slots", kind="gauge", help=GAUGE_HELP["slots"], of={"slots": ""}),
    Family(name="fastsip_store_used_bytes", kind="gauge", help="bytes of the store that are in use, by what they hold",
           label="part", of={"slot_bytes": "slots", "block_bytes": "messages"}),
    Family(name="fastsip_store_slot_places", kind="gauge", help=GAUGE_HELP["slot_places"], of={"slot_places": ""}),
    Family(name="fastsip_store_size_bytes", kind="gauge", help=GAUGE_HELP["store_bytes"], of={"store_bytes": ""}),
)

# Of observe.transactions.count_states.
TRANSACTIONS = Family(name="fastsip_transactions", kind="gauge", words=("kind", "state"),
                      value=lambda one: one["count"],
                      help="transactions and branches in the store now, by their state")

COUNTERS = (
    single("received", "fastsip_datagrams_received_total", by_shard=True),
    single("sent", "fastsip_datagrams_sent_total", by_shard=True),
    single("datagrams", "fastsip_datagrams_handled_total", by_shard=True),
    several("fastsip_datagrams_dropped_total", "datagrams that went no further, by reason", "reason",
            DROPS, by_shard=True),
    several("fastsip_datagrams_sent_large_total", "datagrams sent that are larger than so many bytes; those beyond "
            "1,472 go in fragments on most networks, and are among those beyond 1,300", "over",
            {"over_1300": "1300", "over_1472": "1472"}),
    single("keep_alives", "fastsip_keep_alives_total"),
    several("fastsip_messages_received_total", "SIP messages, repeated ones too", "kind",
            {"requests": "request", "responses": "response"}),
    single("invites", "fastsip_new_invites_total"),
    single("retransmitted_requests", "fastsip_retransmissions_received_total"),
    several("fastsip_retransmissions_received_by_kind_total", "repeated messages that met their transaction: requests, "
            "and responses to a branch that had its final one already", "kind",
            {"repeated_invites": "invite", "repeated_others": "other", "repeated_responses": "response"}),
    single("retransmissions_sent", "fastsip_retransmissions_sent_total"),
    several("fastsip_retransmissions_sent_by_kind_total", "messages that the router repeated; answers to a repeated "
            "request and probes, too", "kind",
            {"resent_requests": "request", "resent_cancels": "cancel", "resent_responses": "response",
             "reanswered": "answer", "resent_probes": "probe"}),
    several("fastsip_requests_received_total", "requests by method, repeated ones too", "method",
            {f"received_{name.lower()}": name for name in METHOD_NAMES}),
    several("fastsip_requests_sent_total", "requests sent by method, repeated ones too", "method",
            {f"sent_{name.lower()}": name for name in METHOD_NAMES}),
    several("fastsip_responses_received_total", "responses by status, repeated ones too; a status that no RFC names is "
            "counted by its class", "code", {f"received_{name}": name for name in STATUS_WORDS}),
    several("fastsip_responses_sent_total", "responses sent by status, repeated ones too", "code",
            {f"sent_{name}": name for name in STATUS_WORDS}),
    several("fastsip_stray_messages_total", "messages that belong to nothing that is known: responses that no branch "
            "waited for, and ACKs of no call or of an answer made without state", "kind",
            {"stray_responses": "response", "stray_acks": "ack"}),
    single("malformed", "fastsip_malformed_messages_total", "messages that could not be read"),
    several("fastsip_malformed_messages_by_reason_total", "messages that could not be read, by what is wrong", "reason",
            BAD),
    single("transactions", "fastsip_transactions_begun_total"),
    single("transactions_ended", "fastsip_transactions_ended_total"),
    several("fastsip_transactions_answered_total", "server transactions by the class of their final response, the "
            "first one", "class", {f"answered_{name}": name for name in ANSWERED}),
    single("shed", "fastsip_transactions_shed_total"),
    single("no_room", "fastsip_messages_without_memory_total"),
    several("fastsip_branches_failed_total", "attempts that failed without an answer: silence, or the network (ICMP, "
            "no route, no address of a name in time)", "reason",
            {"timeouts": "timeout", "transport_failures": "transport"}),
    single("abandoned", "fastsip_branches_abandoned_total"),
    single("late_answers", "fastsip_late_answers_total"),
    single("failovers", "fastsip_failovers_total"),
    several("fastsip_failovers_by_reason_total", "searches that went on, by what the branch that failed last failed by",
            "reason", {f"failovers_{name}": name for name in FAILOVERS}),
    single("exhausted", "fastsip_searches_exhausted_total"),
    single("cancels", "fastsip_searches_cancelled_total"),
    single("refused_requests", "fastsip_requests_refused_total"),
    several("fastsip_refusals_total", "requests or branches that went no further, by reason", "reason",
            {name: name for name in REFUSALS}),
    single("replies_by_rule", "fastsip_requests_replied_by_rule_total"),
    single("forged_tokens", "fastsip_forged_tokens_total"),
    single("routes_removed", "fastsip_routes_removed_total"),
    single("stand_ins", "fastsip_stand_ins_total"),
    single("names_asked", "fastsip_names_asked_total"),
    several("fastsip_names_unresolved_total", "names of next hops without an address: not asked for, as their source "
            "had asked for too many, or without an answer in time", "reason",
            {"names_refused": "refused", "names_failed": "failed"}),
    single("names_cut", "fastsip_names_cut_total"),
    single("targets_rested", "fastsip_targets_rested_total"),
    single("parked", "fastsip_requests_parked_total"),
    single("parked_dropped", "fastsip_parked_requests_dropped_total"),
    single("probes", "fastsip_probes_sent_total"),
    single("probe_failures", "fastsip_probes_failed_total"),
    single("events_dropped", "fastsip_log_events_dropped_total"),
    several("fastsip_hep_messages_total", "messages for the collector of [hep]: sent, or lost on the way out, as its "
            "socket was full or nobody there took them", "outcome", {"hep_sent": "sent", "hep_lost": "lost"}),
    single("handed_over", "fastsip_datagrams_handed_over_total", by_shard=True),
    several("fastsip_system_calls_total", "calls that read and send datagrams", "call",
            {"receive_calls": "recvmmsg", "send_calls": "sendmmsg"}, by_shard=True),
    single("waits", "fastsip_waits_total", by_shard=True),
    single("wakes", "fastsip_wakes_total", by_shard=True),
    single("rounds", "fastsip_rounds_total", by_shard=True),
    histogram("fastsip_round_seconds", "how long a shard worked in a round, but for its sending: so long what came "
              "meanwhile has waited", "round", "round_us"),
    histogram("fastsip_timer_lag_seconds", "how late timers fired; they stand in steps of 8 ms", "timer_lag",
              "timer_lag_ms"),
    Family(name="fastsip_lane_waiting_bytes", kind="gauge", help=COUNTER_HELP["lane_bytes"], of={"lane_bytes": ""},
           by_shard=True),
)

OTHER_COUNTERS = Family(name="fastsip_other_counters_total", kind="counter", label="counter",
                        help="what a router of another release counts, by the names of `fastsip stats`")
OTHER_GAUGES = Family(name="fastsip_other_gauges", kind="gauge", label="gauge",
                      help="what a router of another release measures, by the names of `fastsip stats`")

SETS = (
    gauge("fastsip_set_destinations", "destinations of the set", lambda group: len(group["destinations"])),
    gauge("fastsip_set_destinations_taking_calls", "of these, who would get a new call now",
          lambda group: sum(map(takes_calls, group["destinations"]))),
    gauge("fastsip_set_names_unresolved", "destinations of the set that are names and have no target",
          lambda group: sum(one["health"] == UNRESOLVED for one in names_of(group).values())),
)

# Of observe.destinations.with_seen; what a router counted of them its successors go on with, until the machine boots.
DESTINATIONS = (
    Family(name="fastsip_destination_info", kind="info", help="where it is", value=lambda _: 1, words=("uri",)),
    gauge("fastsip_destination_up", "0: its health is down", lambda one: one["health"] != "down"),
    gauge("fastsip_destination_takes_calls", "1: it would get a new call now", takes_calls),
    Family(name="fastsip_destination_state", kind="gauge", value=lambda _: 1, words=("health", "admin", "probe"),
           help="its health, what operators say of it, and who probes it, in words"),
    Family(name="fastsip_destination_chosen_total", kind="counter", value=lambda one: one["chosen"],
           help="calls and other requests that it was chosen for"),
    Family(name="fastsip_destination_failed_total", kind="counter", value=lambda one: one["failed"],
           help="of these, those that counted against its health (`mark` of the policy)"),
    Family(name="fastsip_destination_probes_sent_total", kind="counter", value=lambda one: one["probes_sent"],
           help="probes that it was sent"),
    Family(name="fastsip_destination_probes_failed_total", kind="counter", value=lambda one: one["probes_failed"],
           help="of these, those that failed"),
    gauge("fastsip_destination_probe_rtt_seconds", "how long the last probe took",
          lambda one: None if one["rtt_ms"] is None else round(one["rtt_ms"] / 1000, 6)),
    gauge("fastsip_destination_latency_seconds", "decaying mean of its first replies, to probes and calls",
          lambda one: None if one["latency_ms"] is None else round(one["latency_ms"] / 1000, 6)),
    Family(name="fastsip_destination_limited_total", kind="counter", value=lambda one: one["limited"],
           help="choices that passed it over for its limit of calls a second"),
    gauge("fastsip_destination_downs", "how often it went down in close succession, the last time that it did",
          lambda one: one["downs"]),
    # Whole seconds: the time is reckoned anew from that of the boot, and would differ by a millisecond each time.
    gauge("fastsip_destination_health_change_timestamp_seconds", "when its health changed last",
          lambda one: None if one["since"] is None else round(one["since"])),
    gauge("fastsip_destination_retry_after_timestamp_seconds", "until when it asked for no calls (Retry-After)",
          lambda one: None if one["retry_after"] is None else round(one["retry_after"])),
)
# Of observe.measures: attempts are INVITEs that begin calls, each branch one.
MEASURED = (
    measured("fastsip_destination_attempts_total", "INVITEs that began a call and were sent there", "attempts"),
    measured("fastsip_destination_answers_total", "final responses to them, by status; a class has all that has no "
             "word of its own, challenge is 401, 402 and 407", "answers", "code", ANSWER_NAMES),
    measured("fastsip_destination_silences_total", "of them, those that ended without a final response, by why",
             "silences", "reason", SILENCE_NAMES),
    measured("fastsip_destination_failovers_total", "searches that went on from there to somebody else", "failovers"),
    measured("fastsip_destination_probe_results_total", "how probes ended", "probes", "result", PROBE_NAMES),
    timed("fastsip_destination_reply_seconds", "time until the first response from 101 to 299", "reply"),
    timed("fastsip_destination_answer_seconds", "time until the 2xx", "answer"),
    timed("fastsip_destination_probe_seconds", "time until a probe was answered", "probe"),
)
LEFT_OUT = Family(name="fastsip_metrics_left_out", kind="gauge", label="kind",
                  help="sets and destinations beyond the bounds, of which nothing is shown")

FAMILIES = (*STATUS, *SPANS, *WEBHOOKS, *STORE, TRANSACTIONS, *COUNTERS, OTHER_COUNTERS, OTHER_GAUGES, *SETS,
            *DESTINATIONS, *MEASURED, LEFT_OUT)


def label_names(family: Family) -> tuple[str, ...]:
    """All labels that its samples may have, in their order."""
    of_what: tuple[str, ...] = ()
    for families, names in ((SETS, ("set", "setid")), (DESTINATIONS + MEASURED, ("set", "setid", "destination")),
                            (WEBHOOKS, ("webhook",))):  # fmt: skip
        of_what = names if family in families else of_what
    shard = ("shard",) if family.by_shard else ()
    return (*of_what, *shard, *((family.label,) if family.label else ()), *family.words)
