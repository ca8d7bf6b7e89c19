/* The caller of the benchmark: INVITE 100 180 200 ACK BYE 200, at a fixed rate.
 *
 * SIPp's own cost ends a run before the target does.  Open loop:
 * calls start by the clock, whatever the answers do, so a slow target cannot slow
 * its own load down.  RFC 3261 as far as a caller needs it: retransmission of
 * INVITE, BYE and CANCEL (17.1), ACK of 2xx along the route set (12.1.2, 13.2.2.4),
 * ACK of other finals hop by hop (17.1.1.3), CANCEL after a provisional (9.1).
 *
 * It must never hide a failure: each call that was started ends as completed, as
 * failed with a reason, or as unfinished, and the three add up.
 *
 *     generator --target 127.0.0.1:5060 --rate 1500 --seconds 20
 */
#include <getopt.h>
#include <signal.h>

#include "call_ids.h"
#include "calls.h"
#include "report.h"
#include "routes.h"

enum { MAX_SOURCES = 256, MAX_STATUS = 700 };

static struct {
    struct sockaddr_in target;
    double rate, seconds;
    uint64_t calls;               /* starts at most; 0: by time alone */
    uint32_t sources, slots, hold_ms, cancel_ms, clump_ms, t1_ms, t2_ms, limit_s;
    uint64_t ring_limit_ms;
    const char *user, *counters;
    uint16_t source_ports[MAX_SOURCES];   /* 0: any */
} opt = {.rate = 1000, .seconds = 10, .sources = 1, .slots = 1 << 18, .t1_ms = 500, .t2_ms = 4000,
         .limit_s = 120, .ring_limit_ms = 180000, .user = "8001"};

static calls_t calls;
static call_ids_t call_ids;
static inbox_t in;
static outbox_t out;
static uint64_t *count;
static uint64_t statuses[MAX_STATUS];
static histogram_t to_ringing, to_answer, to_end;
static int sockets[MAX_SOURCES];
static char via[MAX_SOURCES][64], contact[MAX_SOURCES][64];
static char target_text[64], invite_tail[2048];
static size_t invite_tail_len, invite_bytes;
static uint32_t seed;
static volatile sig_atomic_t stopping, ending;

static const char *const names[] = {
#define X(name) #name,
    COUNTERS(X)
#undef X
};

/* ------------------------------------------------------------ requests */

static const char body[] =
    "v=0\r\no=bench 3868210021 3868210021 IN IP4 127.0.0.1\r\ns=call\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 8 0 9 18 96 97 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
    "a=rtpmap:9 G722/8000\r\na=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=rtpmap:96 opus/48000/2\r\n"
    "a=fmtp:96 useinbandfec=1; maxplaybackrate=16000; stereo=0\r\na=rtpmap:97 AMR-WB/16000\r\n"
    "a=fmtp:97 octet-align=1; mode-change-capability=2\r\na=rtpmap:101 telephone-event/8000\r\n"
    "a=fmtp:101 0-16\r\na=ptime:20\r\na=maxptime:60\r\na=sendrecv\r\n";

static char *put_text(char *p, const char *text) { return put(p, text, strlen(text)); }

/* Via to CSeq, which all requests of a call share but for branch, To tag and CSeq. */
static char *put_head(char *p, uint32_t i, char transaction, const char *tag, size_t tag_len, const char *cseq)
{
    const call_t *call = &calls.at[i];
    p = put_text(p, via[call->source]);
    p = PUT(p, ";branch=z9hG4bK-");
    *p++ = transaction;
    p = put_hex(put_hex(put_hex(p, i), call->generation), seed);
    p = PUT(p, ";rport\r\nMax-Forwards: 70\r\nFrom: \"Bench\" <sip:bench@example.com>;tag=f");
    p = put_hex(put_hex(p, i), call->generation);
    p = PUT(p, "\r\nTo: <sip:");
    p = put_text(p, opt.user);
    *p++ = '@';
    p = put_text(p, target_text);
    *p++ = '>';
    if (tag_len)
        p = put(PUT(p, ";tag="), tag, tag_len);
    p = put_call_id(PUT(p, "\r\nCall-ID: "), &call_ids, call, i, seed);
    p = PUT(p, "\r\nCSeq: ");
    return PUT(put_text(p, cseq), "\r\n");
}

