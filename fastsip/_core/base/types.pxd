# The words every kernel shares: result codes, ids, addresses, the index of a
# parsed message, the immutable routing table.  No code lives here.
#
# Offsets are 16 bit and count from the first byte of the message; a message is
# at most 65,535 bytes (design: limits are explicit).  Nothing here owns memory.

from libc.stdint cimport (int8_t, int16_t, int32_t, int64_t,
                          uint8_t, uint16_t, uint32_t, uint64_t)

# ---------------------------------------------------------------- results

# Kernels return >= 0 for a value or a count, one of these below zero.
cdef enum result_code:
    OK = 0
    E_PARTIAL = -1          # more bytes are needed (streams only)
    E_NOT_SIP = -2          # no SIP start line: ignored, counted
    E_EMPTY = -3            # nothing but CR, LF, blanks or NULs: keep-alive
    E_START_LINE = -4       # looks like SIP but the start line is broken
    E_VERSION = -5          # SIP-Version is not 2.0 (505)
    E_HEADER = -6           # the headers break off inside of a line
    E_TOO_MANY_HEADERS = -7
    E_TOO_MANY_VIAS = -8
    E_TOO_LARGE = -9        # beyond the configured message size (513)
    E_VIA = -10             # topmost Via missing or unreadable, or its branch longer than MAX_TOKEN
    E_FROM = -11
    E_TO = -12
    E_CALL_ID = -13         # missing, unreadable, or longer than MAX_TOKEN, as are the tags of From and To
    E_CSEQ = -14            # missing, unreadable, > 2**32-1 or method differs
    E_MAX_FORWARDS = -15    # not a number 0..255
    E_CONTENT_LENGTH = -16  # unreadable, or larger than the datagram's rest
    E_URI = -17             # a URI that had to be read cannot be
    E_SCHEME = -18          # a scheme that we do not route (416)
    E_ROUTE = -19           # a Route value that had to be read cannot be
    E_ROOM = -20            # the output does not fit
    E_FULL = -21            # no slot, block or ring entry is free
    E_NONE = -22            # nothing found, nothing usable
    E_BAD = -23             # any other unreadable value
    E_DUPLICATE = -24       # a header that may stand once stands twice
    E_MAX_BREADTH = -25     # not a number
    E_UNRESOLVED = -26      # a name whose address must be asked for first
    E_FORGED = -27          # a second token that is none of this dialog's
    E_HOME = -28            # the way leads back to ourselves
    E_NEXT_HOP = -29        # nobody lives at such an address, or it is not for strangers
    E_LONG_HEAD = -30       # start line and headers are longer than is read (513)

cdef enum:
    MAX_MESSAGE = 65535     # bytes
    MAX_HEAD = 8192         # bytes of start line and headers that are read of what comes in, unless configured
    MAX_HEADERS = 128
    MAX_VIAS = 64
    MAX_TOKEN = 512         # bytes of a Call-ID, a tag, a branch: what is hashed and kept of a sender's choice
    MAX_SENT_BY = 259       # bytes of host[:port] of a listener: a name of 253 letters and a port
    MAX_ATTEMPTS = 16       # branches of one response context
    MAX_BREADTH = 60        # of a request that says nothing, and the most that we believe (RFC 5393 5.3.3)
    MAX_LISTENERS = 16
    MAX_SHARDS = 64
    PARTITIONS = 64
    NO_HEADER = 255         # end of a header chain

cdef enum method_id:
    M_OTHER = 0
    M_INVITE
    M_ACK
    M_BYE
    M_CANCEL
    M_OPTIONS
    M_REGISTER
    M_PRACK
    M_SUBSCRIBE
    M_NOTIFY
    M_PUBLISH
    M_INFO
    M_REFER
    M_MESSAGE
    M_UPDATE
    METHOD_COUNT

cdef enum header_id:
    H_OTHER = 0
    H_VIA
    H_FROM
    H_TO
    H_CALL_ID
    H_CSEQ
    H_MAX_FORWARDS
    H_CONTENT_LENGTH
    H_ROUTE
    H_RECORD_ROUTE
    H_CONTACT
    H_CONTENT_TYPE
    H_REQUIRE
    H_PROXY_REQUIRE
    H_SUPPORTED
    H_AUTHORIZATION
    H_PROXY_AUTHORIZATION
    H_WWW_AUTHENTICATE
    H_PROXY_AUTHENTICATE
    H_RETRY_AFTER
    H_REASON
    H_EXPIRES
    H_SESSION_EXPIRES
    H_REPLACES
    H_JOIN
    H_TARGET_DIALOG
    H_MAX_BREADTH
    H_TIMESTAMP
    HEADER_COUNT

