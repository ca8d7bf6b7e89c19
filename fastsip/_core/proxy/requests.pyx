"""The way in: sanity, matching, routing (docs/design.md#routing, RFC 3261 16.3 to 16.6).

Order for every request: sanity → CANCEL, ACK and retransmissions → in-dialog by
route → the rules, in order, first match wins; inside a dialog only those that
ask for a To tag.  Responses go to their branch by
our hint, else by the index, else statelessly (docs/wire.md#stray-responses).
Never answers an ACK.  Called by shard with datagrams of calls that it owns.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from fastsip._core.base.types cimport (
    E_BAD, E_EMPTY, E_FORGED, E_FULL, E_HOME, E_NEXT_HOP, E_NOT_SIP, E_ROOM, E_ROUTE, E_SCHEME, E_TOO_MANY_VIAS,
    E_UNRESOLVED, E_URI, NO_HEADER, OK,
)
from fastsip._core.base.address cimport addr_t
from fastsip._core.base.atomics cimport load_relaxed32
from fastsip._core.sip.types cimport (
    H_PROXY_REQUIRE, M_ACK, M_CANCEL, M_INVITE, M_NOTIFY, M_OPTIONS, M_OTHER, M_PRACK, M_REFER, M_SUBSCRIBE, S_OTHER,
    S_SIPS, message_t, uri_t,
)
from fastsip._core.sip.parser cimport first_of, has_too_many_vias, parse_datagram, parse_routing
from fastsip._core.store.records cimport policy_copy_t
from fastsip._core.store.slots cimport (
    BY_NEXT_HOP, BY_STRICT_ROUTER, KIND_SERVER_INVITE, KIND_SERVER_OTHER, NO_SLOT, OWES_REQUEST, give_slot, hash_call,
    holds_too_much, index_insert, is_server, partition_of_hash, share_of_hash, slot_at, slot_t, take_slot,
    word_generation, word_kind, write_identity,
)
from fastsip._core.routing.types cimport RURI_OF_SET, policy_t, rule_t
from fastsip._core.routing.lookup cimport find_by_address
from fastsip._core.routing.rules cimport match_rules
from fastsip._core.dispatcher.keys cimport selection_key
from fastsip._core.wire.via cimport find_cancelled, find_server, has_local_tag
from fastsip._core.state.counters cimport (
    N_DATAGRAMS, N_DRAINED, N_EDITS_REFUSED, N_FORGED_TOKENS, N_INVITES, N_KEEP_ALIVES, N_LOOPS, N_NEXT_HOPS_REFUSED,
    N_NOT_SIP, N_NO_RULE, N_OVER_SHARE, N_RELAYS_REFUSED, N_REPLIES_BY_RULE, N_REQUESTS, N_RESPONSES, N_STORE_FULL,
    N_STRAY_ACKS, N_TRANSACTIONS, N_UNKNOWN_DIALOGS, N_UNSUPPORTED,
)
from fastsip._core.state.shard cimport count
from fastsip._core.transaction.machines cimport GOT_ACK, REPEATED, SEND_FAILED, SERVER_PROCEEDING, TRYING
from fastsip._core.transaction.lingering cimport shed_lingering, shed_lingering_of
from fastsip._core.transaction.client cimport read_request
from fastsip._core.transaction.replies cimport answer, answer_as, reply_flow
from fastsip._core.transaction.server cimport server_input
from fastsip._core.proxy.border cimport enter
from fastsip._core.proxy.hop cimport hop_t
from fastsip._core.proxy.refusals cimport (
    answer_options, count_malformed, refuse, refuse_malformed, refuse_overload, refuse_sips, refuse_unavailable,
)
from fastsip._core.proxy.forward cimport forward_stateless
from fastsip._core.proxy.routes cimport aim_by_route, aim_by_token, is_known, leads_to_us, read_forward, route_t
from fastsip._core.proxy.in_dialog cimport join_shared, may_follow_route
from fastsip._core.proxy.parking cimport begin_resumption, hold_request, park_search, read_parked, settle_parked
from fastsip._core.proxy.targets cimport group_t, read_breadth
from fastsip._core.proxy.context cimport branch_input, cancel_search, refuse_search, start_branch, start_group
from fastsip._core.proxy.responses cimport process_response
from fastsip._core.proxy.aiming cimport (
    aim_as_invite, aim_by_rule, comes_round, goes_by_rules, is_clear_sips, leave_route, may_forward, read_way,
)

ctypedef void (*action_t)(core_t *core, const message_t *m, uint64_t key, const rule_t *rule, const uri_t *ruri,
                          uint32_t listener, const addr_t *source, hop_t *hop) noexcept nogil

cdef void receive_message(core_t *core, const char *at, uint32_t len, uint32_t listener,
                          const addr_t *source) noexcept nogil:
    cdef message_t *m = &core.incoming
    cdef int code = parse_datagram(at, len, core.table.max_head, m)
    cdef int routing
    count(core, N_DATAGRAMS)
    if code == E_EMPTY:
        count(core, N_KEEP_ALIVES)
        return
    if code == E_NOT_SIP:
        count(core, N_NOT_SIP)
        return
    routing = parse_routing(m)
    if code == OK:
        code = routing
    if not m.is_request:
        count(core, N_RESPONSES)
        if code == OK:
            process_response(core, m, listener, source)
        else:
            count_malformed(core, code)
        return
    count(core, N_REQUESTS)
    if code != OK:
        refuse_malformed(core, m, code, listener, source)
    elif len > core.table.max_message:
        refuse(core, m, listener, source, 513)
    else:
        code = enter(core, listener, source)
        if code < 0:
            refuse_unedited(core, m, code, listener, source)
        elif m.method == M_ACK:
            process_ack(core, m, listener, source)
        elif m.method == M_CANCEL:
            process_cancel(core, m, listener, source)
        else:
            process_request(core, m, listener, source)


cdef void refuse_unedited(core_t *core, const message_t *m, int code, uint32_t listener,
                          const addr_t *source) noexcept nogil:
    """What a border or a strict router's way demands cannot be done to this request, so it ends here."""
    count(core, N_EDITS_REFUSED)
    if code == E_FULL:
        refuse_overload(core, m, listener, source)
    elif code == E_ROOM:
        refuse(core, m, listener, source, 513)
    else:
        refuse_malformed(core, m, code, listener, source)


