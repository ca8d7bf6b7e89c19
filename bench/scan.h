/* Finds the header lines that a user agent of the benchmark needs.
 *
 * Lines are told apart by their first letters, in full or compact form; nothing
 * is judged and folded lines are not followed, since the peers of a run emit
 * none.  Called once per datagram by bench/generator.c and bench/answerer.c.
 */
#ifndef BENCH_SCAN_H
#define BENCH_SCAN_H

#include "wire.h"

typedef struct {
    text_t start;                       /* the first line */
    text_t via[MAX_VIAS];               /* whole lines with CRLF, in order */
    text_t record_route[MAX_ROUTES];
    text_t from, to, cseq;              /* whole lines with CRLF */
    text_t call_id;                     /* the value */
    text_t contact;                     /* the URI, without < > */
    unsigned vias, record_routes;
    unsigned status;                    /* 0: a request */
} seen_t;

static inline text_t value_of(text_t line)
{
    const char *at = memchr(line.at, ':', line.len), *end = line.at + line.len;
    if (!at)
        return (text_t){line.at, 0};
    for (at++; at < end && (*at == ' ' || *at == '\t'); at++) {}
    while (end > at && (end[-1] == '\n' || end[-1] == '\r' || end[-1] == ' '))
        end--;
    return (text_t){at, (uint32_t)(end - at)};
}

static inline text_t uri_of(text_t value)
{
    const char *open = memchr(value.at, '<', value.len);
    if (!open)
        return value;
    const char *close = memchr(open, '>', (size_t)(value.at + value.len - open));
    return close ? (text_t){open + 1, (uint32_t)(close - open - 1)} : (text_t){value.at, 0};
}

/* The tag parameter of a From or To line; len 0 when there is none. */
static inline text_t tag_of(text_t line)
{
    text_t value = value_of(line);
    const char *end = value.at + value.len, *past = memchr(value.at, '>', value.len);
    const char *at = past ? past : value.at;
    if (at == end || !(at = memmem(at, (size_t)(end - at), ";tag=", 5)))
        return (text_t){end, 0};
    at += 5;
    const char *stop = at;
    while (stop < end && *stop != ';' && *stop != ' ')
        stop++;
    return (text_t){at, (uint32_t)(stop - at)};
}

static inline int is_name(text_t line, const char *name, size_t len)
{
    return line.len > len && line.at[len] == ':' && !strncasecmp(line.at, name, len);
}

static inline void note_line(text_t line, seen_t *seen)
{
    int compact = line.len > 2 && line.at[1] == ':';
    switch (line.at[0] | 32) {
    case 'v':
        if ((compact || is_name(line, "Via", 3)) && seen->vias < MAX_VIAS)
            seen->via[seen->vias++] = line;
        break;
    case 'r':
        if (is_name(line, "Record-Route", 12) && seen->record_routes < MAX_ROUTES)
            seen->record_route[seen->record_routes++] = line;
        break;
    case 'f':
        if (compact || is_name(line, "From", 4))
            seen->from = line;
        break;
    case 't':
        if (compact || is_name(line, "To", 2))
            seen->to = line;
        break;
    case 'i':
        if (compact)
            seen->call_id = value_of(line);
        break;
    case 'm':
        if (compact)
            seen->contact = uri_of(value_of(line));
        break;
    case 'c':
        if (is_name(line, "Call-ID", 7))
            seen->call_id = value_of(line);
        else if (is_name(line, "CSeq", 4))
            seen->cseq = line;
        else if (is_name(line, "Contact", 7))
            seen->contact = uri_of(value_of(line));
        break;
    }
}

/* 1 when the five headers that every message has are there. */
static inline int scan(const char *at, size_t len, seen_t *seen)
{
    const char *end = at + len;
    memset(seen, 0, sizeof *seen);
    const char *line_end = memchr(at, '\n', len);
    if (!line_end || len < 16)
        return 0;
    seen->start = (text_t){at, (uint32_t)(line_end + 1 - at)};
    if (!memcmp(at, "SIP/2.0 ", 8))
        seen->status = (unsigned)((at[8] - '0') * 100 + (at[9] - '0') * 10 + (at[10] - '0'));
    for (at = line_end + 1; at < end && *at != '\r' && *at != '\n'; at = line_end + 1) {
        if (!(line_end = memchr(at, '\n', (size_t)(end - at))))
            return 0;
        note_line((text_t){at, (uint32_t)(line_end + 1 - at)}, seen);
    }
    return seen->vias && seen->from.len && seen->to.len && seen->cseq.len && seen->call_id.len;
}

/* The method in a CSeq line, as its first letter: I, A, B, C, O. */
static inline char cseq_method(text_t cseq)
{
    text_t value = value_of(cseq);
    const char *at = value.at, *end = value.at + value.len;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    while (at < end && *at == ' ')
        at++;
    return at < end ? *at : 0;
}

#endif