cdef enum transport_id:
    T_NONE = 0              # not given
    T_UDP
    T_TCP
    T_TLS
    T_WS
    T_WSS
    T_SCTP
    T_OTHER

cdef enum scheme_id:
    S_OTHER = 0
    S_SIP
    S_SIPS
    S_TEL

cdef enum host_kind:
    HOST_NONE = 0
    HOST_NAME
    HOST_IPV4
    HOST_IPV6               # the span excludes the brackets

# ---------------------------------------------------------------- places

cdef struct span_t:
    uint16_t off
    uint16_t len            # 0 = absent or empty

# A network address.  All 24 bytes are compared and hashed, so zero it first.
cdef struct addr_t:
    uint8_t ip[16]          # IPv4 in the last four bytes, ::ffff: before them
    uint16_t port           # host order
    uint8_t family          # 4 or 6; 0 = no address
    uint8_t transport       # transport_id
    uint32_t scope          # IPv6 link-local only

# Where a message came from or goes to.  Named by listener id, never by socket:
# sockets do not survive the process, and streams come later.
cdef struct flow_t:
    addr_t remote
    uint32_t listener_id
    uint32_t conn_id        # streams; 0 for UDP
    uint32_t conn_generation
    uint32_t reserve

# ---------------------------------------------------------------- a message

cdef struct header_t:
    uint16_t name_off       # also where the header's first line begins
    uint16_t name_len       # 0 = a line that is no header: it goes on as it came
    uint16_t value_off      # first and last byte are not white space
    uint16_t value_len      # folds inside are left as they are
    uint16_t end_off        # one past the line end that closes the header
    uint8_t id              # header_id
    uint8_t next            # index of the next header of this id, or NO_HEADER

cdef struct via_t:
    span_t host
    span_t branch           # as received, with the magic cookie
    span_t received
    span_t hint             # value of our own parameter "fs"
    uint16_t off            # whole value, up to the comma or the header's end
    uint16_t len
    uint16_t params_off     # of the first ';', or the end of the value
    uint16_t port           # 0 = absent
    uint16_t rport          # value of rport, 0 = none
    uint16_t rport_off      # one past the parameter's name; 0 = no rport
    uint16_t rport_end      # one past its value
    uint16_t received_off   # as of rport
    uint16_t received_end
    uint8_t host_kind
    uint8_t transport
    uint8_t magic           # the branch begins with z9hG4bK
    uint8_t last            # nothing follows it in this header

# The index of one message.  Points into the caller's buffer and is valid as
# long as that buffer is; it is filled by parse_message and parse_routing.
cdef struct message_t:
    const char *buf
    uint32_t len            # of the datagram, without what lies behind the body (18.3)
    uint8_t is_request
    uint8_t method          # method_id; for a response: the CSeq's
    uint16_t status         # 0 for a request
    span_t method_name
    span_t ruri             # without headers behind "?", which may not stand there (19.1.1)
    span_t reason
    uint16_t headers_off    # where the first header begins
    uint16_t headers_end    # where the empty line begins; `len` when there is none
    uint16_t body_off
    uint16_t body_len       # by Content-Length, else the datagram's rest
    uint16_t header_count
    uint8_t first[28]       # [header_id] -> index of the first one; 28 = HEADER_COUNT
    uint8_t last[28]
    # filled by parse_routing
    uint8_t routing_done
    uint8_t cseq_method
    int16_t max_forwards    # -1 = absent
    uint32_t cseq
    span_t cseq_method_name
    span_t call_id
    span_t from_tag         # len 0 = absent; with `off` it stands there without a value
    span_t to_tag
    via_t via               # the topmost
    header_t headers[128]   # 128 = MAX_HEADERS