static char *put_ruri(char *p)
{
    p = put_text(PUT(p, "sip:"), opt.user);
    *p++ = '@';
    return put_text(p, target_text);
}

static void send_from(uint32_t i, char *start, const char *end, struct sockaddr_in to)
{
    queue(&out, sockets[calls.at[i].source], start, (size_t)(end - start), to);
}

static void send_invite(uint32_t i)
{
    char *start = compose(&out, sockets[calls.at[i].source]), *p = PUT(start, "INVITE ");
    p = PUT(put_ruri(p), " SIP/2.0\r\n");
    p = put_head(p, i, 'i', NULL, 0, "1 INVITE");
    p = put_text(p, contact[calls.at[i].source]);
    p = put(p, invite_tail, invite_tail_len);
    invite_bytes = (size_t)(p - start);
    send_from(i, start, p, opt.target);
}

/* CANCEL and the ACK of a 3xx-6xx: the INVITE's own branch, Request-URI and way. */
static void send_hop(uint32_t i, const char *method, const char *cseq, text_t tag)
{
    char *start = compose(&out, sockets[calls.at[i].source]), *p = put_text(start, method);
    *p++ = ' ';
    p = PUT(put_ruri(p), " SIP/2.0\r\n");
    p = put_head(p, i, 'i', tag.at, tag.len, cseq);
    p = PUT(p, "Content-Length: 0\r\n\r\n");
    send_from(i, start, p, opt.target);
}

/* ACK of a 2xx and BYE: along the route set to the callee's Contact. */
static void send_dialog(uint32_t i, const char *method, char transaction, const char *cseq)
{
    const call_t *call = &calls.at[i];
    char *start = compose(&out, sockets[call->source]), *p = put_text(start, method);
    *p++ = ' ';
    p = PUT(put(p, call->target, call->target_len), " SIP/2.0\r\n");
    p = put_head(p, i, transaction, call->tag, call->tag_len, cseq);
    p = put(p, call->routes, call->routes_len);
    p = PUT(p, "Content-Length: 0\r\n\r\n");
    send_from(i, start, p, call->hop);
}

static void send_bye(uint32_t i) { send_dialog(i, "BYE", 'b', "2 BYE"); }
static void send_ack(uint32_t i) { send_dialog(i, "ACK", 'a', "1 ACK"); }

/* ------------------------------------------------------------ the course of a call */

static uint64_t now_ms(void) { return now_ns() / 1000000; }

static void set_rings(call_t *call, int rings)
{
    count[n_ringing] += (uint64_t)(rings - call->rings);
    call->rings = (uint8_t)rings;
}

static void end_call(uint32_t i, unsigned outcome, unsigned reason)
{
    call_t *call = &calls.at[i];
    set_rings(call, 0);
    count[n_held] -= call->state == TALKING;
    count[n_open]--;
    count[outcome]++;
    if (reason != outcome)
        count[reason]++;
    give_call(&calls, i);
}

static void fail(uint32_t i, unsigned reason) { end_call(i, n_failed, reason); }

/* Starts a client transaction's clocks: Timer A or E, and Timer B or F. */
static void enter(uint32_t i, enum state state)
{
    call_t *call = &calls.at[i];
    count[n_held] -= call->state == TALKING;
    call->state = (uint8_t)state;
    call->interval_ms = opt.t1_ms;
    call->deadline_ms = now_ms() + 64 * opt.t1_ms;
    arm(&calls, i, now_ms() + opt.t1_ms);
}

static void leave(uint32_t i)
{
    calls.at[i].left_ns = now_ns();
    enter(i, LEAVING);
    send_bye(i);
}

