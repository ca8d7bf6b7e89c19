"""Keyed hashes, and the letters they are written in.

SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012, with
one round per word and three at the end) stands wherever a stranger chooses the
text: tables, partitions, branches, tokens, dispatching.  A key never leaves the
process.  Base32 (RFC 4648 section 6, lower case, no padding) writes a hash into
places where peers may fold the case of letters (RFC 3261 section 7.3.1).

Must never: allocate, keep the text, or depend on the machine's byte order (two
nodes of different make must agree).

The kernels' functions are inline, in hashing.pxd, for every kernel that looks something
up; the few Python functions here are for the control plane.
"""

from libc.stdint cimport uint32_t, uint64_t

from fastsip._core.base.types cimport OK, PARTITIONS

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
    """Over an iterable of bytes (with `lower`: as if lowered), each filled to whole words, and ints (eight bytes)."""
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
    cdef bytes letters = text.encode("latin-1")
    if read_base32(letters, <int>len(letters), bits, &value) != OK:
        raise ValueError(f"not base32 of {bits} bits: {text!r}")
    return value
