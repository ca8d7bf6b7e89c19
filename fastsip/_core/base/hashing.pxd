# Keyed hashes and the letters they are written in: all inline, so that a hash of many
# short pieces stays in registers.  See hashing.pyx.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy
from fastsip._core.base.types cimport E_BAD, MAX_PUT, OK
from fastsip._core.base.check cimport check

cdef extern from "endian.h" nogil:
    uint32_t le32toh(uint32_t word)
    uint64_t le64toh(uint64_t word)
    uint64_t htole64(uint64_t word)

cdef extern from *:
    """
    static const uint64_t EACH = 0x0101010101010101;
    """
    const uint64_t EACH     # times n: n in each byte

cdef enum:
    LAST_ROUNDS = 3

# ---------------------------------------------------------------- SipHash-1-3
# Over any number of pieces: begin, add, ..., end.  Each piece is filled with zeros
# to whole words: add its length, too, where the zeros could be mistaken.

cdef struct siphash_t:
    uint64_t v0, v1, v2, v3
    uint64_t words


cdef inline uint64_t rotate(uint64_t word, int bits) noexcept nogil:
    return (word << bits) | (word >> (64 - bits))


cdef inline void sip_round(siphash_t *h) noexcept nogil:
    h.v0 += h.v1
    h.v1 = rotate(h.v1, 13) ^ h.v0
    h.v0 = rotate(h.v0, 32)
    h.v2 += h.v3
    h.v3 = rotate(h.v3, 16) ^ h.v2
    h.v0 += h.v3
    h.v3 = rotate(h.v3, 21) ^ h.v0
    h.v2 += h.v1
    h.v1 = rotate(h.v1, 17) ^ h.v2
    h.v2 = rotate(h.v2, 32)


cdef inline void take_word(siphash_t *h, uint64_t word) noexcept nogil:
    h.v3 ^= word
    sip_round(h)
    h.v0 ^= word


cdef inline uint64_t load_word(const char *at) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, at, 8)
    return le64toh(word)


# The len < 8 bytes at `at` as the low bytes of a word, without reading past them.
cdef inline uint64_t load_some(const char *at, uint32_t len) noexcept nogil:
    cdef uint64_t word = 0
    cdef uint32_t four
    cdef uint32_t shift = 0
    check(len < 8)
    if len & 4:
        memcpy(&four, at, 4)
        word = le32toh(four)
        at += 4
        shift = 32
    if len & 2:
        word |= (<uint64_t><uint8_t>at[0] | <uint64_t><uint8_t>at[1] << 8) << shift
        at += 2
        shift += 16
    if len & 1:
        word |= <uint64_t><uint8_t>at[0] << shift
    return word


# A-Z of eight bytes lowered at once; bytes from 0x80 on stay as they are.
# Each byte is seven bits plus a sentinel, so no sum carries into its neighbour.
cdef inline uint64_t lower_word(uint64_t word) noexcept nogil:
    cdef uint64_t low = word & <uint64_t>0x7F7F7F7F7F7F7F7F
    cdef uint64_t above_z = low + <uint64_t>0x2525252525252525
    cdef uint64_t from_a = low + <uint64_t>0x3F3F3F3F3F3F3F3F
    cdef uint64_t upper = (from_a ^ above_z) & ~word & <uint64_t>0x8080808080808080
    return word | (upper >> 2)


cdef inline void hash_begin(siphash_t *h, const uint64_t *key) noexcept nogil:
    h.v0 = key[0] ^ <uint64_t>0x736F6D6570736575
    h.v1 = key[1] ^ <uint64_t>0x646F72616E646F6D
    h.v2 = key[0] ^ <uint64_t>0x6C7967656E657261
    h.v3 = key[1] ^ <uint64_t>0x7465646279746573
    h.words = 0


cdef inline uint64_t finish(siphash_t *h, uint64_t last) noexcept nogil:
    cdef int _
    take_word(h, last)
    h.v2 ^= 0xFF
    for _ in range(LAST_ROUNDS):
        sip_round(h)
    return h.v0 ^ h.v1 ^ h.v2 ^ h.v3


# `lower` is a constant where this is inlined.
cdef inline void take_piece(siphash_t *state, const char *text, uint32_t len, bint lower) noexcept nogil:
    cdef siphash_t h = state[0]     # a copy stays in registers: `text` could point anywhere
    cdef uint32_t off = 0
    check(len <= MAX_PUT)           # as of `put`: no length below zero
    h.words += (len + 7) // 8
    while off + 8 <= len:
        take_word(&h, lower_word(load_word(text + off)) if lower else load_word(text + off))
        off += 8
    if off < len:
        take_word(&h, lower_word(load_some(text + off, len - off)) if lower else load_some(text + off, len - off))
    state[0] = h


cdef inline void hash_add(siphash_t *h, const char *text, uint32_t len) noexcept nogil:
    take_piece(h, text, len, False)


# As hash_add of the text with A-Z lowered (hosts, tokens).
cdef inline void hash_add_lower(siphash_t *h, const char *text, uint32_t len) noexcept nogil:
    take_piece(h, text, len, True)


# As eight bytes, least significant first.
cdef inline void hash_add_number(siphash_t *h, uint64_t number) noexcept nogil:
    h.words += 1
    take_word(h, number)


cdef inline uint64_t hash_end(siphash_t *h) noexcept nogil:
    return finish(h, h.words << 59)


