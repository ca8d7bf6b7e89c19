# Answers to what is not routed.  See refusals.pyx.

from fastsip._core.base.types cimport text_t
from fastsip._core.routing.types cimport policy_t
from fastsip._core.state.shard cimport shard_t
from fastsip._core.proxy.request cimport request_t

# Answers the request: anew and without state, or, when it has waited for a name, by its server transaction.
# `headers` are whole lines; reason and headers may be NULL.
cdef void respond(shard_t *shard, request_t *request, int status, const text_t *reason,
                  const text_t *headers) noexcept nogil

# Answers with this status and what belongs to it.
cdef void refuse(shard_t *shard, request_t *request, int status) noexcept nogil
# What an OPTIONS for ourselves gets: 200 with what we are, or 420 if it requires an extension.
cdef void answer_options(shard_t *shard, request_t *request) noexcept nogil
# Counts what a parser's code says, for a message that is not answered.
cdef void count_malformed(shard_t *shard, int code) noexcept nogil
# Counts and answers it, if the message can be answered at all.
cdef void refuse_malformed(shard_t *shard, request_t *request, int code) noexcept nogil
# 503 with Retry-After: the router itself is full (docs/wire.md#our-own-503).
cdef void refuse_overload(shard_t *shard, request_t *request) noexcept nogil
# No destination could be tried.
cdef void refuse_unavailable(shard_t *shard, request_t *request, const policy_t *policy) noexcept nogil

# 480 to a sips URI that only TLS could lead to.
cdef void refuse_sips(shard_t *shard, request_t *request) noexcept nogil

# 403: the way that it asks for is not open to who is unknown.
cdef void refuse_stranger(shard_t *shard, request_t *request) noexcept nogil
