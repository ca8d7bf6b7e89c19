"""The transaction machines, as tables that can be checked by eye.

A table says: in this state, on this event, go there and do that.  A pair that
is not in a table changes nothing (a retransmitted 100 in Completed, say).
proxy/context (client side) and transaction/server ask for a step, do its actions and commit
the next state; the machines themselves hold no state and send nothing.

RFC 3261 section 17 with the Accepted states of RFC 6026, and three client states
of our own:

* CANCEL_PENDING: cancelled before any provisional, so the CANCEL waits (9.1).
* CANCELLING: CANCEL sent; its retransmissions take the place of the INVITE's.
* ABANDONED: the search has moved on, but a late 2xx of this branch would be a
  call that somebody answered, so the branch listens until 64 T1 after its
  start and cancels whatever rings.

RFC 4320 for non-INVITE: no 408, no 1xx of a callee goes further, and a 100 of our own
once the caller would repeat its request every T2.  After any 1xx only Timer F runs.

Timers: RETRANSMIT is A (INVITE) or E; EXPIRE is B (INVITE) or F in CALLING, C (INVITE) or F in CLIENT_PROCEEDING,
D in CLIENT_COMPLETED, M in CLIENT_ACCEPTED; SERVER_RETRANSMIT is G; SERVER_EXPIRE is H (INVITE) or J in
SERVER_COMPLETED, I in CONFIRMED, L in SERVER_ACCEPTED.
"""

from fastsip._core.base.check cimport check
from fastsip._core.store.records cimport (
    ABANDONED, CALLING, CANCELLING, CANCEL_PENDING, CLIENT_ACCEPTED, CLIENT_COMPLETED, CLIENT_ENDED, CLIENT_PROCEEDING,
    CONFIRMED, KIND_CLIENT_INVITE, KIND_CLIENT_OTHER, KIND_SERVER_INVITE, SERVER_ACCEPTED, SERVER_COMPLETED,
    SERVER_ENDED, SERVER_PROCEEDING, TRYING, is_child, is_server,
)

# Figure 5 with the Accepted state of RFC 6026.  EXPIRE ends no search: what it means is the policy's to say.  The
# branch stays behind as ABANDONED or CANCELLING, because a 2xx that still comes has a person at its other end.
INVITE_CLIENT = {
    CALLING: {
        GOT_1XX: (CLIENT_PROCEEDING, STOP | PHASE_CLOCKS | PASS_UP),
        GOT_2XX: (CLIENT_ACCEPTED, STOP | END_CLOCK | PASS_UP),
        GOT_FINAL: (CLIENT_COMPLETED, STOP | END_CLOCK | SEND_ACK | PASS_UP),
        RETRANSMIT: (CALLING, RESEND),
        EXPIRE: (ABANDONED, STOP | GIVE_UP_CLOCK | PASS_UP),
        CANCEL_IT: (CANCEL_PENDING, DO_NOTHING),
        SEND_FAILED: (CLIENT_ENDED, END | PASS_UP),
    },
    CLIENT_PROCEEDING: {
        GOT_1XX: (CLIENT_PROCEEDING, PHASE_CLOCKS | PASS_UP),
        GOT_2XX: (CLIENT_ACCEPTED, END_CLOCK | PASS_UP),
        GOT_FINAL: (CLIENT_COMPLETED, END_CLOCK | SEND_ACK | PASS_UP),
        EXPIRE: (CANCELLING, SEND_CANCEL | PASS_UP),
        CANCEL_IT: (CANCELLING, SEND_CANCEL),
    },
    CANCEL_PENDING: {
        GOT_1XX: (CANCELLING, STOP | SEND_CANCEL),
        GOT_2XX: (CLIENT_ACCEPTED, STOP | END_CLOCK | PASS_UP),
        GOT_FINAL: (CLIENT_COMPLETED, STOP | END_CLOCK | SEND_ACK | PASS_UP),
        RETRANSMIT: (CANCEL_PENDING, RESEND),
        EXPIRE: (ABANDONED, STOP | GIVE_UP_CLOCK | PASS_UP),
        SEND_FAILED: (CLIENT_ENDED, END | PASS_UP),
    },
    CANCELLING: {
        GOT_2XX: (CLIENT_ACCEPTED, STOP | END_CLOCK | PASS_UP),
        GOT_FINAL: (CLIENT_COMPLETED, STOP | END_CLOCK | SEND_ACK | PASS_UP),
        RETRANSMIT: (CANCELLING, RESEND),
        EXPIRE: (CANCELLING, PASS_UP),
    },
    ABANDONED: {
        GOT_1XX: (CANCELLING, SEND_CANCEL),
        GOT_2XX: (CLIENT_ACCEPTED, END_CLOCK | PASS_UP),
        GOT_FINAL: (CLIENT_COMPLETED, END_CLOCK | SEND_ACK),
        EXPIRE: (CLIENT_ENDED, END),
    },
    CLIENT_COMPLETED: {
        GOT_FINAL: (CLIENT_COMPLETED, SEND_ACK),
        # A proxy there passes on the 2xx of a branch of its own that comes behind its failure (16.7 item 5), as we do.
        GOT_2XX: (CLIENT_ACCEPTED, END_CLOCK | PASS_UP),
        EXPIRE: (CLIENT_ENDED, END),
    },
    CLIENT_ACCEPTED: {
        GOT_2XX: (CLIENT_ACCEPTED, PASS_UP),
        EXPIRE: (CLIENT_ENDED, END),
    },
}

