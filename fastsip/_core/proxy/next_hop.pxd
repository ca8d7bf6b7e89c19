# The next hop by route: a numeric address or a name, and the listener to send from.  See next_hop.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.base.types cimport MAX_ATTEMPTS
from fastsip._core.base.address cimport addr_t
from fastsip._core.routing.types cimport table_t
from fastsip._core.wire.tokens cimport token_t
from fastsip._core.transport.names cimport MOST_TARGETS
from fastsip._core.state.shard cimport shard_t
from fastsip._core.proxy.request cimport request_t, route_t

cdef enum:
    MOST_TRIED = MAX_ATTEMPTS + MOST_TARGETS + 1   # targets of a name that are wanted no more

# Aims at the next hop by route (request.route.next); of a name's targets at the first that this sender
# can be led to.  E_UNRESOLVED: hop.name must be asked for first; E_NONE: its host has no
# address that we could send to; E_BAD: there is no listener of its family, or its transport
# is not ours; E_SCHEME: it is no sip URI; E_HOME: it is one of our listeners; E_NEXT_HOP: no
# host has such an address, or it is this machine's own and the source is a stranger on another.
cdef int aim_by_route(shard_t *shard, request_t *request) noexcept nogil

# Index of the destination towards which a verified token leads, or E_NONE: it leads to the other end, or
# the destination is gone.
cdef int find_named(const table_t *table, const route_t *route) noexcept nogil
cdef int find_other_end(const table_t *table, const token_t *token) noexcept nogil

# Aims at that destination, for a request whose Request-URI is still ours (peers that keep sip:user@us).
cdef int aim_by_token(shard_t *shard, request_t *request) noexcept nogil

# Index of the listener to send from: the one that our own Route names, or the only one that can, or
# the one towards the place, or the one a request came in by (`came_by`); E_BAD: none has that family and transport.
cdef int listener_for(shard_t *shard, const addr_t *to, int named, uint32_t came_by) noexcept nogil
