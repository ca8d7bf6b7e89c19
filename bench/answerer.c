/* The callee of the benchmark: answers on several ports, each in its own manner.
 *
 * An INVITE gets 180 and 200 at once, or as its port says; every other request
 * gets 200.  RFC 3261 as far as a callee needs it: a repeated INVITE gets the
 * response it had, the 200 is repeated until its ACK (13.3.1.4), other finals
 * likewise (17.2.1), a CANCEL ends what rings by 487.
 *
 *     answerer --listen 5071 --listen 5072:silent
 *
 * Manners of a port: (none) answers; `ring` answers after --ring-ms, 0 = never;
 * `silent` says nothing at all; a number refuses with that code.  An INVITE to a
 * user that begins with "ring" rings on any answering port.
 *
 * It must never answer a call twice differently: the To tag follows from the
 * Call-ID, so that a repetition after the slot is gone is still the same dialog.
 */
#include <getopt.h>
#include <signal.h>
#include <stddef.h>

#include "report.h"
#include "scan.h"

#define COUNTERS(X) \
    X(invites) X(repeats) X(acks) X(byes) X(cancels) X(others) X(ringing) X(answered) X(refused) \
    X(retransmits) X(unacked) X(unmatched) X(unreadable) X(no_room) X(out_of_order) X(sent) X(received) X(lost)
enum {
#define X(name) n_##name,
    COUNTERS(X)
#undef X
    COUNTER_COUNT
};
static const char *const names[] = {
#define X(name) #name,
    COUNTERS(X)
#undef X
};

enum manner { ANSWER, RING, SILENT, REFUSE };
enum state { FREE, RINGING, FINAL, ACKED };       /* FINAL: sent, waiting for its ACK */
enum { MAX_PORTS = 16, HEAD_ROOM = 2048, SLOTS = 1 << 18, HASHES = 1 << 18, WHEEL = 1 << 16, NIL = 0xFFFFFFFF,
       T1_MS = 500, T2_MS = 4000, GIVE_UP_MS = 64 * T1_MS };

typedef struct {
    uint64_t key, deadline_ms;
    uint32_t chain;               /* next slot of the same hash; of the free list */
    uint32_t next, prev, bucket;  /* the wheel */
    uint32_t interval_ms;
    struct sockaddr_in to;
    uint16_t status, head_len;
    uint8_t state, port;
    char head[HEAD_ROOM];         /* Via to CSeq of its responses, with the To tag */
} slot_t;

typedef struct { int fd; enum manner manner; unsigned code; char contact[64]; } port_t;

static port_t ports[MAX_PORTS];
static unsigned port_count;
static slot_t *slots;
static uint32_t *heads, wheel[WHEEL], free_slot = NIL, used;
static uint64_t wheel_ms, *count;
static uint32_t ring_ms, limit_s = 120;
static inbox_t in;
static outbox_t out;
static volatile sig_atomic_t stopping;

static const char body[] =
    "v=0\r\no=callee 3868210022 3868210022 IN IP4 127.0.0.1\r\ns=call\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 40002 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
    "a=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";

static uint64_t now_ms(void) { return now_ns() / 1000000; }

/* ------------------------------------------------------------ slots */

/* 64 bits stand for the Call-ID: two of a run's calls sharing them is out of reach. */
static uint64_t key_of(text_t call_id, unsigned port)
{
    uint64_t h = 1469598103934665603u ^ port;
    for (uint32_t i = 0; i < call_id.len; i++)
        h = (h ^ (uint8_t)call_id.at[i]) * 1099511628211u;
    return h ^ h >> 29;
}

static uint32_t find_slot(uint64_t key)
{
    uint32_t i = heads[key & (HASHES - 1)];
    while (i != NIL && slots[i].key != key)
        i = slots[i].chain;
    return i;
}

static void disarm(uint32_t i)
{
    slot_t *slot = &slots[i];
    if (slot->bucket == NIL)
        return;
    *(slot->prev == NIL ? &wheel[slot->bucket] : &slots[slot->prev].next) = slot->next;
    if (slot->next != NIL)
        slots[slot->next].prev = slot->prev;
    slot->bucket = NIL;
}

