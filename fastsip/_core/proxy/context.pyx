"""The response context: one search for somebody who answers (16.7, 16.8, 16.10).

Takes what happens to branches, asks the tables of transaction/machines what a branch
does then, and decides for the call: pass on, try the next destination, answer.
A decision is committed in the server transaction before it is carried out in
the branches, so that a recovery can carry it out again (docs/core.md#commit-before-send).

A branch that times out is abandoned, not forgotten (docs/wire.md#abandoned-branches); `progress`
and `ring` cancel and wait for the final response, one second at most (docs/wire.md#clocks-of-a-search); after
the caller's CANCEL no branch starts.

Branches start in groups (targets): a group of one is the next step of a
serial search, a larger one is a fork.  Each branch has its own clocks and its failure is judged by itself,
with its own `mark`.  The next group starts when the whole group is final and `on`
names every failure of it; one that `on` does not name makes it the last group,
and the best response is the answer.  A 6xx cancels the others and goes to the caller
when they are final (16.7 items 5 and 6); each 2xx goes there at once.

A fork whose start was cut short by the end of the process goes on as it stands:
who was not asked any more belongs to the next group.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastsip._core.base.types cimport E_NONE, MAX_ATTEMPTS, NO_HEADER, OK, put
from fastsip._core.base.check cimport check
from fastsip._core.sip.types cimport H_REASON, H_RETRY_AFTER, message_t
from fastsip._core.sip.parser cimport first_of
from fastsip._core.store.records cimport (
    ABANDONED, CALLING, CANCELLING, CLIENT_ABANDONED, CLIENT_ACCEPTED, CLIENT_COMPLETED, CLIENT_MOVED_ON,
    CLIENT_PROCEEDING, KIND_CLIENT_INVITE, KIND_SERVER_INVITE, OWES_CANCEL, OWES_REQUEST, SERVER_CANCELLED,
    SERVER_DECIDED, SERVER_LAST_GROUP, SERVER_PROGRESSED, SERVER_UNREACHED, block_t, is_server, is_under_way,
    policy_copy_t, record_t,
)
from fastsip._core.store.slots cimport (
    NO_SLOT, commit, drop_block, end_block, first_child_of, next_child_of, record_of, slot_at, slot_t, word_kind,
    word_owes, word_state,
)
from fastsip._core.routing.types cimport F_TIMEOUT, F_TRANSPORT, POLICY_AFTER_PROGRESS
from fastsip._core.routing.policies cimport policy_wants
from fastsip._core.routing.lookup cimport find_policy
from fastsip._core.transport.names cimport place_mark
from fastsip._core.state.counters cimport (
    N_ABANDONED, N_CANCELS, N_EXHAUSTED, N_FAILED_OVER, N_FAILOVERS, N_RESENT_CANCELS, N_RESENT_REQUESTS,
    N_RETRANSMISSIONS_SENT, N_TIMEOUTS, N_TRANSPORT_FAILURES,
)
from fastsip._core.state.shard cimport count
from fastsip._core.state.events cimport EVENT_EXHAUSTED, EVENT_FAILOVER, emit_event
from fastsip._core.state.recall cimport remember_answer, remember_challenge, remember_target
from fastsip._core.transaction.machines cimport (
    CANCEL_IT, CLIENT_EVENTS, END, EXPIRE, GIVE_UP_CLOCK, GOT_1XX, GOT_2XX, GOT_FINAL, PASS_UP, RESEND, SEND_ACK,
    SEND_CANCEL, SEND_FAILED, client_step, step_t,
)
from fastsip._core.transaction.clocks cimport arm_slot, expiry_reason, set_clocks
from fastsip._core.transaction.lingering cimport take_block
from fastsip._core.transaction.client cimport end_branch, keep_ack, send_ack, send_cancel, send_request
from fastsip._core.transaction.server cimport (
    end_server, end_silently, is_unkept, keep_best, pass_final, pass_provisional, pass_success, read_any_request,
    send_best, send_own, set_server_flag,
)
from fastsip._core.health.calls cimport note_failure, note_first_reply, note_success
from fastsip._core.health.measuring cimport failover_of, measure_failover, measure_input
from fastsip._core.proxy.request cimport TO_ADDRESS, TO_STAND_IN, group_t, name_one, request_t, targets_t
from fastsip._core.proxy.in_dialog cimport next_stand_in
from fastsip._core.proxy.parking cimport answer_parked, is_parked
from fastsip._core.proxy.targets cimport choose_next
from fastsip._core.proxy.forward cimport start_group, takes_too_much
from fastsip._core.proxy.addresses cimport (
    aim_at_next_address, failure_of, follows_name, has_next_address, note_target_failed, reread_request,
)

# ---------------------------------------------------------------- branches

cdef bint is_open(const slot_t *branch) noexcept nogil:
    """Does the search still wait for this branch?"""
    if record_of(branch).client.flags & (CLIENT_ABANDONED | CLIENT_MOVED_ON):
        return False
    return is_under_way(word_state(branch.commit))


cdef int count_open(shard_t *shard, uint32_t parent) noexcept nogil:
    cdef uint32_t ref = first_child_of(shard.store, parent)
    cdef int n = 0
    while ref != NO_SLOT:
        n += is_open(slot_at(shard.store, ref))
        ref = next_child_of(shard.store, ref)
    return n


# ---------------------------------------------------------------- the search goes on, or ends

cdef bint may_fail_over(const slot_t *server, const failure_t *failure) noexcept nogil:
    """Does `on` name this failure?"""
    cdef const policy_copy_t *policy = &server.identity.server.policy
    cdef int reason = failure.reason
    cdef int status = failure.status
    if server.in_dialog and failure.m != NULL and first_of(failure.m, H_RETRY_AFTER) != NO_HEADER:
        return False        # the dialog is busy (14.2), which says nothing against its server
    if not policy_wants(policy, reason, status):
        return False
    if reason == 0 and (status == 401 or status == 407):
        return False        # a challenge is the caller's to answer, whatever class `on` names
    if reason == 0 and record_of(server).server.flags & SERVER_PROGRESSED and not policy.flags & POLICY_AFTER_PROGRESS:
        return False
    return True


cdef bint is_closing(const slot_t *server) noexcept nogil:
    """True once the final answer is chosen, the caller has cancelled, or a 6xx came (16.7 item 5): no branch starts
    any more, and one that ends now was ended by us, which says nothing of its destination.
    """
    return (record_of(server).server.flags & (SERVER_DECIDED | SERVER_CANCELLED) != 0
            or record_of(server).server.best_status >= 600)


cdef int next_group(shard_t *shard, uint32_t parent, const failure_t *failure, request_t *request,
                    group_t *group) noexcept nogil:
    """Another target of the name that the failed branch had one of (RFC 3263 4.3); else in a dialog another shared
    member, and outside of one whom the search's set has left.
    """
    cdef slot_t *server = slot_at(shard.store, parent)
    cdef uint32_t tried_count = record_of(server).server.attempt_count
    cdef targets_t targets
    cdef int found
    group.breadth = 0
    if aim_at_next_address(shard, parent, failure, request) == OK:
        name_one(group, TO_ADDRESS, 0)
        return OK
    if server.in_dialog and server.identity.server.rule_id == 0:
        found = next_stand_in(shard, server, tried_count)
        if found >= 0:
            name_one(group, TO_STAND_IN, found)
        return OK if found >= 0 else E_NONE
    targets.set_id = server.identity.server.set_id
    targets.policy_id = server.identity.server.policy.policy_id
    targets.call_key = server.call_key
    targets.tried = server.identity.server.tried
    targets.tried_count = tried_count
    targets.is_call = word_kind(server.commit) == KIND_SERVER_INVITE and not server.in_dialog
    group.breadth = server.identity.server.breadth
    return choose_next(shard, &targets, group)


cdef int try_next(shard_t *shard, uint32_t parent, const failure_t *failure, message_t *into) noexcept nogil:
    """Starts the next group, after a branch failed; E_NONE when nobody is left or no time."""
    cdef const slot_t *server = slot_at(shard.store, parent)
    cdef group_t group
    cdef request_t request
    check(may_go_on(server))
    check(count_open(shard, parent) == 0)
    if server.budget_ms and shard.now_ms >= server.budget_ms:
        return E_NONE
    if reread_request(shard, parent, into, &request) < 0 or next_group(shard, parent, failure, &request, &group) < 0:
        return E_NONE
    return OK if start_group(shard, parent, &request, &group, 0) else E_NONE


cdef void tell(shard_t *shard, uint32_t parent, int kind, const failure_t *failure, const message_t *m) noexcept nogil:
    """Reports a failure to the control plane, by the Call-ID of `m`, a request of this search."""
    cdef uint32_t destination_id = slot_at(shard.store, failure.ref).identity.client.destination_id
    check(slot_at(shard.store, failure.ref).parent == parent)
    emit_event(shard, kind, destination_id, failure.reason, failure.status, slot_at(shard.store, parent).created_ms,
               m.buf + m.call_id.off, m.call_id.len)


cdef void decide(shard_t *shard, uint32_t parent, bint exhausted, const message_t *m) noexcept nogil:
    """Sends the final response, now that no branch is open (16.7 item 6, docs/wire.md#the-answer-to-the-caller).

    `exhausted`: everybody in the target set was tried.  `m` is the response that came last, or NULL.
    """
    cdef slot_t *server = slot_at(shard.store, parent)
    cdef const record_t *record = record_of(server)
    cdef const policy_copy_t *policy = &server.identity.server.policy
    cdef int index = find_policy(shard.table, policy.policy_id)
    cdef int best = record.server.best_status
    cdef bint invite = word_kind(server.commit) == KIND_SERVER_INVITE
    cdef bint cancelled = (record.server.flags & SERVER_CANCELLED) != 0
    cdef bint unreached = (record.server.flags & SERVER_UNREACHED) != 0
    cdef message_t stored
    if record.server.flags & SERVER_DECIDED:
        return
    if (exhausted and not cancelled and policy.exhausted and best != 401 and best != 407 and best < 600
            and not server.in_dialog):
        if read_any_request(shard, parent, &stored) != NO_SLOT:
            send_own(shard, parent, &stored, policy.exhausted,
                     &shard.table.policies[index].exhausted_reason if index >= 0 else NULL)
            return
    if cancelled or (best == 408 and not invite):
        best = 0            # RFC 4320: 408 is no answer to a non-INVITE, whoever gave it
    if best:
        send_best(shard, parent, m)
    elif (invite or unreached) and read_any_request(shard, parent, &stored) != NO_SLOT:
        send_own(shard, parent, &stored, 487 if cancelled else 500 if unreached else 408, NULL)
    else:
        end_silently(shard, parent)


cdef bint take_back(shard_t *shard, uint32_t parent) noexcept nogil:
    """After a 482 the search waits again for a branch that it had abandoned: two ways led to the same server, whose own
    answer comes by the earlier one.

    The branch has until 64 T1 after its start, and is cancelled only once it has said something (9.1).  One that the
    network refused is not waited for.  False: there is none, the 482 counts as any failure.
    """
    cdef uint32_t ref = first_child_of(shard.store, parent)
    cdef slot_t *branch
    cdef record_t record
    check(not is_closing(slot_at(shard.store, parent)))
    while ref != NO_SLOT and (word_state(slot_at(shard.store, ref).commit) != ABANDONED
                              or record_of(slot_at(shard.store, ref)).client.reason == F_TRANSPORT):
        ref = next_child_of(shard.store, ref)
    if ref == NO_SLOT or word_kind(slot_at(shard.store, ref).commit) != KIND_CLIENT_INVITE:
        return False
    branch = slot_at(shard.store, ref)
    record = record_of(branch)[0]
    record.client.flags &= ~<uint8_t>CLIENT_ABANDONED
    record.client.reason = 0
    if record.client.last_status:
        record.client.c_ms = shard.now_ms + shard.table.clocks.c_ms
    commit(shard.store, ref, KIND_CLIENT_INVITE, CLIENT_PROCEEDING if record.client.last_status else CALLING, 0,
           &record)
    arm_slot(shard, ref, KIND_CLIENT_INVITE, &record)
    return True


cdef bint ends_search(shard_t *shard, uint32_t parent, const failure_t *failure) noexcept nogil:
    """Before a branch commits its failure: no group may follow, as neither `on` nor another target of the name
    answers it.  This is committed with it (SERVER_LAST_GROUP), so that a recovery decides the same.
    """
    return not (may_fail_over(slot_at(shard.store, parent), failure) or has_next_address(shard, parent, failure))


cdef void judge(shard_t *shard, uint32_t parent, const failure_t *failure, int flag) noexcept nogil:
    """Commits for a branch that ended without a response to keep whether its group is the last one, and `flag`."""
    check(failure.m == NULL)
    if not is_closing(slot_at(shard.store, parent)) and ends_search(shard, parent, failure):
        flag |= SERVER_LAST_GROUP
    set_server_flag(shard, parent, flag)


cdef bint may_go_on(const slot_t *server) noexcept nogil:
    """May another group follow, now that this one is final?"""
    return not is_closing(server) and not record_of(server).server.flags & SERVER_LAST_GROUP


cdef void branch_failed(shard_t *shard, uint32_t parent, const failure_t *failure) noexcept nogil:
    """The branch has committed that it is final: by a reason, or by a response.

    Health hears of it.  When no other branch is open the next group starts, or the caller is answered.
    """
    cdef slot_t *server = slot_at(shard.store, parent)
    cdef const slot_t *branch = slot_at(shard.store, failure.ref)
    cdef message_t stored
    cdef bint more
    check(branch.parent == parent)
    if record_of(server).server.flags & SERVER_DECIDED:
        return
    if not is_closing(server) and (failure.reason or may_fail_over(server, failure)):
        note_failure(shard, parent, branch, failure.reason, failure.status, failure.m)
    elif failure.m != NULL and not failure.reason and not record_of(server).server.flags & SERVER_CANCELLED:
        note_success(shard, branch, failure.status)
    if record_of(server).server.best_status >= 600:
        cancel_open(shard, parent)
    if count_open(shard, parent):
        return
    more = may_go_on(server)
    if more and try_next(shard, parent, failure, &stored) == OK:
        count(shard, N_FAILOVERS)
        count(shard, N_FAILED_OVER + failover_of(failure.reason, failure.status, failure.m))
        measure_failover(shard, branch)
        tell(shard, parent, EVENT_FAILOVER, failure, &stored)
        return
    if more:
        count(shard, N_EXHAUSTED)
        if read_any_request(shard, parent, &stored) != NO_SLOT:
            tell(shard, parent, EVENT_EXHAUSTED, failure, &stored)
    decide(shard, parent, more, failure.m)


cdef void cancel_open(shard_t *shard, uint32_t parent) noexcept nogil:
    """CANCELs each branch that the search still waits for (9.1, 16.7 item 10)."""
    cdef uint32_t refs[MAX_ATTEMPTS]
    cdef uint32_t ref = first_child_of(shard.store, parent)
    cdef int n = 0
    cdef int i
    while ref != NO_SLOT and n < MAX_ATTEMPTS:
        if is_open(slot_at(shard.store, ref)):
            refs[n] = ref
            n += 1
        ref = next_child_of(shard.store, ref)
    for i in range(n):
        branch_input(shard, refs[i], CANCEL_IT, NULL)


cdef void keep_reason(shard_t *shard, uint32_t parent, const message_t *m) noexcept nogil:
    """Commits that the caller has cancelled, with his Reason lines, which our CANCELs repeat (RFC 3326)."""
    cdef slot_t *server = slot_at(shard.store, parent)
    cdef record_t record = record_of(server)[0]
    cdef uint32_t len = 0
    cdef char *at
    cdef int i = first_of(m, H_REASON)
    while i != NO_HEADER:
        len += m.headers[i].end_off - m.headers[i].name_off
        i = m.headers[i].next
    check(record.server.kept.len == 0)      # a request that waited would be lost
    record.server.flags |= SERVER_CANCELLED
    at = take_block(shard, parent, len, &record.server.kept) if len and not takes_too_much(shard, parent) else NULL
    i = first_of(m, H_REASON)
    while at != NULL and i != NO_HEADER:
        at += put(at, m.buf + m.headers[i].name_off, m.headers[i].end_off - m.headers[i].name_off)
        i = m.headers[i].next
    end_block()
    commit(shard.store, parent, word_kind(server.commit), word_state(server.commit), word_owes(server.commit), &record)
    check(is_closing(server))


cdef void cancel_search(shard_t *shard, uint32_t parent, const message_t *m) noexcept nogil:
    cdef slot_t *server = slot_at(shard.store, parent)
    if record_of(server).server.flags & (SERVER_DECIDED | SERVER_CANCELLED):
        return
    count(shard, N_CANCELS)
    if is_parked(record_of(server)):
        answer_parked(shard, parent, 487)
        return
    keep_reason(shard, parent, m)
    cancel_open(shard, parent)
    if count_open(shard, parent) == 0:
        decide(shard, parent, False, NULL)


# ---------------------------------------------------------------- what happens to a branch

cdef int owed_by(step_t step, int state) noexcept nogil:
    if step.actions & SEND_CANCEL:
        return OWES_CANCEL
    if step.actions & RESEND:
        return OWES_CANCEL if state == CANCELLING else OWES_REQUEST
    return 0


cdef bint send_by(shard_t *shard, uint32_t ref, step_t step, int state) noexcept nogil:
    """False: the request has no way any more (send_request)."""
    cdef int owed = owed_by(step, state)
    if step.actions & RESEND:
        count(shard, N_RETRANSMISSIONS_SENT)
        count(shard, N_RESENT_CANCELS if owed == OWES_CANCEL else N_RESENT_REQUESTS)
    if owed == OWES_CANCEL:
        send_cancel(shard, ref)
    return owed != OWES_REQUEST or send_request(shard, ref)


cdef void note_answer(shard_t *shard, uint32_t parent, const slot_t *branch, const message_t *m) noexcept nogil:
    """Remembers who answered a re-INVITE: its ACK goes there (docs/wire.md#the-ack-follows-its-2xx)."""
    if slot_at(shard.store, parent).in_dialog and branch.identity.client.destination_id:
        remember_answer(shard, m, branch.identity.client.destination_id)
    elif follows_name(shard, branch):
        remember_target(shard, m, place_mark(&branch.identity.client.target.remote))


# One input of a branch, as its response context sees it.
cdef struct news_t:
    uint32_t parent
    uint32_t ref
    int kind
    int state                   # of the branch before this input
    int next                    # and after it
    const record_t *record      # of the branch after it
    const message_t *m          # the response, or NULL

ctypedef bint (*before_t)(shard_t *shard, const news_t *news) noexcept nogil
ctypedef void (*after_t)(shard_t *shard, const news_t *news) noexcept nogil


cdef inline bint is_heard(const record_t *branch) noexcept nogil:
    """Does the search still want to know what this branch hears, but for a 2xx?"""
    return not branch.client.flags & (CLIENT_ABANDONED | CLIENT_MOVED_ON)


cdef bint pass_1xx(shard_t *shard, const news_t *news) noexcept nogil:
    """16.7 item 5: a 100 is for one hop."""
    check(news.m.status < 200)
    if news.m.status > 100:
        pass_provisional(shard, news.parent, news.m)
    return True


cdef bint pass_2xx(shard_t *shard, const news_t *news) noexcept nogil:
    """16.7 item 5: each 2xx to an INVITE goes up at once, whatever was decided."""
    if news.kind == KIND_CLIENT_INVITE:
        note_answer(shard, news.parent, slot_at(shard.store, news.ref), news.m)
        pass_success(shard, news.parent, news.m)
    else:
        pass_final(shard, news.parent, news.m)
    return True


cdef bint keep_final(shard_t *shard, const news_t *news) noexcept nogil:
    """16.7 item 6.  A 482 may say that an abandoned branch lives: then this response is dropped."""
    cdef failure_t failure
    cdef int last
    check(news.m.status >= 300)
    if news.state == CANCELLING:        # what a CANCEL of ours brought is no answer
        failure = failure_of(news.ref, news.record.client.reason, news.m.status, NULL)
        judge(shard, news.parent, &failure, 0)
        return True
    if (news.m.status == 482 and not is_closing(slot_at(shard.store, news.parent))
            and take_back(shard, news.parent)):
        return False
    failure = failure_of(news.ref, 0, news.m.status, news.m)
    last = SERVER_LAST_GROUP if ends_search(shard, news.parent, &failure) else 0
    keep_best(shard, news.parent, news.m, last)
    return True


cdef bint judge_silence(shard_t *shard, const news_t *news) noexcept nogil:
    """A 408 that nobody sent: to the search it counts as one (16.8)."""
    cdef failure_t failure = failure_of(news.ref, news.record.client.reason, 408, NULL)
    if news.next == ABANDONED or news.state == CANCELLING:
        judge(shard, news.parent, &failure, 0)
    return True


cdef bint judge_transport(shard_t *shard, const news_t *news) noexcept nogil:
    """16.9: as if it had been a 503."""
    cdef failure_t failure = failure_of(news.ref, F_TRANSPORT, 503, NULL)
    judge(shard, news.parent, &failure, SERVER_UNREACHED)
    return True


# [client_event]: what the server transaction commits before the branch does, so that a recovery decides alike; False:
# the input says nothing about this search.
cdef before_t[CLIENT_EVENTS] BEFORE = [pass_1xx, pass_2xx, keep_final, NULL, judge_silence, NULL, judge_transport]


cdef bint tell_before(shard_t *shard, int event, const news_t *news) noexcept nogil:
    if BEFORE[event] == NULL or (event != GOT_2XX and not is_heard(news.record)):
        return True
    return BEFORE[event](shard, news)


cdef void after_2xx(shard_t *shard, const news_t *news) noexcept nogil:
    """16.7 item 10: who else was asked is asked no more."""
    check(news.m.status // 100 == 2)
    note_success(shard, slot_at(shard.store, news.ref), news.m.status)
    if news.state != CLIENT_ACCEPTED:
        cancel_open(shard, news.parent)


cdef void after_final(shard_t *shard, const news_t *news) noexcept nogil:
    cdef failure_t failure = failure_of(news.ref, news.record.client.reason, news.m.status, news.m)
    if not is_heard(news.record):
        return
    if news.m.status == 401 or news.m.status == 407:
        remember_challenge(shard, news.m, slot_at(shard.store, news.ref).identity.client.destination_id)
    branch_failed(shard, news.parent, &failure)


cdef void after_send_failed(shard_t *shard, const news_t *news) noexcept nogil:
    cdef failure_t failure = failure_of(news.ref, F_TRANSPORT, 0, NULL)
    count(shard, N_TRANSPORT_FAILURES)
    # What was answered already was too large to be sent, which says nothing of a target.
    if (follows_name(shard, slot_at(shard.store, news.ref))
            and not record_of(slot_at(shard.store, news.parent)).server.flags & SERVER_DECIDED):
        note_target_failed(shard, slot_at(shard.store, news.ref), True)
    branch_failed(shard, news.parent, &failure)


cdef void after_silence(shard_t *shard, const news_t *news) noexcept nogil:
    """An abandoned branch, or a CANCEL that brought no final response in time: the search moves on."""
    cdef slot_t *branch = slot_at(shard.store, news.ref)
    cdef record_t moved = news.record[0]
    cdef uint8_t reason = news.record.client.reason
    cdef failure_t failure = failure_of(news.ref, reason, 408, NULL)
    cdef bint heard = is_heard(news.record)
    cdef bint last = not heard or reason == 0
    if word_state(branch.commit) == ABANDONED:
        count(shard, N_ABANDONED)
        # To another request a proxy says nothing before somebody behind it does (17.2.2).
        if reason == F_TIMEOUT and word_kind(branch.commit) == KIND_CLIENT_INVITE and follows_name(shard, branch):
            note_target_failed(shard, branch, False)
        if reason:
            failure.status = 0
        branch_failed(shard, news.parent, &failure)
        return
    if news.state != CANCELLING:
        return
    check(word_state(branch.commit) == CANCELLING)
    moved.client.flags |= CLIENT_MOVED_ON
    moved.client.expire_ms = shard.now_ms + 64 * <uint64_t>shard.table.clocks.t1_ms
    commit(shard.store, news.ref, word_kind(branch.commit), CANCELLING, 0, &moved)
    arm_slot(shard, news.ref, word_kind(branch.commit), &moved)
    if heard:
        branch_failed(shard, news.parent, &failure)
    if last:
        end_branch(shard, news.ref)
        end_server(shard, news.parent)


# [client_event]: what follows for the search once the branch has committed: health, CANCELs for the others, the next
# group.
cdef after_t[CLIENT_EVENTS] AFTER = [NULL, after_2xx, after_final, NULL, after_silence, NULL, after_send_failed]
assert CLIENT_EVENTS == 7 and (GOT_1XX, GOT_2XX, GOT_FINAL, EXPIRE, SEND_FAILED) == (0, 1, 2, 4, 6)


cdef void branch_input(shard_t *shard, uint32_t ref, int event, const message_t *m) noexcept nogil:
    cdef slot_t *branch = slot_at(shard.store, ref)
    cdef uint32_t parent = branch.parent
    cdef int kind = word_kind(branch.commit), state = word_state(branch.commit)
    cdef step_t step = client_step(kind, state, event)
    cdef record_t record = record_of(branch)[0]
    cdef int status = m.status if m != NULL else 0
    cdef bint passed = step.actions & PASS_UP != 0
    cdef news_t news
    cdef block_t spent
    check((m != NULL) == (event <= GOT_FINAL))
    if not step.valid:
        return
    check(is_server(word_kind(slot_at(shard.store, parent).commit)))
    if event == SEND_FAILED and record.client.interval_ms > shard.table.clocks.t1_ms:
        step = client_step(kind, state, EXPIRE)     # a repetition: the first one may have been heard
    spent.len = 0
    if event == EXPIRE and state != CANCELLING and step.actions & PASS_UP:
        record.client.reason = <uint8_t>expiry_reason(shard, kind, state, &record)
        if record.client.reason == F_TIMEOUT:
            count(shard, N_TIMEOUTS)
            note_first_reply(shard, branch, 0)
    elif event == SEND_FAILED:
        record.client.reason = F_TRANSPORT
    news.parent, news.ref, news.kind, news.state, news.next = parent, ref, kind, state, step.next
    news.record, news.m = &record, m
    passed = passed and tell_before(shard, event, &news)
    measure_input(shard, branch, status, record.client.reason, event == EXPIRE)
    if step.actions & GIVE_UP_CLOCK:
        record.client.flags |= CLIENT_ABANDONED
    set_clocks(shard, branch, slot_at(shard.store, parent), state, step, status, &record)
    if status:
        if record.client.last_status == 0:
            note_first_reply(shard, branch, status)
        record.client.last_status = max(record.client.last_status, <uint16_t>status)     # a late 100 undoes no 180
    if step.next == CLIENT_ACCEPTED:
        spent = record.client.request       # nothing is sent again by this branch
        record.client.request.len = 0
    commit(shard.store, ref, kind, step.next, owed_by(step, state), &record)
    drop_block(shard.store, &shard.pending, ref, &spent)
    arm_slot(shard, ref, kind, &record)
    if not send_by(shard, ref, step, state):
        branch_input(shard, ref, SEND_FAILED, NULL)
        return
    if passed and AFTER[event] != NULL:
        AFTER[event](shard, &news)
    if step.actions & SEND_ACK:
        if state != CLIENT_COMPLETED and not is_unkept(shard, parent):
            keep_ack(shard, ref, m)
        send_ack(shard, ref, m)
    if step.actions & END:
        end_branch(shard, ref)
        end_server(shard, parent)


cdef void end_by_stray(shard_t *shard, uint32_t parent, const message_t *m) noexcept nogil:
    check(word_kind(slot_at(shard.store, parent).commit) == KIND_SERVER_INVITE)
    pass_success(shard, parent, m)
    cancel_open(shard, parent)


cdef void refuse_search(shard_t *shard, uint32_t parent, const message_t *m, int status) noexcept nogil:
    check(status >= 300)
    send_own(shard, parent, m, status, NULL)
    cancel_open(shard, parent)
