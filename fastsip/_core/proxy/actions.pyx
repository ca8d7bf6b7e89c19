"""What is done with a new request (16.5): its route set is followed, or the action of the first rule that matches.

A rule dispatches to a set, answers, or forwards to where the request itself wants to go.  Whatever is sent on opens
a response context: a server transaction with its first branch, or one that waits for the name of its next hop.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from fastsip._core.base.types cimport E_BAD, E_FULL, E_HOME, E_NEXT_HOP, E_ROOM, E_SCHEME, E_UNRESOLVED, OK
from fastsip._core.base.address cimport origin_t
from fastsip._core.sip.types cimport (
    M_INVITE, M_NOTIFY, M_OTHER, M_PRACK, M_REFER, M_SUBSCRIBE, S_OTHER, S_SIPS, message_t, uri_t,
)
from fastsip._core.store.records cimport (
    BY_NEXT_HOP, BY_STRICT_ROUTER, KIND_SERVER_INVITE, KIND_SERVER_OTHER, SERVER_PROCEEDING, TRYING, policy_copy_t,
)
from fastsip._core.store.slots cimport (
    NO_SLOT, give_slot, hash_call, holds_too_much, index_insert, partition_of_hash, share_of_hash, slot_at, slot_t,
    take_slot, write_identity,
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
from fastsip._core.proxy.hop cimport hop_t
from fastsip._core.proxy.refusals cimport refuse, refuse_overload, refuse_sips, refuse_stranger, refuse_unavailable
from fastsip._core.proxy.forward cimport forward_stateless
from fastsip._core.proxy.routes cimport leads_to_us, read_forward, route_t
from fastsip._core.proxy.next_hop cimport aim_by_route, aim_by_token
from fastsip._core.proxy.in_dialog cimport join_shared, may_follow_route
from fastsip._core.proxy.parking cimport park_search
from fastsip._core.proxy.targets cimport aim_by_rule, group_t, may_forward, read_breadth
from fastsip._core.proxy.context cimport start_branch, start_group

ctypedef void (*action_t)(shard_t *shard, const message_t *m, uint64_t key, const rule_t *rule, const uri_t *ruri,
                          const origin_t *origin, hop_t *hop) noexcept nogil


cdef void follow_route(shard_t *shard, const message_t *m, uint64_t key, const route_t *route, const origin_t *origin,
                       hop_t *hop) noexcept nogil:
    """16.5: a request with a route set needs no decision of ours.

    Some peers keep the URI that they called as Request-URI, which is still ours then: it leads to the destination that
    the token names.
    """
    cdef policy_copy_t policy = shard.table.policies[0].copy
    cdef uint64_t call_key = 0
    cdef uint32_t set_id = 0
    cdef bint kept_ours = leads_to_us(shard, m, &route.next)
    if kept_ours and aim_by_token(shard, route, hop) < 0:
        count(shard, N_UNKNOWN_DIALOGS)
        refuse(shard, m, origin, 481)
        return
    if not kept_ours and not may_follow_route(shard, m, route, origin):
        refuse_stranger(shard, m, origin)
        return
    hop.record_route = makes_dialogs(m.method) and (not hop.in_dialog or (m.method == M_NOTIFY and route.ours))
    hop.from_destination = find_by_address(shard.table, &origin.flow.remote)
    if not kept_ours and not go_by_route(shard, m, route, origin, hop):
        return
    if hop.in_dialog and hop.name.len == 0:
        set_id = join_shared(shard, m, route, hop, &policy, &call_key)
    open_search(shard, m, key, NULL, set_id, &policy, call_key, origin, hop)


cdef bint go_by_route(shard_t *shard, const message_t *m, const route_t *route, const origin_t *origin,
                      hop_t *hop) noexcept nogil:
    """Aims at the next hop that the request names, or at its name; False: there is no way, and that was answered."""
    cdef int code = aim_by_route(shard, m, route, origin, hop)
    if code == OK or code == E_UNRESOLVED:
        return True
    if code == E_SCHEME and route.next.scheme == S_SIPS:
        refuse_sips(shard, m, origin)
    elif code == E_SCHEME:
        refuse(shard, m, origin, 416)
    elif code == E_NEXT_HOP:
        count(shard, N_NEXT_HOPS_REFUSED)
        refuse(shard, m, origin, 403)
    elif code == E_HOME:
        count(shard, N_UNKNOWN_DIALOGS if hop.in_dialog else N_LOOPS)
        refuse(shard, m, origin, 481 if hop.in_dialog else 482)
    else:
        if code == E_BAD:
            count(shard, N_UNSUPPORTED)
        refuse(shard, m, origin, 500)
    return False


cdef void follow_rules(shard_t *shard, const message_t *m, uint64_t key, const uri_t *ruri, const origin_t *origin,
                       hop_t *hop) noexcept nogil:
    cdef int found = match_rules(shard.table, m, ruri, origin)
    cdef const rule_t *rule
    if found < 0:
        count(shard, N_NO_RULE)
        refuse(shard, m, origin, 416 if ruri.scheme == S_OTHER else 404)
        return
    rule = &shard.table.rules[found]
    hop.headers = &rule.headers
    hop.record_route = rule.record_route and makes_dialogs(m.method) and (not hop.in_dialog or m.method == M_NOTIFY)
    hop.from_destination = find_by_address(shard.table, &origin.flow.remote)
    ACTIONS[rule.action](shard, m, key, rule, ruri, origin, hop)


cdef bint makes_dialogs(int method) noexcept nogil:
    """Those of docs/wire.md#who-is-record-routed; NOTIFY again each time (RFC 6665 4.3)."""
    return (method == M_INVITE or method == M_SUBSCRIBE or method == M_REFER or method == M_NOTIFY
            or method == M_OTHER)


