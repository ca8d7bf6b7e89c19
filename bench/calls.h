/* The calls of the generator: slots, their counters and their one timer each.
 *
 * Slots come from one array and are named by index and generation, both written
 * into the Call-ID, so that a response finds its call without a table.  The
 * wheel has one list per millisecond.  Used by bench/generator.c only.
 */
#ifndef BENCH_CALLS_H
#define BENCH_CALLS_H

#include <stddef.h>

#include "wire.h"

/* Gauges and counts, in the order of the mapped file (`generator --names`). */
#define COUNTERS(X) \
    X(started) X(completed) X(failed) X(failed_timeout) X(failed_status) X(failed_bye) X(failed_room) \
    X(unfinished) X(open) X(ringing) X(held) X(retransmits) X(repeats) X(stray) X(unreadable) X(late_us) \
    X(sent) X(received) X(lost)
enum {
#define X(name) n_##name,
    COUNTERS(X)
#undef X
    COUNTER_COUNT
};

/* What a call waits for. */
enum state {
    FREE,
    INVITING,                 /* any response to INVITE */
    PROCEEDING,               /* 1xx seen: the final */
    CANCELLING,               /* CANCEL sent: its 200 and the 487 */
    TALKING,                  /* the end of the hold time */
    LEAVING,                  /* BYE sent: its 200 */
};

enum { TAG_ROOM = 128, TARGET_ROOM = 192, ROUTES_ROOM = 1200, WHEEL = 1 << 16, NIL = 0xFFFFFFFF };

typedef struct {
    uint32_t generation, next, prev, bucket;
    uint32_t source;          /* which socket */
    uint32_t line;            /* of the file of Call-IDs, if there is one */
    uint32_t interval_ms;     /* of the next retransmission; 0: none */
    uint64_t started_ns, left_ns, deadline_ms;
    struct sockaddr_in hop;   /* of in-dialog requests */
    uint16_t tag_len, target_len, routes_len;
    uint8_t state;
    uint8_t acked;            /* a 2xx has been ACKed: its repetition gets an ACK again */
    uint8_t rings;            /* counted in n_ringing */
    char tag[TAG_ROOM], target[TARGET_ROOM], routes[ROUTES_ROOM];
} call_t;

typedef struct {
    call_t *at;
    uint32_t room, used, free;
    uint32_t heads[WHEEL];
    uint64_t now_ms;          /* the wheel stands here */
} calls_t;

static inline void open_calls(calls_t *calls, uint32_t room, uint64_t now_ms)
{
    calls->at = take_pages((size_t)room * sizeof(call_t));
    calls->room = room;
    calls->used = 0;
    calls->free = NIL;
    calls->now_ms = now_ms;
    memset(calls->heads, 0xFF, sizeof calls->heads);
}

static inline void disarm(calls_t *calls, uint32_t i)
{
    call_t *call = &calls->at[i];
    if (call->bucket == NIL)
        return;
    if (call->prev == NIL)
        calls->heads[call->bucket] = call->next;
    else
        calls->at[call->prev].next = call->next;
    if (call->next != NIL)
        calls->at[call->next].prev = call->prev;
    call->bucket = NIL;
}

/* At most WHEEL - 1 ms ahead; a longer wait is armed again when it fires early. */
static inline void arm(calls_t *calls, uint32_t i, uint64_t at_ms)
{
    call_t *call = &calls->at[i];
    disarm(calls, i);
    if (at_ms <= calls->now_ms)
        at_ms = calls->now_ms + 1;
    if (at_ms >= calls->now_ms + WHEEL)
        at_ms = calls->now_ms + WHEEL - 1;
    call->bucket = (uint32_t)(at_ms & (WHEEL - 1));
    call->prev = NIL;
    call->next = calls->heads[call->bucket];
    if (call->next != NIL)
        calls->at[call->next].prev = i;
    calls->heads[call->bucket] = i;
}

/* A slot, or NIL when all are in use. */
static inline uint32_t take_call(calls_t *calls)
{
    uint32_t i = calls->free;
    if (i != NIL)
        calls->free = calls->at[i].next;
    else if (calls->used < calls->room)
        i = calls->used++;
    else
        return NIL;
    call_t *call = &calls->at[i];
    uint32_t generation = call->generation + 1;
    memset(call, 0, offsetof(call_t, tag));
    call->generation = generation;
    call->bucket = NIL;
    return i;
}

static inline void give_call(calls_t *calls, uint32_t i)
{
    disarm(calls, i);
    calls->at[i].state = FREE;
    calls->at[i].generation++;    /* late messages of it are strays */
    calls->at[i].next = calls->free;
    calls->free = i;
}

#endif