cdef void process_request(core_t *core, const message_t *m, uint32_t listener, const addr_t *source) noexcept nogil:
    cdef int kind = KIND_SERVER_INVITE if m.method == M_INVITE else KIND_SERVER_OTHER
    cdef uint64_t key
    cdef uint32_t ref = find_server(core.store, m, kind, &key)
    if ref != NO_SLOT:
        server_input(core, ref, REPEATED, m, source)
        return
    if m.method == M_INVITE:
        count(core, N_INVITES)
    new_request(core, m, key, listener, source)


# ---------------------------------------------------------------- CANCEL and ACK

cdef void process_cancel(core_t *core, const message_t *m, uint32_t listener, const addr_t *source) noexcept nogil:
    """16.10, 9.2.  The 200 needs no transaction: the same CANCEL always finds the same request.

    To anything but an INVITE it has no effect.
    """
    cdef uint32_t ref = find_cancelled(core.store, m)
    cdef slot_t *slot
    if ref == NO_SLOT:      # its request is not known here: 16.11, with attempt 0's branch
        if not send_on(core, m, listener, source):
            refuse(core, m, listener, source, 481)
        return
    slot = slot_at(core.store, ref)
    answer_as(core, m, slot.key, core.table.listeners[listener].id, source, 200, NULL, NULL)
    if word_kind(slot.commit) == KIND_SERVER_INVITE:
        cancel_search(core, ref, m)


cdef bint send_on(core_t *core, const message_t *m, uint32_t listener, const addr_t *source) noexcept nogil:
    """Without state, at once or when the name of its next hop is known; False: it has no way."""
    cdef hop_t hop
    cdef int code = aim_as_invite(core, m, listener, source, &hop)
    if code == E_UNRESOLVED:
        hold_request(core, m, listener, source, &hop)
        return True
    if code < 0:
        if code == E_NEXT_HOP:
            count(core, N_NEXT_HOPS_REFUSED)
        return False
    if forward_stateless(core, m, source, &hop) < 0:
        count(core, N_EDITS_REFUSED)
        return False
    return True


