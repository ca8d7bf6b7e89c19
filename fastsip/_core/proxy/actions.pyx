"""What is done with a new request (16.5): its route set is followed, or the action of the first rule that matches.

A rule dispatches to a set, answers, or forwards to where the request itself wants to go.  Whatever is sent on opens
a response context: a server transaction with its first branch, or one that waits for the name of its next hop.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from fastsip._core.base.types cimport E_BAD, E_FULL, E_HOME, E_NEXT_HOP, E_ROOM, E_SCHEME, E_UNRESOLVED, OK
from fastsip._core.base.address cimport addr_t
from fastsip._core.base.check cimport check
from fastsip._core.sip.types cimport (
    M_INVITE, M_NOTIFY, M_OTHER, M_PRACK, M_REFER, M_SUBSCRIBE, S_OTHER, S_SIPS, message_t,
)
from fastsip._core.store.records cimport BY_NEXT_HOP, BY_STRICT_ROUTER
from fastsip._core.store.slots cimport (
    NO_SLOT, give_slot, hash_call, holds_too_much, index_insert, partition_of_hash, share_of_hash, slot_at, slot_t,
    take_slot, word_kind, write_identity,
)
from fastsip._core.routing.types cimport RURI_OF_SET, policy_t, rule_t
from fastsip._core.routing.lookup cimport find_by_address
from fastsip._core.routing.rules cimport is_known, match_rules
from fastsip._core.dispatcher.keys cimport selection_key
from fastsip._core.state.counters cimport (
    N_LOOPS, N_NEXT_HOPS_REFUSED, N_NO_RULE, N_OVER_SHARE, N_REPLIES_BY_RULE, N_STORE_FULL, N_TRANSACTIONS,
    N_UNKNOWN_DIALOGS, N_UNSUPPORTED,
)
from fastsip._core.state.shard cimport count
from fastsip._core.transaction.lingering cimport shed_lingering, shed_lingering_of
from fastsip._core.transaction.replies cimport answer, reply_flow
from fastsip._core.proxy.request cimport begin_opening, hop_t, opening_t, server_kind
from fastsip._core.proxy.refusals cimport (
    refuse, refuse_overload, refuse_sips, refuse_stranger, refuse_unavailable, respond,
)
from fastsip._core.proxy.routes cimport leads_to_us, read_forward
from fastsip._core.proxy.next_hop cimport aim_by_route, aim_by_token
from fastsip._core.proxy.in_dialog cimport join_shared, may_follow_route
from fastsip._core.proxy.parking cimport park_search
from fastsip._core.proxy.targets cimport aim_by_rule, may_forward
from fastsip._core.proxy.forward cimport forward_stateless, start_branch, start_group

ctypedef void (*action_t)(shard_t *shard, request_t *request, const rule_t *rule) noexcept nogil


cdef void follow_route(shard_t *shard, request_t *request) noexcept nogil:
    """16.5: a request with a route set needs no decision of ours.

    Some peers keep the URI that they called as Request-URI, which is still ours then: it leads to the destination that
    the token names.
    """
    cdef hop_t *hop = &request.hop
    cdef bint kept_ours = leads_to_us(shard, request.m, &request.route.next)
    cdef bint records = makes_dialogs(request.m.method)
    cdef opening_t opening
    check(request.route.unreadable == 0)
    if kept_ours and aim_by_token(shard, request) < 0:
        count(shard, N_UNKNOWN_DIALOGS)
        refuse(shard, request, 481)
        return
    if not kept_ours and not may_follow_route(shard, request):
        refuse_stranger(shard, request)
        return
    hop.record_route = records and (not request.in_dialog or (request.m.method == M_NOTIFY and request.route.ours))
    hop.from_destination = find_by_address(shard.table, &request.origin.flow.remote)
    if not kept_ours and not go_by_route(shard, request):
        return
    begin_opening(&opening, NULL, &shard.table.policies[0].copy)
    if request.in_dialog and hop.name.len == 0:
        join_shared(shard, request, &opening)
    open_search(shard, request, &opening)


cdef bint go_by_route(shard_t *shard, request_t *request) noexcept nogil:
    """Aims at the next hop that the request names, or at its name; False: there is no way, and that was answered."""
    cdef int code = aim_by_route(shard, request)
    if code == OK or code == E_UNRESOLVED:
        check((code == E_UNRESOLVED) == (request.hop.name.len > 0))
        return True
    if code == E_SCHEME and request.route.next.scheme == S_SIPS:
        refuse_sips(shard, request)
    elif code == E_SCHEME:
        refuse(shard, request, 416)
    elif code == E_NEXT_HOP:
        count(shard, N_NEXT_HOPS_REFUSED)
        refuse(shard, request, 403)
    elif code == E_HOME:
        count(shard, N_UNKNOWN_DIALOGS if request.in_dialog else N_LOOPS)
        refuse(shard, request, 481 if request.in_dialog else 482)
    else:
        if code == E_BAD:
            count(shard, N_UNSUPPORTED)
        refuse(shard, request, 500)
    return False


cdef void follow_rules(shard_t *shard, request_t *request) noexcept nogil:
    """The first rule that matches decides; without one nobody is known here by this Request-URI (404)."""
    cdef const message_t *m = request.m
    cdef hop_t *hop = &request.hop
    cdef int found = match_rules(shard.table, m, &request.ruri, request.origin)
    cdef const rule_t *rule
    if found < 0:
        count(shard, N_NO_RULE)
        refuse(shard, request, 416 if request.ruri.scheme == S_OTHER else 404)
        return
    check(found < <int>shard.table.rule_count)
    rule = &shard.table.rules[found]
    hop.headers = &rule.headers
    hop.record_route = rule.record_route and makes_dialogs(m.method) and (not request.in_dialog
                                                                          or m.method == M_NOTIFY)
    hop.from_destination = find_by_address(shard.table, &request.origin.flow.remote)
    check(rule.action < 3)
    ACTIONS[rule.action](shard, request, rule)


cdef bint makes_dialogs(int method) noexcept nogil:
    """Those of docs/wire.md#who-is-record-routed; NOTIFY again each time (RFC 6665 4.3)."""
    return (method == M_INVITE or method == M_SUBSCRIBE or method == M_REFER or method == M_NOTIFY
            or method == M_OTHER)


