/* The floor: a UDP relay that moves the six datagrams of a call and sends the 100.
 *
 * It does what no router can avoid - wake, read, look for the direction, write -
 * and nothing else: no index of the message, no state, no edits, no timers.  So
 * its CPU per call is what the machine and the kernel take in this run, and every
 * other figure is quoted as a multiple of it (docs/core.md#what-a-call-costs).
 *
 * A request goes to one of two destinations by a hash of its Call-ID, a response
 * to the address in its topmost Via, which is the caller's since no Via is added.
 * Each INVITE is answered by a 100 made of its own five header lines.
 *
 *     floor LISTEN DESTINATION DESTINATION LIMIT_SECONDS
 *
 * It must never learn a second trick: a cheaper or dearer floor moves all ratios.
 */
#include "wire.h"

static inbox_t in;
static outbox_t out;
static struct sockaddr_in destination[2];

/* The line that begins with `name`, including its line end; len 0 when absent. */
static text_t find_line(const char *at, size_t len, const char *name, size_t name_len)
{
    const char *end = at + len, *next;
    for (; at < end && (next = memchr(at, '\n', (size_t)(end - at))); at = next + 1)
        if ((size_t)(next - at) > name_len && !memcmp(at, name, name_len))
            return (text_t){at, (uint32_t)(next + 1 - at)};
    return (text_t){end, 0};
}

/* "Via: SIP/2.0/UDP 127.0.0.1:5061;..." -> the address; 0 when it is not like that. */
static int read_via(text_t via, struct sockaddr_in *to)
{
    const char *at = via.at + 17, *end = via.at + via.len;
    uint32_t ip = 0, part = 0, dots = 0, port = 0;
    for (; at < end && ((*at >= '0' && *at <= '9') || *at == '.'); at++) {
        if (*at == '.') {
            ip = ip << 8 | part;
            part = 0;
            dots++;
        } else
            part = part * 10 + (uint32_t)(*at - '0');
    }
    if (dots != 3 || at == end || *at != ':')
        return 0;
    for (at++; at < end && *at >= '0' && *at <= '9'; at++)
        port = port * 10 + (uint32_t)(*at - '0');
    *to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(ip << 8 | part)};
    return 1;
}

static uint32_t hash_text(text_t text)
{
    uint32_t h = 2166136261u;
    for (uint32_t i = 0; i < text.len; i++)
        h = (h ^ (uint8_t)text.at[i]) * 16777619u;
    return h ^ h >> 15;
}

static void send_trying(int fd, const char *at, size_t len, struct sockaddr_in to)
{
    static const struct { const char *name; size_t len; } names[] = {
        {"Via:", 4}, {"From:", 5}, {"To:", 3}, {"Call-ID:", 8}, {"CSeq:", 5}};
    char *start = compose(&out, fd), *p = PUT(start, "SIP/2.0 100 Trying\r\n");
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        text_t line = find_line(at, len, names[i].name, names[i].len);
        p = put(p, line.at, line.len);
    }
    p = PUT(p, "Content-Length: 0\r\n\r\n");
    queue(&out, fd, start, (size_t)(p - start), to);
}

static void relay(int fd, const char *at, size_t len, struct sockaddr_in from)
{
    struct sockaddr_in to;
    if (len < 12)
        return;
    if (!memcmp(at, "SIP/2.0 ", 8)) {
        text_t via = find_line(at, len, "Via:", 4);
        if (via.len > 24 && read_via(via, &to))
            queue(&out, fd, at, len, to);
        return;
    }
    if (!memcmp(at, "INVITE ", 7))
        send_trying(fd, at, len, from);
    queue(&out, fd, at, len, destination[hash_text(find_line(at, len, "Call-ID:", 8)) & 1]);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: floor LISTEN DESTINATION DESTINATION LIMIT_SECONDS\n");
        return 2;
    }
    int fd = open_udp(parse_address(argv[1])), poll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event want = {.events = EPOLLIN, .data.fd = fd}, ready;
    destination[0] = parse_address(argv[2]);
    destination[1] = parse_address(argv[3]);
    alarm((unsigned)atoi(argv[4]));
    if (poll < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, fd, &want))
        die("epoll");
    for (;;) {
        int got;
        if (epoll_wait(poll, &ready, 1, -1) < 1)
            continue;
        do {
            got = receive(fd, &in);
            for (int i = 0; i < got; i++)
                relay(fd, in.room[i], in.head[i].msg_len, in.from[i]);
            flush(&out);
        } while (got == BATCH);
    }
}