cdef void process_ack(core_t *core, const message_t *m, uint32_t listener, const addr_t *source) noexcept nogil:
    """The ACK of a final response ends here; that of a 2xx goes on by its route set, without state."""
    cdef uint64_t key
    cdef uint32_t ref = find_server(core.store, m, KIND_SERVER_INVITE, &key)
    if ref != NO_SLOT and server_input(core, ref, GOT_ACK, m, source) == 0:
        return
    # of an answer that we made without state it has our tag
    if has_local_tag(m, key) or not send_on(core, m, listener, source):
        count(core, N_STRAY_ACKS)


# ---------------------------------------------------------------- a new request

cdef bint is_for_us(core_t *core, const message_t *m, const route_t *route, const hop_t *hop) noexcept nogil:
    """An OPTIONS that asks whether we are there (11.2): nobody behind us is meant, and no dialog."""
    return (m.method == M_OPTIONS and not hop.in_dialog and not route.onward and route.next.user.len == 0
            and leads_to_us(core, m, &route.next))


cdef bint is_refused(core_t *core, const message_t *m, uint32_t listener, const addr_t *source,
                     const hop_t *hop) noexcept nogil:
    """16.3 items 3 to 5 and Max-Breadth: answered, if one of them stops it."""
    cdef int status = 0
    cdef int breadth = read_breadth(m)
    if m.max_forwards == 0:
        status = 483
    elif comes_round(core, m, hop):
        status = 482
    elif first_of(m, H_PROXY_REQUIRE) != NO_HEADER:
        status = 420
    elif breadth == 0:
        status = 440
    elif breadth < 0:
        refuse_malformed(core, m, breadth, listener, source)
        return True
    if status:
        refuse(core, m, listener, source, status)
    return status != 0


cdef void new_request(core_t *core, const message_t *m, uint64_t key, uint32_t listener,
                      const addr_t *source) noexcept nogil:
    """16.3: the checks, in the order that gives the most useful answer."""
    cdef uri_t ruri
    cdef route_t route
    cdef hop_t hop
    cdef int code = E_TOO_MANY_VIAS
    if not has_too_many_vias(m):
        code = read_way(core, m, listener, source, &ruri, &route, &hop)
    if code == E_URI or code == E_TOO_MANY_VIAS:
        refuse_malformed(core, m, code, listener, source)
    elif (code == OK and not hop.in_dialog and core.resumed.ref == NO_SLOT and load_relaxed32(&core.draining)):
        count(core, N_DRAINED)
        refuse_overload(core, m, listener, source)
    elif code == OK and is_for_us(core, m, &route, &hop):
        answer_options(core, m, listener, source)
    elif is_refused(core, m, listener, source, &hop):
        return
    elif code == E_FORGED:
        count(core, N_FORGED_TOKENS)
        refuse_stranger(core, m, listener, source)
    elif code == E_FULL or code == E_ROOM:
        refuse_unedited(core, m, code, listener, source)
    elif code < 0:
        refuse_malformed(core, m, code, listener, source)
    elif is_clear_sips(core, m, &ruri):
        refuse_sips(core, m, listener, source)
    elif not goes_by_rules(core, m, &ruri, &route, listener, source):
        if route.unreadable:
            refuse_malformed(core, m, route.unreadable, listener, source)
        else:
            follow_route(core, m, key, &route, listener, source, &hop)
    elif leave_route(core, m, &route, &hop) < 0:
        refuse_malformed(core, m, E_ROUTE, listener, source)
    else:
        follow_rules(core, m, key, &ruri, listener, source, &hop)


