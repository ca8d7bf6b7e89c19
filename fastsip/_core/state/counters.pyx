"""What a shard counts: the names by which `stats` knows it, and what each means to an operator.

Nothing but numbers and words.  A name never changes, since graphs and alarms hang on it.  A label's values are bounded,
whatever a sender makes up: a method or status that no RFC names is counted among the others of its kind.
"""

from libc.string cimport memset

from fastsip._core.base.types cimport E_DUPLICATE, E_MAX_BREADTH, E_ROUTE, E_START_LINE

from fastsip._core.base.buckets import BOUNDS_MS
from fastsip._core.sip.words import METHOD_NAMES

# All that IANA lists, of RFC 3261 and those after it; then one place of each class for all others of it.
STATUSES = (
    100, 180, 181, 182, 183, 199, 200, 202, 204, 300, 301, 302, 305, 380, 400, 401, 402, 403, 404, 405, 406,
    407, 408, 410, 412, 413, 414, 415, 416, 417, 420, 421, 422, 423, 424, 425, 428, 429, 430, 433, 436, 437,
    438, 439, 440, 469, 470, 480, 481, 482, 483, 484, 485, 486, 487, 488, 489, 491, 493, 494, 500, 501, 502,
    503, 504, 505, 513, 555, 580, 600, 603, 604, 606, 607, 608,
)
STATUS_WORDS = (*map(str, STATUSES), *(f"{_class}xx" for _class in range(1, 7)))

# In the order of failover_id.
FAILOVERS = ("timeout", "progress", "ring", "transport", "retry_after", "503", "408", "3xx", "4xx", "5xx")
ANSWERED = ("2xx", "3xx", "4xx", "5xx", "6xx")
BUCKETS = (*(str(_bound) for _bound in BOUNDS_MS), "more")  # ms

assert (len(STATUS_WORDS), len(FAILOVERS), len(BUCKETS)) == (STATUS_COUNT, FAILOVER_COUNT, BUCKET_COUNT)

