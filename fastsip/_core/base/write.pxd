# Appending bytes to a buffer that is known to be large enough.

from libc.stdint cimport uint32_t
from libc.string cimport memcpy

cdef inline int put(char *out, const char *text, uint32_t len) noexcept nogil:
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