cdef void follow_route(core_t *core, const message_t *m, uint64_t key, const route_t *route, uint32_t listener,
                       const addr_t *source, hop_t *hop) noexcept nogil:
    """16.5: what has a route set needs no decision of ours.

    A Request-URI that is still ours leads to the destination of the token: some peers keep the one they called.
    """
    cdef policy_copy_t policy = core.table.policies[0].copy
    cdef uint64_t call_key = 0
    cdef uint32_t set_id = 0
    cdef bint kept_ours = leads_to_us(core, m, &route.next)
    if kept_ours and aim_by_token(core, route, hop) < 0:
        count(core, N_UNKNOWN_DIALOGS)
        refuse(core, m, listener, source, 481)
        return
    if not kept_ours and not may_follow_route(core, m, route, source):
        refuse_stranger(core, m, listener, source)
        return
    hop.record_route = makes_dialogs(m.method) and (not hop.in_dialog or (m.method == M_NOTIFY and route.ours))
    hop.from_destination = find_by_address(core.table, source)
    if not kept_ours and not go_by_route(core, m, route, listener, source, hop):
        return
    if hop.in_dialog and hop.name.len == 0:
        set_id = join_shared(core, m, route, hop, &policy, &call_key)
    open_search(core, m, key, NULL, set_id, &policy, call_key, listener, source, hop)


cdef void refuse_stranger(core_t *core, const message_t *m, uint32_t listener, const addr_t *source) noexcept nogil:
    count(core, N_RELAYS_REFUSED)
    refuse(core, m, listener, source, 403)


cdef bint go_by_route(core_t *core, const message_t *m, const route_t *route, uint32_t listener, const addr_t *source,
                      hop_t *hop) noexcept nogil:
    """Aims at the next hop that the request names, or at its name; False: there is no way, and that was answered."""
    cdef int code = aim_by_route(core, m, route, listener, source, hop)
    if code == OK or code == E_UNRESOLVED:
        return True
    if code == E_SCHEME and route.next.scheme == S_SIPS:
        refuse_sips(core, m, listener, source)
    elif code == E_SCHEME:
        refuse(core, m, listener, source, 416)
    elif code == E_NEXT_HOP:
        count(core, N_NEXT_HOPS_REFUSED)
        refuse(core, m, listener, source, 403)
    elif code == E_HOME:
        count(core, N_UNKNOWN_DIALOGS if hop.in_dialog else N_LOOPS)
        refuse(core, m, listener, source, 481 if hop.in_dialog else 482)
    else:
        if code == E_BAD:
            count(core, N_UNSUPPORTED)
        refuse(core, m, listener, source, 500)
    return False


cdef void follow_rules(core_t *core, const message_t *m, uint64_t key, const uri_t *ruri, uint32_t listener,
                       const addr_t *source, hop_t *hop) noexcept nogil:
    cdef int found = match_rules(core.table, m, ruri, source, listener)
    cdef const rule_t *rule
    if found < 0:
        count(core, N_NO_RULE)
        refuse(core, m, listener, source, 416 if ruri.scheme == S_OTHER else 404)
        return
    rule = &core.table.rules[found]
    hop.headers = &rule.headers
    hop.record_route = rule.record_route and makes_dialogs(m.method) and (not hop.in_dialog or m.method == M_NOTIFY)
    hop.from_destination = find_by_address(core.table, source)
    ACTIONS[rule.action](core, m, key, rule, ruri, listener, source, hop)


cdef bint makes_dialogs(int method) noexcept nogil:
    """Those of docs/wire.md#who-is-record-routed; NOTIFY again each time (RFC 6665 4.3)."""
    return (method == M_INVITE or method == M_SUBSCRIBE or method == M_REFER or method == M_NOTIFY
            or method == M_OTHER)


cdef void dispatch(core_t *core, const message_t *m, uint64_t key, const rule_t *rule, const uri_t *ruri,
                   uint32_t listener, const addr_t *source, hop_t *hop) noexcept nogil:
    cdef policy_copy_t policy
    cdef uint64_t call_key
    cdef group_t group
    cdef uint32_t ref
    if aim_by_rule(core, m, rule, ruri, read_breadth(m), &policy, &call_key, &group, hop) < 0:
        refuse_unavailable(core, m, &core.table.policies[rule.policy_index], listener, source)
        return
    ref = open_search(core, m, key, rule, core.table.sets[rule.set_index].id, &policy, call_key, listener, source, hop)
    if ref != NO_SLOT and group.count > 1:
        start_group(core, ref, m, source, NO_SLOT, &group, 1, hop)


