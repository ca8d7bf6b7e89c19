# What is counted.  See counters.pyx.

from libc.stdint cimport uint8_t
from fastsip._core.base.buckets cimport BUCKET_COUNT
from fastsip._core.sip.types cimport METHOD_COUNT

# Why a search went on: what the branch that failed last failed by.
cdef enum failover_id:
    FAILOVER_TIMEOUT = 0
    FAILOVER_PROGRESS
    FAILOVER_RING
    FAILOVER_TRANSPORT
    FAILOVER_RETRY_AFTER              # a 503 that says when to come back
    FAILOVER_503
    FAILOVER_408
    FAILOVER_3XX
    FAILOVER_4XX
    FAILOVER_5XX
    FAILOVER_COUNT

cdef enum:
    STATUS_COUNT = 81           # those that RFCs name, and a class for the others of it

cdef uint8_t STATUS_PLACES[700]  # [status]

# Index of shard_t.counters; name and meaning of each stand in counters.pyx, in this order.
cdef enum counter_id:
    N_DATAGRAMS = 0
    N_REQUESTS
    N_RESPONSES
    N_INVITES
    N_HANDED_OVER
    N_HANDED_OVER_FULL
    N_RETRANSMITTED_REQUESTS    # repeated requests that met their transaction
    N_RETRANSMISSIONS_SENT      # ours
    N_TIMEOUTS
    N_FAILOVERS
    N_EXHAUSTED
    N_CANCELS
    N_NOT_SIP
    N_KEEP_ALIVES
    N_MALFORMED
    N_STRAY_RESPONSES
    N_STRAY_ACKS
    N_REFUSED_REQUESTS
    N_NO_RULE
    N_TOO_BROAD                 # Max-Breadth 0
    N_STORE_FULL
    N_OVER_SHARE                # of these: because of one call that holds more than is left for all others
    N_SHED                      # lingering transactions that made room
    N_NO_ROOM
    N_TRANSACTIONS
    N_TRANSACTIONS_ENDED
    N_TRANSPORT_FAILURES
    N_ABANDONED
    N_LATE_ANSWERS
    N_PROBES
    N_PROBE_FAILURES
    N_EVENTS_DROPPED
    N_RECEIVE_CALLS
    N_RECEIVED
    N_SEND_CALLS
    N_SENT
    N_SENT_LOST
    N_KERNEL_DROPS
    N_WAITS
    N_OVER_1300
    N_OVER_1472
    N_WAKES
    N_LOOPS
    N_FORGED_TOKENS             # like ours, but not of this dialog
    N_RELAYS_REFUSED            # strangers to strangers: 403, and ACKs without an answer
    N_UNKNOWN_DIALOGS
    N_STAND_INS                 # requests of dialogs that went to somebody else
    N_ROUTES_REMOVED            # of strangers
    N_NEXT_HOPS_REFUSED         # no host, or this machine's own for a stranger
    N_EDITS_REFUSED             # requests whose headers could not be changed as their way demands
    N_TOO_MANY_HOPS
    N_BAD_EXTENSIONS            # Proxy-Require
    N_TOO_LARGE
    N_UNSUPPORTED               # schemes, transports and families that we have no way to
    N_UNAVAILABLE               # no destination of the set could be tried
    N_REPLIES_BY_RULE
    N_NAMES_ASKED               # questions to the control plane
    N_NAMES_REFUSED             # questions for which a source had asked too much
    N_NAMES_FAILED              # requests whose next hop's name has no address, or none in time
    N_NAMES_CUT                 # requests whose next hop's name has more targets than are kept
    N_TARGETS_RESTED            # targets of names that are tried after others for a while
    N_PARKED                    # requests that waited for a name
    N_PARKED_DROPPED            # beyond what may wait, or without transaction and too long
    N_QUARANTINED               # datagrams that routers have died of
    N_DRAINED                   # new calls, while this router takes none
    N_HEP_SENT                  # messages to the collector
    N_HEP_LOST
    N_BAD                       # of N_MALFORMED, by result code: E_START_LINE to E_ROUTE, E_DUPLICATE, E_MAX_BREADTH
    N_REPEATED_INVITES = N_BAD + 18  # of N_RETRANSMITTED_REQUESTS, by kind
    N_REPEATED_OTHERS
    N_REPEATED_RESPONSES
    N_RESENT_REQUESTS           # of N_RETRANSMISSIONS_SENT, by kind
    N_RESENT_CANCELS
    N_RESENT_RESPONSES
    N_REANSWERED
    N_RESENT_PROBES
    N_FAILED_OVER               # of N_FAILOVERS, by failover_id
    N_ANSWERED = N_FAILED_OVER + FAILOVER_COUNT  # transactions, by the class of their first final response from 2xx on
    N_REQUESTS_IN = N_ANSWERED + 5  # by method_id
    N_REQUESTS_OUT = N_REQUESTS_IN + METHOD_COUNT
    N_RESPONSES_IN = N_REQUESTS_OUT + METHOD_COUNT  # by place of the status (STATUS_PLACES)
    N_RESPONSES_OUT = N_RESPONSES_IN + STATUS_COUNT
    N_ROUNDS = N_RESPONSES_OUT + STATUS_COUNT
    N_LANE_BYTES                # a gauge: what lies in the lanes to this shard
    N_TIMER_LAG_MS              # the sum
    N_TIMER_LAG                 # how many were how late, by bucket
    N_ROUND_US = N_TIMER_LAG + BUCKET_COUNT  # the sum
    N_ROUND                     # how many took how long, by bucket
    COUNTER_COUNT = N_ROUND + BUCKET_COUNT