# Figure 6.  No Completed state and no Timer K: a response that is repeated finds no transaction, and is dropped as a
# stray one; Timer K serves no other purpose over UDP.  Nothing can be cancelled here but an INVITE (9.1).
OTHER_CLIENT = {
    CALLING: {
        GOT_1XX: (CLIENT_PROCEEDING, SLOW | TIMER_F),
        GOT_2XX: (CLIENT_ENDED, END | PASS_UP),
        GOT_FINAL: (CLIENT_ENDED, END | PASS_UP),
        RETRANSMIT: (CALLING, RESEND),
        EXPIRE: (ABANDONED, STOP | GIVE_UP_CLOCK | PASS_UP),
        SEND_FAILED: (CLIENT_ENDED, END | PASS_UP),
    },
    CLIENT_PROCEEDING: {
        GOT_2XX: (CLIENT_ENDED, END | PASS_UP),
        GOT_FINAL: (CLIENT_ENDED, END | PASS_UP),
        RETRANSMIT: (CLIENT_PROCEEDING, RESEND),
        EXPIRE: (ABANDONED, STOP | GIVE_UP_CLOCK | PASS_UP),
    },
    ABANDONED: {
        GOT_2XX: (CLIENT_ENDED, END | PASS_UP),
        GOT_FINAL: (CLIENT_ENDED, END),
        EXPIRE: (CLIENT_ENDED, END),
    },
}

# Figure 7 with the Accepted state of RFC 6026.  SEND_2XX stands in each state, since a 2xx is never kept back, whatever
# the caller was told before (16.7 item 5): he has to end the call that somebody answered.
INVITE_SERVER = {
    SERVER_PROCEEDING: {
        REPEATED: (SERVER_PROCEEDING, RESEND_LAST),
        SEND_1XX: (SERVER_PROCEEDING, SEND_RESPONSE),
        SEND_2XX: (SERVER_ACCEPTED, SEND_RESPONSE | STOP | LINGER),
        SEND_FINAL: (SERVER_COMPLETED, SEND_RESPONSE | COMPLETED_CLOCKS),
    },
    SERVER_COMPLETED: {
        REPEATED: (SERVER_COMPLETED, RESEND_LAST),
        SERVER_RETRANSMIT: (SERVER_COMPLETED, RESEND),
        GOT_ACK: (CONFIRMED, STOP | LINGER),
        SERVER_EXPIRE: (SERVER_ENDED, STOP | END),
        # A 2xx of a branch that nobody waited for any more (16.7 item 5).
        SEND_2XX: (SERVER_ACCEPTED, SEND_RESPONSE | STOP | LINGER),
    },
    CONFIRMED: {
        SEND_2XX: (SERVER_ACCEPTED, SEND_RESPONSE | STOP | LINGER),
        SERVER_EXPIRE: (SERVER_ENDED, END),
    },
    SERVER_ACCEPTED: {
        GOT_ACK: (SERVER_ACCEPTED, PASS_UP),
        SEND_2XX: (SERVER_ACCEPTED, SEND_RESPONSE),
        SERVER_EXPIRE: (SERVER_ENDED, END),
    },
    SERVER_ENDED: {
        SEND_2XX: (SERVER_ACCEPTED, SEND_RESPONSE | LINGER),
        SERVER_EXPIRE: (SERVER_ENDED, END),
    },
}