cdef struct uri_t:
    uint8_t scheme          # scheme_id; of S_OTHER nothing but its name is read
    uint8_t host_kind
    uint8_t transport       # of the parameter; T_NONE when absent
    uint8_t lr              # has a parameter lr, with or without value
    uint8_t phone           # user=phone: the user is a telephone number
    uint16_t port           # 0 = absent
    span_t scheme_name
    span_t user             # without password; as it stands (canonical_user says what is compared)
    span_t host             # without brackets
    span_t maddr
    span_t params           # from the first ';' to '?' or the end
    span_t headers          # after '?'
    uint16_t off
    uint16_t len

# One value of a From, To, Contact, Route or Record-Route header.
cdef struct name_addr_t:
    span_t display
    span_t uri              # without < >
    span_t params           # header parameters, from the first ';'
    uint16_t off            # the whole value
    uint16_t len
    uint8_t bracketed
    uint8_t last            # nothing follows it in this header

# ---------------------------------------------------------------- tables
# Compiled by Python, immutable, swapped by one pointer (R4, docs/design.md#shape).  Text lives in
# the table's own arena; ids come from the registry and are never reused.

cdef struct text_t:
    const char *at
    uint32_t len

# Keys of 64 bits and the number that each stands for (see index).
cdef struct index_t:
    uint32_t mask           # of places, a power of two
    uint64_t *keys          # [place], 0 = free
    uint32_t *values        # [place]

cdef enum algorithm_id:
    A_CALL_ID = 0
    A_FROM_URI = 1
    A_TO_URI = 2
    A_REQUEST_URI = 3
    A_ROUND_ROBIN = 4
    A_AUTH_USER = 5
    A_RANDOM = 6
    A_KEY = 7
    A_PRIORITY = 8
    A_WEIGHT = 9
    A_CALL_LOAD = 10
    A_RELATIVE_WEIGHT = 11
    A_PARALLEL = 12
    A_LATENCY = 13
    A_ORDERED_ROUND_ROBIN = 14
    A_SRV = 15

cdef enum ruri_mode:
    RURI_KEEP = 0
    RURI_HOST               # host and port become the destination's
    RURI_URI                # the whole Request-URI becomes the destination's
    RURI_OF_SET = 255       # of a rule: the set's own mode

cdef enum piece_id:
    PIECE_TEXT = 0
    PIECE_SOURCE            # address the request came from
    PIECE_LISTENER          # tag of the listener it came in by
    PIECE_CALL_ID

cdef struct piece_t:
    uint32_t kind           # piece_id
    text_t text             # PIECE_TEXT

# Headers that go, and the one that comes instead.
cdef struct header_edit_t:
    text_t name             # as it is written; of the headers that go, any case
    uint32_t letters        # bit 0 = "a": one-letter names that go, for they stand for one of these
    uint8_t prefix          # all go whose name begins with `name`
    uint32_t piece_count    # of the value that comes; 0 = none comes
    piece_t *pieces

cdef struct header_edits_t:
    uint32_t count
    header_edit_t *items

cdef struct listener_t:
    uint32_t id
    uint32_t tag_id
    uint32_t short_id       # hash of its tag, the same on each node; 10 bits, in tokens
    addr_t addr
    text_t sent_by          # host[:port] as it stands in Via and Record-Route
    text_t tag              # what {listener} stands for
    header_edits_t headers_in   # of every request that comes in here, before anything looks at it
    header_edits_t headers_out  # of every request that leaves here
    uint32_t udp_limit      # reserved

cdef struct probe_t:
    uint32_t interval_ms    # 0 = no probes
    uint32_t timeout_ms
    uint16_t rise
    uint16_t fall
    uint8_t mode            # 0 all, 1 only-failed, 2 marked, 3 none
    uint8_t reserve[3]
    uint64_t accept[12]     # bit (code - 100) of an accepted final response
    text_t method
    text_t from_uri

cdef struct destination_t:
    uint32_t id
    uint32_t short_id       # hash of its name, the same on each node; 30 bits, never 0, in tokens
    uint32_t cell           # index into the dispatcher's cells
    uint32_t set_index
    uint32_t weight
    int32_t priority
    uint32_t max_load
    addr_t addr
    uint32_t listener       # index of the listener it is reached from
    uint32_t next_edited    # index + 1 of the next one at this place whose set changes headers, 0 = none
    uint64_t seed           # keyed hash of the name, for rendezvous
    text_t uri
    text_t host_port        # for ruri = "host"
    probe_t probe

