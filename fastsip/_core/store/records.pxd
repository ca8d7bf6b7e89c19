# What a slot keeps of its call for its whole life.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from fastsip._core.base.address cimport flow_t

# What a running call needs of its policy; copied into the slot (64 bytes), so
# that a call fails over by the policy it started with.
cdef struct policy_copy_t:
    uint32_t policy_id
    uint8_t on_reasons      # bits of failure_reason
    uint8_t on_classes      # bit c-3 = class cxx, c = 3..5
    uint8_t flags           # POLICY_*
    uint8_t mark            # default mark
    uint32_t timeout_ms     # 0 = Timer B / F
    uint32_t progress_ms    # 0 = off
    uint32_t ring_ms        # 0 = off
    uint32_t budget_ms      # 0 = none
    uint16_t exhausted      # code, 0 = best response
    uint16_t unavailable    # code
    uint16_t on_codes[10]   # 0 ends
    uint8_t mark_reasons    # two bits per reason: timeout, progress, ring, transport
    uint8_t mark_codes      # two bits each for 4xx, 5xx, 500, 503; see policies
    uint8_t reserve[10]

# Each has a row in kinds.
cdef enum slot_kind:
    KIND_FREE = 0
    KIND_SERVER_INVITE = 1
    KIND_SERVER_OTHER = 2
    KIND_CLIENT_INVITE = 3
    KIND_CLIENT_OTHER = 4

# What a slot has committed to send but may not have sent yet (bits).  An ACK is
# never owed: the callee repeats its final response until it has one.
cdef enum owes_bit:
    OWES_RESPONSE = 1       # server: its response block, to the caller
    OWES_REQUEST = 2        # client: its request block, to the next hop
    OWES_CANCEL = 4         # client: a CANCEL made from its request block

# A message in the blocks.  len 0 = none.
cdef struct block_t:
    uint32_t unit
    uint32_t len

cdef enum server_flag:
    SERVER_CANCELLED = 1    # a CANCEL came
    SERVER_DECIDED = 2      # the final answer is chosen; no new branch
    SERVER_PROGRESSED = 4   # a 101-199 went to the caller
    SERVER_MARKED = 8       # this call has marked a destination down
    SERVER_LAST_GROUP = 16  # a branch failed in a way that `on` does not name: no other group follows
    SERVER_UNREACHED = 32   # a branch failed by transport: a 503 that ranks behind every answer (16.9)

# What the request as sent says of the name that its search followed; 0 = it followed none, or may not move on.
cdef enum by_name:
    BY_NEXT_HOP = 1         # the header that the rule names, else the first Route, else the Request-URI
    BY_STRICT_ROUTER = 2    # the Request-URI, whatever Routes follow (16.6 item 6)

cdef enum client_flag:
    CLIENT_ABANDONED = 1    # timed out: a late 2xx still wins, nothing else does
    CLIENT_HAS_ACK = 2      # the request block holds the ACK to repeat
    CLIENT_MOVED_ON = 4     # the search went on without waiting for its final
    CLIENT_CANCEL_ANSWERED = 8
    CLIENT_UNREACHABLE = 16  # ICMP said once that its host or network is unreachable

# The changing part of a server transaction and its response context.
cdef struct server_record_t:
    block_t kept            # a request that waits to be routed (parking); once cancelled, the caller's Reason lines
    block_t response        # the last response that the caller was sent
    block_t best            # the best final response so far (16.7 item 6)
    uint64_t retransmit_ms  # Timer G; of a non-INVITE the 100 of RFC 4320.  Absolute; 0 = does not run
    uint64_t expire_ms      # Timer H, I, J or L; the wait for a name (parking)
    uint16_t interval_ms    # of Timer G
    uint16_t last_status    # of `response`, or of the 2xx passed on
    uint16_t best_status
    uint8_t attempt_count   # branches published; higher-numbered children are void
    uint8_t flags           # server_flag
    uint8_t reserve[16]

