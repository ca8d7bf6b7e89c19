"""Keyed hashes, and the letters they are written in.

SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012, with
one round per word and three at the end) stands wherever a stranger chooses the
text: tables, partitions, branches, tokens, dispatching.  A key never leaves the
process.  Base32 (RFC 4648 section 6, lower case, no padding) writes a hash into
places where peers may fold the case of letters (RFC 3261 section 7.3.1).

Must never: allocate, keep the text, or depend on the machine's byte order (two
nodes of different make must agree).

Called by every kernel that looks something up, and by the control plane through
the few Python functions at the end.
"""

from libc.stdint cimport int8_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy
from fastsip._core.types cimport E_BAD, OK, PARTITIONS

cdef extern from "endian.h" nogil:
    uint64_t le64toh(uint64_t word)

cdef enum:
    LAST_ROUNDS = 3

cdef const char *LETTERS = b"abcdefghijklmnopqrstuvwxyz234567"

# [byte] -> value of the letter, -1 for everything that is none.
cdef int8_t VALUES[256]


cdef void fill_values() noexcept nogil:
    cdef int i
    for i in range(256):
        VALUES[i] = -1
    for i in range(32):
        VALUES[<uint8_t>LETTERS[i]] = i
    for i in range(26):
        VALUES[<uint8_t>LETTERS[i] - 32] = i


fill_values()


# ---------------------------------------------------------------- SipHash-1-3

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


cdef inline uint64_t load_some(const char *at, uint32_t len) noexcept nogil:
    """The len < 8 bytes at `at` as the low bytes of a word, without reading past them."""
    cdef uint64_t word = 0
    memcpy(&word, at, len)
    return le64toh(word)


cdef inline uint64_t lower_word(uint64_t word) noexcept nogil:
    """A-Z of eight bytes lowered at once; bytes from 0x80 on stay as they are.

    Each byte is seven bits plus a sentinel, so no sum carries into its neighbour.
    """
    cdef uint64_t low = word & <uint64_t>0x7F7F7F7F7F7F7F7F
    cdef uint64_t above_z = low + <uint64_t>0x2525252525252525
    cdef uint64_t from_a = low + <uint64_t>0x3F3F3F3F3F3F3F3F
    cdef uint64_t upper = (from_a ^ above_z) & ~word & <uint64_t>0x8080808080808080
    return word | (upper >> 2)


cdef inline void begin(siphash_t *h, const uint64_t *key) noexcept nogil:
    h.v0 = key[0] ^ <uint64_t>0x736F6D6570736575
    h.v1 = key[1] ^ <uint64_t>0x646F72616E646F6D
    h.v2 = key[0] ^ <uint64_t>0x6C7967656E657261
    h.v3 = key[1] ^ <uint64_t>0x7465646279746573
    h.tail = 0
    h.tail_len = 0
    h.total = 0


cdef inline uint64_t finish(siphash_t *h) noexcept nogil:
    cdef int _
    # The last word carries the length modulo 256 in its top byte.
    take_word(h, h.tail | (<uint64_t>h.total << 56))
    h.v2 ^= 0xFF
    for _ in range(LAST_ROUNDS):
        sip_round(h)
    return h.v0 ^ h.v1 ^ h.v2 ^ h.v3


cdef inline void take_text(siphash_t *state, const char *text, uint32_t len, bint lower) noexcept nogil:
    """Appends a text of any length; `lower` is a constant where this is inlined."""
    cdef siphash_t s = state[0]     # a copy stays in registers: `text` could point anywhere
    take_pieces(&s, text, len, lower)
    state[0] = s


cdef inline void take_pieces(siphash_t *h, const char *text, uint32_t len, bint lower) noexcept nogil:
    cdef uint64_t word
    cdef uint32_t shift = h.tail_len * 8
    cdef uint32_t off = 0
    h.total += len
    # Whole words come first, shifted to where the tail of earlier pieces ends.
    while off + 8 <= len:
        word = load_word(text + off)
        if lower:
            word = lower_word(word)
        if shift == 0:
            take_word(h, word)
        else:
            take_word(h, h.tail | (word << shift))
            h.tail = word >> (64 - shift)
        off += 8
    len -= off
    if len == 0:
        return
    word = load_some(text + off, len)
    if lower:
        word = lower_word(word)
    h.tail |= word << shift
    if h.tail_len + len < 8:
        h.tail_len += len
        return
    take_word(h, h.tail)
    h.tail_len = h.tail_len + len - 8
    # A shift by 64 is undefined; shift == 0 cannot come here as len < 8.
    h.tail = word >> (64 - shift) if h.tail_len else 0


cdef void hash_begin(siphash_t *h, const uint64_t *key) noexcept nogil:
    begin(h, key)


cdef void hash_add(siphash_t *h, const char *text, uint32_t len) noexcept nogil:
    take_text(h, text, len, False)


cdef void hash_add_lower(siphash_t *h, const char *text, uint32_t len) noexcept nogil:
    take_text(h, text, len, True)


