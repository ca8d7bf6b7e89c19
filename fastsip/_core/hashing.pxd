# Keyed hashes and the letters they are written in.  See hashing.pyx.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

# SipHash-1-3 over any number of pieces: begin, add, ..., end.  Each piece is filled
# with zeros to whole words: add its length, too, where the zeros could be mistaken.
cdef struct siphash_t:
    uint64_t v0, v1, v2, v3
    uint64_t words

cdef void hash_begin(siphash_t *h, const uint64_t *key) noexcept nogil
cdef void hash_add(siphash_t *h, const char *text, uint32_t len) noexcept nogil
# As hash_add of the text with A-Z lowered (hosts, tokens).
cdef void hash_add_lower(siphash_t *h, const char *text, uint32_t len) noexcept nogil
cdef void hash_add_number(siphash_t *h, uint64_t number) noexcept nogil
cdef uint64_t hash_end(siphash_t *h) noexcept nogil

# Of one piece, which is not filled: SipHash-1-3 as published.
cdef uint64_t hash_text(const uint64_t *key, const char *text, uint32_t len) noexcept nogil

# A cheap strong mix of two words (no key of its own; the inputs are keyed).
cdef uint64_t mix(uint64_t a, uint64_t b) noexcept nogil

# Base32, lower case, most significant bits first ("a"-"z", "2"-"7", RFC 4648
# alphabet without padding): ceil(bits / 5) letters.  64 bits = 13, 80 = 16.
cdef int write_base32(uint64_t value, int bits, char *out) noexcept nogil
# Reads `letters` letters of any case; E_BAD on any other letter or an overflow.
cdef int read_base32(const char *text, int letters, int bits, uint64_t *value) noexcept nogil
