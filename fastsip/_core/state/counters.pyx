"""What a shard counts, and the names by which `stats` knows it.  Nothing but numbers and names."""

# In the order of counter_id.
COUNTER_NAMES = (
    "datagrams", "requests", "responses", "invites", "handed_over", "handed_over_full",
    "retransmitted_requests", "retransmissions_sent", "timeouts", "failovers", "exhausted", "cancels",
    "not_sip", "keep_alives", "malformed", "stray_responses", "stray_acks", "refused_requests", "no_rule",
    "too_broad", "store_full", "over_share", "shed", "no_room", "transactions", "transactions_ended",
    "transport_failures", "abandoned", "late_answers", "probes", "probe_failures", "events_dropped",
    "receive_calls", "received", "send_calls", "sent", "sent_lost", "kernel_drops", "waits", "over_1300", "over_1472",
    "wakes",
    "loops", "forged_tokens", "relays_refused", "unknown_dialogs", "stand_ins", "routes_removed",
    "next_hops_refused", "edits_refused",
    "too_many_hops", "bad_extensions", "too_large", "unsupported", "unavailable", "replies_by_rule",
    "names_asked", "names_refused", "names_failed", "parked", "parked_dropped",
    "quarantined", "drained",
    *(f"bad_{what}" for what in (
        "start_line", "version", "header_line", "header_count", "via_count", "size", "via", "from", "to", "call_id",
        "cseq", "max_forwards", "content_length", "uri", "scheme", "route", "repetition", "max_breadth",
    )),
)
assert len(COUNTER_NAMES) == COUNTER_COUNT
