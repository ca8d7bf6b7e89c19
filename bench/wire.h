/* What floor, generator and answerer share: sockets, batches, a line scanner.
 *
 * Plain C, one thread, IPv4 loopback.  It must never do the work of a SIP stack:
 * the programs of this directory measure one and must cost less than it.  Used
 * by bench/floor.c, bench/generator.c, bench/answerer.c; nothing of the product.
 */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

enum {
    BATCH = 64,               /* datagrams per recvmmsg */
    OUT_ROOM = 128,           /* datagrams per sendmmsg */
    STRIDE = 4096 + 64,       /* not a power of two: first lines would share cache sets */
    RCVBUF = 8 << 20,
    MAX_VIAS = 16,
    MAX_ROUTES = 8,
};

typedef struct { const char *at; uint32_t len; } text_t;

static inline void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, errno ? strerror(errno) : "refused");
    exit(2);
}

static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* "127.0.0.1:5060"; dies on anything else: an address comes from the command line. */
static inline struct sockaddr_in parse_address(const char *text)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    char host[64];
    const char *colon = strrchr(text, ':');
    errno = 0;
    if (!colon || colon - text >= (long)sizeof host)
        die(text);
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = 0;
    a.sin_port = htons((uint16_t)atoi(colon + 1));
    if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
        die(text);
    return a;
}

/* A bound, non-blocking UDP socket with the receive buffer that all targets get. */
static inline int open_udp(struct sockaddr_in at)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), size = RCVBUF;
    if (fd < 0)
        die("socket");
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size))
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size))
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    if (bind(fd, (struct sockaddr *)&at, sizeof at))
        die("bind");
    return fd;
}

static inline uint16_t bound_port(int fd)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &len))
        die("getsockname");
    return ntohs(a.sin_port);
}

/* ------------------------------------------------------------ batches */

typedef struct {
    struct mmsghdr head[BATCH];
    struct iovec span[BATCH];
    struct sockaddr_in from[BATCH];
    char room[BATCH][STRIDE];
    int ready;                /* the arrays above point at each other */
} inbox_t;

typedef struct {
    int fd;
    unsigned count;
    uint64_t sent, lost;      /* lost: the kernel took it not, as on a full wire */
    struct mmsghdr head[OUT_ROOM];
    struct iovec span[OUT_ROOM];
    struct sockaddr_in to[OUT_ROOM];
    char room[OUT_ROOM][STRIDE];
} outbox_t;

static inline void *take_pages(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        die("mmap");
    return at;
}

/* Datagrams read, 0 when none wait. */
static inline int receive(int fd, inbox_t *in)
{
    for (int i = 0; !in->ready && i < BATCH; i++) {
        in->span[i] = (struct iovec){in->room[i], STRIDE};
        in->head[i].msg_hdr = (struct msghdr){.msg_name = &in->from[i], .msg_namelen = sizeof in->from[i],
                                              .msg_iov = &in->span[i], .msg_iovlen = 1};
    }
    in->ready = 1;            /* the kernel changes only lengths, and the name's is constant */
    int got = recvmmsg(fd, in->head, BATCH, MSG_DONTWAIT, NULL);
    return got < 0 ? 0 : got;
}

static inline void flush(outbox_t *out)
{
    unsigned at = 0;
    while (at < out->count) {
        int went = sendmmsg(out->fd, out->head + at, out->count - at, MSG_DONTWAIT);
        if (went > 0) {
            at += (unsigned)went;
            out->sent += (unsigned)went;
        } else if (errno != EINTR) {
            at++;             /* EAGAIN, ENOBUFS: loss on the wire, which timers repair */
            out->lost++;
        }
    }
    out->count = 0;
}

/* Queues a datagram that stays where it is until the flush. */
static inline void queue(outbox_t *out, int fd, const char *at, size_t len, struct sockaddr_in to)
{
    if (out->count == OUT_ROOM || (out->count && out->fd != fd))
        flush(out);
    unsigned i = out->count++;
    out->fd = fd;
    out->to[i] = to;
    out->span[i] = (struct iovec){(void *)at, len};
    out->head[i].msg_hdr = (struct msghdr){.msg_name = &out->to[i], .msg_namelen = sizeof out->to[i],
                                           .msg_iov = &out->span[i], .msg_iovlen = 1};
}

/* Room of STRIDE bytes in which the next queued datagram is composed. */
static inline char *compose(outbox_t *out, int fd)
{
    if (out->count == OUT_ROOM || (out->count && out->fd != fd))
        flush(out);
    return out->room[out->count];
}

static inline char *put(char *to, const char *at, size_t len) { memcpy(to, at, len); return to + len; }
#define PUT(to, literal) put(to, literal, sizeof(literal) - 1)

static inline char *put_hex(char *to, uint32_t value)
{
    for (int shift = 28; shift >= 0; shift -= 4)
        *to++ = "0123456789abcdef"[(value >> shift) & 15];
    return to;
}

/* ------------------------------------------------------------ counters */

/* Counters live in a file that the runner maps: it reads them at the same
 * instant as the target's CPU, without a pipe and without waking anybody. */
static inline uint64_t *map_counters(const char *path, unsigned count)
{
    size_t size = count * sizeof(uint64_t);
    if (!path)
        return take_pages(size);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0 || ftruncate(fd, (off_t)size))
        die(path);
    uint64_t *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        die(path);
    close(fd);
    return at;
}

#endif