static void cancel(uint32_t i)
{
    enter(i, CANCELLING);
    send_hop(i, "CANCEL", "1 CANCEL", (text_t){"", 0});
}

static void start_call(void)
{
    uint32_t i = take_call(&calls);
    count[n_started]++;
    if (i == NIL) {
        count[n_failed]++;
        count[n_failed_room]++;
        return;
    }
    call_t *call = &calls.at[i];
    call->source = (uint32_t)(count[n_started] % opt.sources);
    call->line = (uint32_t)(count[n_started] - 1);
    if (call_ids.count)
        call_ids.slot[call->line] = i;
    call->started_ns = now_ns();
    count[n_open]++;
    enter(i, INVITING);
    send_invite(i);
}

static void answered(uint32_t i, const seen_t *seen)
{
    call_t *call = &calls.at[i];
    text_t tag = tag_of(seen->to);
    if (!tag.len || tag.len > TAG_ROOM || !seen->contact.len || seen->contact.len > TARGET_ROOM
        || !keep_routes(call, seen, opt.target)) {
        count[n_unreadable]++;
        fail(i, n_failed_status);
        return;
    }
    call->tag_len = (uint16_t)(put(call->tag, tag.at, tag.len) - call->tag);
    call->target_len = (uint16_t)(put(call->target, seen->contact.at, seen->contact.len) - call->target);
    call->acked = 1;
    set_rings(call, 0);
    note(&to_answer, now_ns() - call->started_ns);
    send_ack(i);
    if (!opt.hold_ms || call->state == CANCELLING || ending) {
        leave(i);
        return;
    }
    call->state = TALKING;
    count[n_held]++;
    call->interval_ms = 0;
    call->deadline_ms = now_ms() + opt.hold_ms;
    arm(&calls, i, call->deadline_ms);
}

static void on_provisional(uint32_t i, unsigned status)
{
    call_t *call = &calls.at[i];
    if (call->state != INVITING && call->state != PROCEEDING)
        return;
    if (call->state == INVITING) {
        call->state = PROCEEDING;
        call->interval_ms = 0;
        call->deadline_ms = now_ms() + opt.ring_limit_ms;
        arm(&calls, i, call->deadline_ms);
    }
    if (status == 100 || call->rings)
        return;
    note(&to_ringing, now_ns() - call->started_ns);
    set_rings(call, 1);
    if (opt.cancel_ms)
        arm(&calls, i, call->deadline_ms = now_ms() + opt.cancel_ms);
}

static void on_invite_response(uint32_t i, const seen_t *seen)
{
    call_t *call = &calls.at[i];
    int open = call->state == INVITING || call->state == PROCEEDING || call->state == CANCELLING;
    if (seen->status < 200) {
        on_provisional(i, seen->status);
    } else if (seen->status < 300) {
        if (open) {
            answered(i, seen);
        } else if (call->acked) {
            count[n_repeats]++;
            send_ack(i);
        }
    } else {
        send_hop(i, "ACK", "1 ACK", tag_of(seen->to));
        if (!open)
            return;
        if (call->state == CANCELLING && seen->status == 487) {
            end_call(i, n_completed, n_completed);
            return;
        }
        statuses[seen->status < MAX_STATUS ? seen->status : 0]++;
        fail(i, n_failed_status);
    }
}

static void on_bye_response(uint32_t i, unsigned status)
{
    call_t *call = &calls.at[i];
    if (call->state != LEAVING || status < 200)
        return;
    if (status < 300) {
        note(&to_end, now_ns() - call->left_ns);
        end_call(i, n_completed, n_completed);
        return;
    }
    statuses[status < MAX_STATUS ? status : 0]++;
    fail(i, n_failed_bye);
}

static void on_cancel_response(uint32_t i, unsigned status)
{
    if (calls.at[i].state == CANCELLING && status >= 200)
        calls.at[i].interval_ms = 0;      /* no more CANCELs; the 487 or its timeout decides */
}