cdef void dispatch(shard_t *shard, const message_t *m, uint64_t key, const rule_t *rule, const uri_t *ruri,
                   const origin_t *origin, hop_t *hop) noexcept nogil:
    cdef policy_copy_t policy
    cdef uint64_t call_key
    cdef group_t group
    cdef uint32_t ref
    if aim_by_rule(shard, m, rule, ruri, read_breadth(m), &policy, &call_key, &group, hop) < 0:
        refuse_unavailable(shard, m, &shard.table.policies[rule.policy_index], origin)
        return
    ref = open_search(shard, m, key, rule, shard.table.sets[rule.set_index].id, &policy, call_key, origin,
                      hop)
    if ref != NO_SLOT and group.count > 1:
        start_group(shard, ref, m, &origin.flow.remote, NO_SLOT, &group, 1, hop)


cdef void answer_by_rule(shard_t *shard, const message_t *m, uint64_t key, const rule_t *rule, const uri_t *ruri,
                         const origin_t *origin, hop_t *hop) noexcept nogil:
    count(shard, N_REPLIES_BY_RULE)
    answer(shard, m, origin, rule.reply_code, &rule.reply_reason, NULL)


cdef void forward_by_rule(shard_t *shard, const message_t *m, uint64_t key, const rule_t *rule, const uri_t *ruri,
                          const origin_t *origin, hop_t *hop) noexcept nogil:
    """404: its Request-URI is ours, a number that no rule has.  482: the header names us, which is a loop."""
    cdef policy_t *rules_policy = &shard.table.policies[rule.policy_index]
    cdef policy_copy_t policy = rules_policy.copy
    cdef uint64_t call_key = 0
    cdef route_t route
    cdef int code
    if not may_forward(shard, rule, origin):
        refuse_stranger(shard, m, origin)
        return
    code = read_forward(m, rule, ruri, &route)
    if code == E_SCHEME:
        refuse(shard, m, origin, 416)
    elif code < 0:
        answer_by_rule(shard, m, key, rule, ruri, origin, hop)
    elif leads_to_us(shard, m, &route.next):
        refuse(shard, m, origin, 482 if rule.forward.len else 404)
    else:
        if rules_policy.then_set:
            call_key = selection_key(&shard.table.sets[rules_policy.then_set - 1], m, ruri)
        hop.timeout_ms = policy.timeout_ms
        if go_by_route(shard, m, &route, origin, hop):
            open_search(shard, m, key, rule, 0, &policy, call_key, origin, hop)


# [action_id]
cdef action_t[3] ACTIONS = [dispatch, answer_by_rule, forward_by_rule]


cdef void fill_server(shard_t *shard, const message_t *m, uint64_t key, const rule_t *rule, uint32_t set_id,
                      const policy_copy_t *policy, uint64_t call_key, const origin_t *origin, const hop_t *hop,
                      slot_t *identity) noexcept nogil:
    """The identity of a server transaction, which is written once: where answers go, the policy of today, the way to
    the set.  A request that has waited keeps the time at which it came.
    """
    memset(identity, 0, sizeof(slot_t))
    identity.key = key
    identity.parent = NO_SLOT
    identity.created_ms = shard.now_ms
    if shard.resumed.ref != NO_SLOT:
        identity.created_ms = slot_at(shard.store, shard.resumed.ref).created_ms
    identity.budget_ms = identity.created_ms + policy.budget_ms if policy.budget_ms else 0
    identity.call_key = call_key
    identity.cseq = m.cseq
    identity.method = m.method
    identity.in_dialog = hop.in_dialog
    reply_flow(m, origin, &identity.identity.server.source)
    identity.identity.server.policy = policy[0]
    identity.identity.server.set_id = set_id
    identity.identity.server.ruri = RURI_OF_SET
    identity.identity.server.stand_in_id = hop.next_stand_in
    identity.identity.server.breadth = <uint8_t>read_breadth(m)
    if hop.by_name and m.method != M_PRACK:
        identity.identity.server.by_name = BY_STRICT_ROUTER if hop.route_last.len else BY_NEXT_HOP
    if hop.by_name and hop.token_set and set_id == 0:
        identity.identity.server.set_id = shard.table.sets[hop.token_set - 1].id
    if rule != NULL:
        identity.identity.server.rule_id = rule.id
        identity.identity.server.ruri = rule.ruri