cdef void dispatch(shard_t *shard, request_t *request, const rule_t *rule) noexcept nogil:
    """The first branch opens the response context; with `parallel` the others of its group follow at once."""
    cdef opening_t opening
    cdef uint32_t ref
    if aim_by_rule(shard, request, rule, &opening) < 0:
        refuse_unavailable(shard, request, &shard.table.policies[rule.policy_index])
        return
    check(opening.group.count > 0)
    ref = open_search(shard, request, &opening)
    if ref != NO_SLOT and opening.group.count > 1:
        start_group(shard, ref, request, &opening.group, 1)


cdef void answer_by_rule(shard_t *shard, request_t *request, const rule_t *rule) noexcept nogil:
    count(shard, N_REPLIES_BY_RULE)
    respond(shard, request, rule.reply_code, &rule.reply_reason, NULL)


cdef void forward_by_rule(shard_t *shard, request_t *request, const rule_t *rule) noexcept nogil:
    """What the rule's `forward` names takes the place of the request's own route.

    404: its Request-URI is ours, a number that no rule has.  482: the header names us, which is a loop.
    """
    cdef const policy_t *policy = &shard.table.policies[rule.policy_index]
    cdef opening_t opening
    cdef int code
    if not may_forward(shard, request, rule):
        refuse_stranger(shard, request)
        return
    code = read_forward(request.m, rule, &request.ruri, &request.route)
    if code == E_SCHEME:
        refuse(shard, request, 416)
    elif code < 0:
        answer_by_rule(shard, request, rule)
    elif leads_to_us(shard, request.m, &request.route.next):
        refuse(shard, request, 482 if rule.forward.len else 404)
    else:
        request.hop.timeout_ms = policy.copy.timeout_ms
        if not go_by_route(shard, request):
            return
        begin_opening(&opening, rule, &policy.copy)
        if policy.then_set:
            opening.targets.call_key = selection_key(&shard.table.sets[policy.then_set - 1], request.m, &request.ruri)
        open_search(shard, request, &opening)


# [action_id]
cdef action_t[3] ACTIONS = [dispatch, answer_by_rule, forward_by_rule]