cdef void answer_by_rule(core_t *core, const message_t *m, uint64_t key, const rule_t *rule, const uri_t *ruri,
                         uint32_t listener, const addr_t *source, hop_t *hop) noexcept nogil:
    count(core, N_REPLIES_BY_RULE)
    answer(core, m, core.table.listeners[listener].id, source, rule.reply_code, &rule.reply_reason, NULL)


cdef void forward_by_rule(core_t *core, const message_t *m, uint64_t key, const rule_t *rule, const uri_t *ruri,
                          uint32_t listener, const addr_t *source, hop_t *hop) noexcept nogil:
    """A Request-URI of our own is a number that no other rule has; a header that names us would be a loop."""
    cdef policy_t *rules_policy = &core.table.policies[rule.policy_index]
    cdef policy_copy_t policy = rules_policy.copy
    cdef uint64_t call_key = 0
    cdef route_t route
    cdef int code
    if not may_forward(core, rule, source):
        refuse_stranger(core, m, listener, source)
        return
    code = read_forward(m, rule, ruri, &route)
    if code == E_SCHEME:
        refuse(core, m, listener, source, 416)
    elif code < 0:
        answer_by_rule(core, m, key, rule, ruri, listener, source, hop)
    elif leads_to_us(core, m, &route.next):
        refuse(core, m, listener, source, 482 if rule.forward.len else 404)
    else:
        if rules_policy.then_set:
            call_key = selection_key(&core.table.sets[rules_policy.then_set - 1], m, ruri)
        hop.timeout_ms = policy.timeout_ms
        if go_by_route(core, m, &route, listener, source, hop):
            open_search(core, m, key, rule, 0, &policy, call_key, listener, source, hop)


# [action_id]
cdef action_t[3] ACTIONS = [dispatch, answer_by_rule, forward_by_rule]


cdef void fill_server(core_t *core, const message_t *m, uint64_t key, const rule_t *rule, uint32_t set_id,
                      const policy_copy_t *policy, uint64_t call_key, uint32_t listener, const addr_t *source,
                      const hop_t *hop, slot_t *identity) noexcept nogil:
    memset(identity, 0, sizeof(slot_t))
    identity.key = key
    identity.parent = NO_SLOT
    identity.created_ms = core.now_ms
    if core.resumed.ref != NO_SLOT:
        identity.created_ms = slot_at(core.store, core.resumed.ref).created_ms
    identity.budget_ms = identity.created_ms + policy.budget_ms if policy.budget_ms else 0
    identity.call_key = call_key
    identity.cseq = m.cseq
    identity.method = m.method
    identity.in_dialog = hop.in_dialog
    reply_flow(m, source, core.table.listeners[listener].id, &identity.identity.server.source)
    identity.identity.server.policy = policy[0]
    identity.identity.server.set_id = set_id
    identity.identity.server.ruri = RURI_OF_SET
    identity.identity.server.stand_in_id = hop.next_stand_in
    identity.identity.server.breadth = <uint8_t>read_breadth(m)
    if hop.by_name and m.method != M_PRACK:
        identity.identity.server.by_name = BY_STRICT_ROUTER if hop.route_last.len else BY_NEXT_HOP
    if hop.by_name and hop.token_set and set_id == 0:
        identity.identity.server.set_id = core.table.sets[hop.token_set - 1].id
    if rule != NULL:
        identity.identity.server.rule_id = rule.id
        identity.identity.server.ruri = rule.ruri


cdef uint32_t take_server(core_t *core, const message_t *m, const addr_t *source, const hop_t *hop) noexcept nogil:
    """A free slot, or NO_SLOT when the partition is full of what must stay, or of this one call.

    The reserve is for dialogs that are proven, by a token or by who sends: a To tag is easily invented.  What one
    call may hold is bounded for all but those who send us calls by configuration: who chooses the Call-ID
    chooses the partition.
    """
    cdef uint64_t hashed = hash_call(core.store, m.buf + m.call_id.off, m.call_id.len)
    cdef uint32_t partition = partition_of_hash(hashed)
    cdef uint8_t share = share_of_hash(hashed)
    cdef uint32_t ref
    if holds_too_much(core.store, partition, share) and not is_known(core.table, source):
        if not shed_lingering_of(core, partition, share) or holds_too_much(core.store, partition, share):
            count(core, N_OVER_SHARE)
            return NO_SLOT
    ref = take_slot(core.store, partition, share, False)
    if ref == NO_SLOT and hop.in_dialog and (hop.verified or is_known(core.table, source)):
        ref = take_slot(core.store, partition, share, True)
    if ref == NO_SLOT and shed_lingering(core, partition):
        ref = take_slot(core.store, partition, share, False)
    if ref == NO_SLOT:
        count(core, N_STORE_FULL)
    return ref


