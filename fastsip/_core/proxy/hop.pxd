# Where a request goes next, and what of it changes for that: filled step by step, read by proxy/forward.
#
# For a new request targets.read_way begins it, for a later branch addresses.begin_hop; all else is 0 then.  Who aims
# fills `flow` with what goes with it: targets.aim_at a destination, next_hop.aim_by_route what the request names,
# next_hop.aim_by_token what our token says, in_dialog.aim_at_stand_in another member of a shared set.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from fastsip._core.base.types cimport span_t, text_t
from fastsip._core.base.address cimport flow_t
from fastsip._core.routing.types cimport header_edits_t

cdef enum:
    MAX_CUTS = 16

cdef struct hop_t:
    # who aims
    flow_t flow
    uint32_t destination_id     # 0 = a next hop by route (aim_at, join_shared, aim_at_stand_in)
    uint32_t destination        # its index in the table
    uint32_t timeout_ms         # of the policy, shortens Timer B or F; 0 = it does not
    text_t name                 # of the next hop, while its address is not known (find_name); len 0 = `flow` says it
    const uint32_t *tried       # place_mark of addresses of a name that are wanted no more (aim_beyond)
    uint16_t tried_count
    uint8_t by_name             # `flow` leads to one of the addresses of a name (find_name)
    text_t ruri                 # the new Request-URI (aim_ruri; as_ruri for strict routers), or len 0 = as it is
    # read_way, begin_hop
    uint32_t came_by            # id of the listener the request came in by
    uint64_t loop               # of the request as received (loops.loop_value); a later branch reads it from our Via
    # actions, begin_hop
    int from_destination        # index of the destination that the request came from, below zero = from elsewhere
    # read_route
    text_t route_last           # what becomes the last Route value, or len 0 (strict routers, 16.6 item 6)
    # join_shared
    uint32_t next_stand_in      # id of who is tried after this one in a dialog, 0 = whoever ranks next
    # read_route
    uint8_t ruri_for_good       # `ruri` holds for all branches: a strict router had put ours there (16.4)
    # aim_at_stand_in
    uint8_t stand_in            # the leading Routes name this hop now (docs/wire.md#renamed-routes)
    # actions, begin_hop
    uint8_t record_route        # 1 = stay on the way of the dialog (16.6 item 4)
    # targets.share_of
    uint8_t breadth             # Max-Breadth of the branch (RFC 5393); 0 = it says what the request says
    # read_route, or leave_route when the rules decide
    uint8_t cut_count
    span_t cuts[MAX_CUTS]       # Route headers and values of the request as received that go
    # follow_rules
    const header_edits_t *headers  # of the rule, for the request as received; NULL = none
    # read_way
    uint8_t in_dialog           # it has a To tag, or a token that proves the dialog
    uint8_t verified            # by such a token
    uint32_t token_set          # index + 1 of the set towards whose destination such a token leads, 0 = none
