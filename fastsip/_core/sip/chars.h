/* Character classes and line scans.
 *
 * What it is: one table that says what a byte may be part of (RFC 3261 section
 * 25.1), and the scans that look at 16 bytes at once where SSE2 exists.  Cython
 * can say neither a constant table nor SIMD.
 * What it must never do: read a byte behind `end` or before the text itself, [0, end).
 */
#ifndef FASTSIP_CHARS_H
#define FASTSIP_CHARS_H

#include <stdint.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum {
    C_TOKEN = 1,       /* token: methods, header and parameter names */
    C_LWS = 2,         /* SP HTAB CR LF: white space inside a header's value */
    C_DIGIT = 4,
    C_HEX = 8,
    C_ALPHA = 16,
    C_HOST = 32,       /* host names; "_" is no letter of DNS but stands in real names */
    C_USER = 64,       /* user and password; "#", which phones dial, and bare UTF-8 are tolerated */
    C_PARAM = 128,     /* uri-parameter without ";" and "="; "@" and quotes are tolerated */
    C_QUERY = 256,     /* headers of a URI, behind "?" */
    C_SCHEME = 512,
    C_PHONE = 1024,    /* subscriber of a tel URI (RFC 3966) */
    C_WORD = 2048,     /* any visible byte, UTF-8 included */
    C_VALUE = 4096,    /* a header parameter's unquoted value, liberal */
    C_PLAIN = 8192,    /* unquoted display name or addr-spec: no < > " , ; */
    C_TARGET = 16384,  /* Request-URI as the start line may hold it */
    C_STEADY = 32768   /* in a user it stands for itself: no escape, separator or parameter (canonical_user) */
};

/* What letters, and marks that a URI may hold unescaped, have in common.  The sums keep the table below readable: a
 * class that is added goes into one of them, or to the few bytes that it is about. */
#define C_TEXT_ (C_WORD | C_VALUE | C_PLAIN | C_TARGET)
#define C_URI_ (C_USER | C_PARAM | C_QUERY | C_TEXT_)
#define C_PLAIN_URI_ (C_URI_ | C_STEADY)
#define C_LETTER_ (C_TOKEN | C_ALPHA | C_HOST | C_SCHEME | C_PLAIN_URI_)

static const uint16_t char_class[256] = {
    ['\t'] = C_LWS | C_PLAIN,
    ['\n'] = C_LWS | C_PLAIN,
    ['\r'] = C_LWS | C_PLAIN,
    [' '] = C_LWS | C_PLAIN,
    ['0' ... '9'] = C_TOKEN | C_DIGIT | C_HEX | C_HOST | C_SCHEME | C_PHONE | C_PLAIN_URI_,
    ['A' ... 'F'] = C_LETTER_ | C_HEX | C_PHONE,
    ['G' ... 'Z'] = C_LETTER_,
    ['a' ... 'f'] = C_LETTER_ | C_HEX | C_PHONE,
    ['g' ... 'z'] = C_LETTER_,
    ['-'] = C_TOKEN | C_HOST | C_SCHEME | C_PHONE | C_URI_,
    ['.'] = C_TOKEN | C_HOST | C_SCHEME | C_PHONE | C_URI_,
    ['_'] = C_TOKEN | C_HOST | C_PLAIN_URI_,
    ['!'] = C_TOKEN | C_PLAIN_URI_,
    ['~'] = C_TOKEN | C_PLAIN_URI_,
    ['\''] = C_TOKEN | C_PLAIN_URI_,
    ['*'] = C_TOKEN | C_PHONE | C_PLAIN_URI_,
    ['%'] = C_TOKEN | C_URI_,
    ['+'] = C_TOKEN | C_SCHEME | C_PLAIN_URI_,
    ['`'] = C_TOKEN | C_TEXT_,
    ['('] = C_PHONE | C_URI_,
    [')'] = C_PHONE | C_URI_,
    ['$'] = C_PLAIN_URI_,
    ['/'] = C_PLAIN_URI_,
    [':'] = C_URI_,
    ['&'] = C_PLAIN_URI_,
    ['['] = C_PARAM | C_QUERY | C_TEXT_,
    [']'] = C_PARAM | C_QUERY | C_TEXT_,
    ['='] = C_USER | C_QUERY | C_TEXT_ | C_STEADY,
    ['?'] = C_USER | C_QUERY | C_TEXT_ | C_STEADY,
    ['@'] = C_PARAM | C_TEXT_,
    ['#'] = C_USER | C_PHONE | C_TEXT_ | C_STEADY,
    ['\\'] = C_TEXT_,
    ['^'] = C_TEXT_,
    ['{'] = C_TEXT_,
    ['|'] = C_TEXT_,
    ['}'] = C_TEXT_,
    [';'] = C_USER | C_WORD | C_TARGET,
    [','] = C_USER | C_WORD | C_TARGET | C_STEADY,
    ['"'] = C_PARAM | C_WORD | C_TARGET,
    ['<'] = C_WORD,
    ['>'] = C_WORD,
    [128 ... 255] = C_USER | C_TEXT_,
};

