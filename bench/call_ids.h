/* Call-IDs of the generator, and the call that one belongs to.
 *
 * Its own name slot, generation and run.  A run that needs its calls in certain
 * partitions of a store brings a file of others, one per line and call: each begins
 * with the number of its line, from 0, in eight hex digits, so that a response finds
 * its call without a table of strings.
 * Used by bench/generator.c only.
 */
#ifndef BENCH_CALL_IDS_H
#define BENCH_CALL_IDS_H

#include "calls.h"

enum { CALL_ID_ROOM = 128 };

typedef struct {
    uint32_t count;           /* 0: the generator makes its own */
    text_t *line;
    uint32_t *slot;           /* the call that has this line now */
} call_ids_t;

/* Eight hex digits in lower case; 0 when they are not. */
static inline int read_hex(const char *at, uint32_t *value)
{
    *value = 0;
    for (int i = 0; i < 8; i++) {
        int c = at[i], digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return 0;
        *value = *value << 4 | (uint32_t)digit;
    }
    return 1;
}

static inline char *read_whole(const char *path, size_t *size)
{
    FILE *file = fopen(path, "r");
    if (!file || fseek(file, 0, SEEK_END))
        die(path);
    *size = (size_t)ftell(file);
    char *at = take_pages(*size + 1);
    rewind(file);
    if (fread(at, 1, *size, file) != *size)
        die(path);
    fclose(file);
    return at;
}

/* Dies on a line that does not begin with its number, is too long, or has no end. */
static inline void load_call_ids(call_ids_t *ids, const char *path)
{
    size_t size;
    char *at = read_whole(path, &size), *end = at + size, *stop;
    errno = 0;
    ids->line = take_pages((size / 9 + 1) * sizeof *ids->line);
    ids->slot = take_pages((size / 9 + 1) * sizeof *ids->slot);
    for (; at < end; at = stop + 1) {
        uint32_t number;
        if (!(stop = memchr(at, '\n', (size_t)(end - at))) || stop - at < 8 || stop - at > CALL_ID_ROOM
            || !read_hex(at, &number) || number != ids->count)
            die("a line of the Call-IDs");
        ids->slot[ids->count] = NIL;
        ids->line[ids->count++] = (text_t){at, (uint32_t)(stop - at)};
    }
    if (!ids->count)
        die(path);
}

static inline char *put_call_id(char *p, const call_ids_t *ids, const call_t *call, uint32_t i, uint32_t seed)
{
    if (ids->count)
        return put(p, ids->line[call->line].at, ids->line[call->line].len);
    return PUT(put_hex(put_hex(put_hex(p, i), call->generation), seed), "@127.0.0.1");
}

/* The call that has this Call-ID, or NIL; its slot may be free by now. */
static inline uint32_t find_call(const call_ids_t *ids, const calls_t *calls, text_t call_id, uint32_t seed)
{
    uint32_t first, generation, run;
    if (call_id.len < 8 || !read_hex(call_id.at, &first))
        return NIL;
    if (ids->count) {
        if (first >= ids->count || ids->line[first].len != call_id.len
            || memcmp(ids->line[first].at, call_id.at, call_id.len))
            return NIL;
        uint32_t i = ids->slot[first];    /* which may serve a later call by now */
        return i != NIL && calls->at[i].line == first ? i : NIL;
    }
    if (call_id.len < 24 || !read_hex(call_id.at + 8, &generation) || !read_hex(call_id.at + 16, &run) || run != seed
        || first >= calls->used || calls->at[first].generation != generation)
        return NIL;
    return first;
}

#endif