cdef uint32_t take_server(shard_t *shard, const message_t *m, const origin_t *origin, const hop_t *hop) noexcept nogil:
    """A free slot, or NO_SLOT when the partition is full of what must stay, or of this one call.

    The reserve is for dialogs that are proven, by a token or by a known source, since a To tag is easily invented.  All
    but known sources are bounded in what one call may hold: who chooses the Call-ID chooses the partition.
    """
    cdef uint64_t hashed = hash_call(shard.store, m.buf + m.call_id.off, m.call_id.len)
    cdef uint32_t partition = partition_of_hash(hashed)
    cdef uint8_t share = share_of_hash(hashed)
    cdef uint32_t ref
    if holds_too_much(shard.store, partition, share) and not is_known(shard.table, &origin.flow.remote):
        if not shed_lingering_of(shard, partition, share) or holds_too_much(shard.store, partition, share):
            count(shard, N_OVER_SHARE)
            return NO_SLOT
    ref = take_slot(shard.store, partition, share, False)
    if ref == NO_SLOT and hop.in_dialog and (hop.verified or is_known(shard.table, &origin.flow.remote)):
        ref = take_slot(shard.store, partition, share, True)
    if ref == NO_SLOT and shed_lingering(shard, partition):
        ref = take_slot(shard.store, partition, share, False)
    if ref == NO_SLOT:
        count(shard, N_STORE_FULL)
    return ref


cdef uint32_t open_search(shard_t *shard, const message_t *m, uint64_t key, const rule_t *rule, uint32_t set_id,
                          const policy_copy_t *policy, uint64_t call_key, const origin_t *origin,
                          const hop_t *hop) noexcept nogil:
    """Opens the response context: a server transaction with its first branch, or one that waits for the name of its
    next hop.

    The 100 leaves in the same batch (17.2.1), but only once nothing can refuse the search any more: a caller who has it
    does not repeat his request.  A request that has waited comes here again with its transaction.  NO_SLOT: it was
    refused, or went on without state.
    """
    cdef bint invite = m.method == M_INVITE
    cdef bint again = shard.resumed.ref != NO_SLOT
    cdef int kind = KIND_SERVER_INVITE if invite else KIND_SERVER_OTHER
    cdef int state = SERVER_PROCEEDING if invite else TRYING
    cdef uint32_t ref = shard.resumed.ref if again else take_server(shard, m, origin, hop)
    cdef slot_t identity
    cdef int code
    if ref == NO_SLOT:
        go_without_state(shard, m, origin, hop)
        return NO_SLOT
    fill_server(shard, m, key, rule, set_id, policy, call_key, origin, hop, &identity)
    write_identity(shard.store, ref, &identity)
    if hop.name.len:
        code = park_search(shard, ref, kind, state, m, origin, hop)
    else:
        code = start_branch(shard, ref, kind, state, m, &origin.flow.remote, NO_SLOT, hop)
        if code == E_FULL:
            count(shard, N_STORE_FULL)
    if code < 0:
        if not again:
            give_slot(shard.store, ref)
        if code == E_FULL:
            go_without_state(shard, m, origin, hop)
        elif code == E_ROOM:
            refuse(shard, m, origin, 513)
        else:
            refuse(shard, m, origin, 400)
        return NO_SLOT
    if not again:
        index_insert(shard.store, ref)
        count(shard, N_TRANSACTIONS)
    if invite and not again:
        answer(shard, m, origin, 100, NULL, NULL)
    return ref


cdef void go_without_state(shard_t *shard, const message_t *m, const origin_t *origin, const hop_t *hop) noexcept nogil:
    """The store is full: new calls are refused with Retry-After, dialogs go on without state (16.11)."""
    if not hop.in_dialog or hop.name.len or forward_stateless(shard, m, &origin.flow.remote, hop) < 0:
        refuse_overload(shard, m, origin)