/* A scan of [off, end) for the first byte that `ends`, 16 at a time; `end` when there is none.
 * The last, shorter block is read from 16 bytes before `end`, when so many are there: what
 * stands before `off` is shifted out.  So [0, end) must be readable. */
#if defined(__SSE2__)
#define SCAN_BLOCKS_(ends)                                                                  \
    for (; off + 16 <= end; off += 16) {                                                    \
        __m128i block = _mm_loadu_si128((const __m128i *)(buf + off));                      \
        uint32_t found = (uint32_t)_mm_movemask_epi8(ends);                                 \
        if (found)                                                                          \
            return off + (uint32_t)__builtin_ctz(found);                                    \
    }                                                                                       \
    if (off < end && end >= 16) {                                                           \
        __m128i block = _mm_loadu_si128((const __m128i *)(buf + end - 16));                 \
        uint32_t found = (uint32_t)_mm_movemask_epi8(ends) >> (16 - (end - off));           \
        return found ? off + (uint32_t)__builtin_ctz(found) : end;                          \
    }
#define IS_(letter) _mm_cmpeq_epi8(block, _mm_set1_epi8(letter))
#define IS_UP_TO_(letter) _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(letter)), block)
#define OR_ _mm_or_si128
#else
#define SCAN_BLOCKS_(ends)
#endif

/* The first `wanted` in [off, end), or end. */
static inline uint32_t scan_byte(const char *buf, uint32_t off, uint32_t end, char wanted)
{
    SCAN_BLOCKS_(IS_(wanted))
    while (off < end && buf[off] != wanted)
        off++;
    return off;
}

/* The first quote or backslash in [off, end), or end: inside a quoted string nothing else counts (RFC 3261 section
 * 25.1 quoted-string), commas and brackets neither. */
static inline uint32_t scan_quote(const char *buf, uint32_t off, uint32_t end)
{
    SCAN_BLOCKS_(OR_(IS_('"'), IS_('\\')))
    while (off < end && buf[off] != '"' && buf[off] != '\\')
        off++;
    return off;
}

/* The first byte in [off, end) that is not C_VALUE, or end. */
static inline uint32_t scan_value(const char *buf, uint32_t off, uint32_t end)
{
    SCAN_BLOCKS_(OR_(OR_(OR_(IS_UP_TO_(' '), IS_(127)), OR_(IS_(';'), IS_(','))),
                     OR_(OR_(IS_('<'), IS_('>')), IS_('"'))))
    while (off < end && char_class[(uint8_t)buf[off]] & C_VALUE)
        off++;
    return off;
}

/* The first byte in [off, end) that is not C_WORD, or end. */
static inline uint32_t scan_word(const char *buf, uint32_t off, uint32_t end)
{
    SCAN_BLOCKS_(OR_(IS_UP_TO_(' '), IS_(127)))
    while (off < end && char_class[(uint8_t)buf[off]] & C_WORD)
        off++;
    return off;
}

/* The first byte in [off, end) that is not C_TARGET, or end.  Brackets end it: a Request-URI within < > is a fault
 * that some senders make, and no node may hand it on (RFC 4475 section 3.1.2.7). */
static inline uint32_t scan_target(const char *buf, uint32_t off, uint32_t end)
{
    SCAN_BLOCKS_(OR_(OR_(IS_UP_TO_(' '), IS_(127)), OR_(IS_('<'), IS_('>'))))
    while (off < end && char_class[(uint8_t)buf[off]] & C_TARGET)
        off++;
    return off;
}

/* One look at a header's first line: the offset of its LF (end when there is
 * none), and of the colon before it (end when there is none). */
static inline uint32_t scan_header_line(const char *buf, uint32_t off, uint32_t end, uint32_t *colon)
{
    *colon = end;
#if defined(__SSE2__)
    const __m128i line_feed = _mm_set1_epi8('\n');
    const __m128i separator = _mm_set1_epi8(':');
    for (; off + 16 <= end; off += 16) {
        __m128i block = _mm_loadu_si128((const __m128i *)(buf + off));
        uint32_t feeds = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(block, line_feed));
        uint32_t colons = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(block, separator));
        uint32_t both = feeds | colons;
        if (!both)
            continue;
        /* the lowest bit decides which of the two came first */
        if (feeds & both & (0u - both))
            return off + (uint32_t)__builtin_ctz(feeds);
        *colon = off + (uint32_t)__builtin_ctz(colons);
        if (feeds)
            return off + (uint32_t)__builtin_ctz(feeds);
        return scan_byte(buf, off + 16, end, '\n');
    }
#endif
    while (off < end && buf[off] != '\n' && buf[off] != ':')
        off++;
    if (off < end && buf[off] == ':') {
        *colon = off;
        off = scan_byte(buf, off, end, '\n');
    }
    return off;
}

#endif
