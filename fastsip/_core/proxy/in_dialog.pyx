"""Requests of dialogs (docs/wire.md#requests-of-dialogs and docs/wire.md#stand-ins).

The next hop follows from route set and Request-URI alone.  Only where it is the
address of a destination of a set that is `shared` somebody else may take its
place: the stand-in that our token names, else the next usable one in the set's
ranking for this Call-ID.  Members of a pinned set know nothing of each other's
dialogs: a stand-in would answer 481 and end a call whose media still flows.
"""

from libc.stdint cimport uint32_t, uint64_t

from fastsip._core.base.types cimport E_NONE, MAX_ATTEMPTS, OK
from fastsip._core.base.address cimport addr_t, same_place
from fastsip._core.base.check cimport check
from fastsip._core.base.hashing cimport hash_text
from fastsip._core.sip.types cimport M_ACK, M_CANCEL, M_PRACK, message_t
from fastsip._core.store.slots cimport slot_t
from fastsip._core.routing.types cimport destination_t, set_t, table_t
from fastsip._core.routing.index cimport SHARED_AT_ADDRESS, SHARED_BY_NAME, find_place, find_short
from fastsip._core.routing.lookup cimport find_by_address, find_destination
from fastsip._core.routing.rules cimport is_known
from fastsip._core.dispatcher.choose cimport rank_next
from fastsip._core.dispatcher.usable cimport is_reachable
from fastsip._core.state.counters cimport N_FORGED_TOKENS, N_STAND_INS
from fastsip._core.state.shard cimport count
from fastsip._core.state.recall cimport recall_answer
from fastsip._core.proxy.request cimport begin_hop, begin_opening, route_t
from fastsip._core.proxy.routes cimport leads_to_us
from fastsip._core.proxy.next_hop cimport aim_by_route, aim_by_token

cdef enum:
    FEWEST_CANDIDATES = 2       # in a dialog, whatever `limit` says of new calls


cdef bint may_follow_route(shard_t *shard, const request_t *request) noexcept nogil:
    """May this request of a dialog go where its Route leads: its token verifies, its source is known, or the next hop
    is the exact address of a destination?

    So nobody relays by inventing a To tag or a Route.  A trusted network is trusted to send, not to be sent to.
    """
    cdef request_t asked
    if request.route.forged:
        count(shard, N_FORGED_TOKENS)
    if request.route.verified or is_known(shard.table, &request.origin.flow.remote):
        return True
    asked = request[0]              # its hop is not aimed by a question
    begin_hop(&asked.hop, request.hop.came_by)
    return aim_by_route(shard, &asked) == OK and find_by_address(shard.table, &asked.hop.flow.remote) >= 0


# ---------------------------------------------------------------- members of shared sets

cdef int find_shared(const table_t *table, const addr_t *addr, const route_t *route) noexcept nogil:
    """Index of the member of a shared set at this address; of several sets there, the member that the token names."""
    cdef int named = E_NONE
    if route.verified:
        named = find_place(table, SHARED_BY_NAME, addr, route.token.destination)
    return named if named >= 0 else find_place(table, SHARED_AT_ADDRESS, addr, 0)


cdef int named_stand_in(const table_t *table, const route_t *route, uint32_t index) noexcept nogil:
    """The stand-in that a verified token names for this destination, when it is a member of the same set."""
    if not route.verified or route.token.destination != table.destinations[index].short_id or not route.token.stand_in:
        return E_NONE
    return find_short(table, table.destinations[index].set_index, route.token.stand_in)


cdef uint64_t ranking_key(const set_t *of_set, const message_t *m) noexcept nogil:
    """As fill_token hashes the Call-ID: both must find the same stand-in."""
    return hash_text(of_set.hash_key, m.buf + m.call_id.off, m.call_id.len)


cdef int stand_in_for(shard_t *shard, const request_t *request, uint32_t index) noexcept nogil:
    """Who takes over from this destination: whom the token names, else who ranks next for the Call-ID."""
    cdef const destination_t *d = &shard.table.destinations[index]
    cdef int named = named_stand_in(shard.table, &request.route, index)
    check(index < shard.table.destination_count)
    if named >= 0 and is_reachable(shard.table, named, shard.known):
        return named
    return rank_next(shard.table, d.set_index, ranking_key(&shard.table.sets[d.set_index], request.m), &d.id, 1,
                     shard.known, shard.positions, shard.now_ms)