# Up to 64 members of a run, for what can be said of them together.
cdef struct block_t:
    double inverse          # 1 / the greatest of their weights
    uint8_t equal           # they all have that weight
    uint8_t reserve[7]

# Members of one tier that a key ranks: those with a weight, or those without, heaviest first.
cdef struct run_t:
    uint32_t count
    uint32_t block_count
    uint32_t *members       # indexes of destinations
    uint32_t *seeds         # what their hashes begin with; the last one fills the last block
    uint32_t *weights       # 1 for those without
    uint64_t *ties          # the whole seeds
    block_t *blocks

# Members of a set that are equally preferred: of one priority, or with tiers = false all.
cdef struct tier_t:
    uint32_t first          # of its destinations
    uint32_t end
    uint32_t weighted       # how many have a weight
    uint32_t reserve
    uint64_t *upto          # where weights share: [member] sum of the shares up to it, its own included
    uint64_t share_sum      # the last of them
    uint64_t stride         # weight, relative-weight: from one turn to the next; has no factor of the sum
    run_t runs[2]           # where keys rank: with a weight, without

cdef struct set_t:
    uint32_t id
    uint32_t short_id       # hash of its name, the same on each node; 10 bits, in tokens
    uint32_t dialog_policy  # index of the policy of in-dialog requests, where members stand in for each other
    uint8_t algorithm
    uint8_t ruri
    uint8_t in_dialog       # 0 pinned, 1 shared
    uint8_t tiers
    uint8_t when_all_down   # 0 fail, 1 try
    uint8_t reserve[3]
    uint32_t limit          # candidates at most, 1..MAX_ATTEMPTS
    uint32_t retry_ms       # a trial call for a destination down without probes
    uint32_t retry_after_max_ms
    uint32_t first          # of its destinations, which stand together,
    uint32_t count          # highest priority first, then file order
    uint32_t tier_count
    tier_t *tier_list       # highest first
    uint32_t position       # index of its per-shard positions
    uint64_t hash_key[2]    # for rendezvous, from `secret`
    text_t key_header       # algorithm "key": header whose value is hashed
    header_edits_t headers_out  # of every request to one of its destinations

cdef enum failure_reason:   # bits of policy_t.on_reasons, index of mark_*
    F_TIMEOUT = 1
    F_PROGRESS = 2
    F_RING = 4
    F_TRANSPORT = 8

cdef enum mark_id:
    MARK_NONE = 0
    MARK_SUSPECT = 1
    MARK_DOWN = 2

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
    uint8_t mark_codes      # two bits each for 4xx, 5xx, 500, 503; see tables
    uint8_t reserve[10]

cdef enum:
    POLICY_AFTER_PROGRESS = 1
    POLICY_MARK_LAST = 2
    POLICY_MARK_5XX_SET = 4     # which of mark_codes were given
    POLICY_MARK_4XX_SET = 8
    POLICY_MARK_500_SET = 16
    POLICY_MARK_503_SET = 32

cdef struct policy_t:
    policy_copy_t copy
    uint32_t then_set       # set index + 1; 0 = next candidate of the same set
    text_t exhausted_reason
    text_t unavailable_reason

cdef enum action_id:
    ACT_SET = 0
    ACT_REPLY
    ACT_FORWARD             # to the next hop that the request names
    ACT_PYTHON              # later

cdef struct network_t:
    uint8_t ip[16]          # as addr_t
    uint8_t bits            # of the 128: IPv4 prefixes + 96
    uint8_t family          # 4 or 6: "::/0" does not cover IPv4
    uint8_t reserve[6]

cdef enum condition_id:
    C_METHOD = 0
    C_USER
    C_USER_PREFIX
    C_DOMAIN
    C_SOURCE
    C_LISTEN
    C_HEADER
    C_TO_TAG
    C_USER_MATCH
    C_SOURCE_SET

cdef enum verdict_bit:
    HOLDS = 1               # the pattern is found if the text ends here
    SETTLED = 2             # nothing that follows changes that

# Patterns as one deterministic automaton.  A state is where its row begins, so that a step waits for one load
# and one addition; 0 is the first.
cdef struct pattern_t:
    uint16_t classes[256]   # byte -> class, from 1; bytes of one class are never told apart
    uint32_t *rows          # [state]: bits of verdict_bit; [state + class]: the state that follows