static void on_datagram(const char *at, size_t len)
{
    seen_t seen;
    count[n_received]++;
    if (!scan(at, len, &seen) || seen.status < 100 || seen.status >= MAX_STATUS || seen.vias != 1) {
        count[n_unreadable]++;
        return;
    }
    uint32_t i = find_call(&call_ids, &calls, seen.call_id, seed);
    if (i == NIL || calls.at[i].state == FREE) {
        count[n_stray]++;
        return;
    }
    switch (cseq_method(seen.cseq)) {
    case 'I': on_invite_response(i, &seen); break;
    case 'B': on_bye_response(i, seen.status); break;
    case 'C': on_cancel_response(i, seen.status); break;
    default: count[n_stray]++;
    }
}

/* ------------------------------------------------------------ clocks */

static void resend(uint32_t i)
{
    call_t *call = &calls.at[i];
    uint64_t next;
    count[n_retransmits]++;
    call->interval_ms *= 2;
    if (call->state != INVITING && call->interval_ms > opt.t2_ms)
        call->interval_ms = opt.t2_ms;
    next = now_ms() + call->interval_ms;
    arm(&calls, i, next < call->deadline_ms ? next : call->deadline_ms);
    switch (call->state) {
    case INVITING: send_invite(i); break;
    case CANCELLING: send_hop(i, "CANCEL", "1 CANCEL", (text_t){"", 0}); break;
    case LEAVING: send_bye(i); break;
    }
}

static void on_timer(uint32_t i, uint64_t now)
{
    call_t *call = &calls.at[i];
    if (now < call->deadline_ms) {
        if (call->interval_ms)
            resend(i);
        else
            arm(&calls, i, call->deadline_ms);
        return;
    }
    if (call->state == TALKING)
        leave(i);
    else if (call->state == PROCEEDING && opt.cancel_ms && call->rings)
        cancel(i);
    else if (call->state == LEAVING)
        fail(i, n_failed_bye);
    else
        fail(i, n_failed_timeout);
}

static void run_wheel(uint64_t now)
{
    while (calls.now_ms < now) {
        uint32_t *head = &calls.heads[++calls.now_ms & (WHEEL - 1)];
        while (*head != NIL) {
            uint32_t i = *head;
            disarm(&calls, i);
            on_timer(i, now);
        }
    }
}

/* After SIGUSR1: what rings is cancelled, what talks is ended, at the rate of the
 * load, since a burst of 10,000 would measure buffers. */
static void end_some(uint64_t now)
{
    static uint64_t begun;
    static uint32_t next;
    if (!begun)
        begun = now;
    uint64_t due = (uint64_t)((double)(now - begun) * 1e-9 * opt.rate) + 1;
    for (; next < calls.used && next < due; next++) {
        if (calls.at[next].state == PROCEEDING)
            cancel(next);
        else if (calls.at[next].state == TALKING)
            leave(next);
    }
}

/* ------------------------------------------------------------ the loop */

static void start_due(uint64_t begun, uint64_t now)
{
    uint64_t clump = (uint64_t)opt.clump_ms * 1000000;
    double seconds = (double)(clump ? (now - begun) / clump * clump : now - begun) * 1e-9;
    uint64_t due = (uint64_t)((seconds < opt.seconds ? seconds : opt.seconds) * opt.rate);
    if (opt.calls && due > opt.calls)
        due = opt.calls;
    if (!clump && count[n_started] < due) {
        double late = seconds * 1e6 - (double)(count[n_started] + 1) / opt.rate * 1e6;
        if (late > 0 && (uint64_t)late > count[n_late_us])
            count[n_late_us] = (uint64_t)late;
    }
    for (unsigned burst = 0; count[n_started] < due && burst < BATCH; burst++)
        start_call();
}

static int all_started(uint64_t begun, uint64_t now)
{
    return ending || (double)(now - begun) * 1e-9 >= opt.seconds || (opt.calls && count[n_started] >= opt.calls);
}