cdef uint32_t open_search(core_t *core, const message_t *m, uint64_t key, const rule_t *rule, uint32_t set_id,
                          const policy_copy_t *policy, uint64_t call_key, uint32_t listener, const addr_t *source,
                          const hop_t *hop) noexcept nogil:
    """A server transaction with its first branch, or one that waits for the name of its next hop.

    The 100 goes out in the same batch (17.2.1), once nothing can refuse the search any more: who has it repeats
    no more.  A request that has waited comes here again with its transaction.  NO_SLOT: it was refused.
    """
    cdef bint invite = m.method == M_INVITE
    cdef bint again = core.resumed.ref != NO_SLOT
    cdef int kind = KIND_SERVER_INVITE if invite else KIND_SERVER_OTHER
    cdef int state = SERVER_PROCEEDING if invite else TRYING
    cdef uint32_t ref = core.resumed.ref if again else take_server(core, m, source, hop)
    cdef slot_t identity
    cdef int code
    if ref == NO_SLOT:
        go_without_state(core, m, listener, source, hop)
        return NO_SLOT
    fill_server(core, m, key, rule, set_id, policy, call_key, listener, source, hop, &identity)
    write_identity(core.store, ref, &identity)
    if hop.name.len:
        code = park_search(core, ref, kind, state, m, listener, source, hop)
    else:
        code = start_branch(core, ref, kind, state, m, source, NO_SLOT, hop)
        if code == E_FULL:
            count(core, N_STORE_FULL)
    if code < 0:
        if not again:
            give_slot(core.store, ref)
        if code == E_FULL:
            go_without_state(core, m, listener, source, hop)
        elif code == E_ROOM:
            refuse(core, m, listener, source, 513)
        else:
            refuse(core, m, listener, source, 400)
        return NO_SLOT
    if not again:
        index_insert(core.store, ref)
        count(core, N_TRANSACTIONS)
    if invite and not again:
        answer(core, m, core.table.listeners[listener].id, source, 100, NULL, NULL)
    return ref


cdef void go_without_state(core_t *core, const message_t *m, uint32_t listener, const addr_t *source,
                           const hop_t *hop) noexcept nogil:
    """New calls are refused with Retry-After; what belongs to a call goes on without state, edited all the same."""
    if not hop.in_dialog or hop.name.len or forward_stateless(core, m, source, hop) < 0:
        refuse_overload(core, m, listener, source)


cdef void route_again(core_t *core, uint32_t ref) noexcept nogil:
    cdef addr_t source
    cdef int listener = read_parked(core, ref, &core.incoming, &source)
    begin_resumption(core, ref)
    if listener >= 0:
        new_request(core, &core.incoming, slot_at(core.store, ref).key, listener, &source)
    core.resumed.ref = NO_SLOT
    settle_parked(core, ref)


# ---------------------------------------------------------------- what could not be sent

cdef void message_failed(core_t *core, uint32_t ref, uint32_t generation, int owes, bint too_big) noexcept nogil:
    """Only a request that nobody has answered yet can fail by transport."""
    cdef slot_t *slot
    if ref == NO_SLOT:
        return
    slot = slot_at(core.store, ref)
    if word_generation(slot.commit) != generation or is_server(word_kind(slot.commit)) or owes != OWES_REQUEST:
        return
    if too_big and read_request(core, ref) >= 0:
        refuse_search(core, slot.parent, 513)       # no fault of the destination's: no mark, no failover
    branch_input(core, ref, SEND_FAILED, NULL)