static void arm(uint32_t i, uint64_t at_ms)
{
    slot_t *slot = &slots[i];
    disarm(i);
    if (at_ms <= wheel_ms)
        at_ms = wheel_ms + 1;
    if (at_ms >= wheel_ms + WHEEL)
        at_ms = wheel_ms + WHEEL - 1;
    slot->bucket = (uint32_t)(at_ms & (WHEEL - 1));
    slot->prev = NIL;
    slot->next = wheel[slot->bucket];
    if (slot->next != NIL)
        slots[slot->next].prev = i;
    wheel[slot->bucket] = i;
}

static uint32_t take_slot(uint64_t key)
{
    uint32_t i = free_slot;
    if (i != NIL)
        free_slot = slots[i].chain;
    else if (used < SLOTS)
        i = used++;
    else
        return NIL;
    memset(&slots[i], 0, offsetof(slot_t, head));
    slots[i].key = key;
    slots[i].bucket = NIL;
    slots[i].chain = heads[key & (HASHES - 1)];
    heads[key & (HASHES - 1)] = i;
    return i;
}

static void give_slot(uint32_t i)
{
    uint32_t *at = &heads[slots[i].key & (HASHES - 1)];
    while (*at != i)
        at = &slots[*at].chain;
    *at = slots[i].chain;
    disarm(i);
    count[n_ringing] -= slots[i].state == RINGING;
    slots[i].state = FREE;
    slots[i].chain = free_slot;
    free_slot = i;
}

/* ------------------------------------------------------------ responses */

/* Via, Record-Route, From, To with a tag, Call-ID and CSeq of a request; its length, 0: too long. */
static size_t put_head(char *to, size_t room, const seen_t *seen, uint64_t key)
{
    char *p = to;
    text_t cseq = seen->cseq, tag = tag_of(seen->to), value = value_of(seen->to);
    size_t need = seen->from.len + seen->to.len + seen->call_id.len + cseq.len + 64;
    for (unsigned i = 0; i < seen->vias; i++)
        need += seen->via[i].len;
    for (unsigned i = 0; i < seen->record_routes; i++)
        need += seen->record_route[i].len;
    if (need > room)
        return 0;
    for (unsigned i = 0; i < seen->vias; i++)
        p = put(p, seen->via[i].at, seen->via[i].len);
    for (unsigned i = 0; i < seen->record_routes; i++)
        p = put(p, seen->record_route[i].at, seen->record_route[i].len);
    p = put(p, seen->from.at, seen->from.len);
    p = put(PUT(p, "To: "), value.at, value.len);
    if (!tag.len)
        p = put_hex(put_hex(PUT(p, ";tag="), (uint32_t)(key >> 32)), (uint32_t)key);
    p = put(PUT(p, "\r\nCall-ID: "), seen->call_id.at, seen->call_id.len);
    p = put(PUT(p, "\r\n"), cseq.at, cseq.len);
    return (size_t)(p - to);
}

static char *put_status(char *p, unsigned status)
{
    p = PUT(p, "SIP/2.0 ");
    *p++ = (char)('0' + status / 100);
    *p++ = (char)('0' + status / 10 % 10);
    *p++ = (char)('0' + status % 10);
    return status == 180 ? PUT(p, " Ringing\r\n") : status == 200 ? PUT(p, " OK\r\n") : PUT(p, " Refused\r\n");
}

static void send_response(uint32_t i, unsigned status)
{
    const slot_t *slot = &slots[i];
    const port_t *port = &ports[slot->port];
    char *start = compose(&out, port->fd), *p = put_status(start, status);
    p = put(p, slot->head, slot->head_len);
    if (status < 300)
        p = put(p, port->contact, strlen(port->contact));
    if (status == 200) {
        p += sprintf(p, "Content-Type: application/sdp\r\nContent-Length: %zu\r\n\r\n", sizeof body - 1);
        p = PUT(p, body);
    } else
        p = PUT(p, "Content-Length: 0\r\n\r\n");
    queue(&out, port->fd, start, (size_t)(p - start), slot->to);
}

/* 200 to anything that needs no slot. */
static void send_plain(unsigned port, const seen_t *seen, uint64_t key, struct sockaddr_in to)
{
    char *start = compose(&out, ports[port].fd), *p = put_status(start, 200);
    size_t len = put_head(p, STRIDE - 128, seen, key);
    if (!len) {
        count[n_unreadable]++;
        return;
    }
    p = put(p + len, ports[port].contact, strlen(ports[port].contact));
    p = PUT(p, "Content-Length: 0\r\n\r\n");
    queue(&out, ports[port].fd, start, (size_t)(p - start), to);
}

