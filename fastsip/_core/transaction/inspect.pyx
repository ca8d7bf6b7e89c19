# cython: boundscheck=True, wraparound=True
"""Where things stand in a slot of the mapped store, and what its numbers and those of the machines mean: for Python.

The offsets are the C compiler's own, so that a reader and the kernels cannot come
to differ.  Must never: be used on the packet path.  The reader is observe/transactions.
"""

from fastsip._core.store.records cimport (
    ABANDONED, CALLING, CANCELLING, CANCEL_PENDING, CLIENT_ABANDONED, CLIENT_ACCEPTED, CLIENT_CANCEL_ANSWERED,
    CLIENT_COMPLETED, CLIENT_HAS_ACK, CLIENT_MOVED_ON, CLIENT_PROCEEDING, CLIENT_UNREACHABLE, CONFIRMED,
    KIND_CLIENT_INVITE, KIND_CLIENT_OTHER, KIND_SERVER_INVITE, KIND_SERVER_OTHER, SERVER_ACCEPTED, SERVER_CANCELLED,
    SERVER_COMPLETED, SERVER_DECIDED, SERVER_ENDED, SERVER_LAST_GROUP, SERVER_MARKED, SERVER_PROCEEDING,
    SERVER_PROGRESSED, SERVER_UNREACHED, TRYING, record_t,
)
from fastsip._core.store.slots cimport HEADER_BYTES, NO_SLOT, SLOT_BITS, slot_t
from fastsip._core.transaction.machines cimport (
    CANCEL_IT, COMPLETED_CLOCKS, END, END_CLOCK, EXPIRE, GIVE_UP_CLOCK, GOT_1XX, GOT_2XX, GOT_ACK, GOT_FINAL, LINGER,
    PASS_UP, PHASE_CLOCKS, REPEATED, RESEND, RESEND_LAST, RETRANSMIT, SEND_1XX, SEND_2XX, SEND_ACK, SEND_CANCEL,
    SEND_FAILED, SEND_FINAL, SEND_RESPONSE, SEND_TRYING, SERVER_EXPIRE, SERVER_RETRANSMIT, SLOW, STOP, TIMER_F,
)

# Names for people.  A number without one is that of a later release, whose slots may stand in a file that we read.
KINDS = {KIND_SERVER_INVITE: "server INVITE", KIND_SERVER_OTHER: "server other", KIND_CLIENT_INVITE: "client INVITE",
         KIND_CLIENT_OTHER: "client other"}
SERVER_KINDS = (KIND_SERVER_INVITE, KIND_SERVER_OTHER)
CLIENT_STATES = {CALLING: "calling", CLIENT_PROCEEDING: "proceeding", CANCEL_PENDING: "cancel pending",
                 CANCELLING: "cancelling", ABANDONED: "abandoned", CLIENT_COMPLETED: "completed",
                 CLIENT_ACCEPTED: "accepted"}
SERVER_STATES = {TRYING: "trying", SERVER_PROCEEDING: "proceeding", SERVER_COMPLETED: "completed",
                 CONFIRMED: "confirmed", SERVER_ACCEPTED: "accepted", SERVER_ENDED: "ended"}
SERVER_FLAGS = {SERVER_CANCELLED: "cancelled", SERVER_DECIDED: "decided", SERVER_PROGRESSED: "progressed",
                SERVER_MARKED: "marked", SERVER_LAST_GROUP: "last group", SERVER_UNREACHED: "unreached"}
CLIENT_FLAGS = {CLIENT_ABANDONED: "abandoned", CLIENT_HAS_ACK: "has ack", CLIENT_MOVED_ON: "moved on",
                CLIENT_CANCEL_ANSWERED: "cancel answered", CLIENT_UNREACHABLE: "unreachable"}
CLIENT_EVENTS = {GOT_1XX: "1xx", GOT_2XX: "2xx", GOT_FINAL: "300-699", RETRANSMIT: "retransmit", EXPIRE: "expire",
                 CANCEL_IT: "cancel", SEND_FAILED: "transport failure"}
SERVER_EVENTS = {REPEATED: "request again", GOT_ACK: "ACK", SEND_1XX: "send 1xx", SEND_2XX: "send 2xx",
                 SEND_FINAL: "send final", SERVER_RETRANSMIT: "retransmit", SERVER_EXPIRE: "expire"}
ACTIONS = {PASS_UP: "pass up", RESEND: "resend", SEND_ACK: "send ack", SEND_CANCEL: "send cancel",
           PHASE_CLOCKS: "phase clocks", END_CLOCK: "end clock", GIVE_UP_CLOCK: "give up clock",
           SEND_RESPONSE: "send response", COMPLETED_CLOCKS: "completed clocks", LINGER: "linger", STOP: "stop",
           END: "end", RESEND_LAST: "resend last", SLOW: "slow", TIMER_F: "timer f", SEND_TRYING: "send trying"}
SLOTS_OFFSET = HEADER_BYTES
REFERENCE_BITS = SLOT_BITS
NO_REFERENCE = NO_SLOT


def slot_fields() -> dict:
    """Name -> (numpy format, offset) of what readers look at; "bytes" is the size of a slot.

    Fields of the two records begin with "0." or "1.": that of a slot is the one that bit 0 of `commit` names.  A reader
    has no lock, and shards do not wait for him: what he takes of a slot may be of two commits.
    """
    cdef slot_t slot
    cdef record_t *record
    cdef char *base = <char *>&slot
    fields = {
        "bytes": ("", sizeof(slot_t)),
        "commit": ("<u8", <char *>&slot.commit - base),
        "parent": ("<u4", <char *>&slot.parent - base),
        "parent_generation": ("<u4", <char *>&slot.parent_generation - base),
        "created_ms": ("<u8", <char *>&slot.created_ms - base),
        "method": ("u1", <char *>&slot.method - base),
        "attempt": ("u1", <char *>&slot.attempt - base),
        "in_dialog": ("u1", <char *>&slot.in_dialog - base),
        "set_id": ("<u4", <char *>&slot.identity.server.set_id - base),
        "destination_id": ("<u4", <char *>&slot.identity.client.destination_id - base),
    }
    for copy in range(2):
        record = &slot.records[<int>copy]
        fields.update({
            f"{copy}.server.expire_ms": ("<u8", <char *>&record.server.expire_ms - base),
            f"{copy}.server.last_status": ("<u2", <char *>&record.server.last_status - base),
            f"{copy}.server.attempt_count": ("u1", <char *>&record.server.attempt_count - base),
            f"{copy}.server.flags": ("u1", <char *>&record.server.flags - base),
            f"{copy}.server.kept.unit": ("<u4", <char *>&record.server.kept.unit - base),
            f"{copy}.server.kept.len": ("<u4", <char *>&record.server.kept.len - base),
            f"{copy}.server.response.unit": ("<u4", <char *>&record.server.response.unit - base),
            f"{copy}.server.response.len": ("<u4", <char *>&record.server.response.len - base),
            f"{copy}.client.request.unit": ("<u4", <char *>&record.client.request.unit - base),
            f"{copy}.client.request.len": ("<u4", <char *>&record.client.request.len - base),
            f"{copy}.client.expire_ms": ("<u8", <char *>&record.client.expire_ms - base),
            f"{copy}.client.c_ms": ("<u8", <char *>&record.client.c_ms - base),
            f"{copy}.client.last_status": ("<u2", <char *>&record.client.last_status - base),
            f"{copy}.client.flags": ("u1", <char *>&record.client.flags - base),
        })
    return fields