cdef void fill_server(shard_t *shard, const request_t *request, const opening_t *opening,
                      slot_t *identity) noexcept nogil:
    """The identity of a server transaction, which is written once: where answers go, the policy of today, the way to
    the set.  A request that has waited keeps the time at which it came.
    """
    cdef const message_t *m = request.m
    cdef const hop_t *hop = &request.hop
    check(request.breadth > 0)              # as is_refused left it
    check(hop.came_by == request.origin.flow.listener_id)
    memset(identity, 0, sizeof(slot_t))
    identity.key = request.key
    identity.parent = NO_SLOT
    identity.created_ms = shard.now_ms
    if request.resumed != NO_SLOT:
        identity.created_ms = slot_at(shard.store, request.resumed).created_ms
    identity.budget_ms = identity.created_ms + opening.policy.budget_ms if opening.policy.budget_ms else 0
    identity.call_key = opening.targets.call_key
    identity.cseq = m.cseq
    identity.method = m.method
    identity.in_dialog = request.in_dialog
    reply_flow(m, request.origin, &identity.identity.server.source)
    identity.identity.server.policy = opening.policy[0]
    identity.identity.server.set_id = opening.targets.set_id
    identity.identity.server.ruri = RURI_OF_SET
    identity.identity.server.stand_in_id = hop.next_stand_in
    identity.identity.server.breadth = request.breadth
    if hop.by_name and m.method != M_PRACK:
        identity.identity.server.by_name = BY_STRICT_ROUTER if hop.route_last.len else BY_NEXT_HOP
    if hop.by_name and hop.token_set and opening.targets.set_id == 0:
        identity.identity.server.set_id = shard.table.sets[hop.token_set - 1].id
    if opening.rule != NULL:
        identity.identity.server.rule_id = opening.rule.id
        identity.identity.server.ruri = opening.rule.ruri


cdef uint32_t take_server(shard_t *shard, const request_t *request) noexcept nogil:
    """A free slot, or NO_SLOT when the partition is full of what must stay, or of this one call.

    The reserve is for dialogs that are proven, by a token or by a known source, since a To tag is easily invented.  All
    but known sources are bounded in what one call may hold: who chooses the Call-ID chooses the partition.
    """
    cdef const message_t *m = request.m
    cdef const addr_t *source = &request.origin.flow.remote
    cdef uint64_t hashed = hash_call(shard.store, m.buf + m.call_id.off, m.call_id.len)
    cdef uint32_t partition = partition_of_hash(hashed)
    cdef uint8_t share = share_of_hash(hashed)
    cdef uint32_t ref
    check(partition % shard.count == shard.number)      # of a call that this shard owns
    if holds_too_much(shard.store, partition, share) and not is_known(shard.table, source):
        if not shed_lingering_of(shard, partition, share) or holds_too_much(shard.store, partition, share):
            count(shard, N_OVER_SHARE)
            return NO_SLOT
    ref = take_slot(shard.store, partition, share, False)
    if ref == NO_SLOT and request.in_dialog and (request.route.verified or is_known(shard.table, source)):
        ref = take_slot(shard.store, partition, share, True)
    if ref == NO_SLOT and shed_lingering(shard, partition):
        ref = take_slot(shard.store, partition, share, False)
    if ref == NO_SLOT:
        count(shard, N_STORE_FULL)
    return ref


cdef uint32_t open_search(shard_t *shard, request_t *request, const opening_t *opening) noexcept nogil:
    """Opens the response context: a server transaction with its first branch, or one that waits for the name of its
    next hop.

    The 100 leaves in the same batch (17.2.1), but only once nothing can refuse the search any more: a caller who has it
    does not repeat his request.  A request that has waited comes here again with its transaction.  NO_SLOT: it was
    refused, or went on without state.
    """
    cdef bint again = request.resumed != NO_SLOT
    cdef uint32_t ref = request.resumed if again else take_server(shard, request)
    cdef slot_t identity
    cdef int code
    check(request.earlier == NO_SLOT)
    if ref == NO_SLOT:
        go_without_state(shard, request)
        return NO_SLOT
    fill_server(shard, request, opening, &identity)
    write_identity(shard.store, ref, &identity)
    if request.hop.name.len:
        code = park_search(shard, ref, request)
    else:
        code = start_branch(shard, ref, request)
        if code == E_FULL:
            count(shard, N_STORE_FULL)
    if code < 0:
        if not again:
            give_slot(shard.store, ref)
        if code == E_FULL:
            go_without_state(shard, request)
        elif code == E_ROOM:
            refuse(shard, request, 513)
        else:
            refuse(shard, request, 400)
        return NO_SLOT
    if again:
        return ref
    check(word_kind(slot_at(shard.store, ref).commit) == server_kind(request.m.method))
    index_insert(shard.store, ref)
    count(shard, N_TRANSACTIONS)
    if request.m.method == M_INVITE:
        answer(shard, request.m, request.origin, 100, NULL, NULL)
    return ref


cdef void go_without_state(shard_t *shard, request_t *request) noexcept nogil:
    """The store is full: new calls are refused with Retry-After, dialogs go on without state (16.11)."""
    if not request.in_dialog or request.hop.name.len or forward_stateless(shard, request) < 0:
        refuse_overload(shard, request)
