# What a rule changes in the headers of a request that it sends on.  See headers.pyx.

from fastsip._core.arena cimport Arena
from fastsip._core.edits cimport edits_t
from fastsip._core.types cimport addr_t, header_edits_t, message_t, text_t

# Adds the edits for a request as received; `tag` is its listener's.  Returns how many headers
# more the request has then; what finds no room makes the list void (see edits.pyx).
cdef int edit_headers(edits_t *edits, const header_edits_t *wanted, const message_t *m, const addr_t *source,
                      const text_t *tag) noexcept nogil

# Writes planned edits (plan_headers) into a zeroed record.
cdef int fill_headers(Arena arena, header_edits_t *wanted, plans) except -1
