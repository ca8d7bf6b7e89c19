# What a request must leave behind when it crosses a border of ours.  See border.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.sip.types cimport uri_t
from fastsip._core.routing.types cimport header_edits_t, table_t
from fastsip._core.routing.header_edits cimport changes_t
from fastsip._core.state.shard cimport core_t

# Rewrites core.incoming as `headers.in` of its listener says; OK, or what the parser says of the outcome,
# E_ROOM or E_FULL: the request is as it was received then, and may only be refused.
cdef int enter(core_t *core, uint32_t listener, const addr_t *source) noexcept nogil

# 16.4: a maddr that is ours goes, and `ruri` is read again; as enter.
cdef int strip_maddr(core_t *core, uri_t *ruri) noexcept nogil

# What changes on the way to `to`: by the rule (may be NULL), by the set of this destination (below zero: by the set
# that the dialog's token names, as hop_t has it, and by all that have the address), by the listener that it leaves
# by.  E_ROOM when these are too many.
cdef int gather_changes(const table_t *table, const header_edits_t *of_rule, int destination, uint32_t token_set,
                        const addr_t *to, uint32_t listener_id, changes_t *changes) noexcept nogil