# Figure 8.  In Trying a repeated request is absorbed in silence, as 17.2.2 wants; Proceeding is reached by our own 100
# alone (RFC 4320 section 4.1).
OTHER_SERVER = {
    TRYING: {
        SERVER_RETRANSMIT: (SERVER_PROCEEDING, SEND_TRYING | STOP),
        SEND_FINAL: (SERVER_COMPLETED, SEND_RESPONSE | COMPLETED_CLOCKS),
    },
    SERVER_PROCEEDING: {
        REPEATED: (SERVER_PROCEEDING, RESEND_LAST),
        SEND_FINAL: (SERVER_COMPLETED, SEND_RESPONSE | COMPLETED_CLOCKS),
    },
    SERVER_COMPLETED: {
        REPEATED: (SERVER_COMPLETED, RESEND_LAST),
        SERVER_EXPIRE: (SERVER_ENDED, END),
    },
    SERVER_ENDED: {
        # Ended without an answer, and a branch that nobody waited for any more has one.
        SEND_FINAL: (SERVER_COMPLETED, SEND_RESPONSE | COMPLETED_CLOCKS),
        SERVER_EXPIRE: (SERVER_ENDED, END),
    },
}

cdef enum:
    STATES = 8              # rows of the arrays; a pair that no table has is zero there, so not valid

cdef step_t invite_client[8][7]
cdef step_t other_client[8][7]
cdef step_t invite_server[8][7]
cdef step_t other_server[8][7]


cdef load(step_t (*table)[7], written):
    """Copies a written table into the array that the kernels index."""
    for state, events in written.items():
        for event, (following, actions) in events.items():
            table[state][event].next = following
            table[state][event].actions = actions
            table[state][event].valid = 1


load(invite_client, INVITE_CLIENT)
load(other_client, OTHER_CLIENT)
load(invite_server, INVITE_SERVER)
load(other_server, OTHER_SERVER)


cdef inline const step_t *row_of(int kind, int state) noexcept nogil:
    """The steps of a state, by event."""
    if is_server(kind):
        return &invite_server[state][0] if kind == KIND_SERVER_INVITE else &other_server[state][0]
    return &invite_client[state][0] if kind == KIND_CLIENT_INVITE else &other_client[state][0]


cdef bint is_state(int kind, int state) noexcept nogil:
    """Is it a state that some event leaves or reaches?  A later release, or damage, may have left others."""
    cdef int event
    if not KIND_SERVER_INVITE <= kind <= KIND_CLIENT_OTHER or not 0 <= state < STATES:
        return False
    for event in range(<int>SERVER_EVENTS):
        if row_of(kind, state)[event].valid:
            return True
    return state == (<int>SERVER_ENDED if is_server(kind) else <int>CLIENT_ENDED)


cdef inline bint leads_well(int kind, int state, int event) noexcept nogil:
    """For a check: is there nothing to do, or does the step lead to a state of the same machine?"""
    cdef step_t step = row_of(kind, state)[event]
    return is_state(kind, step.next) if step.valid else step.actions == DO_NOTHING


cdef step_t client_step(int kind, int state, int event) noexcept nogil:
    """valid == 0: nothing changes."""
    check(is_child(kind))
    check(event < CLIENT_EVENTS)
    check(is_state(kind, state))
    check(leads_well(kind, state, event))
    return invite_client[state][event] if kind == KIND_CLIENT_INVITE else other_client[state][event]


cdef step_t server_step(int kind, int state, int event) noexcept nogil:
    """valid == 0: nothing changes."""
    check(is_server(kind))
    check(event < SERVER_EVENTS)
    check(is_state(kind, state))
    check(leads_well(kind, state, event))
    return invite_server[state][event] if kind == KIND_SERVER_INVITE else other_server[state][event]