cdef void hash_add_number(siphash_t *h, uint64_t number) noexcept nogil:
    """As eight bytes, least significant first."""
    cdef uint32_t shift = h.tail_len * 8
    h.total += 8
    if shift == 0:
        take_word(h, number)
        return
    take_word(h, h.tail | (number << shift))
    h.tail = number >> (64 - shift)


cdef uint64_t hash_end(siphash_t *h) noexcept nogil:
    return finish(h)


cdef uint64_t hash_text(const uint64_t *key, const char *text, uint32_t len) noexcept nogil:
    """begin + add + end, with the state in registers and no tail to shift."""
    cdef siphash_t h
    cdef uint32_t off = 0
    begin(&h, key)
    h.total = len
    while off + 8 <= len:
        take_word(&h, load_word(text + off))
        off += 8
    if off < len:
        h.tail = load_some(text + off, len - off)
    return finish(&h)


cdef uint64_t mix(uint64_t a, uint64_t b) noexcept nogil:
    """Two words to one: a multiplication sets them apart (mix(a, b) != mix(b, a)), then
    two multiply-and-shift rounds spread each bit (the constants of P. Evensen's "moremur")."""
    cdef uint64_t x = a ^ (b * <uint64_t>0x9E3779B97F4A7C15)
    x ^= x >> 27
    x *= <uint64_t>0x3C79AC492BA7B653
    x ^= x >> 33
    x *= <uint64_t>0x1C69B3F74AC4AE35
    return x ^ (x >> 27)


# ---------------------------------------------------------------- base32

cdef int write_base32(uint64_t value, int bits, char *out) noexcept nogil:
    """Writes the low `bits` (1..64) of value; returns the letters written.

    The last letter is filled with zero bits on the right, as RFC 4648 does.
    """
    cdef int letters = (bits + 4) // 5
    cdef int i, shift
    if bits < 64:
        value &= (<uint64_t>1 << bits) - 1
    for i in range(letters):
        shift = bits - 5 * (i + 1)
        out[i] = LETTERS[(value >> shift if shift >= 0 else value << -shift) & 31]
    return letters


cdef int read_base32(const char *text, int letters, int bits, uint64_t *value) noexcept nogil:
    """OK and the value, or E_BAD: a strange letter, a count of letters that does not
    belong to `bits` (1..64), or filling bits that are not zero (one value has one spelling)."""
    cdef int i, spare = letters * 5 - bits
    cdef int8_t letter = 0
    cdef uint64_t result = 0
    if bits < 1 or bits > 64 or spare < 0 or spare > 4:
        return E_BAD
    for i in range(letters):
        letter = VALUES[<uint8_t>text[i]]
        if letter < 0:
            return E_BAD
        if i < letters - 1:
            result = (result << 5) | <uint64_t>letter
    if letter & ((1 << spare) - 1):
        return E_BAD
    value[0] = (result << (5 - spare)) | <uint64_t>(letter >> spare)
    return OK


# ---------------------------------------------------------------- for Python

cdef int read_key(bytes key, uint64_t *words) except -1:
    if len(key) != 16:
        raise ValueError(f"a key has 16 bytes, not {len(key)}")
    words[0] = load_word(<const char *>key)
    words[1] = load_word(<const char *>key + 8)
    return 0


def siphash(key: bytes, text: bytes) -> int:
    """SipHash-1-3 of the text under a key of 16 bytes, as an unsigned 64-bit number."""
    cdef uint64_t words[2]
    read_key(key, words)
    return hash_text(words, text, <uint32_t>len(text))


def partition_of_call(key: bytes, call_id: bytes) -> int:
    """The partition of a call in the store that was made with this key (see slots.partition_of)."""
    return siphash(key, call_id) & (PARTITIONS - 1)


def siphash_pieces(key: bytes, pieces, lower: bool = False) -> int:
    """The same over an iterable of bytes (with `lower`: as if lowered) and ints (eight bytes each)."""
    cdef uint64_t words[2]
    cdef siphash_t h
    read_key(key, words)
    hash_begin(&h, words)
    for piece in pieces:
        if isinstance(piece, int):
            hash_add_number(&h, piece)
        elif lower:
            hash_add_lower(&h, <bytes?>piece, <uint32_t>len(piece))
        else:
            hash_add(&h, <bytes?>piece, <uint32_t>len(piece))
    return hash_end(&h)


def mix_words(a: int, b: int) -> int:
    """The kernels' mix of two unsigned 64-bit words."""
    return mix(a, b)


def base32(value: int, bits: int) -> str:
    """The low `bits` (1..64) of a number, in ceil(bits / 5) letters."""
    cdef char out[13]
    if not 1 <= bits <= 64:
        raise ValueError(f"bits is 1..64, not {bits}")
    return out[:write_base32(value, bits, out)].decode("ascii")


def unbase32(text: str, bits: int) -> int:
    """What base32 wrote, in any case; ValueError for anything it would not write."""
    cdef uint64_t value = 0
    cdef bytes letters = text.encode("utf-8")
    if read_base32(letters, <int>len(letters), bits, &value) != OK:
        raise ValueError(f"not base32 of {bits} bits: {text!r}")
    return value
