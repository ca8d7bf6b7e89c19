# What the proxy knows of the request that it is deciding about, and where that goes next.
#
# One request_t goes through all steps of 16.3 to 16.6 by pointer, and each fills its part: begin_request what came,
# targets.read_way what the request says of its way, the action of its rule (or its route set) where it goes.
# proxy/forward reads what came of it.  It lives on the stack of the step that began it, as long as its message.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset
from fastsip._core.base.types cimport MAX_ATTEMPTS, span_t, text_t
from fastsip._core.base.address cimport flow_t, origin_t
from fastsip._core.sip.types cimport M_INVITE, message_t, uri_t
from fastsip._core.store.records cimport (
    KIND_SERVER_INVITE, KIND_SERVER_OTHER, SERVER_PROCEEDING, TRYING, policy_copy_t,
)
from fastsip._core.store.slots cimport NO_SLOT
from fastsip._core.routing.types cimport header_edits_t, rule_t
from fastsip._core.wire.tokens cimport dialog_t, token_t

cdef enum:
    MAX_CUTS = 16

# What the Route headers of a request say (routes.read_route); or what a rule's `forward` says (routes.read_forward).
cdef struct route_t:
    uint8_t ours            # a leading value, or a strict router's Request-URI, named us
    uint8_t verified        # by a token of this dialog
    uint8_t forged          # how many tokens were there that are none of this dialog's
    uint8_t onward          # a value follows that is not ours
    int unreadable          # why that one cannot be read, a code; 0 = it can
    uri_t next              # that value, or the Request-URI
    int listener            # index of the one that our last value names, or E_NONE
    token_t token           # when verified; the whole one of a pair
    uint32_t passage        # of the value that was read last, and was ours; 0 = it had no token, or an old one
    uint8_t of_pair         # that value was the short one of a pair
    dialog_t dialog         # what tokens are bound to

# Where a request goes next, and what of it changes for that.  Behind each field: the step that fills it; of a later
# branch addresses.reread_request fills what all branches have in common.
cdef struct hop_t:
    flow_t flow             # where to, by which listener: aim_at, aim_by_route, aim_by_token, aim_at_stand_in
    uint32_t destination_id     # 0 = a next hop by route: aim_at, join_shared, aim_at_stand_in
    uint32_t destination        # its index in the table: as destination_id
    uint32_t timeout_ms     # of the policy, for Timer B or F, 0 = these run: who chooses the policy, reread_request
    text_t name             # of the next hop while its address is not known, else len 0: find_name
    uint8_t name_kind       # what is asked of `name` (name_kind): find_name
    const uint32_t *tried   # place_mark of targets of a name that are wanted no more: aim_beyond
    uint16_t tried_count    # as tried
    uint8_t by_name         # `flow` leads to one of the targets of a name: find_name
    uint8_t more            # and there is another one, should this one say nothing: aim_by_route
    uint8_t destinations_only   # of these targets none but places of destinations: aim_beyond, leads_elsewhere
    text_t ruri             # the new Request-URI, len 0 = as it is: aim_ruri; read_route for strict routers
    uint32_t came_by        # id of the listener the request came in by: begin_hop
    uint64_t loop           # loops.loop_value as received: read_way.  A later branch reads it from our Via
    int from_destination    # index of who sent it, below 0 = from elsewhere: follow_route, follow_rules, reread_request
    text_t route_last       # what becomes the last Route value, or len 0 (16.6 item 6): read_route
    uint32_t next_stand_in  # id of who is tried after this one in a dialog, 0 = whoever ranks next: join_shared
    uint8_t ruri_for_good   # `ruri` holds for all branches, as a strict router had put ours there (16.4): read_route
    uint8_t stand_in        # the leading Routes name this hop now (docs/wire.md#renamed-routes): aim_at_stand_in
    uint8_t record_route    # stay on the way of the dialog (16.6 item 4): follow_route, follow_rules, reread_request
    uint8_t breadth         # Max-Breadth of the branch, 0 = what the request says (RFC 5393): aim_by_rule, start_group
    uint8_t cut_count       # read_route, or leave_route when the rules decide
    span_t cuts[MAX_CUTS]   # Route headers and values of the request as received that go: as cut_count
    const header_edits_t *headers  # of the rule, for the request as received, NULL = none: follow_rules, aim_as_invite
    uint32_t token_set      # index + 1 of the set that a token leads to, 0 = none: read_way, aim_at_next_address

