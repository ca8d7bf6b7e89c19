# The immutable routing table: compiled by Python, swapped by one pointer (docs/design.md#shape).
#
# Text lives in the table's own arena; ids come from the registry and are never reused.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from fastsip._core.base.types cimport text_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.store.records cimport policy_copy_t

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

# Who takes requests of dialogs: whom they are addressed to, or any member of the set.
cdef enum dialog_mode:
    DIALOG_PINNED = 0
    DIALOG_SHARED = 1

# With nobody usable in a set: refuse, or send to whoever is within his limits.
cdef enum all_down_mode:
    ALL_DOWN_FAIL = 0
    ALL_DOWN_TRY = 1

# Which destinations are probed.
cdef enum probe_mode:
    PROBE_ALL = 0
    PROBE_ONLY_FAILED = 1   # those that are down
    PROBE_MARKED = 2        # those that are down or failing
    PROBE_NONE = 3

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
    text_t sent_by          # host[:port] as it stands in Via
    text_t contact          # host[:port] as it stands in Record-Route
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
    uint8_t own_contact     # `headers` has a Contact, and the listener's is not written
    uint8_t reserve[2]
    uint64_t accept[12]     # bit (code - 100) of an accepted final response
    text_t method
    text_t from_uri
    text_t headers          # whole lines, Accept among them

# Calls a second, as a bucket of tokens.
cdef struct call_limit_t:
    uint64_t interval_ns    # from one call to the next; 0 = no limit
    uint64_t slack_ns       # by which a call may be early: what the bucket holds

cdef struct destination_t:
    uint32_t id
    uint32_t short_id       # hash of its name, the same on each node; 30 bits, never 0, in tokens
    uint32_t cell           # index into the dispatcher's cells
    uint32_t set_index
    uint32_t weight
    int32_t priority
    uint32_t max_load
    call_limit_t calls
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
    uint8_t call_fall       # failed calls in a row until down; 0 = the `fall` of the probe
    uint8_t call_rise       # answered calls in a row until up, where no probes decide; 0 = the `rise` of the probe
    uint8_t reserve
    uint32_t limit          # members of the target set at most, 1..MAX_ATTEMPTS
    uint32_t retry_ms       # a trial call for a destination down without probes
    uint32_t retry_after_max_ms
    uint32_t damping_ms     # going down again within it makes the way back longer; 0 = never
    uint32_t cell           # line of its own, if `calls` has a limit
    call_limit_t calls
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

cdef enum:
    POLICY_AFTER_PROGRESS = 1
    POLICY_MARK_LAST = 2
    POLICY_MARK_5XX_SET = 4     # which of mark_codes were given
    POLICY_MARK_4XX_SET = 8
    POLICY_MARK_500_SET = 16
    POLICY_MARK_503_SET = 32

cdef struct policy_t:
    policy_copy_t copy
    uint32_t then_set       # of the set that follows when this one is used up: index + 1; 0 = none
    text_t exhausted_reason
    text_t unavailable_reason

cdef enum action_id:
    ACT_SET = 0
    ACT_REPLY
    ACT_FORWARD             # to the next hop that the request names

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
    uint32_t target_ms      # for a target of a name that says nothing, while there is another

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
    uint64_t loop_key[2]    # of loop values: the same on every node, and it stays when `secret` changes
    uint64_t token_keys[2][2]  # the first signs, both verify
    uint32_t node           # short id of this router's name: where a token was made
    uint32_t token_key_count
    uint32_t listener_count
    uint32_t set_count
    uint32_t destination_count
    uint32_t policy_count
    uint32_t rule_count
    uint32_t own_count
    uint32_t transports     # bit per transport_id that a listener has
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