# One key of a `when`.  Its items are ORed; `negate` turns the outcome.
cdef struct condition_t:
    uint8_t kind            # condition_id
    uint8_t negate
    uint16_t methods        # C_METHOD: bits by method_id (M_OTHER: see texts)
    uint32_t count          # items in the array that the kind uses
    text_t *texts           # C_USER, C_USER_PREFIX, C_DOMAIN, C_METHOD others
    uint16_t *ports         # C_DOMAIN: beside each text; 0 = any port
    network_t *networks     # C_SOURCE
    uint32_t *tags          # C_LISTEN; C_SOURCE_SET: indexes of sets
    pattern_t *pattern      # C_USER_MATCH
    uint8_t header_id       # C_HEADER: texts[0] is the name, texts[1..] values
    uint8_t flag            # C_TO_TAG: wanted value; C_HEADER: 1 = presence only
    uint8_t compact         # C_HEADER: the one letter of the name's compact form, or 0
    uint8_t reserve[5]

cdef struct rule_t:
    uint32_t id
    uint8_t action          # action_id
    uint8_t record_route
    uint8_t ruri            # ruri_mode, or 255 = the set's
    uint8_t names_sources   # its conditions say which sources it is for
    uint32_t set_index
    uint32_t policy_index
    uint16_t reply_code     # ACT_REPLY; ACT_FORWARD: to a request without the header
    text_t reply_reason
    text_t forward          # ACT_FORWARD: header with the next hop's URI; len 0 = the Request-URI
    header_edits_t headers  # of what is sent on
    condition_t *conditions
    uint32_t condition_count

# Rules by what they ask for: each rule stands under the keys of one of its conditions (see rule_index).
cdef struct rule_list_t:
    uint32_t count
    uint32_t *rules         # indexes, in the order of the file

cdef struct rule_index_t:
    index_t keys            # -> index in lists
    rule_list_t *lists
    rule_list_t others      # rules that no key is made of
    uint32_t kinds          # bit condition_id: keys are made of such conditions
    uint64_t prefix_lens    # bit n: there are keys of n letters that users begin with
    uint32_t width_count
    network_t *widths       # family and bits of the networks that are keys
    uint32_t header_ids     # bit header_id: there are keys of such headers; bit 0: of headers without an id
    uint32_t longest_value  # bytes of a header's value that is part of a key; 0 = values are none
    uint32_t set_count
    uint32_t *sets          # that are keys as a whole; of the others each member's address is one

cdef struct clocks_t:
    uint32_t t1_ms
    uint32_t t2_ms
    uint32_t t4_ms
    uint32_t c_ms

cdef struct table_t:
    uint64_t version
    clocks_t clocks
    uint32_t max_message
    uint32_t max_head       # of a message that comes in
    uint32_t names_per_source  # questions a second that one source may cause
    uint32_t names_burst    # and at once
    uint64_t branch_key[2]  # from `secret`: the same on every node
    uint64_t other_branch_key[2]  # of the second secret, while they change: known, never made with
    uint32_t two_branch_keys
    uint64_t token_keys[2][2]  # the first signs, both verify
    uint32_t token_key_count
    uint32_t listener_count
    uint32_t set_count
    uint32_t destination_count
    uint32_t policy_count
    uint32_t rule_count
    uint32_t own_count
    uint32_t edits_out      # does any set or listener change what leaves?
    uint32_t most_blocks    # of a run
    listener_t *listeners
    set_t *sets
    destination_t *destinations
    index_t ids             # of sets, destinations, policies; members of shared sets by short id
    index_t places          # destinations by address
    policy_t *policies      # [0] is the default policy: no failover
    rule_t *rules
    rule_index_t *by_key    # NULL = the rules are so few that each is asked
    uint64_t letters[26]    # key of the header's name that a letter is short for, of those that are looked at
    index_t looked          # names of headers -> index in looked_at
    uint32_t looked_at_count
    condition_t *looked_at  # headers that routing depends on: what a loop is told from a spiral by
    text_t *own             # host names and addresses that are ours, lower case
    uint16_t *own_ports     # beside each; 0 = any port
    condition_t trusted     # C_SOURCE: networks that may send through us to outside
