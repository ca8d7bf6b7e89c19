"""Which of our addresses the kernel would send from to reach a place.

A next hop that nothing but the request names may lie behind any of our networks: the
listener that it must be reached from is the one on the address that the kernel
routes there from.  A socket that is connected and asked for its name says so without
sending anything; the answer is kept for a while, one place for each hash of the
address.  Asked only where a family has several listeners.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy, memset
from posix.unistd cimport close

from fastsip._core.base.types cimport E_NONE, OK
from fastsip._core.base.check cimport check
from fastsip._core.base.address cimport addr_t, is_well_formed
from fastsip._core.base.hashing cimport mix
from fastsip._core.transport.net_sys cimport (
    AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_DGRAM, connect, getsockname, sockaddr, sockaddr_in6, socket, socklen_t,
)
from fastsip._core.transport.udp cimport read_source, write_target

cdef enum:
    ANSWERS = 256
    KEEP_MS = 5000          # routes change, and nobody says so
    SOME_PORT = 5060        # the kernel routes by address; it wants a port all the same


cdef int find_route(const local_t *local, const addr_t *to, addr_t *found) noexcept nogil:
    """What a rig was told instead of what the kernel would say; all 24 bytes count, so the port must be none."""
    cdef uint32_t i
    check(to.port == 0)
    check(local.route_count > 0)
    for i in range(local.route_count):
        if memcmp(&local.routes[i].to, to, sizeof(addr_t)) == 0:
            found[0] = local.routes[i].local
            return OK
    return E_NONE


cdef int add_route(local_t *local, const addr_t *to, const addr_t *ours) except -1:
    cdef local_answer_t *routes = <local_answer_t *>realloc(
        local.routes, (local.route_count + 1) * sizeof(local_answer_t))
    if routes == NULL:
        raise MemoryError("no memory for a route")
    local.routes = routes
    routes[local.route_count].to = to[0]
    routes[local.route_count].local = ours[0]
    local.route_count += 1
    return 0


cdef int ask_kernel(local_t *local, const addr_t *to, addr_t *found) noexcept nogil:
    """A datagram socket that is connected sends nothing, but has a name: the address that routing chose."""
    cdef sockaddr_in6 name
    cdef addr_t there = to[0]
    cdef socklen_t len
    cdef int fd = local.fds[to.family == 6]
    if local.routes != NULL:
        return find_route(local, to, found)
    check(is_well_formed(to))
    there.port = SOME_PORT
    # The socket stays connected to whoever was asked for last: the next connect replaces that, and nothing is sent.
    len = write_target(&there, &name)
    if fd < 0 or connect(fd, <sockaddr *>&name, len) < 0:
        return E_NONE
    len = sizeof(name)
    if getsockname(fd, <sockaddr *>&name, &len) < 0:
        return E_NONE
    read_source(&name, to.family, found)
    found.port = 0
    return OK


cdef int local_address(local_t *local, const addr_t *to, uint64_t now_ms, addr_t *found) noexcept nogil:
    """That there is no way is kept, too: a place that nobody can reach would else cost two system calls a request."""
    cdef addr_t there = to[0]
    cdef local_answer_t *answer
    cdef uint64_t halves[2]
    check(is_well_formed(to))
    there.port = 0
    there.transport = 0
    memcpy(halves, there.ip, 16)
    answer = &local.answers[mix(halves[0], halves[1]) % ANSWERS]
    if now_ms >= answer.until_ms or memcmp(&answer.to, &there, sizeof(addr_t)) != 0:
        answer.to = there
        answer.until_ms = now_ms + KEEP_MS
        if ask_kernel(local, &there, &answer.local) < 0:
            memset(&answer.local, 0, sizeof(addr_t))
    check(answer.local.port == 0)
    check((answer.local.family == 0) | (answer.local.family == to.family))
    found[0] = answer.local
    return OK if answer.local.family else E_NONE


cdef local_t *open_local() except NULL:
    """A family that this machine does not have is asked for in vain."""
    cdef local_t *local = <local_t *>calloc(1, sizeof(local_t))
    if local == NULL:
        raise MemoryError("no memory for local addresses")
    local.fds[0] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)
    local.fds[1] = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)
    return local


cdef void close_local(local_t *local) noexcept:
    cdef int i
    if local == NULL:
        return
    for i in range(2):
        if local.fds[i] >= 0:
            close(local.fds[i])
    free(local.routes)
    free(local)
