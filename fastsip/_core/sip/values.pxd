# The values of headers: Via, name-addr, parameters, numbers.  See values.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.base.types cimport span_t
from fastsip._core.sip.types cimport name_addr_t, via_t

# The Via value at `off`, which ends at the latest at `end`.
cdef int parse_via(const char *buf, uint32_t off, uint32_t end, via_t *via) noexcept nogil

# The From, To, Contact, Route or Record-Route value at `off`, which ends at
# the latest at `end`.  The next value begins behind the comma at off + len.
cdef int parse_name_addr(const char *buf, uint32_t off, uint32_t end, name_addr_t *value) noexcept nogil

# A decimal number of at most `digits` digits filling the span: its value, or E_BAD.
cdef long long parse_number(const char *buf, span_t span, int digits) noexcept nogil

# The one that the span begins with, whatever stands behind it; E_BAD: it begins with none, or one of more digits.
cdef long long leading_number(const char *buf, span_t span, int digits) noexcept nogil

# Finds a parameter in ";a=b;c" text; 1 = found (value may be empty), 0 = not.
cdef int find_param(const char *buf, span_t params, const char *name, uint32_t name_len, span_t *value) noexcept nogil

# As parse_name_addr, and the value of the header parameter "tag" (len 0 = none).
cdef int read_name_addr(const char *buf, uint32_t off, uint32_t end, name_addr_t *value,
                        span_t *tag) noexcept nogil

# The tag of a header that holds one value, From or To, whatever its display name is; with `commas` that may
# hold commas.  tag.off without tag.len: it stands there without a value.
cdef int read_single(const char *buf, uint32_t off, uint32_t end, bint commas, span_t *tag) noexcept nogil

# How many values stand in [off, end), by the commas outside of quotes.
cdef int count_values(const char *buf, uint32_t off, uint32_t end) noexcept nogil