# Of what kind somebody is to whom a request may be sent: who finds one says it, targets.aim_at goes by it.
cdef enum candidate_kind:
    TO_DESTINATION = 0      # of a set
    TO_STAND_IN = 1         # another member of a shared set, in its dialogs
    TO_ADDRESS = 2          # the next target of a name: the hop is aimed by whoever finds it

cdef struct candidate_t:
    uint32_t kind           # candidate_kind
    uint32_t index          # of destination and stand-in, in the table

# What is tried together.
cdef struct group_t:
    uint32_t count
    candidate_t candidates[MAX_ATTEMPTS]
    uint8_t breadth         # that its branches share, 0 = each says what the request says

# A group of one.
cdef inline void name_one(group_t *group, int kind, uint32_t index) noexcept nogil:
    group.count = 1
    group.candidates[0].kind = kind
    group.candidates[0].index = index

# Whom a request may be sent to (the target set of 16.5).  It is not listed: each group is chosen when it starts.
cdef struct targets_t:
    uint32_t set_id         # of whose destinations; 0 = of none
    uint32_t policy_id      # whose `then` names the set behind it
    uint64_t call_key       # by which the set's algorithm chooses
    const uint32_t *tried   # ids of those that were tried
    uint32_t tried_count
    bint is_call            # an INVITE outside of a dialog: limits of calls a second count it

# What a response context is opened with (actions.open_search).
cdef struct opening_t:
    const rule_t *rule      # that the request met; NULL = its route set decides
    const policy_copy_t *policy
    targets_t targets
    group_t group           # of a set, chosen first (aim_by_rule); a next hop by route has none

cdef struct request_t:
    const message_t *m
    const origin_t *origin  # where it came from: begin_request; of a later branch aim_beyond, while that aims
    uint32_t earlier        # the branch that it was read back from, NO_SLOT = it is as received: reread_request
    uint32_t resumed        # its server transaction, when it has waited for a name; NO_SLOT = it is new: route_again
    uint64_t paid_name      # hash of the name that its sender has paid a question for, 0 = none: route_again
    uint8_t waits           # it waits for a name, again or still: park_search
    uint8_t in_dialog       # it has a To tag, or a token that proves the dialog: read_way
    uint8_t breadth         # its Max-Breadth, at most MAX_BREADTH: is_refused, aim_as_invite
    uint64_t key            # of its server transaction: whoever looked for that
    uri_t ruri              # read_way
    route_t route           # read_way; forward_by_rule and aim_as_invite when a rule's `forward` takes its place
    hop_t hop               # read_way begins it

# The only place where a hop becomes zero; `came_by` is the id of a listener.
cdef inline void begin_hop(hop_t *hop, uint32_t came_by) noexcept nogil:
    memset(hop, 0, sizeof(hop_t))
    hop.came_by = came_by

# A request as received: nothing is known of it but where it came from.
cdef inline void begin_request(request_t *request, const message_t *m, const origin_t *origin) noexcept nogil:
    request.m = m
    request.origin = origin
    request.earlier = NO_SLOT
    request.resumed = NO_SLOT
    request.paid_name = 0
    request.waits = False
    request.in_dialog = False

# A search by this rule (NULL = by the route set) and policy; of no set until somebody names one.
cdef inline void begin_opening(opening_t *opening, const rule_t *rule, const policy_copy_t *policy) noexcept nogil:
    opening.rule = rule
    opening.policy = policy
    opening.targets.set_id = 0
    opening.targets.policy_id = policy.policy_id
    opening.targets.call_key = 0
    opening.targets.tried = NULL
    opening.targets.tried_count = 0
    opening.targets.is_call = False
    opening.group.count = 0

# Kind and first state of the server transaction of a request (17.2): a non-INVITE begins in Trying.
cdef inline int server_kind(int method) noexcept nogil:
    return KIND_SERVER_INVITE if method == M_INVITE else KIND_SERVER_OTHER

cdef inline int first_state(int method) noexcept nogil:
    return SERVER_PROCEEDING if method == M_INVITE else TRYING
