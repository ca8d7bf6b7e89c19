# What a way changes in the headers of a request.  See header_edits.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.base.types cimport text_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.base.arena cimport Arena
from fastsip._core.sip.types cimport message_t
from fastsip._core.sip.edits cimport edits_t
from fastsip._core.routing.types cimport header_edits_t, table_t

cdef enum:
    MAX_STEPS = 20          # a rule, every set that has the destination's address, a listener

# What is changed, one step after the other: each sees what the one before it left.
cdef struct changes_t:
    uint32_t count
    uint32_t out            # the first step that belongs to the way out, not to the request
    const header_edits_t *steps[MAX_STEPS]

# What another way out must not inherit of this one: the lines that it took, and how many bytes of lines it
# brought, which stand behind all others.  The caller gives `taken` room: undo_room().
cdef struct undo_t:
    char *taken
    uint32_t taken_len
    uint32_t brought

cdef uint32_t undo_room(const message_t *m) noexcept nogil

# May others see lines in these headers that we do not?
cdef bint hides_lines(const char *at, uint32_t len) noexcept nogil

# Adds the edits; `tag` is that of the listener the request came in by.  Returns how many headers more the request
# has then; what finds no room makes the list void (see edits.pyx).  `undo` may be NULL.
cdef int edit_headers(edits_t *edits, const changes_t *changes, const message_t *m, const addr_t *source,
                      const text_t *tag, undo_t *undo) noexcept nogil

# Does a step of the way out take headers of this name?
cdef bint takes_away(const changes_t *changes, const text_t *name) noexcept nogil

# Writes planned edits (plan_headers) into a zeroed record.
cdef int fill_headers(Arena arena, header_edits_t *wanted, plans) except -1

# What changes on the way to `to`: by the rule (may be NULL), by the set of this destination (below zero: by the set
# that the dialog's token names, as hop_t has it, and by all that have the address), by the listener that it leaves
# by.  E_ROOM when these are too many.
cdef int gather_changes(const table_t *table, const header_edits_t *of_rule, int destination, uint32_t token_set,
                        const addr_t *to, uint32_t listener_id, changes_t *changes) noexcept nogil