static void read_socket(int fd)
{
    int got;
    do {
        got = receive(fd, &in);
        for (int i = 0; i < got; i++)
            on_datagram(in.room[i], in.head[i].msg_len);
    } while (got == BATCH);
}

/* To the next start by the clock, at most 1 ms, so that the wheel turns. */
static void wait_ready(int poll, uint64_t begun, int done)
{
    struct epoll_event ready[MAX_SOURCES];
    uint64_t clump = (uint64_t)opt.clump_ms * 1000000, now = now_ns();
    uint64_t next = clump ? begun + ((now - begun) / clump + 1) * clump
                          : begun + (uint64_t)((double)(count[n_started] + 1) / opt.rate * 1e9);
    uint64_t ns = done || next > now + 1000000 ? 1000000 : next > now ? next - now : 0;
    struct timespec limit = {0, (long)ns};
    int got = epoll_pwait2(poll, ready, MAX_SOURCES, &limit, NULL);
    for (int i = 0; i < got; i++)
        read_socket(ready[i].data.fd);
}

static void run(int poll)
{
    uint64_t begun = now_ns();
    for (;;) {
        uint64_t now = now_ns();
        int done = all_started(begun, now);
        if (!ending)
            start_due(begun, now);
        else
            end_some(now);
        run_wheel(now / 1000000);
        flush(&out);
        count[n_sent] = out.sent;
        count[n_lost] = out.lost;
        if (stopping || (done && !count[n_open]))
            break;
        wait_ready(poll, begun, done);
    }
    count[n_unfinished] = count[n_open];
}

static void print_report(double seconds)
{
    printf("{");
    print_counters(names, count, COUNTER_COUNT);
    printf(", \"invite_bytes\": %zu, \"seconds\": %.3f", invite_bytes, seconds);
    printf(", \"statuses\": {");
    for (unsigned i = 0, some = 0; i < MAX_STATUS; i++)
        if (statuses[i])
            printf("%s\"%u\": %llu", some++ ? ", " : "", i, (unsigned long long)statuses[i]);
    printf("}");
    print_histogram("ringing_us", &to_ringing);
    print_histogram("answer_us", &to_answer);
    print_histogram("bye_us", &to_end);
    printf("}\n");
}

/* ------------------------------------------------------------ the start */

static void on_signal(int number)
{
    if (number == SIGUSR1)
        ending = 1;
    else
        stopping = 1;
}

static void open_sources(int poll)
{
    for (uint32_t i = 0; i < opt.sources; i++) {
        struct sockaddr_in at = parse_address("127.0.0.1:0");
        at.sin_port = htons(opt.source_ports[i]);
        sockets[i] = open_udp(at);
        struct epoll_event want = {.events = EPOLLIN, .data.fd = sockets[i]};
        if (epoll_ctl(poll, EPOLL_CTL_ADD, sockets[i], &want))
            die("epoll");
        snprintf(via[i], sizeof via[i], "Via: SIP/2.0/UDP 127.0.0.1:%u", bound_port(sockets[i]));
        snprintf(contact[i], sizeof contact[i], "Contact: <sip:bench@127.0.0.1:%u>\r\n", bound_port(sockets[i]));
    }
    invite_tail_len = (size_t)snprintf(
        invite_tail, sizeof invite_tail,
        "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, NOTIFY, REFER\r\n"
        "Supported: timer, replaces, histinfo\r\nUser-Agent: Bench Gateway 1.0 (carrier edge)\r\n"
        "P-Asserted-Identity: \"Bench\" <sip:+493012345678@example.com;user=phone>\r\n"
        "Session-Expires: 1800;refresher=uac\r\nMin-SE: 90\r\nAccept: application/sdp\r\n"
        "P-Charging-Vector: icid-value=\"bench-5f3a90c1\";icid-generated-at=127.0.0.1\r\nContent-Type: application/sdp\r\nContent-Length: %zu\r\n\r\n%s",
        sizeof body - 1, body);
}

