/* The route set of a call (RFC 3261 section 12.1.2), as the generator keeps it.
 *
 * Values are copied as they came, since a target may hide a signature in them;
 * only the first one's numeric address is read.  Used by bench/generator.c only.
 */
#ifndef BENCH_ROUTES_H
#define BENCH_ROUTES_H

#include "calls.h"
#include "scan.h"

/* Numeric host and port of "<sip:user@127.0.0.1:5060;lr>"; the first hop otherwise. */
static inline struct sockaddr_in hop_of(text_t uri, struct sockaddr_in first_hop)
{
    const char *end = uri.at + uri.len, *at = memchr(uri.at, '@', uri.len), *stop;
    char host[64];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(5060)};
    if (at)
        at++;
    else if (!(at = memchr(uri.at, ':', uri.len)) || !++at)
        return first_hop;
    for (stop = at; stop < end && ((*stop >= '0' && *stop <= '9') || *stop == '.'); stop++) {}
    if (stop == at || stop - at >= (long)sizeof host)
        return first_hop;
    memcpy(host, at, (size_t)(stop - at));
    host[stop - at] = 0;
    if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
        return first_hop;
    if (stop < end && *stop == ':')
        to.sin_port = htons((uint16_t)atoi(stop + 1));
    return to;
}

/* The route set: Record-Route values in reverse order (12.1.2).  0: too long. */
static inline int keep_routes(call_t *call, const seen_t *seen, struct sockaddr_in first_hop)
{
    char *p = call->routes;
    call->hop = first_hop;
    for (unsigned line = seen->record_routes; line-- > 0;) {
        text_t value = value_of(seen->record_route[line]);
        const char *end = value.at + value.len;
        while (end > value.at) {
            const char *at = end;
            int inside = 0;       /* a comma inside < > belongs to a URI */
            while (at > value.at && (inside || at[-1] != ',')) {
                at--;
                inside += (*at == '>') - (*at == '<');
            }
            size_t len = (size_t)(end - at);
            if ((size_t)(p - call->routes) + len + 16 > ROUTES_ROOM)
                return 0;
            if (p == call->routes)
                call->hop = hop_of(uri_of((text_t){at, (uint32_t)len}), first_hop);
            p = PUT(put(PUT(p, "Route: "), at, len), "\r\n");
            end = at > value.at ? at - 1 : at;
        }
    }
    call->routes_len = (uint16_t)(p - call->routes);
    return 1;
}

#endif
