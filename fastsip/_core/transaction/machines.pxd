# The four machines of RFC 3261 section 17 as tables.  See machines.pyx.

from libc.stdint cimport uint8_t, uint16_t

cdef enum client_event:
    GOT_1XX = 0
    GOT_2XX = 1
    GOT_FINAL = 2           # 300-699
    RETRANSMIT = 3          # Timer A or E
    EXPIRE = 4              # Timer B, C, D, F, M, or a clock of the policy
    CANCEL_IT = 5           # by the transaction user
    SEND_FAILED = 6
    CLIENT_EVENTS = 7

cdef enum server_event:
    REPEATED = 0            # the request again
    GOT_ACK = 1
    SEND_1XX = 2
    SEND_2XX = 3
    SEND_FINAL = 4          # 300-699 (INVITE), 200-699 (others)
    SERVER_RETRANSMIT = 5   # Timer G; non-INVITE: the caller's Timer E has reached T2
    SERVER_EXPIRE = 6       # Timer H, I, J, L
    SERVER_EVENTS = 7

# What a step asks for.  Each is one thing that proxy/context (of a branch) or transaction/server does.
cdef enum action_bit:
    DO_NOTHING = 0
    PASS_UP = 1             # tell the response context
    RESEND = 2              # the same bytes again, interval doubled (Timer A, E or G)
    SEND_ACK = 4
    SEND_CANCEL = 8
    PHASE_CLOCKS = 16       # progress, ring and Timer C
    END_CLOCK = 32          # Timer D, M: until the state ends; Timer C stops
    GIVE_UP_CLOCK = 64      # until 64 T1 after the start, as Timer B and F would
    SEND_RESPONSE = 128
    COMPLETED_CLOCKS = 256  # Timers G and H, or J
    LINGER = 512            # Timer I or L
    STOP = 1024             # no more retransmissions: Timer A, E or G
    END = 2048              # free the slot
    RESEND_LAST = 4096      # the last response, if any
    SLOW = 8192             # retransmit every T2 from now on: Timer E in Proceeding
    TIMER_F = 16384         # until 64 T1 after the start, whatever `timeout` says
    SEND_TRYING = 32768     # a 100 of our own

cdef struct step_t:
    uint8_t next
    uint8_t valid
    uint16_t actions

# Is this a state of these machines?  A later release may have left others.
cdef bint is_state(int kind, int state) noexcept nogil

cdef step_t client_step(int kind, int state, int event) noexcept nogil
cdef step_t server_step(int kind, int state, int event) noexcept nogil