# Of one piece, which is not filled: SipHash-1-3 as published.
cdef inline uint64_t hash_text(const uint64_t *key, const char *text, uint32_t len) noexcept nogil:
    cdef siphash_t h
    cdef uint32_t off = 0
    hash_begin(&h, key)
    while off + 8 <= len:
        take_word(&h, load_word(text + off))
        off += 8
    # The last word carries the length modulo 256 in its top byte.
    return finish(&h, load_some(text + off, len - off) | <uint64_t>len << 56)


# Two words to one, without a key of its own: a multiplication sets them apart (mix(a, b) != mix(b, a)),
# then two multiply-and-shift rounds spread each bit (the constants of P. Evensen's "moremur").
cdef inline uint64_t mix(uint64_t a, uint64_t b) noexcept nogil:
    cdef uint64_t x = a ^ (b * <uint64_t>0x9E3779B97F4A7C15)
    x ^= x >> 27
    x *= <uint64_t>0x3C79AC492BA7B653
    x ^= x >> 33
    x *= <uint64_t>0x1C69B3F74AC4AE35
    return x ^ (x >> 27)


# ---------------------------------------------------------------- base32

# Lower case, most significant bits first ("a"-"z", "2"-"7", RFC 4648 without padding):
# ceil(bits / 5) letters; 64 bits = 13, 80 = 16.
#
# Eight letters at a time: 40 bits are spread over the bytes of a word, five to each,
# the first letter lowest, and all bytes turned into letters at once; and back.

# The low 40 bits, halved thrice: into doublewords, words, bytes.
cdef inline uint64_t spread(uint64_t bits) noexcept nogil:
    cdef uint64_t x = bits >> 20 & 0xFFFFF | (bits & 0xFFFFF) << 32
    x = x >> 10 & <uint64_t>0x000003FF000003FF | (x & <uint64_t>0x000003FF000003FF) << 16
    return x >> 5 & <uint64_t>0x001F001F001F001F | (x & <uint64_t>0x001F001F001F001F) << 8


# What spread made of 40 bits.
cdef inline uint64_t gather(uint64_t x) noexcept nogil:
    check(x & ~(EACH * 31) == 0)
    x = (x & <uint64_t>0x001F001F001F001F) << 5 | x >> 8 & <uint64_t>0x001F001F001F001F
    x = (x & <uint64_t>0x000003FF000003FF) << 10 | x >> 16 & <uint64_t>0x000003FF000003FF
    return (x & 0xFFFFF) << 20 | x >> 32


# 0..31 in each byte to a-z, 2-7.
cdef inline uint64_t letters_of(uint64_t x) noexcept nogil:
    cdef uint64_t digits = (x + EACH * 102) >> 7 & EACH     # 1 where it is 26 or more
    check(x & ~(EACH * 31) == 0)        # a larger byte would carry into its neighbour
    return x + EACH * 97 - digits * 73


# Letters of any case and digits to 0..31 in each byte; False when one byte is neither.
# Such a byte spoils its neighbour, but is never what it would be written as.
cdef inline bint values_of(uint64_t x, uint64_t *values) noexcept nogil:
    cdef uint64_t letters = x >> 6 & EACH
    values[0] = (x & EACH * 31) + EACH * 8 - letters * 9 & EACH * 31
    return letters_of(values[0]) == (x | letters << 5)


# For a check: do the letters say what was written?  Branch, hint and token live on that in what peers send back.
cdef inline bint reads_back(const char *text, int letters, int bits, uint64_t wanted) noexcept nogil:
    cdef uint64_t read
    return read_base32(text, letters, bits, &read) == OK and read == wanted << (64 - bits) >> (64 - bits)


# Writes the low `bits` (1..64) of value; returns the letters written.  The last letter is filled
# with zero bits on the right, as RFC 4648 does.
cdef inline int write_base32(uint64_t value, int bits, char *out) noexcept nogil:
    cdef int count = (bits + 4) // 5
    cdef int done = 0
    cdef uint64_t whole = value
    cdef uint64_t letters
    value <<= 64 - bits
    if count > 8:
        letters = htole64(letters_of(spread(value >> 24)))
        memcpy(out, &letters, 8)
        value <<= 40
        done = 8
    letters = letters_of(spread(value >> 24))
    while done < count:
        out[done] = <char>letters
        letters >>= 8
        done += 1
    check(reads_back(out, count, bits, whole))
    return count


# OK and the value, or E_BAD: a strange letter, a count of letters that does not
# belong to `bits` (1..64), or filling bits that are not zero (one value has one spelling).
cdef inline int read_base32(const char *text, int letters, int bits, uint64_t *value) noexcept nogil:
    cdef int spare = letters * 5 - bits
    cdef uint64_t word, values
    cdef uint64_t first = 0
    if bits < 1 or bits > 64 or spare < 0 or spare > 4:
        return E_BAD
    if letters > 8:
        if not values_of(load_word(text), &values):
            return E_BAD
        first = gather(values)
        text += 8
        letters -= 8
    # What is missing to eight letters reads as zeros.
    word = load_word(text) if letters == 8 else load_some(text, letters) | EACH * 97 << 8 * letters
    if not values_of(word, &values):
        return E_BAD
    values = gather(values) >> (40 - 5 * letters)
    if values & ((1 << spare) - 1):
        return E_BAD
    value[0] = first << (5 * letters - spare) | values >> spare
    return OK