cdef void aim_at_stand_in(shard_t *shard, uint32_t index, hop_t *hop) noexcept nogil:
    cdef const destination_t *d
    check(index < shard.table.destination_count)
    d = &shard.table.destinations[index]
    hop.flow.remote = d.addr
    hop.flow.listener_id = shard.table.listeners[d.listener].id
    hop.destination_id = d.id
    hop.destination = index
    hop.stand_in = 1
    count(shard, N_STAND_INS)


cdef void join_shared(shard_t *shard, request_t *request, opening_t *opening) noexcept nogil:
    """The hop leads to a member of a shared set, so another one may stand in: at once when health says that the
    first is down.  A PRACK never moves on: only the server that sent the provisional response knows it (RFC 3262).
    """
    cdef hop_t *hop = &request.hop
    cdef const set_t *of_set
    cdef int index = find_shared(shard.table, &hop.flow.remote, &request.route)
    cdef int stand_in
    check(request.in_dialog)
    check(opening.rule == NULL)          # its route set led here
    if index < 0:
        return
    of_set = &shard.table.sets[shard.table.destinations[index].set_index]
    check(of_set.in_dialog)
    stand_in = stand_in_for(shard, request, index)
    hop.destination_id = shard.table.destinations[index].id
    hop.destination = index
    hop.next_stand_in = shard.table.destinations[stand_in].id if stand_in >= 0 else 0
    if stand_in >= 0 and not is_reachable(shard.table, index, shard.known):
        aim_at_stand_in(shard, stand_in, hop)
    if request.m.method != M_PRACK:
        begin_opening(opening, NULL, &shard.table.policies[of_set.dialog_policy].copy)
        hop.timeout_ms = opening.policy.timeout_ms
    opening.targets.set_id = of_set.id
    opening.targets.call_key = ranking_key(of_set, request.m)


cdef int next_stand_in(shard_t *shard, const slot_t *server, uint32_t tried_count) noexcept nogil:
    """Another member, each once for one request: first the stand-in that the first hop named, then by the ranking."""
    cdef const uint32_t *tried = &server.identity.server.tried[0]
    cdef int first = find_destination(shard.table, tried[0], 0)
    cdef int named = find_destination(shard.table, server.identity.server.stand_in_id, 0)
    cdef uint32_t set_index, i
    check(tried_count <= MAX_ATTEMPTS)
    if first < 0:
        return E_NONE
    set_index = shard.table.destinations[first].set_index
    if tried_count >= max(shard.table.sets[set_index].limit, FEWEST_CANDIDATES):
        return E_NONE
    for i in range(tried_count):
        if named >= 0 and tried[i] == shard.table.destinations[named].id:
            named = E_NONE
    if named >= 0 and is_reachable(shard.table, named, shard.known):
        return named
    return rank_next(shard.table, set_index, server.call_key, tried, tried_count, shard.known, shard.positions,
                     shard.now_ms)


# ---------------------------------------------------------------- without state

cdef void follow_answer(shard_t *shard, request_t *request) noexcept nogil:
    """The ACK of a 2xx goes where that 2xx came from (recall); if that is not known, to a stand-in of who is down."""
    cdef const addr_t *to = &request.hop.flow.remote
    cdef int index = find_shared(shard.table, to, &request.route)
    cdef int wanted
    if index < 0:
        return
    check(index < <int>shard.table.destination_count)
    wanted = find_destination(shard.table, recall_answer(shard, request.m), 0)
    if wanted < 0 and not is_reachable(shard.table, index, shard.known):
        wanted = stand_in_for(shard, request, index)
    if wanted >= 0 and not same_place(&shard.table.destinations[wanted].addr, to):
        aim_at_stand_in(shard, wanted, &request.hop)


cdef int aim_onward(shard_t *shard, request_t *request) noexcept nogil:
    """By the token when the next value is still ours, else by the Route."""
    if leads_to_us(shard, request.m, &request.route.next):
        return aim_by_token(shard, request)
    return aim_by_route(shard, request)


cdef int aim_in_dialog(shard_t *shard, request_t *request) noexcept nogil:
    """Aims an ACK or CANCEL of a dialog by the same test as its other requests; neither is ever answered.

    An ACK outside of a dialog acknowledges nothing that went through us.
    """
    cdef int code
    check((request.m.method == M_ACK) | (request.m.method == M_CANCEL))
    if (request.m.method == M_ACK and not request.in_dialog) or not may_follow_route(shard, request):
        return E_NONE
    code = aim_onward(shard, request)
    if code == OK:
        follow_answer(shard, request)
    return code