# The changing part of a client transaction (one branch).
cdef struct client_record_t:
    block_t request         # as sent; after a final response the ACK
    uint64_t retransmit_ms  # Timer A or E
    uint64_t expire_ms      # Timer B or F, or timeout; progress, ring; Timer D or M
    uint64_t c_ms           # Timer C; 0 = not running
    uint16_t interval_ms    # of Timer A or E
    uint16_t last_status    # the highest
    uint8_t flags           # client_flag
    uint8_t reason          # failure_reason that a cancelling branch stands for
    uint8_t reserve[26]

cdef union record_t:
    server_record_t server
    client_record_t client
    uint8_t raw[64]

cdef struct server_identity_t:
    flow_t source           # where responses go
    policy_copy_t policy
    uint32_t rule_id
    uint32_t set_id         # by name in a dialog: of the set that the token names, whose border is crossed
    uint32_t tried[16]      # by attempt, MAX_ATTEMPTS: destination ids; of a name's addresses names.place_mark
    uint8_t ruri            # ruri_mode of the rule, or 255 = the set's
    uint8_t breadth         # what concurrent branches may share: Max-Breadth, 1..60 (RFC 5393)
    uint8_t by_name         # by_name: what the first hop was found by
    uint8_t reserve0
    uint32_t stand_in_id    # in a dialog: the destination that is tried next; 0 = whoever ranks next
    uint8_t reserve[8]

cdef struct client_identity_t:
    flow_t target
    uint32_t destination_id  # 0 = none (a next hop by route)
    uint32_t destination_hint  # its index in the table of that time
    uint16_t ruri_len       # bytes at the block's end: the Request-URI before this branch changed it
    uint16_t taken_len      # before these: header lines that the way out took; another way starts with them
    uint16_t brought        # bytes of header lines, behind all others, that the way out brought
    uint16_t reserve0
    uint32_t border_id      # set whose border the token of a dialog named for a next hop elsewhere; 0 = none
    uint8_t reserve[132]

cdef union identity_t:
    server_identity_t server
    client_identity_t client
    uint8_t raw[192]

cdef inline bint is_server(int kind) noexcept nogil:
    return kind == KIND_SERVER_INVITE or kind == KIND_SERVER_OTHER

# Which bits of owes_bit a kind may have.
cdef inline int may_owe(int kind) noexcept nogil:
    return OWES_RESPONSE if is_server(kind) else OWES_REQUEST | OWES_CANCEL

# Has it a parent?  As the table of kinds says (kinds).
cdef inline bint is_child(int kind) noexcept nogil:
    return kind == KIND_CLIENT_INVITE or kind == KIND_CLIENT_OTHER

cdef enum client_state:
    CALLING = 1
    CLIENT_PROCEEDING = 2
    CANCEL_PENDING = 3      # a CANCEL waits for the first provisional (9.1)
    CANCELLING = 4          # CANCEL sent, its final response not yet here
    ABANDONED = 5           # timed out without a reply; listens until 64 T1
    CLIENT_COMPLETED = 6
    CLIENT_ACCEPTED = 7     # RFC 6026
    CLIENT_ENDED = 0

cdef enum server_state:
    TRYING = 1              # non-INVITE only
    SERVER_PROCEEDING = 2
    SERVER_COMPLETED = 3
    CONFIRMED = 4
    SERVER_ACCEPTED = 5     # RFC 6026
    SERVER_ENDED = 6        # waits for its branches to end

# Has a server transaction no final response yet?
cdef inline bint is_searching(int state) noexcept nogil:
    return state == TRYING or state == SERVER_PROCEEDING

# Does a client transaction wait for more than its own end?
cdef inline bint is_under_way(int state) noexcept nogil:
    return state == CALLING or state == CLIENT_PROCEEDING or state == CANCEL_PENDING or state == CANCELLING