static double number(const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);
    errno = 0;
    if (end == text || *end || value < least || value > most)
        die(text);
    return value;
}

static void read_ports(char *list)
{
    char *rest = list;
    opt.sources = 0;
    for (char *one; (one = strsep(&rest, ","));) {
        if (opt.sources == MAX_SOURCES)
            die("too many source ports");
        opt.source_ports[opt.sources++] = (uint16_t)number(one, 1, 65535);
    }
}

static const struct option options[] = {
    {"target", 1, 0, 't'}, {"rate", 1, 0, 'r'}, {"seconds", 1, 0, 's'}, {"calls", 1, 0, 'c'},
    {"ports", 1, 0, 'p'}, {"slots", 1, 0, 'm'}, {"hold-ms", 1, 0, 'h'}, {"cancel-ms", 1, 0, 'x'},
    {"ring-limit-ms", 1, 0, 'g'}, {"t1-ms", 1, 0, '1'}, {"limit-seconds", 1, 0, 'l'}, {"user", 1, 0, 'u'},
    {"clump-ms", 1, 0, 'k'}, {"counters", 1, 0, 'f'}, {"names", 0, 0, 'n'}, {"call-ids", 1, 0, 'i'},
    {"source-ports", 1, 0, 'o'}, {0, 0, 0, 0}};

static void read_options(int argc, char **argv)
{
    int letter, targets = 0;
    while ((letter = getopt_long(argc, argv, "", options, NULL)) >= 0)
        switch (letter) {
        case 't': opt.target = parse_address(optarg), snprintf(target_text, sizeof target_text, "%s", optarg), targets++; break;
        case 'r': opt.rate = number(optarg, 0.1, 1e6); break;
        case 's': opt.seconds = number(optarg, 0, 1e5); break;
        case 'c': opt.calls = (uint64_t)number(optarg, 0, 1e12); break;
        case 'p': opt.sources = (uint32_t)number(optarg, 1, MAX_SOURCES); break;
        case 'm': opt.slots = (uint32_t)number(optarg, 1, 1 << 22); break;
        case 'h': opt.hold_ms = (uint32_t)number(optarg, 0, 1e9); break;
        case 'x': opt.cancel_ms = (uint32_t)number(optarg, 0, 1e9); break;
        case 'g': opt.ring_limit_ms = (uint64_t)number(optarg, 1, 1e9); break;
        case '1': opt.t1_ms = (uint32_t)number(optarg, 1, 60000); break;
        case 'l': opt.limit_s = (uint32_t)number(optarg, 1, 86400); break;
        case 'k': opt.clump_ms = (uint32_t)number(optarg, 0, 1000); break;
        case 'u': opt.user = optarg; break;
        case 'f': opt.counters = optarg; break;
        case 'i': load_call_ids(&call_ids, optarg); break;
        case 'o': read_ports(optarg); break;
        case 'n': print_names(names, COUNTER_COUNT); exit(0);
        default: exit(2);
        }
    if (call_ids.count && (!opt.calls || opt.calls > call_ids.count))
        opt.calls = call_ids.count;       /* a Call-ID serves one call */
    if (!targets || optind != argc || strlen(opt.user) > 64) {
        fprintf(stderr, "generator: --target is wanted, and nothing but options\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct sigaction act = {.sa_handler = on_signal};
    read_options(argc, argv);
    int poll = epoll_create1(EPOLL_CLOEXEC);
    if (poll < 0)
        die("epoll");
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGUSR1, &act, NULL);
    alarm(opt.limit_s);               /* the hard limit: dies, and the runner sees it */
    seed = (uint32_t)now_ns() ^ (uint32_t)getpid() << 16;
    count = map_counters(opt.counters, COUNTER_COUNT);
    open_calls(&calls, opt.slots, now_ms());
    open_sources(poll);
    uint64_t begun = now_ns();
    run(poll);
    print_report((double)(now_ns() - begun) * 1e-9);
    return count[n_failed] || count[n_unfinished] ? 1 : 0;
}
