# Result codes, bounds and spans: what every kernel shares, and nothing of SIP.  No code lives here.
#
# Offsets are 16 bit and count from the first byte of a message, which has at most 65,535 bytes: limits are
# explicit (docs/design.md#bad-input-and-bounds).  Nothing here owns memory.

from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memcpy
from fastsip._core.base.check cimport check

# Kernels return >= 0 for a value or a count, one of these below zero.
cdef enum result_code:
    OK = 0
    E_NOT_SIP = -2          # no SIP start line: ignored, counted
    E_EMPTY = -3            # nothing but CR, LF, blanks or NULs: keep-alive
    E_START_LINE = -4       # looks like SIP but the start line is broken
    E_VERSION = -5          # SIP-Version is not 2.0 (505)
    E_HEADER = -6           # the headers break off inside of a line
    E_TOO_MANY_HEADERS = -7
    E_TOO_MANY_VIAS = -8
    E_TOO_LARGE = -9        # beyond the configured message size (513)
    E_VIA = -10             # topmost Via missing or unreadable, or its branch longer than MAX_TOKEN
    E_FROM = -11
    E_TO = -12
    E_CALL_ID = -13         # missing, unreadable, or longer than MAX_TOKEN, as are the tags of From and To
    E_CSEQ = -14            # missing, unreadable, > 2**32-1 or method differs
    E_MAX_FORWARDS = -15    # not a number 0..255
    E_CONTENT_LENGTH = -16  # unreadable, or larger than the datagram's rest
    E_URI = -17             # a URI that had to be read cannot be
    E_SCHEME = -18          # a scheme that we do not route (416)
    E_ROUTE = -19           # a Route value that had to be read cannot be
    E_ROOM = -20            # the output does not fit
    E_FULL = -21            # no slot, block or ring entry is free
    E_NONE = -22            # nothing found, nothing usable
    E_BAD = -23             # any other unreadable value
    E_DUPLICATE = -24       # a header that may stand once stands twice
    E_MAX_BREADTH = -25     # not a number
    E_UNRESOLVED = -26      # a name whose address must be asked for first
    E_FORGED = -27          # a second token that is none of this dialog's
    E_HOME = -28            # the way leads back to ourselves
    E_NEXT_HOP = -29        # nobody lives at such an address, or it is not for strangers
    E_LONG_HEAD = -30       # start line and headers are longer than is read (513)

cdef enum:
    MAX_MESSAGE = 65535     # bytes
    MAX_HEAD = 8192         # bytes of start line and headers that are read of what comes in, unless configured
    MAX_HEADERS = 128
    MAX_VIAS = 64
    MAX_TOKEN = 512         # bytes of a Call-ID, a tag, a branch: what is hashed and kept of a sender's choice
    MAX_SENT_BY = 259       # bytes of host[:port] of a listener: a name of 253 letters and a port
    MAX_ATTEMPTS = 16       # branches of one response context
    MAX_BREADTH = 60        # of a request that says nothing, and the most that we believe (RFC 5393 5.3.3)
    MAX_LISTENERS = 16
    MAX_SHARDS = 64
    PARTITIONS = 64
    NO_HEADER = 255         # end of a header chain
    MAX_PUT = 0x7FFFFFFF    # what `put` can return as a length

cdef struct span_t:
    uint16_t off
    uint16_t len            # 0 = absent or empty

cdef struct text_t:
    const char *at
    uint32_t len

# Appends to what is written; the caller has asked for room for all that he puts.
cdef inline int put(char *out, const char *text, uint32_t len) noexcept nogil:
    check(len <= MAX_PUT)       # a length below zero, from offsets in the wrong order, would be huge
    memcpy(out, text, len)
    return <int>len


cdef inline int put_number(char *out, uint32_t number) noexcept nogil:
    """Decimal; at most 10 bytes."""
    cdef char digits[10]
    cdef int n = 0
    cdef int i
    while True:
        digits[n] = <char>(48 + number % 10)
        number //= 10
        n += 1
        if number == 0:
            break
    for i in range(n):
        out[i] = digits[n - 1 - i]
    return n