# (counter_id, name, help), in the order of counter_id.
COUNTERS = (
    (N_DATAGRAMS, "datagrams", "datagrams that a shard worked on"),
    (N_REQUESTS, "requests", "requests, repeated ones too"),
    (N_RESPONSES, "responses", "responses, repeated ones too"),
    (N_INVITES, "invites", "INVITEs that no transaction knew: new calls, and re-INVITEs"),
    (N_HANDED_OVER, "handed_over", "datagrams read by one shard and given to the one that owns the call"),
    (N_HANDED_OVER_FULL, "handed_over_full", "dropped on that way: the lane between the two shards was full"),
    (N_RETRANSMITTED_REQUESTS, "retransmitted_requests", "repeated requests that met their transaction"),
    (N_RETRANSMISSIONS_SENT, "retransmissions_sent", "requests, CANCELs and responses that the router repeated"),
    (N_TIMEOUTS, "timeouts", "branches that nobody answered within the policy's timeout"),
    (N_FAILOVERS, "failovers", "searches that went on to another destination or address"),
    (N_EXHAUSTED, "exhausted", "searches that failed after all destinations were tried"),
    (N_CANCELS, "cancels", "searches that the caller cancelled"),
    (N_NOT_SIP, "not_sip", "datagrams that are no SIP, ignored"),
    (N_KEEP_ALIVES, "keep_alives", "empty datagrams that keep a way open"),
    (N_MALFORMED, "malformed", "messages that could not be read, by reason in bad_*"),
    (N_STRAY_RESPONSES, "stray_responses", "responses that no branch waited for"),
    (N_STRAY_ACKS, "stray_acks", "ACKs that belong to no call, or only end an answer made without state"),
    (N_REFUSED_REQUESTS, "refused_requests", "requests that the router itself answered with 400 or above"),
    (N_NO_RULE, "no_rule", "requests that no rule matched: 404"),
    (N_TOO_BROAD, "too_broad", "requests whose Max-Breadth is used up: 440"),
    (N_STORE_FULL, "store_full", "requests without a transaction because the store was full"),
    (N_OVER_SHARE, "over_share",
        "requests or branches refused because one call holds more than is left for all others"),
    (N_SHED, "shed", "finished transactions that made room before their time"),
    (N_NO_ROOM, "no_room", "messages dropped or made shorter for want of memory"),
    (N_TRANSACTIONS, "transactions", "server transactions begun"),
    (N_TRANSACTIONS_ENDED, "transactions_ended", "server transactions ended"),
    (N_TRANSPORT_FAILURES, "transport_failures",
        "branches that failed by transport: ICMP, no route, no address of a name in time"),
    (N_ABANDONED, "abandoned", "branches given up without an answer, still listened to for a late 2xx"),
    (N_LATE_ANSWERS, "late_answers", "2xx passed on although another answer had been sent"),
    (N_PROBES, "probes", "probes sent to destinations"),
    (N_PROBE_FAILURES, "probe_failures", "probes that failed"),
    (N_EVENTS_DROPPED, "events_dropped", "reports to the log for which there was no room"),
    (N_RECEIVE_CALLS, "receive_calls", "calls of recvmmsg"),
    (N_RECEIVED, "received", "datagrams read from sockets"),
    (N_SEND_CALLS, "send_calls", "calls of sendmmsg"),
    (N_SENT, "sent", "datagrams sent"),
    (N_SENT_LOST, "sent_lost", "datagrams lost before the wire: full buffers, a listener that is gone"),
    (N_KERNEL_DROPS, "kernel_drops", "datagrams that the kernel dropped because a receive buffer was full"),
    (N_WAITS, "waits", "times that a shard waited for work"),
    (N_OVER_1300, "over_1300", "datagrams sent that are larger than 1,300 bytes"),
    (N_OVER_1472, "over_1472", "datagrams sent that are larger than 1,472 bytes, so in fragments on most networks"),
    (N_WAKES, "wakes", "times that a shard woke another one"),
    (N_LOOPS, "loops", "requests that came back as they were: 482"),
    (N_FORGED_TOKENS, "forged_tokens", "Routes with a token like ours that is not of their dialog"),
    (N_RELAYS_REFUSED, "relays_refused", "requests of strangers to strangers: 403"),
    (N_UNKNOWN_DIALOGS, "unknown_dialogs", "requests of dialogs that lead to ourselves and name no destination: 481"),
    (N_STAND_INS, "stand_ins", "requests of dialogs sent to another member of a shared set"),
    (N_ROUTES_REMOVED, "routes_removed", "requests of strangers whose Route was taken off"),
    (N_NEXT_HOPS_REFUSED, "next_hops_refused", "requests to an address that is no host, or this machine's own: 403"),
    (N_EDITS_REFUSED, "edits_refused", "requests whose headers could not be changed as their way demands"),
    (N_TOO_MANY_HOPS, "too_many_hops", "requests whose Max-Forwards is used up: 483"),
    (N_BAD_EXTENSIONS, "bad_extensions", "requests that require an extension of us: 420"),
    (N_TOO_LARGE, "too_large", "requests larger than limits allow: 513"),
    (N_UNSUPPORTED, "unsupported",
        "URI schemes, transports and address families that there is no way to: 416, 480, 500"),
    (N_UNAVAILABLE, "unavailable", "requests for which no destination could be tried"),
    (N_REPLIES_BY_RULE, "replies_by_rule", "requests answered by a rule"),
    (N_NAMES_ASKED, "names_asked", "names of next hops that DNS was asked for"),
    (N_NAMES_REFUSED, "names_refused", "names not asked for because their source had asked for too many"),
    (N_NAMES_FAILED, "names_failed", "next hops whose name has no address, or none in time"),
    (N_NAMES_CUT, "names_cut", "next hops whose name has more targets than 32, of which the best are used"),
    (N_TARGETS_RESTED, "targets_rested", "targets of names that did not answer, and are tried later for a while"),
    (N_PARKED, "parked", "requests that waited for the address of a name"),
    (N_PARKED_DROPPED, "parked_dropped", "requests for which there was no room to wait, or that waited too long"),
    (N_QUARANTINED, "quarantined", "datagrams refused because two routers had died of their like"),
    (N_DRAINED, "drained", "new calls refused while the router takes none: 503"),
    (N_HEP_SENT, "hep_sent", "messages sent to the collector of [hep]"),
    (N_HEP_LOST, "hep_lost", "messages that never left for it: full buffers, or nobody there who takes them"),
    *((N_BAD + place, f"bad_{what}", f"malformed: {why}") for place, (what, why) in enumerate((
        # E_START_LINE to E_ROUTE
        ("start_line", "the start line is broken"),
        ("version", "the SIP-Version is not 2.0"),
        ("header_line", "a header line breaks off"),
        ("header_count", "too many headers"),
        ("via_count", "too many Vias"),
        ("size", "larger than limits allow"),
        ("via", "Via is missing or unreadable"),
        ("from", "From is missing or unreadable"),
        ("to", "To is missing or unreadable"),
        ("call_id", "Call-ID is missing, unreadable or too long"),
        ("cseq", "CSeq is missing, unreadable or of another method"),
        ("max_forwards", "Max-Forwards is no number from 0 to 255"),
        ("content_length", "Content-Length is unreadable, or larger than the datagram"),
        ("uri", "a URI cannot be read"),
        ("scheme", "a URI of a scheme that is not routed"),
        ("route", "a Route value cannot be read"),
        # E_DUPLICATE, E_MAX_BREADTH
        ("repetition", "a header that may stand once stands twice"),
        ("max_breadth", "Max-Breadth is no number"),
    ))),
    (N_REPEATED_INVITES, "repeated_invites", "of retransmitted_requests: INVITEs"),
    (N_REPEATED_OTHERS, "repeated_others", "of retransmitted_requests: those of other methods"),
    (N_REPEATED_RESPONSES, "repeated_responses", "responses to a branch that had its final one already"),
    (N_RESENT_REQUESTS, "resent_requests", "of retransmissions_sent: requests"),
    (N_RESENT_CANCELS, "resent_cancels", "of retransmissions_sent: CANCELs"),
    (N_RESENT_RESPONSES, "resent_responses", "of retransmissions_sent: responses, by Timer G"),
    (N_REANSWERED, "reanswered", "responses sent again because their request came again"),
    (N_RESENT_PROBES, "resent_probes", "probes that the router repeated"),
    *((N_FAILED_OVER + place, f"failovers_{why}", f"of failovers: the last branch failed by {why}")
      for place, why in enumerate(FAILOVERS)),
    *((N_ANSWERED + place, f"answered_{what}", f"server transactions that were answered with a {what}")
      for place, what in enumerate(ANSWERED)),
    *((N_REQUESTS_IN + place, f"received_{what.lower()}", f"{what} requests received")
      for place, what in enumerate(METHOD_NAMES)),
    *((N_REQUESTS_OUT + place, f"sent_{what.lower()}", f"{what} requests sent")
      for place, what in enumerate(METHOD_NAMES)),
    *((N_RESPONSES_IN + place, f"received_{what}", f"{what} responses received")
      for place, what in enumerate(STATUS_WORDS)),
    *((N_RESPONSES_OUT + place, f"sent_{what}", f"{what} responses sent") for place, what in enumerate(STATUS_WORDS)),
    (N_ROUNDS, "rounds", "times that a shard looked at all that there is for it"),
    (N_LANE_BYTES, "lane_bytes", "bytes that other shards have handed to a shard and that wait there"),
    (N_TIMER_LAG_MS, "timer_lag_ms", "by how many ms timers fired late, added up"),
    *((N_TIMER_LAG + place, f"timer_lag_{most}", f"timers that fired late by so many ms at most: {most}")
      for place, most in enumerate(BUCKETS)),
    (N_ROUND_US, "round_us", "microseconds that a shard worked, of each round but its sending, added up"),
    *((N_ROUND + place, f"round_{most}", f"rounds of a shard that took so many ms at most: {most}")
      for place, most in enumerate(BUCKETS)),
)
COUNTER_NAMES = tuple(name for _, name, _ in COUNTERS)
COUNTER_HELP = {name: text for _, name, text in COUNTERS}

assert [number for number, _, _ in COUNTERS] == list(range(COUNTER_COUNT)), "COUNTERS goes by counter_id"
assert N_REPEATED_INVITES - N_BAD == E_START_LINE - E_ROUTE + 1 + E_DUPLICATE - E_MAX_BREADTH + 1

memset(STATUS_PLACES, 0, sizeof(STATUS_PLACES))
for _status in range(100, 700):
    STATUS_PLACES[<int>_status] = STATUS_WORDS.index(
        str(_status) if _status in STATUSES else f"{_status // 100}xx")