static void send_final(uint32_t i, unsigned status)
{
    slot_t *slot = &slots[i];
    count[n_ringing] -= slot->state == RINGING;
    count[status == 200 ? n_answered : n_refused]++;
    slot->state = FINAL;
    slot->status = (uint16_t)status;
    slot->interval_ms = T1_MS;
    slot->deadline_ms = now_ms() + GIVE_UP_MS;
    arm(i, now_ms() + T1_MS);
    send_response(i, status);
}

/* ------------------------------------------------------------ requests */

static int wants_ringing(const port_t *port, text_t start)
{
    return port->manner == RING || (start.len > 16 && !memcmp(start.at, "INVITE sip:ring", 15));
}

static void on_new_invite(unsigned index, const seen_t *seen, uint64_t key, struct sockaddr_in from)
{
    const port_t *port = &ports[index];
    uint32_t i = take_slot(key);
    if (i == NIL) {
        count[n_no_room]++;
        return;
    }
    slot_t *slot = &slots[i];
    slot->to = from;
    slot->port = (uint8_t)index;
    slot->head_len = (uint16_t)put_head(slot->head, HEAD_ROOM, seen, key);
    if (!slot->head_len) {
        count[n_unreadable]++;
        give_slot(i);
        return;
    }
    if (port->manner == REFUSE) {
        send_final(i, port->code);
        return;
    }
    slot->state = RINGING;
    count[n_ringing]++;
    send_response(i, 180);
    if (!wants_ringing(port, seen->start)) {
        send_final(i, 200);
    } else if (ring_ms)
        arm(i, slot->deadline_ms = now_ms() + ring_ms);
}

static void on_invite(unsigned port, const seen_t *seen, uint64_t key, struct sockaddr_in from)
{
    uint32_t i = find_slot(key);
    if (tag_of(seen->to).len) {
        send_plain(port, seen, key, from);
    } else if (i == NIL) {
        count[n_invites]++;
        on_new_invite(port, seen, key, from);
    } else {
        count[n_repeats]++;
        send_response(i, slots[i].state == RINGING ? 180 : slots[i].status);
    }
}

static void on_ack(uint64_t key)
{
    uint32_t i = find_slot(key);
    count[n_acks]++;
    if (i == NIL || slots[i].state == RINGING) {
        count[n_unmatched]++;
    } else if (slots[i].status != 200) {
        give_slot(i);
    } else if (slots[i].state == FINAL) {
        slots[i].state = ACKED;           /* kept until the BYE, or as long as a repetition may come */
        slots[i].interval_ms = 0;
        slots[i].deadline_ms = now_ms() + GIVE_UP_MS;
        arm(i, slots[i].deadline_ms);
    }
}

static void on_bye(unsigned port, const seen_t *seen, uint64_t key, struct sockaddr_in from)
{
    uint32_t i = find_slot(key);
    count[n_byes]++;
    send_plain(port, seen, key, from);
    if (i == NIL)
        return;                           /* talked for longer than a slot is kept */
    count[n_out_of_order] += slots[i].state != ACKED;
    give_slot(i);
}

static void on_cancel(unsigned port, const seen_t *seen, uint64_t key, struct sockaddr_in from)
{
    uint32_t i = find_slot(key);
    count[n_cancels]++;
    send_plain(port, seen, key, from);
    if (i == NIL)
        count[n_unmatched]++;
    else if (slots[i].state == RINGING)
        send_final(i, 487);
}

static void on_datagram(unsigned port, const char *at, size_t len, struct sockaddr_in from)
{
    seen_t seen;
    count[n_received]++;
    if (!scan(at, len, &seen) || seen.status) {
        count[n_unreadable]++;
        return;
    }
    if (ports[port].manner == SILENT)
        return;
    uint64_t key = key_of(seen.call_id, port);
    switch (cseq_method(seen.cseq)) {
    case 'I':
        if (!memcmp(at, "INVITE ", 7))
            on_invite(port, &seen, key, from);
        else
            send_plain(port, &seen, key, from);       /* INFO */
        break;
    case 'A': on_ack(key); break;
    case 'B': on_bye(port, &seen, key, from); break;
    case 'C': on_cancel(port, &seen, key, from); break;
    default:
        count[n_others]++;
        send_plain(port, &seen, key, from);
    }
}

/* ------------------------------------------------------------ the loop */

