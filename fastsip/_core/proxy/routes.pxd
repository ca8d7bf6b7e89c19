# Where a request wants to go by itself: Route and Request-URI.  See routes.pyx.

from fastsip._core.sip.types cimport message_t, uri_t
from fastsip._core.routing.types cimport rule_t
from fastsip._core.state.shard cimport shard_t
from fastsip._core.proxy.request cimport hop_t, route_t

# Reads the Request-URI; OK, also for a scheme that we do not know, or E_URI, also for headers in it (19.1.1).
cdef int read_ruri(const message_t *m, uri_t *ruri) noexcept nogil

# Reads Route (16.4, 16.5, 16.6 item 6); our own leading values become cuts of the hop, and
# it gets the Request-URI that strict routers make necessary.  OK, E_URI, E_ROUTE, E_FULL without room for that
# one, or E_FORGED: the rest is unread.
cdef int read_route(shard_t *shard, const message_t *m, const uri_t *ruri, route_t *route, hop_t *hop) noexcept nogil

# The URI of the topmost Route value, ours or not; without a Route `uri` stays.  OK, E_ROUTE, or what parse_uri says.
cdef int first_route(const message_t *m, uri_t *uri) noexcept nogil

# All Route headers become cuts: the rules decide instead.
cdef int cut_routes(const message_t *m, hop_t *hop) noexcept nogil

# The next hop that a rule's `forward` takes from the request, as a route: OK, E_SCHEME, or E_URI
# when the header is missing or holds anything but one URI.
cdef int read_forward(const message_t *m, const rule_t *rule, const uri_t *ruri, route_t *route) noexcept nogil

# Does a URI lead to us: its maddr, or else its host, with its port?  The one question, wherever it is asked (16.4).
cdef bint leads_to_us(shard_t *shard, const message_t *m, const uri_t *uri) noexcept nogil