static void on_timer(uint32_t i, uint64_t now)
{
    slot_t *slot = &slots[i];
    if (now < slot->deadline_ms && slot->state == FINAL) {
        count[n_retransmits]++;
        slot->interval_ms = slot->interval_ms * 2 > T2_MS ? T2_MS : slot->interval_ms * 2;
        arm(i, now + slot->interval_ms < slot->deadline_ms ? now + slot->interval_ms : slot->deadline_ms);
        send_response(i, slot->status);
    } else if (now < slot->deadline_ms) {
        arm(i, slot->deadline_ms);        /* further ahead than the wheel is long */
    } else if (slot->state == RINGING) {
        send_final(i, 200);
    } else {
        count[n_unacked] += slot->state == FINAL;
        give_slot(i);
    }
}

static void run_wheel(uint64_t now)
{
    while (wheel_ms < now) {
        uint32_t *head = &wheel[++wheel_ms & (WHEEL - 1)];
        while (*head != NIL) {
            uint32_t i = *head;
            disarm(i);
            on_timer(i, now);
        }
    }
}

static void read_port(unsigned port)
{
    int got;
    do {
        got = receive(ports[port].fd, &in);
        for (int i = 0; i < got; i++)
            on_datagram(port, in.room[i], in.head[i].msg_len, in.from[i]);
        flush(&out);
    } while (got == BATCH);
}

static void run(int poll)
{
    struct epoll_event ready[MAX_PORTS];
    while (!stopping) {
        /* 20 ms: its only clocks are retransmissions and the end of ringing */
        int got = epoll_wait(poll, ready, MAX_PORTS, 20);
        for (int i = 0; i < got; i++)
            read_port(ready[i].data.u32);
        run_wheel(now_ms());
        flush(&out);
        count[n_sent] = out.sent;
        count[n_lost] = out.lost;
    }
}

/* ------------------------------------------------------------ the start */

static void open_port(const char *text, int poll)
{
    char address[64];
    port_t *port = &ports[port_count];
    const char *manner = strchr(text, ':');
    errno = 0;
    if (port_count == MAX_PORTS)
        die("too many ports");
    if (!manner)
        port->manner = ANSWER;
    else if (!strcmp(manner, ":ring"))
        port->manner = RING;
    else if (!strcmp(manner, ":silent"))
        port->manner = SILENT;
    else if ((port->code = (unsigned)atoi(manner + 1)) >= 300 && port->code < 700)
        port->manner = REFUSE;
    else
        die(text);
    snprintf(address, sizeof address, "127.0.0.1:%d", atoi(text));
    port->fd = open_udp(parse_address(address));
    snprintf(port->contact, sizeof port->contact, "Contact: <sip:callee@127.0.0.1:%u>\r\n", bound_port(port->fd));
    struct epoll_event want = {.events = EPOLLIN, .data.u32 = port_count};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, port->fd, &want))
        die("epoll");
    port_count++;
}

static void on_signal(int number) { (void)number; stopping = 1; }

static const struct option options[] = {
    {"listen", 1, 0, 'l'}, {"ring-ms", 1, 0, 'r'}, {"limit-seconds", 1, 0, 's'}, {"counters", 1, 0, 'f'},
    {"names", 0, 0, 'n'}, {0, 0, 0, 0}};

int main(int argc, char **argv)
{
    struct sigaction act = {.sa_handler = on_signal};
    const char *counters = NULL;
    int letter, poll = epoll_create1(EPOLL_CLOEXEC);
    while ((letter = getopt_long(argc, argv, "", options, NULL)) >= 0)
        switch (letter) {
        case 'l': open_port(optarg, poll); break;
        case 'r': ring_ms = (uint32_t)atoi(optarg); break;
        case 's': limit_s = (uint32_t)atoi(optarg); break;
        case 'f': counters = optarg; break;
        case 'n': print_names(names, COUNTER_COUNT); return 0;
        default: return 2;
        }
    if (!port_count || optind != argc) {
        fprintf(stderr, "answerer: --listen PORT[:MANNER] is wanted, and nothing but options\n");
        return 2;
    }
    alarm(limit_s);                       /* the hard limit */
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    count = map_counters(counters, COUNTER_COUNT);
    slots = take_pages((size_t)SLOTS * sizeof(slot_t));
    heads = take_pages((size_t)HASHES * sizeof *heads);
    memset(heads, 0xFF, (size_t)HASHES * sizeof *heads);
    memset(wheel, 0xFF, sizeof wheel);
    wheel_ms = now_ms();
    run(poll);
    printf("{");
    print_counters(names, count, COUNTER_COUNT);
    printf("}\n");
    return 0;
}
